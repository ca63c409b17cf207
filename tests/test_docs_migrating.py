"""docs/migrating.md: each After runs against an issuer, each Before parses; PyJWT's runs too, to be compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from tokenguard import Unavailable
from tokenguard.testing import LocalIssuer

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in PAGE.split("\n## ")[1:]
}


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer() as issuer:
        yield issuer


def _headers(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def _run(example: str, issuer: LocalIssuer) -> ModuleType:
    """Run an example against an issuer that is there."""
    module = ModuleType("example")
    text = example.replace("https://as.example.com", issuer.url)
    exec(compile(text, "docs/migrating.md", "exec", dont_inherit=True), vars(module))  # without our `annotations`
    return module


def test_each_library_has_a_before_and_an_after() -> None:
    assert [len(examples) for examples in SECTIONS.values()] == [2, 2, 2, 2, 3]
    for before, after, *_ in SECTIONS.values():
        ast.parse(before)
        assert "tokenguard" in after
        assert "tokenguard" not in before


def test_pyjwt(issuer: LocalIssuer) -> None:
    before, after = (_run(example, issuer) for example in SECTIONS["PyJWT and PyJWKClient"])
    good = issuer.mint()
    assert before.claims_of(good) == after.claims_of(good).to_dict()
    for bad in (issuer.mint(expires_in=-60), issuer.mint(audience="other"), f"{good[:-8]}AAAAAAAA", "junk"):
        assert before.claims_of(bad) is after.claims_of(bad) is None
    issuer.down()
    cold_before, cold_after = (_run(example, issuer) for example in SECTIONS["PyJWT and PyJWKClient"])
    assert cold_before.claims_of(good) is None
    with pytest.raises(Unavailable):
        cold_after.claims_of(good)


def test_authlib(issuer: LocalIssuer) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("tokenguard.integrations.flask", exc_type=ImportError)
    client = _run(SECTIONS["Authlib's ResourceProtector (Flask)"][1], issuer).app.test_client()
    good = _headers(issuer.mint(scope="orders:read orders:list"))
    assert client.get("/orders", headers=good).json == {"caller": "user-1"}
    assert client.get("/orders", headers=_headers(issuer.mint(scope="orders:read"))).status_code == 403
    assert client.get("/orders", headers=_headers(issuer.mint(header={"typ": "JWT"}))).status_code == 401


def test_flask_jwt_extended(issuer: LocalIssuer) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("tokenguard.integrations.flask", exc_type=ImportError)
    client = _run(SECTIONS["flask-jwt-extended"][1], issuer).app.test_client()
    good = _headers(issuer.mint({"org_id": 7}))
    assert client.get("/orders", headers=good).json == {"caller": "user-1", "org": 7}
    assert client.get("/orders").status_code == 401
    assert client.get("/orders", headers=_headers("junk")).status_code == 401


def test_fastapi_azure_auth(issuer: LocalIssuer) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("tokenguard.integrations.fastapi", exc_type=ImportError)
    example = SECTIONS["fastapi-azure-auth"][1].replace("https://login.microsoftonline.com/{TENANT}/v2.0", issuer.url)
    module = _run(example, issuer)
    client = TestClient(module.app)
    claims: dict[str, Any] = {"tid": module.TENANT, "azp": "c", "ver": "2.0", "roles": ["b", "a"]}
    good = issuer.mint({**claims, "scp": "user_impersonation"}, audience=module.CLIENT, header={"typ": "JWT"})
    assert client.get("/orders", headers=_headers(good)).json() == {"caller": "user-1", "roles": ["a", "b"]}
    weak = issuer.mint({**claims, "scp": "other"}, audience=module.CLIENT, header={"typ": "JWT"})
    assert client.get("/orders", headers=_headers(weak)).status_code == 403


def test_simplejwt(issuer: LocalIssuer) -> None:
    pytest.importorskip("rest_framework")
    project: Any = pytest.importorskip("tests.integrations.test_django.project", exc_type=ImportError)
    project.configure()
    django: Any = import_module("django.test")
    settings = _run(SECTIONS["djangorestframework-simplejwt"][1], issuer)
    assert settings.INSTALLED_APPS[1] in project.SETTINGS["INSTALLED_APPS"]
    rest_framework = {**project.SETTINGS["REST_FRAMEWORK"], **settings.REST_FRAMEWORK}
    with django.override_settings(TOKENGUARD=settings.TOKENGUARD, REST_FRAMEWORK=rest_framework, MIDDLEWARE=[]):
        view = _run(SECTIONS["djangorestframework-simplejwt"][2], issuer).Orders
        # Read where the class of all views was made, which other tests may have had done.
        defaults = import_module("rest_framework.settings").api_settings.DEFAULT_AUTHENTICATION_CLASSES
        view.authentication_classes = defaults
        with django.override_settings(ROOT_URLCONF=(import_module("django.urls").path("orders", view.as_view()),)):
            client = django.Client()
            good = _headers(issuer.mint(scope="orders:read"))
            assert client.get("/orders", headers=good).json() == {"caller": "user-1"}
            assert client.get("/orders", headers=_headers(issuer.mint())).status_code == 403
            assert client.get("/orders").status_code == 401
