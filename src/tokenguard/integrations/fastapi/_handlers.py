"""Exception handlers of an app that are given refusals: they may restyle the body, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp

from ...errors import RequestRefused
from .._answers import hold
from .._verdict import VERDICT_KEY, name_and_log
from ..starlette._endpoints import respond


def answer_refusals(app: Starlette) -> None:
    """Let an app answer refusals, and hold its own handlers of them, registered before or after, to the answer."""
    app.exception_handlers.setdefault(RequestRefused, _answer)
    build = app.build_middleware_stack

    def build_middleware_stack() -> ASGIApp:  # when the app has all handlers that it will have
        own = app.exception_handlers
        app.exception_handlers = {kind: _held(own[kind]) if _is_refusal(kind) else own[kind] for kind in own}
        try:
            return build()
        finally:
            app.exception_handlers = own

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]


def _is_refusal(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, RequestRefused)


async def _answer(connection: HTTPConnection, refused: RequestRefused) -> Response:
    return respond(refused, connection)


def _held(handler: Callable[..., Any]) -> Callable[..., Any]:
    asynchronous = iscoroutinefunction(handler) or iscoroutinefunction(type(handler).__call__)

    async def held(connection: HTTPConnection, refused: RequestRefused) -> Response:
        if connection.scope["type"] == "websocket":
            raise refused  # as `respond` has it
        name_and_log(refused, connection.scope.get(VERDICT_KEY))
        if asynchronous:
            response: Response = await handler(connection, refused)
        else:
            response = await run_in_threadpool(handler, connection, refused)
        response.status_code = refused.status
        hold(response.headers, refused)
        return response

    return held
