"""A compact JWS (RFC 7515 s7.1), taken apart. Nothing here says that it is good, only that it has one reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._encoding import base64url_decode, json_object
from .errors import InvalidToken, Reason

MAX_TOKEN_BYTES = 16 * 1024  # real ones reach 6 KiB

# Each changes what the token means or how it is signed, and none is supported: crit (RFC 7515 s4.1.11), b64 (RFC 7797),
# zip and enc (RFC 7516), cty (a nested token, RFC 7519 s5.2). jwk, jku, x5c, x5u and x5t are hints that nobody follows.
_UNSUPPORTED = ("crit", "b64", "zip", "enc", "cty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """The parts of a JWS. `typ` is in lower case and without `application/`; an empty one means that there was none."""

    alg: str
    kid: str | None
    typ: str
    payload: bytes
    signed: bytes
    signature: bytes


def parse_jws(token: str | bytes) -> Jws:
    """Take a token apart.

    Raises:
        InvalidToken: too large, or not exactly three non-empty segments of canonical base64url with a header of the
            supported kind.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(Reason.TOO_LARGE, f"{len(token)} characters, at most {MAX_TOKEN_BYTES}")
    if isinstance(token, str):
        if not str.isascii(token):
            raise InvalidToken(Reason.MALFORMED, "not ASCII")
        token = str.encode(token, "ascii")
    segments = token.split(b".", 5)
    if len(segments) == 5:
        raise InvalidToken(Reason.ENCRYPTED, "five segments: an encrypted token (JWE)")
    if len(segments) != 3:
        raise InvalidToken(Reason.MALFORMED, f"{len(segments)} segments, not three")

    header = read_json("header", _decode("header", segments[0]))
    payload = _decode("payload", segments[1])
    signature = _decode("signature", segments[2])

    for name in _UNSUPPORTED:
        if name in header:
            raise InvalidToken(Reason.UNSUPPORTED_HEADER, f"header has {name}")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if type(alg) is not str:
        raise InvalidToken(Reason.WRONG_ALGORITHM, "alg is missing or no string")
    if "kid" in header and type(kid) is not str:
        raise InvalidToken(Reason.MALFORMED, "kid is no string")
    if type(typ) is not str or ("typ" in header and not _media_type(typ)):
        raise InvalidToken(Reason.WRONG_TYPE, "typ is no media type")
    return Jws(
        alg=alg,
        kid=kid,
        typ=_media_type(typ),
        payload=payload,
        signed=token[: -len(segments[2]) - 1],
        signature=signature,
    )


def read_json(part: str, data: bytes) -> dict[str, Any]:
    """Read a part of a token as a strict JSON object.

    Raises:
        InvalidToken: it is none.
    """
    try:
        return json_object(data)
    except ValueError as error:
        trouble = str(error)
    # Raised out here, so that nothing of the token hangs in an exception's context.
    raise InvalidToken(Reason.MALFORMED, f"{part}: {trouble}")


def _decode(part: str, segment: bytes) -> bytes:
    try:
        return base64url_decode(segment)
    except ValueError as error:
        trouble = str(error)
    raise InvalidToken(Reason.MALFORMED, f"{part}: {trouble}")


def _media_type(typ: str) -> str:
    # RFC 7515 s4.1.9: "application/" may be left out; media types are case-insensitive. Only ASCII has a case here: a
    # KELVIN SIGN is no k.
    typ = typ.lower() if typ.isascii() else typ
    return typ.removeprefix("application/")
