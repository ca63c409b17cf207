"""A validated access token, as an application sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Who calls, and what they may do. Only tokens that passed every check become one.

    It never holds the token's text, and its `repr` shows no claims beyond those named here.

    Attributes:
        issuer: the authorization server that issued it (`iss`).
        subject: whom the token is about (`sub`). For a client acting on its own this may equal `client_id`; do not
            take the one for the other (RFC 9700 s4.15).
        client_id: the client it was issued to.
        audience: all audiences it names (`aud`); ours is among them.
        scopes: what was granted (`scope` or `scp`); compare exactly.
        expires_at, issued_at, not_before: seconds since the epoch (RFC 7519 s2, NumericDate).
        token_id: `jti`.
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
    issued_at: float | None = None
    not_before: float | None = None
    token_id: str | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the claims in plain JSON types, to change or to serialise."""
        return {name: _thaw(value) for name, value in self.claims.items()}

    def __reduce__(self) -> tuple[object, ...]:
        # For pickle and copy: a read-only mapping has no state of its own to hand on.
        facts = {name.name: getattr(self, name.name) for name in fields(self)}
        return _restore, ({**facts, "claims": self.to_dict()},)


def _restore(facts: dict[str, Any]) -> AccessToken:
    return AccessToken(**{**facts, "claims": freeze(facts["claims"])})


def freeze(value: Any) -> Any:
    """A deeply read-only copy of a JSON value."""
    if isinstance(value, dict):
        return MappingProxyType({name: freeze(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(map(freeze, value))
    return value


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _thaw(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return list(map(_thaw, value))
    return value
