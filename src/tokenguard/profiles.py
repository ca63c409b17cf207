"""Profiles: which kind of token an issuer sends, and what it has to carry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is asked of a token besides the checks that all tokens undergo.

    Args:
        name: for people.
        types: accepted values of the header's `typ`, in lower case and without `application/`; "" accepts its absence.
        required: claims that must be present, beyond `iss`, `exp` and (unless any audience will do) `aud`.

    Raises:
        ConfigurationError: types or required are no collections of strings, or a type is spelt as it never matches.

    >>> BASE.types == {"", "jwt", "at+jwt"}
    True
    """

    name: str
    types: frozenset[str]
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, kind in (("types", frozenset), ("required", tuple)):
            said: Any = getattr(self, field)
            if isinstance(said, str) or not isinstance(said, Collection) or not all(type(x) is str for x in said):
                raise ConfigurationError(f"Profile.{field} is {said!r}: a {kind.__name__} of strings")
            object.__setattr__(self, field, kind(said))
        for typ in self.types:
            if typ != typ.lower().removeprefix("application/"):
                raise ConfigurationError(f"Profile.types has {typ!r}: write it in lower case, without application/")


BASE = Profile(name="base", types=frozenset({"", "jwt", "at+jwt"}))
"""What most servers send today: `typ` absent, `JWT` or `at+jwt`, few claims required."""

RFC9068 = Profile(
    name="rfc9068",
    types=frozenset({"at+jwt"}),
    required=("iss", "exp", "aud", "sub", "client_id", "iat", "jti"),
)
"""The JWT profile for access tokens, to the letter: RFC 9068 s2.1 (typ) and s2.2 (claims)."""
