"""One fetch at a time per name, whoever asks: threads, event loops, greenlets.

A fetch runs on a daemon thread of its own, which lives exactly as long as the fetch: nothing idles, nothing is to be
joined at exit. Waiters hold a future of what the steps returned, never of an exception; each then asks the core again.
So a waiter's deadline or cancellation is its own, and nobody is handed another's exception.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from . import _async
from ._fetch import Answer, Fetch, Queue
from ._transport import Transport

_log = logging.getLogger("tokenguard")


class _Flight:
    """A fetch under way, and what its waiters wait for."""

    __slots__ = ("fetch", "future", "lost_at", "stale_at")

    def __init__(self, fetch: Fetch, tick: float) -> None:
        self.fetch = fetch
        self.lost_at = tick + fetch.limit
        self.stale_at = tick + fetch.patience  # whoever waited from the beginning waits no more
        self.future: Future[Answer | None] = Future()
        self.future.set_running_or_notify_cancel()  # from here on no waiter can cancel it


class _Line:
    """Flights of one queue: how many fly, and who waits for a place."""

    __slots__ = ("flying", "waiting")

    def __init__(self) -> None:
        self.flying = 0
        self.waiting: deque[_Flight] = deque()


class Flights:
    """Runs fetches. Times are in monotonic seconds."""

    def __init__(self, transport: Transport, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flying: dict[Hashable, _Flight] = {}
        self._lines: dict[Hashable, _Line] = {}
        self._threads: deque[threading.Thread] = deque(maxlen=64)  # the latest, for rest()

    def start(self, fetch: Fetch) -> None:
        """Start `fetch` beside requests, unless it is under way. Without a thread to run on it is left for later."""
        self._join(fetch, beside=True)

    def wait(self, fetch: Fetch, patience: float | None = None) -> Answer | None:
        """Wait for `fetch`, at most for its patience, or for another. None: not in time, or it has no answer."""
        try:
            return self._join(fetch).result(fetch.patience if patience is None else patience)
        except TimeoutError:
            return None

    async def wait_async(self, fetch: Fetch, patience: float | None = None) -> Answer | None:
        """The same, without blocking the event loop."""
        future = self._join(fetch)
        await _async.done(future, fetch.patience if patience is None else patience)
        return future.result() if future.done() else None

    def rest(self, patience: float) -> None:
        """Wait until no thread is left, at most so many seconds.

        A thread that spoke TLS clears away after itself as it ends, under a lock of OpenSSL's. A process that forks at
        that very moment has children in which that lock is held for good. That is after Python calls it ended: Linux
        tells when it is gone.
        """
        until = time.monotonic() + patience
        while threads := tuple(self._threads):
            thread = threads[0]  # it stays there until it is gone, for others who rest meanwhile, and for later
            thread.join(max(0.0, until - time.monotonic()))
            while thread.is_alive() or Path(f"/proc/self/task/{thread.native_id}").exists():
                if time.monotonic() >= until:
                    return
                time.sleep(0.001)
            with suppress(ValueError):  # one of those others was faster
                self._threads.remove(thread)

    def _join(self, fetch: Fetch, *, beside: bool = False) -> Future[Answer | None]:
        tick = self._monotonic()
        with self._lock:
            flight = self._flying.get(fetch.name)
            if flight is not None and tick < flight.lost_at:
                return flight.future
            flight = _Flight(fetch, tick)
            if fetch.queue is not None and not self._takes_place(flight, fetch.queue):
                return flight.future
            self._flying[fetch.name] = flight
        try:
            started = self._starts(flight)
        except BaseException:  # a signal's exception, such as Ctrl-C: whoever comes next must be able to start one
            self._give_up(flight)
            raise
        if not started and beside:
            self._give_up(flight)
        elif not started:
            self._fly(flight)
        return flight.future

    def _starts(self, flight: _Flight) -> bool:
        """Whether there is a thread to fly on: not in WebAssembly, nor if there are too many, nor at the very end."""
        thread = threading.Thread(target=self._fly, args=(flight,), name="tokenguard-fetch", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._threads.append(thread)
        return True

    def _fly(self, flight: _Flight) -> None:
        try:
            self._run(flight)
        finally:
            self._leave(flight)

    def _give_up(self, flight: _Flight) -> None:
        self._land(flight, None)
        self._leave(flight)

    def _run(self, flight: _Flight) -> None:
        answer: Answer | None = None
        try:
            steps = flight.fetch.steps(self._monotonic())
            request = next(steps)
            while True:
                request = steps.send(self._transport.send(request))
        except StopIteration as end:
            answer = end.value
        except Exception:  # noqa: BLE001 - see below
            # A bug of ours. Nothing of a token gets here; and no waiter may hang for it.
            _log.exception("a fetch failed unexpectedly")
        finally:
            self._land(flight, answer)
        flight.fetch.landed()

    def _land(self, flight: _Flight, answer: Answer | None) -> None:
        with self._lock:
            if self._flying.get(flight.fetch.name) is flight:
                del self._flying[flight.fetch.name]
            if not flight.future.done():  # a signal may have landed it while its thread had just begun
                flight.future.set_result(answer)

    def _takes_place(self, flight: _Flight, queue: Queue) -> bool:
        """Whether it may fly now. Else it waits for a place, or is over if too many do. Under the lock."""
        line = self._lines.setdefault(queue.name, _Line())
        if line.flying < queue.places:
            line.flying += 1
            return True
        if len(line.waiting) < queue.length:
            line.waiting.append(flight)
            self._flying[flight.fetch.name] = flight
        else:
            flight.future.set_result(None)
        return False

    def _leave(self, flight: _Flight) -> None:
        """Give up a place, to the next in line. One that has waited too long is over, as is one that cannot start."""
        while (upcoming := self._next(flight)) is not None:
            try:
                if self._monotonic() < upcoming.stale_at and self._starts(upcoming):
                    break
            except BaseException:  # a signal's exception once more
                self._give_up(upcoming)
                raise
            self._land(upcoming, None)

    def _next(self, flight: _Flight) -> _Flight | None:
        """Whose turn it is; without anyone in line the place is free."""
        queue = flight.fetch.queue
        if queue is None:
            return None
        with self._lock:
            line = self._lines.get(queue.name)
            if line is None:  # of before a fork
                return None
            if line.waiting:
                return line.waiting.popleft()
            line.flying -= 1
            if line.flying == 0:
                del self._lines[queue.name]
            return None

    def after_fork(self) -> None:
        """In a child process: what was flying never lands here, and a lock that was held stays so."""
        self._lock = threading.Lock()
        self._flying = {}
        self._lines = {}
        self._threads.clear()
