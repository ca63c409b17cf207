"""Two real authorization servers that are asked about tokens, and neither about the other's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop.asking import (
    JWT,
    PATIENT,
    PATIENT_KEYS,
    asked,
    calls,
    credentials,
    refusal,
    silence,
    status,
    validating,
)
from tests.interop.oidc_provider import OPAQUE, OidcProvider
from tests.interop.test_jwt import with_part
from tests.keys.stage import Turned
from tokenguard import (
    ConfigurationError,
    Introspection,
    Reason,
    TenantIssuers,
    TokenValidator,
)

pytestmark = pytest.mark.real_server


@contextmanager
def asking_both(
    provider: OidcProvider, tenant: OidcProvider, select: Any, tick: Turned | None = None, **said: Any
) -> Iterator[TokenValidator]:
    trusted = asked(provider, **said), asked(tenant, **said)
    with validating(*trusted, tick=tick, audience=[OPAQUE, JWT], select=select) as validator:
        yield validator


def test_each_token_goes_to_its_issuer_and_to_nobody_else(provider: OidcProvider, tenant: OidcProvider) -> None:
    tokens = {provider.token(OPAQUE): provider.issuer, tenant.token(OPAQUE): tenant.issuer}
    jwts = {provider.token(JWT): provider.issuer, tenant.token(JWT): tenant.issuer}
    with asking_both(provider, tenant, tokens.__getitem__) as validator:
        for number, (token, issuer) in enumerate(tokens.items(), 1):
            assert validator.validate(token).issuer == issuer
            assert (calls(provider), calls(tenant)) == (1, number - 1)
        for token, issuer in jwts.items():
            assert validator.validate(token).issuer == issuer
    assert (calls(provider), calls(tenant)) == (1, 1)
    assert (provider.count(provider.jwks_uri), tenant.count(tenant.jwks_uri)) == (1, 1)


def test_where_both_are_asked_about_all_a_jwt_goes_to_whom_it_names(
    provider: OidcProvider, tenant: OidcProvider
) -> None:
    def select(token: str) -> str:
        raise AssertionError("the token says whose it is")

    with asking_both(provider, tenant, select, policy="only") as validator:
        assert refusal(validator, tenant.token(JWT)) == Reason.INACTIVE
    assert (calls(provider), calls(tenant)) == (0, 1)


def test_a_jwt_is_proven_by_the_keys_of_whom_it_names(provider: OidcProvider, tenant: OidcProvider) -> None:
    token = provider.token(JWT)
    with asking_both(provider, tenant, lambda token: provider.issuer) as validator:
        assert refusal(validator, with_part(token, 1, iss=tenant.issuer)) == Reason.UNKNOWN_KEY
        assert validator.validate(token).issuer == provider.issuer
    assert (calls(provider), calls(tenant)) == (0, 0)


def test_of_several_that_may_have_issued_it_the_one_that_knows_it_decides(
    provider: OidcProvider, tenant: OidcProvider
) -> None:
    both = provider.issuer, tenant.issuer
    with asking_both(provider, tenant, lambda token: both) as validator:
        assert validator.validate(tenant.token(OPAQUE)).issuer == tenant.issuer
        assert (calls(provider), calls(tenant)) == (1, 1)
        assert validator.validate(provider.token(OPAQUE)).issuer == provider.issuer
        assert (calls(provider), calls(tenant)) == (2, 1)
        assert refusal(validator, "unheard-of") == Reason.INACTIVE
        assert refusal(validator, tenant.token()) == Reason.WRONG_AUDIENCE


def test_one_that_is_in_trouble_concerns_its_own_tokens_alone(
    provider: OidcProvider, tenant: OidcProvider, tick: Turned
) -> None:
    ours, theirs = provider.token(OPAQUE), tenant.token(OPAQUE)
    both = provider.issuer, tenant.issuer
    tokens: dict[str, Any] = {ours: provider.issuer, theirs: tenant.issuer, "unheard-of": both}
    with asking_both(provider, tenant, lambda token: tokens.get(token, both), tick) as validator:
        provider.fail(provider.introspection_endpoint, reset=True)
        for _ in range(10):
            assert silence(validator, ours).issuer == provider.issuer
        assert validator.validate(theirs).issuer == tenant.issuer
        assert silence(validator, "unheard-of").issuer == provider.issuer  # it may be one of theirs
        assert validator.validate(tenant.token(OPAQUE)).issuer == tenant.issuer
        states = {url: health["introspection"]["state"] for url, health in validator.health().items()}
        assert states == {provider.issuer: "paused", tenant.issuer: "ready"}
        provider.recover()
        tick.now += 60
        assert validator.validate(ours).issuer == provider.issuer


@pytest.mark.parametrize("named", ["https://elsewhere.example", "", ("",), None, 7])
def test_who_selects_an_unknown_issuer_is_told(provider: OidcProvider, tenant: OidcProvider, named: Any) -> None:
    token = provider.token(OPAQUE)
    with asking_both(provider, tenant, lambda token: named) as validator, pytest.raises(ConfigurationError):
        validator.validate(token)
    assert (calls(provider), calls(tenant)) == (0, 0)


def test_who_selects_nobody_refuses(provider: OidcProvider, tenant: OidcProvider) -> None:
    with asking_both(provider, tenant, lambda token: ()) as validator:
        assert refusal(validator, provider.token(OPAQUE)) == Reason.MALFORMED
    assert (calls(provider), calls(tenant)) == (0, 0)


@contextmanager
def asking_tenants(tenant: OidcProvider, ours: set[str]) -> Iterator[TokenValidator]:
    """A validator for the tenants that are ours now; opaque tokens are taken for one of them."""
    template = tenant.issuer.removesuffix("one") + "{tenant}"
    introspection = Introspection(**PATIENT, **credentials(tenant.basic))
    tenants = TenantIssuers(template, allowed=ours.__contains__, introspection=introspection, keys=PATIENT_KEYS)
    with validating(tenants, audience=[OPAQUE, JWT], select=lambda token: tenant.issuer) as validator:
        yield validator


def test_a_tenant_that_is_ours_is_asked(tenant: OidcProvider) -> None:
    with asking_tenants(tenant, {"one"}) as validator:
        for token in (tenant.token(OPAQUE), tenant.token(JWT)):
            for _ in range(2):
                assert validator.validate(token).issuer == tenant.issuer
    assert (calls(tenant), tenant.count(tenant.jwks_uri)) == (1, 1)


def test_a_tenant_that_leaves_is_out_at_once(tenant: OidcProvider) -> None:
    ours = {"one"}
    known, unknown, jwt = tenant.token(OPAQUE), tenant.token(OPAQUE), tenant.token(JWT)
    with asking_tenants(tenant, ours) as validator:
        for token in (known, jwt):
            validator.validate(token)
        ours.clear()
        for token in (jwt, known, unknown):
            assert status(validator, token) == 401
    assert calls(tenant) == 1
