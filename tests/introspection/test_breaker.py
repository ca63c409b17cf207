"""The life of a circuit breaker, by a fake clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenguard._introspection.breaker import Breaker


class Chance:
    def __init__(self) -> None:
        self.value = 0.0

    def __call__(self) -> float:
        return self.value


@pytest.fixture
def chance() -> Chance:
    return Chance()


@pytest.fixture
def breaker(chance: Chance) -> Breaker:
    return Breaker(failures=3, pause_first=1.0, pause_most=30.0, random=chance)


def _opened(breaker: Breaker, tick: float = 0.0) -> Breaker:
    assert [breaker.failed(tick) for _ in range(3)] == [False, False, True]
    assert breaker.open
    return breaker


def test_closed_it_lets_all_pass(breaker: Breaker) -> None:
    assert not breaker.open
    assert breaker.wait(0.0) == 0.0
    assert all(breaker.enter(0.0) for _ in range(100))
    assert breaker.succeeded() is False


def test_failures_in_a_row_open_it(breaker: Breaker) -> None:
    _opened(breaker)
    assert breaker.wait(0.0) == 1.0
    assert not breaker.enter(0.0)
    assert not breaker.enter(0.999)


def test_an_answer_between_them_starts_the_count_anew(breaker: Breaker) -> None:
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        assert breaker.succeeded() is False
    assert not breaker.open


def test_after_the_pause_one_probes_and_the_others_wait_on(breaker: Breaker) -> None:
    _opened(breaker)
    assert breaker.wait(1.0) == 0.0
    assert [breaker.enter(1.0) for _ in range(5)] == [True, False, False, False, False]
    assert breaker.wait(1.0) == 1.0


def test_a_probe_that_succeeds_closes_it(breaker: Breaker) -> None:
    _opened(breaker).enter(1.0)
    assert breaker.succeeded() is True
    assert not breaker.open
    assert breaker.wait(1.0) == 0.0
    assert breaker.failed(1.0) is False  # and it takes three again
    assert breaker.succeeded() is False


def test_each_probe_that_fails_doubles_the_pause_up_to_a_bound(breaker: Breaker) -> None:
    _opened(breaker)
    tick, pauses = 1.0, []
    for _ in range(8):
        assert breaker.enter(tick)
        assert breaker.failed(tick)
        pauses.append(breaker.wait(tick))
        tick += pauses[-1]
    assert pauses == [2, 4, 8, 16, 30, 30, 30, 30]


def test_a_long_outage_overflows_nothing(breaker: Breaker) -> None:
    _opened(breaker)
    tick = 1.0
    for _ in range(2000):
        assert breaker.enter(tick)
        breaker.failed(tick)
        tick += 30.0
    assert breaker.wait(tick - 30.0) == 30.0


def test_a_probe_that_is_never_heard_of_makes_way_for_another(breaker: Breaker) -> None:
    _opened(breaker)
    assert breaker.enter(1.0)
    assert not breaker.enter(1.999)
    assert breaker.enter(2.0)
    assert breaker.succeeded()


def test_failures_of_calls_under_way_when_it_opened_prolong_nothing(breaker: Breaker) -> None:
    _opened(breaker)
    for _ in range(30):
        assert breaker.failed(0.5)
    assert breaker.wait(0.5) == 0.5
    assert breaker.enter(1.0)


def test_the_pause_is_left_to_chance_by_a_quarter(breaker: Breaker, chance: Chance) -> None:
    chance.value = 1.0
    _opened(breaker)
    assert breaker.wait(0.0) == 0.75


def test_of_many_threads_one_probes(breaker: Breaker) -> None:
    _opened(breaker)
    together = threading.Barrier(16)

    def enter(_: int) -> bool:
        together.wait()
        return breaker.enter(5.0)

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(enter, range(16))) == 1


def test_after_a_fork_a_held_lock_holds_nobody(breaker: Breaker) -> None:
    held = breaker._lock
    with held:
        breaker.after_fork()
        _opened(breaker)
