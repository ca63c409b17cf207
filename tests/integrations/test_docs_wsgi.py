"""docs/frameworks/wsgi.md and flask.md: their examples run, and do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from tokenguard.integrations.wsgi import TokenGuardMiddleware
from tokenguard.testing import LocalIssuer

pytestmark = pytest.mark.real_server

DOCS = Path(__file__).parents[2] / "docs" / "frameworks"


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


def _run(page: str, issuer: LocalIssuer) -> dict[str, Any]:
    """Run all examples of a page, one after the other, against an issuer that is there."""
    examples = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "example"}
    for example in examples:
        exec(example.replace("https://as.example.com", issuer.url), namespace)
    return namespace


def _with(issuer: LocalIssuer, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.mint(**claims)}"}


def test_the_examples_for_wsgi(issuer: LocalIssuer) -> None:
    example = _run("wsgi.md", issuer)
    with example["validator"] as validator:
        client = Client(example["app"])
        assert client.get("/").status_code == 401
        assert client.get("/", headers=_with(issuer)).text == "Hello, user-1"
        assert client.get("/health").status_code == 401  # it is public, and this application asks for a token
        guarded = Client(TokenGuardMiddleware(example["delete_user"], validator))
        assert guarded.delete("/", headers=_with(issuer)).status_code == 403
        assert guarded.delete("/", headers=_with(issuer, scope="write:users")).status_code == 204
        suspended = {"Authorization": f"Bearer {issuer.mint({'org': 'suspended'}, scope='write:users')}"}
        assert guarded.delete("/", headers=suspended).status_code == 403


def test_the_examples_for_flask(issuer: LocalIssuer) -> None:
    example = _run("flask.md", issuer)
    with example["validator"]:
        app: Flask = example["app"]
        app.register_blueprint(example["admin"])
        app.add_url_rule("/admin/page", "admin.page", lambda: "page")
        client = app.test_client()
        assert client.get("/users", headers=_with(issuer, scope="read:users")).json == {"caller": "user-1"}
        assert client.get("/me", headers=_with(issuer, scope="b a")).json == {"caller": "user-1", "scopes": ["a", "b"]}
        for path, headers, status in (
            ("/users", {}, 401),
            ("/users", _with(issuer), 403),
            ("/me", {}, 401),
            ("/admin/page", _with(issuer), 403),
            ("/admin/page", _with(issuer, scope="admin"), 200),
        ):
            found = client.get(path, headers=headers)
            assert found.status_code == status
            assert status == 200 or found.text == f"<h1>{status}</h1>"
            assert ("WWW-Authenticate" in found.headers) == (status != 200)
        guarded = example["guarded"].test_client()
        assert guarded.get("/health").text == "well"
        assert guarded.get("/static/nothing").status_code == 404
        assert guarded.get("/nowhere").status_code == 401
        assert example["create_app"]().test_client().get("/").status_code == 401
        assert example["create_app"]().test_client().get("/", headers=_with(issuer)).status_code == 404
        example["test_users"]()
