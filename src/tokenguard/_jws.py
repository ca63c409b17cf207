"""A compact JWS (RFC 7515 s7.1), taken apart. Nothing here says that it is good, only that it has one reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._base64url import base64url_decode
from ._json import json_object
from .errors import InvalidToken, Reason

MAX_TOKEN_BYTES = 16 * 1024  # real ones reach 6 KiB

# Each changes what the token means or how it is signed, and none is supported: crit (RFC 7515 s4.1.11), b64 (RFC 7797),
# zip and enc (RFC 7516), cty (a nested token, RFC 7519 s5.2). jwk, jku, x5c, x5u and x5t are hints that nobody follows.
_UNSUPPORTED = ("crit", "b64", "zip", "enc", "cty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a header says.

    `segment` is its text. `typ` is in lower case and without `application/`; an empty one means that there was none.
    """

    segment: bytes
    alg: str
    kid: str | None
    typ: str


Jws = tuple[Header, bytes, bytes, bytes]
"""Header, payload, what was signed, and the signature. A plain tuple, taken apart at once: names cost 0.3 us."""


def token_bytes(token: str | bytes) -> bytes:
    """The text of a token as ASCII.

    Raises:
        InvalidToken: it is too large, which is looked at before anything else, or not ASCII.
        TypeError: it is neither str nor bytes.
    """
    if not isinstance(token, (str, bytes)):
        raise TypeError(f"a token is str or bytes, not {type(token).__name__}")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(Reason.TOO_LARGE, f"{len(token)} characters, at most {MAX_TOKEN_BYTES}")
    if isinstance(token, bytes):
        return token
    if not str.isascii(token):
        raise InvalidToken(Reason.MALFORMED, "not ASCII")
    return str.encode(token)


def parse_jws(token: bytes, known: Mapping[bytes, Header]) -> Jws:
    """Take a token apart.

    Args:
        token: of `token_bytes`.
        known: headers that were read before, by their text: an issuer's are the same in all its tokens.

    Raises:
        InvalidToken: not exactly three non-empty segments of canonical base64url with a header of the supported kind.
    """
    signed, _, signature = token.rpartition(b".")
    segment, _, payload = signed.partition(b".")
    part = "signature"  # first: it costs little, and what has none ends here
    try:
        proof = base64url_decode(signature) if signed else b""  # with one segment there is none
        part = "header"
        header = known.get(segment)
        if header is None:
            _require_three_segments(token)
            header = _read_header(segment, json_object(base64url_decode(segment)))
        part = "payload"
        return header, base64url_decode(payload), signed, proof
    except ValueError as error:
        trouble = str(error)
    if part == "signature" and not signature:
        trouble = "none: the token is not signed"
    # Raised out here, so that nothing of the token hangs in an exception's context. A dot too many or too few has left
    # something above that is no base64url; only then they are counted.
    _require_three_segments(token)
    raise InvalidToken(Reason.MALFORMED, f"{part}: {trouble}")


def _require_three_segments(token: bytes) -> None:
    segments = len(token.split(b".", 5))
    if segments == 5:
        raise InvalidToken(Reason.ENCRYPTED, "five segments: an encrypted token (JWE)")
    if segments == 1:
        raise InvalidToken(Reason.MALFORMED, "no JWT: it has no dots. Opaque tokens need Issuer(introspection=...)")
    if segments != 3:
        raise InvalidToken(Reason.MALFORMED, f"{segments} segments, not three")


def read_payload(payload: bytes) -> dict[str, Any]:
    """The claims, as a strict JSON object (RFC 7519 s7.2).

    Raises:
        InvalidToken: it is none.
    """
    try:
        return json_object(payload)
    except ValueError as error:
        trouble = str(error)
    raise InvalidToken(Reason.MALFORMED, f"payload: {trouble}")


def _read_header(segment: bytes, header: dict[str, Any]) -> Header:
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
    return Header(segment=segment, alg=alg, kid=kid, typ=_media_type(typ))


def _media_type(typ: str) -> str:
    # RFC 7515 s4.1.9: "application/" may be left out; media types are case-insensitive. Only ASCII has a case here: a
    # KELVIN SIGN is no k.
    typ = typ.lower() if typ.isascii() else typ
    return typ.removeprefix("application/")
