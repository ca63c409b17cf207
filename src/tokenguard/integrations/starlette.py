"""Starlette: the middleware, and what routes ask for.

app = Starlette(routes=[...], middleware=[Middleware(TokenGuardMiddleware, validator=validator)])

@require_scopes("read:users")
async def users(request: Request) -> Response:
    token = get_token(request)
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.requests import HTTPConnection

from ..requirements import ANY_TOKEN, require
from ..token import AccessToken
from . import asgi
from ._common import VERDICT_KEY, admit
from ._endpoints import guard

__all__ = ["TokenGuardMiddleware", "TokenUser", "get_token", "require_scopes", "require_token"]

F = TypeVar("F", bound=Callable[..., Any])


class TokenUser(BaseUser):
    """`request.user` of a request with a token; `token` has all of it."""

    def __init__(self, token: AccessToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.identity

    @property
    def identity(self) -> str:
        return self.token.subject or self.token.client_id or ""


class _NoUser(UnauthenticatedUser):
    """`request.user` of a request without a token."""


class _TokenCredentials(AuthCredentials):
    """`request.auth` of a request with a token. The list is made when somebody asks for it."""

    def __init__(self, token: AccessToken) -> None:
        self._token = token

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        return ["authenticated", *sorted(self._token.scopes)]


class TokenGuardMiddleware(asgi.TokenGuardMiddleware):
    """The ASGI middleware, which also sets `request.user` and `request.auth` where nobody did before.

    Arguments and behaviour are those of `tokenguard.integrations.asgi.TokenGuardMiddleware`. Starlette's own
    `@requires("read")` then works on the token's scopes, with Starlette's answers; `require_scopes` gives RFC 6750's.
    """

    def announce(self, scope: asgi.Scope, token: AccessToken | None) -> None:
        ours = isinstance(scope.get("user"), TokenUser | _NoUser)  # of an outer middleware like this one
        if ours or ("user" not in scope and "auth" not in scope):
            scope["user"] = _NoUser() if token is None else TokenUser(token)
            scope["auth"] = AuthCredentials() if token is None else _TokenCredentials(token)


def get_token(request: HTTPConnection) -> AccessToken:
    """The validated token of this request.

    Raises:
        MissingToken: it came without one, under `required=False` or on a public path.
        ConfigurationError: no TokenGuardMiddleware saw this request.
    """
    return admit(request.scope.get(VERDICT_KEY), ANY_TOKEN)


def require_scopes(*scopes: str, any_of: Collection[str] = ()) -> Callable[[F], F]:
    """Let a request reach the endpoint only if its token was granted these scopes.

    Args:
        scopes: all of them are needed; compared exactly.
        any_of: one of them is needed.

    Returns:
        A decorator for sync and async endpoints that take the request or the websocket, for methods of class endpoints,
        and for whole ones. A websocket is refused before it is accepted.

    Raises:
        ConfigurationError: when decorating, for no or impossible scopes and for what cannot be guarded; when called
            without TokenGuardMiddleware.

    >>> @require_scopes("read:users")
    ... async def users(request): ...
    """
    requirement = require(scopes, any_of)
    return lambda endpoint: guard(endpoint, requirement)


def require_token(endpoint: F) -> F:
    """Let a request reach the endpoint only with a valid token, whatever its scopes. Otherwise as `require_scopes`.

    >>> @require_token
    ... def profile(request): ...
    """
    return guard(endpoint, ANY_TOKEN)
