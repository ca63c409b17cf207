"""One spelling: strict base64url and strict JSON.

Two texts that mean the same token defeat caches, deny-lists and logs, and two parsers that read one text differently
are how tokens get forged (RFC 8725bis s3). So each value has exactly one accepted base64url spelling, and JSON is read
in the narrowest sense of RFC 8259 and RFC 7519 s4: UTF-8, no duplicate names, only finite numbers, bounded depth.

All refusals are a plain `ValueError` with a fixed text, raised outside of any `except` block: an exception of the
standard library's parsers holds the whole document, and must not hang in a chain that somebody logs.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from itertools import accumulate
from typing import Any, Never

MAX_DEPTH = 32

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# To the standard alphabet, which binascii reads; all other bytes, '+', '/' and '=' among them, to one it refuses.
_TO_STANDARD = bytes(
    {ord("-"): ord("+"), ord("_"): ord("/")}.get(byte, byte if byte in _ALPHABET else ord("!")) for byte in range(256)
)
# By length modulo 4: the padding, and the last characters whose unused bits are zero (RFC 4648 s3.5).
_PADDING = {0: b"", 2: b"==", 3: b"="}
_CANONICAL_END = {0: frozenset(_ALPHABET), 2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}


def base64url_decode(text: bytes) -> bytes:
    """Decode unpadded base64url (RFC 7515 s2); every value has one spelling.

    Raises:
        ValueError: empty, padded, of another alphabet, an impossible length, or with stray bits at the end.
    """
    remainder = len(text) % 4
    if not text or remainder == 1 or text[-1] not in _CANONICAL_END[remainder]:
        raise ValueError("not canonical base64url")
    try:
        return binascii.a2b_base64(text.translate(_TO_STANDARD) + _PADDING[remainder], strict_mode=True)
    except binascii.Error:
        pass
    raise ValueError("not base64url")


def json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: not UTF-8, a BOM, not an object, a name twice in one object (escaped spellings too), NaN or
            Infinity, a number beyond a finite double, a lone surrogate, or nested deeper than `MAX_DEPTH`.
    """
    # A text with few brackets cannot be deep; else look, before the parser recurses.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError("nested too deep")
    try:
        value = _decode(data.decode("utf-8"))
        # "\ud800" alone is no character; re-encoding finds it wherever it stands. Few tokens have any escape.
        if b"\\" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError:  # JSONDecodeError, UnicodeError and our own among them
        value = None
    if type(value) is not dict:
        raise ValueError("not a strict JSON object")
    return value


def _depth(data: bytes) -> int:
    brackets = _STRINGS.sub(b"", data).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


# The last alternative takes a string that never ends. No quantifier is nested in another: linear on any input.
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("beyond a finite double")
    return number


def _integer(text: str) -> int:
    # Digits first: int() of a long text is slow, and refused by the interpreter from 4,301 digits on.
    if len(text) > 300:
        _finite(text)
    return int(text)


def _constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_constant
)


def _decode(text: str) -> Any:
    # raw_decode() is decode() without its search for white space around the text, which hardly any token has.
    if text[:1] == "{" and text[-1:] == "}":
        value, end = _decoder.raw_decode(text)
        if end == len(text):
            return value
    return _decoder.decode(text)


# base64url of "{" and what may follow it in JSON, and then a dot.
_JWT = re.compile(r"(?:eyJ|eyA|ewo|ew0|ewk)[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_.-]*")


def for_log(value: object) -> str:
    """Text of foreign origin, fit for a log line: quoted, ASCII, nothing that a terminal acts on, at most 128 long.

    What looks like a JWT is left out: somebody's token may stand where a name was meant to be.
    """
    text = _JWT.sub("[a token?]", ascii(_JWT.sub("[a token?]", value) if isinstance(value, str) else value))
    return text if len(text) <= 128 else f"{text[:125]}..."


def one_line(text: str) -> str:
    """A message that may quote what others said, as one line of printable ASCII, at most 512 long."""
    text = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 512 else f"{text[:509]}..."
