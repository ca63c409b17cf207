"""A compact JWS (RFC 7515 s7.1), taken apart. Nothing here says that it is good, only that it has one reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ._encoding import base64url_decode, json_object
from .errors import InvalidToken, Reason

MAX_TOKEN_BYTES = 16 * 1024  # real ones reach 6 KiB

# Each changes what the token means or how it is signed, and none is supported: crit (RFC 7515 s4.1.11), b64 (RFC 7797),
# zip and enc (RFC 7516), cty (a nested token, RFC 7519 s5.2). jwk, jku, x5c, x5u and x5t are hints that nobody follows.
_UNSUPPORTED = ("crit", "b64", "zip", "enc", "cty")


class Header(NamedTuple):
    """What a header says. `typ` is in lower case and without `application/`; an empty one means that there was none."""

    alg: str
    kid: str | None
    typ: str


class Jws(NamedTuple):
    """The parts of a JWS. `segment` is the header's text."""

    segment: bytes
    header: Header
    payload: bytes
    signed: bytes
    signature: bytes


def token_bytes(token: str | bytes) -> bytes:
    """The text of a token as ASCII.

    Raises:
        InvalidToken: it is too large, which is looked at before anything else, or not ASCII.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(Reason.TOO_LARGE, f"{len(token)} characters, at most {MAX_TOKEN_BYTES}")
    if isinstance(token, bytes):
        return token
    if not str.isascii(token):
        raise InvalidToken(Reason.MALFORMED, "not ASCII")
    return str.encode(token, "ascii")


def parse_jws(token: bytes, known: Mapping[bytes, Header]) -> Jws:
    """Take a token apart.

    Args:
        token: of `token_bytes`.
        known: headers that were read before, by their text: an issuer's are the same in all its tokens.

    Raises:
        InvalidToken: not exactly three non-empty segments of canonical base64url with a header of the supported kind.
    """
    segments = token.split(b".", 5)
    if len(segments) != 3:
        if len(segments) == 5:
            raise InvalidToken(Reason.ENCRYPTED, "five segments: an encrypted token (JWE)")
        raise InvalidToken(Reason.MALFORMED, f"{len(segments)} segments, not three")
    segment, payload, signature = segments
    header = known.get(segment) or _read_header(segment)
    signed = token[: -len(signature) - 1]
    return Jws(segment, header, _decode("payload", payload), signed, _decode("signature", signature))


def _read_header(segment: bytes) -> Header:
    header = read_json("header", _decode("header", segment))
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
    return Header(alg, kid, _media_type(typ))


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
