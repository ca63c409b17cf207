"""Key sets: which keys serve, and which one serves whom."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from tests.forge import ED, ISSUER, P256, P384, P521, RSA, RSA_PSS, SIGNERS, WEAK_RSA, b64, public_jwk
from tokenguard import InvalidToken, Issuer, KeyPolicy, Reason
from tokenguard._algorithms import ALGORITHMS
from tokenguard._keys.jwk import parse_jwk
from tokenguard._keys.jwks import KeySet

ALL = Issuer(ISSUER, jwks={"keys": []}, algorithms=tuple(ALGORITHMS))
OWNERS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512"), RSA),
    **dict.fromkeys(("PS256", "PS384", "PS512"), RSA_PSS),
    "ES256": P256,
    "ES384": P384,
    "ES512": P521,
    "EdDSA": ED,
}
RSA_JWK, EC_JWK, ED_JWK = public_jwk(RSA), public_jwk(P256), public_jwk(ED)


def _set(*jwks: object, issuer: Issuer = ALL, previous: KeySet | None = None) -> KeySet:
    return KeySet({"keys": list(jwks)}, issuer, previous)


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1))


def test_a_key_serves_what_its_type_and_curve_allow() -> None:
    assert parse_jwk(RSA_JWK).algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert parse_jwk(EC_JWK).algorithms == {"ES256"}
    assert parse_jwk(ED_JWK).algorithms == {"EdDSA", "Ed25519"}


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_key_verifies_with_the_hash_that_the_algorithm_names(alg: str) -> None:
    signer = "EdDSA" if alg == "Ed25519" else alg
    key = parse_jwk(public_jwk(OWNERS[signer]))
    signature = SIGNERS[signer](b"signed")
    assert {other for other in ALGORITHMS if key.verify(other, b"signed", signature)} == (
        {"EdDSA", "Ed25519"} if signer == "EdDSA" else {alg}
    )
    assert not key.verify(alg, b"Signed", signature)


def test_its_own_alg_narrows_that() -> None:
    assert parse_jwk({**RSA_JWK, "alg": "PS256"}).algorithms == {"PS256"}  # C20
    # RFC 9864: two names of one algorithm, and issuers mix them.
    assert parse_jwk({**ED_JWK, "alg": "EdDSA"}).algorithms == {"EdDSA", "Ed25519"}
    assert parse_jwk({**ED_JWK, "alg": "Ed25519"}).algorithms == {"EdDSA", "Ed25519"}


@pytest.mark.parametrize(
    "extra", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}, {"x5c": ["junk"]}, {"foo": 1}]
)
def test_members_that_agree_or_are_unknown_are_no_obstacle(extra: dict[str, Any]) -> None:
    assert parse_jwk({**RSA_JWK, **extra}).kid is None


MODULUS = RSA.public_key().public_numbers().n
USELESS: dict[str, tuple[object, str]] = {
    "no object": ("x", "not a JSON object"),
    "kid null": ({**RSA_JWK, "kid": None}, "kid is not a string"),
    "kid a number": ({**RSA_JWK, "kid": 7}, "kid is not a string"),
    "use enc": ({**RSA_JWK, "use": "enc"}, "use is not sig"),
    "use null": ({**RSA_JWK, "use": None}, "use is not sig"),
    "use a list": ({**RSA_JWK, "use": ["sig"]}, "use is not sig"),
    "key_ops encrypt": ({**RSA_JWK, "key_ops": ["encrypt"]}, "key_ops"),
    "key_ops a string": ({**RSA_JWK, "key_ops": "verify"}, "key_ops"),
    "alg of another type": ({**RSA_JWK, "alg": "ES256"}, "alg does not fit"),
    "alg of encryption": ({**RSA_JWK, "alg": "RSA-OAEP"}, "alg does not fit"),
    "alg of another curve": ({**EC_JWK, "alg": "ES384"}, "alg does not fit"),
    "alg none": ({**RSA_JWK, "alg": "none"}, "alg does not fit"),
    "alg null": ({**RSA_JWK, "alg": None}, "alg does not fit"),
    "alg a list": ({**RSA_JWK, "alg": ["RS256"]}, "alg does not fit"),
    "no kty": ({}, "unsupported kty"),
    "kty of tomorrow": ({"kty": "AKP"}, "unsupported kty"),
    "kty a list": ({**RSA_JWK, "kty": ["RSA"]}, "unsupported kty"),
    "symmetric": ({"kty": "oct", "k": "AAAA"}, "private or symmetric"),
    "private RSA": ({**RSA_JWK, "d": "AAAA"}, "private or symmetric"),
    "private EC": ({**EC_JWK, "d": "AAAA"}, "private or symmetric"),
    "RSA of 1024 bits": (public_jwk(WEAK_RSA), "outside of 2048 to 8192 bits"),
    "RSA of 8193 bits": ({**RSA_JWK, "n": _number(2**8192 + 1)}, "outside of 2048 to 8192 bits"),
    "RSA even modulus": ({**RSA_JWK, "n": _number(MODULUS + 1)}, "not sound"),
    "RSA exponent 1": ({**RSA_JWK, "e": _number(1)}, "not sound"),
    "RSA exponent even": ({**RSA_JWK, "e": _number(65536)}, "not sound"),
    "RSA exponent too large": ({**RSA_JWK, "e": _number(2**32 + 1)}, "not sound"),
    "RSA without n": ({"kty": "RSA", "e": "AQAB"}, "n is not base64url"),
    "RSA n a number": ({**RSA_JWK, "n": 7}, "n is not base64url"),
    "RSA n padded": ({**RSA_JWK, "n": RSA_JWK["n"] + "=="}, "base64url"),
    "RSA n not ASCII": ({**RSA_JWK, "n": "é" + RSA_JWK["n"]}, "n is not base64url"),
    "EC curve unknown": ({**EC_JWK, "crv": "secp256k1"}, "unsupported kty or crv"),
    "EC curve a list": ({**EC_JWK, "crv": ["P-256"]}, "unsupported kty or crv"),
    "EC of another curve": ({**EC_JWK, "crv": "P-384"}, "wrong length"),
    "EC short coordinate": ({**EC_JWK, "x": b64(b"\1" * 31)}, "wrong length"),
    "EC off the curve": ({**EC_JWK, "x": EC_JWK["y"], "y": EC_JWK["x"]}, "not on the curve"),  # C24
    "EC at infinity": ({**EC_JWK, "x": b64(bytes(32)), "y": b64(bytes(32))}, "not on the curve"),
    "Ed25519 short": ({**ED_JWK, "x": b64(b"\1" * 31)}, "wrong length"),
    "Ed448": ({"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" * 57)}, "unsupported kty or crv"),
    "X25519": ({**ED_JWK, "crv": "X25519"}, "unsupported kty or crv"),
}


@pytest.mark.parametrize("name", USELESS)
def test_a_key_that_cannot_serve_says_why(name: str) -> None:
    jwk, why = USELESS[name]
    with pytest.raises(ValueError, match=why):
        parse_jwk(jwk)


@pytest.mark.parametrize("name", USELESS)
def test_it_is_skipped_and_reported_and_spoils_nothing(name: str) -> None:
    keys = _set(USELESS[name][0], {**RSA_JWK, "kid": "good"})  # C29
    assert keys.find("good", "RS256") is not None
    assert len(keys.skipped) == 1
    assert USELESS[name][1] in keys.skipped[0].why or "base64url" in keys.skipped[0].why


def test_leading_zeros_of_a_modulus_change_nothing() -> None:
    # RFC 7518 s2 has the shortest form; older servers put a zero octet in front.
    padded = {**RSA_JWK, "n": b64(b"\0" + MODULUS.to_bytes(256))}
    assert parse_jwk(padded) == parse_jwk(RSA_JWK)


def test_a_key_verifies_under_no_algorithm_but_its_own() -> None:
    signed = b"signed"
    key = parse_jwk({**RSA_JWK, "alg": "RS256"})
    assert key.verify("RS256", signed, SIGNERS["RS256"](signed))
    assert not key.verify("RS512", signed, SIGNERS["RS512"](signed))  # C20
    assert not key.verify("HS256", signed, b"")
    assert not key.verify("none", signed, b"")


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_both_names_of_ed25519_verify(alg: str) -> None:
    assert parse_jwk(ED_JWK).verify(alg, b"signed", ED.sign(b"signed"))


def test_keys_compare_by_what_they_are_and_print_no_material() -> None:
    key = parse_jwk({**RSA_JWK, "kid": "a"})
    assert key == parse_jwk({**RSA_JWK, "kid": "a", "use": "sig"})
    assert key != parse_jwk({**RSA_JWK, "kid": "b"})
    assert key != "a"
    assert repr(parse_jwk({**ED_JWK, "kid": "a"})) == "<Key kid='a' algorithms=['Ed25519', 'EdDSA']>"


class TestSelection:
    """C20, C21, and DESIGN.md's *Keys*."""

    def test_a_kid_finds_its_key(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, {**public_jwk(RSA_PSS), "kid": "b"})
        found = keys.find("b", "PS256")
        assert found is not None
        assert found.kid == "b"

    def test_an_unknown_kid_finds_none(self) -> None:
        assert _set({**RSA_JWK, "kid": "a"}).find("A", "RS256") is None

    def test_a_known_kid_of_another_type_finds_none(self) -> None:
        assert _set({**RSA_JWK, "kid": "a"}).find("a", "ES256") is None

    def test_a_kid_never_finds_a_key_without_one(self) -> None:
        assert _set(RSA_JWK).find("a", "RS256") is None

    def test_no_kid_finds_the_only_key_that_fits(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, EC_JWK)
        assert keys.find(None, "RS256") is not None
        assert keys.find(None, "ES256") is not None
        assert keys.find(None, "EdDSA") is None

    def test_no_kid_and_several_keys_that_fit_is_a_tie(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, {**public_jwk(RSA_PSS), "kid": "b"})
        with pytest.raises(InvalidToken, match="several keys without a kid fit RS256") as caught:
            keys.find(None, "RS256")
        assert caught.value.reason is Reason.AMBIGUOUS_KEY

    def test_two_different_keys_under_one_kid_are_a_tie(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, {**public_jwk(RSA_PSS), "kid": "a"})
        with pytest.raises(InvalidToken, match="several keys under kid 'a' fit RS256"):
            keys.find("a", "RS256")

    def test_a_third_key_does_not_break_a_tie(self) -> None:
        keys = _set(*({**public_jwk(key), "kid": "a"} for key in (RSA, RSA_PSS, RSA)))
        with pytest.raises(InvalidToken):
            keys.find("a", "RS256")

    def test_one_kid_may_name_keys_of_two_algorithms(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a", "alg": "RS256"}, {**public_jwk(RSA_PSS), "kid": "a", "alg": "PS256"})
        assert keys.find("a", "RS256") != keys.find("a", "PS256")

    def test_the_same_key_twice_is_one(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, {**RSA_JWK, "kid": "a", "use": "sig"}, {**RSA_JWK, "kid": "b"}, RSA_JWK)
        assert keys.find(None, "RS256") is not None
        assert keys.find("a", "RS256") is not None

    def test_only_allowed_algorithms_are_found(self) -> None:
        keys = _set({**RSA_JWK, "kid": "a"}, issuer=Issuer(ISSUER, jwks={"keys": []}, algorithms=("RS256",)))
        assert keys.find("a", "RS256") is not None
        assert keys.find("a", "PS256") is None  # C19


class TestDocument:
    def test_unknown_members_are_ignored(self) -> None:
        assert KeySet({"keys": [RSA_JWK], "more": {"x": 1}}, ALL).find(None, "RS256") is not None

    @pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, RSA_JWK])
    def test_what_is_no_key_set_is_refused(self, document: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="no key set"):
            KeySet(document, ALL)

    def test_one_without_usable_key_is_refused_and_says_why(self) -> None:
        with pytest.raises(ValueError, match="no usable key; 'a\\\\n': use is not sig"):
            _set({**RSA_JWK, "kid": "a\n", "use": "enc"})
        with pytest.raises(ValueError, match="no usable key"):
            _set()

    def test_more_keys_than_allowed_are_refused_as_a_whole(self) -> None:
        issuer = Issuer(ISSUER, jwks={"keys": []}, keys=KeyPolicy(max_keys=2))
        assert _set(RSA_JWK, EC_JWK, issuer=issuer).skipped == ()
        with pytest.raises(ValueError, match="3 keys, at most 2"):
            _set(RSA_JWK, EC_JWK, ED_JWK, issuer=issuer)

    def test_an_unchanged_key_keeps_its_object(self) -> None:
        before = _set({**RSA_JWK, "kid": "a"}, {**EC_JWK, "kid": "b"})
        after = _set(json.loads(json.dumps({**RSA_JWK, "kid": "a"})), {**EC_JWK, "kid": "c"}, previous=before)
        assert after.find("a", "RS256") is before.find("a", "RS256")
        assert after.find("b", "ES256") is None
        assert pickle.loads(pickle.dumps(after.skipped)) == ()


def test_a_key_that_stands_twice_is_one_object() -> None:
    # Else one of the two would be withdrawn one day, and the other one have proven the tokens.
    twice = _set(RSA_JWK, RSA_JWK)
    (key,) = twice.keys
    assert twice.find(None, "RS256") is key
    again = _set(RSA_JWK, RSA_JWK, previous=twice)
    assert again.find(None, "RS256") is key
    assert next(iter(again.keys)) is key


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_a_signature_has_the_length_of_its_key(alg: str) -> None:
    # One in 256 begins with a zero, and is the same number without it.
    verify = ALGORITHMS[alg]((RSA if alg == "RS256" else RSA_PSS).public_key())
    sign = SIGNERS[alg]
    signed, signature = next(
        (signed, signature)
        for signed in (b"%d" % number for number in range(20_000))
        if (signature := sign(signed))[0] == 0
    )
    assert verify(signed, signature)
    assert not verify(signed, signature[1:])
    assert not verify(signed, b"\0" + signature)
