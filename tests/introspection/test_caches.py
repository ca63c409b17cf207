"""What is remembered of answers, and how long: facts, never decisions; trouble never (RFC 7662 s4, C33, I16-I18)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.forge import DROP, NOW
from tests.introspection.stage import (
    ENDPOINT,
    INACTIVE,
    JWT,
    OPAQUE,
    Scene,
    active,
    answer,
    asked,
    issuer,
)
from tokenguard import AccessDenied, AccessToken, InvalidToken, Reason, TokenCache
from tokenguard._fetch import Miss


def _always(**options: Any) -> Scene:
    return Scene(issuer(introspection=asked(policy="always", **options)))


class TestActive:
    def test_it_is_remembered_for_a_minute(self) -> None:
        scene = Scene()
        for tick in (0, 1, 30, 59.999):
            scene.tick = tick
            scene.validate()
        assert scene.calls == 1
        scene.tick = 60
        scene.validate()
        assert scene.calls == 2

    def test_no_longer_than_its_exp(self) -> None:
        # I17, C33
        scene = Scene(issuer(leeway=0))
        scene.tells[ENDPOINT] = active(exp=NOW + 20)
        scene.validate()
        scene.tick = 19.999
        scene.validate()
        assert scene.calls == 1
        scene.tells[ENDPOINT] = active(exp=NOW + 600)  # the server has prolonged it
        scene.tick = 20
        scene.validate()
        assert scene.calls == 2

    def test_not_even_where_leeway_would_accept_it(self) -> None:
        scene = Scene(issuer(leeway=60))
        scene.tells[ENDPOINT] = active(exp=NOW + 20)
        scene.validate()
        scene.tick = 21
        scene.validate()
        scene.validate()
        assert scene.calls == 3

    def test_a_revoked_token_is_refused_within_its_lifetime(self) -> None:
        # I18
        scene = Scene()
        scene.validate()
        scene.tells[ENDPOINT] = INACTIVE
        scene.tick = 59
        scene.validate()
        scene.tick = 60
        assert scene.refused().reason is Reason.INACTIVE

    def test_its_lifetime_counts_from_the_answer_and_not_from_when_somebody_hears_of_it(self) -> None:
        # An event loop that hung for a minute must not make it two.
        scene = Scene()
        miss = scene.start()
        heard = scene.fly(miss.fetch)
        scene.tick = 59
        assert not isinstance(miss.resume(heard, scene.now, scene.tick), Miss)
        scene.tells[ENDPOINT] = INACTIVE
        scene.tick = 60
        assert scene.refused().reason is Reason.INACTIVE

    def test_whoever_hears_late_prolongs_nothing_either(self) -> None:
        scene = Scene(issuer(introspection=asked(lifetime=10)))
        miss = scene.start()
        heard = scene.fly(miss.fetch)
        scene.tick = 11  # remembered no more
        assert isinstance(miss.resume(heard, scene.now, scene.tick), AccessToken)
        scene.validate()
        assert scene.calls == 2

    def test_lifetime_is_the_operators(self) -> None:
        scene = Scene(issuer(introspection=asked(lifetime=5)))
        scene.validate()
        scene.tick = 5
        scene.validate()
        assert scene.calls == 2

    def test_zero_remembers_nothing(self) -> None:
        scene = Scene(issuer(introspection=asked(lifetime=0)))
        scene.validate()
        scene.tells[ENDPOINT] = INACTIVE
        assert scene.refused().reason is Reason.INACTIVE
        assert scene.calls == 2

    def test_its_times_are_looked_at_on_each_hit(self) -> None:
        scene = Scene(issuer(leeway=5, introspection=asked(lifetime=3600)))
        scene.tells[ENDPOINT] = active(nbf=NOW + 10, exp=NOW + 100)
        assert scene.refused().reason is Reason.NOT_YET_VALID
        scene.tick = 5
        scene.validate()
        scene.tick = 99
        scene.validate()
        assert scene.calls == 1

    def test_a_clock_that_is_set_right_is_heeded(self) -> None:
        # The wall clock jumps; the monotonic one does not.
        scene = Scene(issuer(leeway=0))
        scene.validate()
        outcome = scene.core.decide(OPAQUE, NOW + 599.9, scene.tick)
        assert isinstance(outcome, AccessToken)
        with pytest.raises(InvalidToken) as caught:
            scene.core.decide(OPAQUE, NOW + 600, scene.tick)
        assert caught.value.reason is Reason.EXPIRED
        assert scene.calls == 1

    def test_checks_are_asked_on_each_hit(self) -> None:
        seen: list[str | None] = []

        def check(token: AccessToken) -> None:
            seen.append(token.subject)
            if len(seen) == 3:
                raise AccessDenied(detail="suspended")

        scene = Scene(issuer(), checks=[check])
        scene.validate()
        scene.validate()
        with pytest.raises(AccessDenied) as caught:
            scene.validate()
        assert (caught.value.issuer, caught.value.client_id) == ("https://as.example.com", "client-1")
        assert scene.calls == 1

    def test_nobody_can_change_what_is_remembered(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = active(org={"ids": [1]})
        scene.validate().to_dict()["org"]["ids"].append(2)
        assert scene.validate().claims["org"]["ids"] == (1,)

    def test_each_text_is_a_token_of_its_own(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = lambda token: active(sub=token)
        for token in ("abc", "abd", "ABC", "abc=", "abc=="):
            assert scene.validate(token).subject == token
            assert scene.validate(token.encode()).subject == token
        assert scene.calls == 5

    def test_memory_is_bounded_in_tokens(self) -> None:
        scene = Scene(issuer(introspection=asked(entries=100)))
        for number in range(1000):
            scene.validate(f"token-{number}")
        assert len(scene.introspector()._active) <= 100
        scene.validate("token-999")
        assert scene.calls == 1000

    def test_and_in_bytes(self) -> None:
        scene = Scene(issuer(introspection=asked(entries=10**6)))
        scene.tells[ENDPOINT] = active(pad="x" * 60_000)
        for number in range(400):
            scene.validate(f"token-{number}")
        assert len(scene.introspector()._active) * 60_000 <= 16 * 1024 * 1024

    def test_many_who_wait_for_one_answer_weigh_as_one(self) -> None:
        # Else one large answer, waited for by a thousand, would evict all others.
        scene = Scene()
        scene.validate("good")
        scene.tells[ENDPOINT] = active(pad="x" * 60_000)
        waiters = [scene.start("large") for _ in range(1000)]
        heard = scene.fly(waiters[0].fetch)
        for miss in waiters:
            miss.resume(heard, scene.now, scene.tick)
        scene.validate("good")
        assert scene.calls == 2


class TestInactive:
    def test_it_is_remembered_for_ten_seconds(self) -> None:
        # I16
        scene = Scene()
        scene.tells[ENDPOINT] = INACTIVE
        for _ in range(1000):
            assert scene.refused().reason is Reason.INACTIVE
        scene.tick = 9.999
        scene.refused()
        assert scene.calls == 1
        scene.tells[ENDPOINT] = active()
        scene.tick = 10
        scene.validate()
        assert scene.calls == 2

    def test_zero_remembers_nothing(self) -> None:
        scene = Scene(issuer(introspection=asked(inactive_lifetime=0)))
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused()
        scene.tells[ENDPOINT] = active()
        scene.validate()

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (active(aud="other"), "wrong_audience"),
            (active(iss="other"), "wrong_issuer"),
            (active(cnf={}), "bound_token"),
            (active(exp="x"), "malformed_claim"),
            (active(exp=NOW - 1000), "expired"),
            (answer(400, {"error": "unsupported_token_type"}), "inactive"),
        ],
    )
    def test_so_is_whatever_may_not_pass_here_with_its_reason(self, said: Any, reason: str) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = said
        for _ in range(100):
            refused = scene.refused()
            assert (refused.reason, refused.issuer) == (reason, "https://as.example.com")
        assert scene.calls == 1

    def test_each_refusal_is_an_exception_of_its_own(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused()
        one, other = scene.refused(), scene.refused()
        assert one is not other
        assert one.__context__ is None

    def test_junk_evicts_no_good_token_and_opens_no_breaker(self) -> None:
        # I15
        scene = Scene(issuer(introspection=asked(entries=64)))
        scene.tells[ENDPOINT] = lambda token: active() if token.startswith("good") else INACTIVE
        for number in range(8):
            scene.validate(f"good-{number}")
        calls = scene.calls
        for number in range(10_000):
            scene.refused(f"junk-{number}")
        assert scene.calls == calls + 10_000  # each one, once
        assert len(scene.introspector()._refused) <= 64
        for number in range(8):
            scene.validate(f"good-{number}")
        assert scene.calls == calls + 10_000
        assert scene.introspector().health(scene.tick)["state"] == "ready"

    def test_junk_that_no_token_can_be_costs_nothing(self) -> None:
        scene = Scene()
        for number in range(10_000):
            scene.refused(f"junk {number}")
        assert scene.requests == []
        assert len(scene.introspector()._refused) == 0


class TestAlways:
    """The cache of proven tokens and that of answers do not add up: no revoked token passes after a minute."""

    def test_a_jwt_is_remembered_as_long_as_its_answer(self) -> None:
        scene = _always()
        for tick in (0, 30, 59.9):
            scene.tick = tick
            scene.validate(JWT)
        assert scene.calls == 1
        scene.tells[ENDPOINT] = INACTIVE
        scene.tick = 60
        assert scene.refused(JWT).reason is Reason.INACTIVE

    def test_though_it_was_proven_late_in_that_time(self) -> None:
        # Proven at 0, let go by the cache of proven tokens, proven again at 59: still nothing beyond 60.
        scene = _always()
        scene.validate(JWT)
        assert scene.core._proofs is not None
        scene.core._proofs._young.clear()
        scene.tick = 59
        scene.validate(JWT)
        assert scene.calls == 1
        scene.tells[ENDPOINT] = INACTIVE
        scene.tick = 60
        assert scene.refused(JWT).reason is Reason.INACTIVE

    @pytest.mark.parametrize(("proofs", "answers", "ends"), [(5, 60, 5), (60, 5, 5), (600, 600, 300)])
    def test_the_shorter_one_counts(self, proofs: float, answers: float, ends: float) -> None:
        scene = Scene(
            issuer(leeway=0, introspection=asked(policy="always", lifetime=answers)),
            token_cache=TokenCache(lifetime=proofs),
        )
        scene.tells[ENDPOINT] = active(exp=NOW + 300)
        scene.validate(JWT)
        assert scene.core._proofs is not None
        ((_, _, _, until, _, _),) = scene.core._proofs._young.values()
        assert until == ends

    @pytest.mark.parametrize("cache", [None, TokenCache()])
    def test_zero_asks_each_time(self, cache: TokenCache | None) -> None:
        scene = Scene(issuer(introspection=asked(policy="always", lifetime=0)), token_cache=cache)
        scene.validate(JWT)
        scene.tells[ENDPOINT] = INACTIVE
        assert scene.refused(JWT).reason is Reason.INACTIVE

    def test_without_a_cache_of_proven_tokens_answers_are_remembered_all_the_same(self) -> None:
        scene = Scene(issuer(introspection=asked(policy="always")), token_cache=None)
        scene.validate(JWT)
        scene.validate(JWT)
        assert scene.calls == 1

    def test_what_says_no_exp_is_not_remembered(self) -> None:
        scene = _always()
        scene.tells[ENDPOINT] = active(exp=DROP)
        scene.validate(JWT)
        scene.tells[ENDPOINT] = INACTIVE
        assert scene.refused(JWT).reason is Reason.INACTIVE

    def test_times_of_both_are_looked_at_on_each_hit(self) -> None:
        scene = _always(lifetime=3600)
        scene.tells[ENDPOINT] = active(exp=NOW + 50, nbf=NOW - 5)
        scene.validate(JWT)
        with pytest.raises(InvalidToken) as caught:
            scene.core.decide(JWT, NOW + 80, scene.tick)  # 30 s of leeway
        assert caught.value.reason is Reason.EXPIRED

    def test_an_inactive_jwt_is_remembered_as_such(self) -> None:
        scene = _always()
        scene.tells[ENDPOINT] = INACTIVE
        for _ in range(10):
            assert scene.refused(JWT).reason is Reason.INACTIVE
        assert scene.calls == 1


def test_the_same_token_has_a_verdict_of_its_own_under_each_validator() -> None:
    ours, theirs = Scene(issuer()), Scene(issuer(), audience="https://theirs.example.com")
    for _ in range(2):
        ours.validate()
        assert theirs.refused().reason is Reason.WRONG_AUDIENCE


def test_the_same_token_has_a_verdict_of_its_own_at_each_issuer() -> None:
    here = issuer()
    there = replace(here, url="https://other.example.com", audience="https://theirs.example.com")
    to = {"issuer": here.url}
    scene = Scene(here, there, select=lambda _: to["issuer"])
    scene.tells[ENDPOINT] = active(iss=DROP)
    scene.validate()
    to["issuer"] = there.url
    assert scene.refused().reason is Reason.WRONG_AUDIENCE


def test_after_a_fork_a_child_keeps_what_is_known() -> None:
    scene = Scene()
    scene.validate()
    introspector = scene.introspector()
    with introspector._active._lock, introspector._refused._lock, introspector._endpoint._breaker._lock:
        scene.core.after_fork()
        scene.validate()
        scene.validate("another")
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused("a-third")
    assert scene.calls == 3
