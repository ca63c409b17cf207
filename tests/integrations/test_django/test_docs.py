"""Each example of the documentation runs, and does what it says."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.integrations.behaviour import bearer
from tests.integrations.conftest import Response
from tests.integrations.test_django import project
from tests.integrations.test_django.conftest import Ask, Configured
from tokenguard.testing import LocalIssuer

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "frameworks"


def examples(name: str, folder: Path = DOCS) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / name).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer() as issuer:
        yield issuer


def run(example: str, issuer: LocalIssuer | None = None) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(example.replace("https://as.example.com", issuer.url) if issuer else example, namespace)
    return namespace


def settings_of(example: str, issuer: LocalIssuer) -> dict[str, Any]:
    """What an example settles; of the apps none is taken away."""
    settings = {name: value for name, value in run(example, issuer).items() if name.isupper()}
    assert set(settings.pop("INSTALLED_APPS")) <= {*project.SETTINGS["INSTALLED_APPS"], "django.contrib.sessions"}
    return settings


def found_by_checks() -> list[str]:
    return [str(message.id) for message in checks.run_checks(tags=["tokenguard"])]


def with_scope(issuer: LocalIssuer, scope: str) -> tuple[tuple[bytes, bytes], ...]:
    return bearer(issuer.mint(scope=scope))


def test_the_examples_of_the_readme(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    settings, urls = (example for example in examples("README.md", ROOT) if re.match("# (settings|urls).py", example))
    configured(**settings_of(settings, issuer), ROOT_URLCONF=tuple(run(urls)["urlpatterns"]))
    assert found_by_checks() == []
    assert ask("/users").status == 401
    assert json.loads(ask("/users", with_scope(issuer, "read:users")).body) == {"caller": "user-1"}
    assert ask("/users", with_scope(issuer, "other")).status == 403


def test_the_first_example_of_django(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    settings, urls, *_ = examples("django.md")
    configured(**settings_of(settings, issuer), ROOT_URLCONF=tuple(run(urls)["urlpatterns"]))
    assert found_by_checks() == []
    assert ask("/health").status == 200
    assert ask("/users").status == 401
    assert ask("/users", with_scope(issuer, "other")).status == 403
    assert json.loads(ask("/users", with_scope(issuer, "read:users")).body) == {"caller": "user-1"}


@pytest.mark.usefixtures("database")
def test_the_example_of_a_project_that_has_pages(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    _, users, settings, others, *_ = examples("django.md")
    engine = "django.contrib.sessions.backends.signed_cookies"
    views = {view.pattern._route: view for view in (*run(users)["urlpatterns"], *run(others)["urlpatterns"])}
    views["page"] = path("page", lambda request: HttpResponse(str(request.user)))
    configured(SESSION_ENGINE=engine, **settings_of(settings, issuer), ROOT_URLCONF=tuple(views.values()))
    assert found_by_checks() == []
    good, bad = with_scope(issuer, "read:users"), bearer("bad")
    for where, none, with_good, with_bad in (
        ("/page", 200, 200, 401),
        ("/nowhere", 404, 404, 401),
        ("/users", 401, 200, 401),
        ("/i18n", 200, 200, 200),
        ("/i18n/private", 401, 200, 401),
    ):
        found = [ask(where, headers).status for headers in ((), good, bad)]
        assert (where, found) == (where, [none, with_good, with_bad])


def test_the_example_of_the_environment(
    ask: Ask, configured: Configured, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, urls, _, _, settings, *_ = examples("django.md")
    monkeypatch.delenv("TOKENGUARD_VECTORS", raising=False)  # no setting: it is for our own tests
    monkeypatch.setenv("TOKENGUARD_ISSUER", issuer.url)
    monkeypatch.setenv("TOKENGUARD_AUDIENCE", "https://api.example.com")
    configured(TOKENGUARD=run(settings)["TOKENGUARD"], ROOT_URLCONF=tuple(run(urls)["urlpatterns"]))
    assert ask("/users").status == 401
    assert ask("/users", with_scope(issuer, "read:users")).status == 200


@pytest.mark.usefixtures("database")
def test_the_user_example(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    def whoami(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.user.get_username())

    *_, user, _ = examples("django.md")
    module = types.ModuleType("example_auth")
    vars(module).update(run(user))
    sys.modules["example_auth"] = module
    try:
        settings = {"ISSUER": issuer.url, "AUDIENCE": "https://api.example.com", "USER": "example_auth.user_of"}
        configured(TOKENGUARD=settings, ROOT_URLCONF=(path("", whoami),))
        assert ask("/", bearer(issuer.mint())).status == 403
        module.get_user_model().objects.create(username="user-1")
        assert ask("/", bearer(issuer.mint())).body == b"user-1"
        for changed in ({"is_active": False}, {"is_active": True, "is_staff": True}):
            module.get_user_model().objects.update(**changed)
            assert ask("/", bearer(issuer.mint())).status == 403
    finally:
        del sys.modules["example_auth"]


def test_the_csrf_example(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    *_, csrf = examples("django.md")
    csrf_middleware = "django.middleware.csrf.CsrfViewMiddleware"
    configured(
        TOKENGUARD={"ISSUER": issuer.url, "AUDIENCE": "https://api.example.com"},
        MIDDLEWARE=[csrf_middleware, project.GUARD],
        ROOT_URLCONF=(path("", run(csrf)["create_user"]),),
    )
    assert ask("/", with_scope(issuer, "write:users"), method="POST").status == 201
    assert ask("/", method="POST").status == 401


def test_the_example_of_rest_framework(ask: Ask, configured: Configured, issuer: LocalIssuer) -> None:
    settings, urls = examples("rest_framework.md")
    configured(**settings_of(settings, issuer), MIDDLEWARE=[])
    configured(TOKENGUARD=settings_of(settings, issuer)["TOKENGUARD"], ROOT_URLCONF=_fresh(urls))

    def told(found: Response) -> object:
        return found.status, json.loads(found.body)

    assert ask("/users").status == 401
    assert ask("/users", with_scope(issuer, "other")).status == 403
    assert told(ask("/users", with_scope(issuer, "read:users"))) == (200, {"caller": "user-1"})


def _fresh(urls: str) -> tuple[Any, ...]:
    """The routes, with views that read the settings anew: REST framework's base class did so when it was imported."""
    from rest_framework.settings import api_settings

    namespace = run(urls)
    for name in ("authentication_classes", "renderer_classes"):
        setattr(namespace["Users"], name, getattr(api_settings, f"DEFAULT_{name.upper()}"))
    return tuple(namespace["urlpatterns"])
