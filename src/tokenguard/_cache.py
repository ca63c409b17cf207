"""Bounded memory for what has been proven."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

V = TypeVar("V")


class Generations(Generic[V]):
    """A map from digests to values that stays within a number of entries and a weight.

    Two dictionaries: new entries go into the young one, and once that has half of all it becomes the old one, and the
    old one is gone. So putting costs the same at any size, and nothing but that turn takes a lock.

    >>> cache = Generations(entries=4, weight=100)
    >>> for n in range(10): cache.put(bytes([n]), n, 1)
    >>> cache.get(bytes([9])), cache.get(bytes([0])), len(cache)
    (9, None, 4)
    """

    __slots__ = ("_entries", "_lock", "_old", "_weighs", "_weight", "_young")

    def __init__(self, *, entries: int, weight: int) -> None:
        self._entries = max(1, entries // 2)
        self._weight = weight // 2
        self._lock = threading.Lock()
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._weighs = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> V | None:
        return self._young.get(digest) or self._old.get(digest)

    def put(self, digest: bytes, value: V, weight: int) -> None:
        # No lock for what is done for each token. Threads that put at one moment may overshoot by an entry each. Where
        # there is no GIL, some weights may be lost, or counted once more for the next generation; the number never is.
        young = self._young
        if len(young) >= self._entries or self._weighs + weight > self._weight:
            self._turn(young)
        self._young[digest] = value
        self._weighs += weight

    def _turn(self, full: dict[bytes, V]) -> None:
        with self._lock:
            if self._young is full:  # else another thread was faster
                self._old, self._young, self._weighs = full, {}, 0

    def after_fork(self) -> None:
        """In a child process: a lock that was held stays so."""
        self._lock = threading.Lock()
