"""The extra `speed` is taken where it is installed, and missed nowhere."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest

from tokenguard import _base64url, _json


def _without(library: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module as it is where the library is not installed."""
    monkeypatch.setitem(sys.modules, library, None)
    assert module.__file__ is not None
    spec = spec_from_file_location(f"without_{library}", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    other = module_from_spec(spec)
    spec.loader.exec_module(other)
    return other


def test_json_is_read_without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    other = _without("orjson", _json, monkeypatch)
    assert other.orjson is None
    assert other.json_object(b'{"a":[1]}') == {"a": [1]}


def test_base64url_is_decoded_without_pybase64(monkeypatch: pytest.MonkeyPatch) -> None:
    other = _without("pybase64", _base64url, monkeypatch)
    assert other.pybase64 is None
    assert other.base64url_decode(b"_-A") == b"\xff\xe0"


def test_what_is_installed_is_taken() -> None:
    assert _json.orjson.__name__ == "orjson"
    assert _base64url.pybase64.__name__ == "pybase64"
