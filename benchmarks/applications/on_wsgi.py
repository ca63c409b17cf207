"""A plain WSGI application, bare and behind the middleware: the most that protection can cost."""

from __future__ import annotations

from collections.abc import Iterable

from tokenguard.integrations.wsgi import Environ, StartResponse, TokenGuardMiddleware, WSGIApp, get_token

from . import Setting, validator_for


def bare(setting: Setting) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return _respond("nobody", start_response)

    return app


def guarded(setting: Setting) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return _respond(get_token(environ).subject or "", start_response)

    return TokenGuardMiddleware(app, validator_for(setting))


def _respond(caller: str, start_response: StartResponse) -> Iterable[bytes]:
    body = f'{{"caller": "{caller}"}}'.encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
