"""Django, under WSGI and ASGI: bare, behind the middleware, and with scopes asked for on the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tokenguard.integrations.django import get_token, require_scopes

from . import PATH, SCOPE, Setting, validator_for

COMMON = "django.middleware.common.CommonMiddleware"  # which says the Content-Length
GUARD = "tokenguard.integrations.django.TokenGuardMiddleware"


def bare(setting: Setting) -> Any:
    return _wsgi(_nobody)


def guarded(setting: Setting) -> Any:
    return _wsgi(_caller, setting)


def guarded_with_scopes(setting: Setting) -> Any:
    return _wsgi(require_scopes(SCOPE)(_caller), setting)


def bare_asgi(setting: Setting) -> Any:
    return _asgi(_nobody_async)


def guarded_asgi(setting: Setting) -> Any:
    return _asgi(_caller_async, setting)


def guarded_with_scopes_asgi(setting: Setting) -> Any:
    return _asgi(require_scopes(SCOPE)(_caller_async), setting)


def _nobody(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": "nobody"})


async def _nobody_async(request: HttpRequest) -> JsonResponse:
    return _nobody(request)


def _caller(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"caller": get_token(request).subject})


async def _caller_async(request: HttpRequest) -> JsonResponse:
    return _caller(request)


def _wsgi(view: Callable[..., Any], setting: Setting | None = None) -> Any:
    _configure(view, setting)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def _asgi(view: Callable[..., Any], setting: Setting | None = None) -> Any:
    _configure(view, setting)
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def _configure(view: Callable[..., Any], setting: Setting | None) -> None:
    """Set Django up, protected where there is a setting."""
    protected = {"TOKENGUARD": {"VALIDATOR": validator_for(setting)}} if setting else {}
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=["tokenguard.integrations.django"] if setting else [],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[COMMON, GUARD] if setting else [COMMON],
        ROOT_URLCONF=(path(PATH.removeprefix("/"), view),),
        **protected,
    )
    django.setup()
