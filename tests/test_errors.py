"""What refusals carry, and what they tell to whom."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import tokenguard
from tokenguard import (
    AccessDenied,
    Challenge,
    ConfigurationError,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    RequestRefused,
    TokenGuardError,
    Unavailable,
)

HIGHER = "The request requires higher privileges than provided by the access token"
STEP_UP = (
    'Bearer realm="R", error="insufficient_user_authentication", '
    'error_description="A different authentication level is required"'
)
REFUSALS: list[tuple[RequestRefused, int, str | None]] = [
    (MissingToken(), 401, 'Bearer realm="R"'),
    (
        InvalidRequest(),
        400,
        'Bearer realm="R", error="invalid_request", error_description="The Authorization header is malformed"',
    ),
    (
        InvalidToken(Reason.BAD_SIGNATURE),
        401,
        'Bearer realm="R", error="invalid_token", error_description="The access token is invalid"',
    ),
    (
        InvalidToken(Reason.EXPIRED),
        401,
        'Bearer realm="R", error="invalid_token", error_description="The access token expired"',
    ),
    (
        InsufficientScope(required=("a", "b")),
        403,
        f'Bearer realm="R", error="insufficient_scope", error_description="{HIGHER}", scope="a b"',
    ),
    (
        AccessDenied(),
        403,
        f'Bearer realm="R", error="insufficient_scope", error_description="{HIGHER}"',
    ),
    (
        InsufficientAuthentication(acr_values=("gold", "silver"), max_age=60),
        401,
        f'{STEP_UP}, acr_values="gold silver", max_age="60"',
    ),
    (Unavailable(retry_after=7), 503, None),
]
IDS = [f"{type(refused).__name__} {refused.reason}" for refused, _, _ in REFUSALS]


@pytest.mark.parametrize(("refused", "status", "challenge"), REFUSALS, ids=IDS)
def test_a_refusal_has_all_that_an_answer_needs(refused: RequestRefused, status: int, challenge: str | None) -> None:
    refused.realm = "R"
    assert refused.status == status
    assert refused.headers.get("WWW-Authenticate") == challenge  # C5, C6, C8
    assert refused.headers["Cache-Control"] == "no-store"
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.headers.get("Retry-After") == ("7" if status == 503 else None)


@pytest.mark.parametrize(("refused", "challenge"), [(type(r)(r.reason), said) for r, _, said in REFUSALS], ids=IDS)
def test_before_anybody_names_a_realm_it_can_be_answered_too(refused: RequestRefused, challenge: str | None) -> None:
    assert refused.realm is None
    said = refused.headers.get("WWW-Authenticate")
    if challenge is None:
        assert said is None
    elif refused.error is None:
        assert said == 'Bearer realm="api"'  # C5: a challenge needs a parameter, and this one has no other
    else:
        assert said is not None  # and nobody's realm is made up
        assert challenge.replace('realm="R", ', "").startswith(said)


@pytest.mark.parametrize("refused", [refused for refused, _, _ in REFUSALS], ids=IDS)
def test_a_refusal_survives_pickling(refused: RequestRefused) -> None:
    refused.realm = "R"
    copy = pickle.loads(pickle.dumps(refused))
    assert type(copy) is type(refused)
    assert (copy.reason, copy.detail, copy.headers) == (refused.reason, refused.detail, refused.headers)


def test_its_arguments_are_its_reason_and_its_detail() -> None:
    assert AccessDenied().args == (Reason.ACCESS_DENIED, "")
    assert InvalidToken(Reason.EXPIRED, "why").args == (Reason.EXPIRED, "why")


def test_a_plain_text_is_the_detail_as_with_any_exception() -> None:
    for refused in (AccessDenied("organisation 7"), AccessDenied("organisation", "7"), AccessDenied("access_denied")):
        assert refused.reason is Reason.ACCESS_DENIED
        assert type(refused.detail) is str
    assert AccessDenied("organisation 7").args == (Reason.ACCESS_DENIED, "organisation 7")
    assert str(AccessDenied("organisation", "7")) == "access_denied: organisation: 7"
    assert InvalidToken("expired").description == "The access token is invalid"  # a text is no reason
    for made in (InsufficientScope("why"), InsufficientAuthentication("why"), Unavailable("why")):
        assert (made.reason, made.detail) == (type(made).default_reason, "why")


def test_an_application_may_mix_in_an_exception_of_its_framework() -> None:
    class Teapot(Exception):
        def __init__(self, *said: object) -> None:
            super().__init__(*said)
            self.status_code = 418

    class NoTea(AccessDenied, Teapot):
        pass

    refused = NoTea(detail="no tea")
    assert (refused.status_code, refused.status, refused.detail) == (418, 403, "no tea")


def test_the_detail_is_for_the_log_and_never_in_the_answer() -> None:
    refused = AccessDenied(detail="organisation 7 is suspended")
    refused.realm = "R"
    assert str(refused) == "access_denied: organisation 7 is suspended"
    assert "suspended" not in str(refused.headers) + str(refused.description)


def test_a_refusal_without_detail_prints_its_reason() -> None:
    assert str(MissingToken()) == "no_token"


def test_each_error_is_where_the_tree_says() -> None:
    assert issubclass(ConfigurationError, TokenGuardError)
    assert not issubclass(ConfigurationError, RequestRefused)
    for refused, _, _ in REFUSALS:
        assert isinstance(refused, RequestRefused)


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "é", ""])
def test_a_challenge_takes_no_text_that_would_need_an_escape(value: str) -> None:
    with pytest.raises(ValueError, match="characters that may not stand in a challenge"):
        Challenge(realm=value)


@pytest.mark.parametrize("scope", ["a  b", " a", "a "])
def test_a_challenge_takes_scopes_between_single_spaces_only(scope: str) -> None:
    with pytest.raises(ValueError, match="single spaces"):
        Challenge(scope=scope)


def test_a_challenge_needs_a_parameter() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):  # C5
        Challenge()


@pytest.mark.parametrize("required", ["admin", ('a"b',), ("a b",), ("",)])
def test_what_may_not_stand_in_a_challenge_fails_when_the_refusal_is_made(required: Any) -> None:
    with pytest.raises(ConfigurationError, match="RFC 6750 s3"):
        InsufficientScope(required=required)
    with pytest.raises(ConfigurationError, match="RFC 6750 s3"):
        InsufficientAuthentication(acr_values=required)


@pytest.mark.parametrize("said", ['x"y', "60", -1, 0.5, 60.0, True, float("nan")])
def test_seconds_that_may_not_be_sent_fail_when_the_refusal_is_made(said: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"max_age is .*: write whole seconds, 0 or more, such as max_age=60"):
        InsufficientAuthentication(max_age=said)
    with pytest.raises(ConfigurationError, match=r"retry_after is .*: write whole seconds"):
        Unavailable(retry_after=said)


def test_a_refusal_for_no_time_at_all_may_be_made() -> None:
    assert InsufficientAuthentication(max_age=0).headers["WWW-Authenticate"].endswith('max_age="0"')
    assert Unavailable(retry_after=0).headers["Retry-After"] == "0"


def test_the_public_names_are_sorted_and_there() -> None:
    assert tokenguard.__all__ == sorted(tokenguard.__all__)
    assert all(hasattr(tokenguard, name) for name in tokenguard.__all__)
