"""Waiting, on whichever event loop runs: asyncio or trio. The only module that knows them apart."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any


class TooLate(Exception):
    """It took longer, and was cancelled. Not a `TimeoutError`, which the call itself might raise."""


async def before(seconds: float, call: Callable[[], Awaitable[Any]]) -> Any:
    """`await call()`, but no longer than `seconds`.

    Raises:
        TooLate: it would have taken longer.
    """
    trio = _running_trio()
    if trio is not None:
        result = None
        with trio.move_on_after(seconds) as scope:
            result = await call()
        if scope.cancelled_caught:
            raise TooLate
        return result
    import asyncio

    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await call()
    except TimeoutError:
        if timeout.expired():
            raise TooLate from None
        raise


async def done(future: Future[Any], seconds: float) -> None:
    """Wait until a thread is done with `future`, or `seconds` have passed. Being cancelled here harms nobody else."""
    if future.done():
        return
    wait, wake = _waker()
    future.add_done_callback(lambda _: wake())
    with suppress(TooLate):
        await before(seconds, wait)


def _waker() -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    """What to await, and a function that ends the wait from any thread."""
    trio = _running_trio()
    if trio is not None:
        happened = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def wake_trio() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(happened.set)

        return happened.wait, wake_trio
    import asyncio

    event = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake_asyncio() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(event.set)

    return event.wait, wake_asyncio


def _running_trio() -> Any:
    # While another thread imports trio (httpcore does so on ours), its module is there and what is in it not yet.
    trio = sys.modules.get("trio")
    in_trio_task = getattr(getattr(trio, "lowlevel", None), "in_trio_task", None)
    return trio if in_trio_task is not None and in_trio_task() else None
