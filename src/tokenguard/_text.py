"""Text of foreign origin, made fit for a log line."""

from __future__ import annotations

import re

# base64url of "{" and what may follow it in JSON, and then a dot, or where the text was cut. No run of characters is
# gone through twice.
_JWT = re.compile(r"(?:eyJ|eyA|ewo|ew0|ewk)[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_.-]*|\Z)")
_LOOKED_AT = 512  # characters: more than are shown, and few enough that a text of any length costs the same


def for_log(value: object) -> str:
    """Text of foreign origin, fit for a log line: quoted, ASCII, nothing that a terminal acts on, at most 128 long.

    What looks like a JWT is left out: somebody's token may stand where a name was meant to be.
    """
    if isinstance(value, str):
        value = _JWT.sub("[a token?]", value[:_LOOKED_AT])
    text = _JWT.sub("[a token?]", ascii(value)[:_LOOKED_AT])
    return text if len(text) <= 128 else f"{text[:125]}..."


def one_line(text: str) -> str:
    """A message that may quote what others said, as one line of printable ASCII, at most 512 long."""
    text = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 512 else f"{text[:509]}..."
