"""Tokens of a server that says of them as little as RFC 7662 lets it get away with, or less."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from tests.interop.asking import PATIENT, asked, refusal, silence, validating
from tests.interop.authorization_server import LIFETIME
from tests.interop.dot_provider import DotProvider
from tests.keys.stage import Turned, Validate, in_asyncio, in_thread, in_trio
from tokenguard import ANY_AUDIENCE, Introspection, Issuer, Reason, TokenValidator
from tokenguard.events import Event, IntrospectionFailed

pytestmark = pytest.mark.real_server

API = "https://api.example.com"
TACITURN: dict[str, Any] = {"allow_missing_aud": True, "allow_missing_token_type": True}
METADATA = "/.well-known/oauth-authorization-server"


@pytest.fixture(autouse=True)
def _count_anew(dot: DotProvider) -> None:
    dot.reset()


def asking(
    dot: DotProvider, tick: Turned | None = None, *, audience: Any = API, client: Any = None, **said: Any
) -> AbstractContextManager[TokenValidator]:
    """A validator, cold, that asks this server. It signs nothing, so it has no keys either."""
    return validating(asked(dot, client, **{"policy": "only", **said}), tick=tick, audience=audience)


def calls(dot: DotProvider) -> int:
    return dot.count(dot.introspection_endpoint)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("endpoint", ["configured", "discovered"])
def test_a_clients_own_token(dot: DotProvider, method: Any, endpoint: str) -> None:
    configured = dot.introspection_endpoint if endpoint == "configured" else None
    with asking(dot, client=replace(dot.basic, method=method), endpoint=configured) as validator:
        token = validator.validate(dot.token(API, "orders:read orders:write"))
    assert (token.issuer, token.subject, token.client_id) == (dot.issuer, None, "app")
    assert (token.audience, token.scopes) == ((API,), frozenset({"orders:read", "orders:write"}))
    assert (token.issued_at, token.not_before, token.token_id) == (None, None, None)
    assert set(token.claims) == {"scope", "exp", "client_id", "aud"}
    assert (calls(dot), dot.count(METADATA)) == (1, endpoint == "discovered")


@pytest.mark.parametrize("validate", [in_thread, in_asyncio, in_trio])
def test_a_users_token_has_a_username_and_no_subject(dot: DotProvider, validate: Validate) -> None:
    with asking(dot) as validator:
        token = validate(validator, dot.grant(API, "orders:read").access_token)
    assert (token.subject, token.claims["username"], token.client_id) == (None, "user-1", "users-app")
    assert token.scopes == {"orders:read"}


def test_no_scopes_are_none(dot: DotProvider) -> None:
    with asking(dot) as validator:
        assert validator.validate(dot.token(API)).scopes == frozenset()


@pytest.mark.parametrize(
    ("audience", "options", "reason"),
    [
        (API, {}, Reason.WRONG_AUDIENCE),
        (API, {"allow_missing_aud": True}, Reason.WRONG_TOKEN_KIND),  # it never says a token_type
        (API, TACITURN, None),
        (ANY_AUDIENCE, {}, Reason.WRONG_TOKEN_KIND),
    ],
)
def test_a_token_without_aud_passes_only_where_that_is_allowed(
    dot: DotProvider, audience: Any, options: dict[str, Any], reason: Reason | None
) -> None:
    token = dot.token(scope="orders:read")
    with asking(dot, audience=audience, **options) as validator:
        if reason is None:
            assert validator.validate(token).audience == ()
        else:
            assert refusal(validator, token) == reason


@pytest.mark.parametrize("options", [{}, TACITURN], ids=["strict", "lenient"])
def test_a_token_for_another_api_is_refused_in_any_case(dot: DotProvider, options: dict[str, Any]) -> None:
    with asking(dot, **options) as validator:
        assert refusal(validator, dot.token("https://another.example")) == Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("audience", [API, ANY_AUDIENCE])
@pytest.mark.parametrize("options", [{}, TACITURN], ids=["strict", "lenient"])
def test_a_refresh_token_is_unheard_of(dot: DotProvider, audience: Any, options: dict[str, Any]) -> None:
    with asking(dot, audience=audience, **options) as validator:
        assert refusal(validator, dot.grant(API).refresh_token) == Reason.INACTIVE


def test_a_revoked_token_is_refused_once_what_is_remembered_of_it_is_too_old(dot: DotProvider) -> None:
    tick = Turned()
    token, other = dot.token(API), dot.token(API)
    with asking(dot, tick) as patient, asking(dot, lifetime=0) as impatient:
        for validator in (patient, impatient):
            validator.validate(token)
        dot.revoke(token)
        assert patient.validate(token).client_id == "app"
        assert refusal(impatient, token) == Reason.INACTIVE
        tick.now += 60
        assert refusal(patient, token) == Reason.INACTIVE
        assert patient.validate(other).client_id == "app"


def test_what_is_remembered_of_a_token_ends_with_it(dot: DotProvider) -> None:
    tick = Turned()
    with asking(dot, tick, lifetime=86400) as validator:
        token = dot.token(API)
        validator.validate(token)
        tick.now += LIFETIME - 10
        validator.validate(token)
        assert calls(dot) == 1
        tick.now += 10
        validator.validate(token)
        assert calls(dot) == 2


@pytest.mark.parametrize(
    "changed",
    [{"client_secret": "wrong"}, {"client_id": "nobody"}, {"client_secret": "wrong", "method": "client_secret_post"}],
    ids=["secret", "client", "posted secret"],
)
def test_credentials_that_the_server_refuses_are_our_trouble_and_not_the_callers(
    dot: DotProvider, changed: dict[str, Any]
) -> None:
    with asking(dot, client=replace(dot.basic, **changed)) as validator:
        for token in (dot.token(API), "unheard-of"):
            assert silence(validator, token).reason == Reason.INTROSPECTION_CREDENTIALS_REJECTED


def test_a_bearer_token_with_the_scope_introspection_opens_it_and_no_other(dot: DotProvider) -> None:
    events: list[Event] = []

    def by(bearer: str) -> AbstractContextManager[TokenValidator]:
        issuer = Issuer(dot.issuer, introspection=Introspection(bearer=bearer, policy="only", **PATIENT))
        return validating(issuer, audience=API, on_event=events.append)

    with by(dot.token(scope="introspection")) as validator:
        assert validator.validate(dot.token(API)).client_id == "app"
    with by(dot.token(scope="orders:read")) as validator:
        assert silence(validator, dot.token(API)).reason == Reason.INTROSPECTION_CREDENTIALS_REJECTED
    assert sum(isinstance(event, IntrospectionFailed) and event.credentials for event in events) == 1


def test_an_address_without_its_last_slash_says_nothing(dot: DotProvider) -> None:
    with asking(dot, endpoint=dot.introspection_endpoint.removesuffix("/")) as validator:
        assert silence(validator, dot.token(API)).reason == Reason.INTROSPECTION_UNAVAILABLE


def test_it_signs_nothing_and_so_says_nothing_where_that_is_asked_for(dot: DotProvider) -> None:
    with asking(dot, signed_response=True) as validator:
        assert silence(validator, dot.token(API)).reason == Reason.INTROSPECTION_UNAVAILABLE


@pytest.mark.parametrize("policy", ["opaque", "always", "only"])
def test_each_policy_will_do_for_tokens_that_are_no_jwts(dot: DotProvider, policy: str) -> None:
    with asking(dot, policy=policy) as validator:
        assert validator.validate(dot.token(API)).client_id == "app"
        assert refusal(validator, "unheard-of") == Reason.INACTIVE
        assert validator.ready == (policy == "only")  # its metadata names no keys, and none were needed so far
