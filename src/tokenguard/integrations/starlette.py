"""Starlette: the middleware, and what routes ask for.

app = Starlette(routes=[...], middleware=[Middleware(TokenGuardMiddleware, validator=validator)])

@require_scopes("read:users")
async def users(request: Request) -> Response:
    token = get_token(request)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ..errors import ConfigurationError, MissingToken, RequestRefused
from ..requirements import ANY_TOKEN, Requirement, require
from ..token import AccessToken
from . import asgi
from ._common import VERDICT_KEY, admit, answer, name_and_log, require_verdict

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
    verdict = require_verdict(request.scope.get(VERDICT_KEY))
    if verdict.token is None:
        raise name_and_log(MissingToken(), verdict)
    return verdict.token


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
    return _guard(require(scopes, any_of))


def require_token(endpoint: F) -> F:
    """Let a request reach the endpoint only with a valid token, whatever its scopes. Otherwise as `require_scopes`.

    >>> @require_token
    ... def profile(request): ...
    """
    return _guard(ANY_TOKEN)(endpoint)


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(endpoint: F) -> F:
        if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
            return cast(F, _guard_class(endpoint, requirement))
        request_of = _request_finder(endpoint)
        if inspect.iscoroutinefunction(endpoint):

            @functools.wraps(endpoint)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                request = request_of(args, kwargs)
                try:
                    admit(request.scope.get(VERDICT_KEY), requirement)
                    return await endpoint(*args, **kwargs)
                except RequestRefused as refused:
                    return respond(refused, request)

            return cast(F, guarded_async)

        @functools.wraps(endpoint)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            request = request_of(args, kwargs)
            try:
                admit(request.scope.get(VERDICT_KEY), requirement)
                return endpoint(*args, **kwargs)
            except RequestRefused as refused:
                return respond(refused, request)

        return cast(F, guarded)

    return decorate


def _guard_class(endpoint: type[Any], requirement: Requirement) -> type[Any]:
    """A subclass that asks before anything of `endpoint` but its constructor has run."""

    async def dispatch(self: Any) -> None:
        try:
            admit(self.scope.get(VERDICT_KEY), requirement)
        except RequestRefused as refused:
            await respond(refused, HTTPConnection(self.scope))(self.scope, self.receive, self.send)
        else:
            await endpoint.dispatch(self)

    names = {name: getattr(endpoint, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(endpoint.__name__, (endpoint,), {**names, "dispatch": dispatch})


def respond(refused: RequestRefused, connection: HTTPConnection) -> Response:
    """For our own modules: the answer to a refusal. That to a websocket is left to the middleware: it is raised.

    What came before on the websocket, and whether its server can send a response, the middleware alone knows.
    """
    if connection.scope["type"] == "websocket":
        raise refused
    response = answer(name_and_log(refused, connection.scope.get(VERDICT_KEY)), connection.scope["method"])
    return Response(response.body, status_code=response.status, headers=response.headers)


_CONNECTIONS = {"request", "websocket"}


def _request_finder(endpoint: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], HTTPConnection]:
    """How to find the request among an endpoint's arguments.

    Raises:
        ConfigurationError: `endpoint` is not a function that takes a request or a websocket.
    """
    name = getattr(endpoint, "__qualname__", repr(endpoint))
    if not inspect.isfunction(endpoint):
        raise ConfigurationError(
            f"{name} is no function and no class endpoint: decorate what takes the request, def get(request)"
        )
    if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
        raise ConfigurationError(f"{name} is a generator: an endpoint returns a response")
    # Its own parameters, and those of what it wraps: of a wrapper that takes anything only the latter tell.
    own = inspect.signature(endpoint, follow_wrapped=False).parameters
    wrapped = inspect.signature(endpoint).parameters
    if not any(_CONNECTIONS & parameters.keys() or len(parameters) == 1 for parameters in (own, wrapped)):
        raise ConfigurationError(f"{name} must take the request to be guarded: def {endpoint.__name__}(request)")

    def find(args: tuple[Any, ...], kwargs: dict[str, Any]) -> HTTPConnection:
        if args and isinstance(args[0], HTTPConnection):
            return args[0]
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, HTTPConnection):
                return argument
        given = ", ".join(type(argument).__name__ for argument in (*args, *kwargs.values())) or "nothing"
        raise ConfigurationError(f"{name} was called with {given} in place of a Starlette Request or WebSocket")

    return find
