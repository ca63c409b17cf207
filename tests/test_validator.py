"""The validator as its users meet it: against a real issuer, sync and async."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from tests.forge import AUDIENCE, GOOD_KEYS, ISSUER, JWKS, NOW, USELESS_KEYS, claims, forge
from tests.forge import validator as static_validator
from tokenguard import (
    ANY_AUDIENCE,
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InvalidToken,
    Issuer,
    KeyPolicy,
    Reason,
    RequestRefused,
    TokenValidator,
    Unavailable,
)
from tokenguard._fetch import Answer, Fetch
from tokenguard.testing import Fault, LocalIssuer
from tokenguard.validator import _after_fork as after_fork

LONG = 30.0
Validate = Callable[[TokenValidator, str], AccessToken]


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


@pytest.fixture
def validator(issuer: LocalIssuer) -> Iterator[TokenValidator]:
    with TokenValidator(issuer.url, audience=issuer.audience) as validator:
        yield validator


def _sync(validator: TokenValidator, token: str) -> AccessToken:
    return validator.validate(token)


def _asyncio(validator: TokenValidator, token: str) -> AccessToken:
    return asyncio.run(validator.validate_async(token))


def _trio(validator: TokenValidator, token: str) -> AccessToken:
    return trio.run(validator.validate_async, token)


@pytest.fixture(params=[_sync, _asyncio, _trio], ids=["sync", "asyncio", "trio"])
def validate(request: pytest.FixtureRequest) -> Validate:
    found: Validate = request.param
    return found


def test_a_good_token_says_who_calls(issuer: LocalIssuer, validator: TokenValidator, validate: Validate) -> None:
    token = validate(validator, issuer.mint({"org": {"ids": [1, 2]}}, scope="read write", subject="user-7"))
    assert token.issuer == issuer.url
    assert (token.subject, token.client_id, token.audience) == ("user-7", "client-1", (issuer.audience,))
    assert token.scopes == {"read", "write"}
    assert token.claims["org"]["ids"] == (1, 2)


def test_the_second_token_needs_no_request(issuer: LocalIssuer, validator: TokenValidator, validate: Validate) -> None:
    validate(validator, issuer.mint())
    validate(validator, issuer.mint())
    assert issuer.requests == {"/.well-known/oauth-authorization-server": 1, "/jwks": 1}


def test_a_rotation_is_picked_up_at_once(issuer: LocalIssuer, validator: TokenValidator, validate: Validate) -> None:
    validate(validator, issuer.mint())
    issuer.rotate()
    validate(validator, issuer.mint())
    assert issuer.requests["/jwks"] == 2


def test_an_issuer_out_of_reach_is_503_and_not_401(
    issuer: LocalIssuer, validator: TokenValidator, validate: Validate
) -> None:
    token = issuer.mint()
    issuer.down()
    with pytest.raises(Unavailable, match="ConnectError") as caught:
        validate(validator, token)
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "1"


def test_a_hanging_issuer_ends_with_the_patience_of_the_waiter(issuer: LocalIssuer, validate: Validate) -> None:
    issuer.fail(Fault.HANG)
    policy = KeyPolicy(patience=0.05)
    with (
        TokenValidator(Issuer(issuer.url, keys=policy), audience=issuer.audience) as validator,
        pytest.raises(Unavailable, match="did not come in time"),
    ):
        validate(validator, issuer.mint())
    issuer.recover()


@pytest.mark.parametrize(
    "fault",
    [Fault.SERVER_ERROR, Fault.HTML, Fault.EMPTY, Fault.UNUSABLE, Fault.REDIRECT, Fault.RESET, Fault.TRUNCATED],
)
def test_an_issuer_gone_wrong_is_503(issuer: LocalIssuer, validator: TokenValidator, fault: Fault) -> None:
    issuer.fail(fault, on="jwks")
    with pytest.raises(Unavailable):
        validator.validate(issuer.mint())


def test_a_token_that_cannot_pass_anyway_causes_no_request(issuer: LocalIssuer, validator: TokenValidator) -> None:
    for token in (
        "junk",
        issuer.mint(expires_in=-3600),
        issuer.mint(audience="other"),
        issuer.mint({"iss": "https://evil.example"}),
        issuer.mint(alg="none"),
        issuer.mint(header={"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "crit": []}),
    ):
        with pytest.raises(InvalidToken):
            validator.validate(token)
    assert not issuer.requests


def test_many_threads_on_a_cold_start_cause_one_fetch(issuer: LocalIssuer, validator: TokenValidator) -> None:
    token = issuer.mint()
    with ThreadPoolExecutor(32) as pool:
        assert {found.subject for found in pool.map(validator.validate, [token] * 200)} == {"user-1"}
    assert issuer.requests["/jwks"] == 1


def test_two_event_loops_and_a_thread_share_one_validator(issuer: LocalIssuer, validator: TokenValidator) -> None:
    token = issuer.mint()

    async def many() -> None:
        await asyncio.gather(*(validator.validate_async(token) for _ in range(100)))

    with ThreadPoolExecutor(3) as pool:
        for loop in [pool.submit(asyncio.run, many()) for _ in range(2)]:
            loop.result()
        assert pool.submit(validator.validate, token).result().subject == "user-1"
    assert issuer.requests["/jwks"] == 1


def test_each_waiter_gets_an_exception_of_its_own(issuer: LocalIssuer, validator: TokenValidator) -> None:
    issuer.down()
    token = issuer.mint()

    async def many() -> list[Any]:
        return await asyncio.gather(*(validator.validate_async(token) for _ in range(10)), return_exceptions=True)

    refusals = asyncio.run(many())
    assert all(type(refused) is Unavailable for refused in refusals)
    assert len(set(map(id, refusals))) == 10


def test_a_token_that_expires_during_the_wait_is_refused(issuer: LocalIssuer) -> None:
    times = iter([1000.0, 2000.0])
    token = issuer.mint({"exp": 1500, "iat": 900})
    with (
        TokenValidator(issuer.url, audience=issuer.audience, clock=lambda: next(times)) as validator,
        pytest.raises(InvalidToken) as caught,
    ):
        validator.validate(token)
    assert caught.value.reason is Reason.EXPIRED


def test_once_closed_known_keys_serve_on_and_nothing_is_fetched(issuer: LocalIssuer) -> None:
    with TokenValidator(issuer.url, audience=issuer.audience) as validator:
        validator.validate(issuer.mint())
    validator.validate(issuer.mint())
    issuer.rotate()
    with pytest.raises(Unavailable, match="the validator is closed"):
        validator.validate(issuer.mint())


@pytest.mark.parametrize(
    "token", [None, 7, ["x"], bytearray(b"x"), memoryview(b"x")], ids=["None", "int", "list", "bytearray", "view"]
)
def test_what_is_no_text_is_a_type_error(token: Any) -> None:
    with pytest.raises(TypeError, match="a token is str or bytes"):
        static_validator().validate(token)
    with pytest.raises(TypeError, match="a token is str or bytes"):
        asyncio.run(static_validator().validate_async(token))


def test_subclasses_of_str_and_bytes_are_text() -> None:
    class Text(str):
        __slots__ = ()

    class Octets(bytes):
        __slots__ = ()

    assert static_validator().validate(Text(forge())) == static_validator().validate(Octets(forge().encode()))


class TestIssuers:
    """C21: each issuer's keys prove its own tokens only."""

    OTHER = "https://other.example.com"

    def _validator(self) -> TokenValidator:
        rs, _, es, _ = ({"keys": [jwk]} for jwk in GOOD_KEYS)
        return TokenValidator(
            Issuer(ISSUER, jwks=rs),
            Issuer(self.OTHER, jwks=es, audience=("other-api", "more"), leeway=0),
            audience=AUDIENCE,
            clock=lambda: NOW,
        )

    def test_each_ones_tokens_pass_by_its_own_keys_audience_and_leeway(self) -> None:
        validator = self._validator()
        assert validator.validate(forge()).issuer == ISSUER
        other = validator.validate(forge(claims(iss=self.OTHER, aud="more"), by="ES256"))
        assert other.issuer == self.OTHER
        with pytest.raises(InvalidToken) as caught:
            validator.validate(forge(claims(iss=self.OTHER, aud="more", exp=NOW - 1), by="ES256"))
        assert caught.value.reason is Reason.EXPIRED

    def test_an_issuers_own_audience_replaces_the_validators(self) -> None:
        with pytest.raises(InvalidToken) as caught:
            self._validator().validate(forge(claims(iss=self.OTHER), by="ES256"))
        assert caught.value.reason is Reason.WRONG_AUDIENCE

    def test_one_issuers_key_never_proves_anothers_token(self) -> None:
        with pytest.raises(InvalidToken) as caught:
            self._validator().validate(forge(claims(iss=self.OTHER, aud="more")))
        assert caught.value.reason is Reason.UNKNOWN_KEY


