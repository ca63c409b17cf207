"""Opaque tokens of a real authorization server, about which it is asked (RFC 7662, RFC 9701)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.interop.asking import (
    JWT,
    WELL_KNOWN,
    answered,
    asking,
    calls,
    guarded,
    refusal,
    silence,
    validating,
)
from tests.interop.authorization_server import LIFETIME
from tests.interop.clients import new_private_key
from tests.interop.oidc_provider import OPAQUE, OidcProvider, resource_of
from tests.interop.test_jwt import with_part
from tests.keys.stage import Turned, Validate, in_asyncio, in_thread, in_trio, settle
from tokenguard import (
    ANY_AUDIENCE,
    Introspection,
    Issuer,
    Reason,
)
from tokenguard.events import Event, IntrospectionFailed

pytestmark = pytest.mark.real_server

SIGNED = {"Accept": "application/token-introspection+jwt"}

# Who asks


@pytest.mark.parametrize("endpoint", ["configured", "discovered"])
@pytest.mark.parametrize("name", ["basic", "post", "private_key_jwt"])
def test_each_client_authentication_works(provider: OidcProvider, name: str, endpoint: str) -> None:
    configured = provider.introspection_endpoint if endpoint == "configured" else None
    with asking(provider, client=getattr(provider, name), endpoint=configured) as validator:
        for _ in range(2):  # an assertion is good once
            assert validator.validate(provider.token(OPAQUE)).client_id == "app"
    assert calls(provider) == 2
    assert sum(provider.count(address) for address in WELL_KNOWN) == (endpoint == "discovered")
    assert not provider.count(provider.jwks_uri)


def test_an_assertion_may_be_for_the_endpoint(provider: OidcProvider) -> None:
    audience = provider.introspection_endpoint
    with asking(provider, client=provider.private_key_jwt, assertion_audience=audience) as validator:
        assert validator.validate(provider.token(OPAQUE)).client_id == "app"


def wrong(provider: OidcProvider) -> dict[str, dict[str, Any]]:
    """Options of clients that this server does not believe."""
    return {
        "secret, basic": {"client": replace(provider.basic, client_secret="wrong")},
        "secret, post": {"client": replace(provider.post, client_secret="wrong")},
        "client": {"client": replace(provider.basic, client_id="nobody")},
        "key": {"client": replace(provider.private_key_jwt, private_key=new_private_key())},
        "audience": {"client": provider.private_key_jwt, "assertion_audience": "https://elsewhere.example"},
        "signed": {"client": replace(provider.basic, client_secret="wrong"), "signed_response": True},
    }


@pytest.mark.parametrize("what", ["secret, basic", "secret, post", "client", "key", "audience", "signed"])
def test_credentials_that_the_server_refuses_are_our_trouble_and_not_the_callers(
    provider: OidcProvider, what: str
) -> None:
    events: list[Event] = []
    with asking(provider, validator={"on_event": events.append}, **wrong(provider)[what]) as validator:
        for token in (provider.token(OPAQUE), "unheard-of"):
            assert silence(validator, token).reason == Reason.INTROSPECTION_CREDENTIALS_REJECTED
        settle()
        failed = [event for event in events if isinstance(event, IntrospectionFailed)]
        assert [(event.issuer, event.credentials) for event in failed] == [(provider.issuer, True)] * 2
        assert "invalid_client" in validator.health()[provider.issuer]["introspection"]["last_error"]


def test_a_server_that_refuses_our_credentials_is_left_alone_too_and_the_reason_stays(provider: OidcProvider) -> None:
    with asking(provider, **wrong(provider)["secret, basic"]) as validator:
        for _ in range(20):
            assert silence(validator, "unheard-of").reason == Reason.INTROSPECTION_CREDENTIALS_REJECTED
    assert calls(provider) == 5


def test_a_bearer_token_opens_nothing_here(provider: OidcProvider) -> None:
    introspection = Introspection(bearer=provider.token())
    with validating(Issuer(provider.issuer, introspection=introspection), audience=OPAQUE) as validator:
        assert silence(validator, provider.token(OPAQUE)).reason == Reason.INTROSPECTION_UNAVAILABLE


def test_an_issuer_with_a_path_is_asked_where_its_metadata_says(tenant: OidcProvider) -> None:
    with asking(tenant) as validator:
        assert validator.validate(tenant.token(OPAQUE)).issuer == tenant.issuer
    assert tenant.introspection_endpoint.startswith(f"{tenant.issuer}/")
    assert calls(tenant) == 1


# What is read


def test_a_clients_own_token(provider: OidcProvider) -> None:
    with asking(provider) as validator:
        token = validator.validate(provider.token(OPAQUE, "orders:write unheard-of orders:read"))
    assert (token.issuer, token.subject, token.client_id) == (provider.issuer, None, "app")
    assert (token.audience, token.scopes) == ((OPAQUE,), frozenset({"orders:read", "orders:write"}))
    assert token.issued_at is not None
    assert token.expires_at == token.issued_at + LIFETIME
    assert (token.not_before, token.token_id, token.roles) == (None, None, frozenset())
    assert set(token.claims) == {"client_id", "exp", "iat", "iss", "aud", "scope", "token_type"}


@pytest.mark.parametrize("validate", [in_thread, in_asyncio, in_trio])
def test_a_users_token_with_what_the_server_adds(provider: OidcProvider, validate: Validate) -> None:
    provider.add_claims(acr="silver", org={"id": 7})
    with asking(provider) as validator:
        token = validate(validator, provider.user_token(OPAQUE, "orders:read", subject="Åse"))
    assert (token.subject, token.client_id, token.scopes) == ("Åse", "app", frozenset({"orders:read"}))
    assert (token.claims["acr"], token.to_dict()["org"]) == ("silver", {"id": 7})


def test_no_scopes_are_none(provider: OidcProvider) -> None:
    with asking(provider) as validator:
        assert validator.validate(provider.token(OPAQUE)).scopes == frozenset()


@pytest.mark.parametrize("audience", [OPAQUE, ANY_AUDIENCE])
@pytest.mark.parametrize(
    ("member", "reason"), [("jkt", Reason.WRONG_TOKEN_KIND), ("x5t#S256", Reason.BOUND_TOKEN)]
)  # of DPoP tokens token_type says so
def test_a_token_that_is_bound_to_a_key_is_refused(
    provider: OidcProvider, member: str, reason: Reason, audience: Any
) -> None:
    token = provider.user_token(OPAQUE, bound_to={member: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
    assert provider.introspect(token).json()["cnf"] == {member: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
    with asking(provider, audience=audience) as validator:
        assert refusal(validator, token) == reason


@pytest.mark.parametrize(
    ("audience", "options", "reason"),
    [
        (OPAQUE, {}, Reason.WRONG_AUDIENCE),
        (OPAQUE, {"allow_missing_aud": True}, None),  # its tokens have a token_type
        (OPAQUE, {"allow_missing_aud": True, "allow_missing_token_type": True}, None),
        (ANY_AUDIENCE, {}, None),
    ],
)
def test_a_token_without_aud_passes_only_where_that_is_allowed(
    provider: OidcProvider, audience: Any, options: dict[str, Any], reason: Reason | None
) -> None:
    with asking(provider, audience=audience, **options) as validator:
        for token in (provider.token(), provider.user_token()):
            if reason is None:
                assert validator.validate(token).audience == ()
            else:
                assert refusal(validator, token) == reason


@pytest.mark.parametrize("options", [{}, {"allow_missing_aud": True}, {"policy": "only"}, {"policy": "always"}])
def test_a_token_for_another_api_is_refused(provider: OidcProvider, options: dict[str, Any]) -> None:
    with asking(provider, audience="https://another.example", **options) as validator:
        assert refusal(validator, provider.token(OPAQUE)) == Reason.WRONG_AUDIENCE


@pytest.mark.parametrize(
    ("audience", "options", "reason"),
    [
        (OPAQUE, {}, Reason.WRONG_AUDIENCE),
        (OPAQUE, {"allow_missing_aud": True}, Reason.WRONG_TOKEN_KIND),
        (ANY_AUDIENCE, {}, Reason.WRONG_TOKEN_KIND),
    ],
)
def test_a_refresh_token_is_no_access_token(
    provider: OidcProvider, audience: Any, options: dict[str, Any], reason: Reason
) -> None:
    with asking(provider, audience=audience, **options) as validator:
        assert refusal(validator, provider.refresh_token()) == reason


@pytest.mark.parametrize("policy", ["opaque", "always", "only"])
@pytest.mark.parametrize("audience", ["app", ANY_AUDIENCE])
def test_an_id_token_is_no_access_token(provider: OidcProvider, audience: Any, policy: str) -> None:
    hashed = provider.id_token(at_hash=provider.user_token())
    with asking(provider, audience=audience, policy=policy) as validator:
        assert refusal(validator, hashed) == (Reason.INACTIVE if policy == "only" else Reason.WRONG_TOKEN_KIND)
    assert calls(provider) == (policy == "only")


# Time


def test_a_revoked_token_is_refused_once_what_is_remembered_of_it_is_too_old(
    provider: OidcProvider, tick: Turned
) -> None:
    token = provider.token(OPAQUE)
    with asking(provider, tick) as validator:
        validator.validate(token)
        provider.revoke(token)
        tick.now += 59.9
        assert validator.validate(token).client_id == "app"
        assert calls(provider) == 1
        tick.now += 0.1
        assert refusal(validator, token) == Reason.INACTIVE
        assert calls(provider) == 2
        tick.now += 9.9
        assert refusal(validator, token) == Reason.INACTIVE
        assert calls(provider) == 2
        tick.now += 0.1
        assert refusal(validator, token) == Reason.INACTIVE
        assert calls(provider) == 3


def test_with_nothing_remembered_it_is_refused_at_once(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    with asking(provider, lifetime=0, inactive_lifetime=0) as validator:
        for _ in range(3):
            assert validator.validate(token).client_id == "app"
        provider.revoke(token)
        for _ in range(3):
            assert refusal(validator, token) == Reason.INACTIVE
    assert calls(provider) == 6


def test_what_expired_is_inactive_to_the_server_and_expired_to_our_own_clock(
    provider: OidcProvider, tick: Turned
) -> None:
    token = provider.token(OPAQUE)
    wall = Turned(time.time())
    with asking(provider, tick, lifetime=2 * LIFETIME, validator={"clock": wall}) as validator:
        expires_at = validator.validate(token).expires_at
        wall.now = expires_at + 29
        assert validator.validate(token).expires_at == expires_at
        wall.now = expires_at + 31
        assert refusal(validator, token) == Reason.EXPIRED
        assert calls(provider) == 1
        tick.now += LIFETIME + 31
        provider.shift_clock(LIFETIME + 31)
        assert refusal(validator, token) == Reason.INACTIVE
        assert calls(provider) == 2


@pytest.mark.parametrize("ahead", [20, -20])
@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
def test_a_server_whose_clock_is_a_little_off_is_understood(provider: OidcProvider, ahead: int, signed: bool) -> None:
    provider.shift_clock(ahead)
    with asking(provider, signed_response=signed) as validator:
        assert validator.validate(provider.token(OPAQUE)).client_id == "app"


@pytest.mark.parametrize(
    ("ahead", "reason"), [(60, Reason.ISSUED_IN_FUTURE), (-LIFETIME - 60, Reason.EXPIRED)], ids=["future", "past"]
)
def test_a_server_whose_clock_is_far_off_is_not(provider: OidcProvider, ahead: int, reason: Reason) -> None:
    provider.shift_clock(ahead)
    with asking(provider) as validator:
        assert refusal(validator, provider.token(OPAQUE)) == reason


# Policies


def test_beside_opaque_tokens_jwts_are_judged_here(provider: OidcProvider) -> None:
    with asking(provider, audience=[OPAQUE, JWT]) as validator:
        assert validator.validate(provider.token(JWT)).audience == (JWT,)
        assert calls(provider) == 0
        assert validator.validate(provider.token(OPAQUE)).audience == (OPAQUE,)
        assert calls(provider) == 1


@pytest.mark.parametrize("policy", ["always", "only"])
@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
def test_a_server_that_introspects_no_jwts_refuses_them_and_is_not_in_trouble(
    provider: OidcProvider, tick: Turned, policy: str, signed: bool
) -> None:
    token = provider.token(JWT)
    with asking(provider, tick, audience=[OPAQUE, JWT], policy=policy, signed_response=signed) as validator:
        for _ in range(10):
            assert refusal(validator, token) == Reason.INACTIVE
            tick.now += 10
        assert calls(provider) == 10
        assert validator.validate(provider.token(OPAQUE)).audience == (OPAQUE,)
        assert provider.count(provider.jwks_uri) == (policy == "always" or signed)


@pytest.mark.parametrize("policy", ["always", "only"])
def test_bad_jwts_are_never_asked_about_where_keys_tell(provider: OidcProvider, policy: str) -> None:
    changed = with_part(provider.token(JWT), 1, scope="orders:write")
    foreign = with_part(changed, 1, iss="https://elsewhere.example")
    with asking(provider, audience=JWT, policy=policy) as validator:
        assert refusal(validator, foreign) == Reason.WRONG_ISSUER
        assert refusal(validator, changed) == (Reason.BAD_SIGNATURE if policy == "always" else Reason.INACTIVE)
    assert calls(provider) == (policy == "only")


def test_where_the_issuer_is_asked_about_all_no_keys_are_fetched(provider: OidcProvider) -> None:
    with asking(provider, policy="only") as validator:
        validator.warm_up()
        assert validator.ready
        assert validator.health()[provider.issuer]["state"] == "unused"
        assert validator.validate(provider.token(OPAQUE)).client_id == "app"
    assert not provider.count(provider.jwks_uri)


# Signed answers


def test_signed_answers_are_good_whichever_key_signs(provider: OidcProvider, tick: Turned) -> None:
    with asking(provider, tick, signed_response=True) as validator:
        assert validator.validate(provider.token(OPAQUE, "orders:read")).scopes == {"orders:read"}
        for keep_old in (True, False):
            provider.rotate(keep_old=keep_old)
            tick.now += 60
            assert validator.validate(provider.user_token(OPAQUE)).subject == "user-1"
            assert refusal(validator, "unheard-of") == Reason.INACTIVE
            tick.now += 10  # it is remembered for so long
        settle()
    assert provider.count(provider.jwks_uri) == 3


@pytest.mark.parametrize("policy", ["opaque", "always", "only"])
def test_signed_answers_are_for_each_client_and_policy(provider: OidcProvider, policy: str) -> None:
    for client in (provider.basic, provider.post, provider.private_key_jwt):
        with asking(provider, client=client, signed_response=True, policy=policy) as validator:
            assert validator.validate(provider.token(OPAQUE)).client_id == "app"


def test_a_signed_answer_of_a_known_but_withdrawn_key_serves_until_we_learn_of_it(
    provider: OidcProvider, tick: Turned
) -> None:
    token = provider.token(OPAQUE)
    answer = provider.introspect(token, headers=SIGNED)
    with asking(provider, tick, signed_response=True, lifetime=0) as validator:
        validator.validate(token)
        provider.rotate(keep_old=False)
        validator.validate(token)  # brings the new keys
        provider.fail(provider.introspection_endpoint, status=200, body=answer.text)
        tick.now += 60
        assert silence(validator, token).reason == Reason.INTROSPECTION_UNAVAILABLE


def impostures(provider: OidcProvider, tenant: OidcProvider, token: str) -> dict[str, str]:
    """Answers that are none to us, of this server, of now."""
    good = provider.introspect(token, headers=SIGNED).text
    provider.shift_clock(-120)
    old = provider.introspect(token, headers=SIGNED).text
    provider.shift_clock(0)
    return {
        "plain": provider.introspect(token).text,
        "for another": provider.introspect(token, provider.post, headers=SIGNED).text,
        "of another": tenant.introspect(tenant.token(OPAQUE), headers=SIGNED).text,
        "changed": with_part(good, 1, token_introspection={"active": True}),
        "unsigned": with_part(good, 0, alg="none").rpartition(".")[0] + ".",
        "old": old,
        "a JWT": provider.token(resource_of("RS256")),
        "an ID token": provider.id_token(),
    }


def test_what_is_not_signed_for_us_just_now_is_no_answer(
    provider: OidcProvider, tenant: OidcProvider, tick: Turned
) -> None:
    token = provider.token(OPAQUE)
    with asking(provider, tick, signed_response=True, lifetime=0) as validator:
        validator.validate(token)
        for imposture in impostures(provider, tenant, token).values():
            provider.fail(provider.introspection_endpoint, status=200, body=imposture)
            assert silence(validator, token).reason == Reason.INTROSPECTION_UNAVAILABLE
        provider.recover()
        assert validator.validate(token).client_id == "app"


def test_a_signature_of_another_algorithm_than_agreed_is_none(provider: OidcProvider) -> None:
    with asking(provider, signed_response=True, issuer={"algorithms": ("ES256",)}) as validator:
        assert silence(validator, provider.token(OPAQUE)).reason == Reason.INTROSPECTION_UNAVAILABLE


def test_without_keys_a_signed_answer_says_nothing(provider: OidcProvider, tick: Turned) -> None:
    token = provider.token(OPAQUE)
    provider.fail(provider.jwks_uri, status=503)
    with asking(provider, tick, signed_response=True) as validator:
        assert silence(validator, token).reason == Reason.KEYS_UNAVAILABLE
        provider.recover()
        tick.now += 60
        assert validator.validate(token).client_id == "app"


# To the client


def test_answers_over_http(provider: OidcProvider) -> None:
    revoked = provider.token(OPAQUE)
    provider.revoke(revoked)
    wall = Turned(time.time())
    with asking(provider, validator={"clock": wall}) as validator:
        app = guarded(validator)
        old = provider.token(OPAQUE)
        assert asyncio.run(answered(app, old)) == (200, {}, b"app")
        assert_refused(asyncio.run(answered(app, revoked)), "The access token is invalid")
        assert_refused(asyncio.run(answered(app, provider.token())), "The access token is invalid")
        wall.now += LIFETIME + 31
        assert_refused(asyncio.run(answered(app, old)), "The access token expired")
        provider.fail(provider.introspection_endpoint, status=502)
        said, headers, body = asyncio.run(answered(app, provider.token(OPAQUE)))
        assert (said, headers["retry-after"], body) == (503, "1", b'{"error": "temporarily_unavailable"}')
        assert "www-authenticate" not in headers


def assert_refused(answer: tuple[int, dict[str, str], bytes], description: str) -> None:
    said, headers, _ = answer
    assert (said, headers["cache-control"]) == (401, "no-store")
    assert headers["www-authenticate"] == (
        f'Bearer realm="{OPAQUE}", error="invalid_token", error_description="{description}"'
    )
