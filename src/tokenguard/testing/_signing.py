"""Keys by algorithm name, and signatures with them.

Deliberately without judgement: what a sound library refuses to sign is what tests of a verifier are made of.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_CURVES: dict[str, EllipticCurve] = {"ES256": SECP256R1(), "ES384": SECP384R1(), "ES512": SECP521R1()}
_KEY_TYPES: dict[str, type[PrivateKey]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSAPrivateKey),
    **dict.fromkeys(_CURVES, EllipticCurvePrivateKey),
    **dict.fromkeys(("EdDSA", "Ed25519"), Ed25519PrivateKey),
}
_PYJWT = get_default_algorithms()
_PYJWT["Ed25519"] = _PYJWT["EdDSA"]  # RFC 9864 s2.2: the same algorithm under a name that PyJWT does not know
_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}

ASYMMETRIC = frozenset(_KEY_TYPES)
SIGNING = ASYMMETRIC | frozenset(_DIGESTS) | {"none"}


def family(alg: str) -> str:
    """One name for the two of Ed25519, which real servers put over one key; others are their own."""
    return "EdDSA" if alg == "Ed25519" else alg


def generate(alg: str) -> PrivateKey:
    """A new private key of the smallest kind that `alg` allows."""
    if alg in _CURVES:
        return generate_private_key(_CURVES[alg])
    if _KEY_TYPES[alg] is Ed25519PrivateKey:
        return Ed25519PrivateKey.generate()
    return generate_rsa_key(public_exponent=65537, key_size=2048)


def public_jwk(key: PrivateKey) -> dict[str, Any]:
    """The members of the public JWK that are the key itself (RFC 7518 s6)."""
    match key:
        case RSAPrivateKey():
            jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case EllipticCurvePrivateKey():
            jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # PyJWT's own addition for RSA alone; real servers say `use` instead, or nothing.
    return {name: value for name, value in jwk.items() if name != "key_ops"}


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The key in a public JWK.

    Raises:
        ValueError: it is private, symmetric, malformed, or for none of the algorithms here. The text does not show it.
    """
    reader = _READERS.get(str(jwk.get("kty")))
    if reader is not None and "d" not in jwk:
        with suppress(InvalidKeyError, TypeError, ValueError):
            key = reader(dict(jwk))
            if isinstance(key, PublicKey) and algorithms_of(key):
                return key
    raise ValueError("jwk is a public key: RSA, EC (P-256, P-384, P-521) or Ed25519")


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """The names of the algorithms that `key` can serve."""
    match key:
        case RSAPublicKey():
            return frozenset(alg for alg, kind in _KEY_TYPES.items() if kind is RSAPrivateKey)
        case EllipticCurvePublicKey():
            return frozenset(alg for alg, curve in _CURVES.items() if curve.name == key.curve.name)
        case _:
            return frozenset({"EdDSA", "Ed25519"})


def verifies(alg: object, key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether `signature` was made over `signed` by `alg`, one that `key` can serve: this half does judge."""
    return isinstance(alg, str) and alg in algorithms_of(key) and _PYJWT[alg].verify(signed, key, signature)


def signature(alg: str, key: PrivateKey | bytes | None, signed: bytes) -> bytes:
    """Sign `signed` as `alg` says.

    Raises:
        ValueError: an unknown algorithm, or a key that cannot serve it.
    """
    if alg == "none":
        return b""
    if alg in _DIGESTS:
        if not isinstance(key, bytes):
            raise ValueError(f"{alg} signs with bytes: give them as key=")
        # Not PyJWT's: it refuses a secret that looks like a PEM, which is how algorithm confusion is tried.
        return hmac.digest(key, signed, _DIGESTS[alg])
    if alg not in _KEY_TYPES:
        raise ValueError(f"{alg!r} is not an algorithm to sign with; known are {', '.join(sorted(SIGNING))}")
    if not isinstance(key, _KEY_TYPES[alg]):
        raise ValueError(f"{alg} signs with a {_KEY_TYPES[alg].__name__}, not with {type(key).__name__}: give alg=")
    return _PYJWT[alg].sign(signed, key)


def compact(header: bytes, payload: bytes, *, alg: str, key: PrivateKey | bytes | None) -> str:
    """A compact JWS (RFC 7515 s7.1) of exactly these bytes."""
    signed = segment(header) + b"." + segment(payload)
    return (signed + b"." + segment(signature(alg, key, signed))).decode("ascii")


def segment(data: bytes) -> bytes:
    """base64url without padding (RFC 7515 s2)."""
    return urlsafe_b64encode(data).rstrip(b"=")
