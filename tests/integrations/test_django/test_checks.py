"""The settings, and what `manage.py check` says about them."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.integrations.behaviour import AUDIENCE, ISSUER, make_validator
from tests.integrations.test_django.conftest import Configured
from tests.integrations.test_django.project import COMMON, GUARD
from tokenguard import AccessToken, ConfigurationError, TokenValidator
from tokenguard.integrations.django import TokenGuardMiddleware, _decorators, require_token
from tokenguard.integrations.django._settings import configuration

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"
CORS = "corsheaders.middleware.CorsMiddleware"
CACHE = "django.middleware.cache.FetchFromCacheMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
REST_FRAMEWORK = "tokenguard.integrations.rest_framework"
GOOD = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE}


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `project_auth` that settings may name; no view of other tests asks for a token, with whatever."""
    module = types.ModuleType("project_auth")
    vars(module).update(
        validator=make_validator(),
        user=lambda token: None,
        issuer_of=lambda request: None,
        number=1,
        TokenValidator=TokenValidator,
    )
    monkeypatch.setitem(sys.modules, "project_auth", module)
    monkeypatch.delitem(sys.modules, REST_FRAMEWORK, raising=False)
    monkeypatch.setattr(_decorators, "in_use", set())
    monkeypatch.setattr("tokenguard.integrations.django._checks.in_use", _decorators.in_use)


def found() -> list[str]:
    """The ids of what the checks say."""
    return [str(message.id) for message in checks.run_checks(tags=["tokenguard"])]


class Ours(TokenGuardMiddleware):
    """Somebody's subclass."""


# Settings


@pytest.mark.parametrize(
    "said",
    [
        GOOD,
        {**GOOD, "REQUIRED": False, "LEEWAY": 5, "USER": "project_auth.user"},
        {"VALIDATOR": "project_auth.validator", "ISSUER_OF": "project_auth.issuer_of"},
        {"VALIDATOR": make_validator(), "REQUIRED": True, "USER": None},
    ],
    ids=["options", "more options", "path", "object"],
)
def test_settings_that_make_sense_are_not_mentioned(configured: Configured, said: dict[str, Any]) -> None:
    configured(TOKENGUARD=said)
    assert found() == []
    assert isinstance(configuration().validator, TokenValidator)


async def issuer_of_async(request: HttpRequest) -> None: ...


