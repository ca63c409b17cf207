"""What routes ask for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from ...requirements import ANY_TOKEN, require
from ...token import AccessToken
from .._verdict import VERDICT_KEY, admit
from ._endpoints import guard

F = TypeVar("F", bound=Callable[..., Any])


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
