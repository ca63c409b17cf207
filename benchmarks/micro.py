"""One validation: of a token seen for the first time, of one seen before, and of tokens that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from statistics import median

from tokenguard.testing import LocalIssuer

from . import anatomy, node
from .floors import HASH, PARSE, Floor, hash_floor, parse_floor, sum_floor, verify_floor
from .measuring import Contestant, Section, interleave
from .ours import PASSES, UNCACHED, in_turn, validate, validate_async, validate_uncached
from .peers import Peer, Way, installed
from .tokens import ALGORITHMS, Mint, forged


class Workbench:
    """Whatever all sections share: keys, tokens, and who is there to be measured."""

    def __init__(
        self, keys: LocalIssuer, child: node.Node | None, runner: asyncio.Runner, peers: Sequence[Peer], *, quick: bool
    ) -> None:
        self.keys = keys
        self.mint = Mint(keys)
        self.size = 100 if quick else 200
        self._rounds = 6 if quick else 40
        self._child = child
        self._runner = runner
        self._peers = peers

    def ways(self, alg: str) -> list[Way]:
        """Everybody for an algorithm, checked: who accepts what is to be refused, or the reverse, is not measured."""
        known, *good = self.mint.good(alg, 5)
        ours: list[Way] = [validate(self.keys, known), validate_async(self.keys, known, self._runner)]
        ours.append(validate_uncached(self.keys, known))
        peers = [peer.way(self.keys, alg, self._runner) for peer in self._peers if alg in peer.algorithms]
        nodes = self._child.ways(alg, known) if self._child else []
        bad = [*self.mint.expired(alg, 2), *forged(good), *self.mint.elsewhere(alg), *self.mint.junk(12)]
        for way in (*ours, *peers, *nodes):
            way.require_sound(good, forged(good) if way.name == node.FLOOR else bad)
        return [*ours, *peers, *nodes]

    def section(
        self,
        key: str,
        title: str,
        floors: Sequence[Floor],
        ways: Iterable[Way],
        tokens: Sequence[str],
        *,
        known: bool = False,
        bad: Sequence[str] = (),
    ) -> Section:
        """Measure; the first floor is the baseline.

        Args:
            key, title: the section's.
            floors: work on `tokens`.
            ways: work on `tokens` too, unless there are bad ones.
            tokens: good ones, some batches of them.
            known: let each validator check them beforehand.
            bad: to be refused.
        """
        contestants: dict[str, Contestant] = {}
        notes: dict[str, str] = {}
        for floor in floors:
            passes = PASSES if floor.name in (HASH, PARSE) else 1
            contestants[floor.name] = in_turn(floor.run, tokens, self.size, passes=passes)
        for way in ways:
            if bad:
                contestants[way.name] = in_turn(way.run, bad, self.size, good=False)
            elif known and way.remembers:
                contestants[way.name] = in_turn(way.run, tokens, self.size, known=True, passes=PASSES)
            else:
                contestants[way.name] = in_turn(way.run, tokens, self.size)
                if known:
                    notes[way.name] = "remembers nothing"
        rows = interleave(contestants, rounds=self._rounds)
        section = Section(
            key=key,
            title=title,
            unit="µs",
            baseline=floors[0].name,
            rows=tuple(replace(row, note=notes.get(row.name, "")) for row in rows),
            floors=frozenset({floor.name for floor in floors} | {node.FLOOR}),
        )
        return replace(section, rows=tuple(sorted(section.rows, key=lambda row: median(section.ratios(row)))))

    def anatomy(self, tokens: Sequence[str]) -> Section:
        """Where the time goes."""
        (known,) = self.mint.good("RS256", 1)
        return anatomy.section(self.keys, known, tokens, size=self.size, rounds=self._rounds)


def sections(*, quick: bool) -> Iterator[Section]:
    with ExitStack() as stack:
        keys = stack.enter_context(LocalIssuer(algorithms=ALGORITHMS))
        child = stack.enter_context(node.started(keys))
        runner = stack.enter_context(asyncio.Runner())
        bench = Workbench(keys, child, runner, list(installed(keys)), quick=quick)
        good, ways = {}, {}
        for alg in ALGORITHMS:
            # Several batches, so that even a processor's caches see a token again only after many others.
            count = bench.size * (3 if quick else 10 if alg == "RS256" else 5)
            good[alg], ways[alg] = bench.mint.good(alg, count), bench.ways(alg)
        yield from _first_seen(bench, good, ways)
        yield bench.anatomy(good["RS256"])
        yield from _repeated(bench, good, ways)
        yield from _refused(bench, good["RS256"], ways["RS256"])
        yield from _large(bench, ways["RS256"])


def _first_seen(
    bench: Workbench, good: Mapping[str, Sequence[str]], ways: Mapping[str, Sequence[Way]]
) -> Iterator[Section]:
    for alg in ALGORITHMS:
        yield bench.section(
            f"first-seen-{alg.lower()}",
            f"{alg}, a token seen for the first time ({len(good[alg][0])} bytes)",
            [verify_floor(bench.keys, alg), parse_floor(), hash_floor()],
            ways[alg],
            good[alg],
        )


def _repeated(
    bench: Workbench, good: Mapping[str, Sequence[str]], ways: Mapping[str, Sequence[Way]]
) -> Iterator[Section]:
    for alg in ALGORITHMS:
        yield bench.section(
            f"repeated-{alg.lower()}",
            f"{alg}, a token seen before ({len(good[alg][0])} bytes)",
            [hash_floor(), verify_floor(bench.keys, alg)],
            [way for way in ways[alg] if way.name not in (node.FLOOR, UNCACHED)],
            good[alg][: bench.size],
            known=True,
        )


def _refused(bench: Workbench, good: Sequence[str], ways: Sequence[Way]) -> Iterator[Section]:
    floors = [verify_floor(bench.keys, "RS256")]
    judges = [way for way in ways if way.name != node.FLOOR]
    for key, title, bad in (
        ("bad-signature", "RS256, refused: its signature is another token's", forged(good)),
        ("expired", "RS256, refused: expired an hour ago", bench.mint.expired("RS256", bench.size)),
        ("junk", "Refused: noise, opaque, cut and unsigned tokens", bench.mint.junk(bench.size * 3)),
    ):
        yield bench.section(key, title, floors, judges, good, bad=bad)


def _large(bench: Workbench, ways: Sequence[Way]) -> Iterator[Section]:
    tokens = bench.mint.large("RS256", bench.size * 2)
    size = f"{len(tokens[0]) / 1000:.1f} KB, 250 roles and groups"
    judges = [way for way in ways if way.name != node.FLOOR]
    floors = [sum_floor(bench.keys, "RS256"), verify_floor(bench.keys, "RS256"), parse_floor(), hash_floor()]
    yield bench.section(
        "large-first-seen", f"RS256, a large token seen for the first time ({size})", floors, judges, tokens
    )
    yield bench.section(
        "large-repeated",
        f"RS256, a large token seen before ({size})",
        [hash_floor(), verify_floor(bench.keys, "RS256")],
        [way for way in judges if way.name != UNCACHED],
        tokens[: bench.size],
        known=True,
    )
