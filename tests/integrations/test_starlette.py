"""The Starlette module: its middleware, and what routes ask for."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import AsyncMock

import anyio
import anyio.from_thread
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, SimpleUser, UnauthenticatedUser, requires
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Router, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.integrations import conftest
from tests.integrations.behaviour import (
    ADMIN,
    CASES,
    FORGED,
    GOOD,
    LIFETIME,
    NOW,
    PUBLIC,
    READ_WRITE,
    ROUTES,
    UNSCOPED,
    Case,
    Route,
    bearer,
    check,
    make_validator,
    mint,
)
from tests.integrations.conftest import Run, http_scope, run_asyncio, run_trio
from tokenguard import (
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InsufficientAuthentication,
    InvalidRequest,
    MissingToken,
    RequestRefused,
    Unavailable,
)
from tokenguard.integrations import asgi
from tokenguard.integrations._verdict import Verdict
from tokenguard.integrations.asgi import _order
from tokenguard.integrations.starlette import (
    TokenGuardMiddleware,
    TokenUser,
    get_token,
    require_scopes,
    require_token,
)

Endpoint = Callable[..., Any]

BARE = 'Bearer realm="https://api.example.com"'
LACKING_READ = (
    f'{BARE}, error="insufficient_scope", error_description="The request requires higher privileges than provided by '
    'the access token", scope="read:users"'
)


def guard(*, validator: Any = None, **options: Any) -> Middleware:
    return Middleware(TokenGuardMiddleware, validator=validator or make_validator(), **options)


def client_of(*routes: BaseRoute, middleware: Sequence[Middleware] | None = None, **options: Any) -> TestClient:
    """A client of an app with these routes, by default behind the middleware."""
    return TestClient(Starlette(routes=routes, middleware=[guard()] if middleware is None else middleware, **options))


def serve(endpoint: Endpoint, **options: Any) -> TestClient:
    """A client of an app with one endpoint, at `/`."""
    return client_of(StarletteRoute("/", endpoint, methods=["GET", "POST"]), **options)


def with_token(token: str = GOOD) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def answers(client: TestClient, *tokens: str | None) -> list[int]:
    """The status with each token; None is none."""
    return [client.get("/", headers={} if token is None else with_token(token)).status_code for token in tokens]


# The table


def application_of_the_table(*, asynchronous: bool, **options: Any) -> Starlette:
    """`ROUTES` as Starlette endpoints of either kind."""
    routes = [
        StarletteRoute(path, _decorated(_endpoint(route, asynchronous), route), methods=METHODS)
        for path, route in ROUTES.items()
    ]
    return Starlette(routes=routes, middleware=[guard(**options)])


METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]


def _decorated(endpoint: Endpoint, route: Route) -> Endpoint:
    if route.asks == "scopes":
        return require_scopes(*route.all_of, any_of=route.any_of)(endpoint)
    return require_token(endpoint) if route.asks == "token" else endpoint


def _endpoint(route: Route, asynchronous: bool) -> Endpoint:
    def respond(request: Request, body: bytes) -> Response:
        if route.raises is not None:
            raise route.raises()
        try:
            subject = get_token(request).subject or ""
        except MissingToken:
            subject = "anonymous"
        return Response(b"" if request.method == "HEAD" else subject.encode("ascii") + body, media_type="text/plain")

    async def endpoint(request: Request) -> Response:
        return respond(request, await request.body())

    def sync_endpoint(request: Request) -> Response:
        return respond(request, anyio.from_thread.run(request.body))

    return endpoint if asynchronous else sync_endpoint


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, asynchronous: bool) -> None:
    options: dict[str, Any] = {"public": PUBLIC} if case.application == "required" else {"required": False}
    app = application_of_the_table(asynchronous=asynchronous, **options)
    scope = http_scope(case.path, case.headers, method=case.method)
    found = run_asyncio(conftest.request, app, scope, case.body)
    check(case, found.status, found.headers, found.body)


def test_the_table_holds_under_trio_too() -> None:
    for case in CASES[::7]:
        options: dict[str, Any] = {"public": PUBLIC} if case.application == "required" else {"required": False}
        app = application_of_the_table(asynchronous=False, **options)
        scope = http_scope(case.path, case.headers, method=case.method)
        found = run_trio(conftest.request, app, scope, case.body)
        check(case, found.status, found.headers, found.body)


# request.user and request.auth


async def whoami(request: Request) -> Response:
    user = request.user
    return JSONResponse(
        {
            "ours": isinstance(user, TokenUser),
            "nobody": isinstance(user, UnauthenticatedUser),
            "authenticated": user.is_authenticated,
            "name": user.display_name,
            "identity": user.identity if isinstance(user, TokenUser) else None,
            "scopes": request.auth.scopes,
        }
    )


def test_the_user_of_a_request_with_a_token_is_its_subject() -> None:
    assert serve(whoami).get("/", headers=with_token(READ_WRITE)).json() == {
        "ours": True,
        "nobody": False,
        "authenticated": True,
        "name": "user-2",
        "identity": "user-2",
        "scopes": ["authenticated", "read:users", "write:users"],
    }


def test_a_user_without_a_subject_is_named_by_its_client_or_not_at_all() -> None:
    for client_id, name in (("client-1", "client-1"), (None, "")):
        token = AccessToken(issuer="https://as.example.com", expires_at=NOW + LIFETIME, client_id=client_id)
        user = TokenUser(token)
        assert (user.identity, user.display_name, user.is_authenticated) == (name, name, True)
        assert user.token is token


def test_without_a_token_the_user_is_not_authenticated_and_has_no_scopes() -> None:
    for middleware in (guard(required=False), guard(public=["/"])):
        found = serve(whoami, middleware=[middleware]).get("/").json()
        assert (found["nobody"], found["authenticated"], found["scopes"]) == (True, False, [])


def test_a_user_or_credentials_that_are_there_are_left_alone(run: Run) -> None:
    mine: dict[str, Any] = {"user": SimpleUser("alice"), "auth": AuthCredentials(["mine"])}
    for names in (("user",), ("auth",), ("user", "auth")):
        seen: list[asgi.Scope] = []

        async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, seen: list[asgi.Scope] = seen) -> None:
            seen.append(scope)

        planted = {name: mine[name] for name in names}
        scope = http_scope(headers=bearer(GOOD), **planted)
        run(conftest.drive, TokenGuardMiddleware(app, make_validator()), scope)
        assert {name: seen[0][name] for name in ("user", "auth") if name in seen[0]} == planted
        assert seen[0]["tokenguard.token"].subject == "user-1"


def test_the_outer_scope_gets_no_user(run: Run) -> None:
    async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        assert scope["user"].identity == "user-1"

    scope = http_scope(headers=bearer(GOOD))
    before = dict(scope)
    run(conftest.drive, TokenGuardMiddleware(app, make_validator()), scope)
    assert scope == before


def test_the_inner_of_two_middlewares_names_the_user_of_its_own_token() -> None:
    # A guarded mount inside of an app whose own middleware let the request pass without looking.
    for outer in (guard(required=False), guard(public=["/inner/*"])):
        inner = Mount("/inner", routes=[StarletteRoute("/", whoami)], middleware=[guard()])
        found = client_of(inner, middleware=[outer]).get("/inner/", headers=with_token()).json()
        assert (found["ours"], found["name"], found["scopes"]) == (True, "user-1", ["authenticated", "read:users"])


def test_a_user_from_between_two_middlewares_is_left_alone() -> None:
    class Between:
        def __init__(self, app: asgi.ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            await self.app({**scope, "user": SimpleUser("alice"), "auth": AuthCredentials(["mine"])}, receive, send)

    inner = Mount("/inner", routes=[StarletteRoute("/", whoami)], middleware=[Middleware(Between), guard()])
    found = client_of(inner).get("/inner/", headers=with_token()).json()
    assert (found["ours"], found["name"], found["scopes"]) == (False, "alice", ["mine"])


def test_starlettes_own_requires_works_on_the_scopes_of_the_token() -> None:
    @requires("read:users")
    async def endpoint(request: Request) -> Response:
        return Response()

    assert answers(serve(endpoint), GOOD, UNSCOPED, None) == [200, 403, 401]


# get_token


def test_get_token_gives_the_validated_token() -> None:
    async def endpoint(request: Request) -> Response:
        token = get_token(request)
        assert isinstance(token, AccessToken)
        return JSONResponse([token.subject, sorted(token.scopes), token.to_dict()["aud"]])

    found = serve(endpoint).get("/", headers=with_token()).json()
    assert found == ["user-1", ["read:users"], "https://api.example.com"]


def test_get_token_without_a_token_is_refused_as_if_the_middleware_had(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(request: Request) -> Response:
        get_token(request)
        raise AssertionError

    caplog.set_level(logging.DEBUG, logger="tokenguard")
    for middleware in (guard(required=False), guard(public=["/"])):
        caplog.clear()
        found = serve(endpoint, middleware=[middleware]).get("/")
        assert (found.status_code, found.headers["www-authenticate"], found.json()) == (401, BARE, {})
        assert [record.getMessage() for record in caplog.records] == ["refused with 401: no_token"]


def test_a_handler_may_answer_the_refusal_of_get_token_itself() -> None:
    async def endpoint(request: Request) -> Response:
        try:
            get_token(request)
        except MissingToken as refused:
            return Response("Please sign in.", refused.status, refused.headers)
        raise AssertionError

    found = serve(endpoint, middleware=[guard(required=False)]).get("/")
    assert (found.status_code, found.headers["www-authenticate"], found.text) == (401, BARE, "Please sign in.")


def test_get_token_works_on_a_websocket() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(get_token(websocket).subject or "")
        await websocket.close()

    client = client_of(WebSocketRoute("/", endpoint))
    with client.websocket_connect("/", headers=with_token()) as websocket:
        assert websocket.receive_text() == "user-1"
    with pytest.raises(Exception) as caught, client.websocket_connect("/"):  # noqa: PT011 - of Starlette's TestClient
        pass
    assert getattr(caught.value, "status_code", None) == 401


# What routes ask for


def _async_endpoint() -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(get_token(request).subject or "")

    return endpoint


def _sync_endpoint() -> Endpoint:
    def endpoint(request: Request) -> Response:
        return PlainTextResponse(get_token(request).subject or "")

    return endpoint


EITHER_KIND = pytest.mark.parametrize("make", [_async_endpoint, _sync_endpoint], ids=["async", "sync"])


@EITHER_KIND
def test_a_route_that_requires_scopes_answers_only_tokens_that_have_them(make: Callable[[], Endpoint]) -> None:
    one = require_scopes("read:users")(make())
    assert answers(serve(one), GOOD, READ_WRITE, UNSCOPED, ADMIN, FORGED, None) == [200, 200, 403, 403, 401, 401]
    both = require_scopes("read:users", "write:users")(make())
    assert answers(serve(both), READ_WRITE, GOOD) == [200, 403]
    either = require_scopes(any_of=["admin", "read:users"])(make())
    assert answers(serve(either), GOOD, ADMIN, UNSCOPED) == [200, 200, 403]


@EITHER_KIND
def test_a_route_that_requires_a_token_answers_any_valid_one(make: Callable[[], Endpoint]) -> None:
    endpoint = require_token(make())
    assert answers(serve(endpoint), GOOD, UNSCOPED, FORGED, None) == [200, 200, 401, 401]
    assert answers(serve(endpoint, middleware=[guard(required=False)]), GOOD, FORGED, None) == [200, 401, 401]


def test_scopes_are_compared_exactly() -> None:
    # C25 of the adversarial cases
    for scope in ("READ:USERS", "read:user", "read:users2", "read", "*", "read:users,x", "read:*"):
        assert answers(serve(require_scopes("read:users")(_async_endpoint())), mint(scope=scope)) == [403]


def test_the_challenge_of_a_route_names_its_scopes() -> None:
    found = serve(require_scopes("read:users")(_async_endpoint())).get("/", headers=with_token(UNSCOPED))
    assert found.headers["www-authenticate"] == LACKING_READ
    assert found.headers["cache-control"] == "no-store"


def test_a_decorated_endpoint_keeps_its_name_kind_and_signature() -> None:
    for make in (_async_endpoint, _sync_endpoint):
        plain = make()
        plain.__doc__ = "What it does."
        for decorated in (require_token(plain), require_scopes("a")(plain)):
            assert decorated.__name__ == "endpoint"
            assert decorated.__doc__ == "What it does."
            assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(plain)
            assert inspect.signature(decorated) == inspect.signature(plain)


def test_methods_of_a_class_endpoint_are_decorated_one_by_one() -> None:
    class Users(HTTPEndpoint):
        @require_token
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

        @require_scopes("write:users")
        def post(self, request: Request) -> Response:
            return PlainTextResponse("written")

    client = serve(Users)
    assert client.get("/", headers=with_token()).text == "read"
    assert client.post("/", headers=with_token()).status_code == 403
    assert client.post("/", headers=with_token(READ_WRITE)).text == "written"


@pytest.mark.parametrize("decorate", [require_token, require_scopes("read:users")], ids=["token", "scopes"])
def test_a_class_endpoint_is_decorated_as_a_whole_and_asks_before_its_methods(
    decorate: Callable[[type[HTTPEndpoint]], type[HTTPEndpoint]],
) -> None:
    reached: list[str] = []

    class Users(HTTPEndpoint):
        """Who is there."""

        async def dispatch(self) -> None:
            reached.append("dispatch")
            await super().dispatch()

        def get(self, request: Request) -> Response:
            return PlainTextResponse(get_token(request).subject)

        async def post(self, request: Request) -> Response:
            raise AccessDenied

    guarded = decorate(Users)
    client = serve(guarded, middleware=[guard(required=False)])
    refused = client.get("/")
    assert (refused.status_code, refused.headers["www-authenticate"].startswith(BARE), refused.json()) == (
        401,
        True,
        {},
    )
    assert client.put("/").status_code == 405  # which methods there are is the route's business
    assert answers(client, FORGED, UNSCOPED) == [401, 200 if decorate is require_token else 403]
    assert len(reached) == (1 if decorate is require_token else 0)
    assert client.get("/", headers=with_token()).text == "user-1"
    assert client.head("/", headers=with_token()).status_code == 200
    assert client.post("/", headers=with_token()).headers["www-authenticate"].startswith(f"{BARE}, error=")
    assert (guarded.__name__, guarded.__qualname__, guarded.__doc__) == ("Users", Users.__qualname__, "Who is there.")


def test_a_class_that_is_decorated_leaves_the_class_as_it_was() -> None:
    class Users(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

    require_token(Users)
    assert answers(serve(Users, middleware=[]), None) == [200]
    with _raises_with("add TokenGuardMiddleware"):
        serve(require_token(Users), middleware=[]).get("/")


def test_what_a_guarded_class_has_for_children_is_guarded_too_and_decorators_add_up() -> None:
    @require_scopes("read:users")
    class Users(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

    class Children(Users):
        @require_scopes("write:users")
        async def get(self, request: Request) -> Response:
            return await super().get(request)

    assert answers(serve(Children), READ_WRITE, GOOD, mint(scope="write:users"), None) == [200, 403, 403, 401]


def test_a_guarded_class_asks_in_place_of_children_that_override_its_dispatch() -> None:
    @require_scopes("read:users")
    class Users(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

    class Logging(HTTPEndpoint):
        async def dispatch(self) -> None:
            reached.append("logged")
            await super().dispatch()

    class Children(Users):
        async def dispatch(self) -> None:
            reached.append("dispatch")
            await PlainTextResponse("all of it")(self.scope, self.receive, self.send)

    class Logged(Logging, Users): ...

    reached: list[str] = []
    for child in (Children, Logged):
        assert answers(serve(child, middleware=[guard(required=False)]), UNSCOPED, FORGED, None) == [403, 401, 401]
        with _raises_with("add TokenGuardMiddleware"):
            serve(child, middleware=[]).get("/")
    assert reached == []
    assert [answers(serve(child), GOOD) for child in (Children, Logged)] == [[200], [200]]
    assert reached == ["dispatch", "logged"]


def test_a_partial_of_a_decorated_endpoint_is_guarded() -> None:
    @require_scopes("read:users")
    async def endpoint(database: str, request: Request) -> Response:
        return PlainTextResponse(database)

    assert answers(serve(functools.partial(endpoint, "database")), GOOD, UNSCOPED, None) == [200, 403, 401]


@pytest.mark.parametrize("wrapped", [False, True], ids=["decorated", "with a decorator above"])
def test_a_lambda_and_a_function_that_hands_on_a_coroutine_are_asked_for_before_they_run(wrapped: bool) -> None:
    reached: list[str] = []

    async def inner(request: Request) -> Response:
        raise AssertionError

    def endpoint(request: Request) -> Any:
        reached.append("ran")
        return inner(request)

    decorated = require_scopes("read:users")(endpoint)
    assert answers(serve(_noting([])(decorated) if wrapped else decorated), UNSCOPED) == [403]
    assert reached == []
    either = require_token(lambda request: PlainTextResponse("ok"))
    assert answers(serve(either), GOOD, None) == [200, 401]


def test_the_request_may_have_another_name_if_it_comes_alone_or_stand_anywhere_if_it_is_called_request() -> None:
    @require_token
    async def alone(r: Request) -> Response:
        return Response(status_code=201)

    assert answers(serve(alone, middleware=[guard(required=False)]), GOOD, None) == [201, 401]

    @require_token
    def with_more(database: object, limit: int = 10, *, request: Request) -> Response:
        return Response(status_code=202)

    @require_token
    def second(database: object, request: Request) -> Response:
        return Response(status_code=202)

    for endpoint in (
        lambda request: with_more("db", request=request),
        lambda request: with_more("db", 5, request=request),
        lambda request: second("db", request),
        lambda request: second("db", request=request),
        lambda request: second(request=request, database="db"),
    ):
        assert answers(serve(endpoint, middleware=[guard(required=False)]), GOOD, None) == [202, 401]


# What handlers raise


REFUSALS = (
    (lambda: AccessDenied(detail="secret of the house"), 403, f'{BARE}, error="insufficient_scope", error_desc'),
    (MissingToken, 401, BARE),
    (InvalidRequest, 400, f'{BARE}, error="invalid_request", error_description="The Authorization header is malfo'),
    (
        lambda: InsufficientAuthentication(acr_values=("gold",), max_age=60),
        401,
        f'{BARE}, error="insufficient_user_authentication", error_description="A different authentication level',
    ),
    (lambda: Unavailable(retry_after=9), 503, None),
)


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize(
    "decorate", [lambda f: f, require_token, require_scopes("read:users")], ids=["no", "token", "scopes"]
)
def test_a_refusal_that_a_handler_raises_is_the_answer(
    decorate: Callable[[Endpoint], Endpoint], asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for make, status, challenge in REFUSALS:

        def endpoint(request: Request, make: Callable[[], RequestRefused] = make) -> Response:
            raise make()

        async def async_endpoint(request: Request, make: Callable[[], RequestRefused] = make) -> Response:
            raise make()

        caplog.clear()
        client = serve(decorate(async_endpoint if asynchronous else endpoint))
        found = client.get("/", headers=with_token())
        assert found.status_code == status
        assert found.headers.get("www-authenticate", "").startswith(challenge or "")
        assert ("www-authenticate" in found.headers) == (challenge is not None)
        assert found.headers["cache-control"] == "no-store"
        assert found.headers.get("retry-after") == ("9" if status == 503 else None)
        assert "secret" not in f"{found.headers} {found.text}"
        refused = [record for record in caplog.records if record.name == "tokenguard"]
        assert len(refused) == (0 if make is MissingToken else 1)  # what comes without a token is logged at DEBUG


def test_a_guarded_endpoint_answers_by_itself_in_an_app_that_is_wrapped_from_outside() -> None:
    class Methods(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            raise AccessDenied

        def post(self, request: Request) -> Response:
            raise Unavailable(retry_after=9)

    async def function(request: Request) -> Response:
        raise AccessDenied

    routes = [
        StarletteRoute("/class", require_token(Methods)),
        StarletteRoute("/twice", require_scopes("read:users")(require_token(Methods))),
        StarletteRoute("/function", require_token(function)),
    ]
    client = TestClient(TokenGuardMiddleware(Starlette(routes=routes), make_validator()))
    for path in ("/function", "/class", "/twice"):
        found = client.get(path, headers=with_token())
        assert (found.status_code, found.json()["error"]) == (403, "insufficient_scope")
    found = client.post("/class", headers=with_token())
    assert (found.status_code, found.headers["retry-after"]) == (503, "9")


def test_a_class_endpoint_that_refuses_after_its_response_began_does_not_answer_twice(run: Run) -> None:
    async def refuse() -> None:
        raise AccessDenied

    @require_token
    class Late(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("ok", background=BackgroundTask(refuse))

    app = Starlette(routes=[StarletteRoute("/", Late)], middleware=[guard()])
    sent: list[asgi.Message] = []
    with pytest.raises(AccessDenied):
        run(conftest.drive, app, http_scope("/", bearer(GOOD)), (), sent)
    assert conftest.response(sent).body == b"ok"


def test_other_exceptions_of_a_handler_are_starlettes_business() -> None:
    @require_token
    async def teapot(request: Request) -> Response:
        raise HTTPException(418)

    assert answers(serve(teapot), GOOD) == [418]

    @require_token
    async def broken(request: Request) -> Response:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        answers(serve(broken), GOOD)


def test_an_exception_handler_may_restyle_what_an_undecorated_handler_refuses() -> None:
    async def endpoint(request: Request) -> Response:
        raise AccessDenied

    async def restyle(request: Request, error: Exception) -> Response:
        assert isinstance(error, AccessDenied)
        return PlainTextResponse("No.", status_code=error.status)

    client = serve(endpoint, exception_handlers={RequestRefused: restyle})
    assert client.get("/", headers=with_token()).text == "No."


@pytest.mark.parametrize("decorate", [lambda f: f, require_token], ids=["no", "token"])
def test_a_refusal_passes_other_middleware_and_task_groups_on_its_way(decorate: Callable[[Endpoint], Endpoint]) -> None:
    class PassingOn(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    async def refuse() -> None:
        raise AccessDenied

    async def endpoint(request: Request) -> Response:
        await refuse()
        raise AssertionError

    async def in_a_task_group(request: Request) -> Response:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
        raise AssertionError

    for each in (endpoint, in_a_task_group):
        found = serve(decorate(each), middleware=[guard(), Middleware(PassingOn)]).get("/", headers=with_token())
        assert (found.status_code, found.headers["cache-control"]) == (403, "no-store")


# What cannot be guarded is refused when it is decorated


async def _endpoint_of(request: Request) -> Response:
    raise AssertionError


def _sync_endpoint_of(request: Request) -> Response:
    raise AssertionError


def _raises_with(message: str) -> contextlib.AbstractContextManager[object]:
    return pytest.raises(ConfigurationError, match=message)


def test_no_scopes_is_a_mistake() -> None:
    nothing: tuple[tuple[str, ...] | list[str], ...] = ((), [])
    for any_of in nothing:
        with _raises_with("names no scope; to accept any valid token use require_token"):
            require_scopes(any_of=any_of)


def test_missing_parentheses_are_a_mistake() -> None:
    misuse: Any = require_scopes
    with _raises_with(r'a scope is a string, not <function .*: @require_scopes\("read:users"\) has its parentheses'):
        misuse(_endpoint_of)


def test_several_scopes_in_one_string_are_a_mistake_and_so_is_none() -> None:
    with _raises_with(r"'read:users write:users' is no single scope .*: write \"read:users\", \"write:users\""):
        require_scopes("read:users write:users")
    with _raises_with(r"'' is no single scope"):
        require_scopes("")
    for scope in ('say "a"', "back\\slash", "tab\t", "umläut", "new\n"):
        with _raises_with("is no single scope"):
            require_scopes(scope)
        with _raises_with("is no single scope"):
            require_scopes("read:users", any_of=[scope])


def test_scopes_in_a_list_and_a_lone_alternative_are_mistakes() -> None:
    misuse: Any = require_scopes
    with _raises_with("a scope is a string, not \\['read:users'\\]"):
        misuse(["read:users"])
    with _raises_with(r'any_of is a collection of scopes: any_of=\("admin",\)'):
        require_scopes(any_of="admin")
    for any_of in (None, 5):
        with _raises_with("any_of is a collection"):
            misuse(any_of=any_of)
    with _raises_with("a scope is a string, not 5"):
        misuse(any_of=[5])


class _Callable:
    async def __call__(self, request: Request) -> Response:
        raise AssertionError

    def method(self, request: Request) -> Response:
        raise AssertionError


def _generator(request: Request) -> Any:
    yield


async def _async_generator(request: Request) -> Any:
    yield


def _without_request() -> Response:
    raise AssertionError


def _of_another_name(req: Request, limit: int) -> Response:
    raise AssertionError


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (
            Response,
            r"Response is no function and no class endpoint: decorate what takes the request, def get\(request\)",
        ),
        (HTTPEndpoint({**http_scope()}, *2 * [None]), "is no function"),  # type: ignore[arg-type]
        (_Callable(), "is no function"),
        (_Callable().method, "is no function"),
        (functools.partial(_endpoint_of), "is no function"),
        (staticmethod(_endpoint_of), "is no function"),
        (classmethod(lambda cls, request: None), "is no function"),
        (property(_endpoint_of), "is no function"),
        ("read:users", "'read:users' is no function"),
        (None, "None is no function"),
        (_generator, "_generator is a generator: an endpoint returns a response"),
        (_async_generator, "_async_generator is a generator"),
        (_without_request, r"_without_request must take the request to be guarded: def _without_request\(request\)"),
        (_of_another_name, "_of_another_name must take the request"),
    ],
    ids=[
        *(
            "class",
            "instance",
            "callable",
            "bound method",
            "partial",
            "staticmethod",
            "classmethod",
            "property",
            "scope",
            "nothing",
        ),
        *("generator", "async generator", "no request", "unknown name"),
    ],
)
def test_what_is_no_endpoint_function_cannot_be_decorated(endpoint: Any, message: str) -> None:
    with _raises_with(message):
        require_token(endpoint)
    with _raises_with(message):
        require_scopes("read:users")(endpoint)


def test_an_endpoint_that_is_called_without_a_request_is_never_open() -> None:
    endpoint: Any = require_token(_sync_endpoint_of)

    for call in (endpoint, lambda: endpoint(None), lambda: endpoint("x"), lambda: endpoint(request=http_scope())):
        with _raises_with("Starlette Request"):
            call()


# Without the middleware


@EITHER_KIND
@pytest.mark.parametrize("decorate", [require_token, require_scopes("read:users")], ids=["token", "scopes"])
def test_without_the_middleware_a_decorated_route_is_never_open(
    make: Callable[[], Endpoint], decorate: Callable[[Endpoint], Endpoint]
) -> None:
    client = serve(decorate(make()), middleware=[])
    for headers in ({}, with_token(), with_token(FORGED)):
        with _raises_with("nothing validates one: add TokenGuardMiddleware to the app"):
            client.get("/", headers=headers)


def test_without_the_middleware_the_client_learns_nothing() -> None:
    app = Starlette(routes=[StarletteRoute("/", require_token(_endpoint_of))])
    found = TestClient(app, raise_server_exceptions=False).get("/", headers=with_token())
    assert (found.status_code, found.text) == (500, "Internal Server Error")


def test_without_the_middleware_get_token_raises() -> None:
    with _raises_with("add TokenGuardMiddleware"):
        get_token(Request(http_scope()))


class _SubVerdict(Verdict):
    """Not ours."""


def test_what_somebody_planted_in_the_scope_satisfies_no_decorator() -> None:
    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME, scopes=frozenset({"read:users"}))
    sub = _SubVerdict(token=token, validator=make_validator())
    endpoint = require_scopes("read:users")(_sync_endpoint())
    planted: tuple[object, ...] = (token, True, {"token": token}, {"token": token, "validator": None}, sub, Verdict)
    for verdict in planted:
        scope = http_scope()
        scope.update({"tokenguard.token": token, "tokenguard.verdict": verdict})
        with _raises_with("add TokenGuardMiddleware"):
            endpoint(Request(scope))
        with _raises_with("add TokenGuardMiddleware"):
            get_token(Request(scope))


def test_headers_query_and_state_named_like_our_keys_satisfy_no_decorator() -> None:
    client = serve(require_token(_async_endpoint()), middleware=[guard(required=False)])
    found = client.get(
        "/?tokenguard.token=x&tokenguard.verdict=x", headers={"tokenguard.token": "x", "tokenguard.verdict": "x"}
    )
    assert found.status_code == 401


# Mounts and routers


def test_a_middleware_on_the_app_guards_all_that_is_mounted_however_deep() -> None:
    endpoint = require_scopes("read:users")(_async_endpoint())
    deep = Mount("/a", routes=[Mount("/b", app=Router([StarletteRoute("/c", endpoint)]))])
    mounted = Mount("/app", app=Starlette(routes=[StarletteRoute("/c", endpoint)]))
    client = client_of(deep, mounted)
    for path in ("/a/b/c", "/app/c"):
        assert client.get(path, headers=with_token()).text == "user-1"
        assert client.get(path, headers=with_token(UNSCOPED)).headers["www-authenticate"] == LACKING_READ
        assert client.get(path).status_code == 401
    assert client.get("/nowhere").status_code == 401
    assert client.get("/nowhere", headers=with_token()).status_code == 404


def test_a_middleware_on_a_mount_guards_that_mount_alone_and_its_public_paths_are_below_it() -> None:
    async def anyone(request: Request) -> Response:
        return PlainTextResponse("anyone")

    routes = [StarletteRoute("/health", anyone), StarletteRoute("/me", require_token(_async_endpoint()))]
    client = client_of(
        Mount("/api/v1", routes=routes, middleware=[guard(public=["/health"])]),
        Mount("/wrapped", app=TokenGuardMiddleware(Router(routes), make_validator(), public=["/health"])),
        StarletteRoute("/health", anyone),
        StarletteRoute("/me", anyone),
        middleware=[],
    )
    for mount in ("/api/v1", "/wrapped"):
        assert client.get(f"{mount}/health").text == "anyone"
        assert client.get(f"{mount}/me").status_code == 401
        assert client.get(f"{mount}/me", headers=with_token()).text == "user-1"
        assert client.get(f"{mount}/nowhere").status_code == 401
    assert client.get("/me").text == "anyone"


def test_public_paths_hold_where_the_server_knows_a_root_path() -> None:
    async def anyone(request: Request) -> Response:
        return PlainTextResponse("anyone")

    app = Starlette(
        routes=[Mount("/v1", routes=[StarletteRoute("/health", anyone), StarletteRoute("/me", anyone)])],
        middleware=[guard(public=["/v1/health"])],
    )
    client = TestClient(app, root_path="/proxied")
    assert client.get("/proxied/v1/health").text == "anyone"
    assert client.get("/proxied/v1/me").status_code == 401
    assert client.get("/v1/me").status_code == 401


def test_what_is_public_is_what_starlette_routes_to_whatever_the_root_path() -> None:
    # Where both read a path differently, one route is open in place of another.
    async def public(request: Request) -> Response:
        return PlainTextResponse("public")

    async def secret(request: Request) -> Response:
        return PlainTextResponse("secret")

    app = Starlette(
        routes=[StarletteRoute("/health", public), StarletteRoute("/api/health", secret)],
        middleware=[guard(public=["/health"])],
    )
    for root_path in ("", "/", "/api", "/api/", "/api//", "/health", "/health/"):
        for path in ("/health", "//health", "/api/health", "/api//health", "/api/api/health", "/health/health"):
            found = run_asyncio(conftest.request, app, http_scope(path, root_path=root_path))
            assert found.body != b"secret", (root_path, path)


def test_a_token_passes_into_an_app_that_is_mounted() -> None:
    inner = Starlette(routes=[StarletteRoute("/", require_token(_sync_endpoint()))], middleware=[guard(required=False)])
    assert client_of(Mount("/x", app=inner)).get("/x/", headers=with_token()).text == "user-1"


# Decorators in any order


def _noting(calls: list[str]) -> Callable[[Endpoint], Endpoint]:
    """A decorator such as everybody writes, for either kind of endpoint."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        if inspect.iscoroutinefunction(endpoint):

            @functools.wraps(endpoint)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                calls.append("before")
                return await endpoint(*args, **kwargs)

            return async_wrapper

        @functools.wraps(endpoint)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append("before")
            return endpoint(*args, **kwargs)

        return wrapper

    return decorate


