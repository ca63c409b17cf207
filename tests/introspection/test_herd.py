"""The same token at the same time: one call for all, whatever they wait on; and calls at a time are bounded."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import trio

from tests.introspection.stage import ID, JWT, OPAQUE, OTHER, OTHER_ENDPOINT, Clock, Server, active, asked, issuer
from tokenguard import AccessToken, InvalidToken, Reason, RequestRefused, TokenValidator, Unavailable
from tokenguard._fetch import Answer, Fetch

LONG = 300.0  # seconds: for what must happen, on the slowest of machines
MANY = 1000
ON: dict[str, Any] = {}
OFF: dict[str, Any] = {"lifetime": 0, "inactive_lifetime": 0}
REVOKED = {"active": False}


class Gate(Server):
    """Answers once it is opened; counts who waits, and how many calls are under way at most."""

    def __init__(self, tell: Callable[[str], Any] = lambda _: active()) -> None:
        super().__init__(self._held)
        self.told = tell
        self.open = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.joined = threading.Semaphore(0)
        self.under_way = self.most = 0
        self._lock = threading.Lock()

    def _held(self, token: str) -> Any:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.arrived.release()
        assert self.open.wait(LONG)
        with self._lock:
            self.under_way -= 1
        return self.told(token)

    def counted(self, options: dict[str, Any], **more: Any) -> TokenValidator:
        # The gate may be held for long: neither the call nor those who wait for it are in a hurry.
        patient = {"total_timeout": LONG, "patience": LONG, **options}
        validator = self.validator(issuer(introspection=asked(**patient)), **more)
        join = validator._flights._join

        def counting(fetch: Fetch, *, beside: bool = False) -> Future[Answer | None]:
            future = join(fetch, beside=beside)
            self.joined.release()
            return future

        validator._flights._join = counting  # type: ignore[method-assign]
        return validator

    def open_after(self, count: int) -> None:
        for _ in range(count):
            assert self.joined.acquire(timeout=LONG)
        self.open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(params=[ON, OFF], ids=["caches on", "caches off"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def _threads(count: int, run: Callable[[], Any]) -> list[threading.Thread]:
    size = threading.stack_size(256 * 1024)
    try:
        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(size)
    return threads


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def _verdict(validator: TokenValidator, token: str, into: list[str]) -> None:
    try:
        into.append(str(validator.validate(token).subject))
    except RequestRefused as refused:
        into.append(str(refused.reason))


@pytest.mark.parametrize(("said", "verdict"), [(active(), "user-1"), (REVOKED, "inactive")])
def test_a_thousand_threads(gate: Gate, options: dict[str, Any], said: Any, verdict: str) -> None:
    gate.told = lambda _: said
    seen: list[str] = []
    with gate.counted(options) as validator:
        threads = _threads(MANY, lambda: _verdict(validator, OPAQUE, seen))
        gate.open_after(MANY)
        _join(threads)
    assert seen == [verdict] * MANY
    assert gate.asked == [OPAQUE]


def test_a_thousand_tasks_of_asyncio(gate: Gate, options: dict[str, Any]) -> None:
    async def many(validator: TokenValidator) -> list[AccessToken]:
        waiting = asyncio.gather(*(validator.validate_async(OPAQUE) for _ in range(MANY)))
        await asyncio.to_thread(gate.open_after, MANY)
        return await waiting

    with gate.counted(options) as validator:
        tokens = asyncio.run(many(validator))
    assert {token.subject for token in tokens} == {"user-1"}
    assert gate.asked == [OPAQUE]


def test_a_thousand_tasks_of_trio(gate: Gate, options: dict[str, Any]) -> None:
    seen: list[str | None] = []

    async def one(validator: TokenValidator) -> None:
        seen.append((await validator.validate_async(OPAQUE)).subject)

    async def many(validator: TokenValidator) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(MANY):
                nursery.start_soon(one, validator)
            await trio.to_thread.run_sync(gate.open_after, MANY)

    with gate.counted(options) as validator:
        trio.run(many, validator)
    assert seen == ["user-1"] * MANY
    assert gate.asked == [OPAQUE]


def test_threads_and_loops_at_once(gate: Gate, options: dict[str, Any]) -> None:
    async def tasks(validator: TokenValidator) -> None:
        await asyncio.gather(*(validator.validate_async(OPAQUE) for _ in range(100)))

    async def trio_tasks(validator: TokenValidator) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(validator.validate_async, OPAQUE)

    seen: list[str] = []
    with gate.counted(options) as validator, ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, tasks(validator)) for _ in range(2)]
        loops.append(pool.submit(trio.run, trio_tasks, validator))
        threads = _threads(100, lambda: _verdict(validator, OPAQUE, seen))
        gate.open_after(400)
        for loop in loops:
            loop.result(LONG)
        _join(threads)
    assert seen == ["user-1"] * 100
    assert gate.asked == [OPAQUE]


@pytest.mark.parametrize("said", [active(), REVOKED])
def test_however_they_come_it_is_one_call_while_it_is_remembered(said: Any) -> None:
    """Some look before the answer lands, some after, some in between."""
    for _ in range(10):
        server, seen, together = Server(lambda _: said), list[str](), threading.Barrier(30)
        with server.validator() as validator:

            def run(validator: TokenValidator = validator, seen: list[str] = seen, start: Any = together) -> None:
                start.wait(LONG)
                _verdict(validator, OPAQUE, seen)

            _join(_threads(30, run))
        assert len(set(seen)) == 1
        assert server.asked == [OPAQUE]


def test_a_jwt_that_has_to_be_confirmed_is_one_call_too(gate: Gate) -> None:
    seen: list[str] = []
    with gate.counted({**OFF, "policy": "always"}) as validator:
        threads = _threads(100, lambda: _verdict(validator, JWT, seen))
        gate.open_after(100)
        _join(threads)
    assert seen == ["user-1"] * 100
    assert gate.asked == [JWT]


def test_a_cancelled_waiter_takes_nothing_from_the_others(gate: Gate) -> None:
    async def one_gives_up(validator: TokenValidator) -> str | None:
        leaver = asyncio.create_task(validator.validate_async(OPAQUE))
        stayer = asyncio.create_task(validator.validate_async(OPAQUE))
        for _ in range(2):
            assert await asyncio.to_thread(gate.joined.acquire, timeout=LONG)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        gate.open.set()
        return (await stayer).subject

    with gate.counted(ON) as validator:
        assert asyncio.run(one_gives_up(validator)) == "user-1"
    assert gate.asked == [OPAQUE]


def test_whoever_waits_longer_than_its_patience_gets_503(gate: Gate) -> None:
    with gate.counted({"patience": 0.01}) as validator:
        for validate in (validator.validate, lambda token: asyncio.run(validator.validate_async(token))):
            with pytest.raises(Unavailable, match="no answer in time") as caught:
                validate(OPAQUE)
            assert caught.value.reason is Reason.INTROSPECTION_UNAVAILABLE
        gate.open.set()
        validator._flights.rest(LONG)
        assert validator.validate(OPAQUE).subject == "user-1"  # it came in the end, and was remembered
    assert gate.asked == [OPAQUE]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_patience_of_a_request_is_for_all_that_it_waits_for(way: str) -> None:
    clock, waits = Clock(), list[float]()

    def tell(token: str) -> dict[str, Any]:
        clock.tick += 3
        return REVOKED

    third = "https://third.example.com"
    both = issuer(OTHER, asked(endpoint=OTHER_ENDPOINT)), issuer(third, asked(endpoint=f"{third}/introspect"))
    server = Server(tell)
    with server.validator(issuer(), *both, select=lambda _: (ID, OTHER, third), clock=clock) as validator:
        flights = validator._flights
        wait, wait_async = flights.wait, flights.wait_async

        def noted(fetch: Fetch, patience: float | None = None) -> Answer | None:
            waits.append(patience or 0)
            return wait(fetch, LONG)

        async def noted_async(fetch: Fetch, patience: float | None = None) -> Answer | None:
            waits.append(patience or 0)
            return await wait_async(fetch, LONG)

        flights.wait, flights.wait_async = noted, noted_async  # type: ignore[method-assign]
        with pytest.raises(InvalidToken):
            validator.validate(OPAQUE) if way == "sync" else asyncio.run(validator.validate_async(OPAQUE))
    assert len(server.asked) == 3
    assert waits == [5, 2, 0]


def test_at_most_32_calls_are_under_way_and_the_rest_wait(gate: Gate) -> None:
    # I15
    seen: list[str] = []
    numbers = iter(range(200))
    with gate.counted(ON) as validator:
        threads = _threads(200, lambda: _verdict(validator, f"token-{next(numbers)}", seen))
        for _ in range(32):
            assert gate.arrived.acquire(timeout=LONG)
        gate.open_after(200)
        _join(threads)
    assert seen == ["user-1"] * 200
    assert gate.most == 32
    assert len(gate.asked) == len(set(gate.asked)) == 200


def test_those_who_waited_too_long_in_line_cost_no_call_and_get_503(gate: Gate) -> None:
    clock, seen = Clock(), list[str]()
    numbers = iter(range(5))
    with gate.counted({"in_flight": 1}, clock=clock) as validator:
        threads = _threads(5, lambda: _verdict(validator, f"token-{next(numbers)}", seen))
        for _ in range(5):
            assert gate.joined.acquire(timeout=LONG)
        clock.tick = LONG
        gate.open.set()
        _join(threads)
    assert sorted(seen) == ["introspection_unavailable"] * 4 + ["user-1"]
    assert len(gate.asked) == 1


def test_a_line_that_is_too_long_is_503_at_once(gate: Gate) -> None:
    with gate.counted({"in_flight": 1}) as validator:
        numbers = iter(range(33))
        threads = _threads(33, lambda: _verdict(validator, f"token-{next(numbers)}", []))
        for _ in range(33):
            assert gate.joined.acquire(timeout=LONG)
        with pytest.raises(Unavailable) as caught:
            validator.validate("one-more")
        assert caught.value.retry_after == 1
        gate.open.set()
        _join(threads)
        assert "one-more" not in gate.asked


def test_the_metadata_is_fetched_once_for_all(gate: Gate) -> None:
    fetched: list[str] = []
    hold = threading.Event()

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            fetched.append(str(request.url))
            assert hold.wait(LONG)
            return httpx.Response(
                200, json={"issuer": "https://as.example.com", "introspection_endpoint": "https://as.example.com/i"}
            )
        return Server.respond(gate, request)

    gate.respond = respond  # type: ignore[method-assign]
    gate.open.set()
    numbers, seen = iter(range(50)), list[str]()
    with gate.counted({"endpoint": None}) as validator:
        threads = _threads(50, lambda: _verdict(validator, f"token-{next(numbers)}", seen))
        for _ in range(50):
            assert gate.joined.acquire(timeout=LONG)
        hold.set()
        _join(threads)
    assert seen == ["user-1"] * 50
    assert len(fetched) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_asks_for_itself(gate: Gate) -> None:
    gate.open.set()
    with gate.counted(ON) as validator:
        validator.validate("known")
        validator._flights.rest(LONG)
        flying = validator._flights
        flying._lines.clear()
        validator._after_fork()  # what a child does first
        assert validator.validate("known").subject == "user-1"
        assert validator.validate("new").subject == "user-1"
        with pytest.raises(InvalidToken):
            validator.validate("no token")
    assert gate.asked == ["known", "new"]
