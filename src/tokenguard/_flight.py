"""One fetch at a time per name, whoever asks: threads, event loops, greenlets.

A fetch runs on a daemon thread of its own, which lives exactly as long as the fetch: nothing idles, nothing is to be
joined at exit. Waiters hold a future that says only "done"; each then asks the core again. So a waiter's deadline or
cancellation is its own, and nobody is handed another's exception.
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
from ._fetch import Fetch
from ._transport import Transport

_log = logging.getLogger("tokenguard")


class _Flight:
    """A fetch under way, and what its waiters wait for."""

    __slots__ = ("fetch", "future", "lost_at")

    def __init__(self, fetch: Fetch, lost_at: float) -> None:
        self.fetch = fetch
        self.lost_at = lost_at
        self.future: Future[None] = Future()
        self.future.set_running_or_notify_cancel()  # from here on no waiter can cancel it


class Flights:
    """Runs fetches. Times are in monotonic seconds."""

    def __init__(self, transport: Transport, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flying: dict[Hashable, _Flight] = {}
        self._threads: deque[threading.Thread] = deque(maxlen=64)  # the latest, for rest()

    def start(self, fetch: Fetch) -> None:
        """Start `fetch` beside requests, unless it is under way. Without a thread to run on it is left for later."""
        self._join(fetch, beside=True)

    def wait(self, fetch: Fetch, patience: float | None = None) -> None:
        """Wait for `fetch`, at most for its patience, or for another."""
        with suppress(TimeoutError):
            self._join(fetch).result(fetch.patience if patience is None else patience)

    async def wait_async(self, fetch: Fetch, patience: float | None = None) -> None:
        """The same, without blocking the event loop."""
        await _async.done(self._join(fetch), fetch.patience if patience is None else patience)

    def rest(self, patience: float) -> None:
        """Wait until no thread is left, at most so many seconds.

        A thread that spoke TLS clears away after itself as it ends, under a lock of OpenSSL's. A process that forks at
        that very moment has children in which that lock is held for good. That is after Python calls it ended: Linux
        tells when it is gone.
        """
        until = time.monotonic() + patience
        while self._threads:
            thread = self._threads.popleft()
            thread.join(max(0.0, until - time.monotonic()))
            while Path(f"/proc/self/task/{thread.native_id}").exists() and time.monotonic() < until:
                time.sleep(0.001)

    def _join(self, fetch: Fetch, *, beside: bool = False) -> Future[None]:
        tick = self._monotonic()
        with self._lock:
            flight = self._flying.get(fetch.name)
            if flight is not None and tick < flight.lost_at:
                return flight.future
            flight = self._flying[fetch.name] = _Flight(fetch, tick + fetch.limit)
        thread = threading.Thread(target=self._fly, args=(flight,), name="tokenguard-fetch", daemon=True)
        try:
            thread.start()
            self._threads.append(thread)
        except RuntimeError:  # no threads here (WebAssembly), no more of them, or the interpreter is going down
            if beside:
                self._land(flight)
            else:
                self._fly(flight)
        except BaseException:  # a signal's exception, such as Ctrl-C: whoever comes next must be able to start one
            self._land(flight)
            raise
        return flight.future

    def _fly(self, flight: _Flight) -> None:
        try:
            steps = flight.fetch.steps(self._monotonic())
            request = next(steps)
            while True:
                request = steps.send(self._transport.send(request))
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001 - see below
            # A bug of ours. Nothing of a token gets here; and no waiter may hang for it.
            _log.exception("a fetch failed unexpectedly")
        finally:
            self._land(flight)
        flight.fetch.landed()

    def _land(self, flight: _Flight) -> None:
        with self._lock:
            if self._flying.get(flight.fetch.name) is flight:
                del self._flying[flight.fetch.name]
            if not flight.future.done():  # a signal may have landed it while its thread had just begun
                flight.future.set_result(None)

    def after_fork(self) -> None:
        """In a child process: what was flying never lands here, and a lock that was held stays so."""
        self._lock = threading.Lock()
        self._flying = {}
        self._threads.clear()
