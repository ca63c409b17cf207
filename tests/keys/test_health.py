"""`warm_up`, `ready` and `health()` in each state of an issuer, and with several issuers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
import trio

from tests.forge import GOOD_KEYS, ISSUER
from tests.keys.stage import Stage, Turned, fetching, settle
from tokenguard import Issuer, TokenValidator, Unavailable
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

WarmUp = Callable[..., None]


def _sync(validator: TokenValidator, timeout: float = 10.0) -> None:
    validator.warm_up(timeout)


def _asyncio(validator: TokenValidator, timeout: float = 10.0) -> None:
    asyncio.run(validator.warm_up_async(timeout))


def _trio(validator: TokenValidator, timeout: float = 10.0) -> None:
    trio.run(validator.warm_up_async, timeout)


@pytest.fixture(params=[_sync, _asyncio, _trio], ids=["sync", "asyncio", "trio"])
def warm_up(request: pytest.FixtureRequest) -> WarmUp:
    found: WarmUp = request.param
    return found


class TestOneIssuer:
    def test_cold_it_is_not_ready_and_nothing_has_happened(self, stage: Stage, issuer: LocalIssuer) -> None:
        assert stage.health == {"state": "cold", "key_ids": [], "age": None, "next_refresh": 0, "last_error": None}
        assert not stage.validator.ready
        assert not issuer.requests

    def test_warmed_up_it_is_fresh_and_ready(self, stage: Stage, issuer: LocalIssuer, warm_up: WarmUp) -> None:
        warm_up(stage.validator)
        health = stage.health
        assert 240 <= health.pop("next_refresh") <= 270
        assert health == {"state": "fresh", "key_ids": [f"'{issuer.kid()}'"], "age": 0, "last_error": None}
        assert stage.validator.ready
        warm_up(stage.validator)
        assert stage.fetched == 1

    def test_stale_it_is_ready_and_says_why(self, stage: Stage, issuer: LocalIssuer, warm_up: WarmUp) -> None:
        token = stage.warm()
        issuer.fail(Fault.SERVER_ERROR)
        stage.tick.now += 290
        stage.status(token)
        settle()
        stage.tick.now += 20
        health = stage.health
        assert (health["state"], health["age"]) == ("stale", 310)
        assert health["last_error"].endswith("status 500")
        assert stage.validator.ready
        warm_up(stage.validator)  # nothing to do: it can serve

    def test_down_it_is_neither(self, stage: Stage, issuer: LocalIssuer, warm_up: WarmUp) -> None:
        stage.warm()
        issuer.fail(Fault.SERVER_ERROR)
        stage.tick.now += 3900
        assert stage.health["state"] == "down"
        assert not stage.validator.ready
        with pytest.raises(Unavailable, match="status 500") as caught:
            warm_up(stage.validator)
        assert issuer.url in caught.value.detail
        assert caught.value.retry_after == 1
        assert stage.health["key_ids"] == [f"'{issuer.kid()}'"]  # what it has, though too old to serve
        issuer.recover()
        stage.tick.now += 1
        warm_up(stage.validator)
        assert stage.validator.ready

    def test_never_reached_it_is_down_and_tried_again_when_its_time_has_come(
        self, stage: Stage, issuer: LocalIssuer, warm_up: WarmUp
    ) -> None:
        issuer.down()
        for _ in range(3):
            with pytest.raises(Unavailable, match="ConnectError"):
                warm_up(stage.validator)
        assert stage.health["state"] == "down"
        issuer.up()
        stage.tick.now += 1
        warm_up(stage.validator)
        assert stage.health["last_error"] is None

    def test_it_waits_no_longer_than_told_and_the_fetch_goes_on(
        self, stages: Callable[..., Stage], issuer: LocalIssuer, warm_up: WarmUp
    ) -> None:
        stage = stages(connect_timeout=20, total_timeout=20, patience=20)
        issuer.fail(Fault.HANG)
        with pytest.raises(Unavailable, match="did not come in time"):
            warm_up(stage.validator, 0.01)
        assert stage.health["state"] == "cold"
        assert fetching()
        issuer.recover()
        settle()
        assert stage.validator.ready

    def test_health_is_fit_for_json(self, stage: Stage) -> None:
        assert json.loads(json.dumps(stage.validator.health()))
        stage.warm()
        assert json.loads(json.dumps(stage.validator.health())) == stage.validator.health()

    def test_asking_for_it_fetches_nothing(self, stage: Stage, issuer: LocalIssuer) -> None:
        stage.warm()
        for _ in range(100):
            stage.tick.now += 100
            stage.validator.health()
            assert stage.validator.ready in (True, False)
        assert not issuer.requests


class TestSeveral:
    @pytest.fixture
    def other(self) -> Iterator[LocalIssuer]:
        with LocalIssuer(algorithms=("EdDSA",), path="/other") as other:
            yield other

    @pytest.fixture
    def validator(self, issuer: LocalIssuer, other: LocalIssuer) -> Iterator[TokenValidator]:
        configured = Issuer(ISSUER, jwks={"keys": GOOD_KEYS})
        with TokenValidator(
            issuer.url, other.url, configured, audience=issuer.audience, monotonic=Turned()
        ) as validator:
            yield validator

    def test_all_are_warmed_up_side_by_side(
        self, issuer: LocalIssuer, other: LocalIssuer, validator: TokenValidator, warm_up: WarmUp
    ) -> None:
        for each in (issuer, other):
            each.fail(Fault.HANG)
        with pytest.raises(Unavailable):
            warm_up(validator, 0.01)
        for each, path in ((issuer, ""), (other, "/other")):
            each.wait_for_requests(f"/.well-known/oauth-authorization-server{path}")
            each.recover()
        settle()
        assert validator.ready
        assert [health["state"] for health in validator.health().values()] == ["fresh"] * 3

    def test_one_that_is_down_is_named_and_the_others_serve(
        self, issuer: LocalIssuer, other: LocalIssuer, validator: TokenValidator, warm_up: WarmUp
    ) -> None:
        other.down()
        with pytest.raises(Unavailable, match="ConnectError") as caught:
            warm_up(validator)
        assert caught.value.detail.startswith(other.url)
        assert not validator.ready
        assert {url: health["state"] for url, health in validator.health().items()} == {
            issuer.url: "fresh",
            other.url: "down",
            ISSUER: "fresh",
        }
        assert validator.validate(issuer.mint()).issuer == issuer.url
        with pytest.raises(Unavailable):
            validator.validate(other.mint(audience=issuer.audience))

    def test_configured_keys_are_always_fresh(self, issuer: LocalIssuer) -> None:
        clock = Turned()
        configured = Issuer(ISSUER, jwks={"keys": GOOD_KEYS})
        with TokenValidator(issuer.url, configured, audience=issuer.audience, monotonic=clock) as validator:
            validator.warm_up(10)
            for clock.now in (0.0, 1e9):
                health = validator.health()[ISSUER]
                assert (health["state"], health["next_refresh"]) == ("fresh", None)
                assert len(health["key_ids"]) == len(GOOD_KEYS)
            assert validator.health()[issuer.url]["state"] == "down"  # what was fetched is that old by now
