"""The benchmarks' own machinery: what is measured, judged, merged and drawn. No peers, and no figure is asserted."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks import floors, node, ours, peers, plots, regression, report
from benchmarks.measuring import Row, Section, Timed, interleave
from benchmarks.peers import AsyncWay, Batch, Peer, SyncWay, Unsound, Way
from benchmarks.regression import BASELINE, LIMITS, Limit, judge
from benchmarks.tokens import Mint, forged
from tokenguard import AccessToken, InvalidToken, TokenValidator
from tokenguard._core import Core
from tokenguard._fetch import Miss
from tokenguard.testing import LocalIssuer

ROOT = Path(__file__).parent.parent

# Rounds


def test_what_a_contestant_did_not_count_is_not_counted() -> None:
    (row,) = interleave({"a": lambda: Timed(4, 2e-6)}, rounds=3)
    assert row.samples == pytest.approx([0.5, 0.5, 0.5])


def test_each_round_has_the_next_batch() -> None:
    seen: list[Sequence[str]] = []

    def run(batch: Batch) -> Timed:
        seen.append(batch.tokens)
        return Timed(1, 1.0)

    contestant = ours.in_turn(run, ["a", "b", "c"], 2)
    for _ in range(3):
        contestant()
    assert seen == [["a", "b"], ["c"], ["a", "b"]]


# Contestants are checked


def _judge(token: str) -> None:
    if token != "good":
        raise ValueError(token)


def _believe(_: str) -> None:
    pass


def _refuse(_: str) -> None:
    raise ValueError


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def ways(request: pytest.FixtureRequest) -> Any:
    """Makes a way of a function, in either colour."""
    if not request.param:
        yield lambda check: SyncWay("it", lambda: check)
        return
    with asyncio.Runner() as runner:

        def make(check: Any) -> Way:
            async def asynchronous(token: str) -> None:
                check(token)

            return AsyncWay("it", lambda: asynchronous, runner)

        yield make


def test_who_judges_rightly_is_measured(ways: Any) -> None:
    way = ways(_judge)
    way.require_sound(["good"], ["bad", "worse"])
    assert way.run(Batch(tokens=["good"], known=True, passes=3)).operations == 3
    assert way.run(Batch(tokens=["bad", "worse"], good=False)).operations == 2


def test_who_accepts_what_is_bad_is_not_measured(ways: Any) -> None:
    with pytest.raises(Unsound, match="it accepts bad token 2 of 2"):
        ways(lambda token: _judge(token[:4])).require_sound(["good"], ["bad", "goodish"])
    with pytest.raises(Unsound, match="it accepts 1 of 1 bad tokens"):
        ways(_believe).run(Batch(tokens=["bad"], good=False))


def test_who_refuses_what_is_good_is_not_measured(ways: Any) -> None:
    with pytest.raises(Unsound, match="it refuses good token 1 of 1"):
        ways(_refuse).require_sound(["good"], [])
    with pytest.raises(ValueError, match=r"^$"):
        ways(_refuse).run(Batch(tokens=["good"]))


@pytest.fixture(scope="module")
def mint() -> Mint:
    return Mint(LocalIssuer(algorithms=("ES256",)))


def test_a_first_seen_token_is_new_to_its_validator(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[int, str]] = []
    validate = TokenValidator.validate

    def noting(self: TokenValidator, token: str) -> AccessToken:
        checked.append((id(self), token))
        validators.append(self)  # lest another one gets the id of one that is gone
        return validate(self, token)

    validators: list[TokenValidator] = []
    monkeypatch.setattr(TokenValidator, "validate", noting)
    known, *good = mint.good("ES256", 4)
    contestant = ours.in_turn(ours.validate(mint.keys, known).run, good, 3)
    contestant()
    contestant()
    assert len(checked) == len(set(checked)) == 2 * (1 + 3)


def test_tokens_are_distinct_and_of_the_usual_size(mint: Mint) -> None:
    tokens = mint.good("ES256", 20) + mint.large("ES256", 1)
    assert len(set(tokens)) == 21
    assert 450 < len(tokens[0]) < 550
    assert 5000 < len(tokens[-1]) < 7000


def test_bad_tokens_are_bad_for_the_reason_that_is_given(mint: Mint) -> None:
    known, *good = mint.good("ES256", 3)
    check = ours.validate(mint.keys, known)._fresh()
    for tokens, reasons in (
        (forged(good), {"bad_signature"}),
        (mint.expired("ES256", 2), {"expired"}),
        (mint.elsewhere("ES256"), {"wrong_audience", "wrong_issuer"}),
        (mint.junk(12), {"malformed"}),
    ):
        found = set()
        for token in tokens:
            with pytest.raises(InvalidToken) as refused:
                check(token)
            found.add(refused.value.reason.value)
        assert found == reasons


def test_floors_do_their_part_for_each_algorithm() -> None:
    with_all = Mint(LocalIssuer(algorithms=("PS256", "ES256", "EdDSA")))
    for alg in with_all.keys.algorithms:
        tokens = with_all.good(alg, 2)
        for floor in (floors.verify_floor(with_all.keys, alg), floors.sum_floor(with_all.keys, alg)):
            assert floor.run(Batch(tokens=tokens)).operations == 2
            with pytest.raises(Exception, match=r"^$") as refused:
                floor.run(Batch(tokens=forged(tokens)))
            assert type(refused.value).__name__ == "InvalidSignature"
        for floor in (floors.hash_floor(), floors.parse_floor()):
            assert floor.run(Batch(tokens=tokens, passes=5)).operations == 10


# The regression check


def _rows(**samples: Sequence[float]) -> list[Row]:
    return [Row(name=name, samples=tuple(taken)) for name, taken in samples.items()]


def test_a_ratio_within_its_limit_is_fine_and_one_above_is_too_slow() -> None:
    rows = _rows(**{BASELINE: [10, 20, 10, 10]}, fine=[14, 28, 15, 14], slow=[16, 32, 16, 17])
    fine, slow = judge(rows, [Limit(name=name, most=1.5) for name in ("fine", "slow")])
    assert not fine.too_slow
    assert slow.too_slow
    assert slow.ratio == pytest.approx(1.6)


def test_some_disturbed_rounds_make_nothing_too_slow() -> None:
    rows = _rows(**{BASELINE: [10] * 7}, disturbed=[14, 90, 14, 15, 80, 70, 14])
    (finding,) = judge(rows, [Limit(name="disturbed", most=1.5)])
    assert not finding.too_slow


def test_a_disturbed_baseline_hides_nothing() -> None:
    rows = _rows(**{BASELINE: [10, 80, 10, 70, 10, 10, 90]}, slow=[16] * 7)  # a low quartile would say 0.2
    (finding,) = judge(rows, [Limit(name="slow", most=1.5)])
    assert finding.too_slow


def test_the_verdict_is_printed_and_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = [Row(name=BASELINE, samples=(1.0, 1.0))]
    fast += [Row(name=limit.name, samples=(limit.most, limit.most)) for limit in LIMITS]
    monkeypatch.setattr(regression, "measure", lambda: fast)
    assert regression.main() == 0
    assert "too slow" not in capsys.readouterr().out
    slow = [Row(name="junk", samples=(2 * row.median,) * 2) if row.name == "junk" else row for row in fast]
    monkeypatch.setattr(regression, "measure", lambda: slow)
    assert regression.main() == 1
    assert capsys.readouterr().out.endswith("too slow: junk, 100% above its limit\n")


def test_a_slow_hot_path_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Core.decide
    with LocalIssuer(algorithms=("RS256",)) as issuer:
        floor = floors.verify_floor(issuer, "RS256")
        ready = [floor.prepare(token) for token in Mint(issuer).good("RS256", 20)]

    def slow(self: Core, token: str | bytes, now: float, tick: float) -> AccessToken | Miss[AccessToken]:
        floor.loop(ready)
        return decide(self, token, now, tick)

    monkeypatch.setattr(Core, "decide", slow)
    findings = judge(regression.measure(rounds=5, size=10))
    assert [finding.limit.name for finding in findings if finding.too_slow] == [limit.name for limit in LIMITS]


# Plots and tables

RUN = report.Run(
    date="2026-01-01T00:00:00+00:00",
    command="python -m benchmarks",
    machine={"cpu": "A|B", "cores": 2, "os": "OS", "python": "P", "openssl": "O", "node": "v20.1.0", "packages": {}},
)


def _section(key: str = "key", title: str = "Title", **more: Any) -> Section:
    rows = _rows(base=[1, 1.1, 1], tokenguard=[1.5, 1.4, 1.6], other=[3, 4, 2])
    return Section(**{"key": key, "title": title, "unit": "µs", "baseline": "base", "rows": tuple(rows), **more})


ODD = {
    "usual": _section(),
    "one row": _section(rows=tuple(_rows(base=[1, 2, 3]))),
    "one round": _section(rows=tuple(_rows(base=[2], tokenguard=[0.001], other=[4000]))),
    "wide": _section(rows=tuple(_rows(base=[1], other=[900]))),
    "tiny": _section(rows=tuple(_rows(base=[1, 1], other=[0.0001, 0.0002]))),
    "markup": _section(
        title='<b>1 & 2</b> | "three" *four*',
        baseline="<&>",
        rows=(Row(name="<&>", samples=(1.0,), note="a | b"), Row(name="]]>_|", samples=(2.0,))),
    ),
    "long": _section(title="word " * 60, rows=tuple(_rows(base=[1, 1], **{"name" * 40: [2, 2]}))),
    "more is better": _section(more_is_better=True, unit="requests/s", floors=frozenset({"other"})),
}
odd = pytest.mark.parametrize("section", ODD.values(), ids=list(ODD))
SVG = "{http://www.w3.org/2000/svg}"


@odd
def test_a_plot_is_well_formed_and_stays_within_its_page(section: Section) -> None:
    root = ET.fromstring(plots.plot(section))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        for x in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(x, 0)) <= width
        for y in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(y, 0)) <= height
    assert len(root.findall(f"{SVG}g")) == len(section.rows)


@odd
def test_a_plot_says_what_it_shows(section: Section) -> None:
    root = ET.fromstring(plots.plot(section))
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert section.title.split()[0] in texts[0]
    assert plots.meaning(section) in texts
    for row in section.rows:
        assert any(text == row.name or row.name.startswith(text.rstrip("…")) for text in texts)
        assert f"{plots.figure(row.median)} {section.unit}" in texts


def test_kinds_of_rows_look_different() -> None:
    section = _section(rows=tuple(_rows(base=[1], part=[2], tokenguard=[3], other=[4])), floors=frozenset({"part"}))
    root = ET.fromstring(plots.plot(section))
    marks = [group.find(f"{SVG}circle") for group in root.findall(f"{SVG}g")]
    assert [mark.get("class") for mark in marks if mark is not None] == [
        "mark floor",
        "mark floor",
        "mark ours",
        "mark peer",
    ]


def test_a_plot_is_for_light_and_dark() -> None:
    assert "@media (prefers-color-scheme: dark)" in plots.plot(_section())


@odd
def test_a_table_has_the_same_columns_in_each_line(section: Section) -> None:
    text = report.markdown(report.merged({}, "micro", section, RUN))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(section.rows)
    assert {line.count("|") for line in lines} == {6}
    assert "<" not in text


@odd
def test_the_terminal_shows_each_row(section: Section) -> None:
    text = report.terminal(section)
    for row in section.rows:
        assert f" {row.name} " in text


def test_figures_have_three_digits_or_so() -> None:
    assert [plots.figure(value) for value in (0.01234, 0.25, 1.234, 12.34, 123.4, 12345.6)] == [
        "0.012",
        "0.25",
        "1.23",
        "12.3",
        "123",
        "12,346",
    ]


# The JSON file


def test_a_section_comes_back_as_it_was() -> None:
    for section in ODD.values():
        (entry,) = report.merged({}, "micro", section, RUN)["sections"]
        assert report.read(entry) == section


def test_a_partial_run_replaces_its_own_sections_only() -> None:
    later = report.Run(date="2026-02-02T00:00:00+00:00", command="later", machine={"cpu": "B"})
    document = report.merged({}, "micro", _section("a"), RUN)
    document = report.merged(document, "micro", _section("b"), RUN)
    document = report.merged(document, "micro", _section("a", "Again"), later)
    assert [(entry["key"], entry["title"], entry["run"]) for entry in document["sections"]] == [
        ("a", "Again", later.date),
        ("b", "Title", RUN.date),
    ]
    assert document["runs"] == {
        RUN.date: {"command": RUN.command, "machine": RUN.machine},
        later.date: {"command": "later", "machine": {"cpu": "B"}},
    }


def test_a_run_of_which_nothing_is_left_is_forgotten() -> None:
    later = report.Run(date="2026-02-02T00:00:00+00:00", command="later", machine={})
    document = report.merged({}, "micro", _section(), RUN)
    assert list(report.merged(document, "micro", _section(), later)["runs"]) == [later.date]


def test_parts_stand_in_their_order_whichever_ran_first() -> None:
    document = report.merged({}, "scale", _section("s"), RUN)
    document = report.merged(document, "micro", _section("m"), RUN)
    assert [entry["key"] for entry in document["sections"]] == ["m", "s"]


def test_a_folder_gets_samples_tables_and_plots(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    report.save(folder, "micro", _section("a"), RUN)
    report.save(folder, "apps", _section("b"), RUN)
    assert sorted(path.name for path in folder.iterdir()) == ["a.svg", "b.svg", "results.json", "results.md"]
    text = (folder / "results.md").read_text("utf-8")
    assert re.findall(r"!\[Title\]\((.*)\)", text) == ["a.svg", "b.svg"]


# What is missing is left out


def test_no_peer_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import benchmarks.__main__, benchmarks.micro, sys; print({'authlib', 'jose', 'jwcrypto'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_of_a_missing_library_it_is_said_how_to_get_it(
    mint: Mint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: LocalIssuer, __: str) -> None:
        raise ImportError

    there = Peer(name="There", package="there", build=lambda _, __: _judge)
    gone = Peer(name="Gone", package="gone[all]", build=missing)
    monkeypatch.setattr(peers, "PEERS", (there, gone))
    assert list(peers.installed(mint.keys)) == [there]
    assert capsys.readouterr().out == "skipped: Gone (make bench installs it, or: pip install 'gone[all]')\n"


def test_without_node_its_libraries_are_left_out(
    mint: Mint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with node.started(mint.keys) as child:
        assert child is None
    assert capsys.readouterr().out.startswith("skipped: Node's libraries (install Node 20")
