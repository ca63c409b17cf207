"""A section as a picture: SVG, readable in light and dark, beside text or alone.

A dot is a contestant's median ratio to the baseline, the bar through it the middle half of its ratios. While the
highest is not far above 1 the axis begins at nought; else it is logarithmic, or the small ones could not be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from xml.sax.saxutils import escape

from .measuring import Row, Section, spread

WIDTH = 800
_MARGIN = 20
_ROW = 26
_CHARACTER = {"ours": 8.1, "peer": 7.2, "floor": 7.2}  # of 13 px text (ours is bold), in the widest of usual fonts
_MOST_LABEL = 40  # characters
_RATIO = 66  # the column of ratios
_LARGEST_LINEAR = 12.0  # times the baseline

# GitHub shows it as an image, which knows what the reader's system prefers, and not what the page looks like: hence a
# ground of its own.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.page { fill: #ffffff }
.title { font-size: 15px; font-weight: 600 }
.small { font-size: 11px }
.small, .muted, text.floor { fill: #59636e }
.grid { stroke: #d1d9e0 }
.base { stroke: #59636e; stroke-dasharray: 3 3 }
.mark.ours { fill: #0969da }
.mark.peer { fill: #818b98 }
.mark.floor { fill: #c4ccd4 }
text.ours { fill: #0969da; font-weight: 600 }
.end { text-anchor: end }
.middle { text-anchor: middle }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .page { fill: #0d1117 }
  .small, .muted, text.floor { fill: #9198a1 }
  .grid { stroke: #2f353d }
  .base { stroke: #9198a1 }
  .mark.ours { fill: #4493f8 }
  .mark.peer { fill: #9198a1 }
  .mark.floor { fill: #4d555f }
  text.ours { fill: #4493f8 }
}
"""


def figure(value: float) -> str:
    """Three digits or so: more would be noise."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def meaning(section: Section) -> str:
    """What a ratio means here."""
    base = next(row for row in section.rows if row.name == section.baseline)
    better = "higher" if section.more_is_better else "lower"
    return f"1× = {base.name} ({figure(base.median)} {section.unit}); {better} is better"


def rounds(section: Section) -> str:
    count = len(section.rows[0].samples)
    return "1 round" if count == 1 else f"{count} rounds"


def plot(section: Section) -> str:
    """The section as an SVG document."""
    ratios = {row.name: spread(section.ratios(row)) for row in section.rows}
    label = 14 + max(len(_short(row.name)) * _CHARACTER[_kind(section, row.name)] for row in section.rows)
    absolute = 14 + max(len(_absolute(section, row)) for row in section.rows) * _CHARACTER["peer"]
    axis = _axis(list(ratios.values()), left=_MARGIN + label, right=WIDTH - _MARGIN - absolute - _RATIO)
    title = wrap(section.title, 84) or [""]
    top = 20 + 20 * len(title) + 44
    bottom = top + _ROW * len(section.rows)
    height = bottom + 58
    size = f'width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(section.title)}</title><style>{_STYLE}</style>",
        f'<rect class="page" {size}/>',
    ]
    parts += [_text(_MARGIN, 34 + 20 * index, line, "title") for index, line in enumerate(title)]
    parts.append(_text(_MARGIN, 36 + 20 * len(title), meaning(section), "muted"))
    parts += _scale(axis, top, bottom)
    for index, row in enumerate(section.rows):
        parts += _row(section, row, ratios[row.name], axis, top + _ROW * index + _ROW / 2)
    parts += _legend(section, axis, bottom + 44)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    place: Callable[[float], float]
    ticks: Sequence[float]
    logarithmic: bool
    right: float


def _axis(spreads: Sequence[tuple[float, float, float]], *, left: float, right: float) -> _Axis:
    least, most = min(low for low, _, _ in spreads), max(high for _, _, high in spreads)
    if most <= _LARGEST_LINEAR:
        step = _step(most)
        ticks = [step * index for index in range(math.floor(most / step) + 1)]
        return _Axis(
            place=lambda value: left + (right - left) * value / (most * 1.02),
            ticks=ticks,
            logarithmic=False,
            right=right,
        )
    low, high = math.log10(least) - 0.05, math.log10(most) + 0.05
    factors = (1, 2, 5) if high - low <= 2.2 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return _Axis(
        place=lambda value: left + (right - left) * (math.log10(value) - low) / (high - low),
        ticks=[tick for tick in ticks if low <= math.log10(tick) <= high],
        logarithmic=True,
        right=right,
    )


def _step(most: float) -> float:
    """A round distance between ticks, of which there are five to ten."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(step for step in (power / 10, power / 5, power / 2, power, power * 2) if most / step <= 8)


def _scale(axis: _Axis, top: float, bottom: float) -> Iterator[str]:
    for tick in axis.ticks:
        yield _line(axis.place(tick), top, axis.place(tick), bottom, "grid")
        yield _text(axis.place(tick), bottom + 16, f"{tick:g}", "small middle")
    yield _line(axis.place(1), top - 6, axis.place(1), bottom, "base")


def _row(section: Section, row: Row, ratios: tuple[float, float, float], axis: _Axis, middle: float) -> Iterator[str]:
    kind = _kind(section, row.name)
    low, median, high = (axis.place(ratio) for ratio in ratios)
    absolute = _absolute(section, row)
    tooltip = f"{row.name}: {figure(ratios[1])}, middle half {figure(ratios[0])} to {figure(ratios[2])}, {absolute}"
    yield f"<g><title>{escape(tooltip)}</title>"
    yield _text(_MARGIN, middle + 4.5, _short(row.name), kind)
    box = f'x="{low:.1f}" y="{middle - 3:.1f}" width="{max(high - low, 1):.1f}" height="6" rx="3"'
    yield f'<rect class="mark {kind}" {box} opacity="0.45"/>'
    yield f'<circle class="mark {kind}" cx="{median:.1f}" cy="{middle:.1f}" r="5"/>'
    yield _text(axis.right + _RATIO, middle + 4.5, f"{figure(ratios[1])}×", f"{kind} end")
    yield _text(WIDTH - _MARGIN, middle + 4.5, absolute, "muted end")
    yield "</g>"


def _legend(section: Section, axis: _Axis, y: float) -> Iterator[str]:
    names = {"ours": "tokenguard", "peer": "others", "floor": "a part of the job only"}
    kinds = {_kind(section, row.name) for row in section.rows}
    x: float = _MARGIN
    for kind, name in names.items():
        if kind in kinds:
            yield f'<circle class="mark {kind}" cx="{x + 5:.1f}" cy="{y - 4:.1f}" r="4"/>'
            yield _text(x + 14, y, name, "small")
            x += 14 + 6.6 * len(name) + 16
    scale = ", logarithmic" if axis.logarithmic else ""
    text = f"dot: median ratio{scale}; bar: middle half of {rounds(section)}"
    yield _text(WIDTH - _MARGIN, y, text, "small end")


def _kind(section: Section, name: str) -> str:
    if name in section.floors:
        return "floor"
    if not any(row.name.startswith("tokenguard") for row in section.rows):
        return "ours"  # all of them are: it is compared with itself
    if name.startswith("tokenguard"):
        return "ours"
    return "floor" if name == section.baseline else "peer"


def _absolute(section: Section, row: Row) -> str:
    return f"{figure(row.median)} {section.unit}"


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LABEL else f"{name[: _MOST_LABEL - 1]}…"


def _text(x: float, y: float, text: str, css: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'
