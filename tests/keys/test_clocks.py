"""Lifetimes go by the monotonic clock, `exp` by the wall clock; one that jumps breaks nothing of the other's."""

from __future__ import annotations

import pytest

from tests.keys.stage import Stage, settle
from tokenguard import InvalidToken, Reason
from tokenguard.testing import LocalIssuer

pytestmark = pytest.mark.real_server

HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forth", "back"])
def test_a_wall_clock_that_jumps_leaves_keys_as_they_are(stage: Stage, issuer: LocalIssuer, jump: float) -> None:
    stage.warm()
    lasting = issuer.mint({"iat": 0}, expires_in=3 * HOUR)
    stage.tick.now += 100
    health = stage.health
    stage.wall = jump
    assert stage.status(lasting) == 200
    settle()
    assert stage.health == health
    assert not issuer.requests
    stage.tick.now += 190  # and they are due as ever
    assert stage.status(lasting) == 200
    settle()
    assert stage.fetched == 1


def test_tokens_are_judged_by_the_wall_clock_of_the_moment(stage: Stage, issuer: LocalIssuer) -> None:
    token = stage.warm()
    stage.wall = HOUR
    with pytest.raises(InvalidToken) as caught:
        stage.validator.validate(token)
    assert caught.value.reason is Reason.EXPIRED
    stage.wall = -HOUR
    with pytest.raises(InvalidToken) as caught:
        stage.validator.validate(token)
    assert caught.value.reason is Reason.ISSUED_IN_FUTURE
    stage.wall = 0.0
    assert stage.status(token) == 200
    assert not issuer.requests


def test_a_long_sleep_of_the_machine_costs_one_fetch(stage: Stage, issuer: LocalIssuer) -> None:
    stage.warm()
    stage.tick.now += 12 * HOUR
    stage.wall = 12 * HOUR
    assert stage.health["state"] == "down"
    token = issuer.mint({"iat": 0}, expires_in=24 * HOUR)
    assert stage.status(token) == 200
    assert stage.fetched == 1
