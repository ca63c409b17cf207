"""The Flask extension, and what views ask for."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    g,
    make_response,
    redirect,
    request,
    session,
    stream_with_context,
    url_for,
)
from flask.testing import FlaskClient
from flask.views import MethodView, View
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter
from werkzeug.test import Client, TestResponse

from tests.integrations.behaviour import (
    ADMIN,
    CASES,
    EXPIRED,
    FORGED,
    GOOD,
    LIFETIME,
    NOW,
    READ_WRITE,
    REFUSED,
    UNDECIDABLE,
    UNSCOPED,
    Case,
    bearer,
    check,
    fragments,
    make_validator,
    mint,
)
from tests.integrations.flask_apps import applications
from tests.integrations.test_wsgi import Recorder
from tests.integrations.wsgi_driving import Exchange, Unread, environ_of, serve
from tokenguard import (
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InsufficientAuthentication,
    InvalidRequest,
    Issuer,
    KeyPolicy,
    MissingToken,
    RequestRefused,
    TokenValidator,
    Unavailable,
)
from tokenguard.integrations import wsgi
from tokenguard.integrations._verdict import VERDICT_KEY, Verdict
from tokenguard.integrations.flask import (
    TokenGuard,
    current_token,
    get_token,
    public,
    require_scopes,
    require_token,
)
from tokenguard.testing import Fault, LocalIssuer

Endpoint = Callable[..., Any]
Decorator = Callable[[Endpoint], Endpoint]

BARE = 'Bearer realm="https://api.example.com"'
LACKING_READ = (
    f'{BARE}, error="insufficient_scope", error_description="The request requires higher privileges than provided by '
    'the access token", scope="read:users"'
)
READ = require_scopes("read:users")


def make_app(**options: Any) -> Flask:
    """An app with the extension, as in production: exceptions are answered with 500, not raised."""
    app = Flask("tests", static_folder=None)
    TokenGuard(app, make_validator(), **options)
    return app


def with_view(view: Endpoint, **options: Any) -> Flask:
    """The same with one view, at `/`."""
    app = make_app(**options)
    app.add_url_rule("/", "view", view, methods=["GET", "POST"])
    return app


def with_token(token: str = GOOD) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def get(app: Flask, token: str | None = None, path: str = "/", **options: Any) -> TestResponse:
    return app.test_client().open(path, headers={} if token is None else with_token(token), **options)


def answers(app: Flask, *tokens: str | None, path: str = "/", **options: Any) -> list[int]:
    """The status with each token; None is none."""
    return [get(app, token, path, **options).status_code for token in tokens]


def hello() -> str:
    return current_token.subject or ""


def hello_or_nobody() -> str:
    token = request.environ["tokenguard.token"]
    return "nobody" if token is None else hello()


# The table


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, asynchronous: bool) -> None:
    app = _applications(asynchronous)[case.application]
    for joint in (",", ", "):
        environ = environ_of(case.path, case.headers, method=case.method, body=case.body, joint=joint)
        found = serve(app, environ)
        check(case, found.status, found.headers, found.body)


@functools.cache
def _applications(asynchronous: bool) -> dict[str, Flask]:
    return applications(asynchronous=asynchronous)


@pytest.mark.parametrize("case", [case for case in CASES if not case.rejected_by], ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer_in_flasks_client(case: Case) -> None:
    path, _, query = case.path.partition("?")
    client = _applications(False)[case.application].test_client()
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in case.headers]
    environ = {"PATH_INFO": environ_of(path)["PATH_INFO"]}  # it takes some liberties with paths
    found = client.open(
        path, query_string=query, method=case.method, headers=headers, data=case.body, environ_overrides=environ
    )
    sent = [(name.encode(), value.encode()) for name, value in found.headers]
    check(case, found.status_code, sent, found.data)


def test_without_a_token_neither_the_application_nor_the_body_is_touched() -> None:
    # T11
    app = make_app(required=True)

    @app.before_request
    def never() -> None:
        raise AssertionError("the application was reached")

    for case in REFUSED:
        if case.path.startswith("/any") and case.application == "required":
            environ = environ_of(case.path, case.headers, method=case.method, keys={"wsgi.input": Unread(case.body)})
            assert serve(app, environ).status == case.expected.status


# The token of a request


def test_a_view_finds_the_validated_token() -> None:
    def view() -> dict[str, Any]:
        token = get_token()
        assert type(token) is AccessToken
        assert current_token == token
        assert request.environ["tokenguard.token"] is token
        return {"subject": current_token.subject, "scopes": sorted(current_token.scopes), "aud": token.to_dict()["aud"]}

    assert get(with_view(view), GOOD).json == {
        "subject": "user-1",
        "scopes": ["read:users"],
        "aud": "https://api.example.com",
    }


@pytest.mark.parametrize(
    "use",
    [get_token, lambda: current_token.subject, lambda: bool(current_token)],
    ids=["get_token", "attribute", "truth"],
)
def test_without_a_token_asking_for_it_is_refused(use: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")

    def view() -> str:
        use()
        raise AssertionError

    for app in (with_view(view), with_view(public(view), required=True)):
        caplog.clear()
        found = get(app)
        assert (found.status_code, found.headers["WWW-Authenticate"], found.data) == (401, BARE, b"{}")
        assert [record.getMessage() for record in caplog.records] == ["refused with 401: no_token"]


def test_a_view_may_answer_the_refusal_of_get_token_itself() -> None:
    def view() -> Any:
        try:
            return hello()
        except MissingToken:
            return "Hello, stranger"

    found = get(with_view(view))
    assert (found.status_code, found.text) == (200, "Hello, stranger")


def test_outside_of_a_request_there_is_no_token() -> None:
    for use in (get_token, lambda: current_token.subject):
        with pytest.raises(RuntimeError, match="outside of request context"):
            use()


def test_a_request_context_that_flask_did_not_dispatch_was_not_looked_at() -> None:
    app = with_view(require_token(_sync()))
    with app.test_request_context("/", headers=with_token()):
        for use in (get_token, app.view_functions["view"]):
            with pytest.raises(ConfigurationError, match="nothing validates one"):
                use()
        assert app.preprocess_request() is None
        assert get_token().subject == "user-1"


def test_templates_and_streams_with_context_see_the_token() -> None:
    @require_token
    def view() -> Response:
        def pieces() -> Iterator[str]:
            yield "Hello, "
            yield current_token.subject or ""

        return Response(stream_with_context(pieces()))

    app = with_view(view)
    assert get(app, GOOD).text == "Hello, user-1"
    assert answers(app, None, UNSCOPED) == [401, 200]


# What views ask for


def _sync() -> Endpoint:
    def view() -> str:
        return hello()

    return view


def _async() -> Endpoint:
    async def view() -> str:
        return hello()

    return view


def _generator() -> Endpoint:
    @stream_with_context
    def view() -> Iterator[str]:
        yield hello()

    return view


def _plain_generator() -> Endpoint:
    def view() -> Iterator[str]:
        yield "user-1"

    return view


def _method() -> Endpoint:
    class Users(MethodView):
        def get(self) -> str:
            return hello()

    return Users.as_view("users")


KINDS = pytest.mark.parametrize(
    "make",
    [_sync, _async, _generator, _plain_generator, _method],
    ids=["sync", "async", "stream", "generator", "class"],
)


@KINDS
def test_a_view_that_requires_scopes_answers_only_tokens_that_have_them(make: Callable[[], Endpoint]) -> None:
    app = with_view(READ(make()))
    assert answers(app, GOOD, UNSCOPED, ADMIN, FORGED, EXPIRED, None) == [200, 403, 403, 401, 401, 401]
    assert get(app, GOOD).text == "user-1"
    assert answers(with_view(require_scopes("read:users", "write:users")(make())), READ_WRITE, GOOD) == [200, 403]
    either = with_view(require_scopes(any_of=["admin", "read:users"])(make()))
    assert answers(either, GOOD, ADMIN, UNSCOPED) == [200, 200, 403]


@KINDS
def test_a_view_that_requires_a_token_answers_any_valid_one(make: Callable[[], Endpoint]) -> None:
    for required in (True, False):
        app = with_view(require_token(make()), required=required)
        assert answers(app, GOOD, UNSCOPED, FORGED, UNDECIDABLE, None) == [200, 200, 401, 503, 401]


def test_scopes_are_compared_exactly() -> None:
    # C25 of the adversarial cases
    app = with_view(READ(_sync()))
    for scope in ("READ:USERS", "read:user", "read:users2", "read", "*", "read:users,x", "read:*"):
        assert answers(app, mint(scope=scope)) == [403]


def test_the_challenge_of_a_view_names_its_scopes() -> None:
    found = get(with_view(READ(_sync())), UNSCOPED)
    assert found.headers["WWW-Authenticate"] == LACKING_READ
    assert found.headers["Cache-Control"] == "no-store"
    assert get(with_view(READ(_sync()))).headers["WWW-Authenticate"] == f'{BARE}, scope="read:users"'


def test_a_decorated_view_keeps_its_name_kind_and_signature() -> None:
    for make in (_sync, _async, _plain_generator):
        plain = make()
        plain.__doc__ = "What it does."
        for decorated in (require_token(plain), READ(plain)):
            assert (decorated.__name__, decorated.__doc__) == ("view", "What it does.")
            assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(plain)
            assert inspect.signature(decorated) == inspect.signature(plain)


def test_without_required_a_view_that_asks_for_nothing_is_open_but_not_to_bad_tokens() -> None:
    app = with_view(lambda: "hello")
    assert answers(app, None, GOOD, FORGED, EXPIRED, "a b", UNDECIDABLE) == [200, 200, 401, 401, 400, 503]
    assert answers(app, None, GOOD, FORGED, path="/nowhere") == [404, 404, 401]


def test_the_arguments_of_the_url_reach_the_view() -> None:
    app = make_app()

    @app.get("/users/<int:number>/<name>")
    @READ
    async def user(number: int, name: str) -> list[Any]:
        return [number, name, current_token.subject]

    assert get(app, GOOD, "/users/7/x").json == [7, "x", "user-1"]
    assert answers(app, None, UNSCOPED, path="/users/7/x") == [401, 403]


# Decorators in any order


def _noting(calls: list[str], *, wraps: bool = True) -> Decorator:
    """A decorator such as everybody writes, for either kind of view."""

    def decorate(view: Endpoint) -> Endpoint:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append("before")
            return view(*args, **kwargs)

        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append("before")
            return await view(*args, **kwargs)

        chosen: Endpoint = async_wrapper if inspect.iscoroutinefunction(view) else wrapper
        return functools.wraps(view)(chosen) if wraps else chosen

    return decorate


@KINDS
def test_below_the_route_the_check_runs_before_whatever_is_around_it(make: Callable[[], Endpoint]) -> None:
    ways: tuple[Callable[[Decorator, Endpoint], Endpoint], ...] = (
        lambda note, view: READ(note(view)),
        lambda note, view: note(READ(view)),  # as Flask-Sock does, which has shaken hands by then
        lambda note, view: READ(require_token(note(view))),
        lambda note, view: require_token(READ(note(view))),
        lambda note, view: note(require_token(note(READ(note(view))))),
        lambda note, view: functools.partial(note(READ(view))),
    )
    for decorate in ways:
        calls: list[str] = []
        app = make_app()
        app.before_request(lambda calls=calls: calls.append("before the request"))
        app.add_url_rule("/", "view", decorate(_noting(calls), make()))
        assert (answers(app, UNSCOPED, None), calls) == ([403, 401], [])
        assert (answers(app, GOOD), set(calls)) == ([200], {"before the request", "before"})


@KINDS
def test_a_wrapper_that_does_not_tell_of_what_it_is_one_runs_first_and_the_view_does_not(
    make: Callable[[], Endpoint],
) -> None:
    calls: list[str] = []
    app = with_view(_noting(calls, wraps=False)(READ(_noting(calls)(make()))))
    assert (answers(app, UNSCOPED, None), calls) == ([403, 401], ["before"] * 2)


@KINDS
@pytest.mark.parametrize("where", [lambda app: app, lambda app: Blueprint("api", "tests")], ids=["app", "blueprint"])
def test_above_the_route_the_check_runs_all_the_same(
    make: Callable[[], Endpoint], where: Callable[[Flask], Any]
) -> None:
    # Flask never calls what such a decorator returns: elsewhere, the view is open without a word.
    ways: tuple[Callable[[Decorator, Decorator, Endpoint], Endpoint], ...] = (
        lambda route, note, view: READ(route(view)),
        lambda route, note, view: READ(route(note(view))),
        lambda route, note, view: READ(note(route(view))),
        lambda route, note, view: READ(require_token(route(view))),
        lambda route, note, view: require_token(READ(route(view))),
        lambda route, note, view: READ(route(require_token(view))),
        lambda route, note, view: require_token(route(READ(view))),
        lambda route, note, view: READ(note(require_token(note(route(note(view)))))),
    )
    for decorate in ways:
        calls: list[str] = []
        app = make_app()
        scaffold = where(app)
        decorate(scaffold.get("/"), _noting(calls), make())
        if scaffold is not app:
            app.register_blueprint(scaffold)
        assert (answers(app, UNSCOPED, None, FORGED), calls) == ([403, 401, 401], [])
        assert answers(app, GOOD) == [200]


MODULE = """
@require_token
@app.get("/a", endpoint="a")
def _():
    return "a"

