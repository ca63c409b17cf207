"""A validated access token, as an application sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class Claims(Mapping[str, Any]):
    """A JSON object, read-only all the way down: objects in it are `Claims` too, arrays are tuples.

    >>> claims = Claims({"org": {"ids": [1, 2]}})
    >>> claims["org"]["ids"]
    (1, 2)
    """

    __slots__ = ("_members",)

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    def __getitem__(self, name: str) -> Any:
        return _read_only(self._members[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"Claims({self._members!r})"

    def to_dict(self) -> dict[str, Any]:
        """A copy in plain JSON types, to change or to serialise."""
        return copy.deepcopy(self._members)


def _read_only(value: Any) -> Any:
    if isinstance(value, dict):
        return Claims(value)
    if isinstance(value, list):
        return tuple(map(_read_only, value))
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Who calls, and what they may do. Only tokens that passed every check become one.

    It never holds the token's text, and its `repr` shows no claims beyond those named here.

    Attributes:
        issuer: the authorization server that issued it (`iss`).
        subject: whom the token is about (`sub`). For a client acting on its own this may equal `client_id`; do not
            take the one for the other (RFC 9700 s4.15).
        client_id: the client it was issued to.
        audience: all audiences it names (`aud`, or what stands for it in the issuer's profile). Ours is among them, but
            for `ANY_AUDIENCE` and `Introspection(allow_missing_aud=True)`: then there may be none.
        scopes: what the client was granted; compare exactly. Which claim says so (`scope`, `scp`) is in the issuer's
            profile (`tokenguard.profiles`).
        roles: what the subject is to this API, where the profile says which claims name it; compare exactly. Some
            providers send groups as roles.
        expires_at, issued_at, not_before: seconds since the epoch (RFC 7519 s2, NumericDate). With
            `Introspection(allow_missing_exp=True)`, `expires_at` may be infinite, which JSON cannot say.
        token_id: `jti`, or what the provider sends in its place.
        claims: all claims, read-only all the way down; JSON arrays are tuples.

    >>> token = AccessToken(issuer="https://as.example.com", expires_at=1_700_000_000, subject="u1",
    ...                     scopes=frozenset({"read"}))
    >>> token.subject, "read" in token.scopes
    ('u1', True)
    """

    issuer: str
    expires_at: float
    subject: str | None = None
    client_id: str | None = None
    audience: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    issued_at: float | None = None
    not_before: float | None = None
    token_id: str | None = None
    claims: Claims = field(default_factory=lambda: Claims({}), repr=False, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the claims in plain JSON types, to change or to serialise."""
        return self.claims.to_dict()


class Draft:
    """An `AccessToken` in the making; `finish` makes it one.

    Writing a frozen dataclass goes through `object.__setattr__` for each field and takes five times as long. The two
    classes have the same slots, which is what allows the change.
    """

    __slots__ = AccessToken.__slots__

    issuer: str
    expires_at: float
    subject: str | None
    client_id: str | None
    audience: tuple[str, ...]
    scopes: frozenset[str]
    roles: frozenset[str]
    issued_at: float | None
    not_before: float | None
    token_id: str | None
    claims: Claims

    def finish(self) -> AccessToken:
        self.__class__ = AccessToken  # type: ignore[assignment]  # same slots
        return self  # type: ignore[return-value]
