"""One JSON Web Key (RFC 7517): from a foreign JSON object to something that verifies, or a reason why not.

A key says for itself which algorithms it can serve: by its type, its curve, and its own `alg`, `use` and `key_ops`. So
the confusions between algorithms have no place to happen (RFC 8725bis s3): nothing here can be an HMAC key.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from .._algorithms import ALGORITHMS, PublicKey
from .._base64url import base64url_decode
from .._text import for_log

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_ED25519 = frozenset({"EdDSA", "Ed25519"})
_CURVES = {  # RFC 7518 s3.4: each algorithm has its one curve; s6.2.1.2: coordinates have the full length
    "P-256": (SECP256R1(), 32, frozenset({"ES256"})),
    "P-384": (SECP384R1(), 48, frozenset({"ES384"})),
    "P-521": (SECP521R1(), 66, frozenset({"ES512"})),
}
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

MIN_RSA_BITS = 2048  # RFC 7518 s3.3
MAX_RSA_BITS = 8192  # the time of a verification grows with the square
MAX_RSA_EXPONENT = 2**32


class Key:
    """A public key of an issuer, ready to verify.

    Two keys are equal if they have the same `kid`, issuer, material and algorithms.

    Attributes:
        name: its `kid`, fit for a log line.
        issuer: whose it is, where the set says so, as sets do that several issuers share.
        withdrawn: set once the issuer publishes it no more; whatever was proven with it counts no longer.
    """

    __slots__ = ("_verify", "algorithms", "issuer", "kid", "material", "name", "withdrawn")

    def __init__(
        self,
        kid: str | None,
        algorithms: frozenset[str],
        material: tuple[object, ...],
        public: PublicKey,
        issuer: str | None = None,
    ) -> None:
        self.kid = kid
        self.name = for_log(kid)
        self.issuer = issuer
        self.algorithms = algorithms
        self.material = material
        self._verify = {alg: ALGORITHMS[alg](public) for alg in algorithms}
        self.withdrawn = False

    def verify(self, alg: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed`. A key never verifies under an algorithm not its own."""
        verify = self._verify.get(alg)
        return verify is not None and verify(signed, signature)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"<Key kid={self.kid!r} algorithms={sorted(self.algorithms)}>"

    def _identity(self) -> tuple[object, ...]:
        return self.kid, self.issuer, self.algorithms, self.material


def parse_jwk(jwk: object) -> Key:
    """Make a key of a JWK.

    Raises:
        ValueError: it cannot serve to verify access tokens; the text, from a fixed list, says why.
    """
    if type(jwk) is not dict:
        raise ValueError("not a JSON object")
    kid = jwk.get("kid")
    if "kid" in jwk and type(kid) is not str:
        raise ValueError("kid is not a string")
    issuer = jwk.get("issuer")
    if "issuer" in jwk and type(issuer) is not str:
        raise ValueError("issuer is not a string")
    if any(member in jwk for member in _PRIVATE_MEMBERS):
        raise ValueError("private or symmetric: such a key is not to be published")
    if jwk.get("use", "sig") != "sig":
        raise ValueError("use is not sig")
    key_ops = jwk.get("key_ops", ["verify"])
    if type(key_ops) is not list or "verify" not in key_ops:
        raise ValueError("key_ops does not include verify")

    public, material, algorithms = _read(jwk)

    if "alg" in jwk:
        alg = jwk["alg"]
        if type(alg) is not str or alg not in algorithms:
            raise ValueError("alg does not fit the key, or is unsupported")
        # An issuer may say EdDSA in its key set and Ed25519 in its tokens, or the reverse (RFC 9864 s2.2).
        algorithms = _ED25519 if alg in _ED25519 else frozenset({alg})
    return Key(kid, algorithms, material, public, issuer)


def _read(jwk: dict[str, Any]) -> tuple[PublicKey, tuple[object, ...], frozenset[str]]:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if kty == "RSA":
        n, e = _number(jwk, "n"), _number(jwk, "e")
        if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
            raise ValueError(f"RSA modulus outside of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
        if not (n % 2 and e % 2 and 3 <= e <= MAX_RSA_EXPONENT):
            raise ValueError("RSA modulus or exponent is not sound")
        return RSAPublicNumbers(e, n).public_key(), (kty, n, e), _RSA
    if kty == "EC" and type(crv) is str and crv in _CURVES:
        curve, size, algorithms = _CURVES[crv]
        x, y = _octets(jwk, "x"), _octets(jwk, "y")
        if not len(x) == len(y) == size:
            raise ValueError("EC coordinates of the wrong length")
        numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve)
        try:
            return numbers.public_key(), (crv, x, y), algorithms
        except ValueError:
            pass
        raise ValueError("EC point is not on the curve")
    if kty == "OKP" and crv == "Ed25519":
        x = _octets(jwk, "x")
        if len(x) != 32:
            raise ValueError("Ed25519 key of the wrong length")
        return Ed25519PublicKey.from_public_bytes(x), (crv, x), _ED25519
    raise ValueError("unsupported kty or crv")


def _octets(jwk: dict[str, Any], member: str) -> bytes:
    text = jwk.get(member)
    if type(text) is not str or not text.isascii():
        raise ValueError(f"{member} is not base64url")
    return base64url_decode(text.encode("ascii"))


def _number(jwk: dict[str, Any], member: str) -> int:
    return int.from_bytes(_octets(jwk, member))
