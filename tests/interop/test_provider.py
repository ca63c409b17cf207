"""What oidc-provider answers, as it stands: the ground on which tests of introspection are built."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from tests.interop.authorization_server import LIFETIME
from tests.interop.clients import AWKWARD, Client, basic
from tests.interop.oidc_provider import OPAQUE, OidcProvider, resource_of

pytestmark = pytest.mark.real_server

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SIGNED = "application/token-introspection+jwt"

UNAUTHENTICATED = {"error": "invalid_client", "error_description": "client authentication failed"}


def facts(provider: OidcProvider, answer: httpx.Response) -> dict[str, Any]:
    """What an active answer says, apart from times and the issuer, which are checked."""
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    said: dict[str, Any] = answer.json()
    assert said.pop("active") is True
    assert said.pop("iss") == provider.issuer
    assert said.pop("exp") - said.pop("iat") in (LIFETIME, 86400)
    return said


def error(answer: httpx.Response) -> tuple[int, str, str]:
    said = answer.json()
    assert set(said) == {"error", "error_description"}
    return answer.status_code, said["error"], said["error_description"]


def ask(provider: OidcProvider, form: Mapping[str, str], **headers: str) -> httpx.Response:
    return provider.http.post(provider.introspection_endpoint, data=form, headers=headers)


@pytest.fixture(params=["basic", "post", "private_key_jwt"])
def api(request: pytest.FixtureRequest, provider: OidcProvider) -> Client:
    """The API as a client, by each method."""
    client: Client = getattr(provider, request.param)
    return client


def test_discovery_names_the_endpoints(provider: OidcProvider) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        metadata = provider.http.get(f"{provider.issuer}/.well-known/{name}").json()
        for endpoint in ("issuer", "jwks_uri", "introspection_endpoint", "revocation_endpoint"):
            assert metadata[endpoint] == getattr(provider, endpoint)
        assert "introspection_endpoint_auth_methods_supported" not in metadata


def test_discovery_follows_the_host_header(provider: OidcProvider) -> None:
    address = f"{provider.issuer}/.well-known/openid-configuration"
    metadata = provider.http.get(address, headers={"Host": "elsewhere.example"}).json()
    assert metadata["issuer"] == provider.issuer
    assert metadata["introspection_endpoint"] == "http://elsewhere.example/token/introspection"


def test_one_key_serves_two_algorithms_and_keys_may_be_cached_as_one_likes(provider: OidcProvider) -> None:
    answer = provider.http.get(provider.jwks_uri)
    assert answer.headers["content-type"] == "application/jwk-set+json; charset=utf-8"
    assert "cache-control" not in answer.headers
    algorithms = {key["kty"]: key.get("alg") for key in answer.json()["keys"]}
    assert algorithms == {"RSA": None, "EC": "ES256", "OKP": None}


def test_each_client_authentication_opens_introspection(provider: OidcProvider, api: Client) -> None:
    answer = provider.introspect(provider.token(OPAQUE, "orders:read"), api)
    assert facts(provider, answer) == {
        "client_id": "app",
        "aud": OPAQUE,
        "scope": "orders:read",
        "token_type": "Bearer",
    }


def test_without_a_resource_there_is_no_aud_and_without_a_scope_no_scope(provider: OidcProvider) -> None:
    assert facts(provider, provider.introspect(provider.token())) == {"client_id": "app", "token_type": "Bearer"}


def test_a_users_token_has_a_sub_and_what_the_server_adds(provider: OidcProvider) -> None:
    provider.add_claims(acr="silver", auth_time=1)
    assert facts(provider, provider.introspect(provider.user_token(OPAQUE))) == {
        "sub": "user-1",
        "client_id": "app",
        "aud": OPAQUE,
        "scope": "orders:read",
        "token_type": "Bearer",
        "acr": "silver",
        "auth_time": 1,
    }


def test_a_refresh_token_is_active_and_has_neither_aud_nor_token_type(provider: OidcProvider) -> None:
    assert facts(provider, provider.introspect(provider.refresh_token())) == {
        "sub": "user-1",
        "client_id": "app",
        "scope": "orders:read offline_access",
    }


def test_what_is_revoked_expired_or_unheard_of_is_inactive_and_nothing_else(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    revoked = provider.token(OPAQUE)
    provider.revoke(revoked)
    for unknown in (revoked, "unheard-of", "ünheard of"):
        assert provider.introspect(unknown).json() == {"active": False}
    provider.shift_clock(LIFETIME + 1)
    assert provider.introspect(token).json() == {"active": False}
    provider.shift_clock(0)
    assert provider.introspect(token).json()["active"] is True


def test_tokens_and_clients_outlive_a_rotation_of_keys(provider: OidcProvider, api: Client) -> None:
    token = provider.token(OPAQUE)
    provider.rotate(keep_old=False)
    assert provider.introspect(token, api).json()["active"] is True


@pytest.mark.parametrize("endpoint", ["introspection", "revocation"])
def test_jwts_are_neither_introspected_nor_revoked(provider: OidcProvider, endpoint: str) -> None:
    url = getattr(provider, f"{endpoint}_endpoint")
    for token in (provider.token(resource_of("ES256")), provider.id_token()):
        status, code, description = error(provider.post_as(provider.app, url, {"token": token}))
        assert (status, code) == (400, "unsupported_token_type")
        assert description.startswith("Structured JWT Tokens cannot be ")


def test_a_wrong_secret_is_401_with_a_challenge_where_it_came_in_a_header(provider: OidcProvider) -> None:
    form = {"token": provider.token(OPAQUE)}
    for client_id in ("api:basic", "nobody"):
        answer = ask(provider, form, Authorization=basic(client_id, "wrong"))
        assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
        assert answer.headers["www-authenticate"] == (
            f'Basic realm="{provider.issuer}", error="invalid_client", error_description="client authentication failed"'
        )
    for credentials in ({"client_id": "api-post", "client_secret": "wrong"}, {"client_id": "api-post"}):
        answer = ask(provider, {**form, **credentials})
        assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
        assert "www-authenticate" not in answer.headers


def test_credentials_that_are_not_form_encoded_are_400(provider: OidcProvider) -> None:
    form = {"token": provider.token(OPAQUE)}
    answer = ask(provider, form, Authorization=basic("api:basic", AWKWARD, encoded=False))
    assert error(answer) == (
        400,
        "invalid_request",
        "client_id and client_secret in the authorization header are not properly encoded",
    )
    assert "www-authenticate" not in answer.headers


def test_no_credentials_no_token_and_no_form_are_400_or_404(provider: OidcProvider) -> None:
    form = {"token": provider.token(OPAQUE)}
    good = basic("api:basic", AWKWARD)
    assert error(ask(provider, form)) == (400, "invalid_request", "no client authentication mechanism provided")
    bearer = ask(provider, form, Authorization=f"Bearer {form['token']}")
    assert error(bearer) == (400, "invalid_request", "invalid authorization header value format")
    missing = ask(provider, {}, Authorization=good)
    assert error(missing) == (400, "invalid_request", "missing required parameter 'token'")
    posted = provider.http.post(provider.introspection_endpoint, json=form, headers={"Authorization": good})
    assert error(posted)[:2] == (400, "invalid_request")
    assert provider.http.get(provider.introspection_endpoint, params=form).status_code == 404


def test_a_secret_is_taken_by_either_way_whatever_was_registered(provider: OidcProvider) -> None:
    form = {"token": provider.token(OPAQUE)}
    assert ask(provider, {**form, "client_id": "api:basic", "client_secret": AWKWARD}).status_code == 200
    assert ask(provider, form, Authorization=basic("api-post", AWKWARD)).status_code == 200


def test_an_assertion_is_for_this_server_and_good_once(provider: OidcProvider) -> None:
    client = provider.private_key_jwt

    def present(assertion: str) -> httpx.Response:
        return ask(provider, {"token": token, "client_assertion": assertion, "client_assertion_type": ASSERTION})

    token = provider.token(OPAQUE)
    for audience in (provider.issuer, provider.token_endpoint, provider.introspection_endpoint):
        assert present(client.assertion(audience)).status_code == 200
    used = client.assertion(provider.issuer)
    assert present(used).status_code == 200
    for bad in (
        used,
        client.assertion(f"{provider.issuer}/"),
        client.assertion(provider.issuer, exp=1),
        client.assertion(provider.issuer, iss="app"),
    ):
        answer = present(bad)
        assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
        assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("accept", [SIGNED, f"{SIGNED}, application/json"])
def test_a_signed_answer_is_for_who_asked(provider: OidcProvider, api: Client, accept: str) -> None:
    token = provider.token(OPAQUE, "orders:read")
    answer = provider.introspect(token, api, headers={"Accept": accept})
    assert answer.headers["content-type"] == f"{SIGNED}; charset=utf-8"
    key = next(key for key in _keys(provider) if key.key_id == jwt.get_unverified_header(answer.text)["kid"])
    found = jwt.decode_complete(answer.text, key, ["RS256"], audience=api.client_id, issuer=provider.issuer)
    assert found["header"] == {"alg": "RS256", "typ": "token-introspection+jwt", "kid": key.key_id}
    assert set(found["payload"]) == {"iss", "aud", "iat", "token_introspection"}
    assert found["payload"]["aud"] == api.client_id
    assert found["payload"]["token_introspection"] == provider.introspect(token, api).json()


def test_of_the_inactive_a_signed_answer_says_no_more_than_a_plain_one(provider: OidcProvider) -> None:
    answer = provider.introspect("unheard-of", headers={"Accept": SIGNED})
    payload = jwt.decode(answer.text, options={"verify_signature": False})
    assert payload["token_introspection"] == {"active": False}


def test_errors_are_never_signed(provider: OidcProvider) -> None:
    form = {"token": provider.token(OPAQUE)}
    refused = ask(provider, form, Authorization=basic("api:basic", "wrong"), Accept=SIGNED)
    assert (refused.status_code, refused.json()) == (401, UNAUTHENTICATED)
    unsupported = provider.introspect(provider.token(resource_of("ES256")), headers={"Accept": SIGNED})
    assert error(unsupported)[:2] == (400, "unsupported_token_type")


def test_an_unknown_resource_gets_no_token(provider: OidcProvider) -> None:
    form = {"grant_type": "client_credentials", "resource": "https://elsewhere.example"}
    answer = provider.post_as(provider.app, provider.token_endpoint, form)
    assert error(answer)[:2] == (400, "invalid_target")


def test_only_who_got_a_token_may_revoke_it(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    answer = provider.post_as(provider.basic, provider.revocation_endpoint, {"token": token})
    assert error(answer)[:2] == (400, "invalid_request")
    assert provider.introspect(token).json()["active"] is True


def test_faults_come_and_go(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    url = provider.introspection_endpoint
    provider.fail(url, status=429, headers={"Retry-After": "7"}, body="slower")
    answer = provider.introspect(token)
    assert (answer.status_code, answer.headers["retry-after"], answer.text) == (429, "7", "slower")
    provider.fail(url, reset=True)
    with pytest.raises(httpx.TransportError):
        provider.introspect(token)
    provider.fail(url, delay=0.01)
    assert provider.introspect(token).json()["active"] is True
    provider.reset()
    provider.fail(url, hang=True)
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(provider.introspect, token)
        provider.wait_for_requests(url)
        assert not answered.done()
        provider.recover()
        assert answered.result().json()["active"] is True
    assert provider.count(url) == 1


def _keys(provider: OidcProvider) -> list[jwt.PyJWK]:
    return jwt.PyJWKSet(provider.http.get(provider.jwks_uri).json()["keys"]).keys
