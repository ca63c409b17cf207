"""How we say who we are where we ask about tokens: RFC 6749 s2.3.1, RFC 7523, RFC 6750.

Signing is PyJWT's: it costs nothing on the way of a request that needs no call, and nobody has to trust us with it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError
from ..introspection import Introspection

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 60  # seconds
MIN_RSA_BITS = 2048  # RFC 7518 s3.3

Credentials = tuple[dict[str, str], str | None]
"""Members for the form, and the `Authorization` header."""


def client_auth(introspection: Introspection, audience: str) -> Callable[[float], Credentials]:
    """What shows at a given time (seconds since the epoch) who asks.

    Args:
        introspection: with the credential.
        audience: whom an assertion is for: the issuer's URL, where the operator says nothing else.

    Raises:
        ConfigurationError: the private key is of no use.
    """
    secret, who = introspection.client_secret or "", introspection.client_id or ""
    match introspection.auth:
        case "client_secret_basic":
            # RFC 6749 s2.3.1: form-encoded first, else a colon or a % in either would mean something. A space as %20,
            # which every decoder knows; some take a + for a plus.
            pair = f"{quote(who, safe='')}:{quote(secret, safe='')}".encode("ascii")
            basic = f"Basic {base64.b64encode(pair).decode('ascii')}"
            return lambda now: ({}, basic)
        case "client_secret_post":
            return lambda now: ({"client_id": who, "client_secret": secret}, None)
        case "bearer":
            bearer = f"Bearer {introspection.bearer}"
            return lambda now: ({}, bearer)
        case _:
            sign = _signer(introspection)
            aud = introspection.assertion_audience or audience
            return lambda now: ({"client_id": who, **_assertion(sign, who, aud, now)}, None)


def _assertion(sign: Callable[[dict[str, Any]], str], who: str, audience: str, now: float) -> dict[str, str]:
    issued = int(now)
    claims = {
        "iss": who,
        "sub": who,
        "aud": audience,
        "jti": secrets.token_urlsafe(16),  # RFC 7523 s3: a server may refuse one that it saw before
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
    }
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": sign(claims)}


def _signer(introspection: Introspection) -> Callable[[dict[str, Any]], str]:
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem: Any = introspection.private_key
    key: Any = None
    with suppress(Exception):  # whatever it says may quote the key
        key = load_pem_private_key(pem.encode("utf-8") if isinstance(pem, str) else pem, password=None)
    algorithm = _algorithm(key)
    if algorithm is None:
        raise ConfigurationError(
            "Introspection.private_key is no unencrypted private key in PEM for RS256 (of 2048 bits or more), ES256, "
            "ES384, ES512 or EdDSA"
        )
    headers = {} if introspection.key_id is None else {"kid": introspection.key_id}
    return lambda claims: jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def _algorithm(key: Any) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key:
        case rsa.RSAPrivateKey() if key.key_size >= MIN_RSA_BITS:
            return "RS256"
        case ec.EllipticCurvePrivateKey():
            return {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(key.curve.name)
        case ed25519.Ed25519PrivateKey():
            return "EdDSA"
    return None
