"""One fetch at a time per name, whoever asks: threads, event loops, greenlets.

A fetch runs on a daemon thread of its own, which lives exactly as long as the fetch: nothing idles, nothing is to be
joined at exit. Waiters hold a future that says only "done"; each then asks the core again. So a waiter's deadline or
cancellation is its own, and nobody is handed another's exception.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress

from . import _async
from ._fetch import Fetch
from ._transport import Transport

_log = logging.getLogger("tokenguard")


class Flights:
    """Runs fetches. Times are in monotonic seconds."""

    def __init__(self, transport: Transport, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Future[None]] = {}

    def start(self, fetch: Fetch) -> None:
        """Start `fetch`, unless it is under way; nobody waits."""
        self._join(fetch)

    def wait(self, fetch: Fetch, patience: float | None = None) -> None:
        """Wait for `fetch`, at most for its patience, or for another."""
        with suppress(TimeoutError):
            self._join(fetch).result(fetch.patience if patience is None else patience)

    async def wait_async(self, fetch: Fetch, patience: float | None = None) -> None:
        """The same, without blocking the event loop."""
        await _async.done(self._join(fetch), fetch.patience if patience is None else patience)

    def _join(self, fetch: Fetch) -> Future[None]:
        with self._lock:
            future = self._flying.get(fetch.name)
            if future is not None:
                return future
            future = self._flying[fetch.name] = Future()
            future.set_running_or_notify_cancel()  # from here on no waiter can cancel it
        thread = threading.Thread(target=self._fly, args=(fetch, future), name="tokenguard-fetch", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no threads here (WebAssembly), or no more of them
            self._fly(fetch, future)
        return future

    def _fly(self, fetch: Fetch, future: Future[None]) -> None:
        try:
            steps = fetch.steps(self._monotonic())
            request = next(steps)
            while True:
                request = steps.send(self._transport.send(request))
        except StopIteration:
            pass
        except Exception:  # noqa: BLE001 - see below
            # A bug of ours. Nothing of a token gets here; and no waiter may hang for it.
            _log.exception("a fetch failed unexpectedly")
        finally:
            with self._lock:
                if self._flying.get(fetch.name) is future:
                    del self._flying[fetch.name]
            future.set_result(None)

    def after_fork(self) -> None:
        """In a child process: what was flying never lands here, and a lock that was held stays so."""
        self._lock = threading.Lock()
        self._flying = {}
