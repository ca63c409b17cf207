"""What django-oauth-toolkit answers, as it stands: as little as RFC 7662 lets a server get away with, or less."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from tests.interop.authorization_server import LIFETIME
from tests.interop.clients import AWKWARD, Client, basic
from tests.interop.dot_provider import DotProvider
from tokenguard import InvalidToken, Issuer, Reason, TokenValidator

pytestmark = pytest.mark.real_server

API = "https://api.example.com"


@pytest.fixture
def post(dot: DotProvider) -> Client:
    """The API as a client that sends its secret in the form."""
    return replace(dot.basic, method="client_secret_post")


def ask(dot: DotProvider, form: dict[str, str], authorization: str | None = None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return dot.http.post(dot.introspection_endpoint, data=form, headers=headers)


def is_bare_403(answer: httpx.Response) -> bool:
    """Forbidden, with no challenge and nothing in a page of HTML."""
    assert "www-authenticate" not in answer.headers
    return (answer.status_code, answer.headers["content-type"], answer.text) == (403, "text/html; charset=utf-8", "")


def test_an_active_token_has_a_scope_an_exp_and_a_client(dot: DotProvider, post: Client) -> None:
    token = dot.token(scope="orders:read")
    for client in (dot.basic, post):
        answer = dot.introspect(token, client)
        assert answer.headers["content-type"] == "application/json"
        assert "cache-control" not in answer.headers
        said = answer.json()
        assert type(said.pop("exp")) is int
        assert said == {"active": True, "scope": "orders:read", "client_id": "app"}


def test_aud_is_a_list_and_there_is_one_only_with_a_resource(dot: DotProvider) -> None:
    assert dot.introspect(dot.token(resource=API)).json()["aud"] == [API]
    assert "aud" not in dot.introspect(dot.token()).json()


def test_no_scopes_are_an_empty_string(dot: DotProvider) -> None:
    assert dot.introspect(dot.token()).json()["scope"] == ""


def test_what_is_revoked_or_unheard_of_is_inactive(dot: DotProvider) -> None:
    token = dot.token()
    dot.revoke(token)
    for unknown in (token, "unheard-of", "ünheard of"):
        assert dot.introspect(unknown).json() == {"active": False}


def test_revoking_anothers_token_is_answered_200_and_does_nothing(dot: DotProvider) -> None:
    token = dot.token()
    assert dot.post_as(dot.basic, dot.revocation_endpoint, {"token": token}).status_code == 200
    assert dot.introspect(token).json()["active"] is True


def test_bad_credentials_of_any_kind_are_403_without_a_challenge(dot: DotProvider) -> None:
    form = {"token": dot.token()}
    assert is_bare_403(ask(dot, form))
    assert is_bare_403(ask(dot, form, basic("api:basic", "wrong")))
    assert is_bare_403(ask(dot, form, basic("nobody", "wrong")))
    assert is_bare_403(ask(dot, form, basic("api:basic", AWKWARD, encoded=False)))
    assert is_bare_403(ask(dot, {**form, "client_id": "api:basic", "client_secret": "wrong"}))
    assert is_bare_403(ask(dot, form, f"Bearer {dot.token(scope='orders:read')}"))


def test_a_token_with_the_scope_introspection_opens_it_too(dot: DotProvider) -> None:
    answer = ask(dot, {"token": dot.token()}, f"Bearer {dot.token(scope='introspection')}")
    assert answer.json()["active"] is True


def test_no_token_is_400(dot: DotProvider) -> None:
    answer = ask(dot, {}, basic("api:basic", AWKWARD))
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "invalid_request", "error_description": "Token parameter is missing."},
    )


def test_answers_are_never_signed(dot: DotProvider) -> None:
    answer = dot.introspect(dot.token(), headers={"Accept": "application/token-introspection+jwt"})
    assert answer.headers["content-type"] == "application/json"


def test_an_address_without_its_last_slash_is_another(dot: DotProvider) -> None:
    address = dot.introspection_endpoint.removesuffix("/")
    assert dot.post_as(dot.basic, address, {"token": dot.token()}).status_code == 404


def test_discovery_names_introspection_and_no_keys(dot: DotProvider) -> None:
    metadata = dot.http.get(f"{dot.issuer}/.well-known/oauth-authorization-server").json()
    for name in ("issuer", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert metadata[name] == getattr(dot, name)
    assert "jwks_uri" not in metadata


def test_its_tokens_are_malformed_as_jwts_and_cost_no_fetch(dot: DotProvider) -> None:
    token = dot.token()
    dot.reset()
    with TokenValidator(Issuer(dot.issuer), audience=API) as validator, pytest.raises(InvalidToken) as refused:
        validator.validate(token)
    assert refused.value.reason == Reason.MALFORMED
    assert dot.counts() == {}


def test_a_token_lives_as_long_as_it_was_set_up(dot: DotProvider) -> None:
    form = {"grant_type": "client_credentials"}
    assert dot.post_as(dot.app, dot.token_endpoint, form).json()["expires_in"] == LIFETIME
