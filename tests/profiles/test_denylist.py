"""The denylist: what is denied stays so until its tokens have expired, and nothing is forgotten on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.forge import AUDIENCE, ISSUER, JWKS, NOW, claims, forge
from tokenguard import AccessToken, ConfigurationError, InvalidToken, Issuer, Reason, TokenValidator
from tokenguard.denylist import Denylist
from tokenguard.denylist import _after_fork as after_fork

HOUR = 3600


class Clock:
    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def denylist(clock: Clock) -> Denylist:
    return Denylist(clock=clock)


def token(**fields: Any) -> AccessToken:
    return AccessToken(
        **{
            "issuer": ISSUER,
            "subject": "user-1",
            "token_id": "token-1",
            "issued_at": NOW - 10,
            "expires_at": NOW + HOUR,
            **fields,
        }
    )


def denied(denylist: Denylist, **fields: Any) -> bool:
    try:
        denylist(token(**fields))
    except InvalidToken as refused:
        return (refused.status, refused.error, refused.reason) == (401, "invalid_token", Reason.REVOKED)
    return False


class TestWithAValidator:
    @pytest.fixture
    def validator(self, clock: Clock, denylist: Denylist) -> TokenValidator:
        issuer = Issuer(ISSUER, jwks=JWKS, leeway=300)
        return TokenValidator(issuer, audience=AUDIENCE, checks=(denylist,), clock=clock, monotonic=clock)

    def test_a_token_that_was_good_is_refused_from_then_on(self, validator: TokenValidator, denylist: Denylist) -> None:
        text = forge(claims(jti="token-1"))
        denylist.deny_token(validator.validate(text))
        with pytest.raises(InvalidToken) as refused:
            validator.validate(text)
        assert refused.value.reason is Reason.REVOKED
        assert refused.value.description == "The access token is invalid"
        assert refused.value.issuer == ISSUER
        assert validator.validate(forge(claims(jti="token-2"))).token_id == "token-2"

    def test_it_is_never_let_in_again_while_the_leeway_lasts(
        self, validator: TokenValidator, denylist: Denylist, clock: Clock
    ) -> None:
        text = forge(claims(jti="token-1", exp=NOW + 60))
        denylist.deny_token(validator.validate(text))
        reasons = []
        for clock.now in (NOW + 60, NOW + 359, NOW + 360, NOW + 10_000):
            denylist.deny(f"at {clock.now}", issuer=ISSUER, until=clock.now + HOUR)  # others are cleared away
            with pytest.raises(InvalidToken) as refused:
                validator.validate(text)
            reasons.append(refused.value.reason)
        assert reasons == [Reason.REVOKED, Reason.REVOKED, Reason.EXPIRED, Reason.EXPIRED]


class TestTokens:
    def test_the_id_counts_within_its_issuer_only(self, denylist: Denylist) -> None:
        denylist.deny("token-1", issuer=ISSUER, until=NOW + HOUR)
        assert denied(denylist)
        assert not denied(denylist, issuer="https://other.example.com")
        assert not denied(denylist, token_id="token-2")
        assert not denied(denylist, token_id=None)
        assert not denied(denylist, subject="token-1", token_id=None)
        assert denied(denylist, issued_at=NOW + 100)
        assert denied(denylist, issued_at=None)

    def test_without_an_id_it_cannot_be_denied_alone(self, denylist: Denylist) -> None:
        with pytest.raises(ConfigurationError, match="deny_subject"):
            denylist.deny_token(token(token_id=None))

    def test_an_expired_one_needs_no_entry(self, denylist: Denylist) -> None:
        denylist.deny_token(token(expires_at=NOW - 10_000))
        assert len(denylist) == 0
        denylist.deny_token(token(expires_at=NOW - 100))  # its leeway may not be over
        assert len(denylist) == 1

    def test_one_that_never_expires_stays_for_ever(self, denylist: Denylist, clock: Clock) -> None:
        denylist.deny_token(token(expires_at=math.inf))
        clock.now = NOW + 1000 * HOUR
        denylist.deny("other", issuer=ISSUER, until=clock.now + HOUR)
        assert denied(denylist, expires_at=math.inf)


class TestSubjects:
    def test_what_it_has_by_now_is_denied_and_what_it_gets_later_is_not(self, denylist: Denylist) -> None:
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR)
        assert denied(denylist)
        assert denied(denylist, issued_at=NOW)
        assert denied(denylist, issued_at=None)
        assert denied(denylist, token_id=None)
        assert not denied(denylist, issued_at=NOW + 1)
        assert not denied(denylist, subject="user-2")
        assert not denied(denylist, subject=None)
        assert not denied(denylist, issuer="https://other.example.com")

    def test_the_time_may_be_given(self, denylist: Denylist) -> None:
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR, before=NOW + 30)
        assert denied(denylist, issued_at=NOW + 30)
        assert not denied(denylist, issued_at=NOW + 31)

    def test_it_may_be_locked_out_for_good(self, denylist: Denylist) -> None:
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR, before=math.inf)
        assert denied(denylist, issued_at=NOW + 1000)

    def test_denied_twice_the_stricter_holds(self, denylist: Denylist, clock: Clock) -> None:
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + 2 * HOUR)
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR, before=NOW - 100)
        clock.now = NOW + HOUR + 2000
        denylist.deny("other", issuer=ISSUER, until=clock.now)
        assert denied(denylist)
        assert len(denylist) == 2

    @pytest.mark.parametrize("lock_out_first", [True, False])
    def test_a_short_lock_out_is_not_prolonged_by_a_long_denial(
        self, denylist: Denylist, clock: Clock, *, lock_out_first: bool
    ) -> None:
        def lock_out() -> None:
            denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR, before=math.inf)

        if lock_out_first:
            lock_out()
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + 720 * HOUR)  # a changed password
        if not lock_out_first:
            lock_out()
        assert denied(denylist, issued_at=NOW + 1)
        clock.now = NOW + 2 * HOUR
        assert denied(denylist, issued_at=NOW)
        assert not denied(denylist, issued_at=NOW + 1)
        assert denied(denylist, issued_at=None)
        clock.now = NOW + 721 * HOUR  # and nobody has cleared anything away
        assert not denied(denylist, issued_at=NOW)

    def test_a_lock_out_ends_though_nothing_else_is_denied(self, denylist: Denylist, clock: Clock) -> None:
        denylist.deny_subject("user-1", issuer=ISSUER, until=NOW + HOUR, before=math.inf)
        clock.now = NOW + HOUR + 599
        assert denied(denylist, issued_at=clock.now)
        clock.now = NOW + HOUR + 600
        assert not denied(denylist, issued_at=clock.now)


class TestBounds:
    def test_entries_go_once_their_tokens_have_expired(self, denylist: Denylist, clock: Clock) -> None:
        for n in range(10):
            denylist.deny(f"token-{n}", issuer=ISSUER, until=NOW + n * HOUR)
        clock.now = NOW + 5 * HOUR
        denylist.deny("new", issuer=ISSUER, until=clock.now + HOUR)
        assert len(denylist) == 6
        assert not denied(denylist, token_id="token-4")
        assert denied(denylist, token_id="token-5")

    def test_what_was_denied_for_longer_stays_for_longer(self, denylist: Denylist, clock: Clock) -> None:
        denylist.deny("token-1", issuer=ISSUER, until=NOW + HOUR)
        denylist.deny("token-1", issuer=ISSUER, until=NOW + 3 * HOUR)
        for hours, there in ((2, True), (4, False)):
            clock.now = NOW + hours * HOUR
            denylist.deny("new", issuer=ISSUER, until=clock.now + HOUR)
            assert denied(denylist) is there

    def test_a_full_list_says_so_and_forgets_nobody(self, clock: Clock) -> None:
        denylist = Denylist(clock=clock, most=2)
        denylist.deny("token-1", issuer=ISSUER, until=NOW + HOUR)
        denylist.deny("token-2", issuer=ISSUER, until=NOW + 2 * HOUR)
        denylist.deny("token-2", issuer=ISSUER, until=NOW + 2 * HOUR)
        full = "full, and nothing was denied: raise most=2"
        with pytest.raises(ConfigurationError, match=full):
            denylist.deny("token-3", issuer=ISSUER, until=NOW + HOUR)
        with pytest.raises(ConfigurationError, match=full):
            denylist.deny_token(token(token_id="token-3"))
        with pytest.raises(ConfigurationError, match=full):
            denylist.deny_subject("user-3", issuer=ISSUER, until=NOW + HOUR)
        assert denied(denylist)
        assert denied(denylist, token_id="token-2")
        clock.now = NOW + HOUR + 1000
        denylist.deny("token-3", issuer=ISSUER, until=clock.now + HOUR)
        assert len(denylist) == 2


def test_threads_may_deny_at_once(denylist: Denylist) -> None:
    def deny(worker: int) -> None:
        for n in range(200):
            denylist.deny(f"token-{n}", issuer=ISSUER, until=NOW + HOUR + worker)
            assert denied(denylist, token_id=f"token-{n}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deny, range(4)))
    assert len(denylist) == 200


def test_after_a_fork_no_lock_is_held(denylist: Denylist) -> None:
    # What os.register_at_fork calls in a child.
    held = denylist._lock
    with held:
        after_fork()
        assert denylist._lock is not held
        denylist.deny("token-1", issuer=ISSUER, until=NOW + HOUR)
    assert denied(denylist)


WRONG: dict[str, Callable[[Denylist], object]] = {
    "a duration": lambda denylist: denylist.deny("t", issuer=ISSUER, until=HOUR),
    "not a number": lambda denylist: denylist.deny("t", issuer=ISSUER, until=math.nan),
    "before all time": lambda denylist: denylist.deny("t", issuer=ISSUER, until=-math.inf),
    "no number": lambda denylist: denylist.deny("t", issuer=ISSUER, until="soon"),  # type: ignore[arg-type]
    "a flag": lambda denylist: denylist.deny("t", issuer=ISSUER, until=True),
    "no id": lambda denylist: denylist.deny("", issuer=ISSUER, until=NOW + HOUR),
    "None for an id": lambda denylist: denylist.deny(None, issuer=ISSUER, until=NOW + HOUR),  # type: ignore[arg-type]
    "no issuer": lambda denylist: denylist.deny("t", issuer="", until=NOW + HOUR),
    "no subject": lambda denylist: denylist.deny_subject("", issuer=ISSUER, until=NOW + HOUR),
    "before is NaN": lambda denylist: denylist.deny_subject("s", issuer=ISSUER, until=NOW + HOUR, before=math.nan),
    "before is a text": lambda denylist: denylist.deny_subject("s", issuer=ISSUER, until=NOW + HOUR, before="now"),  # type: ignore[arg-type]
    "a subject's duration": lambda denylist: denylist.deny_subject("s", issuer=ISSUER, until=HOUR),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_would_deny_nothing_is_refused(denylist: Denylist, name: str) -> None:
    with pytest.raises(ConfigurationError):
        WRONG[name](denylist)
    assert len(denylist) == 0


@pytest.mark.parametrize("most", [0, -1, 1.5, True, None])
def test_the_size_is_a_whole_number(most: Any) -> None:
    with pytest.raises(ConfigurationError, match="a whole number above 0"):
        Denylist(most=most)
