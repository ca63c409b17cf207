"""FastAPI: the guard as a dependency, and what it says of itself in the OpenAPI document."""

# No `from __future__ import annotations`: FastAPI evaluates annotations, and those below name local variables.

import contextlib
import gc
import logging
import re
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anyio
import anyio.from_thread
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Request, Response, Security, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyHeader
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from tests.integrations import conftest
from tests.integrations.behaviour import (
    ADMIN,
    CASES,
    EXPIRED,
    FORGED,
    GOOD,
    LIFETIME,
    NOW,
    PUBLIC,
    READ_WRITE,
    ROUTES,
    UNDECIDABLE,
    UNSCOPED,
    Case,
    Route,
    bearer,
    check,
    make_validator,
    mint,
)
from tests.integrations.conftest import Run, http_scope, run_asyncio, run_trio, websocket_scope
from tokenguard import (
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InsufficientAuthentication,
    InsufficientScope,
    RequestRefused,
    TokenValidator,
)
from tokenguard.integrations import asgi
from tokenguard.integrations.fastapi import TokenGuard
from tokenguard.integrations.starlette import TokenGuardMiddleware, get_token, require_scopes, require_token

BARE = 'Bearer realm="https://api.example.com"'
TOO_LITTLE = (
    f'{BARE}, error="insufficient_scope", '
    'error_description="The request requires higher privileges than provided by the access token"'
)
Endpoint = Callable[..., Any]


def make_guard(**options: Any) -> TokenGuard:
    return TokenGuard(options.pop("validator", None) or make_validator(), **options)


