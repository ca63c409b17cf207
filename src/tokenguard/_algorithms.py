"""The signature algorithms (RFC 7518 s3, RFC 8037): each makes of a public key something that verifies.

All that can ever verify stands here. HS256 and its kin are left out: a shared secret is nothing to fetch from a URL.
ES256K and Ed448 are left out until somebody needs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
Verify = Callable[[bytes, bytes], bool]
"""Whether, of `(signed, signature)`, the second is the key's over the first."""


def _pkcs1(hashed: HashAlgorithm) -> Callable[[RSAPublicKey], Verify]:  # s3.3
    return lambda key: _rsa(key, PKCS1v15(), hashed)


def _pss(hashed: HashAlgorithm) -> Callable[[RSAPublicKey], Verify]:  # s3.5: MGF1 with the same hash, salt of its size
    return lambda key: _rsa(key, PSS(MGF1(hashed), hashed.digest_size), hashed)


def _rsa(key: RSAPublicKey, padding: PKCS1v15 | PSS, hashed: HashAlgorithm) -> Verify:
    check, size = key.verify, (key.key_size + 7) // 8
    digest, prehashed = _prehashed(hashed)

    def verify(signed: bytes, signature: bytes) -> bool:
        # RFC 8017 s8.1.2, s8.2.2. OpenSSL reads a number: of a PSS signature it does not miss zeros at the beginning,
        # and the token would have two spellings.
        if len(signature) != size:
            return False
        try:
            check(signature, digest(signed).digest(), padding, prehashed)
        except InvalidSignature:
            return False
        return True

    return verify


def _ecdsa(hashed: HashAlgorithm) -> Callable[[EllipticCurvePublicKey], Verify]:
    def of(key: EllipticCurvePublicKey) -> Verify:
        check, size = key.verify, (key.curve.key_size + 7) // 8
        digest, prehashed = _prehashed(hashed)
        algorithm = ECDSA(prehashed)

        def verify(signed: bytes, signature: bytes) -> bool:
            if len(signature) != 2 * size:  # s3.4: R and S, each of the full length
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            try:
                check(encode_dss_signature(r, s), digest(signed).digest(), algorithm)
            except InvalidSignature:
                return False
            return True

        return verify

    return of


def _prehashed(hashed: HashAlgorithm) -> tuple[Callable[[bytes], Any], Prehashed]:
    """What hashes, and the name under which cryptography takes that: 0.3 us less than to let it hash."""
    return getattr(hashlib, hashed.name), Prehashed(hashed)


def _eddsa(key: Ed25519PublicKey) -> Verify:
    check = key.verify

    def verify(signed: bytes, signature: bytes) -> bool:
        try:
            check(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify


# Any: each takes the type of key that `_keys.jwk` pairs it with.
ALGORITHMS: Final[Mapping[str, Callable[[Any], Verify]]] = {
    "RS256": _pkcs1(SHA256()),
    "RS384": _pkcs1(SHA384()),
    "RS512": _pkcs1(SHA512()),
    "PS256": _pss(SHA256()),
    "PS384": _pss(SHA384()),
    "PS512": _pss(SHA512()),
    "ES256": _ecdsa(SHA256()),
    "ES384": _ecdsa(SHA384()),
    "ES512": _ecdsa(SHA512()),
    "EdDSA": _eddsa,
    "Ed25519": _eddsa,  # RFC 9864's name for the same
}
