"""One fetch at a time per name, whoever asks: threads, event loops, greenlets.

A fetch runs on a daemon thread of its own, which lives exactly as long as the fetch: nothing idles, nothing is to be
joined at exit. Waiters hold a future that says only "done"; each then asks the core again. So a waiter's deadline or
cancellation is its own, and nobody is handed another's exception.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
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
        _all.add(self)

    def wait(self, fetch: Fetch) -> None:
        """Wait for `fetch`, at most for its patience."""
        with suppress(TimeoutError):
            self._join(fetch).result(fetch.patience)

    async def wait_async(self, fetch: Fetch) -> None:
        """The same, without blocking the event loop."""
        await _async.done(self._join(fetch), fetch.patience)

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

    def _after_fork(self) -> None:
        # The child has none of the parent's threads: what was flying never lands, and a lock held stays held.
        self._lock = threading.Lock()
        self._flying = {}
        self._transport.after_fork()


_all: weakref.WeakSet[Flights] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for flights in _all:
        flights._after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_reset_after_fork)