def guarded_app(guard: TokenGuard, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    guard.install(app)
    return app


def with_token(token: str | None = GOOD) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def answers(client: TestClient, *tokens: str | None, path: str = "/") -> list[int]:
    """The status with each token; None is none."""
    return [client.get(path, headers=with_token(token)).status_code for token in tokens]


def _raises_with(message: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(ConfigurationError, match=message)


# The table

METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]


def application_of_the_table(*, asynchronous: bool, **options: Any) -> FastAPI:
    """`ROUTES` as FastAPI endpoints of either kind."""
    guard = make_guard(**options)
    app = guarded_app(guard, openapi_url=None)
    for path, route in ROUTES.items():
        app.add_api_route(path, _endpoint(route, _dependency(route, guard), asynchronous), methods=METHODS)
    return app


def _dependency(route: Route, guard: TokenGuard) -> Any:
    if route.asks == "nothing":
        return Depends(guard.optional)
    return Security(guard.any_of(*route.any_of) if route.any_of else guard, scopes=list(route.all_of))


def _endpoint(route: Route, dependency: Any, asynchronous: bool) -> Endpoint:
    def respond(request: Request, token: AccessToken | None, body: bytes) -> Response:
        if route.raises is not None:
            raise route.raises()
        subject = (token.subject or "") if token else "anonymous"
        return Response(b"" if request.method == "HEAD" else subject.encode("ascii") + body, media_type="text/plain")

    async def endpoint(request: Request, token: Annotated[AccessToken | None, dependency]) -> Response:
        return respond(request, token, await request.body())

    def sync_endpoint(request: Request, token: Annotated[AccessToken | None, dependency]) -> Response:
        return respond(request, token, anyio.from_thread.run(request.body))

    return endpoint if asynchronous else sync_endpoint


@pytest.fixture(scope="module", params=[True, False], ids=["async", "sync"])
def applications(request: pytest.FixtureRequest) -> dict[str, FastAPI]:
    return {
        "required": application_of_the_table(asynchronous=request.param, required=True, public=PUBLIC),
        "optional": application_of_the_table(asynchronous=request.param),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, applications: dict[str, FastAPI]) -> None:
    scope = http_scope(case.path, case.headers, method=case.method)
    found = run_asyncio(conftest.request, applications[case.application], scope, case.body)
    check(case, found.status, found.headers, found.body)


def test_the_table_holds_under_trio_too(applications: dict[str, FastAPI]) -> None:
    for case in CASES[::7]:
        scope = http_scope(case.path, case.headers, method=case.method)
        found = run_trio(conftest.request, applications[case.application], scope, case.body)
        check(case, found.status, found.headers, found.body)


# Scopes add up


def test_a_route_needs_the_scopes_of_its_app_its_routers_and_its_own() -> None:
    guard = make_guard()
    app = guarded_app(guard, dependencies=[Security(guard, scopes=["app"])])
    outer = APIRouter(prefix="/outer", dependencies=[Security(guard, scopes=["outer"])])
    inner = APIRouter(prefix="/inner", dependencies=[Security(guard, scopes=["inner"])])

    @inner.get("/")
    async def endpoint(token: Annotated[AccessToken, Security(guard, scopes=["own"])]) -> str:
        return token.subject or ""

    outer.include_router(inner, dependencies=[Security(guard, scopes=["included"])])
    app.include_router(outer)
    client = TestClient(app)
    needed = ["app", "outer", "included", "inner", "own"]
    assert client.get("/outer/inner/", headers=with_token(mint(scope=" ".join(needed)))).json() == "user-1"
    for missing in needed:
        granted = " ".join(scope for scope in needed if scope != missing)
        found = client.get("/outer/inner/", headers=with_token(mint(scope=granted)))
        named = re.fullmatch(re.escape(TOO_LITTLE) + ', scope="(.*)"', found.headers["www-authenticate"])
        # All that were asked for up to the refusal: who asks for just those comes further the next time.
        assert named is not None
        assert set(named[1].split()) >= {missing}
        assert named[1].split() == needed[: len(named[1].split())]
    assert TestClient(app).get("/outer/inner/").headers["www-authenticate"] == f'{BARE}, scope="app"'


def test_a_chain_of_dependencies_needs_the_scopes_of_each_link_and_names_them_all() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    def subject(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> str:
        return token.subject or ""

    async def shouted(subject: Annotated[str, Security(subject, scopes=["write:users"])]) -> str:
        return subject.upper()

    @app.get("/")
    async def endpoint(name: Annotated[str, Security(shouted, scopes=["admin"])]) -> str:
        return name

    client = TestClient(app)
    assert client.get("/", headers=with_token(mint(scope="admin write:users read:users"))).json() == "USER-1"
    for token in (READ_WRITE, ADMIN, UNSCOPED):
        found = client.get("/", headers=with_token(token))
        assert found.headers["www-authenticate"] == f'{TOO_LITTLE}, scope="admin write:users read:users"'


def test_any_of_asks_for_one_scope_and_for_those_that_security_names() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/")
    async def either(token: Annotated[AccessToken, Depends(guard.any_of("admin", "read:users"))]) -> str:
        return "ok"

    @app.get("/mixed", dependencies=[Security(guard.any_of("admin", "write:users"), scopes=["read:users"])])
    async def mixed() -> str:
        return "ok"

    client = TestClient(app)
    assert answers(client, GOOD, ADMIN, UNSCOPED, None) == [200, 200, 403, 401]
    assert answers(client, READ_WRITE, mint(scope="admin read:users"), path="/mixed") == [200, 200]
    assert answers(client, GOOD, ADMIN, mint(scope="write:users"), path="/mixed") == [403, 403, 403]


def test_a_class_may_depend_on_the_guard() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    class Caller:
        def __init__(self, token: Annotated[AccessToken, Security(guard, scopes=["read:users"])], loud: bool = False):
            self.name = (token.subject or "").upper() if loud else token.subject

    @app.get("/")
    def endpoint(caller: Annotated[Caller, Depends()]) -> str | None:
        return caller.name

    client = TestClient(app)
    assert client.get("/?loud=1", headers=with_token()).json() == "USER-1"
    assert answers(client, UNSCOPED, None) == [403, 401]


def test_the_optional_dependency_gives_none_without_a_token_and_refuses_a_bad_one() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/")
    async def endpoint(token: Annotated[AccessToken | None, Depends(guard.optional)]) -> str:
        return token.subject or "" if token else "nobody"

    @app.get("/scoped")
    async def scoped(token: Annotated[AccessToken | None, Security(guard.optional, scopes=["read:users"])]) -> str:
        return "somebody" if token else "nobody"

    client = TestClient(app)
    assert client.get("/").json() == "nobody"
    assert client.get("/", headers=with_token()).json() == "user-1"
    assert answers(client, FORGED, EXPIRED, "a b", UNDECIDABLE) == [401, 401, 400, 503]
    assert client.get("/scoped").json() == "nobody"
    assert answers(client, GOOD, UNSCOPED, path="/scoped") == [200, 403]


def test_what_depends_on_nothing_is_open_unless_the_guard_requires_a_token() -> None:
    for required, statuses in ((False, [200, 200, 401]), (True, [401, 200, 401])):
        app = guarded_app(make_guard(required=required))

        @app.get("/")
        async def endpoint() -> str:
            return "open"

        assert answers(TestClient(app), None, GOOD, FORGED) == statuses


def test_public_paths_are_open_and_the_rest_is_not() -> None:
    app = guarded_app(make_guard(required=True, public=["/docs", "/openapi.json"]))
    client = TestClient(app)
    assert [client.get(path).status_code for path in ("/docs", "/openapi.json", "/redoc", "/nowhere")] == [
        *(200, 200),
        *(401, 401),
    ]


def test_the_token_of_one_tenant_is_not_good_at_the_address_of_another() -> None:
    issuers = {"/mine": "https://as.example.com", "/theirs": "https://other.example.com"}
    guard = make_guard(issuer_of=lambda scope: issuers[scope["path"]])
    app = guarded_app(guard)

    @app.get("/{tenant}", dependencies=[Depends(guard)])
    async def endpoint(tenant: str) -> str:
        return tenant

    assert [answers(TestClient(app), GOOD, path=path) for path in issuers] == [[200], [401]]


# When it is asked


def test_with_a_token_required_a_body_that_never_ends_is_not_read(run: Run) -> None:
    guard = make_guard(required=True)
    app = guarded_app(guard)

    @app.post("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)], body: Annotated[dict[str, Any], Body()]) -> str:
        raise AssertionError

    async def receive() -> asgi.Message:
        raise AssertionError("somebody read the body")

    for headers in ((), bearer(FORGED)):
        sent: list[asgi.Message] = []

        async def send(message: asgi.Message, sent: list[asgi.Message] = sent) -> None:
            sent.append(message)

        length = (b"content-length", b"1000000000000")
        run(app, http_scope("/", [*headers, length], method="POST"), receive, send)
        assert conftest.response(sent).status == 401


def test_without_it_a_bad_token_is_refused_before_the_body_and_an_absent_one_behind_it(run: Run) -> None:
    # FastAPI reads and parses the body before it asks any dependency.
    guard = make_guard()
    app = guarded_app(guard)

    @app.post("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)], body: Annotated[dict[str, Any], Body()]) -> str:
        raise AssertionError

    kind = (b"content-type", b"application/json")
    assert run(conftest.request, app, http_scope("/", [kind], method="POST"), b'{"a": 1}').status == 401
    assert run(conftest.request, app, http_scope("/", [kind], method="POST"), b"{").status == 422
    headers = [*bearer(FORGED), kind]
    assert run(conftest.request, app, http_scope("/", headers, method="POST"), b"{").status == 401


def test_a_refusal_comes_before_what_else_is_wrong_with_the_request() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/{number}")
    async def endpoint(number: int, limit: int, token: Annotated[AccessToken, Depends(guard)]) -> str:
        raise AssertionError

    client = TestClient(app)
    assert answers(client, None, UNSCOPED, path="/one?limit=x") == [401, 422]


def test_dependencies_behind_the_guard_do_not_run_for_who_is_refused() -> None:
    guard = make_guard()
    ran: list[str] = []

    async def database() -> AsyncIterator[str]:
        ran.append("opened")
        yield "database"

    app = guarded_app(guard)

    @app.get("/")
    async def endpoint(
        token: Annotated[AccessToken, Depends(guard)], database: Annotated[str, Depends(database)]
    ) -> str:
        return database

    assert answers(TestClient(app), None) == [401]
    assert ran == []


# Where it is not installed


def test_without_install_a_route_that_asks_is_never_open() -> None:
    guard = make_guard()
    app = FastAPI()

    @app.get("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)]) -> str:
        raise AssertionError

    @app.get("/optional")
    async def optional(token: Annotated[AccessToken | None, Depends(guard.optional)]) -> str:
        raise AssertionError

    @app.get("/either")
    async def either(token: Annotated[AccessToken, Depends(guard.any_of("a", "read:users"))]) -> str:
        raise AssertionError

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket, token: Annotated[AccessToken, Depends(guard)]) -> None:
        raise AssertionError

    client = TestClient(app)
    for path in ("/", "/optional", "/either"):
        for headers in ({}, with_token()):
            with _raises_with(re.escape(f"{path} asks for an access token, and this guard is not installed")):
                client.get(path, headers=headers)
    with _raises_with("guard.install"), client.websocket_connect("/ws", headers=with_token()):
        pass
    hidden = TestClient(app, raise_server_exceptions=False).get("/", headers=with_token())
    assert (hidden.status_code, hidden.text) == (500, "Internal Server Error")


def test_the_guard_of_another_validator_does_not_vouch_for_this_one() -> None:
    strict, lax = make_guard(), make_guard()
    app = guarded_app(lax)

    @app.get("/", dependencies=[Depends(strict)])
    async def endpoint() -> str:
        raise AssertionError

    with _raises_with("this guard is not installed"):
        TestClient(app).get("/", headers=with_token())


def test_a_verdict_that_another_middleware_put_in_between_does_not_count() -> None:
    guard = make_guard()
    app = guarded_app(guard)
    router = APIRouter()

    @router.get("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)]) -> str:
        raise AssertionError

    app.router.routes.append(Mount("/", app=TokenGuardMiddleware(router, make_validator())))
    with _raises_with("this guard is not installed"):
        TestClient(app).get("/", headers=with_token())


def test_what_somebody_planted_in_the_scope_satisfies_no_route(run: Run) -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)]) -> str:
        raise AssertionError

    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME)
    for planted in (token, True, {"token": token}):
        scope = {**http_scope("/"), "tokenguard.token": token, "tokenguard.verdict": planted}
        assert run(conftest.request, app, scope).status == 401


def test_an_app_is_guarded_once() -> None:
    guard = make_guard()
    app = guarded_app(guard)
    for again in (guard, make_guard()):
        with _raises_with("it takes one"):
            again.install(app)
    by_hand = FastAPI()
    by_hand.add_middleware(TokenGuardMiddleware, validator=make_validator())
    with _raises_with("it takes one"):
        guard.install(by_hand)
    with_others = FastAPI()
    with_others.add_middleware(CORSMiddleware)
    guard.install(with_others)


@pytest.mark.parametrize("app", [None, "app", FastAPI, APIRouter()], ids=["none", "text", "class", "router"])
def test_only_apps_are_guarded(app: Any) -> None:
    with _raises_with(r"install\(app\) takes a FastAPI app"):
        make_guard().install(app)


def test_an_app_that_runs_takes_no_guard_and_stays_shut() -> None:
    guard = make_guard()
    app = FastAPI()

    @app.get("/")
    async def endpoint(token: Annotated[AccessToken, Depends(guard)]) -> str:
        raise AssertionError

    with TestClient(app) as client:
        with pytest.raises(RuntimeError, match="after an application has started"):
            guard.install(app)
        with _raises_with("is not installed"):
            client.get("/", headers=with_token())


def test_a_guard_keeps_no_app_alive() -> None:
    guard = make_guard()
    app = weakref.ref(guarded_app(guard))
    gc.collect()
    assert app() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scopes": ["read:users"]}, "scopes have descriptions"),
        ({"scopes": "read:users"}, "scopes have descriptions"),
        ({"scopes": {"read:users write:users": ""}}, "is no single scope"),
        ({"authorization_url": "https://as.example.com/authorize"}, "token_url"),
        ({"openid_connect_url": "https://as.example.com/x", "token_url": "https://as.example.com/token"}, "leave them"),
        ({"openid_connect_url": "https://as.example.com/x", "authorization_url": "https://a"}, "leave them"),
        ({"required": "no"}, "True or False"),
        ({"public": "/health"}, "public"),
        ({"issuer_of": "https://as.example.com"}, "issuer_of"),
        ({"validator": TokenValidator}, "pass a TokenValidator"),
    ],
    ids=repr,
)
def test_what_contradicts_itself_fails_when_the_guard_is_made(options: dict[str, Any], message: str) -> None:
    with _raises_with(message):
        make_guard(**options)