@EITHER_KIND
def test_the_check_runs_before_whatever_stands_below_the_decorator(make: Callable[[], Endpoint]) -> None:
    calls: list[str] = []
    endpoint = require_scopes("read:users")(_noting(calls)(make()))
    assert answers(serve(endpoint), UNSCOPED) == [403]
    assert calls == []
    assert answers(serve(endpoint), GOOD) == [200]
    assert calls == ["before"]


@EITHER_KIND
def test_the_check_runs_wherever_the_decorator_stands(make: Callable[[], Endpoint]) -> None:
    calls: list[str] = []
    endpoint = _noting(calls)(require_scopes("read:users")(make()))
    assert answers(serve(endpoint), UNSCOPED, GOOD) == [403, 200]
    assert calls == ["before", "before"]


@EITHER_KIND
def test_of_stacked_decorators_each_must_be_satisfied(make: Callable[[], Endpoint]) -> None:
    for endpoint in (
        require_scopes("read:users")(require_scopes("write:users")(make())),
        require_token(require_scopes("read:users", "write:users")(make())),
        require_scopes("read:users")(require_token(require_scopes("write:users")(make()))),
    ):
        assert answers(serve(endpoint), READ_WRITE, GOOD, UNSCOPED, None) == [200, 403, 403, 401]


