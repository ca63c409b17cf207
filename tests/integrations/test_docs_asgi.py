"""docs/frameworks/{asgi,starlette,fastapi,gateway}.md: each of their examples runs, and does what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from tests.integrations.behaviour import ADMIN, FORGED, GOOD, PUBLIC, READ_WRITE, UNSCOPED, make_validator, mint
from tests.integrations.test_asgi_servers import CLOSES_AS, DENIES_WITH_A_RESPONSE
from tokenguard import AccessDenied, AccessToken, InsufficientScope, MissingToken

DOCS = Path(__file__).parents[2] / "docs" / "frameworks"
BARE = 'Bearer realm="https://api.example.com"'
VALIDATOR = 'TokenValidator("https://as.example.com", audience="https://api.example.com")'


class Page:
    """A page, whose examples go on where the one before ended. Their validator knows the keys of the test."""

    def __init__(self, name: str) -> None:
        self.text = (DOCS / name).read_text(encoding="utf-8")
        self.examples: list[str] = re.findall(r"```python\n(.*?)```", self.text, re.DOTALL)
        self.names: dict[str, Any] = {"make_validator": make_validator}

    def run(self, count: int) -> dict[str, Any]:
        """Run the first examples."""
        assert VALIDATOR in self.examples[0]
        for example in self.examples[:count]:
            source = example.replace(VALIDATOR, "make_validator()")
            exec(compile(source, "example", "exec", dont_inherit=True), self.names)  # without our __future__
        return self.names


def with_token(token: str | None = GOOD) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def statuses(client: TestClient, path: str, *tokens: str | None) -> list[int]:
    return [client.get(path, headers=with_token(token)).status_code for token in tokens]


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    page = Page(request.param)
    yield page
    if "validator" in page.names:
        page.names["validator"].close()


def pages(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", [name], indirect=True)


@pytest.mark.parametrize(("name", "count"), [("asgi.md", 3), ("starlette.md", 2), ("fastapi.md", 5), ("gateway.md", 2)])
def test_each_example_is_tested_here(name: str, count: int) -> None:
    assert len(Page(name).examples) == count


@pages("asgi.md")
def test_asgi(page: Page) -> None:
    names = page.run(1)
    client = TestClient(names["app"])
    assert client.get("/", headers=with_token()).text == "Hello, user-1"
    assert statuses(client, "/", None, FORGED) == [401, 401]
    names = page.run(3)
    for refusal, token in (
        (MissingToken, None),
        (InsufficientScope, _token()),
        (AccessDenied, _token(scopes=frozenset({"read:users"}))),
    ):
        with pytest.raises(refusal):
            names["admit"](token)
    names["admit"](_token(scopes=frozenset({"read:users"}), claims={"org": "acme"}))
    refused = TestClient(names["app"]).get("/", headers={"Origin": "https://app.example.com"})
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (401, True)


def _token(**members: Any) -> AccessToken:
    return AccessToken(issuer="https://as.example.com", expires_at=0, **members)


def test_the_table_of_servers_says_what_their_tests_say() -> None:
    assert {"daphne"} == set(CLOSES_AS)
    assert "daphne" not in DENIES_WITH_A_RESPONSE
    assert "| daphne | 403, no challenge | 1011:" in Page("asgi.md").text
    kinds = {name.partition("-")[0] for name in DENIES_WITH_A_RESPONSE}
    assert kinds == {"uvicorn", "hypercorn", "granian"}
    assert "| uvicorn, hypercorn (asyncio and trio), granian | the response | 1008 |" in Page("asgi.md").text


@pages("starlette.md")
def test_starlette(page: Page) -> None:
    names = page.run(1)
    client = TestClient(names["app"])
    assert client.get("/users", headers=with_token()).json() == {"caller": "user-1"}
    assert statuses(client, "/users", None, FORGED, UNSCOPED) == [401, 401, 403]
    assert statuses(client, "/health", None) == [404]


@pages("starlette.md")
def test_starlette_classes(page: Page) -> None:
    from starlette.routing import WebSocketRoute

    names = page.run(2)
    names["app"].router.routes[:] = [
        names["Route"]("/users", names["Users"]),
        WebSocketRoute("/feed", names["Feed"]),
    ]
    client = TestClient(names["app"])
    assert statuses(client, "/users", GOOD, UNSCOPED, None) == [200, 200, 401]
    assert client.post("/users", headers=with_token()).status_code == 403
    assert client.post("/users", headers=with_token(READ_WRITE)).status_code == 200
    with client.websocket_connect("/feed", headers=with_token()) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"
    with pytest.raises(WebSocketDenialResponse):
        client.websocket_connect("/feed", headers=with_token(UNSCOPED)).__enter__()


@pages("starlette.md")
def test_a_mounted_app_answers_its_own_exceptions(page: Page) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    async def endpoint(request: Any) -> Any:
        raise AccessDenied

    async def another(request: Any) -> Any:
        raise AccessDenied

    names = page.run(2)
    mounted = [
        Starlette(routes=[Route("/", endpoint)]),
        Starlette(routes=[Route("/", names["require_token"](another))]),
        Starlette(routes=[Route("/", endpoint)], middleware=names["app"].user_middleware),
    ]
    names["app"].router.routes[:] = [Mount(f"/{number}", app=app) for number, app in enumerate(mounted)]
    client = TestClient(names["app"], raise_server_exceptions=False)
    assert [statuses(client, f"/{number}/", GOOD) for number in range(3)] == [[500], [403], [403]]


@pages("fastapi.md")
def test_fastapi(page: Page) -> None:
    names = page.run(1)
    client = TestClient(names["app"])
    assert client.get("/users", headers=with_token()).json() == {"caller": "user-1"}
    assert statuses(client, "/users", None, FORGED, UNSCOPED) == [401, 401, 403]
    document = client.get("/openapi.json").json()
    assert document["paths"]["/users"]["get"]["security"] == [{"OAuth2": ["read:users"]}]
    scopes = document["components"]["securitySchemes"]["OAuth2"]["flows"]["clientCredentials"]["scopes"]
    assert set(scopes) == {"read:users", "write:users"}


@pages("fastapi.md")
def test_fastapi_routers_and_overrides(page: Page) -> None:
    names = page.run(2)
    client = TestClient(names["app"])
    tokens = (READ_WRITE, GOOD, mint(scope="write:users"), None)
    assert statuses(client, "/admin/users", *tokens) == [200, 403, 403, 401]
    names = page.run(5)
    assert TestClient(names["app"]).get("/admin/users").json() == {"caller": "alice"}


@pages("fastapi.md")
def test_fastapi_restyles_refusals(page: Page) -> None:
    names = page.run(4)
    client = TestClient(names["app"])
    for token, status, detail in (
        (None, 401, "Sign in first."),
        (UNSCOPED, 403, "The request requires higher privileges than provided by the access token"),
    ):
        found = client.get("/users", headers=with_token(token))
        assert (found.status_code, found.json()) == (status, {"detail": detail})
        assert found.headers["www-authenticate"].startswith(BARE)
    assert client.get("/users", headers=with_token(FORGED)).json()["error"] == "invalid_token"


@pages("fastapi.md")
def test_dependencies_of_an_app_reach_neither_mounts_nor_the_documentation(page: Page) -> None:
    from fastapi import FastAPI, Security
    from fastapi.responses import PlainTextResponse

    names = page.run(1)
    for guard, status in ((names["guard"], 200), (names["TokenGuard"](names["validator"], required=True), 401)):
        app = FastAPI(dependencies=[Security(guard)])
        guard.install(app)
        app.mount("/static", PlainTextResponse("x"))
        app.add_api_route("/users", lambda: None)
        client = TestClient(app)
        assert statuses(client, "/users", None) == [401]
        assert statuses(client, "/static", None) == statuses(client, "/docs", None) == [status]


@pages("fastapi.md")
def test_fastapi_with_a_token_required(page: Page) -> None:
    from fastapi import FastAPI

    names = page.run(3)
    app = FastAPI()
    names["strict"].install(app)
    client = TestClient(app)
    for path, status in (
        ("/docs", 200),
        ("/docs/oauth2-redirect", 200),
        ("/openapi.json", 200),
        ("/health", 404),
        ("/nowhere", 401),
    ):
        assert statuses(client, path, None) == [status]


@pages("gateway.md")
def test_a_mounted_application(page: Page) -> None:
    names = page.run(1)
    client = TestClient(names["app"])
    assert statuses(client, "/legacy/any", GOOD, None) == [200, 401]
    for path in ("/legacy/health", "/legacy/static/x"):
        assert statuses(client, path, None, FORGED) == [200, 200]
    for path in ("/legacy/health/", "/legacy//health", "/legacy/static/..%2fany", "/legacy/nowhere"):
        assert statuses(client, path, None) == [401]
    assert PUBLIC == ("/health", "/static/*")


@pages("gateway.md")
def test_a_header_that_claims_an_identity_is_replaced(page: Page) -> None:
    names = page.run(2)
    seen: list[list[bytes]] = []

    async def legacy(scope: Any, receive: Any, send: Any) -> None:
        seen.append([value for name, value in scope["headers"] if name in (b"x-user", b"x_user")])
        await names["legacy"](scope, receive, send)

    app = names["TokenGuardMiddleware"](names["with_caller"](legacy), names["validator"])
    client = TestClient(app)
    for claimed in ("X-User", "x_user", "X-USER"):
        assert client.get("/", headers={**with_token(ADMIN), claimed: "root"}).status_code == 200
    assert client.get("/", headers=with_token(mint(sub="line\r\nbreak"))).status_code == 200
    assert seen == [[b"admin-1"], [b"admin-1"], [b"admin-1"], []]