def test_a_scope_that_is_none_fails_when_its_route_is_first_called_and_leaves_it_shut() -> None:
    guard = make_guard(scopes={"read:users": "See who is there"})
    app = guarded_app(guard)
    for path, scopes in (("/typo", ["read:user"]), ("/two", ["read:users write:users"])):

        @app.get(path, dependencies=[Security(guard, scopes=scopes)])
        async def endpoint() -> str:
            raise AssertionError

    client = TestClient(app)
    for headers in ({}, with_token()):
        for path, message in (("/typo", r"asks for \['read:user'\]: misspelt"), ("/two", "is no single scope")):
            with _raises_with(message):
                client.get(path, headers=headers)


def test_a_text_in_place_of_a_list_of_scopes_is_named_as_such() -> None:
    guard = make_guard(scopes={"read": "See who is there"})
    app = guarded_app(guard)
    text: Any = "read"

    @app.get("/", dependencies=[Security(guard, scopes=text)])
    async def endpoint() -> str:
        raise AssertionError

    with _raises_with(r"asks for \['r', 'e', 'a', 'd'\]: .*one text in place of a list"):
        TestClient(app).get("/", headers=with_token())


def _register(app: FastAPI, by: str) -> tuple[str, Callable[[Endpoint], Endpoint]]:
    """The path of a route, and what registers its endpoint."""
    match by:
        case "app":
            return "/", app.get("/")
        case "router":
            inner, outer = APIRouter(), APIRouter()

            def register(endpoint: Endpoint) -> Endpoint:
                inner.get("/")(endpoint)
                outer.include_router(inner)
                app.include_router(outer, prefix="/in")
                return endpoint

            return "/in/", register
        case _:
            sub = FastAPI()
            app.mount("/in", sub)
            return "/in/", sub.get("/")


