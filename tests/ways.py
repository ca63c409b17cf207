"""The two ways through the readers: with what the extra `speed` brings, and with the standard library alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tokenguard import _base64url, _json

Way = Literal["speed", "plain"]
WAYS: tuple[Way, ...] = ("speed", "plain")


@contextmanager
def by(way: Way) -> Iterator[None]:
    """Read this way. The test environment has the extra: without it, there would be nothing to compare."""
    assert _json.orjson is not None, "orjson is missing: install the extra speed"
    assert _base64url.pybase64 is not None, "pybase64 is missing: install the extra speed"
    if way == "speed":
        yield
        return
    found = _json.orjson, _base64url.pybase64
    _json.orjson = _base64url.pybase64 = None
    try:
        yield
    finally:
        _json.orjson, _base64url.pybase64 = found
