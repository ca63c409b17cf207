"""How we say who we are: RFC 6749 s2.3.1, RFC 7523, RFC 6750; and what a question looks like (RFC 7662 s2.1, C30)."""

from __future__ import annotations

import base64
import warnings
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.forge import DROP, ED, ISSUER, NOW, P256, P384, P521, RSA, WEAK_RSA
from tests.introspection.stage import ENDPOINT, OPAQUE, SECRET, Scene, active, asked, form, issuer
from tokenguard import ConfigurationError, Introspection
from tokenguard._introspection.client_auth import client_auth

ODD = "a:b c%d+e&f=g\u00fc\u20ac\U0001f511/?#~*'"


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> str:
    octets: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return octets.decode("ascii")


def _question(**options: Any) -> tuple[dict[str, str], str | None]:
    scene = Scene(issuer(introspection=asked(**options)))
    scene.validate()
    (request,) = scene.requests
    return form(request), request.authorization


def _with_key(key: Any, **options: Any) -> Introspection:
    return asked(client_secret=DROP, private_key=pem(key), **options)


def test_a_question_is_a_form_with_the_token_in_it_and_nowhere_else() -> None:
    scene = Scene()
    scene.validate()
    (request,) = scene.requests
    assert request.url == ENDPOINT
    assert form(request) == {"token": OPAQUE, "token_type_hint": "access_token"}
    assert (request.accept, dict(request.known)) == ("application/json", {})
    assert (request.connect_timeout, request.total_timeout) == (1, 3)
    assert OPAQUE not in repr(request)
    assert SECRET not in repr(request)


def test_bounds_are_the_operators() -> None:
    scene = Scene(issuer(introspection=asked(connect_timeout=0.1, total_timeout=0.2, max_bytes=99, patience=0.3)))
    scene.validate()
    (request,) = scene.requests
    assert (request.connect_timeout, request.total_timeout, request.max_bytes) == (0.1, 0.2, 99)
    fetch = scene.start("another").fetch
    assert fetch.patience == 0.3
    assert fetch.queue is not None
    assert fetch.queue.places == 32


def test_characters_of_a_token_mean_nothing_in_the_form() -> None:
    scene = Scene()
    scene.validate("a+b/c~d.e-f_g==")
    assert form(scene.requests[0])["token"] == "a+b/c~d.e-f_g=="


@pytest.mark.parametrize("who", ["api", ODD, " "])
@pytest.mark.parametrize("secret", [SECRET, ODD, ":", "%3A", "+"])
def test_basic_credentials_are_form_encoded_first(who: str, secret: str) -> None:
    members, authorization = _question(client_id=who, client_secret=secret)
    assert members.keys() == {"token", "token_type_hint"}
    scheme, _, text = str(authorization).partition(" ")
    assert scheme == "Basic"
    pair = base64.b64decode(text, validate=True).decode("ascii")
    assert pair.count(":") == 1  # RFC 7617 s2: a colon would end the user-id
    assert tuple(map(unquote_plus, pair.split(":"))) == (who, secret)


def test_basic_credentials_to_the_letter() -> None:
    _, authorization = _question(client_id="s6:Bh drk", client_secret="gX1%fBat3b V+")
    assert authorization == "Basic " + base64.b64encode(b"s6%3ABh%20drk:gX1%25fBat3b%20V%2B").decode()


@pytest.mark.parametrize("secret", [SECRET, ODD])
def test_credentials_in_the_form(secret: str) -> None:
    members, authorization = _question(client_id=ODD, client_secret=secret, auth="client_secret_post")
    assert (members["client_id"], members["client_secret"]) == (ODD, secret)
    assert authorization is None


