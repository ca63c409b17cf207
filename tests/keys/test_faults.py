"""Each way in which an issuer can fail: a cold start is 503, known keys serve on, and all is well once it is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from tests.keys.stage import Stage, settle
from tokenguard import Unavailable
from tokenguard.events import DiscoveryFailed, RefreshFailed
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

Where = Literal["jwks", "metadata"]

SLOW = {Fault.HANG, Fault.DRIP_HEADERS, Fault.DRIP_BODY}
TROUBLES = {
    Fault.SERVER_ERROR: "status 500",
    Fault.TOO_MANY_REQUESTS: "status 429",
    Fault.HANG: "not done within|ReadTimeout",
    Fault.DRIP_HEADERS: "not done within",
    Fault.DRIP_BODY: "not done within",
    Fault.RESET: "ReadError",
    Fault.HTML: "no JSON object",
    Fault.TRUNCATED: "RemoteProtocolError",
    Fault.EMPTY: "no usable key|no metadata",
    Fault.HUGE: "more than 262144 bytes",
    Fault.UNUSABLE: "no usable key",
    Fault.REDIRECT: "status 302",
}
# With `UNUSABLE` the metadata stays right.
CASES = [pytest.param(fault, "jwks", id=f"{fault} keys") for fault in Fault] + [
    pytest.param(fault, "metadata", id=f"{fault} metadata") for fault in Fault if fault is not Fault.UNUSABLE
]


def _open(stages: Callable[..., Stage], fault: Fault) -> Stage:
    deadline = 0.15 if fault in SLOW else 3.0
    return stages(connect_timeout=deadline, total_timeout=deadline, patience=10, metadata_lifetime=200)


@pytest.mark.parametrize(("fault", "on"), CASES)
def test_on_a_cold_start_it_is_503_until_the_issuer_is_back(
    stages: Callable[..., Stage], issuer: LocalIssuer, fault: Fault, on: Where
) -> None:
    stage = _open(stages, fault)
    token = issuer.mint()
    issuer.fail(fault, on=on)
    with pytest.raises(Unavailable, match=TROUBLES[fault]) as caught:
        stage.validator.validate(token)
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) == (7 if fault is Fault.TOO_MANY_REQUESTS else 1)
    assert stage.health["state"] == "down"
    issuer.recover()
    stage.succeed(lambda: stage.status(token) == 200)
    assert stage.health["state"] == "fresh"
    assert not [path for path in issuer.requests if path.startswith("/elsewhere")]


@pytest.mark.parametrize(("fault", "on"), CASES)
def test_known_keys_serve_on_until_the_issuer_is_back(
    stages: Callable[..., Stage], issuer: LocalIssuer, fault: Fault, on: Where
) -> None:
    stage = _open(stages, fault)
    token = stage.warm()
    known = stage.health["key_ids"]
    issuer.fail(fault, on=on)
    stage.tick.now += 290  # the metadata is past its lifetime, the keys are due
    assert stage.status(token) == 200
    settle()
    told = RefreshFailed if on == "jwks" else DiscoveryFailed
    (failed,) = (event for event in stage.events if isinstance(event, told))
    assert failed.trouble == stage.health["last_error"]
    # The keys are fetched from where they were, though the metadata cannot be had.
    assert stage.health["state"] == "fresh"
    assert stage.health["age"] == (290 if on == "jwks" else 0)
    stage.tick.now += 20
    assert stage.health["state"] == ("stale" if on == "jwks" else "fresh")
    assert stage.status(token) == 200
    assert stage.health["key_ids"] == known
    issuer.recover()

    def recovered() -> bool:
        assert stage.status(token) == 200
        settle()
        return stage.health["last_error"] is None

    stage.tick.now += 300
    stage.succeed(recovered)
    assert stage.health["state"] == "fresh"
    assert not [path for path in issuer.requests if path.startswith("/elsewhere")]


def test_who_asks_us_to_wait_is_not_asked_sooner(stage: Stage, issuer: LocalIssuer) -> None:
    issuer.fail(Fault.TOO_MANY_REQUESTS, on="jwks")  # for 7 seconds
    for tick in (0.0, 1.0, 6.9):
        stage.tick.now = tick
        assert stage.status(issuer.mint()) == 503
    assert stage.fetched == 1
    issuer.recover()
    stage.tick.now = 7.0
    assert stage.status(issuer.mint()) == 200


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.EMPTY, Fault.UNUSABLE, Fault.HTML])
def test_after_the_stale_window_it_is_503_and_still_not_401(stage: Stage, issuer: LocalIssuer, fault: Fault) -> None:
    token = stage.warm()
    issuer.fail(fault)
    stage.tick.now += 300 + 3600
    assert stage.status(token) == 503
    assert stage.health["state"] == "down"
    issuer.recover()
    stage.succeed(lambda: stage.status(token) == 200)


def test_an_issuer_that_is_down_for_half_an_hour_is_not_noticed(stage: Stage, issuer: LocalIssuer) -> None:
    token = stage.warm()
    issuer.down()
    for _ in range(30):
        stage.tick.now += 60
        assert stage.status(token) == 200
        settle()
    assert stage.health["state"] == "stale"
    assert "ConnectError" in stage.health["last_error"]
    issuer.up()
    stage.tick.now += 60
    assert stage.status(token) == 200
    settle()
    assert stage.health["state"] == "fresh"
