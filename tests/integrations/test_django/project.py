"""A Django project: its settings, and the routes of the table as views. Importing it configures nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import django
from django import conf
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from tests.integrations.behaviour import PUBLIC, ROUTES, Route, make_validator
from tokenguard import MissingToken
from tokenguard.integrations.django import get_token, public, require_scopes, require_token

View = Callable[..., Any]

GUARD = "tokenguard.integrations.django.TokenGuardMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"  # which says the Content-Length

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        *(["drf_spectacular"] if find_spec("drf_spectacular") else []),
        "tokenguard.integrations.django",
    ],
    "LOGGING_CONFIG": None,  # what other tests see of logging is not ours to change
    "MIDDLEWARE": [COMMON, GUARD],
    "MIGRATION_MODULES": {"auth": None, "contenttypes": None},  # the tables as they are in the end
    "REST_FRAMEWORK": {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    "ROOT_URLCONF": (),
    "SECRET_KEY": "for tests",
    "USE_TZ": True,
}


def configure(**more: Any) -> None:
    """Set Django up, once in a process."""
    if not conf.settings.configured:
        conf.settings.configure(**{**SETTINGS, **more})
        django.setup()
        import_module("rest_framework.views")  # whose classes take their defaults from the settings of this moment


def settings_of_the_table(application: str, *, asynchronous: bool) -> dict[str, Any]:
    """The settings of one of the two applications."""
    return {
        "ROOT_URLCONF": routes_of_the_table(asynchronous=asynchronous),
        "TOKENGUARD": {"VALIDATOR": make_validator(), "REQUIRED": application == "required"},
    }


def settings_of_rest_framework() -> dict[str, Any]:
    """The settings of REST framework on its own, without the middleware. To be made where Django is configured."""
    handler = {"EXCEPTION_HANDLER": "tokenguard.integrations.rest_framework.exception_handler"}
    return {
        "MIDDLEWARE": [COMMON],
        "REST_FRAMEWORK": {**SETTINGS["REST_FRAMEWORK"], **handler},
        "ROOT_URLCONF": rest_routes(),
        "TOKENGUARD": {"VALIDATOR": make_validator()},
    }


def routes_of_the_table(*, asynchronous: bool) -> tuple[URLPattern, ...]:
    """`ROUTES` as views of either kind."""
    return tuple(
        path(name[1:], _decorated(_view(route, asynchronous), route, is_public(name))) for name, route in ROUTES.items()
    )


def is_public(name: str) -> bool:
    """Whether the table's application `required` leaves a route out."""
    return name in PUBLIC or name.startswith("/static/")


def _decorated(view: View, route: Route, is_public: bool) -> View:
    if route.asks == "scopes":
        return require_scopes(*route.all_of, any_of=route.any_of)(view)
    if route.asks == "token":
        return require_token(view)
    return public(view) if is_public else view


def _view(route: Route, asynchronous: bool) -> View:
    def view(request: HttpRequest) -> HttpResponse:
        if route.raises is not None:
            raise route.raises()
        try:
            subject = get_token(request).subject or ""
        except MissingToken:
            subject = "anonymous"
        body = b"" if request.method == "HEAD" else subject.encode("ascii") + request.body
        return HttpResponse(body, content_type="text/plain")

    async def async_view(request: HttpRequest) -> HttpResponse:
        return view(request)

    return async_view if asynchronous else view


def rest_routes() -> tuple[URLPattern, ...]:
    """`ROUTES` as views of REST framework, which answer in plain text, so that the table can be held to them."""
    from rest_framework import permissions, views

    from tokenguard.integrations.rest_framework import HasScopes, TokenAuthentication

    def view_of(name: str, route: Route) -> View:
        def respond(self: Any, request: Any) -> HttpResponse:
            if route.raises is not None:
                raise route.raises()
            subject = "anonymous" if request.auth is None else request.auth.subject
            body = b"" if request.method == "HEAD" else subject.encode("ascii") + request._request.body
            return HttpResponse(body, content_type="text/plain")

        permission = permissions.AllowAny if route.asks == "nothing" else permissions.IsAuthenticated
        asked = HasScopes(*route.all_of, any_of=route.any_of) if route.asks == "scopes" else permission
        members = {
            "authentication_classes": [] if is_public(name) else [TokenAuthentication],
            "permission_classes": [asked],
            **dict.fromkeys(("get", "head", "post", "delete", "options"), respond),
        }
        made: Any = type("View", (views.APIView,), members)
        view = made.as_view()
        return public(view) if is_public(name) else view

    return tuple(path(name[1:], view_of(name, route)) for name, route in ROUTES.items())
