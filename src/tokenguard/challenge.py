"""A challenge: the value of `WWW-Authenticate` (RFC 6750 s3, RFC 9110 s11.6.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# RFC 6750 s3: error and error_description are of %x20-21 / %x23-5B / %x5D-7E, so quoting never needs an escape. realm
# may be any quoted-string; the same set is asked of it, since many clients do not undo escapes.
_TEXT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
_SCOPE_LIST = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 s3.3

DEFAULT_REALM: Final = "api"
"""Where nobody named one: a challenge needs a parameter (RFC 6750 s3), and without an error code it has no other."""


def is_challenge_text(text: str) -> bool:
    """Whether `text` may stand between the quotes of a challenge's parameter."""
    return _TEXT.fullmatch(text) is not None


def is_scope_token(text: str) -> bool:
    """Whether `text` is one scope (RFC 6749 s3.3)."""
    return _SCOPE_TOKEN.fullmatch(text) is not None


def is_scope_list(text: str) -> bool:
    """Whether `text` is scopes with spaces around them, or nothing at all."""
    return _SCOPE_LIST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What the client is asked for.

    Args:
        realm: what is protected.
        error, error_description: RFC 6750 s3.1; left out where no credentials were sent.
        scope: the scopes that would do, separated by single spaces.
        acr_values, max_age: RFC 9470 s3; max_age in seconds.

    Raises:
        ValueError: text that may not stand in a challenge, or none of the parameters (RFC 6750 s3 wants one).

    >>> str(Challenge(realm="api", error="invalid_token"))
    'Bearer realm="api", error="invalid_token"'
    """

    realm: str | None = None
    error: str | None = None
    error_description: str | None = None
    scope: str | None = None
    acr_values: str | None = None
    max_age: int | None = None

    def __post_init__(self) -> None:
        parameters = self._parameters()
        if not parameters:
            raise ValueError("a challenge needs at least one parameter, such as realm (RFC 6750 s3)")
        for name, value in parameters.items():
            if not is_challenge_text(value):
                raise ValueError(f"{name} is empty or has characters that may not stand in a challenge (RFC 6750 s3)")
        if self.scope is not None and not all(map(is_scope_token, self.scope.split(" "))):
            raise ValueError("scope is a list of scopes separated by single spaces (RFC 6749 s3.3)")

    def _parameters(self) -> dict[str, str]:
        values = {
            "realm": self.realm,
            "error": self.error,
            "error_description": self.error_description,
            "scope": self.scope,
            "acr_values": self.acr_values,
            "max_age": None if self.max_age is None else str(self.max_age),
        }
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in self._parameters().items())