def test_a_decorator_below_may_hand_the_endpoint_more_than_it_got() -> None:
    # functools.wraps makes the wrapper look as if it took all that, which it does not.
    def with_database(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        @functools.wraps(endpoint)
        async def wrapper(request: Request) -> Response:
            return await endpoint("database", request)

        return wrapper

    @require_token
    @with_database
    async def endpoint(database: str, request: Request) -> Response:
        return PlainTextResponse(database)

    assert serve(endpoint).get("/", headers=with_token()).text == "database"


# Streaming and background tasks pass through


def test_a_streamed_response_passes_in_its_pieces(run: Run) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece

    @require_token
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(pieces())

    app = Starlette(routes=[StarletteRoute("/", endpoint)], middleware=[guard()])
    sent = run(conftest.drive, app, http_scope("/", bearer(GOOD)))
    assert [message.get("body") for message in sent] == [None, b"one", b"two", b""]


def test_a_refusal_in_the_midst_of_a_stream_breaks_it_off(run: Run) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise AccessDenied

    @require_token
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(pieces())

    app = Starlette(routes=[StarletteRoute("/", endpoint)], middleware=[guard()])
    sent: list[asgi.Message] = []
    with pytest.raises(AccessDenied):
        run(conftest.drive, app, http_scope("/", bearer(GOOD)), (), sent)
    assert [message.get("body") for message in sent] == [None, b"one"]


def test_background_tasks_run_after_the_response_and_not_after_a_refusal(run: Run) -> None:
    done: list[str] = []

    async def note(text: str) -> None:
        done.append(text)

    @require_scopes("read:users")
    async def endpoint(request: Request) -> Response:
        subject = get_token(request).subject or ""
        return PlainTextResponse("ok", background=BackgroundTasks([BackgroundTask(note, subject)]))

    app = Starlette(routes=[StarletteRoute("/", endpoint)], middleware=[guard()])
    assert run(conftest.request, app, http_scope("/", bearer(UNSCOPED))).status == 403
    assert done == []
    assert run(conftest.request, app, http_scope("/", bearer(GOOD))).status == 200
    assert done == ["user-1"]


def test_a_refusal_in_a_background_task_does_not_touch_the_response_that_was_sent(run: Run) -> None:
    async def refuse() -> None:
        raise AccessDenied

    @require_token
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(refuse))

    app = Starlette(routes=[StarletteRoute("/", endpoint)], middleware=[guard()])
    sent: list[asgi.Message] = []
    with pytest.raises(AccessDenied):
        run(conftest.drive, app, http_scope("/", bearer(GOOD)), (), sent)
    assert conftest.response(sent).body == b"ok"


