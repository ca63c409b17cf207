"""The local issuer's introspection, token and revocation endpoints say what their RFCs have them say."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from typing import Any

import httpx
import jwt
import pytest

from tests.testing.asking import BASIC, KEYS, NOW, ORDERS, assertion, grant, introspect
from tokenguard.testing import LocalIssuer

AUDIENCE = "https://api.example.com"
INACTIVE = {"active": False}
SIGNED = "application/token-introspection+jwt"


def decoded(segment: str) -> Any:
    return json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def claims_of(token: str) -> Any:
    return decoded(token.split(".")[1])


class TestDiscovery:
    def test_names_the_endpoints_and_how_clients_prove_themselves(
        self, server: LocalIssuer, http: httpx.Client
    ) -> None:
        document = http.get(server.url + "/.well-known/oauth-authorization-server").json()
        methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
        for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke")):
            assert document[f"{name}_endpoint"] == f"{server.url}/{path}"
            assert "ES256" in document[f"{name}_endpoint_auth_signing_alg_values_supported"]
        assert document["token_endpoint_auth_methods_supported"] == methods
        assert document["introspection_endpoint_auth_methods_supported"] == [*methods, "Bearer"]
        assert document["revocation_endpoint_auth_methods_supported"] == methods
        assert document["introspection_signing_alg_values_supported"] == ["ES256", "EdDSA"]

    def test_endpoints_lie_below_the_path(self, http: httpx.Client) -> None:
        with LocalIssuer(algorithms=("ES256",), path="/tenant/a/") as issuer:
            assert issuer.token_endpoint.endswith("/tenant/a/token")
            assert issuer.revocation_endpoint.endswith("/tenant/a/revoke")
            answer = introspect(http, issuer, issuer.mint_opaque(), auth=("api", "api-secret"))
            assert answer.json()["active"] is True
            assert issuer.requests == {"/tenant/a/introspect": 1}


class TestMintOpaque:
    def test_makes_texts_that_no_two_tokens_share_and_no_jwt_looks_like(self, server: LocalIssuer) -> None:
        tokens = {server.mint_opaque() for _ in range(20)}
        assert len(tokens) == 20
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)

    def test_takes_a_text_of_your_own(self, server: LocalIssuer) -> None:
        assert server.mint_opaque(token="a.b.c") == "a.b.c"
        assert server.introspect("a.b.c")["active"] is True

    def test_mints_a_revoked_text_anew(self, server: LocalIssuer) -> None:
        server.revoke("text")
        server.mint_opaque(token="text", subject="s")
        assert server.introspect("text")["sub"] == "s"

    def test_merges_claims_as_they_are_without_a_say_in_when_it_ends(self, server: LocalIssuer) -> None:
        token = server.mint_opaque({"active": "true", "exp": "soon", "org_id": 7, "token_type": "DPoP"}, omit=["sub"])
        assert server.introspect(token) == {
            "active": "true",
            "token_type": "DPoP",
            "iss": server.url,
            "aud": AUDIENCE,
            "client_id": "client-1",
            "iat": NOW,
            "exp": "soon",
            "org_id": 7,
        }

    def test_refuses_to_leave_out_what_is_not_there(self, server: LocalIssuer) -> None:
        with pytest.raises(ValueError, match="nothing to leave out under expp"):
            server.mint_opaque(omit=["expp"])

    def test_keeps_what_it_noted(self, server: LocalIssuer) -> None:
        roles = ["reader"]
        token = server.mint_opaque({"roles": roles})
        roles.append("admin")
        server.introspect(token)["roles"].append("root")
        assert server.introspect(token)["roles"] == ["reader"]

    def test_needs_an_address(self) -> None:
        with pytest.raises(RuntimeError, match="start it"):
            LocalIssuer().mint_opaque()


class TestIntrospection:
    def test_tells_of_an_opaque_token(self, server: LocalIssuer, http: httpx.Client) -> None:
        token = server.mint_opaque(
            {"org_id": "o-1"}, scope="a b", subject="s", client_id="c", audience=["x", "y"], expires_in=60
        )
        answer = introspect(http, server, token)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {
            "active": True,
            "token_type": "Bearer",
            "iss": server.url,
            "sub": "s",
            "aud": ["x", "y"],
            "client_id": "c",
            "iat": NOW,
            "exp": NOW + 60,
            "scope": "a b",
            "org_id": "o-1",
        }

    @pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
    def test_tells_of_a_jwt_of_the_issuers(self, server: LocalIssuer, http: httpx.Client, alg: str) -> None:
        token = server.mint({"org_id": "o-1"}, alg=alg, scope="a b")
        expected = {"active": True, "token_type": "Bearer", "scope": "a b", "org_id": "o-1"}
        assert introspect(http, server, token).json() == {**claims_of(token), **expected}

    @pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
    def test_a_hint_is_only_that(self, server: LocalIssuer, http: httpx.Client, hint: str) -> None:
        form = {"token": server.mint_opaque(), "token_type_hint": hint}
        assert http.post(server.introspection_endpoint, data=form, auth=BASIC).json()["active"] is True

    def test_says_nothing_but_inactive_of_any_other_token(self, server: LocalIssuer, http: httpx.Client) -> None:
        with LocalIssuer(algorithms=("ES256",)) as other:
            foreign, same_name = other.mint(), other.mint({"iss": server.url})
        revoked, revoked_jwt = server.mint_opaque(), server.mint()
        server.revoke(revoked)
        server.revoke(revoked_jwt)
        good = server.mint()
        tokens = {
            "unknown": "unknown",
            "dots only": "..",
            "two segments": "a.b",
            "not ASCII": "ä.ä.ä",
            "expired": server.mint_opaque(expires_in=0),
            "expired JWT": server.mint(expires_in=0),
            "not yet valid": server.mint({"nbf": NOW + 1}),
            "no time": server.mint({"exp": "soon"}),
            "a flag for a time": server.mint({"exp": True}),
            "null for a time": server.mint({"exp": None}),
            "never ending": server.sign({"alg": "ES256"}, b'{"exp": 1e999}'),
            "not JSON": server.sign({"alg": "ES256"}, b'{"exp": Infinity}'),
            "nested too deep": server.sign({"alg": "ES256"}, b"[" * 40_000),
            "not an object": server.sign({"alg": "ES256"}, b"[]"),
            "of another issuer": foreign,
            "forged in our name": same_name,
            "of our key in another's name": server.mint({"iss": "https://other.example.com"}),
            "unsigned": server.mint(alg="none"),
            "algorithm confusion": server.mint(alg="HS256", key=server.public_pem()),
            "header that lies": server.mint(header={"alg": "EdDSA"}),
            "alg of no kind": server.mint(header={"alg": ["ES256"]}),
            "unknown kid": server.mint(header={"kid": "nobody"}),
            "kid of no kind": server.mint(header={"kid": ["nobody"]}),
            "unknown extension": server.mint(header={"crit": ["b64"], "b64": True}),
            "another spelling": good + "=",
            "a space more": good.replace(".", ". ", 1),
            "revoked": revoked,
            "revoked JWT": revoked_jwt,
        }
        for what, token in tokens.items():
            answer = introspect(http, server, token)
            assert (answer.status_code, answer.json()) == (200, INACTIVE), what
        assert introspect(http, server, good).json()["active"] is True

    def test_finds_the_key_of_a_jwt_without_kid(self, server: LocalIssuer) -> None:
        server.jwks()
        server.rotate("ES256")
        for alg in ("ES256", "EdDSA"):
            assert server.introspect(server.mint(alg=alg, omit_header=["kid"]))["active"] is True

    def test_knows_a_jwt_without_times_and_one_that_has_begun(self, server: LocalIssuer) -> None:
        assert server.introspect(server.mint(omit=["exp", "iat"]))["active"] is True
        assert server.introspect(server.mint({"nbf": NOW}))["active"] is True

    def test_a_token_ends_when_its_time_comes(self) -> None:
        now = [float(NOW)]
        with LocalIssuer(algorithms=("ES256",), clock=lambda: now[0]) as issuer:
            tokens = [issuer.mint_opaque(expires_in=10), issuer.mint(expires_in=10)]
            now[0] += 9.5
            assert all(issuer.introspect(token)["active"] for token in tokens)
            now[0] += 0.5
            assert [issuer.introspect(token) for token in tokens] == [INACTIVE, INACTIVE]

    @pytest.mark.parametrize(
        "content", ["", "token=", "token_type_hint=access_token", "token=a&token=a", "token=a&token=", "token=%ff"]
    )
    def test_wants_one_token(self, server: LocalIssuer, http: httpx.Client, content: str) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = http.post(server.introspection_endpoint, content=content, headers=headers, auth=BASIC)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data", "", None])
    def test_wants_a_form(self, server: LocalIssuer, http: httpx.Client, content_type: str | None) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = http.post(server.introspection_endpoint, content="token=a", headers=headers, auth=BASIC)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_takes_the_form_with_a_charset(self, server: LocalIssuer, http: httpx.Client) -> None:
        headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
        answer = http.post(server.introspection_endpoint, content="token=a", headers=headers, auth=BASIC)
        assert answer.json() == INACTIVE

    def test_does_not_read_the_query(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = http.post(server.introspection_endpoint + "?token=a", data={"other": "b"}, auth=BASIC)
        assert answer.json() == {"error": "invalid_request", "error_description": "the parameter token is missing"}


class TestMethods:
    @pytest.mark.parametrize("path", ["token", "introspect", "revoke"])
    def test_the_endpoints_are_posted_to(self, server: LocalIssuer, http: httpx.Client, path: str) -> None:
        answer = http.get(f"{server.url}/{path}", params={"token": "a"}, auth=BASIC)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_documents_are_not(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = http.post(server.jwks_uri, data={"a": "b"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


class TestSignedIntrospection:
    def test_is_a_jwt_for_whoever_asks(self, server: LocalIssuer, http: httpx.Client) -> None:
        old, new = server.kid(), server.rotate()
        token = server.mint_opaque(scope="a")
        answer = introspect(http, server, token, headers={"Accept": SIGNED})
        assert answer.headers["content-type"] == SIGNED
        assert answer.headers["cache-control"] == "no-store"
        assert decoded(answer.text.split(".")[0]) == {"alg": "ES256", "typ": "token-introspection+jwt", "kid": new}
        (key,) = [jwk for jwk in server.jwks()["keys"] if jwk["kid"] == new != old]
        unlimited = {"verify_iat": False}
        claims = jwt.decode(answer.text, jwt.PyJWK(key), ["ES256"], audience="orders api", options=unlimited)  # type: ignore[arg-type]
        assert claims == {
            "iss": server.url,
            "aud": ORDERS.client_id,
            "iat": NOW,
            "token_introspection": server.introspect(token),
        }

    def test_is_so_for_an_inactive_token_too(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = introspect(http, server, "unknown", headers={"Accept": SIGNED})
        assert claims_of(answer.text)["token_introspection"] == INACTIVE

    def test_is_made_out_to_a_client_that_signs_or_bears(self, server: LocalIssuer, http: httpx.Client) -> None:
        headers = {"Accept": SIGNED}
        form = {"token": "t", **assertion(server)}
        assert claims_of(http.post(server.introspection_endpoint, data=form, headers=headers).text)["aud"] == "signer"
        headers["Authorization"] = "Bearer r-e.a_d~e+r/=="
        assert claims_of(introspect(http, server, "t", headers=headers, auth=None).text)["aud"] == "reader"

    @pytest.mark.parametrize(
        ("accept", "signed"),
        [
            (SIGNED, True),
            (SIGNED.upper(), True),
            (f"application/json;q=0.5, {SIGNED}", True),
            (f"{SIGNED} ; q=0.01", True),
            (f"{SIGNED};q=0", False),
            (f"{SIGNED}; Q=0.000 ;x=y", False),
            ("application/json", False),
            ("*/*", False),
            ("application/*", False),
            ("", False),
        ],
    )
    def test_comes_only_to_those_who_accept_it(
        self, server: LocalIssuer, http: httpx.Client, accept: str, signed: bool
    ) -> None:
        answer = introspect(http, server, "t", headers={"Accept": accept})
        assert answer.headers["content-type"] == (SIGNED if signed else "application/json")

    def test_is_no_token(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = introspect(http, server, server.mint_opaque(), headers={"Accept": SIGNED})
        assert server.introspect(answer.text) == INACTIVE

    def test_errors_are_never_signed(self, server: LocalIssuer, http: httpx.Client) -> None:
        headers = {"Accept": SIGNED}
        for answer in (
            introspect(http, server, "t", auth=("orders", "wrong"), headers=headers),
            introspect(http, server, "", headers=headers),
            http.get(server.introspection_endpoint, headers=headers),
        ):
            assert answer.status_code >= 400
            assert answer.headers["content-type"] == "application/json"
            assert "error" in answer.json()


class TestToken:
    def test_is_a_jwt_of_the_client(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = grant(http, server, {"scope": "orders:read"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        document = answer.json()
        token = document.pop("access_token")
        assert document == {"token_type": "Bearer", "expires_in": 300, "scope": "orders:read"}
        claims = claims_of(token)
        assert claims.pop("jti")
        assert claims == {
            "iss": server.url,
            "sub": "orders api",
            "client_id": "orders api",
            "aud": AUDIENCE,
            "iat": NOW,
            "exp": NOW + 300,
            "scope": "orders:read",
        }
        assert introspect(http, server, token).json()["active"] is True

    def test_is_opaque_where_the_client_is_given_such(self, server: LocalIssuer, http: httpx.Client) -> None:
        document = grant(http, server, {"scope": "any:thing"}, auth=("opaque", "s")).json()
        assert "." not in document["access_token"]
        known = introspect(http, server, document["access_token"]).json()
        assert (known["sub"], known["client_id"], known["scope"]) == ("opaque", "opaque", "any:thing")

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (None, "orders:read orders:write"),
            ("", "orders:read orders:write"),
            ("orders:write orders:read", "orders:write orders:read"),
            ("orders:read orders:read", "orders:read"),
        ],
    )
    def test_has_the_scopes_asked_for_or_all(
        self, server: LocalIssuer, http: httpx.Client, asked: str | None, granted: str
    ) -> None:
        document = grant(http, server, {} if asked is None else {"scope": asked}).json()
        assert document["scope"] == claims_of(document["access_token"])["scope"] == granted

    def test_has_no_scope_where_none_is_asked_for_and_none_is_set(
        self, server: LocalIssuer, http: httpx.Client
    ) -> None:
        document = grant(http, server, auth=("opaque", "s")).json()
        assert "scope" not in document
        assert "scope" not in introspect(http, server, document["access_token"]).json()

    @pytest.mark.parametrize("scope", ["admin", "orders:read admin", "orders:read  orders:write", " ", "ä", '"'])
    def test_is_not_given_for_scopes_that_the_client_may_not_have(
        self, server: LocalIssuer, http: httpx.Client, scope: str
    ) -> None:
        answer = grant(http, server, {"scope": scope})
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_scope"})

    def test_is_not_given_for_what_is_no_scope_to_whoever_may_have_all(
        self, server: LocalIssuer, http: httpx.Client
    ) -> None:
        assert grant(http, server, {"scope": "a  b"}, auth=("opaque", "s")).json() == {"error": "invalid_scope"}

    @pytest.mark.parametrize(
        ("form", "audience"),
        [
            ({"resource": "https://one.example"}, "https://one.example"),
            ({"audience": "one"}, "one"),
            ({"resource": ["urn:b", "urn:a"], "audience": ["c", "urn:a"]}, ["urn:b", "urn:a", "c"]),
            ({"resource": "", "audience": ["", ""]}, AUDIENCE),
        ],
    )
    def test_is_for_the_audience_asked_for(
        self, server: LocalIssuer, http: httpx.Client, form: dict[str, Any], audience: Any
    ) -> None:
        assert claims_of(grant(http, server, form).json()["access_token"])["aud"] == audience

    @pytest.mark.parametrize("resource", ["one", "/one", "https://one.example/#part", "https://[::1"])
    def test_is_not_given_for_a_resource_that_is_no_uri(
        self, server: LocalIssuer, http: httpx.Client, resource: str
    ) -> None:
        answer = grant(http, server, {"resource": resource})
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_target"})

    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": ""}, "invalid_request"),
            ({"grant_type": ["client_credentials"] * 2}, "invalid_request"),
            ({"scope": ["orders:read"] * 2}, "invalid_request"),
        ],
    )
    def test_is_not_given_otherwise(
        self, server: LocalIssuer, http: httpx.Client, form: dict[str, Any], error: str
    ) -> None:
        answer = grant(http, server, form)
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert answer.headers["cache-control"] == "no-store"

    def test_comes_to_a_client_that_signs(self, server: LocalIssuer, http: httpx.Client) -> None:
        document = grant(http, server, assertion(server, {"aud": server.token_endpoint}), auth=None).json()
        assert claims_of(document["access_token"])["sub"] == "signer"


class TestRevocation:
    @pytest.mark.parametrize("kind", ["mint", "mint_opaque"])
    def test_makes_a_token_inactive(self, server: LocalIssuer, http: httpx.Client, kind: str) -> None:
        token, other = (getattr(server, kind)() for _ in range(2))
        answer = http.post(server.revocation_endpoint, data={"token": token}, auth=BASIC)
        assert answer.status_code == 200
        assert introspect(http, server, token).json() == INACTIVE
        assert introspect(http, server, other).json()["active"] is True

    def test_does_not_mind_a_token_that_nobody_knows(self, server: LocalIssuer, http: httpx.Client) -> None:
        form = {"token": "unknown", "token_type_hint": "nonsense"}
        assert http.post(server.revocation_endpoint, data=form, auth=BASIC).status_code == 200

    def test_wants_a_token_and_a_client(self, server: LocalIssuer, http: httpx.Client) -> None:
        token = server.mint_opaque()
        assert http.post(server.revocation_endpoint, data={"token": ""}, auth=BASIC).status_code == 400
        assert http.post(server.revocation_endpoint, data={"token": token}).status_code == 401
        bearer = {"Authorization": "Bearer r-e.a_d~e+r/=="}
        assert http.post(server.revocation_endpoint, data={"token": token}, headers=bearer).status_code == 401
        assert server.introspect(token)["active"] is True


def test_the_keys_of_a_client_need_no_running_issuer() -> None:
    with pytest.raises(RuntimeError, match="start it"):
        KEYS.token_endpoint  # noqa: B018 - the getter is what raises
