"""A flood of made-up key ids or signatures costs the issuer two fetches in 30 s, and hides no rotation."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.keys.stage import Stage, settle
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

TROUBLES = [None, Fault.SERVER_ERROR, Fault.HANG, Fault.TOO_MANY_REQUESTS]


def _made_up(issuer: LocalIssuer, number: int) -> str:
    return issuer.mint(header={"kid": f"made-up-{number}"})


def _forged(issuer: LocalIssuer, number: int) -> str:
    head, payload, _ = issuer.mint().split(".")
    return f"{head}.{payload}.{number:085}A"


def _flooded(stages: Callable[..., Stage]) -> Stage:
    return stages(connect_timeout=0.2, total_timeout=0.2, patience=0.3)


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_thousand_unknown_kids_in_ten_seconds_cause_two_fetches_at_most(
    stages: Callable[..., Stage], issuer: LocalIssuer, trouble: Fault | None
) -> None:
    stage = _flooded(stages)
    known, begun = stage.warm(), stage.tick.now
    if trouble is not None:
        issuer.fail(trouble)
    for number in range(1000):
        stage.tick.now = begun + number / 100
        assert stage.status(_made_up(issuer, number)) == (401 if trouble is None else 503)
        if number % 50 == 0:
            assert stage.status(known) == 200
    assert 1 <= issuer.requests.total() <= 2


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_nor_do_they_cause_more_all_at_once(
    stages: Callable[..., Stage], issuer: LocalIssuer, trouble: Fault | None
) -> None:
    stage = _flooded(stages)
    known = stage.warm()
    tokens = [_made_up(issuer, number) for number in range(1000)]
    if trouble is not None:
        issuer.fail(trouble)
    with ThreadPoolExecutor(64) as pool:
        statuses = set(pool.map(stage.status, tokens))
    assert statuses <= {401, 503}
    assert stage.status(known) == 200
    settle()
    assert 1 <= issuer.requests.total() <= 2


def test_nor_on_a_cold_start(stage: Stage, issuer: LocalIssuer) -> None:
    for number in range(1000):
        stage.tick.now = number / 100
        assert stage.status(_made_up(issuer, number)) == 401
    assert stage.fetched == 2


def test_nor_do_a_thousand_forged_signatures(stage: Stage, issuer: LocalIssuer) -> None:
    known = stage.warm()
    for number in range(1000):
        stage.tick.now = number / 100
        assert stage.status(_forged(issuer, number)) == 401
        assert stage.status(known) == 200
    assert issuer.requests.total() == 1


def test_nor_both_at_once_for_ten_minutes(stage: Stage, issuer: LocalIssuer) -> None:
    stage.warm()
    asked_at: list[float] = []
    for second in range(600):
        stage.tick.now = float(second)
        for token in (_made_up(issuer, second), _forged(issuer, second)):
            before = stage.fetched
            assert stage.status(token) == 401
            settle()
            if stage.fetched > before:
                asked_at.append(stage.tick.now)
    assert all(third - first >= 30 for first, third in zip(asked_at, asked_at[2:], strict=False))
    assert len(asked_at) <= 40


@pytest.mark.parametrize("forged_too", [False, True], ids=["unknown kids", "and forged signatures"])
@pytest.mark.parametrize("trouble", [None, Fault.SERVER_ERROR, Fault.HANG], ids=str)
def test_a_rotation_during_the_flood_is_seen_within_30_s(
    stages: Callable[..., Stage], issuer: LocalIssuer, trouble: Fault | None, forged_too: bool
) -> None:
    stage = _flooded(stages)
    stage.warm()
    begun = stage.tick.now
    if trouble is not None:
        issuer.fail(trouble)
    rotated_at = seen_at = None
    for fifth in range(250):
        stage.tick.now = begun + fifth / 5
        if fifth == 20:  # it has cost two fetches by now, or hangs in one
            issuer.recover()
            issuer.rotate()
            rotated_at = stage.tick.now
        stage.status(_made_up(issuer, fifth))
        if forged_too:
            stage.status(_forged(issuer, fifth))
        if rotated_at is not None and stage.status(issuer.mint()) == 200:
            seen_at = stage.tick.now
            break
    assert rotated_at is not None
    assert seen_at is not None
    assert seen_at - rotated_at <= 30


def test_a_key_replaced_under_its_kid_is_found_though_forgeries_come_all_the_time(
    stage: Stage, issuer: LocalIssuer
) -> None:
    stage.warm()
    replaced_at = None
    for second in range(90):
        stage.tick.now = float(second)
        stage.status(_forged(issuer, second))
        if second == 10:
            issuer.replace(issuer.kid())
            replaced_at = second
        if replaced_at is not None and stage.status(issuer.mint()) == 200:
            assert second - replaced_at <= 30
            return
    raise AssertionError("it was never found")


def test_a_withdrawn_key_is_refused_after_its_lifetime_and_one_refresh(stage: Stage, issuer: LocalIssuer) -> None:
    withdrawn = issuer.kid()
    token = stage.warm()
    issuer.rotate()
    issuer.withdraw(withdrawn)
    stage.tick.now += 290
    assert stage.status(token) == 200
    settle()
    assert stage.status(token) == 401
    assert stage.status(issuer.mint()) == 200
