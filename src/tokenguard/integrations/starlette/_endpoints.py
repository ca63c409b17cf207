"""Starlette's endpoints, functions and classes, that ask for a token before they run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message

from ...errors import ConfigurationError, RequestRefused
from ...requirements import Requirement
from .._answers import answer
from .._verdict import VERDICT_KEY, admit, name_and_log
from ..asgi._order import guarded

F = TypeVar("F", bound=Callable[..., Any])


def guard(endpoint: F, requirement: Requirement) -> F:
    """An endpoint like this one, which only requests reach that meet the requirement.

    Raises:
        ConfigurationError: it is no endpoint that could be guarded.
    """
    asking: Callable[..., Any]
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        asking = _guard_class(endpoint, requirement)
    else:
        asking = _guard_function(endpoint, requirement)
    guarded.add(endpoint)
    return cast(F, asking)


def respond(refused: RequestRefused, connection: HTTPConnection) -> Response:
    """For our own modules: the answer to a refusal. That to a websocket is left to the middleware: it is raised.

    What came before on the websocket, and whether its server can send a response, the middleware alone knows.
    """
    if connection.scope["type"] == "websocket":
        raise refused
    response = answer(name_and_log(refused, connection.scope.get(VERDICT_KEY)), connection.scope["method"])
    return Response(response.body, status_code=response.status, headers=response.headers)


def _guard_class(endpoint: type[Any], requirement: Requirement) -> type[Any]:
    """A subclass that asks before anything of `endpoint` but its constructor has run.

    It does where Starlette calls it, so that it asks in place of its own subclasses too, whatever they override.
    """

    def ask_first(self: Any) -> Generator[Any, None, None]:
        send, begun = self.send, False

        def send_and_note(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            return cast(Awaitable[None], send(message))

        self.send = send_and_note
        try:
            admit(self.scope.get(VERDICT_KEY), requirement)
            yield from endpoint.__await__(self)
        except RequestRefused as refused:
            if begun:
                raise
            response = respond(refused, HTTPConnection(self.scope))
            yield from response(self.scope, self.receive, send).__await__()

    names = {name: getattr(endpoint, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(endpoint.__name__, (endpoint,), {**names, "__await__": ask_first})


def _guard_function(endpoint: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    request_of = _request_finder(endpoint)
    if inspect.iscoroutinefunction(endpoint):

        @functools.wraps(endpoint)
        async def asking_async(*args: Any, **kwargs: Any) -> Any:
            request = request_of(args, kwargs)
            try:
                admit(request.scope.get(VERDICT_KEY), requirement)
                return await endpoint(*args, **kwargs)
            except RequestRefused as refused:
                return respond(refused, request)

        return asking_async

    @functools.wraps(endpoint)
    def asking(*args: Any, **kwargs: Any) -> Any:
        request = request_of(args, kwargs)
        try:
            admit(request.scope.get(VERDICT_KEY), requirement)
            return endpoint(*args, **kwargs)
        except RequestRefused as refused:
            return respond(refused, request)

    return asking


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
