"""Starlette: bare, behind the middleware, and with scopes asked for on the route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenguard.integrations.starlette import TokenGuardMiddleware, get_token, require_scopes

from . import PATH, SCOPE, Setting, validator_for

Endpoint = Callable[[Request], Awaitable[Response]]


def bare(setting: Setting) -> Starlette:
    return Starlette(routes=[Route(PATH, _nobody)])


def guarded(setting: Setting) -> Starlette:
    return _behind_middleware(setting, _caller)


def guarded_with_scopes(setting: Setting) -> Starlette:
    return _behind_middleware(setting, require_scopes(SCOPE)(_caller))


def _behind_middleware(setting: Setting, endpoint: Endpoint) -> Starlette:
    guard = Middleware(TokenGuardMiddleware, validator=validator_for(setting))
    return Starlette(routes=[Route(PATH, endpoint)], middleware=[guard])


async def _nobody(request: Request) -> Response:
    return JSONResponse({"caller": "nobody"})


async def _caller(request: Request) -> Response:
    return JSONResponse({"caller": get_token(request).subject})
