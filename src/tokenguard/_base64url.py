"""Strict base64url (RFC 7515 s2): each value has exactly one accepted spelling.

Two texts that mean the same token defeat caches, deny-lists and logs (RFC 8725bis s3).
"""

from __future__ import annotations

import binascii
from typing import Any

try:
    import pybase64 as _installed  # of the extra `speed`; what is accepted is decided here, with it and without
except ImportError:
    _installed = None  # type: ignore[assignment]

pybase64: Any = _installed

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_PLUS, _SLASH, _FOREIGN = b"+/!"  # as numbers: to look for one byte by its number takes a tenth of the time
# To the standard alphabet, which the standard library reads; all that is not of this one, '=' among it, to '!'.
_TO_STANDARD = bytes(
    {ord("-"): _PLUS, ord("_"): _SLASH}.get(byte, byte if byte in _ALPHABET else _FOREIGN) for byte in range(256)
)
# By length modulo 4: the padding, and the last characters whose unused bits are zero (RFC 4648 s3.5).
_ENDINGS = (
    (b"", frozenset(_ALPHABET)),
    (b"", frozenset[int]()),
    (b"==", frozenset(b"AQgw")),
    (b"=", frozenset(b"AEIMQUYcgkosw048")),
)


def base64url_decode(text: bytes) -> bytes:
    """Decode unpadded base64url (RFC 7515 s2); every value has one spelling.

    Raises:
        ValueError: empty, padded, of another alphabet, an impossible length, or with stray bits at the end. Its text is
            fixed, and it is raised outside of any `except` block: nothing of the input hangs in a chain.
    """
    padding, last = _ENDINGS[len(text) % 4]
    if not text or text[-1] not in last:
        raise ValueError("not canonical base64url")
    if pybase64 is None:
        standard = text.translate(_TO_STANDARD)
        if _FOREIGN not in standard:
            return binascii.a2b_base64(standard + padding)  # strict mode takes longer, and has nothing left to find
    elif not (_PLUS in text or _SLASH in text):  # it takes both alphabets, even in one text
        try:
            decoded: bytes = pybase64.b64decode(text + padding, b"-_", True)
            return decoded
        except ValueError:  # binascii.Error is one
            pass
    raise ValueError("not base64url")
