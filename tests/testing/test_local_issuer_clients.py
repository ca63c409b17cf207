"""The local issuer believes clients that prove who they are, and no others."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from jwt.algorithms import ECAlgorithm

from tests.testing.asking import BASIC, JWT_BEARER, KEYS, NOW, UNAUTHENTICATED, assertion
from tokenguard.testing import Client, LocalIssuer

ENDPOINTS = ("token", "introspect", "revoke")
BASIC_CHALLENGE = 'Basic realm="LocalIssuer"'


def ask(
    http: httpx.Client,
    issuer: LocalIssuer,
    form: dict[str, str] | None = None,
    *,
    at: str = "introspect",
    authorization: str | None = None,
) -> httpx.Response:
    """A request that is fine but for how its client authenticates."""
    data = {"token": "t", "grant_type": "client_credentials", **(form or {})}
    headers = {} if authorization is None else {"Authorization": authorization}
    return http.post(f"{issuer.url}/{at}", data=data, headers=headers)


def basic(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(data).decode()


def assert_unauthenticated(answer: httpx.Response, challenge: str = BASIC_CHALLENGE) -> None:
    assert (answer.status_code, answer.json()) == (401, UNAUTHENTICATED)
    assert answer.headers["www-authenticate"] == challenge
    assert answer.headers["cache-control"] == "no-store"


class TestClient:
    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            ({"client_id": "", "secret": "s"}, "client_id or secret is empty"),
            ({}, "give it a secret, a jwk or a bearer"),
            ({"secret": "", "bearer": "b"}, "client_id or secret is empty"),
            ({"bearer": "a b"}, r"letters, digits and -\._~\+/"),
            ({"bearer": ""}, r"letters, digits and -\._~\+/"),
            ({"secret": "s", "scopes": "orders:read"}, "sequence of names"),
            ({"secret": "s", "scopes": ("a b",)}, "sequence of names"),
            ({"jwk": {}}, "jwk is a public key"),
            ({"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, "jwk is a public key"),
            ({"jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}}, "jwk is a public key"),
            ({"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}, "jwk is a public key"),
            ({"jwk": {"kty": "OKP", "crv": "Ed448", "x": "A" * 76}}, "jwk is a public key"),
            (
                {"jwk": ECAlgorithm.to_jwk(generate_private_key(SECP256K1()).public_key(), as_dict=True)},
                "jwk is a public key",
            ),
        ],
        ids=lambda said: re.sub(r"'[xy]': '[^']{9,}'", "", str(said)),
    )
    def test_fails_when_made_if_it_could_never_work(self, options: dict[str, Any], remedy: str) -> None:
        with pytest.raises(ValueError, match=remedy):
            Client(**{"client_id": "c", **options})

    def test_takes_no_private_key_and_does_not_show_it(self) -> None:
        jwk = {**KEYS.jwks()["keys"][0], "d": "private-part"}
        with pytest.raises(ValueError, match="jwk is a public key") as caught:
            Client(client_id="c", jwk=jwk)
        assert "private-part" not in str(caught.value)

    def test_shows_no_secret(self) -> None:
        shown = repr(Client(client_id="c", secret="hush-1", bearer="hush-2"))
        assert shown == "Client(client_id='c', jwk=None, scopes=None, opaque=False)"

    @pytest.mark.parametrize(
        "second", [Client(client_id="a", secret="other"), Client(client_id="b", bearer="same")], ids=["name", "bearer"]
    )
    def test_is_one_of_a_kind(self, second: Client) -> None:
        with pytest.raises(ValueError, match="differ in client_id and in bearer"):
            LocalIssuer(clients=(Client(client_id="a", bearer="same"), second))

    def test_is_there_by_default(self, http: httpx.Client) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer:
            (client,) = issuer.clients
            assert (client.client_id, client.secret) == ("api", "api-secret")
            assert ask(http, issuer, authorization=basic("api:api-secret")).status_code == 200

    def test_is_wanted_everywhere(self, server: LocalIssuer, http: httpx.Client) -> None:
        for at in ENDPOINTS:
            assert_unauthenticated(ask(http, server, at=at))
            assert_unauthenticated(ask(http, server, {"client_id": "opaque"}, at=at))


class TestSecretBasic:
    @pytest.mark.parametrize("at", ENDPOINTS)
    def test_is_form_decoded(self, server: LocalIssuer, http: httpx.Client, at: str) -> None:
        answer = ask(http, server, at=at, authorization=basic("orders+api:p%2b%3A%25%20%C3%A4"))
        assert answer.status_code == 200

    def test_has_a_scheme_in_any_case(self, server: LocalIssuer, http: httpx.Client) -> None:
        assert ask(http, server, authorization=basic("opaque:s").replace("Basic", "bAsIc")).status_code == 200

    @pytest.mark.parametrize(
        "authorization",
        [
            basic("orders api:p+:% ä"),  # not form-encoded
            basic("orders+api:p%2B%3A%25+%C3%A4x"),
            basic("orders+api:p%2B%3A%25+%E4"),  # Latin-1
            basic("opaque:"),
            basic("opaque"),
            basic(":s"),
            basic("nobody:s"),
            basic("signer:"),  # has no secret
            basic(b"\xff:s"),
            "Basic",
            "Basic b3BhcXVlOnM",  # without its padding
            "Basic b3BhcXVl!OnM=",
            "Digest username=opaque",
            "b3BhcXVlOnM=",
        ],
    )
    def test_is_refused_if_wrong(self, server: LocalIssuer, http: httpx.Client, authorization: str) -> None:
        for at in ENDPOINTS:
            assert_unauthenticated(ask(http, server, at=at, authorization=authorization))

    def test_may_come_with_the_same_name_in_the_form(self, server: LocalIssuer, http: httpx.Client) -> None:
        authorization = basic("opaque:s")
        assert ask(http, server, {"client_id": "opaque"}, authorization=authorization).status_code == 200
        assert_unauthenticated(ask(http, server, {"client_id": "signer"}, authorization=authorization))


class TestSecretPost:
    @pytest.mark.parametrize("at", ENDPOINTS)
    def test_is_believed(self, server: LocalIssuer, http: httpx.Client, at: str) -> None:
        form = {"client_id": "orders api", "client_secret": "p+:% ä"}
        assert ask(http, server, form, at=at).status_code == 200

    @pytest.mark.parametrize(
        "form",
        [
            {"client_id": "opaque", "client_secret": "S"},
            {"client_id": "opaque", "client_secret": ""},
            {"client_id": "nobody", "client_secret": "s"},
            {"client_id": "signer", "client_secret": "s"},
            {"client_secret": "s"},
        ],
        ids=str,
    )
    def test_is_refused_if_wrong(self, server: LocalIssuer, http: httpx.Client, form: dict[str, str]) -> None:
        assert_unauthenticated(ask(http, server, form))

    def test_is_one_way_of_three(self, server: LocalIssuer, http: httpx.Client) -> None:
        post = {"client_id": "opaque", "client_secret": "s"}
        for answer in (
            ask(http, server, post, authorization=basic("opaque:s")),
            ask(http, server, post, authorization="Bearer r-e.a_d~e+r/=="),
            ask(http, server, {**post, **assertion(server)}),
            ask(http, server, assertion(server), authorization=basic("opaque:s")),
        ):
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    def test_is_not_helped_by_a_second_header(self, server: LocalIssuer, http: httpx.Client) -> None:
        headers = [("Authorization", basic("opaque:s"))] * 2
        answer = http.post(server.introspection_endpoint, data={"token": "t"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


class TestBearer:
    def test_is_believed_for_introspection_only(self, server: LocalIssuer, http: httpx.Client) -> None:
        assert ask(http, server, authorization="Bearer r-e.a_d~e+r/==").status_code == 200
        for at in ("token", "revoke"):
            assert_unauthenticated(ask(http, server, at=at, authorization="Bearer r-e.a_d~e+r/=="))

    @pytest.mark.parametrize("token", ["wrong", "R-e.a_d~e+r/==", "r-e.a_d~e+r/="])
    def test_is_refused_if_wrong(self, server: LocalIssuer, http: httpx.Client, token: str) -> None:
        challenge = 'Bearer realm="LocalIssuer", error="invalid_token"'
        assert_unauthenticated(ask(http, server, authorization=f"Bearer {token}"), challenge)


class TestPrivateKeyJwt:
    def test_is_believed_for_each_endpoint_under_the_name_of_any(self, server: LocalIssuer, http: httpx.Client) -> None:
        names = (server.url, server.token_endpoint, server.introspection_endpoint, server.revocation_endpoint)
        for at in ENDPOINTS:
            for aud in (*names, ["urn:other", server.url]):
                assert ask(http, server, assertion(server, {"aud": aud}), at=at).status_code == 200

    @pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
    def test_may_use_any_asymmetric_algorithm(self, http: httpx.Client, alg: str) -> None:
        keys = LocalIssuer(algorithms=(alg,))
        jwk = keys.jwks()["keys"][0]
        clients = (
            Client(client_id="signer", jwk=jwk),
            Client(client_id="bare", jwk={name: jwk[name] for name in jwk if name not in {"kid", "alg"}}),
        )
        with LocalIssuer(algorithms=("ES256",), clients=clients, clock=lambda: NOW) as issuer:
            for name in ("signer", "bare"):
                form = assertion(issuer, {"iss": name, "sub": name}, header={"alg": alg}, signer=keys)
                assert ask(http, issuer, form).status_code == 200

    def test_need_not_name_its_key(self, server: LocalIssuer, http: httpx.Client) -> None:
        assert ask(http, server, assertion(server, header={"kid": ...})).status_code == 200

    def test_may_have_begun(self, server: LocalIssuer, http: httpx.Client) -> None:
        form = assertion(server, {"nbf": NOW, "iat": NOW, "exp": NOW + 0.5})
        assert ask(http, server, {**form, "client_id": "signer"}).status_code == 200

    @pytest.mark.parametrize(
        ("claims", "header"),
        [
            ({"iss": "opaque", "sub": "opaque"}, {}),  # has no key
            ({"iss": "nobody", "sub": "nobody"}, {}),
            ({"iss": "nobody"}, {}),
            ({"iss": ["signer"]}, {}),
            ({"iss": ...}, {}),
            ({"sub": "reader"}, {}),
            ({"sub": ...}, {}),
            ({"aud": "https://other.example.com"}, {}),
            ({"aud": ["urn:other"]}, {}),
            ({"aud": []}, {}),
            ({"aud": {"a": 1}}, {}),
            ({"aud": ...}, {}),
            ({"exp": NOW}, {}),
            ({"exp": ...}, {}),
            ({"exp": None}, {}),
            ({"exp": str(NOW + 60)}, {}),
            ({"nbf": NOW + 1}, {}),
            ({"jti": ...}, {}),
            ({"jti": 7}, {}),
            ({}, {"kid": "another"}),
            ({}, {"alg": "ES384"}),
            ({}, {"alg": "none"}),
            ({}, {"alg": ...}),
            ({}, {"crit": ["exp"]}),
        ],
        ids=str,
    )
    def test_is_refused_if_wrong(
        self, server: LocalIssuer, http: httpx.Client, claims: dict[str, Any], header: dict[str, Any]
    ) -> None:
        assert_unauthenticated(ask(http, server, assertion(server, claims, header=header, alg="ES256")))

    def test_is_refused_if_signed_by_another(self, server: LocalIssuer, http: httpx.Client) -> None:
        other = LocalIssuer(algorithms=("ES256", "EdDSA"))
        kid = {"kid": KEYS.kid()}
        for form in (
            assertion(server, header=kid, signer=other, alg="ES256"),
            assertion(server, header={**kid, "alg": "EdDSA"}, signer=other),
            assertion(server, header={"alg": "HS256"}, key=KEYS.public_pem()),
            assertion(server, header={"alg": "none"}),
        ):
            assert_unauthenticated(ask(http, server, form))

    def test_keeps_to_the_algorithm_of_its_key(self, http: httpx.Client) -> None:
        keys = LocalIssuer(algorithms=("RS256",))
        client = Client(client_id="signer", jwk=keys.jwks()["keys"][0])
        with LocalIssuer(algorithms=("ES256",), clients=(client,), clock=lambda: NOW) as issuer:
            assert_unauthenticated(ask(http, issuer, assertion(issuer, header={"alg": "PS256"}, signer=keys)))

    def test_is_good_once(self, server: LocalIssuer, http: httpx.Client) -> None:
        form = assertion(server, {"jti": "one"})
        assert ask(http, server, form).status_code == 200
        for at in ENDPOINTS:
            assert_unauthenticated(ask(http, server, form, at=at))
        assert_unauthenticated(ask(http, server, assertion(server, {"jti": "one"})))
        assert ask(http, server, assertion(server, {"jti": "two"})).status_code == 200

    def test_is_good_once_for_many_at_once(self, server: LocalIssuer, http: httpx.Client) -> None:
        form = assertion(server)
        with ThreadPoolExecutor(8) as pool:
            statuses = [answer.status_code for answer in pool.map(lambda _: ask(http, server, form), range(8))]
        assert sorted(statuses) == [200] + [401] * 7

    def test_is_not_used_up_by_a_request_that_was_refused(self, server: LocalIssuer, http: httpx.Client) -> None:
        form = assertion(server, {"jti": "one", "aud": "https://other.example.com"})
        assert_unauthenticated(ask(http, server, form))
        assert ask(http, server, assertion(server, {"jti": "one"})).status_code == 200

    @pytest.mark.parametrize("kind", ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
    def test_says_what_it_is(self, server: LocalIssuer, http: httpx.Client, kind: str) -> None:
        assert_unauthenticated(ask(http, server, {**assertion(server), "client_assertion_type": kind}))

    @pytest.mark.parametrize("text", ["junk", "a.b", "e30.e30.", "e30.W10.", "...."])
    def test_is_a_jwt(self, server: LocalIssuer, http: httpx.Client, text: str) -> None:
        assert_unauthenticated(ask(http, server, {"client_assertion_type": JWT_BEARER, "client_assertion": text}))

    def test_belongs_to_the_client_of_the_form(self, server: LocalIssuer, http: httpx.Client) -> None:
        assert_unauthenticated(ask(http, server, {**assertion(server), "client_id": "opaque"}))


def test_no_two_errors_tell_a_client_apart(server: LocalIssuer, http: httpx.Client) -> None:
    wrong, unknown = (ask(http, server, authorization=basic(f"{name}:wrong")) for name in ("opaque", "nobody"))
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)
    assert http.post(server.introspection_endpoint, data={"token": "t"}, auth=BASIC).status_code == 200