def test_a_bearer_token_of_our_own() -> None:
    members, authorization = _question(client_id=DROP, client_secret=DROP, bearer="our-own-token")
    assert authorization == "Bearer our-own-token"
    assert members == {"token": OPAQUE, "token_type_hint": "access_token"}


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (P256, "ES256"), (P384, "ES384"), (P521, "ES512"), (ED, "EdDSA")]
)
def test_an_assertion_signed_with_a_private_key(key: Any, alg: str) -> None:
    # RFC 7523 s3: iss, sub, aud, exp; jti, so that it can be refused the second time
    members, authorization = _question(client_secret=DROP, private_key=pem(key).encode(), key_id="ours-1")
    assert authorization is None
    assert members["client_id"] == "api"
    assert members["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assertion = members["client_assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": alg, "kid": "ours-1", "typ": "JWT"}
    at_no_time: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    said = jwt.decode(assertion, key.public_key(), algorithms=[alg], options=at_no_time)
    assert (said["iss"], said["sub"], said["aud"]) == ("api", "api", ISSUER)
    assert (said["iat"], said["exp"]) == (NOW, NOW + 60)
    assert len(said["jti"]) >= 22  # 128 bits
    assert OPAQUE not in assertion


def test_an_assertion_for_whom_the_operator_says_and_without_a_kid() -> None:
    show = client_auth(_with_key(P256, assertion_audience=ENDPOINT), ISSUER)
    members, _ = show(NOW + 0.9)
    said = jwt.decode(members["client_assertion"], options={"verify_signature": False})
    assert (said["aud"], said["iat"]) == (ENDPOINT, NOW)
    assert "kid" not in jwt.get_unverified_header(members["client_assertion"])


def test_no_two_assertions_are_the_same() -> None:
    show = client_auth(_with_key(ED), ISSUER)
    ids = {jwt.decode(show(NOW)[0]["client_assertion"], options={"verify_signature": False})["jti"] for _ in range(200)}
    assert len(ids) == 200


def test_an_assertion_is_made_when_it_is_sent_not_when_it_stands_in_line() -> None:
    scene = Scene(issuer(introspection=_with_key(ED)))
    miss = scene.start()
    scene.tick = 8.0
    steps = miss.fetch.steps(scene.tick)
    assertion = form(next(steps))["client_assertion"]
    assert jwt.decode(assertion, options={"verify_signature": False})["iat"] == NOW + 8
    steps.close()


@pytest.mark.parametrize(
    "unfit",
    [
        pem(RSA, BestAvailableEncryption(b"password")),
        pem(dsa.generate_private_key(2048)),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(ed448.Ed448PrivateKey.generate()),
        pem(x25519.X25519PrivateKey.generate()),
        pem(WEAK_RSA),  # RFC 7518 s3.3
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        pem(RSA)[:400],
        SECRET,
        b"",
    ],
    ids=["encrypted", "DSA", "secp256k1", "Ed448", "X25519", "1024 bits", "public", "cut", "no PEM", "empty"],
)
def test_a_key_that_no_server_takes_fails_at_the_start_and_is_never_shown(unfit: str | bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError) as caught:
            client_auth(asked(client_secret=DROP, private_key=unfit), ISSUER)
    text = unfit.decode() if isinstance(unfit, bytes) else unfit
    lines = [line for line in text.splitlines() if len(line) > 20 and "KEY" not in line]
    assert not any(line in repr(caught.value) for line in lines)
    assert caught.value.__context__ is None


def test_rsa_keys_of_the_old_form_serve() -> None:
    octets = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert client_auth(asked(client_secret=DROP, private_key=octets), ISSUER)(NOW)[0]["client_assertion"]


def test_what_shows_who_we_are_shows_in_no_repr() -> None:
    for said in (asked(), asked(auth="client_secret_post"), asked(client_secret=DROP, bearer=SECRET), _with_key(ED)):
        show = client_auth(said, ISSUER)
        assert SECRET not in repr(show)
        scene = Scene(issuer(introspection=said))
        scene.tells[ENDPOINT] = active()
        scene.validate()
        assert SECRET not in repr(scene.requests) + repr(scene.introspector()) + repr(scene.core.trust.named)
