"""From the `Authorization` fields of a request to the text of a token (RFC 6750 s2.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._jws import MAX_TOKEN_BYTES
from ..errors import InvalidRequest, InvalidToken, MissingToken, Reason, RequestRefused
from ..validator import TokenValidator

# A "Bearer" that ends there or is followed by something that cannot belong to a scheme's name (RFC 9110 s5.6.2, tchar).
_BEARER = re.compile(rb"bearer(?![!#$%&'*+.^_`|~0-9a-z-])", re.IGNORECASE)
_ANOTHER_BEARER = re.compile(rb",[ \t]*bearer(?:[ \t]|\Z)", re.IGNORECASE)
_MAX_CREDENTIALS = MAX_TOKEN_BYTES + 64  # looked at before anything is searched for in it
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750 s2.1: 1*SP b64token
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/-"


def bearer_token(values: Sequence[bytes]) -> bytes:
    """The token in the values of all `Authorization` fields of a request (RFC 6750 s2.1).

    Raises:
        MissingToken: there is none: no such field, or one of another scheme.
        InvalidRequest: there is something that means to be a bearer token and is not exactly one.
    """
    if not values:
        raise MissingToken
    # As WSGI servers join them, since all adapters have to agree (RFC 9110 s5.2). Next to a comma, Bearer is refused.
    value = values[0] if len(values) == 1 else b", ".join(values)
    token = value[7:]
    # Nearly all are so, and nothing below would say otherwise: the search takes three times as long.
    if (
        value[:7].lower() == b"bearer "
        and token
        and len(value) <= _MAX_CREDENTIALS
        and not token.translate(None, _TOKEN68)
    ):
        return token
    value = value.strip(b" \t")  # RFC 9110 s5.5: white space around a field's value is no part of it
    if _ANOTHER_BEARER.search(value, 0, _MAX_CREDENTIALS):  # servers join repeated fields with a comma
        raise _repeated(len(values))
    if not _BEARER.match(value):
        raise MissingToken(detail="another scheme than Bearer")
    if len(value) > _MAX_CREDENTIALS:
        raise InvalidToken(Reason.TOO_LARGE, f"{len(value)} bytes of credentials")
    credentials = _CREDENTIALS.fullmatch(value)
    if credentials is None:
        if len(values) > 1:
            raise _repeated(len(values))
        raise InvalidRequest(Reason.MALFORMED_AUTHORIZATION, "Bearer is not followed by exactly one token")
    return credentials[1]


def _repeated(headers: int) -> InvalidRequest:
    joined = "Bearer stands behind a comma: fields joined by a server?"
    detail = joined if headers == 1 else f"{headers} Authorization headers"
    return InvalidRequest(Reason.REPEATED_AUTHORIZATION, detail)


def credentials(values: Sequence[bytes], validator: TokenValidator, *, required: bool) -> bytes | None:
    """The token in the `Authorization` fields of a request; None where it may come without, and does.

    Raises:
        MissingToken, InvalidRequest: named and logged, ready to be answered.
    """
    try:
        return bearer_token(values)
    except RequestRefused as refused:
        if isinstance(refused, MissingToken) and not required:
            return None
        validator.refuse(refused)
        raise
