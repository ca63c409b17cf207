"""A circuit breaker: a service in trouble is left alone for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Breaker:
    """Opens after some failures in a row; then one probe at a time finds out whether it is over.

    A probe that fails doubles the pause. Ticks are monotonic seconds.

    Args:
        failures: in a row that open it.
        pause_first, pause_most: seconds for which it stays open, the first time and at most.
        random: a number from 0 to 1, so that a fleet does not come back in step.

    >>> breaker = Breaker(failures=2, pause_first=1, pause_most=60, random=lambda: 0)
    >>> breaker.failed(0), breaker.enter(0), breaker.failed(0), breaker.enter(0.5), breaker.enter(1.0)
    (False, True, True, False, True)
    """

    def __init__(self, *, failures: int, pause_first: float, pause_most: float, random: Callable[[], float]) -> None:
        self._threshold = failures
        self._pause_first = pause_first
        self._pause_most = pause_most
        self._random = random
        self._lock = threading.Lock()
        self._failures = 0
        self._closed = True
        self._probing = False
        self._probe_at = 0.0

    def wait(self, tick: float) -> float:
        """Seconds until it is worth asking; 0: now."""
        return 0.0 if self._closed else max(0.0, self._probe_at - tick)

    @property
    def open(self) -> bool:
        return not self._closed

    def enter(self, tick: float) -> bool:
        """Whether to ask. Of an open one whose pause is over, the first who enters is the probe, the others wait on."""
        if self._closed:
            return True
        with self._lock:
            if tick < self._probe_at:
                return False
            self._probing = True
            self._probe_at = tick + self._pause()  # if it is never heard of again, the next one may try then
            return True

    def release(self, tick: float) -> None:
        """Whoever entered found nothing out: the next one may try at once."""
        with self._lock:
            if self._probing:
                self._probing = False
                self._probe_at = tick

    def succeeded(self) -> bool:
        """The service answered. Whether that closed it."""
        if self._failures == 0:
            return False
        with self._lock:
            closed = not self._closed
            self._closed, self._probing, self._failures = True, False, 0
            return closed

    def failed(self, tick: float) -> bool:
        """The service is in trouble. Whether it is open now."""
        with self._lock:
            if self._closed or self._probing:  # those that were under way when it opened say nothing new
                self._probing = False
                self._failures += 1
                if self._failures >= self._threshold:
                    self._closed = False
                    self._probe_at = tick + self._pause()
            return not self._closed

    def _pause(self) -> float:
        doublings = min(max(0, self._failures - self._threshold), 60)
        return float(min(self._pause_most, self._pause_first * 2.0**doublings)) * (1 - self._random() / 4)

    def after_fork(self) -> None:
        """In a child process: a lock that was held stays so."""
        self._lock = threading.Lock()
