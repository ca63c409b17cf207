"""What was proven is remembered; whether it is good is worked out each time."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.forge import AUDIENCE, GOOD_KEYS, ISSUER, NOW, claims, forge
from tokenguard import (
    AccessDenied,
    AccessToken,
    InvalidToken,
    Issuer,
    Reason,
    TokenCache,
    TokenValidator,
    Unavailable,
)
from tokenguard._cache import Generations
from tokenguard._keys.jwk import Key
from tokenguard.testing import LocalIssuer
from tokenguard.token import Claims


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)
        self.tick = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signature checks that take place, by algorithm."""
    seen: list[str] = []
    real = Key.verify

    def verify(self: Key, alg: str, signed: bytes, signature: bytes) -> bool:
        seen.append(alg)
        return real(self, alg, signed, signature)

    monkeypatch.setattr(Key, "verify", verify)
    return seen


def _validator(clock: Clock, **options: Any) -> TokenValidator:
    issuer = Issuer(ISSUER, jwks={"keys": GOOD_KEYS}, leeway=10)
    return TokenValidator(
        issuer, **{"audience": AUDIENCE, "clock": lambda: clock.now, "monotonic": lambda: clock.tick, **options}
    )


def test_a_repeated_token_is_proven_once(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    token = forge()
    assert validator.validate(token) is validator.validate(token.encode())
    assert proofs == ["RS256"]


def test_one_setting_switches_it_off(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock, token_cache=None)
    assert validator.validate(forge()) == validator.validate(forge())
    assert len(proofs) == 2


def test_another_text_of_the_same_claims_is_proven_for_itself(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    for by in ("RS256", "PS256", "ES256", "EdDSA"):
        validator.validate(forge(by=by))
    assert proofs == ["RS256", "PS256", "ES256", "EdDSA"]


def test_it_is_remembered_for_the_lifetime(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    token = forge()
    for clock.tick in (0, 59.9, 60, 119.9, 120):
        validator.validate(token)
    assert len(proofs) == 3


def test_expiry_is_looked_at_each_time(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    token = forge(claims(exp=NOW + 5))
    validator.validate(token)
    clock.now = NOW + 15
    with pytest.raises(InvalidToken) as caught:
        validator.validate(token)
    assert caught.value.reason is Reason.EXPIRED
    assert caught.value.issuer == ISSUER
    assert len(proofs) == 1


def test_a_clock_that_goes_back_is_looked_at_too(clock: Clock) -> None:
    validator = _validator(clock)
    token = forge(claims(nbf=NOW))
    validator.validate(token)
    clock.now = NOW - 3600
    with pytest.raises(InvalidToken) as caught:
        validator.validate(token)
    assert caught.value.reason is Reason.NOT_YET_VALID


def test_within_the_leeway_past_its_exp_it_is_not_remembered(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    token = forge(claims(exp=NOW - 5))
    validator.validate(token)
    validator.validate(token)
    assert len(proofs) == 2


def test_checks_are_asked_each_time(clock: Clock) -> None:
    suspended: set[str | None] = set()

    def check(token: AccessToken) -> None:
        if token.subject in suspended:
            raise AccessDenied

    validator = _validator(clock, checks=[check])
    token = forge()
    validator.validate(token)
    suspended.add("user-1")
    with pytest.raises(AccessDenied) as caught:
        validator.validate(token)
    assert caught.value.issuer == ISSUER
    suspended.clear()
    validator.validate(token)


def test_a_token_that_a_check_refused_may_pass_later(clock: Clock) -> None:
    refusing = True

    def check(_: AccessToken) -> None:
        if refusing:
            raise AccessDenied

    validator = _validator(clock, checks=[check])
    with pytest.raises(AccessDenied):
        validator.validate(forge())
    refusing = False
    validator.validate(forge())


def test_refused_tokens_leave_no_trace(clock: Clock, proofs: list[str]) -> None:
    validator = _validator(clock)
    for token in (forge(by="evil RS256", head={"alg": "RS256", "kid": "rs"}), forge(claims(exp=1)), "junk"):
        for _ in range(2):
            with pytest.raises(InvalidToken):
                validator.validate(token)
    assert validator._core._proofs is not None
    assert len(validator._core._proofs) == 0
    assert not validator._core._headers


def test_two_validators_share_nothing(clock: Clock) -> None:
    first, second = _validator(clock), _validator(clock, audience="https://other.example.com")
    first.validate(forge())
    with pytest.raises(InvalidToken) as caught:
        second.validate(forge())
    assert caught.value.reason is Reason.WRONG_AUDIENCE


def test_what_a_handler_does_to_its_claims_does_not_reach_the_next(clock: Clock) -> None:
    validator = _validator(clock)
    token = forge(claims(org={"ids": [1]}))
    plain = validator.validate(token).to_dict()
    plain["org"]["ids"].append(2)
    plain["sub"] = "somebody else"
    assert validator.validate(token).claims["org"]["ids"] == (1,)
    assert validator.validate(token).subject == "user-1"


def test_an_entry_dies_with_its_key_and_only_with_that(clock: Clock, proofs: list[str]) -> None:
    with LocalIssuer(algorithms=("ES256", "EdDSA"), clock=lambda: NOW) as issuer:
        options = {"audience": issuer.audience, "clock": lambda: clock.now, "monotonic": lambda: clock.tick}
        with TokenValidator(issuer.url, **options) as validator:  # type: ignore[arg-type]
            withdrawn, staying = issuer.mint(alg="ES256"), issuer.mint(alg="EdDSA")
            validator.validate(withdrawn)
            validator.validate(staying)
            kid = issuer.kid("ES256")
            issuer.rotate("ES256")
            issuer.withdraw(kid)
            validator.validate(issuer.mint(alg="ES256"))  # brings the new set
            proofs.clear()
            validator.validate(staying)
            assert proofs == []
            with pytest.raises(InvalidToken) as caught:
                validator.validate(withdrawn)
            assert caught.value.reason is Reason.UNKNOWN_KEY


def test_remembered_tokens_keep_the_keys_fresh_and_end_with_them(clock: Clock) -> None:
    with LocalIssuer(algorithms=("ES256",), clock=lambda: NOW) as issuer:
        options = {"audience": issuer.audience, "clock": lambda: clock.now, "monotonic": lambda: clock.tick}
        cache = TokenCache(lifetime=100_000)
        with TokenValidator(issuer.url, token_cache=cache, **options) as validator:  # type: ignore[arg-type]
            token = issuer.mint(expires_in=50_000)
            validator.validate(token)
            clock.tick = 290  # in the last part of the set's life
            validator.validate(token)
            issuer.wait_for_requests("/jwks", 2)
            while validator.health()[issuer.url]["age"] != 0:
                validator.validate(token)
            issuer.down()
            clock.tick = 290 + 300 + 3599
            validator.validate(token)
            clock.tick += 1
            with pytest.raises(Unavailable):
                validator.validate(token)


def test_a_hundred_thousand_tokens_stay_within_the_bounds(clock: Clock) -> None:
    cache = Generations[int](entries=4096, weight=16 * 1024 * 1024)
    for number in range(1, 100_001):
        cache.put(number.to_bytes(32), number, 700)
        assert len(cache) <= 4096
    assert len(cache) >= 2048
    assert cache.get((100_000).to_bytes(32)) == 100_000
    assert cache.get((1).to_bytes(32)) is None


def test_long_tokens_are_bounded_by_their_weight() -> None:
    cache = Generations[int](entries=4096, weight=100_000)
    for number in range(1, 1000):
        cache.put(number.to_bytes(32), number, 10_000)
        assert len(cache) <= 10


def test_threads_that_put_at_one_time_keep_within_the_bounds_too() -> None:
    threads, weight = 8, 1000
    cache = Generations[int](entries=100, weight=100 * weight)

    def put(first: int) -> int:
        most = 0
        for number in range(first, first + 3000):
            cache.put(number.to_bytes(32), number, weight)
            most = max(most, len(cache))
        return most

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            most = max(pool.map(put, range(0, threads * 10_000, 10_000)))
    finally:
        sys.setswitchinterval(before)
    assert 50 <= most <= 100 + 2 * threads  # in either generation one each
    assert len(cache._young) * weight <= cache._weighs  # none is uncounted


def test_of_two_threads_that_find_it_full_one_begins_anew() -> None:
    cache = Generations[int](entries=4, weight=4)
    for number in range(3):
        cache.put(bytes([number]), number, 1)
    cache._turn(cache._old)  # by the slower one
    assert [cache.get(bytes([number])) for number in range(3)] == [0, 1, 2]


def test_after_a_fork_a_lock_that_was_held_is_not_waited_for() -> None:
    cache = Generations[int](entries=4, weight=4)
    with cache._lock:
        cache.after_fork()
        for number in range(3):  # the third begins anew, under the lock
            cache.put(bytes([number]), number, 1)
    assert cache.get(b"\x02") == 2


def test_headers_that_were_read_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenguard._core._MAX_HEADERS", 3)
    validator = _validator(clock)
    for number in range(5):
        validator.validate(forge(head={"alg": "RS256", "kid": "rs", "n": number}))
    assert len(validator._core._headers) == 2  # three were known, then all were let go, and two came


def test_claims_behave_like_a_mapping_and_print() -> None:
    found = Claims({"a": {"b": [1, {"c": 2}]}, "d": None})
    assert dict(found) == {"a": Claims({"b": [1, {"c": 2}]}), "d": None}
    assert (len(found), "a" in found, found.get("x")) == (2, True, None)
    assert found["a"]["b"][1]["c"] == 2
    assert repr(found) == "Claims({'a': {'b': [1, {'c': 2}]}, 'd': None})"
    assert pickle.loads(pickle.dumps(found)) == found
