"""A thousand requests at once: one fetch, and nobody waits who has a key."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import trio

from tests.keys.stage import LONG, Stage, Turned, Validate, at_once, fetching, settle
from tokenguard import InvalidToken, Issuer, RequestRefused, TokenValidator, Unavailable
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

MANY = 1000
PATIENT = {"connect_timeout": LONG, "total_timeout": LONG, "patience": LONG}

# Past the middle of the last minute (refresh ahead), at the very expiry, and past it.
MOMENTS = [pytest.param(tick, id=name) for tick, name in ((275.0, "ahead"), (300.0, "expiry"), (599.0, "late"))]


def _must_hang() -> None:
    """The fetch has not come back: whoever was answered before this line, did not wait for it."""
    assert len(fetching()) == 1


class TestKnownKidsDoNotWait:
    @pytest.fixture
    def hanging(self, stages: Callable[..., Stage], issuer: LocalIssuer) -> Stage:
        """Keys are known and due, and whatever fetches them hangs."""
        stage = stages(**PATIENT)
        stage.warm()
        issuer.fail(Fault.HANG)
        return stage

    @pytest.mark.parametrize("tick", MOMENTS)
    def test_a_request_that_finds_the_keys_due_is_answered_while_they_are_fetched(
        self, hanging: Stage, validate: Validate, tick: float
    ) -> None:
        token = hanging.issuer.mint()
        hanging.tick.now += tick
        assert validate(hanging.validator, token).subject == "user-1"
        hanging.issuer.wait_for_requests("/jwks")
        assert validate(hanging.validator, token).subject == "user-1"
        _must_hang()

    def test_nor_does_one_that_comes_while_an_unknown_kid_has_them_fetched(
        self, hanging: Stage, validate: Validate
    ) -> None:
        stranger = threading.Thread(target=hanging.status, args=[hanging.issuer.mint(header={"kid": "made-up"})])
        stranger.start()
        hanging.issuer.wait_for_requests("/jwks")
        assert validate(hanging.validator, hanging.issuer.mint()).subject == "user-1"
        _must_hang()
        assert stranger.is_alive()
        hanging.issuer.recover()
        stranger.join()

    @pytest.mark.parametrize("tick", MOMENTS)
    def test_a_thousand_of_one_event_loop_cause_one_fetch(self, hanging: Stage, tick: float) -> None:
        token = hanging.issuer.mint()
        hanging.tick.now += tick

        async def crowd() -> None:
            tokens = await asyncio.gather(*(hanging.validator.validate_async(token) for _ in range(MANY)))
            assert {found.subject for found in tokens} == {"user-1"}

        asyncio.run(crowd())
        hanging.issuer.wait_for_requests("/jwks")
        _must_hang()
        hanging.issuer.recover()
        settle()
        assert hanging.fetched == 1
        assert hanging.health["age"] == 0

    @pytest.mark.parametrize("tick", MOMENTS)
    def test_none_of_them_awaits_anything(self, hanging: Stage, tick: float) -> None:
        token = hanging.issuer.mint()
        hanging.tick.now += tick
        for _ in range(MANY):
            assert at_once(hanging.validator.validate_async(token)).subject == "user-1"
        _must_hang()

    @pytest.mark.parametrize("tick", MOMENTS)
    def test_a_thousand_of_64_threads_cause_one_fetch(self, hanging: Stage, tick: float) -> None:
        token = hanging.issuer.mint()
        hanging.tick.now += tick
        with ThreadPoolExecutor(64) as pool:
            assert set(pool.map(hanging.status, [token] * MANY)) == {200}
        hanging.issuer.wait_for_requests("/jwks")
        _must_hang()
        hanging.issuer.recover()
        settle()
        assert hanging.fetched == 1


class TestColdStart:
    def test_a_thousand_of_one_event_loop_cause_one_fetch(self, stage: Stage, issuer: LocalIssuer) -> None:
        token = issuer.mint()

        async def crowd() -> None:
            await asyncio.gather(*(stage.validator.validate_async(token) for _ in range(MANY)))

        asyncio.run(crowd())
        assert issuer.requests == {"/.well-known/oauth-authorization-server": 1, "/jwks": 1}

    def test_a_thousand_under_trio_cause_one_fetch(self, stage: Stage, issuer: LocalIssuer) -> None:
        token = issuer.mint()

        async def crowd() -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(MANY):
                    nursery.start_soon(stage.validator.validate_async, token)

        trio.run(crowd)
        assert stage.fetched == 1

    def test_a_thousand_of_64_threads_cause_one_fetch(self, stage: Stage, issuer: LocalIssuer) -> None:
        token = issuer.mint()
        with ThreadPoolExecutor(64) as pool:
            assert set(pool.map(stage.status, [token] * MANY)) == {200}
        assert stage.fetched == 1

    def test_a_thousand_threads_cause_one_fetch(self, stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
        stage = stages(**PATIENT)
        token = issuer.mint()
        issuer.fail(Fault.HANG)
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(stage.status(token))) for _ in range(MANY)]
        for thread in threads:
            thread.start()
        issuer.wait_for_requests("/.well-known/oauth-authorization-server")
        assert not statuses
        issuer.recover()
        for thread in threads:
            thread.join()
        assert Counter(statuses) == {200: MANY}
        assert stage.fetched == 1

    def test_a_thousand_at_an_issuer_that_fails_are_503_after_one_fetch(
        self, stage: Stage, issuer: LocalIssuer
    ) -> None:
        token = issuer.mint()
        issuer.fail(Fault.SERVER_ERROR, on="jwks")

        async def crowd() -> list[object]:
            calls = (stage.validator.validate_async(token) for _ in range(MANY))
            return await asyncio.gather(*calls, return_exceptions=True)

        refusals = asyncio.run(crowd())
        assert {type(refused) for refused in refusals} == {Unavailable}
        assert len({id(refused) for refused in refusals}) == MANY  # each has its own
        assert stage.fetched == 1


class TestWaiters:
    def test_each_has_its_own_exception_and_nobody_elses_traceback(self, stage: Stage, issuer: LocalIssuer) -> None:
        token = issuer.mint()
        issuer.fail(Fault.SERVER_ERROR)
        refusals: list[RequestRefused] = []

        def ask() -> None:
            try:
                stage.validator.validate(token)
            except RequestRefused as refused:
                refusals.append(refused)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refusals) == len({id(refused) for refused in refusals}) == 20
        for refused in refusals:
            assert refused.__context__ is None
            assert refused.__cause__ is None

    def test_one_that_is_cancelled_harms_nobody(self, stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
        stage = stages(**PATIENT)
        token = issuer.mint()
        issuer.fail(Fault.HANG)

        async def main() -> None:
            first, second = (asyncio.create_task(stage.validator.validate_async(token)) for _ in range(2))
            await asyncio.to_thread(issuer.wait_for_requests, "/.well-known/oauth-authorization-server")
            first.cancel()  # it was the one that had the keys fetched
            with pytest.raises(asyncio.CancelledError):
                await first
            issuer.recover()
            assert (await second).subject == "user-1"

        asyncio.run(main())
        assert stage.fetched == 1

    def test_nor_does_one_that_is_cancelled_under_trio(self, stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
        stage = stages(**PATIENT)
        token = issuer.mint()
        issuer.fail(Fault.HANG)
        subjects: list[str | None] = []

        async def stay() -> None:
            subjects.append((await stage.validator.validate_async(token)).subject)

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as leaving:
                        leaving.start_soon(stage.validator.validate_async, token)
                        nursery.start_soon(stay)
                        await trio.to_thread.run_sync(
                            issuer.wait_for_requests, "/.well-known/oauth-authorization-server"
                        )
                        scope.cancel()
                issuer.recover()

        trio.run(main)
        assert subjects == ["user-1"]
        assert stage.fetched == 1

    def test_an_event_loop_that_ends_while_it_waits_harms_nobody(
        self, stages: Callable[..., Stage], issuer: LocalIssuer
    ) -> None:
        stage = stages(**PATIENT)
        token = issuer.mint()
        issuer.fail(Fault.HANG)

        async def main() -> None:
            waiting = asyncio.create_task(stage.validator.validate_async(token))
            await asyncio.to_thread(issuer.wait_for_requests, "/.well-known/oauth-authorization-server")
            assert not waiting.done()

        asyncio.run(main())  # cancels what still waits, and closes
        issuer.recover()
        settle()
        assert stage.status(token) == 200
        assert stage.fetched == 1

    def test_each_has_its_own_deadline(
        self, stages: Callable[..., Stage], issuer: LocalIssuer, validate: Validate
    ) -> None:
        stage = stages(**{**PATIENT, "patience": 0.01})
        token = issuer.mint()
        issuer.fail(Fault.HANG)
        for _ in range(2):
            with pytest.raises(Unavailable, match="did not come in time") as caught:
                validate(stage.validator, token)
            assert caught.value.retry_after == 1
        _must_hang()
        issuer.recover()
        settle()
        assert validate(stage.validator, token).subject == "user-1"

    def test_the_callers_own_timeout_holds_too(self, stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
        stage = stages(**PATIENT)
        token = issuer.mint()
        issuer.fail(Fault.HANG)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stage.validator.validate_async(token)

        asyncio.run(main())
        _must_hang()


class Publisher:
    """Answers by hand: with the key set of the moment in which it was asked, and not before it is told to."""

    def __init__(self, issuer: LocalIssuer) -> None:
        self.issuer = issuer
        self.asked = threading.Semaphore(0)
        self.answer = threading.Semaphore(0)
        self.count = 0
        self.client = httpx.Client(transport=httpx.MockTransport(self._respond))

    def _respond(self, _: httpx.Request) -> httpx.Response:
        self.count += 1
        document = self.issuer.jwks()
        self.asked.release()
        assert self.answer.acquire(timeout=LONG)
        return httpx.Response(200, json=document)


def test_a_crowd_whose_key_came_too_late_for_the_fetch_under_way_waits_for_one_more(issuer: LocalIssuer) -> None:
    # A refresh has been answered without the new key, and is still on its way; now come many tokens by that key.
    publisher, tick = Publisher(issuer), Turned()
    with (
        publisher.client,
        TokenValidator(
            Issuer(issuer.url, jwks_uri=issuer.jwks_uri),
            audience=issuer.audience,
            http_client=publisher.client,
            monotonic=tick,
        ) as validator,
    ):
        publisher.answer.release()
        validator.validate(issuer.mint())
        assert publisher.asked.acquire(timeout=LONG)
        tick.now = 290
        validator.validate(issuer.mint())
        assert publisher.asked.acquire(timeout=LONG)
        issuer.rotate()
        new = issuer.mint()

        async def crowd() -> Counter[str]:
            waiting = [asyncio.create_task(validator.validate_async(new)) for _ in range(100)]
            await asyncio.sleep(0)  # a turn of the loop: all wait now
            publisher.answer.release(2)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            return Counter(type(outcome).__name__ for outcome in outcomes)

        assert asyncio.run(crowd()) == {"AccessToken": 100}
        assert publisher.count == 3


def test_one_request_causes_two_fetches_at_most(stage: Stage, issuer: LocalIssuer) -> None:
    with pytest.raises(InvalidToken):
        stage.validator.validate(issuer.mint(header={"kid": "made-up"}))
    assert stage.fetched == 2  # to have any keys; and once more for this one
