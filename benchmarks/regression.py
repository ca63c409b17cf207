"""Is the hot path still fast? A few seconds, ratios only, for machines that are noisy and of any speed.

Contestants take turns as in the full benchmarks. Of a contestant's ratios to its baseline the lower quartile counts: a
disturbance makes some rounds slow, a slower path makes all of them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenguard.testing import LocalIssuer

from . import micro
from .measuring import Row, interleave, spread
from .tokens import Mint, forged

# At most so many times the baseline; beside each, what was measured when it was set. A change that is worth more time
# raises a limit, with its figure.
FIRST_SEEN = 1.75  # bare signature checks, measured 1.50
REPEATED = 2.7  # SHA-256 of the token, measured 2.2
BAD_SIGNATURE = 2.2  # bare signature checks, measured 1.8
JUNK = 0.45  # bare signature checks, measured 0.32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many times its baseline a contestant may take."""

    name: str
    baseline: str
    most: float


LIMITS = (
    Limit(name="first seen", baseline=micro.VERIFY, most=FIRST_SEEN),
    Limit(name="repeated", baseline=micro.HASH, most=REPEATED),
    Limit(name="bad signature", baseline=micro.VERIFY, most=BAD_SIGNATURE),
    Limit(name="junk", baseline=micro.VERIFY, most=JUNK),
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
        mint = Mint(keys)
        known, *good = mint.good("RS256", 4 * size + 1)
        wrong, junk = forged(good[:size]), mint.junk(size)
        way = micro.validate(keys, known)
        way.require_sound(good[:3], [*wrong[:3], *junk])
        return interleave(
            {
                micro.VERIFY: micro.in_turn(micro.verify_floor(keys, "RS256").run, good, size),
                micro.HASH: micro.in_turn(micro.hash_floor().run, good, size, passes=micro.PASSES),
                "first seen": micro.in_turn(way.run, good, size),
                "repeated": micro.in_turn(way.run, good, size, known=True, passes=micro.PASSES),
                "bad signature": micro.in_turn(way.run, wrong, size, good=False),
                "junk": micro.in_turn(way.run, junk, size, good=False),
            },
            rounds=rounds,
        )


def judge(rows: Sequence[Row], limits: Iterable[Limit] = LIMITS) -> list[Finding]:
    """Each limit, and what was found."""
    samples = {row.name: row.samples for row in rows}
    findings = []
    for limit in limits:
        pairs = zip(samples[limit.name], samples[limit.baseline], strict=True)
        low, _, _ = spread(mine / its for mine, its in pairs)
        findings.append(Finding(limit=limit, ratio=low))
    return findings


def main() -> int:
    """Print what was found; 1 where something is too slow."""
    findings = judge(measure())
    print(f"{'':15}{'ratio':>7}{'limit':>7}  to")
    for finding in findings:
        limit = finding.limit
        print(f"{limit.name:15}{finding.ratio:7.2f}{limit.most:7.2f}  {limit.baseline}")
    slow = [finding for finding in findings if finding.too_slow]
    for finding in slow:
        above = finding.ratio / finding.limit.most - 1
        print(f"too slow: {finding.limit.name}, {above:.0%} above its limit")
    return 1 if slow else 0