class TestAudience:
    def test_any_match_suffices(self) -> None:
        found = static_validator(audience=["x", AUDIENCE]).validate(forge(claims(aud=["a", AUDIENCE])))
        assert found.audience == ("a", AUDIENCE)

    def test_any_audience_takes_all_and_none_but_no_malformed_one(self) -> None:
        validator = static_validator(audience=ANY_AUDIENCE)
        assert validator.validate(forge(claims(aud="whoever"))).audience == ("whoever",)
        without = claims()
        del without["aud"]
        assert validator.validate(forge(without)).audience == ()
        with pytest.raises(InvalidToken):
            validator.validate(forge(claims(aud=None)))


class TestChecks:
    def _validator(self, *checks: Any) -> TokenValidator:
        return TokenValidator(Issuer(ISSUER, jwks=JWKS), audience=AUDIENCE, checks=checks, clock=lambda: NOW)

    def test_none_is_yes_and_each_is_asked_every_time(self) -> None:
        seen: list[AccessToken] = []
        validator = self._validator(seen.append, seen.append)
        validator.validate(forge())
        validator.validate(forge())
        assert len(seen) == 4

    def test_a_raised_refusal_is_no(self) -> None:
        def refuse(token: AccessToken) -> None:
            raise AccessDenied(detail=f"not {token.subject}")

        with pytest.raises(AccessDenied, match="not user-1") as caught:
            self._validator(refuse).validate(forge())
        assert caught.value.realm == AUDIENCE

    def test_any_other_exception_is_none_of_ours_and_no_pass(self) -> None:
        def broken(_: AccessToken) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self._validator(broken).validate(forge())

    @pytest.mark.parametrize("verdict", [True, False, 0, "", AccessDenied()], ids=repr)
    def test_any_returned_value_is_a_mistake_and_no_pass(self, verdict: object) -> None:
        def check(_: AccessToken) -> object:
            return verdict

        with pytest.raises(ConfigurationError, match=r"check .*check returned"):
            self._validator(check).validate(forge())

    def test_a_hidden_coroutine_is_a_mistake_and_no_pass(self) -> None:
        async def refuse(token: AccessToken) -> None:
            raise AccessDenied

        def check(token: AccessToken) -> object:
            return refuse(token)

        with pytest.raises(ConfigurationError, match="not async"):
            self._validator(check).validate(forge())

    def test_no_check_sees_a_token_that_was_not_proven(self) -> None:
        seen: list[AccessToken] = []
        with pytest.raises(InvalidToken):
            self._validator(seen.append).validate(forge(by="evil RS256"))
        assert not seen