@pytest.mark.parametrize("by", ["app", "router", "mount"])
@pytest.mark.parametrize("plain", [False, True], ids=["guard", "middleware"])
def test_starlettes_decorators_work_below_what_registers_and_above_it_are_an_error(by: str, plain: bool) -> None:
    async def users(request: Request) -> str:
        return "read"

    decorate = require_scopes("read:users")
    for above in (False, True):
        app = FastAPI()
        if plain:
            app.add_middleware(TokenGuardMiddleware, validator=make_validator(), required=False)
        else:
            make_guard().install(app)
        path, register = _register(app, by)
        if above:
            decorate(register(users))
            with _raises_with(r"\.users is a route without its decorator, which stands above @app\.get"):
                TestClient(app).get(path)
        else:
            register(decorate(users))
            assert answers(TestClient(app), GOOD, UNSCOPED, None, path=path) == [200, 403, 401]


def test_a_websocket_whose_decorator_stands_above_is_an_error_too() -> None:
    app = guarded_app(make_guard())

    @require_token
    @app.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        raise AssertionError

    with _raises_with(r"\.endpoint is a route without its decorator"):
        TestClient(app).websocket_connect("/").__enter__()


def test_alternatives_that_are_none_fail_when_they_are_named() -> None:
    guard = make_guard(scopes={"read:users": "See who is there"})
    mistakes: tuple[tuple[Any, str], ...] = (
        ((), "names no scope"),
        (("read:users", "x"), "misspelt"),
        (("a b",), "no single scope"),
        ((["a", "b"],), 'write "a", "b" without the list'),
    )
    for scopes, message in mistakes:
        with _raises_with(message):
            guard.any_of(*scopes)


