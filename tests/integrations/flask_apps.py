"""The two applications of the table, as Flask applications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from tests.integrations.behaviour import PUBLIC, ROUTES, Route, make_validator
from tokenguard import MissingToken
from tokenguard.integrations.flask import TokenGuard, get_token, public, require_scopes, require_token

View = Callable[..., Any]

METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]


def application_of_the_table(*, required: bool, asynchronous: bool = False, **options: Any) -> Flask:
    """`ROUTES` as Flask views of either kind; what is public in the table is so by decorator."""
    app = Flask("table", static_folder=None)
    for path, route in ROUTES.items():
        is_public = required and (path in PUBLIC or path.startswith("/static/"))
        app.add_url_rule(path, path, _decorated(_view(route, asynchronous), route, is_public), methods=METHODS)
    TokenGuard(app, make_validator(), required=required, **options)
    return app


def applications(*, asynchronous: bool = False) -> dict[str, Flask]:
    return {
        "required": application_of_the_table(required=True, asynchronous=asynchronous),
        "optional": application_of_the_table(required=False, asynchronous=asynchronous),
    }


def _decorated(view: View, route: Route, is_public: bool) -> View:
    if route.asks == "scopes":
        return require_scopes(*route.all_of, any_of=route.any_of)(view)
    if route.asks == "token":
        return require_token(view)
    return public(view) if is_public else view


def _view(route: Route, asynchronous: bool) -> View:
    def respond() -> Response:
        if route.raises is not None:
            raise route.raises()
        try:
            subject = get_token().subject or ""
        except MissingToken:
            subject = "anonymous"
        return Response(subject.encode("ascii") + request.get_data(), mimetype="text/plain")

    async def respond_async() -> Response:
        return respond()

    return respond_async if asynchronous else respond
