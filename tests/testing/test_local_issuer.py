"""The local issuer does over real sockets what it says."""

from __future__ import annotations

import base64
import contextlib
import gc
import http.client
import json
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

import tokenguard.testing
from tokenguard.testing import Fault, LocalIssuer

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
NOW = 1_700_000_000
AUDIENCE = "https://api.example.com"


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256", "EdDSA"), clock=lambda: NOW + 0.75) as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, timeout=5) as made:
        yield made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


@pytest.fixture
def nothing_remains() -> Iterator[None]:
    """No thread outlives the test, and no socket goes unclosed (a ResourceWarning is an error here)."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
    gc.collect()


def origin(issuer: LocalIssuer) -> str:
    return "http://" + urlsplit(issuer.url).netloc


def ask(issuer: LocalIssuer, path: str = "/jwks") -> socket.socket:
    """A connection on which `path` has been asked for, and nothing read."""
    connection = socket.create_connection(("127.0.0.1", urlsplit(issuer.url).port or 0), timeout=5)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def header_of(token: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(decoded(token.split(".", maxsplit=1)[0]))
    return members


def claims_of(token: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
    return members


def verified(token: str, jwks: dict[str, Any]) -> dict[str, Any]:
    """The claims, by PyJWT's opinion of the signature alone; Ed25519 by cryptography's, as PyJWT lacks the name."""
    header = header_of(token)
    (jwk,) = [key for key in jwks["keys"] if key["kid"] == header["kid"]]
    key = jwt.PyJWK(jwk, algorithm="EdDSA" if header["alg"] == "Ed25519" else header["alg"]).key
    if header["alg"] == "Ed25519":
        signed, _, signature = token.rpartition(".")
        key.verify(decoded(signature), signed.encode())
        return claims_of(token)
    unlimited = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[header["alg"]], options=unlimited)  # type: ignore[arg-type]
    return claims


def test_the_public_names_are_sorted_and_there() -> None:
    names = tokenguard.testing.__all__
    assert names == sorted(names)
    assert all(hasattr(tokenguard.testing, name) for name in names)


class TestDiscovery:
    @pytest.mark.parametrize(
        ("path", "oauth", "openid", "jwks"),
        [
            ("", OAUTH, OPENID, "/jwks"),
            ("/", OAUTH, OPENID, "/jwks"),
            ("/tenant/a", OAUTH + "/tenant/a", "/tenant/a" + OPENID, "/tenant/a/jwks"),
            ("/tenant/", OAUTH + "/tenant", "/tenant" + OPENID, "/tenant/jwks"),
        ],
    )
    def test_serves_both_documents_and_the_keys_where_the_path_puts_them(
        self, client: httpx.Client, path: str, oauth: str, openid: str, jwks: str
    ) -> None:
        with LocalIssuer(algorithms=("ES256",), path=path) as issuer:
            assert issuer.url == origin(issuer) + path
            assert issuer.jwks_uri == origin(issuer) + jwks
            documents = [client.get(origin(issuer) + at) for at in (oauth, openid)]
            keys = client.get(issuer.jwks_uri)
            for answer in (*documents, keys):
                assert answer.status_code == 200
                assert answer.headers["content-type"] == "application/json"
            for document in documents:
                assert document.json()["issuer"] == issuer.url
                assert document.json()["jwks_uri"] == issuer.jwks_uri
            assert keys.json() == issuer.jwks()

    @pytest.mark.parametrize(
        ("discovery", "oauth", "openid"),
        [("both", 200, 200), ("oauth", 200, 404), ("openid", 404, 200), ("none", 404, 404)],
    )
    def test_serves_the_documents_that_are_wanted(
        self, issuer: LocalIssuer, client: httpx.Client, discovery: Any, oauth: int, openid: int
    ) -> None:
        issuer.discovery = discovery
        assert issuer.discovery == discovery
        assert client.get(issuer.url + OAUTH).status_code == oauth
        assert client.get(issuer.url + OPENID).status_code == openid

    def test_merges_overrides_into_the_document_and_removes_what_is_set_to_an_ellipsis(
        self, issuer: LocalIssuer, client: httpx.Client
    ) -> None:
        issuer.metadata = {"issuer": "https://evil.example", "jwks_uri": ..., "nothing": None}
        document = client.get(issuer.url + OAUTH).json()
        assert document["issuer"] == "https://evil.example"
        assert document["nothing"] is None
        assert "jwks_uri" not in document

    def test_refuses_a_misspelt_choice(self, issuer: LocalIssuer) -> None:
        with pytest.raises(ValueError, match="'both', 'oauth', 'openid', 'none'"):
            issuer.discovery = "oidc"  # type: ignore[assignment]

    @pytest.mark.parametrize("path", ["tenant", "//", "/a?b", "/a#b", "/a b"])
    def test_refuses_a_path_that_is_none(self, path: str) -> None:
        with pytest.raises(ValueError, match="path is empty or like /tenant/a"):
            LocalIssuer(path=path)

    def test_has_no_address_before_it_is_started(self) -> None:
        issuer = LocalIssuer(algorithms=("ES256",))
        addresses: tuple[Callable[[], str], ...] = (lambda: issuer.url, lambda: issuer.jwks_uri, issuer.mint)
        for address in addresses:
            with pytest.raises(RuntimeError, match="start it"):
                address()


class TestKeySet:
    def test_says_nothing_of_caching_unless_told(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        assert "cache-control" not in client.get(issuer.jwks_uri).headers
        issuer.cache_control = "max-age=60"
        assert client.get(issuer.jwks_uri).headers["cache-control"] == "max-age=60"

    def test_is_not_sent_again_to_whoever_has_it(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.cache_control = "max-age=60"
        tag = client.get(issuer.jwks_uri).headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            answer = client.get(issuer.jwks_uri, headers={"if-none-match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tag
            assert answer.headers["cache-control"] == "max-age=60"

    def test_is_sent_again_once_changed(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        tag = client.get(issuer.jwks_uri).headers["etag"]
        issuer.rotate()
        answer = client.get(issuer.jwks_uri, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.json()) == (200, issuer.jwks())

    def test_has_no_tag_when_told_so(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.etag = False
        answer = client.get(issuer.jwks_uri, headers={"If-None-Match": "*"})
        assert answer.status_code == 200
        assert "etag" not in answer.headers

    def test_shows_a_fault_even_to_whoever_has_it(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.EMPTY)
        assert client.get(issuer.jwks_uri, headers={"If-None-Match": "*"}).json() == {"keys": []}


class TestKeys:
    def test_are_not_made_before_they_are_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[str] = []

        def generate(alg: str) -> Ed25519PrivateKey:
            made.append(alg)
            return Ed25519PrivateKey.generate()

        monkeypatch.setattr("tokenguard.testing._keys.generate", generate)
        with LocalIssuer(algorithms=("RS256", "EdDSA")) as issuer:
            assert made == []
            issuer.mint(alg="EdDSA")
            assert made == ["EdDSA"]
            issuer.jwks()
            assert made == ["EdDSA", "RS256"]

    def test_are_made_once_for_many_who_ask_at_once(self, issuer: LocalIssuer, pool: ThreadPoolExecutor) -> None:
        assert len({future.result() for future in [pool.submit(issuer.kid) for _ in range(8)]}) == 1

    def test_have_public_members_only_and_a_kid_of_their_own(self) -> None:
        issuer = LocalIssuer(algorithms=("RS256", "ES256", "EdDSA", "ES512"))
        rsa, p256, ed25519, p521 = issuer.jwks()["keys"]
        assert sorted(rsa) == ["alg", "e", "kid", "kty", "n", "use"]
        assert len(decoded(rsa["n"])) == 256
        assert (p256["crv"], ed25519["crv"], p521["crv"]) == ("P-256", "Ed25519", "P-521")
        assert not any("d" in key for key in (p256, ed25519, p521))
        assert len({key["kid"] for key in (rsa, p256, ed25519, p521)}) == 4
        assert [key["alg"] for key in (rsa, p256, ed25519, p521)] == ["RS256", "ES256", "EdDSA", "ES512"]

    def test_stay_published_when_rotated(self, issuer: LocalIssuer) -> None:
        old = issuer.mint()
        kid = issuer.rotate()
        new = issuer.mint()
        assert header_of(old)["kid"] != header_of(new)["kid"] == kid == issuer.kid()
        assert verified(old, issuer.jwks())
        assert verified(new, issuer.jwks())
        assert header_of(issuer.mint(kid=header_of(old)["kid"]))["kid"] == header_of(old)["kid"]

    def test_rotate_by_algorithm(self, issuer: LocalIssuer) -> None:
        before = issuer.kid("ES256")
        assert issuer.rotate("EdDSA") == issuer.kid("EdDSA")
        assert issuer.kid("ES256") == before

    def test_still_sign_when_withdrawn(self, issuer: LocalIssuer) -> None:
        kid = issuer.kid()
        published = issuer.jwks()
        issuer.withdraw(kid)
        assert kid not in [key["kid"] for key in issuer.jwks()["keys"]]
        assert verified(issuer.mint(), published)

    def test_change_under_their_kid_when_replaced(self, issuer: LocalIssuer) -> None:
        kid, old, before = issuer.kid(), issuer.mint(), issuer.jwks()
        issuer.replace(kid)
        assert issuer.kid() == kid
        assert verified(issuer.mint(), issuer.jwks())
        assert verified(old, before)
        with pytest.raises(jwt.InvalidSignatureError):
            verified(old, issuer.jwks())

    def test_of_others_are_served_as_they_are_until_withdrawn(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        jwk = {"kty": "AKP", "kid": "later", "x": ["deep"]}
        issuer.publish(jwk)
        issuer.publish({"kty": "oct"})
        jwk["x"] = []
        issuer.jwks()["keys"].clear()
        assert client.get(issuer.jwks_uri).json()["keys"][-2:] == [
            {"kty": "AKP", "kid": "later", "x": ["deep"]},
            {"kty": "oct"},
        ]
        issuer.withdraw("later")
        assert issuer.jwks()["keys"][-1] == {"kty": "oct"}
        assert len(issuer.jwks()["keys"]) == 3

    def test_come_as_pem_by_kid_and_by_algorithm(self, issuer: LocalIssuer) -> None:
        ed25519 = issuer.public_pem("EdDSA")
        assert isinstance(load_pem_public_key(ed25519), Ed25519PublicKey)
        assert issuer.public_pem(issuer.kid("EdDSA")) == ed25519
        assert issuer.public_pem() == issuer.public_pem("ES256") != ed25519

    def test_are_shared_by_the_two_names_of_ed25519(self) -> None:
        with LocalIssuer(algorithms=("Ed25519", "EdDSA")) as issuer:
            (key,) = issuer.jwks()["keys"]
            assert key["alg"] == "Ed25519"
            assert issuer.kid("EdDSA") == issuer.kid("Ed25519") == key["kid"]
            for alg in ("EdDSA", "Ed25519"):
                token = issuer.mint(alg=alg)
                assert header_of(token)["alg"] == alg
                assert verified(token, issuer.jwks())

    @pytest.mark.parametrize("algorithms", [(), ("HS256",), ("none",), ("RS256", "ES257"), "RS256"])
    def test_are_refused_for_an_algorithm_that_cannot_have_any(self, algorithms: Any) -> None:
        with pytest.raises(ValueError, match="algorithms is a sequence of names out of"):
            LocalIssuer(algorithms=algorithms)

    @pytest.mark.parametrize("act", ["withdraw", "replace", "public_pem"])
    def test_that_do_not_exist_are_named(self, issuer: LocalIssuer, act: str) -> None:
        with pytest.raises(ValueError, match="none of the issuer's keys has the kid 'nobody'"):
            getattr(issuer, act)("nobody")

    @pytest.mark.parametrize("act", ["kid", "rotate", "public_pem"])
    def test_of_an_algorithm_that_was_not_asked_for_are_not_made(self, issuer: LocalIssuer, act: str) -> None:
        with pytest.raises(ValueError, match="no key for RS256: name it in algorithms"):
            getattr(issuer, act)("RS256")


class TestMint:
    @pytest.mark.parametrize("alg", [*RSA, "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
    def test_signs_with_the_key_it_names(self, alg: str) -> None:
        with LocalIssuer(algorithms=(alg,)) as issuer:
            token = issuer.mint()
            assert header_of(token) == {"alg": alg, "typ": "at+jwt", "kid": issuer.kid()}
            assert verified(token, issuer.jwks())["iss"] == issuer.url

    def test_writes_what_rfc_9068_asks_for(self, issuer: LocalIssuer) -> None:
        first, second = claims_of(issuer.mint()), claims_of(issuer.mint())
        assert first.pop("jti") != second.pop("jti")
        assert (
            first
            == second
            == {
                "iss": issuer.url,
                "sub": "user-1",
                "aud": AUDIENCE,
                "client_id": "client-1",
                "iat": NOW,
                "exp": NOW + 300,
            }
        )

    def test_takes_the_common_claims_as_arguments(self, issuer: LocalIssuer) -> None:
        token = issuer.mint(scope="a b", audience=["x", "y"], subject="s", client_id="c", expires_in=-1.5)
        claims = claims_of(token)
        assert [claims[name] for name in ("scope", "aud", "sub", "client_id")] == ["a b", ["x", "y"], "s", "c"]
        assert claims["exp"] == NOW - 1.5

    def test_defaults_to_the_issuers_audience(self) -> None:
        with LocalIssuer(algorithms=("ES256",), audience="urn:api") as issuer:
            assert issuer.audience == claims_of(issuer.mint())["aud"] == "urn:api"

    def test_merges_claims_and_header_as_they_are(self, issuer: LocalIssuer) -> None:
        token = issuer.mint({"sub": None, "org_id": 7}, header={"typ": "JWT", "alg": "RS256", "crit": []})
        assert (claims_of(token)["sub"], claims_of(token)["org_id"]) == (None, 7)
        assert header_of(token) == {"typ": "JWT", "alg": "RS256", "crit": [], "kid": issuer.kid()}

    def test_leaves_out_what_it_is_told_to(self, issuer: LocalIssuer) -> None:
        token = issuer.mint({"org_id": 7}, omit=["exp", "org_id"], omit_header=["kid", "typ"])
        assert not {"exp", "org_id"} & set(claims_of(token))
        assert header_of(token) == {"alg": "ES256"}

    @pytest.mark.parametrize("options", [{"omit": ["expp"]}, {"omit_header": ["expp"]}])
    def test_refuses_to_leave_out_what_is_not_there(self, issuer: LocalIssuer, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="nothing to leave out under expp"):
            issuer.mint(**options)

    def test_signs_by_another_algorithm_with_the_key_of_a_kid(self) -> None:
        with LocalIssuer(algorithms=("RS256",)) as issuer:
            token = issuer.mint(alg="PS256", kid=issuer.kid())
            published = issuer.jwks()
            del published["keys"][0]["alg"]
            assert header_of(token)["alg"] == "PS256"
            assert verified(token, published)

    def test_forges_under_a_published_kid(self, issuer: LocalIssuer) -> None:
        token = issuer.mint(key=generate_private_key(SECP384R1()))
        assert header_of(token)["kid"] == issuer.kid()
        with pytest.raises(jwt.InvalidSignatureError):
            verified(token, issuer.jwks())

    def test_forges_under_any_kid(self, issuer: LocalIssuer) -> None:
        own = Ed25519PrivateKey.generate()
        assert header_of(issuer.mint(alg="EdDSA", key=own, kid="mine"))["kid"] == "mine"
        assert header_of(issuer.mint(key=own, kid=issuer.kid("EdDSA")))["alg"] == "EdDSA"

    def test_leaves_the_signature_empty_for_none(self, issuer: LocalIssuer) -> None:
        token = issuer.mint(alg="none")
        assert token.endswith(".")
        assert header_of(token) == {"alg": "none", "typ": "at+jwt", "kid": issuer.kid()}

    @pytest.mark.parametrize(("alg", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
    def test_signs_with_a_secret_even_if_that_is_a_public_key(self, issuer: LocalIssuer, alg: str, size: int) -> None:
        token = issuer.mint(alg=alg, key=issuer.public_pem())
        assert header_of(token)["kid"] == issuer.kid()
        assert len(decoded(token.split(".")[2])) == size
        by_pyjwt = issuer.mint(alg=alg, key=b"s" * 64)
        assert jwt.decode(by_pyjwt, b"s" * 64, algorithms=[alg], audience=AUDIENCE, options={"verify_exp": False})

    @pytest.mark.parametrize(
        ("options", "remedy"),
        [
            ({"alg": "HS256"}, "HS256 signs with bytes: give them as key="),
            ({"alg": "RS256"}, "no key for RS256: name it in algorithms"),
            ({"alg": "RS257"}, "'RS257' is not an algorithm to sign with; known are ES256"),
            ({"key": Ed25519PrivateKey.generate()}, "ES256 signs with a EllipticCurvePrivateKey, not with Ed25519"),
            ({"key": b"secret"}, "not with bytes: give alg="),
            ({"kid": "nobody"}, "none of the issuer's keys has the kid 'nobody'"),
        ],
        ids=["secret", "not-ours", "unknown", "other-type", "bytes", "kid"],
    )
    def test_refuses_what_cannot_be_signed(self, issuer: LocalIssuer, options: dict[str, Any], remedy: str) -> None:
        with pytest.raises(ValueError, match=remedy):
            issuer.mint(**options)


class TestSign:
    PAYLOAD = b'{"sub":"alice","sub":"bob"}'

    def test_keeps_the_bytes(self, issuer: LocalIssuer) -> None:
        header, payload, _ = issuer.sign(b'{"alg":"ES256" }', self.PAYLOAD).split(".")
        assert (decoded(header), decoded(payload)) == (b'{"alg":"ES256" }', self.PAYLOAD)

    def test_signs_as_the_header_says(self, issuer: LocalIssuer) -> None:
        old = issuer.kid("EdDSA")
        issuer.rotate("EdDSA")
        for header in ({"alg": "EdDSA", "kid": issuer.kid("EdDSA")}, {"alg": "EdDSA", "kid": old}):
            token = issuer.sign(header, b'{"sub":"alice"}')
            assert header_of(token) == header
            assert verified(token, issuer.jwks()) == {"sub": "alice"}

    @pytest.mark.parametrize("header", [{}, {"alg": 7, "kid": 7}, {"alg": "ES257", "kid": "nobody"}])
    def test_signs_by_default_where_the_header_says_nothing_sensible(
        self, issuer: LocalIssuer, header: dict[str, Any]
    ) -> None:
        signed, _, signature = issuer.sign(header, self.PAYLOAD).rpartition(".")
        key = jwt.PyJWK(issuer.jwks()["keys"][0])
        assert key.Algorithm.verify(signed.encode(), key.key, decoded(signature))

    def test_prefers_arguments_to_the_header(self, issuer: LocalIssuer) -> None:
        kid, other = issuer.kid("ES256"), issuer.rotate("ES256")
        token = issuer.sign({"alg": "none", "kid": other}, b"{}", alg="ES256", kid=kid)
        assert len(decoded(token.split(".")[2])) == 64
        assert issuer.sign(b"{}", b"{}", alg="none") == "e30.e30."
        assert len(decoded(issuer.sign(b"{}", b"{}", alg="HS512", key=b"k").split(".")[2])) == 64


class TestRequests:
    def test_are_counted_by_path_whatever_the_answer(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.SERVER_ERROR)
        for path in ("/jwks", "/jwks?again", "/nothing"):
            client.get(issuer.url + path)
        assert issuer.requests == {"/jwks": 2, "/nothing": 1}
        issuer.requests.clear()
        assert issuer.requests["/jwks"] == 2
        issuer.reset_requests()
        assert issuer.requests.total() == 0

    def test_for_anything_else_are_answered_by_404(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        for path in ("/", "/nothing", "/elsewhere", "/elsewhere/nothing"):
            assert client.get(issuer.url + path).status_code == 404

    def test_can_be_waited_for(self, issuer: LocalIssuer) -> None:
        with ask(issuer), ask(issuer):
            issuer.wait_for_requests("/jwks", 2)
        with pytest.raises(TimeoutError, match=r"2 requests for /jwks in 0 s, not 3"):
            issuer.wait_for_requests("/jwks", 3, timeout=0)


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status"), [(Fault.SERVER_ERROR, 500), (Fault.TOO_MANY_REQUESTS, 429), (Fault.REDIRECT, 302)]
    )
    def test_answer_with_their_status_until_recovered(
        self, issuer: LocalIssuer, client: httpx.Client, fault: Fault, status: int
    ) -> None:
        issuer.fail(fault)
        for path in ("/jwks", OAUTH, OPENID):
            answer = client.get(issuer.url + path)
            assert answer.status_code == status
            assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
        issuer.recover()
        assert client.get(issuer.jwks_uri).json() == issuer.jwks()

    def test_hit_what_they_are_told_to(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.SERVER_ERROR, on="jwks")
        issuer.fail(Fault.TOO_MANY_REQUESTS, on="metadata")
        assert client.get(issuer.jwks_uri).status_code == 500
        assert client.get(issuer.url + OAUTH).status_code == 429
        issuer.fail(Fault.EMPTY)
        assert client.get(issuer.jwks_uri).json() == {"keys": []}
        assert client.get(issuer.url + OPENID).json() == {}

    def test_are_refused_when_misspelt(self, issuer: LocalIssuer) -> None:
        with pytest.raises(ValueError, match="on is 'all' or one of"):
            issuer.fail(Fault.EMPTY, on="keys")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="boom"):
            issuer.fail("boom")  # type: ignore[arg-type]

    def test_redirect_to_where_the_right_answer_waits(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.REDIRECT)
        assert client.get(issuer.jwks_uri, follow_redirects=True).json() == issuer.jwks()
        assert issuer.requests == {"/jwks": 1, "/elsewhere/jwks": 1}

    def test_send_a_page_in_place_of_json(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.HTML)
        answer = client.get(issuer.jwks_uri)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.text.startswith("<!doctype html>")

    def test_make_all_keys_unusable_under_their_kids(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.publish({"kty": "oct", "k": "AAAA"})
        issuer.fail(Fault.UNUSABLE)
        es256, eddsa, foreign = client.get(issuer.jwks_uri).json()["keys"]
        assert es256 == {"kty": "unusable", "kid": issuer.kid(), "alg": "ES256", "use": "sig"}
        assert eddsa["kid"] == issuer.kid("EdDSA")
        assert foreign == {"kty": "unusable"}
        assert client.get(issuer.url + OAUTH).json()["issuer"] == issuer.url

    def test_reset_the_connection(self, issuer: LocalIssuer) -> None:
        issuer.fail(Fault.RESET)
        with ask(issuer) as connection, pytest.raises(ConnectionResetError):
            connection.recv(1)

    def test_promise_more_than_they_send(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.TRUNCATED)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            client.get(issuer.jwks_uri)
        with ask(issuer) as connection:
            assert json.loads(read_to_end(connection).partition(b"\r\n\r\n")[2]) == issuer.jwks()

    def test_drip_headers_that_never_end(self, issuer: LocalIssuer) -> None:
        issuer.fail(Fault.DRIP_HEADERS)
        with ask(issuer) as connection:
            received = connection.recv(100) + connection.recv(100)
            issuer.recover()
            received += read_to_end(connection)
        assert received
        assert (b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * len(received)).startswith(received)

    def test_drip_the_right_body(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.metadata = dict.fromkeys(client.get(issuer.url + OAUTH).json(), ...)
        issuer.fail(Fault.DRIP_BODY)
        for _ in range(2):  # to the end, after which the connection serves again
            assert client.get(issuer.url + OAUTH).json() == {}

    def test_stop_to_drip_when_recovered(self, issuer: LocalIssuer) -> None:
        issuer.fail(Fault.DRIP_BODY)
        with ask(issuer) as connection:
            received = connection.recv(65536)
            issuer.recover()
            received += read_to_end(connection)
        part, whole = received.partition(b"\r\n\r\n")[2], json.dumps(issuer.jwks()).encode()
        assert whole.startswith(part)
        assert part != whole

    def test_hang_until_recovered_and_then_answer(
        self, issuer: LocalIssuer, client: httpx.Client, pool: ThreadPoolExecutor
    ) -> None:
        issuer.fail(Fault.HANG)
        hanging = pool.submit(client.get, issuer.jwks_uri)
        issuer.wait_for_requests("/jwks")
        assert not hanging.done()
        issuer.recover()
        assert hanging.result(5).json() == issuer.jwks()
        assert issuer.requests["/jwks"] == 1

    def test_take_over_from_each_other(
        self, issuer: LocalIssuer, client: httpx.Client, pool: ThreadPoolExecutor
    ) -> None:
        issuer.fail(Fault.HANG)
        hanging = pool.submit(client.get, issuer.jwks_uri)
        issuer.wait_for_requests("/jwks")
        issuer.fail(Fault.SERVER_ERROR)
        assert hanging.result(5).status_code == 500

    def test_send_two_hundred_megabytes_around_the_right_document(self, issuer: LocalIssuer) -> None:
        issuer.fail(Fault.HUGE)
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(issuer.url).port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/jwks")
            answer = connection.getresponse()
            size, document = 0, b""
            while chunk := answer.read(1 << 20):
                size += len(chunk)
                document += chunk.replace(b" " * 1000, b"")
        assert answer.getheader("Content-Length") is None
        assert size > 200_000_000
        assert json.loads(document) == issuer.jwks()

    def test_stop_to_flood_when_recovered(self, issuer: LocalIssuer, client: httpx.Client) -> None:
        issuer.fail(Fault.HUGE)
        with client.stream("GET", issuer.jwks_uri) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            issuer.recover()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                list(chunks)


@pytest.mark.usefixtures("nothing_remains")
class TestLifecycle:
    @pytest.mark.parametrize("fault", [None, *Fault])
    def test_close_ends_whatever_is_under_way(self, fault: Fault | None, capfd: pytest.CaptureFixture[str]) -> None:
        issuer = LocalIssuer(algorithms=("ES256",)).start()
        if fault is not None:
            issuer.fail(fault)
        with contextlib.ExitStack() as connections:
            for _ in range(3):
                connections.enter_context(ask(issuer))
            issuer.wait_for_requests("/jwks", 3)
            issuer.close()
            issuer.close()
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("fault", list(Fault))
    def test_close_does_not_mind_clients_that_left(self, fault: Fault, capfd: pytest.CaptureFixture[str]) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer:
            issuer.fail(fault)
            for count in range(3):
                with ask(issuer):
                    issuer.wait_for_requests("/jwks", count + 1)
        assert capfd.readouterr() == ("", "")

    def test_close_ends_connections_that_ask_for_nothing(self) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer:
            address = ("127.0.0.1", urlsplit(issuer.url).port or 0)
            with ask(issuer) as kept, socket.create_connection(address, timeout=5) as silent:
                answered = kept.recv(65536)
                issuer.close()
                assert answered.startswith(b"HTTP/1.1 200 OK")
                assert read_to_end(silent) == b""

    def test_close_before_start_does_nothing(self) -> None:
        LocalIssuer().close()

    def test_an_issuer_starts_once(self) -> None:
        with LocalIssuer() as issuer, pytest.raises(RuntimeError, match="starts once"):
            issuer.start()

    def test_refuses_connections_while_down_and_serves_the_same_address_when_up_again(
        self, client: httpx.Client
    ) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer:
            for _ in range(3):
                assert client.get(issuer.jwks_uri).status_code == 200
                issuer.down()
                issuer.down()
                with pytest.raises(httpx.ConnectError):  # nor does the kept connection live on
                    client.get(issuer.jwks_uri)
                issuer.up()
                issuer.up()
            assert client.get(issuer.jwks_uri).json() == issuer.jwks()

    def test_nobody_else_is_given_the_address_while_down(self) -> None:
        with LocalIssuer() as issuer:
            issuer.down()
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", urlsplit(issuer.url).port or 0))

    def test_close_while_down_gives_the_address_back(self) -> None:
        with LocalIssuer() as issuer:
            issuer.down()
            issuer.close()
            for act in (issuer.up, issuer.down):
                with pytest.raises(RuntimeError, match="not running"):
                    act()
            with socket.socket() as other:
                other.bind(("127.0.0.1", urlsplit(issuer.url).port or 0))

    def test_faults_outlast_being_down(self, client: httpx.Client, pool: ThreadPoolExecutor) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer:
            issuer.fail(Fault.HANG)
            cut = pool.submit(client.get, issuer.jwks_uri)
            issuer.wait_for_requests("/jwks")
            issuer.down()
            assert isinstance(cut.exception(5), httpx.RemoteProtocolError)
            issuer.up()
            hanging = pool.submit(client.get, issuer.jwks_uri)
            issuer.wait_for_requests("/jwks", 2)
            issuer.recover()
            assert hanging.result(5).status_code == 200

    def test_serves_a_thousand_connections_at_once(self, many_files: None) -> None:
        with LocalIssuer(algorithms=("ES256",)) as issuer, contextlib.ExitStack() as open_ones:
            issuer.fail(Fault.HANG)
            connections = [open_ones.enter_context(ask(issuer)) for _ in range(1000)]
            issuer.wait_for_requests("/jwks", 1000, timeout=20)
            issuer.recover()
            assert all(connection.recv(15) == b"HTTP/1.1 200 OK" for connection in connections)

    def test_a_mistake_in_the_metadata_is_loud(self, capfd: pytest.CaptureFixture[str], client: httpx.Client) -> None:
        with LocalIssuer() as issuer:
            issuer.metadata["service_documentation"] = object()
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(issuer.url + OAUTH)
        assert "object is not JSON serializable" in capfd.readouterr().err


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("a process may not open enough files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
