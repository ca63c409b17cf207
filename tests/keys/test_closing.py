"""After `close()` nothing is left: no thread, no socket, no warning."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import warnings
from collections.abc import Callable

import pytest

from tests.keys.stage import LONG, Stage, fetching, settle
from tokenguard import TokenValidator, Unavailable
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server


def test_no_thread_is_left_after_a_fetch(stage: Stage, issuer: LocalIssuer) -> None:
    before = set(threading.enumerate())
    stage.warm()
    settle()
    assert not fetching()
    stage.validator.close()
    left = {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)} - before
    for timer in left:  # a cancelled timer ends by itself
        timer.join(LONG)
        assert not timer.is_alive()


def test_closing_cuts_off_a_fetch_that_hangs(stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
    stage = stages(connect_timeout=LONG, total_timeout=LONG, patience=LONG)
    token = stage.warm()
    issuer.fail(Fault.HANG)
    stage.tick.now += 290
    assert stage.status(token) == 200
    issuer.wait_for_requests("/jwks")
    (fetch,) = fetching()
    stage.validator.close()
    fetch.join(LONG / 10)
    assert not fetch.is_alive()
    assert stage.status(token) == 200


def test_no_socket_is_left_and_no_warning(issuer: LocalIssuer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an unclosed socket becomes an unraisable exception, which fails the test
        for fault in (None, Fault.TRUNCATED, Fault.RESET, Fault.HUGE):
            if fault is not None:
                issuer.fail(fault)
            with TokenValidator(issuer.url, audience=issuer.audience) as validator:
                if fault is None:
                    validator.validate(issuer.mint())
                else:
                    with pytest.raises(Unavailable):
                        validator.validate(issuer.mint())
            del validator
            gc.collect()


def test_a_validator_that_nobody_closed_leaves_nothing_either(issuer: LocalIssuer) -> None:
    TokenValidator(issuer.url, audience=issuer.audience).validate(issuer.mint())
    settle()
    gc.collect()
    assert not fetching()


def test_once_closed_nothing_is_fetched_any_more_and_known_keys_serve_on(stage: Stage, issuer: LocalIssuer) -> None:
    token = stage.warm()
    stage.validator.close()
    stage.validator.close()
    for _ in range(10):
        stage.tick.now += 100
        assert stage.status(token) == 200
        settle()
    assert stage.health["last_error"].endswith("the validator is closed")
    assert not issuer.requests
    stage.tick.now += 3600
    assert stage.status(token) == 503


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused_with_the_reason(stage: Stage, way: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match=r"share one between threads, build one per process"):
        way(stage.validator)
