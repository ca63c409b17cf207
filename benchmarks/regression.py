"""Is the hot path still fast? A few seconds, ratios only, for machines that are noisy and of any speed.

The baseline is `jwt.decode` of PyJWT with a good token: like ours, some work of OpenSSL's and much of Python's. To the
bare signature check the ratios are no measure here: beside a busy neighbour Python slows down to a third and OpenSSL to
two thirds, so that the same code costs 1.5 times the check on one day and 2.2 times on another.

Contestants take turns as in the full benchmarks. What counts is the processor's time, so that waiting for a turn on it
does not, and of a contestant's ratios to the baseline of the same round the median: a disturbance of either makes some
rounds too high or too low, a slower path makes all of them higher. A low quartile would reward rounds in which the
baseline alone was disturbed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time

from tokenguard.testing import LocalIssuer

from . import ours
from .measuring import Row, interleave
from .peers import SyncWay, pyjwt_decode
from .tokens import Mint, forged

BASELINE = "PyJWT decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many times the baseline a contestant may take."""

    name: str
    most: float


# Beside each, what was measured when it was set, with nothing else to do and beside four busy loops on two processors.
# A change that is worth more time raises a limit, with its figure.
LIMITS = (
    Limit(name="first seen", most=0.48),  # 0.40 to 0.42
    Limit(name="repeated", most=0.024),  # 0.018 to 0.021
    Limit(name="bad signature", most=0.58),  # 0.48 to 0.51
    Limit(name="junk", most=0.075),  # 0.056 to 0.063
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    limit: Limit
    ratio: float

    @property
    def too_slow(self) -> bool:
        return self.ratio > self.limit.most


def measure(*, rounds: int = 60, size: int = 100) -> tuple[Row, ...]:
    """All that `LIMITS` names, with RS256 tokens; `size` of them in each batch."""
    with LocalIssuer(algorithms=("RS256",)) as keys:
        mint, decode = Mint(keys), pyjwt_decode(keys, "RS256")
        known, *good = mint.good("RS256", 4 * size + 1)
        wrong, junk = forged(good[:size]), mint.junk(5 * size)  # as long as the others' batches, about
        way, pyjwt = ours.validate(keys, known, thread_time), SyncWay(BASELINE, lambda: decode, clock=thread_time)
        way.require_sound(good[:3], [*wrong[:3], *junk])
        return interleave(
            {
                BASELINE: ours.in_turn(pyjwt.run, good, size),
                "first seen": ours.in_turn(way.run, good, size),
                "repeated": ours.in_turn(way.run, good, size, known=True, passes=ours.PASSES),
                "bad signature": ours.in_turn(way.run, wrong, size, good=False),
                "junk": ours.in_turn(way.run, junk, len(junk), good=False),
            },
            rounds=rounds,
        )


def judge(rows: Sequence[Row], limits: Iterable[Limit] = LIMITS) -> list[Finding]:
    """Each limit, and what was found."""
    by_name = {row.name: row for row in rows}
    return [Finding(limit=limit, ratio=median(by_name[limit.name].over(by_name[BASELINE]))) for limit in limits]


def main() -> int:
    """Print what was found; 1 where something is too slow."""
    findings = judge(measure())
    print(f"{'of ' + BASELINE:16}{'ratio':>7}{'limit':>7}")
    for finding in findings:
        print(f"{finding.limit.name:16}{finding.ratio:7.3f}{finding.limit.most:7.3f}")
    slow = [finding for finding in findings if finding.too_slow]
    for finding in slow:
        above = finding.ratio / finding.limit.most - 1
        print(f"too slow: {finding.limit.name}, {above:.0%} above its limit")
    return 1 if slow else 0
