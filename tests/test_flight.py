"""One fetch at a time per name, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import trio

from tokenguard import _async
from tokenguard._fetch import Answer, Fetch, Request, Steps
from tokenguard._flight import Flights

LONG = 30.0
REQUEST = Request(url="https://x", connect_timeout=1, total_timeout=1, max_bytes=1)


class Gate:
    """A transport that answers once it is opened."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self.sent = 0

    def send(self, _: Request) -> Answer:
        self.sent += 1
        self.arrived.release()
        assert self.open.wait(LONG)
        return Answer(at=0.0, status=200)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


class CountedFlights(Flights):
    """Tells how many have come to wait."""

    def __init__(self, gate: Any) -> None:
        super().__init__(gate, lambda: 7.0)
        self.waiting = threading.Semaphore(0)

    def _join(self, fetch: Fetch, *, beside: bool = False) -> Future[None]:
        future = super()._join(fetch, beside=beside)
        self.waiting.release()
        return future

    def await_waiters(self, count: int) -> None:
        for _ in range(count):
            assert self.waiting.acquire(timeout=LONG)


def _flights(gate: Any) -> CountedFlights:
    return CountedFlights(gate)


def _one_request(tick: float) -> Steps:
    assert tick == 7.0
    yield REQUEST


def _any_time(_: float) -> Steps:
    yield REQUEST


def _fetch(patience: float = LONG, steps: Callable[[float], Steps] = _one_request, name: str = "keys") -> Fetch:
    return Fetch(name=name, steps=steps, landed=lambda: None, patience=patience, limit=LONG)


def test_many_threads_cause_one_fetch(gate: Gate) -> None:
    flights = _flights(gate)
    with ThreadPoolExecutor(20) as pool:
        waits = [pool.submit(flights.wait, _fetch()) for _ in range(20)]
        flights.await_waiters(20)
        gate.open.set()
        for wait in waits:
            wait.result(LONG)
    assert gate.sent == 1


def test_tasks_of_two_event_loops_cause_one_fetch(gate: Gate) -> None:
    flights = _flights(gate)

    async def many() -> None:
        await asyncio.gather(*(flights.wait_async(_fetch()) for _ in range(50)))

    with ThreadPoolExecutor(2) as pool:
        loops = [pool.submit(asyncio.run, many()) for _ in range(2)]
        flights.await_waiters(100)
        gate.open.set()
        for loop in loops:
            loop.result(LONG)
    assert gate.sent == 1


def test_trio_waits_too(gate: Gate) -> None:
    flights = _flights(gate)

    async def many() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(flights.wait_async, _fetch())
            await trio.to_thread.run_sync(flights.await_waiters, 20)
            gate.open.set()

    trio.run(many)
    assert gate.sent == 1


def test_names_fly_side_by_side(gate: Gate) -> None:
    flights = _flights(gate)
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(flights.wait, _fetch(name=name)) for name in ("a", "b")]
        assert gate.arrived.acquire(timeout=LONG)
        assert gate.arrived.acquire(timeout=LONG)
        gate.open.set()
        for wait in waits:
            wait.result(LONG)
    assert gate.sent == 2


def test_a_landed_flight_is_forgotten(gate: Gate) -> None:
    flights = _flights(gate)
    gate.open.set()
    flights.wait(_fetch())
    flights.wait(_fetch())
    assert gate.sent == 2
    assert not flights._flying


def test_a_thread_waits_no_longer_than_its_patience(gate: Gate) -> None:
    flights = _flights(gate)
    flights.wait(_fetch(patience=0.01))
    assert "keys" in flights._flying


def test_a_task_waits_no_longer_than_its_patience(gate: Gate) -> None:
    flights = _flights(gate)
    asyncio.run(flights.wait_async(_fetch(patience=0.01)))
    trio.run(flights.wait_async, _fetch(patience=0.01))
    assert gate.sent == 1
    gate.open.set()  # its loops are gone: landing must not mind
    flights._flying["keys"].future.result(LONG)


def test_a_cancelled_waiter_harms_nobody(gate: Gate) -> None:
    flights = _flights(gate)

    async def one_gives_up() -> None:
        leaver = asyncio.create_task(flights.wait_async(_fetch()))
        stayer = asyncio.create_task(flights.wait_async(_fetch()))
        await asyncio.to_thread(flights.await_waiters, 2)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert not stayer.done()
        gate.open.set()
        await stayer

    asyncio.run(one_gives_up())
    assert gate.sent == 1


