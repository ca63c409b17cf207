"""What was measured, for people and for programs: tables, and one JSON file that grows section by section."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import plots
from .machine import summary
from .measuring import Row, Section, spread

PARTS = ("micro", "apps", "scale")
JSON_FILE = "results.json"
MARKDOWN_FILE = "results.md"

Document = dict[str, Any]
"""`runs`: by date, what was asked where. `sections`: in the order of `PARTS`, each with its part and its run's date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A call of the benchmarks.

    Attributes:
        date: when it began, ISO 8601.
        command: how it was called.
        machine: as `machine.describe` has it.
    """

    date: str
    command: str
    machine: dict[str, Any]


def save(folder: Path, part: str, section: Section, run: Run) -> None:
    """Put a section's outcome in the folder, in place of an older one of its own; all others stay."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / JSON_FILE
    document = merged(json.loads(file.read_text("utf-8")) if file.exists() else {}, part, section, run)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / MARKDOWN_FILE).write_text(markdown(document), "utf-8")
    (folder / f"{section.key}.svg").write_text(plots.plot(section), "utf-8")


def merged(document: Document, part: str, section: Section, run: Run) -> Document:
    """The document with this section, and without runs of which nothing is left."""
    entry = {
        "key": section.key,
        "part": part,
        "run": run.date,
        "title": section.title,
        "unit": section.unit,
        "baseline": section.baseline,
        "more_is_better": section.more_is_better,
        "floors": sorted(section.floors),
        "rows": [
            {"name": row.name, "note": row.note, "samples": [float(f"{sample:.5g}") for sample in row.samples]}
            for row in section.rows
        ],
    }
    sections = list(document.get("sections", ()))
    at = next((index for index, old in enumerate(sections) if old["key"] == section.key), len(sections))
    sections[at : at + 1] = [entry]
    sections.sort(key=lambda each: PARTS.index(each["part"]))
    runs = {**document.get("runs", {}), run.date: {"command": run.command, "machine": run.machine}}
    named = {each["run"] for each in sections}
    return {"runs": {date: said for date, said in runs.items() if date in named}, "sections": sections}


def read(entry: dict[str, Any]) -> Section:
    """A section, from its entry in the document."""
    return Section(
        key=entry["key"],
        title=entry["title"],
        unit=entry["unit"],
        baseline=entry["baseline"],
        more_is_better=entry["more_is_better"],
        floors=frozenset(entry["floors"]),
        rows=tuple(Row(name=row["name"], note=row["note"], samples=tuple(row["samples"])) for row in entry["rows"]),
    )


def markdown(document: Document) -> str:
    """The whole document, for a reader."""
    lines = [
        "# Benchmarks: results",
        "",
        "Written by `python -m benchmarks`; what each section asks is in [the README](../README.md). A ratio is worked",
        "out round by round against the baseline of the same round; *middle half* is where half of the ratios lie.",
        "Absolute times are those of the machine named below each table. All samples are in",
        f"[{JSON_FILE}]({JSON_FILE}).",
    ]
    for entry in document["sections"]:
        section, run = read(entry), document["runs"][entry["run"]]
        heading, *rows = _cells(section)
        lines += ["", f"## {_plain(section.title)}", "", f"![{_plain(section.title)}]({section.key}.svg)", ""]
        lines += [_line(heading), "|:--|--:|--:|--:|:--|", *(_line([_plain(cell) for cell in row]) for row in rows)]
        lines += ["", f"{_plain(plots.meaning(section))}.", ""]
        lines += [f"{plots.rounds(section)}, `{run['command']}`, {entry['run']}: {_plain(summary(run['machine']))}."]
    return "\n".join(lines) + "\n"


def terminal(section: Section) -> str:
    """One section as text, in columns."""
    cells = list(_cells(section))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [f"\n{section.title}"]
    for name, *figures, note in cells:
        columns = [
            name.ljust(widths[0]),
            *(text.rjust(width) for text, width in zip(figures, widths[1:], strict=False)),
        ]
        lines.append("  ".join([" ", *columns, note]).rstrip())
    lines.append(f"    {plots.meaning(section)}")
    return "\n".join(lines)


def _cells(section: Section) -> Iterator[list[str]]:
    """A heading, and each row: name, median, ratio, middle half of the ratios, note."""
    yield ["", f"median, {section.unit}", "ratio", "middle half", ""]
    for row in section.rows:
        low, middle, high = spread(section.ratios(row))
        figure = plots.figure
        yield [row.name, figure(row.median), figure(middle), f"{figure(low)} to {figure(high)}", row.note]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in a table cell too."""
    for special, shown in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("_", "\\_"), ("*", "\\*")):
        text = text.replace(special, shown)
    return text
