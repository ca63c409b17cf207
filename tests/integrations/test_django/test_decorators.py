"""What views ask for: functions, classes, partials, in any order with Django's own decorators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.decorators import login_not_required, login_required, permission_required
from django.db.transaction import atomic, non_atomic_requests
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, require_GET, require_http_methods
from django.views.decorators.vary import vary_on_headers

from tests.integrations.behaviour import ADMIN, AUDIENCE, FORGED, GOOD, READ_WRITE, UNSCOPED, bearer
from tests.integrations.test_django.conftest import Ask, Configured
from tests.integrations.test_django.project import GUARD
from tokenguard import ConfigurationError
from tokenguard.integrations.django import get_token, public, require_scopes, require_token

AnyView = Callable[..., Any]

BARE = f'Bearer realm="{AUDIENCE}"'
ALL_BAD = [401, 401, 403]  # of the requests of `refusals`


def sync_view(request: HttpRequest, *, extra: str = "") -> HttpResponse:
    return HttpResponse((get_token(request).subject or "") + extra)


async def async_view(request: HttpRequest, *, extra: str = "") -> HttpResponse:
    return sync_view(request, extra=extra)


class SyncPage(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return sync_view(request)


class AsyncPage(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await async_view(request)


EITHER_KIND = pytest.mark.parametrize("view", [sync_view, async_view], ids=["sync", "async"])
EITHER_CLASS = pytest.mark.parametrize("page", [SyncPage, AsyncPage], ids=["sync", "async"])


@pytest.fixture
def answers(ask: Ask, configured: Configured) -> Callable[..., list[int]]:
    """The status of a view for each of some tokens; None is none."""

    def answers(view: AnyView, *tokens: str | None, required: bool = False) -> list[int]:
        configured(TOKENGUARD={"REQUIRED": required}, MIDDLEWARE=[GUARD], ROOT_URLCONF=(path("", view),))
        return [ask("/", () if token is None else bearer(token)).status for token in tokens]

    return answers


Answers = Callable[..., list[int]]


# Functions


@EITHER_KIND
def test_a_view_that_requires_scopes_answers_only_tokens_that_have_them(view: AnyView, answers: Answers) -> None:
    one = require_scopes("read:users")(view)
    assert answers(one, GOOD, READ_WRITE, UNSCOPED, ADMIN, FORGED, None) == [200, 200, 403, 403, 401, 401]
    assert answers(require_scopes("read:users", "write:users")(view), READ_WRITE, GOOD) == [200, 403]
    assert answers(require_scopes(any_of=["admin", "read:users"])(view), GOOD, ADMIN, UNSCOPED) == [200, 200, 403]


@EITHER_KIND
def test_a_view_that_requires_a_token_answers_any_valid_one(view: AnyView, answers: Answers) -> None:
    for required in (True, False):
        found = answers(require_token(view), GOOD, UNSCOPED, FORGED, None, required=required)
        assert found == [200, 200, 401, 401]


@EITHER_KIND
def test_without_the_middleware_a_decorated_view_is_never_open(
    view: AnyView, ask: Ask, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    for decorated in (require_token(view), require_scopes("read:users")(view), view):
        configured(MIDDLEWARE=[], ROOT_URLCONF=(path("", decorated),))
        assert [ask("/").status, ask("/", bearer(GOOD)).status] == [500, 500]
        assert "add TokenGuardMiddleware" in str(caplog.records[-1].exc_info)


@EITHER_KIND
def test_a_decorated_view_keeps_its_name_kind_and_signature(view: AnyView) -> None:
    for decorated in (require_token(view), require_scopes("a")(view), public(functools.wraps(view)(_wrapper(view)))):
        assert decorated.__name__ == view.__name__
        assert inspect.signature(decorated) == inspect.signature(view)
    assert iscoroutinefunction(require_token(view)) is iscoroutinefunction(view)


def _wrapper(view: AnyView) -> AnyView:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


@EITHER_KIND
def test_partials_are_views_too(view: AnyView, ask: Ask, configured: Configured) -> None:
    for decorated in (
        require_token(functools.partial(view, extra="!")),
        functools.partial(require_token(view), extra="!"),
    ):
        configured(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=(path("", decorated),))
        assert ask("/", bearer(GOOD)).body == b"user-1!"
        assert ask("/").status == 401


def test_a_bound_method_is_public_where_it_is_declared_so(answers: Answers) -> None:
    class Site:
        def page(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

        async def async_page(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

    for page in (Site().page, Site().async_page):
        assert answers(page, None, required=True) == [401]
        assert answers(public(page), None, FORGED, required=True) == [200, 200]
        assert answers(require_token(page), None, GOOD) == [401, 200]


def test_callable_objects_are_views_too(answers: Answers) -> None:
    @dataclass
    class Page:
        def __call__(self, request: HttpRequest) -> HttpResponse:
            return sync_view(request)

    assert answers(require_token(Page()), GOOD, None) == [200, 401]


def test_the_request_may_be_passed_by_name() -> None:
    request = HttpRequest()
    for decorated in (require_token(sync_view), require_scopes("a")(sync_view)):
        with pytest.raises(ConfigurationError, match="nothing validates one"):
            decorated(request=request)
        for args in ((), ("no request",)):
            with pytest.raises(ConfigurationError, match=r"sync_view was called with .* in place of a request"):
                decorated(*args)


# Django's own decorators, on either side

DJANGOS: dict[str, Any] = {
    "csrf_exempt": csrf_exempt,
    "require_GET": require_GET,
    "require_http_methods": require_http_methods(["GET"]),
    "never_cache": never_cache,
    "cache_control": cache_control(private=True),
    "vary_on_headers": vary_on_headers("Cookie"),
    "gzip_page": gzip_page,
    "sensitive_post_parameters": sensitive_post_parameters(),
    "sensitive_variables": sensitive_variables(),
    "cache_page": cache_page(60),
    "non_atomic_requests": non_atomic_requests,
    "xframe_options_deny": xframe_options_deny,
    "condition": condition(etag_func=lambda *_, **__: '"tag"'),
}


@EITHER_KIND
@pytest.mark.parametrize("theirs", DJANGOS.values(), ids=DJANGOS)
def test_the_check_runs_on_either_side_of_djangos_decorators(
    theirs: Any, view: AnyView, answers: Answers, ask: Ask
) -> None:
    ours = require_scopes("read:users")
    for decorated in (ours(theirs(_anew(view))), theirs(ours(_anew(view)))):
        assert answers(decorated, None, FORGED, UNSCOPED) == ALL_BAD
        found = ask("/", bearer(GOOD))
        assert (found.status, found.body) == (200, b"user-1")
        assert "Authorization" in (found.header("vary") or "")
        assert getattr(decorated, "csrf_exempt", False) is (theirs is csrf_exempt)


@dataclass
class Account:
    is_active = is_authenticated = True

    def has_perms(self, names: Any) -> bool:
        return True

    async def ahas_perms(self, names: Any) -> bool:
        return True


class OfSessions:
    """As AuthenticationMiddleware, for somebody without a session."""

    def __init__(self, get_response: AnyView) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from django.contrib.auth.models import AnonymousUser

        request.user = AnonymousUser()

        async def auser() -> object:
            return request.user

        request.auser = auser
        response: HttpResponse = self.get_response(request)
        return response


@EITHER_KIND
@pytest.mark.parametrize("theirs", [login_required, permission_required("auth.view_user")], ids=["login", "permission"])
def test_a_view_that_asks_for_a_user_too_is_reached_by_a_token_that_says_who(
    theirs: Any, view: AnyView, ask: Ask, configured: Configured
) -> None:
    ours = require_scopes("read:users")
    for user, outcome in ((None, 302), (lambda token: Account(), 200)):
        for decorated, refused in ((ours(theirs(_anew(view))), 401), (theirs(ours(_anew(view))), 302)):
            configured(
                TOKENGUARD={"REQUIRED": False, "USER": user},
                MIDDLEWARE=[f"{__name__}.OfSessions", GUARD],
                ROOT_URLCONF=(path("", decorated),),
            )
            assert [ask("/").status, ask("/", bearer(FORGED)).status] == [refused, 401]
            assert ask("/", bearer(GOOD)).status == outcome


LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@EITHER_KIND
def test_a_view_stands_beside_pages_that_need_a_login(view: AnyView, ask: Ask, configured: Configured) -> None:
    page, users = _anew(view), login_not_required(require_token(_anew(view)))
    for middleware in ([GUARD, LOGIN_REQUIRED], [LOGIN_REQUIRED, GUARD]):
        configured(
            TOKENGUARD={"REQUIRED": False},
            MIDDLEWARE=[f"{__name__}.OfSessions", *middleware],
            ROOT_URLCONF=(path("users", users), path("page", page)),
        )
        assert [ask("/users").status, ask("/users", bearer(GOOD)).status] == [401, 200]
        assert [ask("/page").status, ask("/page", bearer(GOOD)).status, ask("/page", bearer(FORGED)).status] == [
            302,
            302,
            401,
        ]


@pytest.mark.usefixtures("database")
def test_a_transaction_is_begun_on_either_side(answers: Answers) -> None:
    for decorated in (atomic(require_token(_anew(sync_view))), require_token(atomic(_anew(sync_view)))):
        assert answers(decorated, GOOD, FORGED, None) == [200, 401, 401]


def test_a_decorator_may_make_a_view_of_a_generator(answers: Answers, ask: Ask) -> None:
    ran: list[str] = []

    def rows(request: HttpRequest) -> Iterator[bytes]:
        ran.append("rows")
        yield b"row"

    def streaming(generate: Callable[..., Iterator[bytes]]) -> AnyView:
        @functools.wraps(generate)
        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(b"".join(generate(request)))

        return view

    assert answers(require_token(csrf_exempt(streaming(rows))), None, FORGED) == [401, 401]
    assert ran == []
    assert ask("/", bearer(GOOD)).body == b"row"


def _anew(view: AnyView) -> AnyView:
    if iscoroutinefunction(view):

        async def async_copy(request: HttpRequest) -> Any:
            return await view(request)

        return async_copy

    def copy(request: HttpRequest) -> Any:
        return view(request)

    return copy


@EITHER_KIND
def test_of_stacked_decorators_each_must_be_satisfied(view: AnyView, answers: Answers) -> None:
    for decorated in (
        require_scopes("read:users")(require_scopes("write:users")(view)),
        require_token(require_scopes("read:users", "write:users")(view)),
        require_scopes("read:users")(require_token(require_scopes("write:users")(view))),
    ):
        assert answers(decorated, READ_WRITE, GOOD, UNSCOPED, None) == [200, 403, 403, 401]


# Classes


def _on_methods(page: type[View]) -> AnyView:
    class Decorated(page):
        get = require_scopes("read:users")(page.get)

    return Decorated.as_view()


def _on_methods_by_djangos_way(page: type[View]) -> AnyView:
    return method_decorator(require_scopes("read:users"), name="get")(type("Decorated", (page,), {})).as_view()


def _on_dispatch(page: type[View]) -> AnyView:
    class Decorated(page):
        @require_scopes("read:users")
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(request, *args, **kwargs)

    return Decorated.as_view()


def _on_dispatch_by_djangos_way(page: type[View]) -> AnyView:
    return method_decorator(require_scopes("read:users"), name="dispatch")(type("Decorated", (page,), {})).as_view()


def _on_dispatch_among_others(page: type[View]) -> AnyView:
    decorators = [never_cache, require_scopes("read:users"), csrf_exempt]
    if page is AsyncPage:  # whose dispatch never_cache does not understand
        decorators.remove(never_cache)
    return method_decorator(decorators, name="dispatch")(type("Decorated", (page,), {})).as_view()


def _on_the_view(page: type[View]) -> AnyView:
    return require_scopes("read:users")(page.as_view())


@EITHER_CLASS
@pytest.mark.parametrize(
    "decorate",
    [
        _on_methods,
        _on_methods_by_djangos_way,
        _on_dispatch,
        _on_dispatch_by_djangos_way,
        _on_dispatch_among_others,
        _on_the_view,
    ],
)
def test_classes_are_guarded_by_their_methods_their_dispatch_or_as_a_view(
    decorate: Callable[[type[View]], AnyView], page: type[View], answers: Answers, ask: Ask
) -> None:
    assert answers(decorate(page), None, FORGED, UNSCOPED) == ALL_BAD
    found = ask("/", bearer(GOOD))
    assert (found.status, found.body, found.header("vary")) == (200, b"user-1", "Authorization")
    if decorate not in (_on_methods, _on_methods_by_djangos_way):
        assert [ask("/", method="OPTIONS").status, ask("/", bearer(GOOD), method="POST").status] == [401, 405]


@EITHER_CLASS
def test_a_class_is_made_public_by_its_dispatch_or_as_a_view(
    page: type[View], ask: Ask, configured: Configured
) -> None:
    members: dict[str, Any]
    if page is SyncPage:
        members = {"get": lambda self, request: HttpResponse("public")}
    else:

        async def get(self: Any, request: HttpRequest) -> HttpResponse:
            return HttpResponse("public")

        members = {"get": get}
    plain: Any = type("Public", (View,), dict(members))
    decorated = method_decorator(public, name="dispatch")(type("Public", (View,), members))
    for view in (decorated.as_view(), public(plain.as_view()), csrf_exempt(public(plain.as_view()))):
        configured(ROOT_URLCONF=(path("", view), path("other", page.as_view())))
        assert (ask("/").body, ask("/other").status) == (b"public", 401)


def test_a_subclass_with_a_dispatch_of_its_own_is_not_public(ask: Ask, configured: Configured) -> None:
    base: Any = method_decorator(public, name="dispatch")(type("Public", (SyncPage,), {}))

    class Private(base):
        def dispatch(self, request: HttpRequest) -> Any:
            return super().dispatch(request)

    configured(ROOT_URLCONF=(path("", Private.as_view()), path("base", base.as_view())))
    assert ask("/").status == 401


# What cannot be guarded


def _generator(request: HttpRequest) -> Iterator[bytes]:
    yield b""


async def _async_generator(request: HttpRequest) -> AsyncIterator[bytes]:
    yield b""


class _Stray:
    @staticmethod
    def static(request: HttpRequest) -> None: ...


UNFIT: tuple[tuple[Any, str], ...] = (
    (_generator, "is a generator: a view returns a response"),
    (_async_generator, "is a generator"),
    (functools.partial(_generator), "is a generator"),
    (SyncPage, r'SyncPage is no view: .*method_decorator\(require_token, name="dispatch"\)'),
    (vars(_Stray)["static"], "is no view"),
    ("users", "'users' is no view"),
    (lambda: None, r"<lambda> must take the request"),
    (lambda *, request: None, "must take the request"),
    (lambda **kwargs: None, "must take the request"),
)


@pytest.mark.parametrize("decorator", [require_token, require_scopes("a"), public], ids=["token", "scopes", "public"])
def test_what_cannot_be_guarded_is_refused_when_it_is_decorated(decorator: AnyView) -> None:
    for view, said in UNFIT:
        with pytest.raises(ConfigurationError, match=said):
            decorator(view)


def test_scopes_are_judged_when_they_are_written() -> None:
    with pytest.raises(ConfigurationError, match="require_scopes names no scope"):
        require_scopes()
    with pytest.raises(ConfigurationError, match="has its parentheses"):
        require_scopes(sync_view)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no single scope"):
        require_scopes("read:users write:users")


def test_a_view_is_public_or_asks_for_a_token_and_not_both() -> None:
    with pytest.raises(ConfigurationError, match="asks for a token and cannot be public too"):
        public(csrf_exempt(require_token(_anew(sync_view))))
    with pytest.raises(ConfigurationError, match="is public and cannot ask for a token too"):
        require_token(csrf_exempt(public(_anew(sync_view))))


def test_what_a_public_view_asks_for_all_the_same_it_never_gets(ask: Ask, configured: Configured) -> None:
    # By its dispatch and its method; nobody sees both at once. Closed for everybody, not open.
    class Page(View):
        @require_token
        def get(self, request: HttpRequest) -> HttpResponse:
            raise AssertionError

    configured(ROOT_URLCONF=(path("", public(Page.as_view())),))
    assert [ask("/").status, ask("/", bearer(GOOD)).status] == [401, 401]


# get_token


@EITHER_KIND
def test_get_token_without_a_token_is_refused_as_if_the_middleware_had(
    view: AnyView, ask: Ask, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    configured(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=(path("", view), path("public", public(_anew(view)))))
    caplog.set_level("DEBUG", logger="tokenguard")
    for where in ("/", "/public"):
        caplog.clear()
        found = ask(where)
        assert (found.status, found.header("www-authenticate"), found.body) == (401, BARE, b"{}")
        records = [record.getMessage() for record in caplog.records if record.name == "tokenguard"]
        assert records == ["refused with 401: no_token"]


def test_a_view_that_returns_nothing_gets_djangos_own_complaint(ask: Ask, configured: Configured) -> None:
    def view(request: HttpRequest) -> None: ...

    configured(ROOT_URLCONF=(path("", require_token(view)),))
    assert ask("/", bearer(GOOD)).status == 500