def test_one_that_landed_meanwhile_is_not_waited_for(gate: Gate) -> None:
    flights = _flights(gate)
    gate.open.set()

    async def after_landing() -> None:
        future = flights._join(_fetch())
        future.result(LONG)
        await _async.done(future, LONG)

    asyncio.run(after_landing())


def test_steps_that_ask_for_nothing_are_done_at_once(gate: Gate) -> None:
    def nothing(_: float) -> Steps:
        yield from ()

    _flights(gate).wait(_fetch(steps=nothing))
    assert gate.sent == 0


def test_a_bug_in_the_steps_is_logged_and_nobody_hangs(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: float) -> Steps:
        yield from ()
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "tokenguard"):
        _flights(gate).wait(_fetch(steps=broken))
    assert caplog.messages == ["a fetch failed unexpectedly"]


def test_where_no_thread_starts_the_fetch_runs_inline(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_threads(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gate.open.set()
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    flights = _flights(gate)
    flights.wait(_fetch())
    assert gate.sent == 1
    assert not flights._flying


def test_beside_requests_nothing_runs_inline(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_threads(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", no_threads)
    flights = _flights(gate)
    flights.start(_fetch())
    assert gate.sent == 0
    assert not flights._flying


def test_a_signal_while_a_fetch_starts_leaves_nothing_behind(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    flights = _flights(gate)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flights.wait(_fetch())
    gate.open.set()
    flights.wait(_fetch())
    assert gate.sent == 1


def test_a_signal_right_after_the_start_lands_it_once(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        begun.append(thread)
        raise KeyboardInterrupt

    flights = _flights(gate)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            flights.wait(_fetch())
    gate.open.set()
    begun[0].join(LONG)  # an exception in there would be an error of this test
    assert not flights._flying


def test_a_lost_flight_is_replaced(gate: Gate) -> None:
    flights = _flights(gate)
    flights.wait(_fetch(patience=0.01))
    flights._monotonic = lambda: 7.0 + LONG
    flights.wait(Fetch(name="keys", steps=_any_time, landed=lambda: None, patience=0.01, limit=LONG))
    assert gate.arrived.acquire(timeout=LONG)
    assert gate.arrived.acquire(timeout=LONG)
    gate.open.set()
    assert gate.sent == 2


def test_whoever_is_told_of_it_holds_up_no_waiter(gate: Gate) -> None:
    told = threading.Event()

    def landed() -> None:
        assert told.wait(LONG)

    gate.open.set()
    flights = _flights(gate)
    fetch = Fetch(name="keys", steps=_one_request, landed=landed, patience=LONG, limit=LONG)
    flights.wait(fetch)
    flights.wait(_fetch())
    assert gate.sent == 2
    told.set()


def test_resting_waits_until_the_system_has_seen_the_thread_go(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    there = iter([True, True, False])
    looked: list[str] = []

    class Task:
        def __init__(self, path: str) -> None:
            looked.append(path)

        def exists(self) -> bool:
            return next(there)

    monkeypatch.setattr("tokenguard._flight.Path", Task)
    flights = _flights(gate)
    gate.open.set()
    flights.wait(_fetch())
    flights.rest(LONG)
    assert len(looked) == 3
    assert looked[0].startswith("/proc/self/task/")
    assert next(there, None) is None
    assert not flights._threads


def test_no_thread_outlives_its_fetch(gate: Gate) -> None:
    flights = _flights(gate)
    flights.wait(_fetch(patience=0.01))
    fetching = [thread for thread in threading.enumerate() if thread.name == "tokenguard-fetch"]
    assert fetching
    assert all(thread.daemon for thread in fetching)
    gate.open.set()
    for thread in fetching:
        thread.join(LONG)
        assert not thread.is_alive()


def test_after_a_fork_nothing_flies_and_no_lock_is_held(gate: Gate) -> None:
    flights = _flights(gate)
    flights.wait(_fetch(patience=0.01))
    held = flights._lock
    held.acquire()
    flights.after_fork()
    held.release()
    assert not flights._flying
    assert flights._lock is not held
    gate.open.set()
    flights.wait(_fetch())
    assert gate.sent == 2
