"""The internal verifier, from a JWK (or a set of them) and a compact JWS to yes or no.

The payloads of published vectors are no claims, so they go through everything but that: `parse_jws`, `parse_jwk`,
`KeySet` and `Key.verify`. Allowed is what the vector's own keys name, else all that is supported.
"""

from __future__ import annotations

from typing import Any

from tokenguard import InvalidToken, Issuer, Reason
from tokenguard._algorithms import ALGORITHMS
from tokenguard._jws import parse_jws, token_bytes
from tokenguard._keys.jwks import KeySet


def refusal(keys: list[dict[str, Any]], token: str) -> str | None:
    """None if one of the keys verifies the token; else why not: a `Reason`, or "no usable key: ..." of the key set."""
    named = tuple(str(jwk["alg"]) for jwk in keys if jwk.get("alg") in ALGORITHMS)
    issuer = Issuer("https://as.example.com", algorithms=named or tuple(ALGORITHMS))
    try:
        key_set = KeySet({"keys": keys}, issuer)
    except ValueError as error:
        return str(error)
    try:
        header, _, signed, signature = parse_jws(token_bytes(token), {})
        if header.alg not in issuer.algorithms:
            return Reason.WRONG_ALGORITHM
        key = key_set.find(header.kid, header.alg)
    except InvalidToken as refused:
        return refused.reason
    if key is None:
        return Reason.UNKNOWN_KEY
    return None if key.verify(header.alg, signed, signature) else Reason.BAD_SIGNATURE
