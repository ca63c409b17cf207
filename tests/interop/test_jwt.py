"""JWTs of a real authorization server, its keys found by discovery."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop.authorization_server import LIFETIME
from tests.interop.oidc_provider import ALGORITHMS, OPAQUE, OidcProvider, resource_of
from tests.keys.stage import Turned, settle
from tokenguard import AccessToken, InvalidToken, Issuer, KeyPolicy, Reason, TokenValidator, Unavailable, profiles

pytestmark = pytest.mark.real_server

API = resource_of("ES256")
PATIENT = KeyPolicy(connect_timeout=10, total_timeout=10, patience=20)  # for busy machines
PAST_COOLDOWNS = 60.0  # seconds


@contextmanager
def trusting(
    server: OidcProvider, tick: Turned | None = None, *, audience: str = API, **options: Any
) -> Iterator[TokenValidator]:
    """A validator, cold, that knows of the server its issuer's name and nothing else."""
    issuer = Issuer(server.issuer, keys=PATIENT, **options)
    with TokenValidator(issuer, audience=audience, monotonic=tick or Turned()) as validator:
        yield validator
        settle()


def refusal(validator: TokenValidator, token: str) -> Reason:
    with pytest.raises(InvalidToken) as refused:
        validator.validate(token)
    return refused.value.reason


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def with_part(token: str, index: int, **members: Any) -> str:
    parts = token.split(".")
    changed = json.dumps({**part(token, index), **members}).encode("ascii")
    parts[index] = base64.urlsafe_b64encode(changed).rstrip(b"=").decode("ascii")
    return ".".join(parts)


@pytest.mark.parametrize("profile", [profiles.BASE, profiles.RFC9068], ids=lambda profile: profile.name)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_of_each_algorithm_is_good(provider: OidcProvider, alg: str, profile: profiles.Profile) -> None:
    raw = provider.token(resource_of(alg), "orders:read")
    assert part(raw, 0) == {"alg": alg, "typ": "at+jwt", "kid": part(raw, 0)["kid"]}
    with trusting(provider, audience=resource_of(alg), profile=profile) as validator:
        token = validator.validate(raw)
    assert (token.issuer, token.subject, token.client_id) == (provider.issuer, "app", "app")
    assert token.audience == (resource_of(alg),)
    assert token.issued_at is not None
    assert token.expires_at == token.issued_at + LIFETIME
    assert token.token_id == part(raw, 1)["jti"]


def test_one_fetch_serves_all_algorithms_and_both_shells(provider: OidcProvider) -> None:
    tokens = [provider.token(resource_of(alg)) for alg in ALGORITHMS]
    audience = [resource_of(alg) for alg in ALGORITHMS]
    with TokenValidator(Issuer(provider.issuer, keys=PATIENT), audience=audience) as validator:
        for token in tokens:
            by_thread = validator.validate(token)
            by_loop: AccessToken = asyncio.run(validator.validate_async(token))
            assert by_thread == by_loop
        settle()
    assert provider.count(provider.jwks_uri) == 1
    assert provider.count("/.well-known/oauth-authorization-server") == 1


def test_scopes_are_those_that_were_granted(provider: OidcProvider) -> None:
    with trusting(provider) as validator:
        assert validator.validate(provider.token(API)).scopes == frozenset()
        assert validator.validate(provider.token(API, "orders:read")).scopes == {"orders:read"}
        both = provider.token(API, "orders:write unheard-of orders:read")
        assert validator.validate(both).scopes == {"orders:read", "orders:write"}


def test_a_users_token_names_the_user_and_the_client_and_carries_what_the_server_adds(provider: OidcProvider) -> None:
    provider.add_claims(acr="silver", org={"id": 7})
    with trusting(provider) as validator:
        token = validator.validate(provider.user_token(API, subject="Åse"))
    assert (token.subject, token.client_id) == ("Åse", "app")
    assert token.claims["acr"] == "silver"
    assert token.to_dict()["org"] == {"id": 7}


def test_a_token_for_another_api_is_refused(provider: OidcProvider) -> None:
    with trusting(provider, audience=API) as validator:
        assert refusal(validator, provider.token(resource_of("RS256"))) == Reason.WRONG_AUDIENCE


def test_a_token_of_another_issuer_is_refused(provider: OidcProvider, tenant: OidcProvider) -> None:
    with trusting(provider) as validator:
        assert refusal(validator, tenant.token(API)) == Reason.WRONG_ISSUER


def test_opaque_tokens_are_malformed_and_cost_no_fetch(provider: OidcProvider) -> None:
    with trusting(provider) as validator:
        for token in (provider.token(), provider.token(OPAQUE), provider.user_token(OPAQUE), provider.refresh_token()):
            assert refusal(validator, token) == Reason.MALFORMED
    assert not provider.count(provider.jwks_uri)