class TestResult:
    def _token(self) -> AccessToken:
        return static_validator().validate(forge(claims(org={"ids": [1, {"a": "b"}]}, jti="j")))

    def test_it_is_read_only_all_the_way_down(self) -> None:
        token: Any = self._token()
        for change in (
            lambda: setattr(token, "subject", "x"),
            lambda: token.claims.__setitem__("sub", "x"),
            lambda: token.claims["org"].__setitem__("ids", ()),
            lambda: token.claims["org"]["ids"][1].__setitem__("a", "c"),
        ):
            with pytest.raises((AttributeError, TypeError)):
                change()

    def test_a_dict_of_it_is_a_plain_copy(self) -> None:
        plain = self._token().to_dict()
        assert plain["org"] == {"ids": [1, {"a": "b"}]}
        plain["org"]["ids"].append(3)
        assert self._token().to_dict()["org"] == {"ids": [1, {"a": "b"}]}

    def test_its_repr_shows_no_claims(self) -> None:
        assert "ids" not in repr(self._token())
        assert "user-1" in repr(self._token())

    def test_it_compares_hashes_and_pickles(self) -> None:
        token = self._token()
        assert token == self._token()
        assert hash(token) == hash(self._token())
        assert pickle.loads(pickle.dumps(token)) == copy.deepcopy(token) == token