# In tests of applications


def test_each_dependency_can_be_overridden() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/")
    async def endpoint(
        token: Annotated[AccessToken, Security(guard, scopes=["read:users"])],
        optional: Annotated[AccessToken | None, Depends(guard.optional)],
        either: Annotated[AccessToken, Depends(guard.any_of("a", "b"))],
    ) -> list[str | None]:
        return [token.subject, optional.subject if optional else None, either.subject]

    client = TestClient(app)
    assert answers(client, None) == [401]
    alice = AccessToken(issuer="https://as.example.com", expires_at=NOW + LIFETIME, subject="alice")
    for dependency in (guard, guard.optional, guard.any_of("a", "b")):
        app.dependency_overrides[dependency] = lambda: alice
    assert client.get("/").json() == ["alice"] * 3
    app.dependency_overrides.clear()
    assert answers(client, None) == [401]


# Apps, mounts, other middleware


def test_an_app_that_is_mounted_is_guarded_for_itself() -> None:
    guard = make_guard()
    app, sub, forgotten = guarded_app(guard), guarded_app(guard), FastAPI()
    for each in (sub, forgotten):

        @each.get("/me")
        async def me(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> str | None:
            return token.subject

    app.mount("/sub", sub)
    app.mount("/forgotten", forgotten)
    client = TestClient(app)
    assert client.get("/sub/me", headers=with_token()).json() == "user-1"
    assert client.get("/sub/me").headers["www-authenticate"] == f'{BARE}, scope="read:users"'
    assert answers(client, UNSCOPED, FORGED, path="/sub/me") == [403, 401]
    with _raises_with("on an app that is mounted too"):
        client.get("/forgotten/me", headers=with_token())


def test_cors_outside_of_the_guard_answers_preflights_and_marks_refusals() -> None:
    guard = make_guard(required=True)
    app = guarded_app(guard)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"], allow_headers=["Authorization"])
    client = TestClient(app)
    origin = {"Origin": "https://app.example.com"}
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "Authorization"}
    assert client.options("/", headers={**origin, **preflight}).status_code == 200
    refused = client.get("/", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example.com")


def test_middleware_inside_of_the_guard_sees_the_refusals_of_routes_as_responses() -> None:
    guard = make_guard()
    app = FastAPI()
    seen: list[int] = []

    class Watching:
        def __init__(self, app: asgi.ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            async def watch(message: asgi.Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(message["status"])
                await send(message)

            await self.app(scope, receive, watch)

    app.add_middleware(Watching)
    guard.install(app)

    @app.get("/", dependencies=[Depends(guard)])
    async def endpoint() -> str:
        return "ok"

    assert answers(TestClient(app), GOOD, None) == [200, 401]
    assert seen == [200, 401]


def test_a_refusal_out_of_a_task_group_is_the_answer() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    async def refuse() -> None:
        raise AccessDenied

    @app.get("/", dependencies=[Depends(guard)])
    async def endpoint() -> str:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
        raise AssertionError

    assert answers(TestClient(app), GOOD) == [403]


def test_a_dependency_that_swallows_the_refusal_does_not_open_the_route() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    async def careless() -> AsyncIterator[None]:
        with contextlib.suppress(Exception):
            yield

    @app.get("/", dependencies=[Depends(careless), Security(guard, scopes=["read:users"])])
    async def endpoint() -> str:
        return "in"

    client = TestClient(app, raise_server_exceptions=False)
    assert answers(client, GOOD) == [200]
    assert not set(answers(client, None, UNSCOPED)) - {401, 403, 500}


def _restyled(request: Request, error: RequestRefused) -> Response:
    return JSONResponse({"detail": "No."}, headers={"Location": "/login", "WWW-Authenticate": "Basic", "X-Own": "1"})


async def _restyled_async(request: Request, error: RequestRefused) -> Response:
    return _restyled(request, error)


class _Restyling:
    async def __call__(self, request: Request, error: RequestRefused) -> Response:
        return _restyled(request, error)


@pytest.mark.parametrize("handler", [_restyled, _restyled_async, _Restyling()], ids=["sync", "async", "object"])
@pytest.mark.parametrize("kind", [RequestRefused, AccessDenied, InsufficientScope], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_handler_of_the_users_own_restyles_the_body_and_makes_no_pass_of_a_refusal(
    handler: Any, kind: type[RequestRefused], before: bool, caplog: pytest.LogCaptureFixture
) -> None:
    guard = make_guard()
    app = FastAPI(exception_handlers={kind: handler} if before else {})
    guard.install(app)
    if not before:
        app.add_exception_handler(kind, handler)

    @app.get("/")
    async def endpoint(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> str:
        raise AccessDenied

    client = TestClient(app)
    for token, refusal, challenge in (
        (UNSCOPED, InsufficientScope, f'{TOO_LITTLE}, scope="read:users"'),
        (GOOD, AccessDenied, TOO_LITTLE),
    ):
        caplog.clear()
        found = client.get("/", headers=with_token(token))
        restyled = issubclass(refusal, kind)
        assert (found.json() == {"detail": "No."}) == restyled
        assert (found.status_code, found.headers["www-authenticate"]) == (403, challenge)
        assert (found.headers["cache-control"], "location" in found.headers) == ("no-store", False)
        assert ("x-own" in found.headers) == restyled
        assert len(caplog.records) == 1
    assert app.exception_handlers[kind] is handler


def test_a_handler_of_the_users_own_that_fails_opens_nothing() -> None:
    def broken(request: Request, error: RequestRefused) -> Response:
        raise ValueError

    def raising(request: Request, error: RequestRefused) -> Response:
        raise error

    handlers: tuple[tuple[Any, int], ...] = ((broken, 500), (raising, 401), (lambda request, error: None, 500))
    for handler, status in handlers:
        guard = make_guard()
        app = guarded_app(guard)
        app.add_exception_handler(RequestRefused, handler)

        @app.get("/", dependencies=[Depends(guard)])
        async def endpoint() -> str:
            return "in"

        assert answers(TestClient(app, raise_server_exceptions=False), None) == [status]


def test_a_handler_of_the_users_own_does_not_answer_websockets() -> None:
    guard = make_guard()
    app = guarded_app(guard)
    handler: Any = _restyled
    app.add_exception_handler(RequestRefused, handler)

    @app.websocket("/")
    async def endpoint(websocket: WebSocket, token: Annotated[AccessToken, Depends(guard)]) -> None:
        raise AssertionError

    with pytest.raises(WebSocketDenialResponse) as caught:
        TestClient(app).websocket_connect("/").__enter__()
    assert (caught.value.status_code, caught.value.headers["www-authenticate"]) == (401, BARE)


def test_a_refusal_is_logged_once_wherever_it_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    guard = make_guard()
    app = guarded_app(guard)

    @app.get("/", dependencies=[Security(guard, scopes=["read:users"])])
    def endpoint() -> str:
        raise AccessDenied(detail="it is Sunday")

    caplog.set_level(logging.DEBUG, logger="tokenguard")
    answers(TestClient(app), None, UNSCOPED, GOOD)
    assert [record.getMessage() for record in caplog.records] == [
        "refused with 401: no_token",
        "refused with 403: insufficient_scope: lacks read:users",
        "refused with 403: access_denied: it is Sunday",
    ]


def test_a_dependency_may_refuse_too_and_the_challenge_is_its_own() -> None:
    guard = make_guard()
    app = guarded_app(guard)

    async def fresh(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> AccessToken:
        raise InsufficientAuthentication(acr_values=("gold",), max_age=60)

    @app.get("/", dependencies=[Depends(fresh)])
    async def endpoint() -> str:
        raise AssertionError

    found = TestClient(app).get("/", headers=with_token())
    assert found.headers["www-authenticate"].endswith('acr_values="gold", max_age="60"')


def test_get_token_and_the_user_of_starlette_work_as_well() -> None:
    app = guarded_app(make_guard())

    @app.get("/")
    async def endpoint(request: Request) -> list[str | None]:
        return [get_token(request).subject, request.user.identity]

    client = TestClient(app)
    assert client.get("/", headers=with_token()).json() == ["user-1", "user-1"]
    assert client.get("/").json() == {}


# Streams and background tasks


def test_a_streamed_response_passes_and_background_tasks_run_for_who_is_let_in() -> None:
    guard = make_guard()
    app = guarded_app(guard)
    done: list[str | None] = []

    @app.get("/stream")
    async def stream(token: Annotated[AccessToken, Depends(guard)]) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for piece in ("one ", token.subject or ""):
                yield piece

        return StreamingResponse(pieces())

    @app.get("/task")
    def task(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])], tasks: BackgroundTasks) -> str:
        tasks.add_task(done.append, token.subject)
        return "ok"

    client = TestClient(app)
    assert client.get("/stream", headers=with_token()).text == "one user-1"
    assert answers(client, UNSCOPED, None, path="/task") == [403, 401]
    assert done == []
    assert answers(client, GOOD, path="/task") == [200]
    assert done == ["user-1"]


def test_a_refusal_in_a_background_task_does_not_touch_the_response_that_was_sent(run: Run) -> None:
    guard = make_guard()
    app = guarded_app(guard)

    def refuse() -> None:
        raise AccessDenied

    @app.get("/", dependencies=[Depends(guard)])
    async def endpoint(tasks: BackgroundTasks) -> Response:
        tasks.add_task(refuse)
        return PlainTextResponse("ok", background=tasks)

    sent: list[asgi.Message] = []
    with pytest.raises(RuntimeError, match="response already started"):
        run(conftest.drive, app, http_scope("/", bearer(GOOD)), (), sent)
    assert conftest.response(sent).body == b"ok"


# Websockets


@pytest.fixture
def websockets() -> tuple[FastAPI, list[float]]:
    now = [float(NOW)]
    guard = make_guard(validator=make_validator(clock=lambda: now[0]))
    app = guarded_app(guard)

    @app.websocket("/scoped")
    async def scoped(
        websocket: WebSocket, token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]
    ) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_text(f"{token.subject}: {await websocket.receive_text()}")

    @app.websocket("/optional")
    async def optional(websocket: WebSocket, token: Annotated[AccessToken | None, Depends(guard.optional)]) -> None:
        await websocket.accept()
        await websocket.send_text(token.subject or "" if token else "nobody")
        await websocket.close()

    @app.websocket("/late")
    async def late(websocket: WebSocket, token: Annotated[AccessToken, Depends(guard)]) -> None:
        await websocket.accept()
        raise AccessDenied

    return app, now


def test_a_websocket_asks_before_it_is_accepted(websockets: tuple[FastAPI, list[float]]) -> None:
    client = TestClient(websockets[0])
    with client.websocket_connect("/scoped", headers=with_token()) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "user-1: hello"
    for token, status, challenge in (
        (None, 401, f'{BARE}, scope="read:users"'),
        (UNSCOPED, 403, f'{TOO_LITTLE}, scope="read:users"'),
        (EXPIRED, 401, f'{BARE}, error="invalid_token", error_description="The access token expired"'),
    ):
        with pytest.raises(WebSocketDenialResponse) as caught:
            client.websocket_connect("/scoped", headers=with_token(token)).__enter__()
        assert (caught.value.status_code, caught.value.headers["www-authenticate"]) == (status, challenge)
    for token, said in ((None, "nobody"), (GOOD, "user-1")):
        with client.websocket_connect("/optional", headers=with_token(token)) as websocket:
            assert websocket.receive_text() == said
    with pytest.raises(WebSocketDenialResponse):
        client.websocket_connect("/optional", headers=with_token(FORGED)).__enter__()


def test_a_websocket_needs_the_scopes_of_its_router_too() -> None:
    guard = make_guard()
    app = guarded_app(guard)
    router = APIRouter(dependencies=[Security(guard, scopes=["read:users"])])

    @router.websocket("/")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app.include_router(router, prefix="/in", dependencies=[Security(guard.any_of("admin", "write:users"))])
    client = TestClient(app)
    for token, status in ((None, 401), (GOOD, 403), (ADMIN, 403), (UNSCOPED, 403)):
        with pytest.raises(WebSocketDenialResponse) as caught:
            client.websocket_connect("/in/", headers=with_token(token)).__enter__()
        assert caught.value.status_code == status
    with client.websocket_connect("/in/", headers=with_token(READ_WRITE)):
        pass


def test_a_websocket_is_closed_with_1008_where_the_server_can_send_no_response(
    run: Run, websockets: tuple[FastAPI, list[float]]
) -> None:
    for token, reason in ((None, ""), (UNSCOPED, "insufficient_scope"), (FORGED, "invalid_token")):
        scope = websocket_scope("/scoped", bearer(token) if token else ())
        sent = run(conftest.drive, websockets[0], scope, [{"type": "websocket.connect"}])
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]


def test_a_websocket_is_closed_when_its_token_expires(websockets: tuple[FastAPI, list[float]]) -> None:
    app, now = websockets
    with TestClient(app).websocket_connect("/scoped", headers=with_token()) as websocket:
        websocket.send_text("in time")
        assert websocket.receive_text() == "user-1: in time"
        now[0] += 10_000
        websocket.send_text("too late")
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (1008, "the access token expired")


def test_a_refusal_after_a_websocket_was_accepted_is_not_sent_as_a_response(
    websockets: tuple[FastAPI, list[float]],
) -> None:
    client = TestClient(websockets[0])
    with pytest.raises(AccessDenied), client.websocket_connect("/late", headers=with_token()) as websocket:
        websocket.receive_text()


# The OpenAPI document

SCOPES = {"read:users": "See who is there", "write:users": "Change who is there", "admin": "Do anything"}
TOKEN_URL = "https://as.example.com/token"


def documented(**options: Any) -> dict[str, Any]:
    """The document of an app with each kind of route."""
    guard = make_guard(**options)
    app = guarded_app(guard)
    other = Depends(APIKeyHeader(name="X-Key"))
    router = APIRouter(prefix="/router", dependencies=[Security(guard, scopes=["read:users"])])

    @app.get("/open")
    @router.get("/none")
    async def nothing() -> None: ...

    @router.get("/own", dependencies=[Security(guard, scopes=["write:users"])])
    @app.get("/token", dependencies=[Depends(guard)], responses={401: {"description": "Of the user's own"}})
    @app.get("/scope", dependencies=[Security(guard, scopes=["read:users"])])
    @app.get("/optional", dependencies=[Depends(guard.optional)])
    @app.get("/both-optional", dependencies=[Depends(guard.optional), Security(guard, scopes=["read:users"])])
    @app.get("/either", dependencies=[Depends(guard.any_of("admin", "read:users"))])
    @app.get("/mixed", dependencies=[Security(guard.any_of("admin", "write:users"), scopes=["read:users"])])
    @app.get("/other", dependencies=[other])
    @app.get("/and-other", dependencies=[Depends(guard), other])
    async def guarded() -> None: ...

    app.include_router(router)
    document: dict[str, Any] = app.openapi()
    assert app.openapi() is document
    assert TestClient(app).get("/openapi.json").json() == document
    ways = [way for path in document["paths"].values() for way in path["get"].get("security", ())]
    assert {name for way in ways for name in way} == set(document["components"]["securitySchemes"])
    return document


def test_each_route_says_which_scopes_it_needs() -> None:
    paths = documented(token_url=TOKEN_URL, scopes=SCOPES)["paths"]
    assert {path: operations["get"].get("security") for path, operations in paths.items()} == {
        "/open": None,
        "/token": [{"OAuth2": []}],
        "/scope": [{"OAuth2": ["read:users"]}],
        "/optional": [{"OAuth2": []}, {}],
        "/both-optional": [{"OAuth2": ["read:users"]}],
        "/either": [{"OAuth2": ["admin"]}, {"OAuth2": ["read:users"]}],
        "/mixed": [{"OAuth2": ["read:users", "admin"]}, {"OAuth2": ["read:users", "write:users"]}],
        "/other": [{"APIKeyHeader": []}],
        "/and-other": [{"APIKeyHeader": []}, {"OAuth2": []}],  # as FastAPI joins schemes
        "/router/none": [{"OAuth2": ["read:users"]}],
        "/router/own": [{"OAuth2": ["read:users", "write:users"]}],
    }


def test_each_route_that_asks_says_how_it_refuses() -> None:
    paths = documented()["paths"]
    for path, operations in paths.items():
        refusals = {status for status in operations["get"]["responses"] if status not in {"200", "422"}}
        assert refusals == (set() if path in {"/open", "/other"} else {"400", "401", "403", "503"})
    assert paths["/token"]["get"]["responses"]["401"]["description"] == "Of the user's own"
    members = paths["/token"]["get"]["responses"]["400"]["content"]["application/json"]["schema"]["properties"]
    assert set(members) == {"error", "error_description"}


def test_the_document_has_the_scheme_once_and_says_where_tokens_come_from() -> None:
    def scheme(**options: Any) -> dict[str, Any]:
        schemes: dict[str, Any] = documented(scopes=SCOPES, **options)["components"]["securitySchemes"]
        del schemes["APIKeyHeader"]
        (found,) = schemes.values()
        assert list(schemes) == [options.get("scheme_name", "OAuth2")]
        assert isinstance(found, dict)
        return found

    assert scheme() == {"type": "http", "scheme": "bearer"}
    assert scheme(token_url=TOKEN_URL, scheme_name="Ours") == {
        "type": "oauth2",
        "flows": {"clientCredentials": {"tokenUrl": TOKEN_URL, "scopes": SCOPES}},
    }
    assert scheme(token_url=TOKEN_URL, authorization_url="https://as.example.com/authorize") == {
        "type": "oauth2",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "https://as.example.com/authorize",
                "tokenUrl": TOKEN_URL,
                "scopes": SCOPES,
            }
        },
    }
    assert scheme(openid_connect_url="https://as.example.com/.well-known/openid-configuration") == {
        "type": "openIdConnect",
        "openIdConnectUrl": "https://as.example.com/.well-known/openid-configuration",
    }


