"""What `manage.py check` says about the settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import django
from django import conf  # whose `settings` nobody may look at before they are there, doctest neither
from django.apps import apps
from django.core import checks
from django.urls import get_resolver
from django.utils.module_loading import import_string

from ...errors import ConfigurationError
from ._decorators import in_use
from ._settings import configuration

_OURS = "tokenguard.integrations.django.TokenGuardMiddleware"
_REST_FRAMEWORK = "tokenguard.integrations.rest_framework"
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
_LOCALE = "django.middleware.locale.LocaleMiddleware"
_CORS = "corsheaders.middleware.CorsMiddleware"
_CACHE = "django.middleware.cache.FetchFromCacheMiddleware"


def settings_make_sense(**_: Any) -> list[checks.CheckMessage]:
    """Whether TOKENGUARD can be read, and all that it names exists."""
    try:
        configuration()
    except ConfigurationError as error:
        return [checks.Error(str(error), id="tokenguard.E001")]
    return []


def somebody_looks(**_: Any) -> list[checks.CheckMessage]:
    """Whether the middleware is there, or REST framework, whose views with TokenAuthentication do without."""
    if getattr(conf.settings, "ROOT_URLCONF", None):
        get_resolver().check()  # which imports the views, and so whatever they ask with
    if _OURS in _positions():
        return []
    asking = f"Views in {', '.join(sorted(in_use))} ask for tokens, and nothing looks for one: they answer 500."
    hint = f"Add {_OURS!r} to MIDDLEWARE."
    if _REST_FRAMEWORK not in sys.modules:
        message = asking if in_use else "Nothing looks for tokens: all views are open."
        return [checks.Error(message, hint=hint, id="tokenguard.E002")]
    if "REQUIRED" in _said():
        message = "TOKENGUARD['REQUIRED'] is TokenGuardMiddleware's, which is not there: it requires nothing."
        return [checks.Error(message, hint=f"{hint} Or leave REQUIRED out.", id="tokenguard.E005")]
    if in_use:
        hint += " Methods of views of REST framework with TokenAuthentication do without."
        return [checks.Warning(asking, hint=hint, id="tokenguard.W003")]
    return []


def tokens_open_no_admin(**_: Any) -> list[checks.CheckMessage]:
    """Whether USER says who is staff. Only `manage.py check --deploy` asks: it cannot know what USER returns."""
    if _said().get("USER") is None or _OURS not in _positions() or not apps.is_installed("django.contrib.admin"):
        return []
    message = "TOKENGUARD['USER'] makes request.user of any valid token, and the admin asks for no scopes."
    hint = "Let USER return nobody who is staff, and then silence this."
    return [checks.Warning(message, hint=hint, id="tokenguard.W004")]


def middleware_is_in_order(**_: Any) -> list[checks.CheckMessage]:
    """Whether the middleware stands where it can do its work. To CommonMiddleware and CSRF's it is all the same."""
    return list(_disorder(_positions()))


def token_authentication_is_first(**_: Any) -> list[checks.CheckMessage]:
    """Whether REST framework asks our class what a 401 is to say: it asks the first one."""
    said = getattr(conf.settings, "REST_FRAMEWORK", None) or {}
    if f"{_REST_FRAMEWORK}.TokenAuthentication" not in tuple(said.get("DEFAULT_AUTHENTICATION_CLASSES", ()))[1:]:
        return []
    message = (
        "TokenAuthentication is not the first: REST framework answers in another's words, and 403 in place of 401."
    )
    hint = "Put it first in DEFAULT_AUTHENTICATION_CLASSES."
    return [checks.Warning(message, hint=hint, id="tokenguard.W005")]


def cached_pages_are_kept_apart(**_: Any) -> list[checks.CheckMessage]:
    """Whether `cache_page` looks at `Authorization`. Our `Vary` comes too late for it where it stands below us."""
    if (5, 2, 15) <= django.VERSION < (6, 0) or django.VERSION >= (6, 0, 6):
        return []
    message = "In this version of Django, cache_page below a check for tokens serves one caller's page to another."
    return [checks.Warning(message, hint="Update to Django 5.2.15, 6.0.6 or later.", id="tokenguard.W007")]


def _disorder(positions: dict[str, int]) -> Iterator[checks.CheckMessage]:
    ours = positions.get(_OURS)
    if ours is None:
        return
    has_user = _said().get("USER") is not None
    if has_user and positions.get(_AUTHENTICATION, ours) > ours:
        yield checks.Error(
            "AuthenticationMiddleware stands behind TokenGuardMiddleware: it replaces the request.user that USER made.",
            hint="In MIDDLEWARE, move TokenGuardMiddleware behind it.",
            id="tokenguard.E003",
        )
    if positions.get(_CACHE, ours) < ours:
        yield checks.Error(
            "FetchFromCacheMiddleware stands before TokenGuardMiddleware: it answers before a token is looked at.",
            hint="In MIDDLEWARE, move FetchFromCacheMiddleware to the end, as Django's documentation has it.",
            id="tokenguard.E004",
        )
    if not has_user and _LOGIN_REQUIRED in positions:
        yield checks.Warning(
            "LoginRequiredMiddleware sends requests with a token to the login page: a token makes no request.user.",
            hint='Name a function in TOKENGUARD["USER"], or put @login_not_required on views that ask for a token.',
            id="tokenguard.W001",
        )
    if positions.get(_CORS, ours) > ours and _said().get("REQUIRED", True):
        yield checks.Warning(
            "CorsMiddleware stands behind TokenGuardMiddleware, which refuses preflights: they carry no token.",
            hint="In MIDDLEWARE, move TokenGuardMiddleware behind it.",
            id="tokenguard.W006",
        )
    if positions.get(_LOCALE, ours) > ours:
        yield checks.Warning(
            "LocaleMiddleware stands behind TokenGuardMiddleware: which views are public is looked up in the default "
            "language, and below i18n_patterns public views of others are refused.",
            hint="In MIDDLEWARE, move TokenGuardMiddleware behind it.",
            id="tokenguard.W002",
        )


def _said() -> Mapping[str, Any]:
    said = getattr(conf.settings, "TOKENGUARD", None)
    return said if isinstance(said, Mapping) else {}


def _positions() -> dict[str, int]:
    """Where each class of middleware stands, its base classes counted as itself."""
    positions: dict[str, int] = {}
    for position, path in enumerate(conf.settings.MIDDLEWARE):
        positions.setdefault(path, position)
        with suppress(ImportError):  # which Django reports when it starts
            for base in getattr(import_string(path), "__mro__", ()):
                name = f"{base.__module__}.{base.__qualname__}".replace(".django._middleware.", ".django.")
                positions.setdefault(name, position)
    return positions
