"""What a route asks of a token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ._text import for_log
from .challenge import is_scope_token
from .errors import ConfigurationError, InsufficientScope, InvalidToken, Reason
from .token import AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The scopes that a route needs: every one of `all_of`, and at least one of `any_of` where that is not empty.

    Attributes:
        scope: all scopes to ask for. Of alternatives it names each: the authorization server grants what it will.
    """

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    scope: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", tuple(dict.fromkeys(self.all_of + self.any_of)))

    def check(self, token: AccessToken) -> None:
        """Pass, or raise.

        Raises:
            InsufficientScope: a needed scope was not granted; scopes are compared exactly (RFC 6749 s3.3).
        """
        if not token.scopes.issuperset(self.all_of):
            missing = [scope for scope in self.all_of if scope not in token.scopes]
            raise InsufficientScope(detail=f"lacks {' '.join(missing)}", required=self.scope)
        if self.any_of and token.scopes.isdisjoint(self.any_of):
            raise InsufficientScope(detail=f"has none of {' '.join(self.any_of)}", required=self.scope)


ANY_TOKEN = Requirement()
"""Any valid token will do."""


def require(all_of: Iterable[object], any_of: object) -> Requirement:
    """Make a requirement of what was written on a route.

    Raises:
        ConfigurationError: it would protect less than it seems to, or can never be met.
    """
    if isinstance(any_of, str) or not isinstance(any_of, Iterable):
        raise ConfigurationError(f'any_of is a collection of scopes: any_of=("{any_of}",)')
    requirement = Requirement(all_of=_scopes(all_of), any_of=_scopes(any_of))
    if not requirement.scope:
        raise ConfigurationError("require_scopes names no scope; to accept any valid token use require_token")
    return requirement


def require_issuer(token: AccessToken, issuer: str | None) -> None:
    """Let a token pass only at the address of its own tenant. For handlers that know the tenant by a path parameter.

    Args:
        token: a validated one.
        issuer: the URL of the issuer whose tokens are good at this address; None: of nobody.

    Raises:
        InvalidToken: it is another issuer's; answer 401, as the middleware and the decorators do.

    >>> token = AccessToken(issuer="https://acme.example.com", expires_at=0)
    >>> require_issuer(token, "https://acme.example.com")
    >>> require_issuer(token, "https://globex.example.com")
    Traceback (most recent call last):
    tokenguard.errors.InvalidToken: wrong_issuer: this address takes tokens of 'https://globex.example.com'
    """
    if issuer is None or token.issuer != issuer:
        refused = InvalidToken(Reason.WRONG_ISSUER, f"this address takes tokens of {for_log(issuer)}")
        refused.issuer, refused.client_id = token.issuer, token.client_id
        raise refused


def _scopes(names: Iterable[object]) -> tuple[str, ...]:
    scopes = []
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(f"a scope is a string, not {name!r}: {_remedy(name)}")
        if not is_scope_token(name):
            remedy = ", ".join(f'"{part}"' for part in name.split()) or "a name"
            raise ConfigurationError(f"{name!r} is no single scope (RFC 6749 s3.3): write {remedy}")
        scopes.append(name)
    return tuple(scopes)


def _remedy(said: object) -> str:
    if isinstance(said, (list, tuple, set, frozenset)):
        names = ", ".join(f'"{name}"' for name in said)
        return f"write {names or 'each scope'} without the list"
    if callable(said):
        return '@require_scopes("read:users") has its parentheses and its scopes'
    return 'write a name, such as "read:users"'
