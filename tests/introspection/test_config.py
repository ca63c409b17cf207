"""What an operator may say about introspection. Contradictions fail when they are said (DESIGN, principle 8)."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from tests.forge import AUDIENCE, DROP, ISSUER, JWKS
from tests.introspection.stage import ENDPOINT, OTHER, SECRET, asked, issuer
from tokenguard import ConfigurationError, Introspection, Issuer, TenantIssuers, TokenValidator

PEM = "-----BEGIN PRIVATE KEY-----\nnot a key\n-----END PRIVATE KEY-----\n"


def test_the_defaults_are_those_of_the_design() -> None:
    said = Introspection(client_id="api", client_secret=SECRET)
    assert (said.endpoint, said.auth, said.policy) == (None, "client_secret_basic", "opaque")
    assert (said.lifetime, said.inactive_lifetime, said.in_flight) == (60, 10, 32)
    assert (said.connect_timeout, said.total_timeout, said.patience) == (1, 3, 5)  # as for keys
    switches = ("signed_response", "allow_missing_aud", "allow_missing_exp", "allow_missing_token_type")
    assert [getattr(said, name) for name in switches] == [False, False, False, None]


@pytest.mark.parametrize(
    ("options", "auth"),
    [
        ({"client_secret": "s"}, "client_secret_basic"),
        ({"client_secret": "s", "auth": "client_secret_post"}, "client_secret_post"),
        ({"private_key": PEM}, "private_key_jwt"),
        ({"private_key": PEM.encode(), "key_id": "k", "assertion_audience": ENDPOINT}, "private_key_jwt"),
        ({"bearer": "b", "client_id": None}, "bearer"),
        ({"bearer": "b"}, "bearer"),
    ],
)
def test_the_credential_says_how_it_is_sent(options: dict[str, Any], auth: str) -> None:
    assert Introspection(**{"client_id": "api", **options}).auth == auth


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"client_secret": None}, "one credential"),
    ({"bearer": "b"}, "client_secret and bearer"),
    ({"private_key": PEM}, "client_secret and private_key"),
    ({"client_secret": ""}, "client_secret is empty"),
    ({"client_secret": 7}, "of a wrong type"),
    ({"client_secret": b"bytes"}, "of a wrong type"),
    ({"client_secret": "half a \ud800 pair"}, "lone surrogates"),
    ({"client_secret": None, "private_key": b""}, "private_key is empty"),
    ({"client_secret": None, "private_key": 7}, "of a wrong type"),
    ({"client_secret": None, "bearer": ""}, "bearer is empty"),
    ({"client_secret": None, "bearer": "t\u00f6ken"}, "no token"),
    ({"client_secret": None, "bearer": "token\n"}, "line end"),  # as a file has it
    ({"client_secret": None, "bearer": "two words"}, "no token"),
    ({"client_secret": None, "bearer": "a\r\nX-Admin: 1"}, "no token"),
    ({"client_id": None}, "client_id is None"),
    ({"client_id": ""}, "client_id is ''"),
    ({"client_id": 7}, "client_id is 7"),
    ({"client_id": "\udfff"}, "client_id"),
    ({"auth": "none"}, "auth is 'none'"),
    ({"auth": ""}, "auth is ''"),
    ({"auth": ["bearer"]}, "auth is"),
    ({"auth": "private_key_jwt"}, "client_secret_basic.* or .*client_secret_post"),
    ({"auth": "client_secret_jwt"}, "auth is"),
    ({"client_secret": None, "bearer": "b", "auth": "client_secret_post"}, '"bearer"'),
    ({"key_id": "k"}, "only beside private_key"),
    ({"assertion_audience": ENDPOINT}, "only beside private_key"),
    ({"client_secret": None, "private_key": PEM, "key_id": ""}, "key_id"),
    ({"client_secret": None, "private_key": PEM, "key_id": 7}, "key_id"),
    ({"client_secret": None, "private_key": PEM, "assertion_audience": [ENDPOINT]}, "assertion_audience"),
    ({"policy": "jwt"}, "policy is 'jwt'"),
    ({"policy": None}, "policy is None"),
    ({"policy": ["only"]}, "policy is"),
    ({"signed_response": 1}, "signed_response is 1"),
    ({"allow_missing_aud": "no"}, "allow_missing_aud is 'no'"),
    ({"allow_missing_exp": None}, "allow_missing_exp is None"),
    ({"allow_missing_token_type": 0}, "allow_missing_token_type is 0"),
    ({"allow_missing_exp": None}, "allow_missing_exp is None"),
    ({"client_secret": None, "client_id": None, "bearer": "b", "signed_response": True}, "needs client_id"),
    ({"lifetime": -1}, "lifetime is -1: it is a number of seconds from 0 to 86400"),
    ({"lifetime": True}, "lifetime is True"),
    ({"lifetime": float("nan")}, "lifetime is nan"),
    ({"lifetime": float("inf")}, "lifetime is inf"),
    ({"lifetime": "60"}, "lifetime is '60'"),
    ({"lifetime": 86401}, "lifetime is 86401"),
    ({"inactive_lifetime": -0.1}, "inactive_lifetime"),
    ({"connect_timeout": 0}, "connect_timeout is 0"),
    ({"total_timeout": 0}, "total_timeout is 0"),
    ({"patience": 0}, "patience is 0: it is a number of seconds above 0, at most 86400"),
    ({"connect_timeout": 4}, "above its total_timeout"),
    ({"entries": 0}, "entries is 0"),
    ({"entries": 1.5}, "entries is 1.5"),
    ({"in_flight": 0}, "in_flight is 0"),
    ({"in_flight": True}, "in_flight is True"),
    ({"max_bytes": -1}, "max_bytes is -1"),
]


@pytest.mark.parametrize(("options", "says"), CONTRADICTIONS)
def test_a_contradiction_fails_and_shows_no_secret(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        asked(**options)
    for secret in (SECRET, "not a key", "t\u00f6ken", "X-Admin", "half a"):
        assert secret not in str(caught.value)
    assert caught.value.__context__ is None


def test_zero_switches_a_cache_off() -> None:
    assert asked(lifetime=0, inactive_lifetime=0.0).lifetime == 0


def test_a_secret_shows_nowhere() -> None:
    for said in (
        asked(),
        asked(client_secret=DROP, private_key=PEM + SECRET),
        asked(client_secret=DROP, bearer=SECRET),
    ):
        of = Issuer(ISSUER, introspection=said)
        tenants = TenantIssuers("https://{tenant}.example.com", allowed=bool, introspection=said)
        for shown in (repr(said), str(said), f"{said}", repr(of), repr(tenants), repr(copy.copy(said))):
            assert SECRET not in shown
    assert repr(asked()) == (
        f"Introspection(endpoint='{ENDPOINT}', client_id='api', auth='client_secret_basic', policy='opaque')"
    )


def test_it_is_frozen_and_can_be_compared_changed_and_sent_to_a_process() -> None:
    said = asked()
    with pytest.raises(FrozenInstanceError):
        said.policy = "only"  # type: ignore[misc]
    assert replace(said, policy="only") != said == asked()
    assert hash(said) == hash(asked())
    assert pickle.loads(pickle.dumps(said)) == said


class TestOnAnIssuer:
    @pytest.mark.parametrize(
        "endpoint",
        ["http://as.example.com/x", "ftp://as.example.com/x", "https://a b/", "", "/introspect", "https://u@as/", 7],
    )
    def test_the_endpoint_is_a_plain_https_url(self, endpoint: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"introspection\.endpoint"):
            issuer(introspection=asked(endpoint=endpoint))

    def test_http_is_for_this_machine_or_said_aloud(self) -> None:
        issuer(introspection=asked(endpoint="http://127.0.0.1:8080/introspect"))
        issuer(introspection=asked(endpoint="http://as.local/introspect"), allow_insecure_http=True)

    def test_introspection_is_an_introspection(self) -> None:
        for wrong in ({"endpoint": ENDPOINT}, ENDPOINT, True):
            with pytest.raises(ConfigurationError, match=r"introspection=Introspection\("):
                Issuer(ISSUER, introspection=wrong)  # type: ignore[arg-type]

    def test_where_keys_are_never_used_they_are_not_given(self) -> None:
        with pytest.raises(ConfigurationError, match="drop jwks"):
            Issuer(ISSUER, jwks=JWKS, introspection=asked(policy="only"))
        assert not Issuer(ISSUER, introspection=asked(policy="only")).has_keys
        assert Issuer(ISSUER, jwks=JWKS, introspection=asked(policy="only", signed_response=True)).has_keys
        assert issuer().has_keys

    def test_an_endpoint_from_metadata_takes_an_issuer_that_has_metadata(self) -> None:
        with pytest.raises(ConfigurationError, match="url"):
            Issuer("accounts.example.com", jwks=JWKS, introspection=asked(endpoint=None))
        Issuer("accounts.example.com", jwks=JWKS, introspection=asked())

    def test_with_an_endpoint_and_no_keys_an_issuer_needs_no_address(self) -> None:
        assert Issuer("accounts.example.com", introspection=asked(policy="only")).url == "accounts.example.com"


class TestPrivateKeys:
    def test_one_of_no_use_fails_when_the_validator_is_built_and_is_not_shown(self) -> None:
        for pem in (PEM, PEM.encode(), SECRET, b"\xff\xfe", "\ud800"):
            said = asked(client_secret=DROP, private_key=pem)
            with pytest.raises(ConfigurationError, match="private_key is no unencrypted private key") as caught:
                TokenValidator(issuer(introspection=said), audience=AUDIENCE)
            assert "not a key" not in str(caught.value)
            assert SECRET not in str(caught.value)
            assert caught.value.__context__ is None
            assert caught.value.__cause__ is None


class TestSelect:
    TWO = (issuer(), issuer(OTHER))

    def test_one_issuer_needs_none(self) -> None:
        TokenValidator(issuer(), audience=AUDIENCE)
        TokenValidator(issuer(), Issuer(OTHER, jwks=JWKS), audience=AUDIENCE)

    def test_two_need_one(self) -> None:
        with pytest.raises(ConfigurationError, match="select="):
            TokenValidator(*self.TWO, audience=AUDIENCE)
        TokenValidator(*self.TWO, audience=AUDIENCE, select=lambda _: ISSUER)

    def test_tenants_that_are_asked_need_one(self) -> None:
        tenants = TenantIssuers("https://{tenant}.example.com", allowed=lambda _: True, introspection=asked())
        with pytest.raises(ConfigurationError, match="select="):
            TokenValidator(tenants, audience=AUDIENCE)
        TokenValidator(tenants, audience=AUDIENCE, select=lambda _: "https://acme.example.com")

    def test_without_introspection_it_says_nothing(self) -> None:
        with pytest.raises(ConfigurationError, match="select is of use only"):
            TokenValidator(Issuer(ISSUER, jwks=JWKS), audience=AUDIENCE, select=lambda _: ISSUER)

    def test_it_is_a_plain_function(self) -> None:
        async def later(_: str) -> str:
            return ISSUER

        for wrong in (ISSUER, later, 7):
            with pytest.raises(ConfigurationError, match="plain function"):
                TokenValidator(*self.TWO, audience=AUDIENCE, select=wrong)  # type: ignore[arg-type]
