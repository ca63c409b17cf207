"""Tokens of every kind, signed by hand, and validators for them.

Nothing here judges. `forge` signs any bytes under any header with any signer, so that a test can say exactly what is
wrong with a token while all the rest of it is right.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenguard import Issuer, Profile, TokenCache, TokenValidator, profiles

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
NOW = 1_800_000_000
LEEWAY = 60
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")

Json = bytes | str | Mapping[str, object]
Signer = Callable[[bytes], bytes]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey


def _rsa(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


# Made once for the session. The `EVIL` ones are the attacker's: sound keys that nobody trusts.
RSA, RSA_PSS, RSA_ENC, EVIL_RSA, WEAK_RSA = _rsa(), _rsa(), _rsa(), _rsa(), _rsa(1024)
P256, P384, P521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
EVIL_P256 = ec.generate_private_key(ec.SECP256R1())
ED, EVIL_ED = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SECRET = b"a shared secret of thirty-two by"

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


# Bytes to text and back


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def as_bytes(value: Json) -> bytes:
    """JSON text as it stands, or that of an object."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


# Signers


def _rsa_signer(key: rsa.RSAPrivateKey, digest: hashes.HashAlgorithm) -> Signer:
    return lambda data: key.sign(data, padding.PKCS1v15(), digest)


def pss_signer(
    key: rsa.RSAPrivateKey, digest: hashes.HashAlgorithm, salt: int, mgf: hashes.HashAlgorithm | None = None
) -> Signer:
    return lambda data: key.sign(data, padding.PSS(padding.MGF1(mgf or digest), salt), digest)


def _ec_signer(key: ec.EllipticCurvePrivateKey, digest: hashes.HashAlgorithm) -> Signer:
    size = (key.curve.key_size + 7) // 8

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign


def _hmac_signer(secret: bytes, digest: str) -> Signer:
    return lambda data: hmac.digest(secret, data, digest)


def hs256(secret: bytes) -> Signer:
    return _hmac_signer(secret, "sha256")


def der_signer(key: ec.EllipticCurvePrivateKey) -> Signer:
    return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


SIGNERS: dict[str, Signer] = {
    "RS1": _rsa_signer(RSA, hashes.SHA1()),  # what nobody should accept
    "RS256": _rsa_signer(RSA, hashes.SHA256()),
    "RS384": _rsa_signer(RSA, hashes.SHA384()),
    "RS512": _rsa_signer(RSA, hashes.SHA512()),
    "PS256": pss_signer(RSA_PSS, hashes.SHA256(), 32),
    "PS384": pss_signer(RSA_PSS, hashes.SHA384(), 48),
    "PS512": pss_signer(RSA_PSS, hashes.SHA512(), 64),
    "ES256": _ec_signer(P256, hashes.SHA256()),
    "ES384": _ec_signer(P384, hashes.SHA384()),
    "ES512": _ec_signer(P521, hashes.SHA512()),
    "EdDSA": ED.sign,
    "HS256": hs256(SECRET),
    "HS384": _hmac_signer(SECRET, "sha384"),
    "HS512": _hmac_signer(SECRET, "sha512"),
    "none": lambda _: b"",
    "evil RS256": _rsa_signer(EVIL_RSA, hashes.SHA256()),
    "evil PS256": pss_signer(EVIL_RSA, hashes.SHA256(), 32),
    "evil ES256": _ec_signer(EVIL_P256, hashes.SHA256()),
    "evil EdDSA": EVIL_ED.sign,
    "weak RS256": _rsa_signer(WEAK_RSA, hashes.SHA256()),
    "enc RS256": _rsa_signer(RSA_ENC, hashes.SHA256()),
    "RSA_PSS as RS256": _rsa_signer(RSA_PSS, hashes.SHA256()),
    "RSA as PS256": pss_signer(RSA, hashes.SHA256(), 32),
    "P384 as ES256": _ec_signer(P384, hashes.SHA256()),
    "P256 with SHA-384": _ec_signer(P256, hashes.SHA384()),
}

KIDS = {"RS256": "rs", "PS256": "ps", "ES256": "es", "EdDSA": "ed"}