def test_a_document_of_the_users_own_is_described_each_time_it_is_made() -> None:
    guard = make_guard(token_url=TOKEN_URL)
    app = FastAPI()
    made: list[dict[str, Any]] = []

    def mine() -> dict[str, Any]:
        made.append({"paths": {"/x": {"get": {"security": [{"OAuth2.optional": []}]}}}})
        return made[-1]

    app.openapi = mine  # type: ignore[method-assign]
    guard.install(app)
    for _ in range(2):
        assert app.openapi()["paths"]["/x"]["get"]["security"] == [{"OAuth2": []}, {}]
    assert len(made) == 2


def test_a_document_that_was_made_before_the_guard_came_is_described_too() -> None:
    guard = make_guard(token_url=TOKEN_URL)
    app = FastAPI()
    app.add_api_route("/x", lambda: None, dependencies=[Depends(guard.any_of("admin", "read:users"))])
    made = app.openapi()
    guard.install(app)
    for _ in range(2):
        assert app.openapi() is made
        assert made["paths"]["/x"]["get"]["security"] == [{"OAuth2": ["admin"]}, {"OAuth2": ["read:users"]}]


def test_webhooks_refer_to_the_scheme_too() -> None:
    guard = make_guard(token_url=TOKEN_URL)
    app = guarded_app(guard)

    @app.webhooks.post("changed", dependencies=[Depends(guard.optional)])
    def changed() -> None: ...

    document = app.openapi()
    assert document["webhooks"]["changed"]["post"]["security"] == [{"OAuth2": []}, {}]
    assert list(document["components"]["securitySchemes"]) == ["OAuth2"]


def test_a_document_without_paths_is_left_alone() -> None:
    app = guarded_app(make_guard())
    assert app.openapi()["paths"] == {}