@READ
@app.get("/b", endpoint="b")
@app.get("/c", endpoint="c")
def _():
    return "b"

@app.get("/d", endpoint="d")
@READ
@app.get("/e", endpoint="e")
def view():
    return "d"

@READ
@app.get("/f")
async def get():
    return "f"
"""


def test_above_the_route_the_check_runs_in_a_module_too_whatever_the_names() -> None:
    app = make_app()
    exec(MODULE, {"app": app, "READ": READ, "require_token": require_token})
    for path in "abcdef":
        expected = [200, 200, 401] if path == "a" else [200, 403, 401]
        assert answers(app, GOOD, UNSCOPED, None, path=f"/{path}") == expected, path


def _wrap_and_guard(app: Flask, guard: Decorator, view: Endpoint) -> None:
    app.get("/")(_noting([])(view))
    guard(view)


TOO_LATE: dict[str, Callable[[Flask, Decorator, Endpoint], object]] = {
    "the view": lambda app, guard, view: (app.get("/")(view), guard(view)),
    "below a wrapper": lambda app, guard, view: (app.get("/")(_noting([])(view)), guard(view)),
    "another wrapper": lambda app, guard, view: (app.get("/")(_noting([])(view)), guard(_noting([])(view))),
    "below a partial": lambda app, guard, view: (app.add_url_rule("/", "", functools.partial(view)), guard(view)),
    "a guard": lambda app, guard, view: (app.get("/")(_noting([])(require_token(view))), guard(view)),
    "above a guard": lambda app, guard, view: guard(app.get("/")(require_token(view))),
    "between": lambda app, guard, view: app.get("/other", endpoint="other")(guard(app.get("/")(view))),
    "below a wrapper of a guard": lambda app, guard, view: _wrap_and_guard(app, guard, require_token(view)),
    "replaced": lambda app, guard, view: (app.get("/", endpoint="x")(view), app.view_functions.update(x=guard(view))),
}


@KINDS
@pytest.mark.parametrize("late", TOO_LATE.values(), ids=TOO_LATE)
def test_a_view_that_is_decorated_after_it_was_registered_is_not_open(
    late: Callable[[Flask, Decorator, Endpoint], object], make: Callable[[], Endpoint]
) -> None:
    for guard in (READ, lambda view: require_token(READ(view)), lambda view: READ(_noting([])(view))):
        app, unguarded = make_app(), Flask("tests", static_folder=None)
        for each in (app, unguarded):
            late(each, guard, make())
        if late is TOO_LATE["a guard"]:  # for another view, as it seems: what is registered asks for a token alone
            assert answers(app, GOOD, UNSCOPED, None) == [200, 200, 401]
        else:
            assert answers(app, GOOD, UNSCOPED, None) == [200, 403, 401]
        assert answers(unguarded, GOOD, None) == [500, 500]


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_functions_before_the_request_may_be_decorated_in_either_order(above: bool, asynchronous: bool) -> None:
    def make() -> Endpoint:
        def before() -> None: ...

        async def before_async() -> None: ...

        return before_async if asynchronous else before

    def asking(register: Callable[[Endpoint], Endpoint]) -> None:
        if above:
            READ(register(make()))
        else:
            register(READ(make()))

    for guarded in (True, False):
        inner, outer, other = (Blueprint(name, "tests", url_prefix=f"/{name}") for name in ("inner", "outer", "other"))
        apps = {name: make_app() if guarded else Flask("tests", static_folder=None) for name in ("blueprints", "whole")}
        asking(inner.before_request)
        asking(outer.before_request)
        for blueprint in (inner, outer, other):
            blueprint.add_url_rule("/", "view", lambda: "view")
        outer.register_blueprint(inner)
        for blueprint in (outer, other):
            apps["blueprints"].register_blueprint(blueprint)
        apps["blueprints"].register_blueprint(inner, name="again")
        asking(apps["whole"].before_request)
        closed = [200, 403, 401] if guarded else [500] * 3
        for path in ("/inner/", "/outer/", "/outer/inner/"):
            assert answers(apps["blueprints"], GOOD, UNSCOPED, None, path=path) == closed
        assert answers(apps["blueprints"], None, path="/other/") == [200]
        assert answers(apps["whole"], GOOD, UNSCOPED, None) == ([404, 403, 401] if guarded else closed)


def test_a_preflight_that_flask_answers_by_itself_needs_no_token() -> None:
    app = make_app()
    app.get("/below")(READ(_sync()))
    READ(app.get("/above", endpoint="above")(_sync()))
    app.add_url_rule("/methods", view_func=Users.as_view("users"))
    app.add_url_rule("/own", "own", READ(_sync()), methods=["GET", "OPTIONS"])
    READ(app.route("/own-above", endpoint="own above", methods=["GET", "OPTIONS"])(_sync()))
    for path in ("/below", "/above", "/methods"):
        assert answers(app, None, UNSCOPED, method="OPTIONS", path=path) == [200, 200]
        assert "user" not in get(app, None, path, method="OPTIONS").text
    for path in ("/own", "/own-above"):
        assert answers(app, None, UNSCOPED, GOOD, method="OPTIONS", path=path) == [401, 403, 200]


@KINDS
def test_of_stacked_decorators_each_must_be_satisfied(make: Callable[[], Endpoint]) -> None:
    ways: tuple[Decorator, ...] = (
        lambda view: READ(require_scopes("write:users")(view)),
        lambda view: require_token(require_scopes("read:users", "write:users")(view)),
        lambda view: READ(require_token(require_scopes("write:users")(view))),
    )
    for decorate in ways:
        assert answers(with_view(decorate(make())), READ_WRITE, GOOD, UNSCOPED, None) == [200, 403, 403, 401]


def test_one_function_may_be_several_views_that_ask_for_different_scopes() -> None:
    view = _sync()
    app = make_app()
    app.add_url_rule("/read", "read", READ(view))
    app.add_url_rule("/admin", "admin", require_scopes("admin")(view))
    app.add_url_rule("/noted", "noted", _noting([])(READ(view)))
    for path in ("/read", "/noted"):
        assert answers(app, GOOD, ADMIN, path=path) == [200, 403]
    assert answers(app, GOOD, ADMIN, path="/admin") == [403, 200]


def test_a_function_that_is_guarded_as_one_view_is_not_open_as_another() -> None:
    # It cannot be told from one that was decorated too late.
    view = _sync()
    app, other = make_app(), make_app()
    app.add_url_rule("/open", "open", view)
    app.add_url_rule("/read", "read", READ(view))
    other.add_url_rule("/", "open", view)
    assert answers(app, GOOD, UNSCOPED, None, path="/open") == [200, 403, 401]
    assert answers(other, GOOD, UNSCOPED, None) == [200, 403, 401]


# Class views


class Users(MethodView):
    @require_token
    def get(self) -> str:
        return hello()

    @require_scopes("write:users")
    async def post(self) -> str:
        return "written by " + hello()


def test_methods_of_a_class_view_are_decorated_one_by_one() -> None:
    app = with_view(Users.as_view("users"))
    assert answers(app, GOOD, None) == [200, 401]
    assert answers(app, GOOD, None, method="HEAD") == [200, 401]
    assert answers(app, GOOD, READ_WRITE, None, method="POST") == [403, 200, 401]
    assert answers(app, GOOD, None, method="DELETE") == [405, 405]


def test_a_class_view_names_decorators_for_all_of_its_methods() -> None:
    calls: list[str] = []

    class All(MethodView):
        decorators = [_noting(calls), READ]  # noqa: RUF012 - as Flask's documentation has it

        def get(self) -> str:
            return hello()

        def post(self) -> str:
            return hello()

    class Old(View):
        decorators = [READ]  # noqa: RUF012
        methods = ["GET", "POST"]  # noqa: RUF012

        def dispatch_request(self) -> str:
            return hello()

    for of_class in (All, Old):
        app = with_view(of_class.as_view("users"))
        for method in ("GET", "POST"):
            assert answers(app, UNSCOPED, None, method=method) == [403, 401]
            assert not calls
            assert answers(app, GOOD, method=method) == [200]
            calls.clear()


# What is public


def test_only_public_views_need_no_token_where_all_others_do(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg/>")
    app = Flask("tests", static_folder=tmp_path, static_url_path="/static")
    TokenGuard(app, make_validator(), required=True)

    @app.get("/health")
    @public
    def health() -> str:
        assert request.environ["tokenguard.token"] is None
        return "well"

    @public
    @app.get("/ready")
    async def ready() -> str:
        return "ready"

    @app.get("/other")
    def other() -> str:
        return "other"

    @app.get("/slash/")
    @public
    def slash() -> str:
        return "slash"

    for path in ("/health", "/ready", "/slash/"):
        assert answers(app, None, GOOD, FORGED, "a b", path=path) == [200] * 4
    for path, status in (("/other", 200), ("/nowhere", 404), ("/static/logo.svg", 200), ("/slash", 308)):
        assert answers(app, None, FORGED, "a b", path=path) == [401, 401, 400]
        with get(app, GOOD, path) as found:
            assert found.status_code == status
    for method in ("POST", "OPTIONS", "BREW"):
        assert answers(app, None, path="/other", method=method) == [401]
    assert answers(app, None, GOOD, path="/health", method="POST") == [401, 405]
    assert answers(app, None, path="/health", method="OPTIONS") == [200]
    public(app.view_functions["static"])
    with get(app, FORGED, "/static/logo.svg") as found:
        assert found.data == b"<svg/>"
    assert answers(app, None, path="/static/nothing") == [404]


def test_methods_of_a_class_view_may_be_public_one_by_one() -> None:
    class Some(MethodView):
        @public
        def get(self) -> str:
            return "read"

        def post(self) -> str:
            return "written"

        @public
        def as_text(self) -> str:
            raise AssertionError

    app = make_app(required=True)
    app.add_url_rule("/", "some", Some.as_view("some"), methods=["GET", "HEAD", "POST", "AS_TEXT"])
    assert answers(app, None, FORGED) == [200, 200]
    assert answers(app, None, method="HEAD") == [200]
    assert answers(app, None, GOOD, method="POST") == [401, 200]
    assert answers(app, None, method="OPTIONS") == [401]
    assert answers(app, None, path="/nowhere", method="AS_TEXT") == [401]


def test_a_class_view_may_be_public_as_a_whole() -> None:
    class Whole(MethodView):
        decorators = [public]  # noqa: RUF012

        def post(self) -> str:
            return "written"

    class Old(View):
        @public  # of no effect: Flask calls the class
        def dispatch_request(self) -> str:
            return "old"

    app = make_app(required=True)
    app.add_url_rule("/", view_func=Whole.as_view("whole"))
    app.add_url_rule("/old", view_func=Old.as_view("old"))
    assert answers(app, None, method="POST") == [200]
    assert answers(app, None, GOOD, path="/old") == [401, 200]


def test_bound_methods_may_be_views() -> None:
    class Pages:
        def health(self) -> str:
            return "well"

        def me(self) -> str:
            return hello()

    pages, app = Pages(), make_app(required=True)
    app.add_url_rule("/health", "health", public(pages.health))
    app.add_url_rule("/me", "me", READ(pages.me))
    app.add_url_rule("/bare", "bare", Pages().me)
    assert answers(app, None, FORGED, path="/health") == [200, 200]
    for path in ("/me", "/bare"):
        assert answers(app, GOOD, UNSCOPED, None, path=path) == [200, 403, 401]


def test_what_is_public_stays_so_only_through_wrappers_that_pass_it_on() -> None:
    app = make_app(required=True)
    calls: list[str] = []
    app.add_url_rule("/passed", "passed", _noting(calls)(public(_sync())))
    app.add_url_rule("/lost", "lost", _noting(calls, wraps=False)(public(_sync())))
    below = app.get("/below")(_sync())
    public(_noting(calls)(below))
    assert answers(app, None, path="/passed") == [401]
    assert calls == ["before"]  # it was reached, and itself asked for a token
    assert answers(app, None, path="/lost") == [401]
    assert answers(app, None, path="/below") == [401]
    assert calls == ["before"]


def test_what_is_asked_of_a_public_view_by_others_is_asked() -> None:
    calls: list[str] = []
    app = make_app(required=True)
    blueprint = Blueprint("api", "tests")
    blueprint.before_request(READ(lambda: None))
    blueprint.add_url_rule("/in-blueprint", "view", public(_sync()))
    app.register_blueprint(blueprint)

    class Asking(MethodView):
        decorators = [READ]  # noqa: RUF012

        @public
        def get(self) -> str:
            return hello()

    app.add_url_rule("/class", view_func=Asking.as_view("class"))
    above = public(_noting(calls)(_sync()))
    app.add_url_rule("/above", "above", above)
    READ(inspect.unwrap(above))
    for path in ("/in-blueprint", "/class", "/above"):
        assert answers(app, GOOD, UNSCOPED, FORGED, None, path=path) == [200, 403, 401, 401]


def test_a_view_cannot_be_public_and_ask_for_a_token() -> None:
    calls: list[str] = []
    for decorate in (
        lambda view: public(require_token(view)),
        lambda view: public(READ(view)),
        lambda view: public(_noting(calls)(READ(view))),
        lambda view: public(READ(_sync())),
    ):
        with pytest.raises(ConfigurationError, match=r"(view|hello) asks for a token and cannot be public too"):
            decorate(_sync())
    for decorate in (
        lambda view: require_token(public(view)),
        lambda view: READ(public(view)),
        lambda view: READ(_noting(calls)(public(view))),
    ):
        with pytest.raises(ConfigurationError, match=r"view is public and cannot ask for a token too"):
            decorate(_sync())


# What cannot be guarded is refused when it is decorated


async def _async_generator() -> AsyncIterator[str]:
    yield "never"


class _Callable:
    def __call__(self) -> str:
        raise AssertionError


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (Users, "Users is no function: of a class view decorate its methods, or name it in `decorators`"),
        (_Callable(), "is no function"),
        (functools.partial(hello), "is no function"),
        (staticmethod(hello), "is no function"),
        (Flask("tests"), "is no function"),
        (Blueprint("api", "tests"), "is no function"),
        ("read:users", "'read:users' is no function"),
        (None, "None is no function"),
        (_async_generator, "_async_generator is an async generator: Flask has no such views"),
    ],
    ids=["class", "callable", "partial", "static", "app", "blueprint", "scope", "nothing", "async generator"],
)
@pytest.mark.parametrize("decorate", [require_token, READ, public], ids=["token", "scopes", "public"])
def test_what_is_no_view_function_cannot_be_decorated(decorate: Decorator, view: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        decorate(view)


def test_scopes_that_are_none_are_a_mistake_when_decorating() -> None:
    misuse: Any = require_scopes
    for attempt, message in (
        (require_scopes, "names no scope"),
        (lambda: misuse(hello), "has its parentheses"),
        (lambda: require_scopes("read:users write:users"), "is no single scope"),
        (lambda: require_scopes(any_of="admin"), "any_of is a collection"),
        (lambda: misuse(["read:users"]), "a scope is a string"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            attempt()


# Without the extension


@KINDS
@pytest.mark.parametrize("decorate", [require_token, READ], ids=["token", "scopes"])
@pytest.mark.parametrize("above", [False, True], ids=["below the route", "above the route"])
def test_without_the_extension_a_decorated_view_is_never_open(
    make: Callable[[], Endpoint], decorate: Decorator, above: bool
) -> None:
    app = Flask("tests", static_folder=None)
    app.add_url_rule("/open", "open", lambda: "open")
    if above:
        decorate(app.get("/")(make()))
    else:
        app.get("/")(decorate(make()))
    assert answers(app, GOOD, None, FORGED) == [500] * 3
    assert "token" not in get(app, GOOD).text
    assert answers(app, None, path="/open") == [200]
    assert answers(app, None, path="/nowhere") == [404]
    app.testing = True
    with pytest.raises(ConfigurationError, match=r"nothing validates one: add TokenGuard\(app, validator\)"):
        get(app, GOOD)


class _SubVerdict(Verdict):
    """Not ours."""


def test_what_somebody_planted_satisfies_no_decorator() -> None:
    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME, scopes=frozenset({"read:users"}))
    verdict = Verdict(token, make_validator())
    guarded = with_view(READ(_sync()))
    unguarded = Flask("tests", static_folder=None)
    unguarded.add_url_rule("/", "view", READ(_sync()))
    sub = _SubVerdict(token, make_validator())
    for found in (verdict, token, True, {"token": token}, sub, Verdict):
        keys = {"tokenguard.token": token, VERDICT_KEY: found, "tokenguard.refused": AccessDenied()}
        assert serve(guarded, environ_of("/", keys=keys)).status == 401
        accepted = serve(guarded, environ_of("/", bearer(GOOD), keys=keys))
        assert (accepted.status, accepted.body) == (200, b"user-1")
        assert serve(unguarded, environ_of("/", keys=keys)).status == 500
        assert serve(unguarded, environ_of("/", bearer(GOOD), keys=keys)).status == 500
        if found is not verdict:
            with (
                guarded.test_request_context(environ_overrides=keys),
                pytest.raises(ConfigurationError, match=r"add TokenGuard\(app, validator\)"),
            ):
                get_token()


def test_headers_query_cookies_and_forms_named_like_our_keys_satisfy_no_decorator() -> None:
    client = with_view(require_token(_sync())).test_client()
    client.set_cookie("tokenguard.token", "x")
    names = ("tokenguard.token", "tokenguard.verdict", "tokenguard_token", "_tokenguard_public")
    found = client.post(
        "/?" + "&".join(f"{name}=x" for name in names),
        headers=dict.fromkeys(names, "x"),
        data=dict.fromkeys(names, "x"),
    )
    assert found.status_code == 401


def test_a_wsgi_middleware_around_the_app_is_not_the_extension() -> None:
    for with_extension in (False, True):
        app = Flask("tests", static_folder=None)
        app.add_url_rule("/", "view", require_token(_sync()))
        app.add_url_rule("/plain", "plain", hello)
        app.wsgi_app = wsgi.TokenGuardMiddleware(app.wsgi_app, make_validator())  # type: ignore[method-assign]
        if with_extension:
            TokenGuard(app, make_validator())
        for path in ("/", "/plain"):
            assert answers(app, GOOD, None, path=path) == [200 if with_extension else 500, 401]


# Construction


def test_the_validator_may_stand_in_the_configuration() -> None:
    app = Flask("tests")
    app.config["TOKENGUARD"] = make_validator()
    app.add_url_rule("/", "view", require_token(_sync()))
    TokenGuard(app)
    assert answers(app, GOOD, None) == [200, 401]


def test_a_validator_that_was_given_comes_before_the_one_in_the_configuration() -> None:
    app = Flask("tests")
    app.config["TOKENGUARD"] = "nonsense"
    app.add_url_rule("/", "view", require_token(_sync()))
    TokenGuard(app, make_validator())
    assert answers(app, GOOD) == [200]


def test_the_configuration_may_be_a_mapping_of_settings() -> None:
    app = Flask("tests")
    app.config["TOKENGUARD"] = {"ISSUER": "https://as.example.com", "AUDIENCE": "https://api.example.com"}
    app.add_url_rule("/", "view", require_token(_sync()))
    TokenGuard(app)
    found = get(app)
    assert (found.status_code, found.headers["WWW-Authenticate"]) == (401, BARE)
    assert answers(app, "no.such.token") == [401]


def test_a_mistake_in_the_settings_is_one_when_the_application_is_made() -> None:
    app = Flask("tests")
    app.config["TOKENGUARD"] = {"ISSUER": "https://as.example.com"}
    with pytest.raises(ConfigurationError, match="AUDIENCE"):
        TokenGuard(app)


@pytest.mark.parametrize(
    ("key", "argument"),
    [
        ("REQUIRED", "required=True"),
        ("required", "required=True"),
        ("ISSUER_OF", "issuer_of=..."),
        ("VALIDATOR", "validator"),
    ],
)
def test_an_argument_is_no_setting(key: str, argument: str) -> None:
    app = Flask("tests")
    app.config["TOKENGUARD"] = {"ISSUER": "https://as.example.com", "AUDIENCE": "https://api.example.com", key: True}
    with pytest.raises(ConfigurationError) as caught:
        TokenGuard(app)
    assert str(caught.value) == f"TOKENGUARD[{key!r}] is no setting but an argument: TokenGuard(app, {argument})"


def test_without_any_validator_it_says_where_to_put_one() -> None:
    with pytest.raises(ConfigurationError, match=r'no validator: .* app\.config\["TOKENGUARD"\] = validator'):
        TokenGuard(Flask("tests"))


@pytest.mark.parametrize("validator", ["https://as.example.com", object(), TokenValidator], ids=["url", "obj", "class"])
def test_a_validator_that_is_none_is_refused_at_construction(validator: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass a TokenValidator"):
        TokenGuard(None, validator)
    app = Flask("tests")
    app.config["TOKENGUARD"] = validator
    with pytest.raises(ConfigurationError, match="pass a TokenValidator"):
        TokenGuard(app)


@pytest.mark.parametrize("required", ["", None, 0, 1, "no"], ids=repr)
def test_whether_a_token_is_required_is_said_by_a_bool(required: Any) -> None:
    with pytest.raises(ConfigurationError, match="True or False"):
        TokenGuard(required=required)


async def _async_issuer_of(request: object) -> str:
    raise AssertionError


@pytest.mark.parametrize("issuer_of", ["https://as.example.com", _async_issuer_of], ids=["text", "async"])
def test_the_issuer_of_an_address_is_told_by_a_plain_function(issuer_of: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a plain function"):
        TokenGuard(issuer_of=issuer_of)


def test_an_app_is_a_flask_application_and_is_guarded_once() -> None:
    misuse: Any = TokenGuard
    with pytest.raises(ConfigurationError, match="takes a Flask application first"):
        misuse(make_validator())
    with pytest.raises(ConfigurationError, match="takes a Flask application first"):
        misuse(make_app().wsgi_app, make_validator())
    with pytest.raises(ConfigurationError, match="has a TokenGuard already"):
        TokenGuard(make_app(), make_validator())


def test_an_app_whose_guard_came_too_late_is_not_open() -> None:
    app = Flask("tests", static_folder=None)
    require_token(app.get("/")(lambda: "open"))
    assert answers(app, None) == [500]
    with pytest.raises(AssertionError, match="already handled its first request"):  # Flask's
        TokenGuard(app, make_validator())
    assert answers(app, None, GOOD) == [500, 500]


def test_a_token_is_good_only_at_the_address_of_its_issuer() -> None:
    def issuer_of(request: Any) -> str | None:
        return {"ours": "https://as.example.com", "theirs": "https://x.example.com"}.get(request.view_args["tenant"])

    app = make_app(issuer_of=issuer_of)

    @app.get("/<tenant>")
    @require_token
    def view(tenant: str) -> str:
        return tenant

    @app.get("/public/<tenant>")
    @public
    def anybody(tenant: str) -> str:
        return tenant

    assert answers(app, GOOD, None, path="/ours") == [200, 401]
    for path in ("/theirs", "/nobodys"):
        assert answers(app, GOOD, None, path=path) == [401, 401]
    assert answers(app, GOOD, path="/public/theirs") == [200]


def test_one_extension_may_guard_several_apps_each_with_its_own_validator() -> None:
    guard = TokenGuard(required=True)
    apps = [Flask("one", static_folder=None), Flask("two", static_folder=None)]
    for app, audience in zip(apps, ("https://api.example.com", "https://other.example.com"), strict=True):
        one = make_validator()
        (issuer, _) = (trust.issuer for trust in one._core.trust.named.values())
        app.config["TOKENGUARD"] = TokenValidator(issuer, audience=audience, clock=lambda: NOW)
        app.add_url_rule("/", "view", hello)
        guard.init_app(app)
    other = mint(aud="https://other.example.com", sub="other")
    assert answers(apps[0], GOOD, other, None) == [200, 401, 401]
    assert answers(apps[1], GOOD, other, None) == [401, 200, 401]
    assert get(apps[1]).headers["WWW-Authenticate"] == 'Bearer realm="https://other.example.com"'


# What comes first


def test_the_check_runs_before_all_functions_of_the_application_whenever_they_were_registered() -> None:
    calls: list[str] = []
    app = Flask("tests", static_folder=None)
    app.before_request(lambda: calls.append("before the extension"))
    blueprint = Blueprint("api", "tests")
    blueprint.before_request(lambda: calls.append("blueprint"))
    blueprint.add_url_rule("/", "view", hello)
    app.register_blueprint(blueprint)
    TokenGuard(app, make_validator(), required=True)
    app.before_request(lambda: calls.append("after the extension"))
    assert answers(app, None, FORGED) == [401, 401]
    assert answers(app, None, path="/nowhere") == [401]
    assert not calls
    assert answers(app, GOOD) == [200]
    assert calls == ["before the extension", "after the extension", "blueprint"]


def test_a_function_before_the_extension_that_answers_by_itself_is_no_way_around() -> None:
    app = Flask("tests", static_folder=None)
    app.before_request(lambda: "answered")
    TokenGuard(app, make_validator(), required=True)
    assert answers(app, None, FORGED, GOOD) == [401, 401, 200]


def test_the_check_runs_before_the_values_of_the_url_are_preprocessed() -> None:
    seen: list[object] = []
    for first in (True, False):
        app = Flask("tests", static_folder=None)
        if first:
            app.url_value_preprocessor(lambda endpoint, values: seen.append(endpoint))
        TokenGuard(app, make_validator(), required=True)
        if not first:
            app.url_value_preprocessor(lambda endpoint, values: seen.append(endpoint))
        assert (answers(app, None, FORGED), seen) == ([401, 401], [])
        assert (answers(app, GOOD), seen.pop()) == ([404], None)


def test_converters_run_with_the_matching_of_the_url_and_before_any_check() -> None:
    # It is how Flask works; docs/frameworks/flask.md says what follows.
    calls: list[str] = []

    class Noting(BaseConverter):
        def to_python(self, value: str) -> str:
            calls.append(value)
            return value

    app = make_app(required=True)
    app.url_map.converters["noting"] = Noting
    app.add_url_rule("/<noting:name>", "view", lambda name: name)
    assert answers(app, None, path="/x") == [401]
    assert calls == ["x"]


def test_a_blueprint_may_ask_for_all_of_its_views_at_once() -> None:
    api = Blueprint("api", "tests", url_prefix="/api")

    @api.before_request
    @READ
    def guard() -> None: ...

    api.add_url_rule("/view", "view", hello)
    outer = Blueprint("outer", "tests", url_prefix="/outer")
    outer.register_blueprint(api)
    app = make_app()
    app.register_blueprint(outer)
    app.register_blueprint(api, name="again")
    app.add_url_rule("/open", "open", lambda: "open")
    for path in ("/api/view", "/outer/api/view"):
        assert answers(app, GOOD, UNSCOPED, None, path=path) == [200, 403, 401]
    assert answers(app, None, path="/open") == [200]


class _Flask32(Flask):
    """As Flask 3.2 will: each step is handed the context."""

    def full_dispatch_request(self) -> Response:
        context, steps = object(), vars(self)
        response = steps["preprocess_request"](context)
        if response is None:
            response = steps["dispatch_request"](context)
        return cast(Response, steps["process_response"](context, self.make_response(response)))

    def preprocess_request(self, *args: Any) -> Any:
        (_,) = args
        return super().preprocess_request()

    def dispatch_request(self, *args: Any) -> Any:
        (_,) = args
        return super().dispatch_request()

    def process_response(self, *args: Any) -> Response:
        (_, response) = args
        return super().process_response(response)

    def handle_user_exception(self, *args: Any) -> Any:
        (_, error) = args
        return super().handle_user_exception(error)


def test_the_steps_may_be_handed_a_context_as_in_flask_3_2() -> None:
    def denied() -> str:
        raise AccessDenied

    app = _Flask32("tests", static_folder=None)
    TokenGuard(app, make_validator())
    app.add_url_rule("/", "view", READ(_sync()))
    app.add_url_rule("/denied", "denied", denied)
    assert answers(app, GOOD, UNSCOPED, FORGED, None) == [200, 403, 401, 401]
    assert answers(app, None, path="/denied") == [403]


def test_the_session_and_other_extensions_see_the_request_as_ever() -> None:
    app = make_app()
    app.secret_key = "for tests"

    @app.get("/")
    @require_token
    def view() -> str:
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])

    client = app.test_client()
    assert [client.get("/", headers=with_token()).text for _ in range(2)] == ["1", "2"]
    assert client.get("/").status_code == 401


# What views raise, and error handlers

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


def _holds(found: TestResponse, status: int, challenge: str | None) -> None:
    """Whatever became of its body, it is a refusal."""
    assert found.status_code == status
    assert found.headers.get("WWW-Authenticate", "").startswith(challenge or "")
    assert len(found.headers.getlist("WWW-Authenticate")) == (challenge is not None)
    assert found.headers.getlist("Cache-Control") == ["no-store"]
    assert found.headers.getlist("Retry-After") == (["9"] if status == 503 else [])
    assert "Location" not in found.headers


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("decorate", [lambda f: f, require_token, READ], ids=["no", "token", "scopes"])
def test_a_refusal_that_a_view_raises_is_the_answer(
    decorate: Decorator, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for make, status, challenge in REFUSALS:

        def view(make: Callable[[], RequestRefused] = make) -> str:
            raise make()

        async def async_view(make: Callable[[], RequestRefused] = make) -> str:
            raise make()

        caplog.clear()
        found = get(with_view(decorate(async_view if asynchronous else view)), GOOD)
        _holds(found, status, challenge)
        assert found.content_type == "application/json"
        assert "secret" not in f"{found.headers} {found.text}"
        refused = [record for record in caplog.records if record.name == "tokenguard"]
        assert len(refused) == (0 if make is MissingToken else 1)  # what comes without a token is logged at DEBUG
        assert len(caplog.records) == len(refused)  # Flask logs errors, and this is none


def _styled(error: Exception) -> Any:
    return "<p>No.</p>", 200, {"WWW-Authenticate": "Negotiate", "Cache-Control": "public", "Retry-After": "0"}


def _styled_with_status(error: RequestRefused) -> Any:
    return "<p>No.</p>", error.status, error.headers


def _plain(error: Exception) -> Any:
    return "<p>No.</p>"


def _redirecting(error: Exception) -> Any:
    return redirect("https://www.example.com/login")


def _raising(error: Exception) -> Any:
    raise ValueError("a bug in an error handler")


def _aborting(error: Exception) -> Any:
    abort(404)


def _nothing(error: Exception) -> Any: ...


async def _styled_async(error: Exception) -> Any:
    return make_response("<p>No.</p>", 200)


HANDLERS = {
    "styled": _styled,
    "with its status": _styled_with_status,
    "plain": _plain,
    "redirecting": _redirecting,
    "raising": _raising,
    "aborting": _aborting,
    "forgetful": _nothing,
    "async": _styled_async,
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
@pytest.mark.parametrize("kind", [RequestRefused, None], ids=["the base", "its own"])
@pytest.mark.parametrize("first", [True, False], ids=["before the extension", "after the extension"])
@pytest.mark.parametrize("of_blueprint", [True, False], ids=["blueprint", "app"])
def test_an_error_handler_may_restyle_the_body_of_a_refusal_and_nothing_else(
    handler: Any, kind: Any, first: bool, of_blueprint: bool
) -> None:
    def views() -> Iterator[tuple[Endpoint, str | None, type[RequestRefused], int, str | None]]:
        for make, status, challenge in REFUSALS:

            def view(make: Callable[[], RequestRefused] = make) -> str:
                raise make()

            yield view, GOOD, type(make()), status, challenge
        yield require_token(_sync()), None, MissingToken, 401, BARE
        yield READ(_sync()), UNSCOPED, RequestRefused.__subclasses__()[3], 403, LACKING_READ
        yield _sync(), FORGED, RequestRefused.__subclasses__()[2], 401, f'{BARE}, error="invalid_token"'

    for view, token, own, status, challenge in views():
        app = Flask("tests", static_folder=None)
        blueprint = Blueprint("api", "tests")
        (blueprint if of_blueprint else app).register_error_handler(kind or RequestRefused, handler)
        if kind is None:
            (blueprint if of_blueprint else app).register_error_handler(own, handler)
        blueprint.add_url_rule("/", "view", view)
        if first:
            app.register_blueprint(blueprint)
        TokenGuard(app, make_validator())
        if not first:
            app.register_blueprint(blueprint)
        found = get(app, token)
        _holds(found, status, challenge)
        if handler in (_styled, _styled_with_status, _plain, _styled_async):
            assert found.text == "<p>No.</p>"
        if handler in (_raising, _nothing):
            assert "Internal Server Error" in found.text  # Flask's page; and its log says why


def test_an_error_handler_that_returns_nothing_does_not_let_the_request_go_on() -> None:
    calls: list[str] = []
    app = with_view(_noting(calls)(lambda: "open"), required=True)
    app.before_request(lambda: calls.append("before the request"))
    app.register_error_handler(RequestRefused, _nothing)
    assert (answers(app, None, FORGED), calls) == ([401, 401], [])


def test_a_refusal_in_a_function_before_the_request_is_one_whatever_its_handler_says() -> None:
    app = with_view(lambda: "open")

    @app.before_request
    def suspended() -> None:
        raise AccessDenied

    app.register_error_handler(RequestRefused, _styled)
    _holds(get(app), 403, f'{BARE}, error="insufficient_scope"')


def _handling_errors(app: Flask) -> None:
    """As Flask-RESTful and Flask-RESTX do: of what is no HTTPException they make a 500, and say so in the log."""

    def handle(error: Exception) -> Any:
        app.logger.error("Internal Server Error")
        return make_response({"message": "Internal Server Error"}, 500)

    vars(app)["handle_user_exception"] = handle


class Resource(MethodView):
    """As theirs: each request decorates the methods, bound."""

    method_decorators: tuple[Decorator, ...] = ()

    def dispatch_request(self, **kwargs: Any) -> Any:
        method: Endpoint = getattr(self, request.method.lower())
        for decorator in self.method_decorators:
            method = decorator(method)
        return method(**kwargs)


@pytest.mark.parametrize("first", [True, False], ids=["before the extension", "after the extension"])
def test_extensions_that_handle_errors_themselves_change_no_answer(
    first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class One(Resource):
        @READ
        def get(self) -> str:
            return hello()

        def post(self) -> str:
            raise AccessDenied

    class All(Resource):
        method_decorators = (READ,)

        def get(self) -> str:
            return hello()

    app = Flask("tests", static_folder=None)
    if first:
        _handling_errors(app)
    TokenGuard(app, make_validator())
    if not first:
        _handling_errors(app)
    app.add_url_rule("/one", view_func=One.as_view("one"))
    app.add_url_rule("/all", view_func=All.as_view("all"))
    for path in ("/one", "/all"):
        assert answers(app, GOOD, UNSCOPED, FORGED, None, path=path) == [200, 403, 401, 401]
        assert get(app, None, path).data == b"{}"
    assert get(app, GOOD, "/one", method="POST").status_code == 403
    assert [record for record in caplog.records if record.name != "tokenguard"] == []


def test_what_decorates_for_each_request_leaves_no_more_marks_with_each() -> None:
    class All(Resource):
        method_decorators = (READ, require_token)

        def get(self) -> str:
            return hello()

    app = with_view(All.as_view("all"))
    assert answers(app, GOOD, GOOD, GOOD) == [200] * 3
    assert len(vars(All.get)["_tokenguard_asked"]) == 2


def test_a_handler_of_all_exceptions_leaves_refusals_to_us() -> None:
    for first in (True, False):
        app = Flask("tests", static_folder=None)
        if first:
            app.register_error_handler(Exception, _styled)
        TokenGuard(app, make_validator(), required=True)
        if not first:
            app.register_error_handler(Exception, _styled)
        found = get(app)
        _holds(found, 401, BARE)
        assert found.data == b"{}"
        assert get(app, GOOD).text == "<p>No.</p>"  # of the 404


def test_what_an_error_handler_raises_is_shown_in_tests_and_in_the_debugger() -> None:
    app = with_view(hello, required=True)
    app.register_error_handler(RequestRefused, _raising)
    app.testing = True
    with pytest.raises(ValueError, match="a bug in an error handler"):
        get(app)


def test_functions_after_the_request_see_a_refusal_and_do_not_undo_it() -> None:
    seen = []

    def undo(response: Response) -> Response:
        seen.append(response.status_code)
        response.status_code = 200
        del response.headers["WWW-Authenticate"]
        response.headers["X-Request-Id"] = "7"
        return response

    def replace(response: Response) -> Response:
        return Response("all is well")

    def break_off(response: Response) -> Response:
        raise ValueError("a bug after the request")

    for first in (True, False):
        for after in (undo, replace, break_off):
            app = Flask("tests", static_folder=None)
            if first:
                app.after_request(after)
            TokenGuard(app, make_validator(), required=True)
            app.add_url_rule("/", "view", hello)
            if not first:
                app.after_request(after)
            if after is break_off:
                assert answers(app, None, GOOD) == [500, 500]
                continue
            found = get(app)
            _holds(found, 401, BARE)
            assert found.headers.get("X-Request-Id") == ("7" if after is undo else None)
            assert get(app, GOOD).status_code == 200
    assert seen == [401, 200] * 2


def test_a_refusal_that_was_dealt_with_is_not_held_against_the_response() -> None:
    def view() -> str:
        for make, _, _ in REFUSALS:
            with pytest.raises(RequestRefused):
                raise make()
        return "dealt with"

    assert get(with_view(view)).text == "dealt with"


def test_refusals_of_an_app_that_another_one_calls_are_its_own() -> None:
    inner = with_view(hello, required=True)

    def calling() -> Any:
        exchange = Exchange()
        return f"inner: {exchange.run(inner.wsgi_app, request.environ).status}"

    found = get(with_view(calling))
    assert (found.status_code, found.text) == (200, "inner: 401")


def test_the_token_of_an_app_is_not_touched_by_another_one_that_it_calls() -> None:
    inner = with_view(public(lambda: "public"), required=True)

    def calling() -> Any:
        status = Exchange().run(inner.wsgi_app, request.environ).status
        return f"{status} {current_token.subject}"

    assert get(with_view(READ(calling)), GOOD).text == "200 user-1"


def test_other_exceptions_of_a_view_are_flasks_business() -> None:
    @require_token
    def teapot() -> str:
        abort(418)

    @require_token
    async def broken() -> str:
        raise ValueError("a bug")

    assert answers(with_view(teapot), GOOD) == [418]
    assert answers(with_view(broken), GOOD) == [500]
    app = with_view(broken)
    app.testing = True
    with pytest.raises(ValueError, match="a bug"):
        get(app, GOOD)


def test_a_broken_check_or_issuer_of_lets_nothing_through() -> None:
    def broken(_: object) -> Any:
        raise ValueError("x")

    (issuer, _) = (trust.issuer for trust in make_validator()._core.trust.named.values())
    validator = TokenValidator(issuer, audience="https://api.example.com", checks=(broken,), clock=lambda: NOW)
    app = Flask("tests", static_folder=None)
    app.add_url_rule("/", "view", lambda: "open")
    TokenGuard(app, validator)
    assert answers(app, GOOD, None) == [500, 200]
    assert answers(with_view(lambda: "open", issuer_of=broken), GOOD, None) == [500, 200]


def test_a_refusal_in_the_midst_of_a_stream_breaks_it_off() -> None:
    @require_token
    def view() -> Iterator[str]:
        yield "one"
        raise AccessDenied

    app = with_view(view)
    exchange_body = app(environ_of("/", bearer(GOOD)), lambda status, headers, exc_info=None: lambda data: None)
    chunks = iter(exchange_body)
    assert next(chunks) == b"one"
    with pytest.raises(AccessDenied):
        next(chunks)


# Mounts, threads, slow issuers


def test_an_app_is_guarded_wherever_it_is_mounted() -> None:
    app = make_app(required=True)
    app.add_url_rule("/health", "health", public(lambda: url_for("health")))
    app.add_url_rule("/view", "view", READ(_sync()))
    mounted = Client(DispatcherMiddleware(Recorder(), {"/api/v1": app}))
    assert mounted.get("/api/v1/health").text == "/api/v1/health"
    assert mounted.get("/api/v1/view").status_code == 401
    assert mounted.get("/api/v1/nowhere").status_code == 401
    assert mounted.get("/api/v1").status_code == 401
    assert mounted.get("/api/v1/view", headers=with_token()).text == "user-1"
    assert mounted.get("/view").status_code == 204
    proxied: Any = ProxyFix(app.wsgi_app, x_prefix=1)
    assert Client(proxied).get("/health", headers={"X-Forwarded-Prefix": "/p"}).text == "/p/health"
    assert Client(proxied).get("/view", headers={"X-Forwarded-Prefix": "/health"}).status_code == 401


def test_requests_at_the_same_time_do_not_mix() -> None:
    together = threading.Barrier(3, timeout=10)

    def view() -> str:
        together.wait()
        found = current_token.subject or ""
        together.wait()
        return f"{found} {current_token.subject}"

    async def async_view() -> str:
        return view()

    for one in (view, async_view):
        app = with_view(require_token(one))
        with ThreadPoolExecutor(3) as pool:
            for _ in range(10):
                found = list(pool.map(lambda token, app=app: get(app, token).text, [GOOD, READ_WRITE, ADMIN]))
                assert found == ["user-1 user-1", "user-2 user-2", "admin-1 admin-1"]


def test_requests_that_share_an_application_context_do_not_share_a_token() -> None:
    # In a pushed context Flask's `g` outlives a request: nothing of ours stands there.
    app = with_view(hello)
    with app.app_context():
        assert get(app, GOOD).text == "user-1"
        assert [name for name in g if "token" in name] == []
        assert answers(app, None) == [401]


def test_a_client_that_keeps_its_context_keeps_the_token_of_its_last_request() -> None:
    client: FlaskClient = with_view(hello).test_client()
    with client:
        client.get("/", headers=with_token(READ_WRITE))
        assert current_token.subject == "user-2"


@pytest.mark.real_server
def test_while_an_issuer_is_slow_a_request_waits_no_longer_than_its_patience() -> None:
    with LocalIssuer() as issuer:
        policy = KeyPolicy(connect_timeout=5, total_timeout=10, patience=0.05)
        with TokenValidator(Issuer(issuer.url, keys=policy), audience=issuer.audience) as validator:
            app = Flask("tests", static_folder=None)
            app.add_url_rule("/", "view", hello)
            TokenGuard(app, validator, required=True)
            token = issuer.mint()
            issuer.fail(Fault.HANG)  # until it is told otherwise: only our patience ends this wait
            found = get(app, token)
            assert (found.status_code, found.data) == (503, b'{"error": "temporarily_unavailable"}')
            assert "Retry-After" in found.headers
            issuer.recover()
            validator.warm_up()
            assert get(app, token).text == "user-1"


# Logs


def test_no_part_of_a_token_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    # L01: the whole table at DEBUG, from every logger
    caplog.set_level(logging.DEBUG)
    apps = applications()
    for case in CASES:
        serve(apps[case.application], environ_of(case.path, case.headers, method=case.method, body=case.body))
    lines = [
        "\n".join([record.getMessage(), repr(record.__dict__), logging.Formatter().format(record)])
        for record in caplog.records
    ]
    assert len(lines) > len(REFUSED) / 2
    assert fragments("\n".join(lines), *CASES) == []


def test_a_refusal_is_logged_once_and_an_accepted_request_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    app = with_view(READ(_sync()))
    for token, lines in ((GOOD, 0), (UNSCOPED, 1), (FORGED, 1), (None, 1)):
        caplog.clear()
        get(app, token)
        assert len(caplog.records) == lines