# Keys as others see them


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public JWK (RFC 7518 s6) of a private key, with more members."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        n, e = public.public_numbers().n, public.public_numbers().e
        jwk = {"kty": "RSA", "n": b64(n.to_bytes((n.bit_length() + 7) // 8)), "e": b64(e.to_bytes(3))}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size = (public.curve.key_size + 7) // 8
        numbers = public.public_numbers()
        crv = {32: "P-256", 48: "P-384", 66: "P-521"}[size]
        jwk = {"kty": "EC", "crv": crv, "x": b64(numbers.x.to_bytes(size)), "y": b64(numbers.y.to_bytes(size))}
    else:
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return {**jwk, **members}


GOOD_KEYS: list[dict[str, Any]] = [
    public_jwk(RSA, kid="rs", alg="RS256", use="sig"),
    public_jwk(RSA_PSS, kid="ps", alg="PS256", use="sig"),
    public_jwk(P256, kid="es", alg="ES256", use="sig"),
    public_jwk(ED, kid="ed", alg="EdDSA", use="sig"),
]
USELESS_KEYS: list[dict[str, Any]] = [
    {"kty": "oct", "kid": "oct", "alg": "HS256", "k": b64(SECRET)},
    {"kty": "XYZ", "kid": "xyz"},
    public_jwk(WEAK_RSA, kid="weak", alg="RS256", use="sig"),
    public_jwk(RSA_ENC, kid="enc", use="enc"),
    public_jwk(RSA_ENC, kid="oaep", alg="RSA-OAEP"),
    public_jwk(RSA_ENC, kid="key-ops", key_ops=["encrypt"]),
    public_jwk(RSA_ENC, kid="rs512", alg="RS512"),
]
JWKS: dict[str, Any] = {"keys": USELESS_KEYS + GOOD_KEYS}


# Tokens

_DROP = object()
DROP: Any = _DROP
"""As the value of a member: leave it out."""


def claims(**changes: object) -> dict[str, object]:
    """Claims of a good token, with some changed, added or dropped."""
    members = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": NOW - 10, "exp": NOW + 600, **changes}
    return {name: value for name, value in members.items() if value is not _DROP}


def header(alg: object = "RS256", **changes: object) -> dict[str, object]:
    """A header of a good token signed with `alg`, with some members changed, added or dropped."""
    members = {"alg": alg, "kid": KIDS.get(alg, "rs") if isinstance(alg, str) else "rs", **changes}
    return {name: value for name, value in members.items() if value is not _DROP}


def forge(payload: Json | None = None, head: Json | None = None, by: str | Signer = "RS256") -> str:
    """A compact JWS of exactly this payload under exactly this header.

    Args:
        payload: claims, or the bytes to stand in their place; by default good ones.
        head: the header, or the bytes to stand in its place; by default that of `by`.
        by: a name of `SIGNERS`, or a function from the signed bytes to the signature.
    """
    signer = SIGNERS[by] if isinstance(by, str) else by
    if head is None:
        head = header(by) if isinstance(by, str) else header()
    signed = f"{b64(as_bytes(head))}.{b64(as_bytes(claims() if payload is None else payload))}"
    return f"{signed}.{b64(signer(signed.encode('ascii')))}"


def sign_text(signed: str, by: str | Signer = "RS256") -> str:
    """A compact JWS over this very text, whatever it is."""
    signer = SIGNERS[by] if isinstance(by, str) else by
    return f"{signed}.{b64(signer(signed.encode('utf-8', 'surrogatepass')))}"


def of_size(size: int) -> str:
    """A good token of exactly this many characters, some thousands of them."""
    for filler in ("", "f", "ff"):  # base64url has no text of a length of 1 modulo 4
        head = header(filler=filler)
        room = size - len(b64(as_bytes(head))) - len("..") - 342  # of an RS256 signature
        octets = room * 3 // 4
        if (octets * 4 + 2) // 3 == room:
            return forge(claims(pad="x" * (octets - len(as_bytes(claims(pad=""))))), head)
    raise ValueError(size)


def rfc9068_claims(**changes: object) -> dict[str, object]:
    """Claims of a good token in the sense of RFC 9068 s2.2."""
    return claims(**{"client_id": "client-1", "jti": "token-1", **changes})


# Validators


BY_DEFAULT = TokenCache()


def validator(
    profile: Profile = profiles.BASE,
    *,
    jwks: Mapping[str, Any] = JWKS,
    audience: Any = AUDIENCE,
    algorithms: tuple[str, ...] = ALGORITHMS,
    leeway: float = LEEWAY,
    max_token_age: float | None = None,
    token_cache: TokenCache | None = BY_DEFAULT,
) -> TokenValidator:
    """A validator that trusts `JWKS`, at the time `NOW`."""
    issuer = Issuer(
        ISSUER, jwks=jwks, algorithms=algorithms, leeway=leeway, profile=profile, max_token_age=max_token_age
    )
    return TokenValidator(issuer, audience=audience, token_cache=token_cache, clock=lambda: NOW, monotonic=lambda: 0.0)
