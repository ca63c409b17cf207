"""Every example in README.md runs, and does what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from werkzeug.test import Client

from tokenguard import TokenValidator
from tokenguard.testing import LocalIssuer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer() as issuer:
        yield issuer


def _run(example: str, issuer: LocalIssuer) -> dict[str, Any]:
    """Run an example as it stands, against an issuer that is there."""
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(example.replace("https://as.example.com", issuer.url), namespace)
    return namespace


def _example(text: str) -> str:
    found = [example for example in EXAMPLES if text in example]
    assert len(found) == 1
    return str(found[0])


def _headers(issuer: LocalIssuer, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.mint(scope=scope)}"}


def test_each_example_is_tested_here_or_with_djangos() -> None:
    assert len(EXAMPLES) == 7 + 2


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_the_examples_of_asgi_frameworks(framework: str, issuer: LocalIssuer) -> None:
    pytest.importorskip(framework)
    client = TestClient(_run(_example(f"integrations.{framework}"), issuer)["app"])
    assert client.get("/users").status_code == 401
    assert client.get("/users", headers=_headers(issuer, "read:users")).json() == {"caller": "user-1"}
    assert client.get("/users", headers=_headers(issuer, "other")).status_code == 403


def test_the_flask_example(issuer: LocalIssuer) -> None:
    client = _run(_example("integrations.flask"), issuer)["app"].test_client()
    assert client.get("/users").status_code == 401
    assert client.get("/users", headers=_headers(issuer, "read:users")).json == {"caller": "user-1"}
    assert client.get("/users", headers=_headers(issuer, "other")).status_code == 403


def test_the_asgi_example(issuer: LocalIssuer) -> None:
    client = TestClient(_run(_example("integrations.asgi"), issuer)["app"])
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"Authorization": f"Bearer {issuer.mint()}"}).text == "user-1"


def test_the_wsgi_example(issuer: LocalIssuer) -> None:
    client = Client(_run(_example("integrations.wsgi"), issuer)["app"])
    assert client.get("/").status_code == 401
    assert client.get("/", headers=_headers(issuer, "any")).text == "user-1"


def test_the_plain_example(issuer: LocalIssuer, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = _run(_example("def who_calls"), issuer)
    validator: TokenValidator = namespace["validator"]
    with validator:
        assert namespace["who_calls"](issuer.mint({"org_id": "org-1"})) == "user-1"
        assert namespace["who_calls"]("junk") is None
        with pytest.raises(namespace["AccessDenied"]):
            namespace["who_calls"](issuer.mint({"org_id": "org-2"}))
    assert capsys.readouterr().out == "refused: malformed\n"


def test_the_testing_example(issuer: LocalIssuer) -> None:
    _run(_example("tokenguard.testing"), issuer)


def test_nobody_is_told_to_install_the_other_projects_package() -> None:
    root = Path(__file__).parent.parent
    for path in [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("src/**/*.py")]:
        assert not re.search(r"pip3? install +tokenguard(?!-oauth)", path.read_text(encoding="utf-8")), path
