"""One fetch at a time per name, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import trio

from tokenguard import _async
from tokenguard._fetch import Answer, Fetch, Queue, Request, Steps
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

    def _join(self, fetch: Fetch, *, beside: bool = False) -> Future[Answer | None]:
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
    return (yield REQUEST)


def _any_time(_: float) -> Steps:
    return (yield REQUEST)


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


@pytest.mark.parametrize("parts", [(), ("lowlevel",)], ids=["bare", "with an empty part"])
def test_a_trio_that_another_thread_is_importing_is_not_the_one_that_runs(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    half = ModuleType("trio")
    for part in parts:
        setattr(half, part, ModuleType(f"trio.{part}"))
    monkeypatch.setitem(sys.modules, "trio", half)
    flights = _flights(gate)

    async def wait() -> None:
        waiting = asyncio.create_task(flights.wait_async(_fetch()))
        await asyncio.to_thread(flights.await_waiters, 1)
        gate.open.set()
        assert await waiting == Answer(at=0.0, status=200)

    asyncio.run(wait())


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
        return None

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


def test_two_who_rest_at_once_both_wait(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    flights = _flights(gate)
    gate.open.set()
    flights.wait(_fetch())
    (thread,) = flights._threads
    join, joined = threading.Thread.join, list[threading.Thread]()

    def join_while_another_rests(thread: threading.Thread, timeout: float | None = None) -> None:
        joined.append(thread)
        if len(joined) == 1:
            flights.rest(LONG)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join_while_another_rests)
    flights.rest(LONG)
    assert joined == [thread, thread]
    assert not flights._threads


def test_one_that_is_not_gone_in_time_is_waited_for_the_next_time(gate: Gate) -> None:
    flights = _flights(gate)
    flights.start(_fetch())
    assert gate.arrived.acquire(timeout=LONG)
    (thread,) = flights._threads
    for _ in range(2):
        flights.rest(0.0)
        assert list(flights._threads) == [thread]
    gate.open.set()
    flights.rest(LONG)
    assert not thread.is_alive()
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


# Queues: at most so many at a time, the others in line


QUEUED = Queue(name="endpoint", places=2, length=3)


def _queued(name: str, *, queue: Queue = QUEUED, patience: float = LONG, limit: float = LONG) -> Fetch:
    return Fetch(name=name, steps=_any_time, landed=lambda: None, patience=patience, limit=limit, queue=queue)


def _no_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class Line(CountedFlights):
    """With a clock to set, and the order in which fetches are run."""

    def __init__(self, gate: Any) -> None:
        super().__init__(gate)
        self.tick = 0.0
        self.ran: list[Hashable] = []
        self._monotonic = lambda: self.tick

    def places_taken(self) -> int:
        return sum(line.flying for line in self._lines.values())

    def _run(self, flight: Any) -> None:
        self.ran.append(flight.fetch.name)
        super()._run(flight)


@pytest.fixture
def line(gate: Gate) -> Line:
    return Line(gate)


def test_no_more_fly_than_there_are_places(line: Line, gate: Gate) -> None:
    futures = [line._join(_queued(f"q{number}")) for number in range(5)]
    assert gate.arrived.acquire(timeout=LONG)
    assert gate.arrived.acquire(timeout=LONG)
    assert gate.sent == 2
    assert sorted(map(str, line.ran)) == ["q0", "q1"]
    gate.open.set()
    assert [future.result(LONG) for future in futures] == [Answer(at=0.0, status=200)] * 5
    line.rest(LONG)
    assert sorted(map(str, line.ran[2:])) == ["q2", "q3", "q4"]
    assert not line._flying
    assert line.places_taken() == 0


def test_they_get_places_in_the_order_in_which_they_came(line: Line, gate: Gate) -> None:
    one = Queue(name="endpoint", places=1, length=9)
    futures = [line._join(_queued(f"q{number}", queue=one)) for number in range(6)]
    gate.open.set()
    for future in futures:
        future.result(LONG)
    assert line.ran == [f"q{number}" for number in range(6)]


def test_one_in_line_is_joined_like_one_that_flies(line: Line, gate: Gate) -> None:
    flying, waiting = line._join(_queued("a")), [line._join(_queued(name)) for name in ("b", "c")]
    assert line._join(_queued("a")) is flying
    assert [line._join(_queued(name)) for name in ("b", "c")] == waiting
    gate.open.set()
    for future in (flying, *waiting):
        future.result(LONG)
    assert gate.sent == 3


def test_a_line_that_is_full_turns_others_away_at_once(line: Line, gate: Gate) -> None:
    futures = [line._join(_queued(f"q{number}")) for number in range(5)]
    assert line.wait(_queued("too many")) is None
    assert asyncio.run(line.wait_async(_queued("too many"))) is None
    assert "too many" not in line._flying
    gate.open.set()
    for future in futures:
        assert future.result(LONG) is not None
    assert line.wait(_queued("too many")) is not None


def test_those_whose_waiters_have_gone_are_passed_over(line: Line, gate: Gate) -> None:
    one = Queue(name="endpoint", places=1, length=9)
    first = line._join(_queued("first", queue=one))
    stale = [line._join(_queued(f"s{number}", queue=one, patience=5)) for number in range(3)]
    line.tick = 4.0
    later = line._join(_queued("later", queue=one, patience=5))
    line.tick = 5.0
    gate.open.set()
    assert first.result(LONG) is not None
    assert [future.result(LONG) for future in stale] == [None] * 3
    assert later.result(LONG) is not None
    line.rest(LONG)
    assert line.ran == ["first", "later"]
    assert not line._flying
    assert line.places_taken() == 0


def test_lines_are_apart_and_keys_stand_in_none(line: Line, gate: Gate) -> None:
    one = [Queue(name=name, places=1, length=1) for name in ("a", "b")]
    futures = [line._join(_queued(f"{queue.name}{number}", queue=queue)) for queue in one for number in range(2)]
    futures += [line._join(_fetch(steps=_any_time, name=f"keys{number}")) for number in range(3)]
    for _ in range(5):
        assert gate.arrived.acquire(timeout=LONG)
    assert sorted(map(str, line.ran)) == ["a0", "b0", "keys0", "keys1", "keys2"]
    gate.open.set()
    for future in futures:
        future.result(LONG)


def test_a_bug_in_one_gives_its_place_to_the_next(line: Line, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: float) -> Steps:
        yield REQUEST
        raise ZeroDivisionError

    one = Queue(name="endpoint", places=1, length=9)
    bad = Fetch(name="bad", steps=broken, landed=lambda: None, patience=LONG, limit=LONG, queue=one)
    with caplog.at_level(logging.ERROR, "tokenguard"):
        futures = [line._join(bad), line._join(_queued("good", queue=one))]
        gate.open.set()
        assert futures[0].result(LONG) is None
        assert futures[1].result(LONG) is not None
        line.rest(LONG)
    assert line.places_taken() == 0


def test_what_steps_return_is_the_answer_of_all_who_wait(line: Line, gate: Gate) -> None:
    def told(_: float) -> Steps:
        answer = yield REQUEST
        return Answer(at=1.0, status=answer.status + 4)

    gate.open.set()
    fetch = Fetch(name="t", steps=told, landed=lambda: None, patience=LONG, limit=LONG, queue=QUEUED)
    assert line.wait(fetch) == Answer(at=1.0, status=204)
    assert asyncio.run(line.wait_async(fetch)) == Answer(at=1.0, status=204)
    assert trio.run(line.wait_async, fetch) == Answer(at=1.0, status=204)


def test_without_threads_whoever_waits_flies_it(line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.open.set()
    monkeypatch.setattr(threading.Thread, "start", _no_threads)
    for name in ("a", "b", "c"):
        assert line.wait(_queued(name)) is not None
    assert line.places_taken() == 0
    assert not line._flying


def test_beside_requests_one_without_a_thread_gives_its_place_back(
    line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", _no_threads)
    for _ in range(5):
        line.start(_queued("a"))
    assert gate.sent == 0
    assert line.places_taken() == 0


def test_a_signal_at_the_start_gives_the_place_back(line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                line.wait(_queued("a"))
    assert line.places_taken() == 0
    gate.open.set()
    assert line.wait(_queued("a")) is not None


def test_a_lost_one_in_line_is_replaced(line: Line, gate: Gate) -> None:
    one = Queue(name="endpoint", places=1, length=9)
    first = line._join(_queued("first", queue=one))
    lost = line._join(_queued("second", queue=one, patience=5, limit=6))
    line.tick = 6.0
    again = line._join(_queued("second", queue=one, patience=5, limit=6))
    assert again is not lost
    gate.open.set()
    assert first.result(LONG) is not None
    assert lost.result(LONG) is None
    assert again.result(LONG) is not None
    line.rest(LONG)
    assert not line._flying


def test_after_a_fork_all_places_are_free(line: Line, gate: Gate) -> None:
    for number in range(5):
        line._join(_queued(f"q{number}"))
    line.after_fork()
    assert line.places_taken() == 0
    gate.open.set()
    assert line.wait(_queued("q0")) is not None


def test_a_signal_at_the_start_loses_nobody_who_stands_in_line(
    line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Queue(name="endpoint", places=1, length=9)
    behind: list[Future[Any]] = []

    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if behind:
            start(thread)
            return
        behind.append(Future())
        behind[0] = line._join(_queued("behind", queue=one))  # another thread came in between
        raise KeyboardInterrupt

    gate.open.set()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.wait(_queued("a", queue=one))
    assert behind[0].result(LONG) is not None
    assert line.wait(_queued("next", queue=one)) is not None
    line.rest(LONG)
    assert line.places_taken() == 0


def test_signals_one_after_the_other_give_the_place_back(
    line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Queue(name="endpoint", places=1, length=9)
    behind: list[Future[Any]] = []

    def interrupted(_: threading.Thread) -> None:
        if not behind:
            behind.append(Future())
            behind[0] = line._join(_queued("behind", queue=one))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.wait(_queued("a", queue=one))
    assert behind[0].result(0) is None
    assert line.places_taken() == 0


def test_a_place_of_before_a_fork_is_nobodys(line: Line, gate: Gate) -> None:
    future = line._join(_queued("a"))
    assert gate.arrived.acquire(timeout=LONG)
    line.after_fork()
    gate.open.set()
    future.result(LONG)
    assert line.wait(_queued("b")) is not None
    assert line.places_taken() == 0


def test_one_that_is_interrupted_inline_gives_its_place_back(
    line: Line, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Request) -> Answer:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_threads)
        patch.setattr(gate, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.wait(_queued("a"))
    assert line.places_taken() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_whose_listener_ends_the_thread_gives_its_place_back(line: Line, gate: Gate) -> None:
    def landed() -> None:
        raise SystemExit  # on_event may call sys.exit(): no Exception, so nobody stops it

    gate.open.set()
    fetch = Fetch(name="a", steps=_any_time, landed=landed, patience=LONG, limit=LONG, queue=QUEUED)
    assert line.wait(fetch) is not None
    line.rest(LONG)
    assert line.places_taken() == 0


def test_of_a_line_in_which_nobody_stands_nothing_is_kept(line: Line, gate: Gate) -> None:
    # Tenants come and go: each has an introspector of its own.
    gate.open.set()
    for number in range(100):
        line.wait(_queued("a", queue=Queue(name=f"tenant-{number}", places=1, length=1)))
    line.rest(LONG)
    assert not line._lines
