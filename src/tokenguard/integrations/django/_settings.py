"""What `settings.TOKENGUARD` says."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django import conf  # whose `settings` nobody may look at before they are there, doctest neither
from django.apps import apps
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.module_loading import import_string

from ...errors import ConfigurationError
from ...settings import NAMES, no_setting, validator_from
from ...validator import TokenValidator
from .._guard import check_validator, kind

_APP: Final = "tokenguard.integrations.django"
_log = logging.getLogger("tokenguard")

OURS = ("VALIDATOR", "REQUIRED", "USER", "ISSUER_OF")
"""The keys that are read here. All others say what `VALIDATOR` does not: `tokenguard.settings` reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings, ready to be used. `user` tells who a token is, for sync and async callers; None: nobody asked."""

    validator: TokenValidator
    required: bool
    issuer_of: Callable[[HttpRequest], str | None] | None
    user: Callable[..., Any] | None
    user_async: Callable[..., Any] | None


@functools.cache
def configuration() -> Configuration:
    """Read the settings, once.

    Raises:
        ConfigurationError: they are missing, misspelt, or contradict each other.
    """
    said = getattr(conf.settings, "TOKENGUARD", None)
    if not isinstance(said, Mapping) or not said:
        kind = "missing" if said is None else "empty" if said == {} else f"of type {type(said).__name__}"
        raise ConfigurationError(
            f'settings.TOKENGUARD is {kind}: write TOKENGUARD = {{"ISSUER": "https://...", "AUDIENCE": "..."}}, '
            'or {"VALIDATOR": "project.auth.validator"}'
        )
    for key in said:
        if key not in OURS + NAMES:
            raise ConfigurationError(no_setting(key, OURS + NAMES, lambda name: f"TOKENGUARD[{name!r}]"))
    required = said.get("REQUIRED", True)
    if type(required) is not bool:
        raise ConfigurationError(f"TOKENGUARD['REQUIRED'] is {required!r}: True or False")
    user, user_async = _user(_function(said, "USER", "a function from an AccessToken to a user"))
    issuer_of = _function(said, "ISSUER_OF", "a function from a request to the URL of an issuer")
    if iscoroutinefunction(issuer_of):
        raise ConfigurationError("TOKENGUARD['ISSUER_OF'] is async: name a plain function")
    if apps.ready and not apps.is_installed(_APP):
        _log.warning("%r is not in INSTALLED_APPS: manage.py check looks neither at TOKENGUARD nor at MIDDLEWARE", _APP)
    return Configuration(
        validator=_validator(said), required=required, issuer_of=issuer_of, user=user, user_async=user_async
    )


def _validator(said: Mapping[str, Any]) -> TokenValidator:
    if "VALIDATOR" not in said:
        return validator_from(said, also=OURS)
    also = [key for key in said if key not in OURS]
    if also:
        raise ConfigurationError(
            f"TOKENGUARD['VALIDATOR'] has these of its own: {', '.join(also)}; keep them here, or keep VALIDATOR"
        )
    validator: TokenValidator = _load("VALIDATOR", said["VALIDATOR"])
    check_validator(validator, "TOKENGUARD['VALIDATOR']")
    return validator


def _user(user: Any) -> tuple[Any, Any]:
    """The function for sync callers, and for async ones."""
    if user is None:
        return None, None
    return (async_to_sync(user), user) if iscoroutinefunction(user) else (user, sync_to_async(user))


def _function(said: Mapping[str, Any], key: str, what: str) -> Any:
    named = said.get(key)
    function = None if named is None else _load(key, named)
    if function is not None and (not callable(function) or isinstance(function, type)):
        raise ConfigurationError(f"TOKENGUARD[{key!r}] is {kind(function)}: name {what}")
    return function


def _load(key: str, said: object) -> Any:
    if not isinstance(said, str):
        return said
    try:
        return import_string(said)
    except ImportError as error:
        raise ConfigurationError(f"TOKENGUARD[{key!r}] is {said!r}, which cannot be imported: {error}") from error


def _forget(*, setting: str, **_: object) -> None:
    if setting == "TOKENGUARD":
        configuration.cache_clear()


setting_changed.connect(_forget)
