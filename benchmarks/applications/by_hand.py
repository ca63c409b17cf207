"""What most tutorials have: PyJWT and its client for keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import Setting

Claims = Mapping[str, Any]


def decoder(setting: Setting) -> Callable[[str], Claims]:
    """A function from a token to its claims, that raises `jwt.PyJWTError` for a bad one."""
    import jwt

    keys = jwt.PyJWKClient(setting.jwks_uri)

    def decode(token: str) -> Claims:
        key = keys.get_signing_key_from_jwt(token)
        claims: Claims = jwt.decode(token, key, algorithms=["RS256"], audience=setting.audience, issuer=setting.issuer)
        return claims

    return decode