def test_an_id_token_is_no_access_token_not_even_where_its_audience_is_ours(provider: OidcProvider) -> None:
    bare, hashed = provider.id_token(), provider.id_token(at_hash=provider.user_token())
    assert set(part(bare, 0)) == {"alg", "kid"}
    with trusting(provider) as validator:
        assert refusal(validator, bare) == Reason.WRONG_AUDIENCE
    with trusting(provider, audience=provider.app.client_id) as validator:
        assert refusal(validator, hashed) == Reason.WRONG_TOKEN_KIND
    with trusting(provider, audience=provider.app.client_id, profile=profiles.RFC9068) as validator:
        assert refusal(validator, bare) == Reason.WRONG_TYPE


def test_a_signed_introspection_answer_is_no_access_token(provider: OidcProvider) -> None:
    accept = {"Accept": "application/token-introspection+jwt"}
    answer = provider.introspect(provider.token(OPAQUE), headers=accept).text
    with trusting(provider, audience=provider.basic.client_id) as validator:
        assert refusal(validator, answer) == Reason.WRONG_TYPE


def test_a_changed_token_is_refused(provider: OidcProvider) -> None:
    token = provider.token(API)
    with trusting(provider) as validator:
        assert refusal(validator, with_part(token, 1, scope="orders:write")) == Reason.BAD_SIGNATURE
        assert refusal(validator, with_part(token, 0, alg="RS256")) == Reason.UNKNOWN_KEY
        assert refusal(validator, with_part(token, 0, alg="none")) == Reason.WRONG_ALGORITHM
        assert validator.validate(token).subject == "app"


def test_an_unknown_kid_is_sought_once_and_refused(provider: OidcProvider, tick: Turned) -> None:
    token = provider.token(API)
    with trusting(provider, tick) as validator:
        validator.validate(token)
        tick.now += PAST_COOLDOWNS
        for number in range(10):
            assert refusal(validator, with_part(token, 0, kid=f"made-up-{number}")) == Reason.UNKNOWN_KEY
        assert validator.validate(token).subject == "app"
    assert provider.count(provider.jwks_uri) == 2


def test_new_keys_are_found_and_old_ones_serve_as_long_as_they_are_published(
    provider: OidcProvider, tick: Turned
) -> None:
    old = provider.token(API)
    with trusting(provider, tick) as validator:
        validator.validate(old)
        known = len(validator.health()[provider.issuer]["key_ids"])
        kids = provider.rotate(keep_old=True)
        new = provider.token(API)
        assert part(new, 0)["kid"] in kids
        tick.now += PAST_COOLDOWNS
        assert validator.validate(new).subject == "app"
        assert validator.validate(old).subject == "app"
        assert len(validator.health()[provider.issuer]["key_ids"]) == known + len(kids)
        assert provider.count(provider.jwks_uri) == 2

        kids = provider.rotate(keep_old=False)
        tick.now += PAST_COOLDOWNS
        assert validator.validate(provider.token(API)).subject == "app"
        assert len(validator.health()[provider.issuer]["key_ids"]) == len(kids)
        for withdrawn in (old, new):
            assert refusal(validator, withdrawn) == Reason.UNKNOWN_KEY


def test_an_issuer_with_a_path_is_found_where_openid_connect_has_it(tenant: OidcProvider) -> None:
    assert tenant.issuer.endswith("/tenant/one")
    with trusting(tenant) as validator:
        assert validator.validate(tenant.token(API)).issuer == tenant.issuer
    # RFC 8414 s3.1 inserts; below a mount there is nothing that could answer
    assert tenant.count("/.well-known/oauth-authorization-server/tenant/one") == 1
    assert tenant.count("/tenant/one/.well-known/openid-configuration") == 1


@pytest.mark.parametrize("ahead", [20, -20])
def test_a_server_whose_clock_is_a_little_off_is_understood(provider: OidcProvider, ahead: int) -> None:
    provider.shift_clock(ahead)
    with trusting(provider) as validator:
        assert validator.validate(provider.token(API)).subject == "app"


@pytest.mark.parametrize(
    ("ahead", "reason"), [(60, Reason.ISSUED_IN_FUTURE), (-LIFETIME - 60, Reason.EXPIRED)], ids=["future", "past"]
)
def test_a_server_whose_clock_is_far_off_is_not(provider: OidcProvider, ahead: int, reason: Reason) -> None:
    provider.shift_clock(ahead)
    with trusting(provider) as validator:
        assert refusal(validator, provider.token(API)) == reason


@pytest.mark.parametrize("where", ["metadata", "keys"])
def test_a_server_in_trouble_means_no_verdict_until_it_recovers(
    provider: OidcProvider, tick: Turned, where: str
) -> None:
    token = provider.token(API)
    addresses = {
        "metadata": ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
        "keys": [provider.jwks_uri],
    }[where]
    for address in addresses:
        provider.fail(address, status=503)
    with trusting(provider, tick) as validator:
        with pytest.raises(Unavailable):
            validator.validate(token)
        provider.recover()
        tick.now += PAST_COOLDOWNS
        assert validator.validate(token).subject == "app"
