"""Measuring: contestants in interleaved rounds, and what came of it.

Absolute times say more about the machine than about the code. What travels are ratios: each round runs all contestants
one right after the other, in another order each time, and a contestant is compared with the baseline of the same round.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contestant: a sample per round, in its section's unit."""

    name: str
    samples: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def over(self, other: Row) -> tuple[float, ...]:
        """Round by round, against another contestant in the same round."""
        return tuple(mine / its for mine, its in zip(self.samples, other.samples, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question, answered by several contestants: a table and a plot.

    Attributes:
        key: names its plot and its place in the JSON file.
        title: the question.
        unit: of the samples.
        baseline: the row the others are compared with.
        rows: the baseline among them.
        more_is_better: requests per second, not microseconds.
        floors: rows that do only a part of the job: bounds, no rivals.
    """

    key: str
    title: str
    unit: str
    baseline: str
    rows: tuple[Row, ...]
    more_is_better: bool = False
    floors: frozenset[str] = frozenset()

    def ratios(self, row: Row) -> tuple[float, ...]:
        """Round by round, against the baseline of the same round."""
        return row.over(next(other for other in self.rows if other.name == self.baseline))


class Timed(NamedTuple):
    """A batch whose contestant took the time itself: it had to prepare something, or another process did the work."""

    operations: int
    seconds: float


Contestant = Callable[[], int | Timed]


def interleave(contestants: Mapping[str, Contestant], *, rounds: int, seed: int = 1) -> tuple[Row, ...]:
    """Let each contestant do its batch once per round, in shuffled order; each returns how many operations it did,
    or `Timed`, if not all that it did is to be counted.

    Garbage collection stays on, as in a server, but starts each batch with a clean slate.

    Returns:
        Microseconds per operation.
    """
    order = random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for batch in contestants.values():
        batch()
    for _ in range(rounds):
        for name in order.sample(list(contestants), len(contestants)):
            gc.collect()
            began = perf_counter()
            done = contestants[name]()
            if not isinstance(done, Timed):
                done = Timed(done, perf_counter() - began)
            samples[name].append(done.seconds / done.operations * 1e6)
    return tuple(Row(name=name, samples=tuple(taken)) for name, taken in samples.items())


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    ordered = sorted(values)
    if len(ordered) < 3:
        return ordered[0], statistics.median(ordered), ordered[-1]
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return low, middle, high
