"""Strict JSON: RFC 8259 and RFC 7519 s4 in the narrowest sense.

Two parsers that read one text differently are how tokens get forged (RFC 8725bis s3). So: UTF-8, no duplicate names,
only finite numbers, no lone surrogates, bounded depth.

What is accepted, and as what, is defined by `_strict`. Most texts are plainer than JSON may be, and for those there is
a quicker way to the same value: with orjson where the extra `speed` is installed, else with the standard library's
scanner without hooks. Both prove that there is nothing to be strict about, or leave it to `_strict`.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, Never

try:
    import orjson as _installed
except ImportError:
    _installed = None  # type: ignore[assignment]

orjson: Any = _installed  # None where the extra is not installed

MAX_DEPTH = 32
MAX_VALUES = 3000  # an object counts as four: reading one costs as much


def json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: not UTF-8, a BOM, not an object, a name twice in one object (escaped spellings too), NaN or
            Infinity, a number beyond a finite double, a lone surrogate, nested deeper than `MAX_DEPTH`, or more than
            `MAX_VALUES` (commas and braces in strings counted too). Its text is fixed, and it is raised outside of any
            `except` block: an exception of a parser holds the whole document.
    """
    value = None
    try:
        if data[:1] != b"{" and not data.lstrip(b" \t\n\r").startswith(b"{"):
            raise ValueError  # most junk ends here: a parser would take its time to say where it went wrong
        inside = data[1:]
        flat = _OPEN_BRACE not in inside and _OPEN_BRACKET not in inside
        # A text with few brackets cannot be deep; else look, before a parser recurses.
        shallow = flat or data.count(b"{") + data.count(b"[") <= MAX_DEPTH or _depth(data) <= MAX_DEPTH
        if shallow and (len(data) <= MAX_VALUES or data.count(b",") + 3 * data.count(b"{") < MAX_VALUES):
            value = _plain(data) if orjson is None else _canonical(data)
            if value is None:
                value = _strict(data.decode("utf-8"))
    except ValueError:  # JSONDecodeError, UnicodeError and our own among them
        value = None
    if type(value) is not dict:
        raise ValueError("not a strict JSON object")
    return value


def _canonical(data: bytes) -> Any:
    """The value of a text that is spelt as orjson would spell it; else None.

    What was written of a value has each name once, and no number or character that a double or UTF-8 could not hold.
    """
    try:
        value = orjson.loads(data)
    except ValueError:
        return None
    return value if orjson.dumps(value) == data else None


def _plain(data: bytes) -> Any:
    """The value of an object without objects in it, escapes, or numbers of hundreds of digits; else None."""
    text = data.decode("utf-8")
    if data.rfind(b"{") != 0 or _BACKSLASH in data or _may_have_long_numbers(text):
        return None
    pairs, end = _scanner.raw_decode(text)
    members = dict(pairs)
    return members if len(members) == len(pairs) and end == len(text) else None


def _may_have_long_numbers(text: str) -> bool:
    return len(text) >= _LONG and _LONG_NUMBER.search(text[60::61]) is not None


_OPEN_BRACE, _OPEN_BRACKET, _BACKSLASH = b"{[\\"  # as numbers: to look for one byte by its number is quicker
_LONG = 300  # digits; the largest double has 309
_LONG_NUMBER = re.compile("[0-9]{4}")  # of every 61st character: so many digits in a row show there as four
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LARGE_EXPONENT = re.compile("[0-9][eE][+-]?[0-9]{2}")  # with one digit it takes as long a number


def _strict(text: str) -> Any:
    # A hook for each number takes longer than all the rest; most texts have none that could be too large.
    odd = _LARGE_EXPONENT.search(text) is not None or _may_have_long_numbers(text)
    value = (_decoder if odd else _usual_decoder).decode(text)
    # "\ud800" alone is no character; re-encoding finds it wherever it stands. Few texts escape a surrogate.
    if "\\" in text and _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
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
    if len(text) > _LONG:
        _finite(text)
    return int(text)


def _constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


_scanner = json.JSONDecoder(object_pairs_hook=tuple, parse_float=_finite, parse_constant=_constant)
_usual_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_constant
)