class TestLog:
    def _refuse(self, validator: TokenValidator, token: str) -> None:
        with pytest.raises(RequestRefused):
            validator.validate(token)

    def test_a_refusal_says_precisely_why(self, caplog: pytest.LogCaptureFixture) -> None:
        self._refuse(static_validator(jwks={"keys": GOOD_KEYS}), forge(claims(exp=NOW - 100)))
        assert caplog.messages == ["refused with 401: expired: exp is 100 s past, leeway 60 s"]
        assert caplog.records[0].levelno == logging.WARNING

    def test_a_flood_is_one_warning_per_reason_and_second(self, caplog: pytest.LogCaptureFixture) -> None:
        tick = 0.0
        validator = TokenValidator(
            Issuer(ISSUER, jwks={"keys": GOOD_KEYS}), audience=AUDIENCE, clock=lambda: NOW, monotonic=lambda: tick
        )
        with caplog.at_level(logging.DEBUG, "tokenguard"):
            for step in range(300):
                tick = step / 100
                self._refuse(validator, "junk")
                self._refuse(validator, forge(claims(exp=1)))
        levels = [record.levelname for record in caplog.records]
        assert levels.count("WARNING") == 6
        assert levels.count("DEBUG") == 594

    @pytest.mark.parametrize("before", ["", "\n", "x", "https://"])
    def test_a_token_in_place_of_a_name_is_not_quoted(self, caplog: pytest.LogCaptureFixture, before: str) -> None:
        misplaced = forge(claims(secret="s3cr3t"))
        self._refuse(static_validator(jwks={"keys": GOOD_KEYS}), forge(claims(iss=before + misplaced)))
        self._refuse(static_validator(jwks={"keys": GOOD_KEYS}), forge(claims(aud=[before + misplaced])))
        assert "[a token?]" in caplog.messages[0]
        assert not any(part in line for line in caplog.messages for part in misplaced.split("."))

    def test_a_configured_key_that_cannot_serve_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "tokenguard"):
            TokenValidator(Issuer(ISSUER, jwks=JWKS), audience=AUDIENCE)
        assert len(caplog.messages) == len(USELESS_KEYS)
        assert [record.levelname for record in caplog.records].count("WARNING") == 1
        assert caplog.messages[0] == (
            f"a key of {ISSUER} is of no use: kid 'oct': private or symmetric: such a key is not to be published"
        )


@pytest.mark.parametrize("options", [{}, {"token_cache": None}], ids=["cache", "no cache"])
def test_in_a_child_process_nothing_of_the_parents_is_under_way(issuer: LocalIssuer, options: dict[str, Any]) -> None:
    # What os.register_at_fork calls there; tests/keys/test_processes.py really forks.
    with TokenValidator(issuer.url, audience=issuer.audience, **options) as validator:
        validator.warm_up()
        lock = validator._flights._lock
        after_fork()
        assert validator._flights._lock is not lock
        validator.validate(issuer.mint())
    assert issuer.requests["/jwks"] == 1


@pytest.mark.parametrize(("takes", "rests"), [(0.1, 1.0), (9.5, 0.5), (10.0, 0.02), (11.0, 0.02)])
def test_warming_up_takes_no_longer_than_it_may(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch, takes: float, rests: float
) -> None:
    ticks, rested = [100.0], list[float]()
    with TokenValidator(issuer.url, audience=issuer.audience, monotonic=lambda: ticks[-1]) as validator:
        flights = validator._flights
        wait = flights.wait

        def slow(fetch: Fetch, patience: float | None = None) -> Answer | None:
            assert patience == 10.0
            answer = wait(fetch, LONG)
            ticks.append(100.0 + takes)
            return answer

        monkeypatch.setattr(flights, "wait", slow)
        monkeypatch.setattr(flights, "rest", rested.append)
        validator.warm_up(timeout=10.0)
    assert rested == [pytest.approx(rests)]


def test_configured_keys_need_no_attendance_ever() -> None:
    keys = static_validator()._core.trust.named[ISSUER].keys
    keys.after_fork()
    assert keys.attend(1e9)
    assert keys.load(1e9) is None


def test_seconds_left_ends_with_the_greatest_age() -> None:
    validator = static_validator(max_token_age=100)
    assert validator.seconds_left(validator.validate(forge(claims(iat=NOW - 90, exp=NOW + 10_000)))) == 70


def test_a_log_line_is_one_short_line_whatever_a_check_says(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: AccessToken) -> None:
        raise AccessDenied(detail="\r\n\x1b[31m" + "x" * 1000)

    validator = TokenValidator(
        Issuer(ISSUER, jwks={"keys": GOOD_KEYS}), audience=AUDIENCE, clock=lambda: NOW, checks=[refuse]
    )
    with pytest.raises(AccessDenied):
        validator.validate(forge())
    assert caplog.messages[0].startswith("refused with 403: access_denied: \\r\\n\\x1b[31mxxx")
    assert len(caplog.messages[0]) < 600


def test_seconds_left_counts_the_leeway_of_the_issuer() -> None:
    validator = static_validator()
    assert validator.seconds_left(validator.validate(forge(claims(exp=NOW + 5)))) == 65