# Websockets


def test_a_websocket_of_starlette_is_refused_with_a_response_and_ends_with_its_token() -> None:
    now = [float(NOW)]

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_text(await websocket.receive_text())

    middleware = guard(validator=make_validator(clock=lambda: now[0]))
    client = client_of(WebSocketRoute("/", endpoint), middleware=[middleware])
    with client.websocket_connect("/", headers=with_token()) as websocket:
        websocket.send_text("in time")
        assert websocket.receive_text() == "in time"
        now[0] += 10_000
        websocket.send_text("too late")
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (1008, "the access token expired")


class _Denied(Exception):
    """A websocket that was refused, with the status or the code of the refusal."""


def _connect(client: TestClient, token: str | None) -> str:
    """What a websocket says first."""
    try:
        with client.websocket_connect("/", headers={} if token is None else with_token(token)) as websocket:
            return websocket.receive_text()
    except WebSocketDenialResponse as denied:
        raise _Denied(denied.status_code, denied.headers.get("www-authenticate")) from None


@require_scopes("read:users")
async def _websocket_function(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(get_token(websocket).subject or "")
    await websocket.close()


@require_scopes("read:users")
class _WebSocketClass(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await _websocket_function(websocket)


class _WebSocketMethod(WebSocketEndpoint):
    @require_scopes("read:users")
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(get_token(websocket).subject or "")
        await websocket.close()


WEBSOCKETS = pytest.mark.parametrize(
    "endpoint", [_websocket_function, _WebSocketClass, _WebSocketMethod], ids=["function", "class", "method"]
)


@WEBSOCKETS
def test_a_websocket_asks_for_scopes_before_it_is_accepted(endpoint: Endpoint) -> None:
    client = client_of(WebSocketRoute("/", endpoint), middleware=[guard(required=False)])
    assert _connect(client, GOOD) == "user-1"
    for token, status, challenge in (
        (None, 401, f'{BARE}, scope="read:users"'),
        (UNSCOPED, 403, LACKING_READ),
        (FORGED, 401, f'{BARE}, error="invalid_token", error_description="The access token is invalid"'),
    ):
        with pytest.raises(_Denied) as caught:
            _connect(client, token)
        assert caught.value.args == (status, challenge)


@WEBSOCKETS
def test_without_the_middleware_a_websocket_is_never_open(endpoint: Endpoint) -> None:
    with _raises_with("add TokenGuardMiddleware"):
        _connect(client_of(WebSocketRoute("/", endpoint), middleware=[]), GOOD)


@WEBSOCKETS
def test_a_websocket_is_closed_with_1008_where_the_server_can_send_no_response(endpoint: Endpoint, run: Run) -> None:
    app = Starlette(routes=[Mount("/in", routes=[WebSocketRoute("/", endpoint)])], middleware=[guard()])
    for token in (UNSCOPED, FORGED):
        scope = conftest.websocket_scope("/in/", bearer(token))
        sent = run(conftest.drive, app, scope, [{"type": "websocket.connect"}])
        assert [(it["type"], it.get("code")) for it in sent][:1] == [("websocket.close", 1008)]


def test_a_refusal_after_a_websocket_was_accepted_is_not_sent_as_a_response() -> None:
    @require_token
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        raise AccessDenied

    client = client_of(WebSocketRoute("/", endpoint))
    with pytest.raises(AccessDenied), client.websocket_connect("/", headers=with_token()) as websocket:
        websocket.receive_text()


# Decorators above what registers


def _open(request: Request) -> Response:
    return PlainTextResponse("open")


def _logged(endpoint: Endpoint) -> Endpoint:
    @functools.wraps(endpoint)
    def logged(*args: Any, **kwargs: Any) -> Any:
        return endpoint(*args, **kwargs)

    return logged


@pytest.mark.parametrize("between", [lambda f: f, _logged], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    "around",
    [
        lambda route: Starlette(routes=[route], middleware=[guard(required=False)]),
        lambda route: TokenGuardMiddleware(Starlette(routes=[route]), make_validator(), required=False),
        lambda route: asgi.TokenGuardMiddleware(Starlette(routes=[route]), make_validator(), required=False),
        lambda route: Starlette(
            routes=[Mount("/in", Starlette(routes=[route])), Mount("/", Router([Mount("/", PlainTextResponse())]))],
            middleware=[guard(required=False)],
        ),
        lambda route: Starlette(
            routes=[Mount("/in", routes=[route], middleware=[Middleware(_Passing)]), Mount("/", PlainTextResponse())],
            middleware=[guard(required=False), Middleware(_Slotted)],
        ),
    ],
    ids=["in", "outside", "plain", "mounted", "middleware"],
)
def test_a_route_whose_decorator_came_too_late_is_an_error_and_not_open(
    around: Callable[[BaseRoute], Any], between: Callable[[Endpoint], Endpoint]
) -> None:
    def users(request: Request) -> Response:
        raise AssertionError

    app = around(StarletteRoute("/", users))
    require_scopes("read:users")(between(users))
    for _ in range(2):
        with _raises_with(r"test_starlette.test_a_route_.*\.users is a route without its decorator"):
            TestClient(app).get("/")


class _Passing:
    """Middleware like any other."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class _Slotted:
    """Middleware that nobody can look through."""

    __slots__ = ("_hidden",)

    def __init__(self, app: Any) -> None:
        self._hidden = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._hidden(scope, receive, send)


def test_a_decorator_that_comes_too_late_is_seen_after_the_first_request_too() -> None:
    class Late(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            raise AssertionError

    client = client_of(StarletteRoute("/", _open), middleware=[guard(required=False)])
    assert answers(client, None) == [200]
    starlette: Any = client.app
    starlette.router.routes.append(StarletteRoute("/late", Late))
    require_token(Late)
    with _raises_with(r"\.Late is a route without its decorator"):
        client.get("/late")


def test_decorators_in_their_order_are_no_error_whatever_they_copy() -> None:
    class Users(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("open")

    class Unhashable:
        __hash__ = None  # type: ignore[assignment] # as of a dataclass that is not frozen

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("open")(scope, receive, send)

    def users(request: Request) -> Response:
        return PlainTextResponse("guarded")

    loop = Router([StarletteRoute("/", Unhashable())])  # which the check for order must not go round for ever
    loop.mount("/loop", loop)
    client = client_of(
        StarletteRoute("/logged-above", _logged(require_scopes("read:users")(users))),
        StarletteRoute("/logged-below", require_scopes("read:users")(_logged(users))),
        StarletteRoute("/twice", require_scopes("read:users")(require_token(users))),
        StarletteRoute("/class", require_token(type("Guarded", (Users,), {}))),
        StarletteRoute("/base", Users),
        Mount("/open", loop),
        middleware=[guard(required=False)],
    )
    for path in ("/logged-above", "/logged-below", "/twice", "/class"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=with_token()).status_code == 200
    for path in ("/base", "/open"):
        assert client.get(path).text == "open"


def test_routes_are_looked_at_when_something_new_was_guarded_and_not_for_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[str] = []
    look = _order._fault

    def counted(*apps: object) -> str:
        looks.append("look")
        return look(*apps)

    monkeypatch.setattr(_order, "_fault", counted)

    def inner(request: Request) -> Response:
        return PlainTextResponse("inner")

    async def users(request: Request) -> Response:
        response: Response = require_token(inner)(request)
        return response

    client = client_of(StarletteRoute("/", require_token(users)), middleware=[guard(required=False)])
    for _ in range(5):
        assert client.get("/", headers=with_token()).text == "inner"
    assert len(looks) == 2  # at the first request, and once more since it guarded another one
    starlette: Any = client.app
    starlette.router.routes.append(StarletteRoute("/open", inner))
    require_token(lambda request: None)
    for _ in range(5):
        with _raises_with("is a route without its decorator"):
            client.get("/")
    assert len(looks) == 3


def test_what_a_class_inherits_as_wrapped_is_not_what_it_wraps() -> None:
    class Old(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("open")

    class New(HTTPEndpoint):
        __wrapped__ = Old

    require_token(type("Sub", (New,), {}))
    client = client_of(StarletteRoute("/", Old), middleware=[guard(required=False)])
    assert client.get("/").text == "open"


def test_a_mock_of_an_app_has_no_end_that_is_looked_for() -> None:
    require_token(lambda request: None)
    app: Any = AsyncMock(routes=None)
    guarded: Any = TokenGuardMiddleware(app, make_validator(), required=False)
    anyio.run(guarded, http_scope("/", ()), None, None)
    app.assert_awaited_once()
