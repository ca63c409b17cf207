"""The scopes that a token grants, whichever claim names them."""

from __future__ import annotations

from typing import Any

from .challenge import is_scope_list, is_scope_token
from .errors import InvalidToken, Reason

_NONE: frozenset[str] = frozenset()


def read_scopes(claims: dict[str, Any], names: tuple[str, ...]) -> frozenset[str]:
    """The scopes that these claims name. Where a token has several of them, they have to agree.

    Raises:
        InvalidToken: a claim is no list of scopes, or two of them differ.
    """
    granted = None
    for name in names:
        if name in claims:
            value = claims[name]
            scopes = _usual.get(value) if type(value) is str else None
            if scopes is None:
                scopes = _read(value, name)
            if granted is None:
                granted = scopes
            elif scopes != granted:
                raise InvalidToken(Reason.MALFORMED_CLAIM, f"{' and '.join(names)} differ")
    return _NONE if granted is None else granted


# A client's tokens have the same scopes each time: one set for all. Whoever makes up tokens can fill it, with short
# texts, and then it begins anew.
_usual: dict[str, frozenset[str]] = {}
_MOST, _SHORT = 256, 256


def _read(value: Any, name: str) -> frozenset[str]:
    scopes = _scope_set(value)
    if scopes is None:
        raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is no list of scopes")
    if type(value) is str and len(value) <= _SHORT:
        if len(_usual) >= _MOST:
            _usual.clear()
        _usual[value] = scopes
    return scopes


def _scope_set(value: Any) -> frozenset[str] | None:
    # RFC 6749 s3.3 separates by U+0020 alone; str.split() would also at NBSP, tab and more, and grant what nobody did.
    if type(value) is str:
        if is_scope_list(value):
            scopes = frozenset(value.split(" "))
            return scopes if "" not in scopes else scopes - {""}
    elif type(value) is list and all(type(item) is str and is_scope_token(item) for item in value):
        return frozenset(value)
    return None
