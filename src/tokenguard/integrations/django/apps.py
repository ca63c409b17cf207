"""The app: system checks, and the description of REST framework's authentication for drf-spectacular."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core import checks

from . import _checks, _spectacular


class TokenGuardConfig(AppConfig):
    """`tokenguard.integrations.django` in INSTALLED_APPS. It has no models."""

    name = "tokenguard.integrations.django"
    label = "tokenguard"
    verbose_name = "tokenguard"

    def ready(self) -> None:
        for check in (
            _checks.settings_make_sense,
            _checks.somebody_looks,
            _checks.middleware_is_in_order,
            _checks.token_authentication_is_first,
            _checks.cached_pages_are_kept_apart,
        ):
            checks.register(check, "tokenguard")
        checks.register(_checks.tokens_open_no_admin, "tokenguard", deploy=True)
        if apps.is_installed("drf_spectacular"):
            _spectacular.describe()