WRONG: tuple[tuple[Any, str], ...] = (
    (None, r"settings.TOKENGUARD is missing: write TOKENGUARD = "),
    ("project_auth.validator", "settings.TOKENGUARD is of type str: write"),
    ({}, "settings.TOKENGUARD is empty: write"),
    ({"ISSUER": ISSUER}, "'AUDIENCE'] is missing"),
    ({"AUDIENCE": AUDIENCE}, "'ISSUER'] is missing"),
    ({"REQUIRED": False}, "'ISSUER'] is missing"),
    ({**GOOD, "ISSUER": "ftp://as.example.com"}, "TOKENGUARD: "),
    ({**GOOD, "LEEWAI": 5}, r"TOKENGUARD\['LEEWAI'\] is no setting: did you mean TOKENGUARD\['LEEWAY'\]\?"),
    ({**GOOD, "required": False}, r"'required'\] is no setting: did you mean TOKENGUARD\['REQUIRED'\]\?"),
    ({"VALIDATER": "project_auth.validator"}, r"did you mean TOKENGUARD\['VALIDATOR'\]\?"),
    ({**GOOD, "&": 1}, r"TOKENGUARD\['&'\] is no setting: choose from VALIDATOR, REQUIRED, USER, ISSUER_OF, ISSUER, "),
    ({**GOOD, 7: 1}, r"TOKENGUARD\[7\] is no setting: choose from"),
    ({**GOOD, "VALIDATOR": "project_auth.validator"}, r"VALIDATOR.* has these of its own: ISSUER, AUDIENCE; keep"),
    ({**GOOD, "REQUIRED": 0}, r"TOKENGUARD\['REQUIRED'\] is 0: True or False"),
    ({"VALIDATOR": "project_auth.nothing"}, r"project_auth.nothing', which cannot be imported: .*nothing"),
    ({"VALIDATOR": "no_such_project.validator"}, "which cannot be imported: No module named"),
    ({"VALIDATOR": "validator"}, "which cannot be imported: "),
    ({"VALIDATOR": "project_auth.number"}, r"TOKENGUARD\['VALIDATOR'\] is of type int: pass a TokenValidator"),
    ({"VALIDATOR": "project_auth.TokenValidator"}, "is the class TokenValidator: pass a TokenValidator"),
    ({"VALIDATOR": None}, "is of type NoneType: pass a TokenValidator"),
    (
        {**GOOD, "USER": "project_auth.number"},
        r"TOKENGUARD\['USER'\] is of type int: name a function from an AccessToken",
    ),
    ({**GOOD, "USER": AccessToken}, "name a function"),
    (
        {**GOOD, "ISSUER_OF": "project_auth.number"},
        r"TOKENGUARD\['ISSUER_OF'\] is of type int: name a function from a request",
    ),
    ({**GOOD, "ISSUER_OF": AccessToken}, "is the class AccessToken: name a function from a request"),
    ({**GOOD, "ISSUER_OF": issuer_of_async}, r"TOKENGUARD\['ISSUER_OF'\] is async: name a plain function"),
    ({**GOOD, "ISSUER_OF": "project_auth.nobody"}, r"TOKENGUARD\['ISSUER_OF'\] is .* cannot be imported"),
    ({**GOOD, "USER": "project_auth.nobody"}, r"TOKENGUARD\['USER'\] is .* cannot be imported"),
)


def test_settings_that_make_none_are_explained(configured: Configured) -> None:
    from django.conf import settings
    from django.test import override_settings

    for said, message in WRONG:
        with override_settings(TOKENGUARD=said):
            if said is None:
                del settings.TOKENGUARD
            with pytest.raises(ConfigurationError, match=message) as caught:
                configuration()
            (error,) = checks.run_checks(tags=["tokenguard"])
            assert (error.id, error.msg, error.is_serious()) == ("tokenguard.E001", str(caught.value), True)


def test_a_secret_in_the_settings_is_never_shown(configured: Configured) -> None:
    configured(TOKENGUARD={**GOOD, "CLIENT_SECRET": "s3cr3t s3cr3t", "CLIENT_ID": 7})
    (error,) = checks.run_checks(tags=["tokenguard"])
    assert "s3cr3t" not in error.msg


def test_settings_are_read_once_and_again_when_they_change(configured: Configured) -> None:
    from django.test import override_settings

    configured(TOKENGUARD=GOOD)
    first = configuration()
    assert configuration() is first
    with override_settings(SECRET_KEY="another"):
        assert configuration() is first
    configured(TOKENGUARD={**GOOD, "REQUIRED": False})
    assert configuration().required is False


@pytest.mark.parametrize("instead", [[], ["tokenguard"]], ids=["nothing", "package"])
def test_without_the_app_the_middleware_works_and_the_log_says_once_that_nothing_is_checked(
    configured: Configured, caplog: pytest.LogCaptureFixture, instead: list[str]
) -> None:
    configured(INSTALLED_APPS=instead, TOKENGUARD=GOOD)
    for _ in range(2):
        TokenGuardMiddleware(lambda request: HttpResponse())
    (record,) = caplog.records
    assert (record.levelname, record.getMessage().partition(":")[0]) == (
        "WARNING",
        "'tokenguard.integrations.django' is not in INSTALLED_APPS",
    )


def test_with_the_app_and_before_django_knows_its_apps_nothing_is_said_of_it(
    configured: Configured, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(TOKENGUARD=GOOD)
    TokenGuardMiddleware(lambda request: HttpResponse())
    configured(INSTALLED_APPS=[], TOKENGUARD=GOOD)
    monkeypatch.setattr(apps, "ready", False)
    TokenGuardMiddleware(lambda request: HttpResponse())
    assert not caplog.records


def test_an_error_of_the_project_that_is_imported_is_not_ours(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "project_auth")

    class Broken:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "project_auth":
                raise ZeroDivisionError

    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    configured(TOKENGUARD={"VALIDATOR": "project_auth.validator"})
    with pytest.raises(ZeroDivisionError):
        configuration()


def test_manage_py_check_says_so(configured: Configured) -> None:
    configured(TOKENGUARD={"ISSUER": ISSUER})
    with pytest.raises(SystemCheckError, match=r"tokenguard\.E001.*'AUDIENCE'\] is missing"):
        call_command("check")


# The middleware is there


def view(request: HttpRequest) -> HttpResponse:
    raise AssertionError


def test_views_that_ask_need_somebody_who_looks(configured: Configured) -> None:
    configured(MIDDLEWARE=[COMMON], ROOT_URLCONF=(path("", require_token(view)),))
    (error,) = checks.run_checks(tags=["tokenguard"])
    assert (error.id, error.msg) == (
        "tokenguard.E002",
        f"Views in {__name__} ask for tokens, and nothing looks for one: they answer 500.",
    )
    assert error.hint == f"Add {GUARD!r} to MIDDLEWARE."
    for middleware in (GUARD, f"{__name__}.Ours", "tokenguard.integrations.django._middleware.TokenGuardMiddleware"):
        configured(MIDDLEWARE=[COMMON, middleware])
        assert found() == []


def test_that_nobody_looks_and_no_view_asks_means_that_all_are_open(configured: Configured) -> None:
    configured(MIDDLEWARE=[COMMON])
    (error,) = checks.run_checks(tags=["tokenguard"])
    assert (error.id, error.msg) == ("tokenguard.E002", "Nothing looks for tokens: all views are open.")
    assert error.hint == f"Add {GUARD!r} to MIDDLEWARE."


def test_views_of_rest_framework_do_without_the_middleware(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, REST_FRAMEWORK, types.ModuleType(REST_FRAMEWORK))
    configured(TOKENGUARD=GOOD, MIDDLEWARE=[COMMON])
    assert found() == []
    configured(ROOT_URLCONF=(path("", require_token(view)),))  # it may be a method of such a view
    (warning,) = checks.run_checks(tags=["tokenguard"])
    assert (warning.id, warning.is_serious()) == ("tokenguard.W003", False)
    assert warning.hint.startswith(f"Add {GUARD!r} to MIDDLEWARE. Methods of views of REST framework")
    for required in (True, False):  # which only the middleware looks at
        configured(TOKENGUARD={**GOOD, "REQUIRED": required})
        assert found() == ["tokenguard.E005"]
    configured(MIDDLEWARE=[GUARD])
    assert found() == []


def test_that_tokens_may_open_the_admin_is_said_before_it_is_deployed(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deployed() -> list[str]:
        return [str(message.id) for message in checks.run_checks(tags=["tokenguard"], include_deployment_checks=True)]

    with_user = {**GOOD, "USER": "project_auth.user"}
    configured(TOKENGUARD=with_user)
    assert deployed() == []
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "django.contrib.admin")
    assert (deployed(), found()) == (["tokenguard.W004"], [])
    configured(TOKENGUARD=GOOD)
    assert deployed() == []
    configured(TOKENGUARD=with_user, MIDDLEWARE=[COMMON])
    assert deployed() == ["tokenguard.E002"]


def test_views_are_found_before_anybody_has_asked_for_them(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy(types.ModuleType):
        @property
        def urlpatterns(self) -> list[Any]:
            return [path("", require_token(view))]

    monkeypatch.setitem(sys.modules, "project_urls", Lazy("project_urls"))
    configured(MIDDLEWARE=[], ROOT_URLCONF="project_urls")
    assert found() == ["tokenguard.E002"]


def test_a_project_without_urls_is_fine(configured: Configured) -> None:
    configured(ROOT_URLCONF=None)
    assert found() == []


# Its order


@pytest.mark.parametrize(
    ("middleware", "user", "expected"),
    [
        ([COMMON, CSRF, GUARD], False, []),
        ([GUARD, COMMON, CSRF], False, []),
        ([AUTHENTICATION, GUARD], True, []),
        ([GUARD, AUTHENTICATION], False, []),
        ([GUARD, AUTHENTICATION], True, ["tokenguard.E003"]),
        ([f"{__name__}.Ours", AUTHENTICATION], True, ["tokenguard.E003"]),
        ([GUARD, CACHE], False, []),
        ([CACHE, GUARD], False, ["tokenguard.E004"]),
        ([AUTHENTICATION, GUARD, LOGIN_REQUIRED], True, []),
        ([AUTHENTICATION, GUARD, LOGIN_REQUIRED], False, ["tokenguard.W001"]),
        ([LOCALE, GUARD], False, []),
        ([GUARD, LOCALE], False, ["tokenguard.W002"]),
        ([CORS, GUARD], False, []),
        ([GUARD, CORS], False, ["tokenguard.W006"]),
        ([GUARD, "no.such.middleware"], False, []),
        ([CACHE, AUTHENTICATION], True, ["tokenguard.E002"]),
    ],
    ids=lambda value: ",".join(str(part).rpartition(".")[2] for part in value) if isinstance(value, list) else None,
)
def test_order_is_mentioned_where_it_matters(
    configured: Configured, middleware: list[str], user: bool, expected: list[str]
) -> None:
    configured(
        TOKENGUARD={**GOOD, **({"USER": "project_auth.user"} if user else {})}, MIDDLEWARE=middleware, ROOT_URLCONF=()
    )
    assert found() == expected
    for message in checks.run_checks(tags=["tokenguard"]):
        assert message.hint
        assert message.is_serious() is str(message.id).startswith("tokenguard.E")


def test_preflights_without_a_token_pass_where_it_is_optional(configured: Configured) -> None:
    configured(TOKENGUARD={**GOOD, "REQUIRED": False}, MIDDLEWARE=[GUARD, CORS])
    assert found() == []


def test_order_is_judged_where_the_settings_are_no_mapping(configured: Configured) -> None:
    configured(TOKENGUARD=7, MIDDLEWARE=[GUARD])
    assert found() == ["tokenguard.E001"]


def test_whom_rest_framework_asks_first_is_mentioned(configured: Configured) -> None:
    ours, session = f"{REST_FRAMEWORK}.TokenAuthentication", "rest_framework.authentication.SessionAuthentication"
    for classes, expected in (
        ([ours, session], []),
        ((ours,), []),
        ([session], []),
        ([session, ours], ["tokenguard.W005"]),
        ((session, ours), ["tokenguard.W005"]),
    ):
        configured(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": classes})
        assert found() == expected
    configured(REST_FRAMEWORK=None)
    assert found() == []


@pytest.mark.parametrize(
    ("version", "mixed_up"),
    [
        ((5, 2, 14, "final", 0), True),
        ((5, 2, 15, "final", 0), False),
        ((6, 0, 0, "final", 0), True),
        ((6, 0, 5, "final", 0), True),
        ((6, 0, 6, "final", 0), False),
        ((6, 1, 0, "alpha", 1), False),
    ],
    ids=lambda value: ".".join(map(str, value[:3])) if isinstance(value, tuple) else None,
)
def test_a_django_that_mixes_cached_pages_up_is_mentioned(
    configured: Configured, monkeypatch: pytest.MonkeyPatch, version: tuple[Any, ...], mixed_up: bool
) -> None:
    configured(TOKENGUARD=GOOD)
    monkeypatch.setattr("django.VERSION", version)
    assert found() == (["tokenguard.W007"] if mixed_up else [])


def test_the_app_does_without_drf_spectacular(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: False)
    monkeypatch.setitem(sys.modules, "drf_spectacular.extensions", None)
    apps.get_app_config("tokenguard").ready()
