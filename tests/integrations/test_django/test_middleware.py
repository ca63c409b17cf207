"""The middleware: what it lets run, what it tells, and how it stands among others."""

from __future__ import annotations

import dataclasses
import gc
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, SyncToAsync, iscoroutinefunction
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path, register_converter
from django.views.decorators.cache import cache_page

from tests.integrations.behaviour import (
    ADMIN,
    AUDIENCE,
    CASES,
    DENIED,
    EXPIRED,
    FORGED,
    GOOD,
    INVALID,
    ISSUER,
    READ_WRITE,
    REFUSED,
    UNDECIDABLE,
    UNSCOPED,
    bearer,
    fragments,
    leaks,
    make_validator,
)
from tests.integrations.test_django.conftest import Ask, Configured, ask_asgi, ask_wsgi
from tests.integrations.test_django.project import COMMON, GUARD
from tokenguard import AccessDenied, AccessToken, ConfigurationError, MissingToken
from tokenguard.integrations.django import TokenGuardMiddleware, get_token, public, require_scopes, require_token
from tokenguard.requirements import require_issuer

BARE = f'Bearer realm="{AUDIENCE}"'
HERE = __name__

ran: list[str] = []
"""What ran, of views and of middleware behind ours; who looks at it clears it first."""


def whoami(request: HttpRequest) -> HttpResponse:
    ran.append("view")
    try:
        return HttpResponse(get_token(request).subject)
    except MissingToken:
        return HttpResponse("anonymous")


async def whoami_async(request: HttpRequest) -> HttpResponse:
    return whoami(request)


def routes(*views: Callable[..., Any]) -> tuple[URLPattern, ...]:
    """Views at `/`, `/1`, `/2` and so on."""
    return tuple(path(str(number or ""), view) for number, view in enumerate(views))


EITHER_KIND = pytest.mark.parametrize("view", [whoami, whoami_async], ids=["sync", "async"])


class Noting:
    """Middleware that notes that it ran, and does what a subclass says."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            from asgiref.sync import markcoroutinefunction

            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        ran.append("middleware")
        self.change(request)
        return self.get_response(request)

    def change(self, request: HttpRequest) -> None: ...


class SyncOnly(Noting):
    async_capable = False


class OtherRoutes(Noting):
    """As django-hosts does."""

    def change(self, request: HttpRequest) -> None:
        request.urlconf = routes(whoami)


@public
def open_view(request: HttpRequest) -> HttpResponse:
    return whoami(request)


@public
async def open_view_async(request: HttpRequest) -> HttpResponse:
    return whoami(request)


class PublicRoutes(Noting):
    def change(self, request: HttpRequest) -> None:
        request.urlconf = routes(open_view)


class Session(Noting):
    """As AuthenticationMiddleware does."""

    def change(self, request: HttpRequest) -> None:
        request.user = "of the session"


class ServerError(Noting):
    """Middleware that answers every exception itself."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        return HttpResponse("sorry", status=500)


def named(middleware: type[object]) -> str:
    return f"{HERE}.{middleware.__qualname__}"


# What runs


@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
def test_nothing_behind_the_middleware_runs_for_a_request_that_it_refuses(
    ask: Ask, configured: Configured, required: bool
) -> None:
    configured(
        TOKENGUARD={"REQUIRED": required}, MIDDLEWARE=[GUARD, named(Noting)], ROOT_URLCONF=routes(require_token(whoami))
    )
    for headers in (bearer(FORGED), bearer(EXPIRED), *([()] if required else [])):
        ran.clear()
        assert ask("/", headers).status == 401
        assert ran == []
    assert ask("/", bearer(GOOD)).status == 200
    assert ran == ["middleware", "view"]


def test_an_unknown_url_tells_nobody_without_a_token_that_it_is_one(ask: Ask, configured: Configured) -> None:
    configured(ROOT_URLCONF=routes(whoami))
    refused = ask("/"), ask("/nowhere"), ask("/no/where/")
    assert [found.status for found in refused] == [401, 401, 401]
    assert len({tuple(found.headers) for found in refused}) == 1
    assert ask("/nowhere", bearer(GOOD)).status == 404


def test_where_a_token_is_optional_an_unknown_url_is_unknown(ask: Ask, configured: Configured) -> None:
    configured(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=routes(whoami))
    assert [ask("/nowhere", headers).status for headers in ((), bearer(GOOD), bearer(FORGED))] == [404, 404, 401]


def test_no_redirect_goes_out_before_a_token_is_looked_at(ask: Ask, configured: Configured) -> None:
    configured(MIDDLEWARE=[COMMON, GUARD], ROOT_URLCONF=(path("users/", whoami),))
    assert ask("/users").status == 401
    assert ask("/users", bearer(GOOD)).status == 301


@pytest.mark.parametrize("view", [open_view, open_view_async], ids=["sync", "async"])
def test_a_public_view_needs_no_token_and_none_is_looked_at(ask: Ask, configured: Configured, view: Any) -> None:
    for required in (True, False):
        configured(TOKENGUARD={"REQUIRED": required}, ROOT_URLCONF=routes(view))
        for headers in ((), bearer(GOOD), bearer(FORGED), ((b"Authorization", b"Bearer"),)):
            found = ask("/", headers)
            assert (found.status, found.body, found.header("vary")) == (200, b"anonymous", None)


def test_middleware_that_leads_elsewhere_opens_nothing(ask: Ask, configured: Configured) -> None:
    # What seemed to be public is not what is called in the end.
    configured(
        MIDDLEWARE=[GUARD, named(OtherRoutes)], ROOT_URLCONF=routes(public(lambda request: HttpResponse("public")))
    )
    found = ask("/")
    assert (found.status, found.header("www-authenticate")) == (401, BARE)
    assert ask("/", bearer(FORGED)).status == 401
    found = ask("/", bearer(GOOD))
    assert (found.status, found.body, found.header("vary")) == (200, b"user-1", "Authorization")


def test_middleware_behind_that_leads_to_a_public_view_comes_too_late(ask: Ask, configured: Configured) -> None:
    configured(MIDDLEWARE=[GUARD, named(PublicRoutes)], ROOT_URLCONF=())
    assert ask("/").status == 401
    assert ask("/", bearer(GOOD)).body == b"user-1"


def test_middleware_before_that_leads_elsewhere_is_heard(ask: Ask, configured: Configured) -> None:
    configured(MIDDLEWARE=[named(PublicRoutes), GUARD], ROOT_URLCONF=())
    assert ask("/").body == b"anonymous"
    configured(MIDDLEWARE=[named(OtherRoutes), GUARD], ROOT_URLCONF=routes(public(lambda request: HttpResponse())))
    assert ask("/").status == 401


def test_a_converter_that_finds_nothing_makes_a_view_public_for_nobody(ask: Ask, configured: Configured) -> None:
    class Missing:
        regex = "[a-z]+"

        def to_python(self, value: str) -> str:
            raise Http404

        def to_url(self, value: str) -> str:
            return value

    register_converter(Missing, "tokenguard_missing")
    try:
        configured(ROOT_URLCONF=(path("<tokenguard_missing:name>", public(lambda request, name: HttpResponse())),))
        assert ask("/x").status == 401
        assert ask("/x", bearer(GOOD)).status == 404
    finally:
        from django.urls import converters

        del converters.REGISTERED_CONVERTERS["tokenguard_missing"]
        converters.get_converters.cache_clear()


# Kinds of stacks


def test_in_an_async_stack_a_request_does_not_leave_its_thread(configured: Configured) -> None:
    threads: list[threading.Thread] = []

    async def view(request: HttpRequest) -> HttpResponse:
        threads.append(threading.current_thread())
        return HttpResponse()

    class Counting:
        """Stands in for the validator, and says where it is asked."""

        realm = AUDIENCE

        async def validate_async(self, raw: bytes) -> AccessToken:
            threads.append(threading.current_thread())
            return AccessToken(issuer=ISSUER, expires_at=0)

    configured(TOKENGUARD={"VALIDATOR": Counting()}, MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(require_token(view)))
    handler = ASGIHandler()
    assert iscoroutinefunction(handler._middleware_chain)
    assert all(map(iscoroutinefunction, handler._view_middleware))
    assert ask_asgi("/", bearer("x")).status == 200
    assert threads == [threading.main_thread()] * 2


CSRF = "django.middleware.csrf.CsrfViewMiddleware"
SYNC_ONLY = f"{HERE}.SyncOnly"


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("is_public", [True, False], ids=["public", "not public"])
@pytest.mark.parametrize(
    ("before", "behind", "more"),
    [
        ([], [], 0),
        ([COMMON, CSRF], [], 0),
        ([COMMON], [CSRF], 0),
        ([SYNC_ONLY], [], 0),
        ([SYNC_ONLY], [COMMON, CSRF], 0),
        # Between us and the view all is sync then, and so are we, but `process_view` is called from the event loop.
        ([], [SYNC_ONLY], 1),
        ([SYNC_ONLY], [CSRF, SYNC_ONLY], 1),
    ],
    ids=lambda value: ",".join(name.rpartition(".")[2] for name in value) or "nothing" if type(value) is list else None,
)
def test_it_adds_no_thread_hop_to_a_stack(
    configured: Configured,
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: bool,
    is_public: bool,
    before: Any,
    behind: Any,
    more: int,
) -> None:
    hops: list[str] = []

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    view = _as_async(answer) if asynchronous else answer

    def counted(kind: type[Any]) -> Callable[..., Any]:
        call = kind.__call__

        def count(self: Any, *args: Any, **kwargs: Any) -> Any:
            hops.append(kind.__name__)
            return call(self, *args, **kwargs)

        return count

    for kind in (SyncToAsync, AsyncToSync):
        monkeypatch.setattr(kind, "__call__", counted(kind))

    def count(ask: Ask, guard: list[str]) -> int:
        configured(MIDDLEWARE=[*before, *guard, *behind], ROOT_URLCONF=routes(public(view) if is_public else view))
        hops.clear()
        assert ask("/", bearer(GOOD)).status == 200
        return len(hops)

    assert count(ask_asgi, [GUARD]) - count(ask_asgi, []) == more
    assert count(ask_wsgi, [GUARD]) - count(ask_wsgi, []) == 0


def test_in_a_sync_stack_nothing_is_async(configured: Configured) -> None:
    configured(MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(whoami))
    handler = WSGIHandler()
    assert not iscoroutinefunction(handler._middleware_chain)
    assert not any(map(iscoroutinefunction, handler._view_middleware))


@EITHER_KIND
def test_it_stands_among_middleware_that_is_sync_only(ask: Ask, configured: Configured, view: Any) -> None:
    for middleware in ([GUARD, named(SyncOnly)], [named(SyncOnly), GUARD], [named(SyncOnly), GUARD, named(SyncOnly)]):
        configured(MIDDLEWARE=middleware, ROOT_URLCONF=routes(require_scopes("read:users")(view)))
        found = [ask("/", headers).status for headers in ((), bearer(GOOD), bearer(UNSCOPED), bearer(FORGED))]
        assert found == [401, 200, 403, 401]


# What views raise


class Rollback(Exception):
    """Of no concern to us."""


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
def test_a_refusal_that_a_view_raises_is_answered(
    ask: Ask, configured: Configured, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        require_issuer(get_token(request), "https://elsewhere.example.com")
        raise AssertionError

    configured(ROOT_URLCONF=routes(_as_async(view) if asynchronous else view))
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    found = ask("/", bearer(GOOD))
    assert found.status == 401
    assert found.header("www-authenticate") == INVALID.challenge
    assert [record.getMessage() for record in caplog.records if record.name == "tokenguard"] == [
        "refused with 401: wrong_issuer: this address takes tokens of 'https://elsewhere.example.com'"
    ]


def _as_async(view: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    async def async_view(request: HttpRequest) -> Any:
        return view(request)

    return async_view


def test_other_exceptions_are_left_to_django(ask: Ask, configured: Configured) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise Rollback

    configured(ROOT_URLCONF=routes(view))
    found = ask("/", bearer(GOOD))
    assert (found.status, found.header("www-authenticate")) == (500, None)


def test_a_decorators_refusal_is_answered_before_middleware_that_answers_exceptions(
    ask: Ask, configured: Configured
) -> None:
    configured(MIDDLEWARE=[GUARD, named(ServerError)], ROOT_URLCONF=routes(require_scopes("admin")(whoami)))
    assert ask("/", bearer(GOOD)).status == 403


@pytest.mark.usefixtures("database")
def test_what_a_view_wrote_before_it_refused_is_rolled_back(configured: Configured) -> None:
    from django.contrib.auth.models import Group
    from django.db import connections

    @require_token
    def view(request: HttpRequest) -> HttpResponse:
        Group.objects.create(name="half done")
        raise AccessDenied

    configured(ROOT_URLCONF=routes(view))
    connections.settings["default"]["ATOMIC_REQUESTS"] = True
    try:
        assert ask_wsgi("/", bearer(GOOD)).status == 403
    finally:
        connections.settings["default"]["ATOMIC_REQUESTS"] = False
    assert Group.objects.count() == 0


def test_a_refusal_in_the_midst_of_a_stream_breaks_it_off(ask: Ask, configured: Configured) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise AccessDenied

    async def async_pieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    def view(request: HttpRequest) -> HttpResponse:
        return StreamingHttpResponse(async_pieces() if ask is ask_asgi else pieces())

    configured(MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(view))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # ASGIHandler then leaves the request's body open
        with pytest.raises(AccessDenied):
            ask("/", bearer(GOOD))
        gc.collect()


# Kinds of responses


def test_streams_and_files_pass_through(ask: Ask, configured: Configured, tmp_path: Any) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"of a file")

    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"two")

    async def async_pieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    @require_token
    def stream(request: HttpRequest) -> Any:
        return StreamingHttpResponse(async_pieces() if ask is ask_asgi else pieces())

    @require_token
    def download(request: HttpRequest) -> Any:
        # Django warns of a file in an async stack, whoever guards it.
        return StreamingHttpResponse(async_pieces()) if ask is ask_asgi else FileResponse(file.open("rb"))

    configured(MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(stream, download))
    found = ask("/", bearer(GOOD))
    assert (found.body, found.header("vary")) == (b"onetwo", "Authorization")
    assert ask("/1", bearer(GOOD)).body == (b"onetwo" if ask is ask_asgi else b"of a file")
    assert [ask("/").status, ask("/1").status] == [401, 401]


def test_head_and_options_are_requests_like_others(ask: Ask, configured: Configured) -> None:
    from django.views import View

    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

    configured(ROOT_URLCONF=routes(require_scopes("read:users")(Page.as_view())))
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "TRACE"):
        assert ask("/", method=method).status == 401
        assert ask("/", bearer(UNSCOPED), method=method).status == 403
    assert ask("/", bearer(GOOD), method="OPTIONS").header("allow") == "GET, HEAD, OPTIONS"
    assert ask("/", bearer(GOOD), method="PUT").status == 405


# Caches


@pytest.fixture
def cached(configured: Configured) -> Iterator[Configured]:
    from django.core.cache import cache

    cache.clear()
    yield configured
    cache.clear()


def test_a_cached_page_is_served_to_its_own_caller_only(ask: Ask, cached: Configured) -> None:
    # `cache_page` stands before the check, and answers instead of it.
    view = cache_page(60)(require_scopes("read:users")(whoami))
    cached(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=routes(view))
    ran.clear()
    assert [ask("/", bearer(GOOD)).body for _ in range(2)] == [b"user-1", b"user-1"]
    assert ran == ["view"]
    assert [ask("/").status, ask("/", bearer(UNSCOPED)).status, ask("/", bearer(FORGED)).status] == [401, 403, 401]


@pytest.mark.parametrize(
    "decorators",
    [[cache_page(60)], [cache_page(60), require_token], [require_token, cache_page(60)]],
    ids=["below the middleware", "below a decorator", "above a decorator"],
)
def test_a_cached_page_is_its_callers_wherever_the_cache_stands(
    ask: Ask, cached: Configured, decorators: list[Callable[..., Any]]
) -> None:
    view: Any = whoami
    for decorate in decorators:
        view = decorate(view)
    for required in (True, False):
        cached(TOKENGUARD={"REQUIRED": required}, ROOT_URLCONF=routes(view))
        for _ in range(2):
            bodies = [ask("/", bearer(token)).body for token in (GOOD, READ_WRITE, ADMIN)]
            assert bodies == [b"user-1", b"user-2", b"admin-1"]


def test_the_cache_middleware_keeps_callers_apart(ask: Ask, cached: Configured) -> None:
    before, behind = (f"django.middleware.cache.{name}CacheMiddleware" for name in ("Update", "FetchFrom"))
    cached(MIDDLEWARE=[before, GUARD, behind], ROOT_URLCONF=routes(whoami))
    ran.clear()
    assert [ask("/", bearer(token)).body for token in (GOOD, READ_WRITE, GOOD, READ_WRITE)] == [
        b"user-1",
        b"user-2",
    ] * 2
    assert ran == ["view"] * 2
    assert ask("/").status == 401


# Tenants


def issuer_of(request: HttpRequest) -> str | None:
    return {"acme.example.com": ISSUER, "globex.example.com": "https://globex.example.com"}.get(request.get_host())


@EITHER_KIND
@pytest.mark.parametrize("of_rest_framework", [True, False], ids=["REST framework", "Django"])
def test_a_token_of_one_tenant_is_nobodys_at_anothers_address(
    ask: Ask, configured: Configured, view: Any, of_rest_framework: bool
) -> None:
    from tests.integrations.test_django.test_rest_framework import view_class

    configured(
        TOKENGUARD={"ISSUER_OF": issuer_of},
        MIDDLEWARE=[] if of_rest_framework else [GUARD],
        ROOT_URLCONF=routes(view_class().as_view() if of_rest_framework else view),
    )
    for host, status in ((b"acme", 200), (b"globex", 401), (b"nobody", 401)):
        found = ask("/", ((b"Host", host + b".example.com"), *bearer(GOOD)))
        assert (found.status, found.header("www-authenticate")) == (
            status,
            INVALID.challenge if status == 401 else None,
        )


# request.user


def user_of(token: AccessToken) -> object:
    if token.subject == "admin-1":
        raise AccessDenied(detail="not here")
    if token.scopes == frozenset():
        return None
    return f"row of {token.subject}"


async def user_of_async(token: AccessToken) -> object:
    return user_of(token)


def broken_user_of(token: AccessToken) -> object:
    raise SynchronousOnlyOperation


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(getattr(request, "user", "nobody")))


async def who_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await request.auser())


def test_without_a_hook_the_user_is_what_other_middleware_made_it(ask: Ask, configured: Configured) -> None:
    configured(MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(who))
    assert ask("/", bearer(GOOD)).body == b"nobody"
    for middleware in ([GUARD, named(Session)], [named(Session), GUARD]):
        configured(MIDDLEWARE=middleware, ROOT_URLCONF=routes(who))
        assert ask("/", bearer(GOOD)).body == b"of the session"


@pytest.mark.parametrize("hook", ["user_of", "user_of_async", user_of], ids=["sync", "async", "object"])
@pytest.mark.parametrize("view", [who, who_async], ids=["user", "auser"])
def test_a_hook_says_who_the_user_is(ask: Ask, configured: Configured, hook: object, view: Any) -> None:
    path_or_object = f"{HERE}.{hook}" if isinstance(hook, str) else hook
    settings = {"USER": path_or_object, "REQUIRED": False}
    configured(TOKENGUARD=settings, MIDDLEWARE=[named(Session), GUARD], ROOT_URLCONF=routes(view))
    assert ask("/", bearer(GOOD)).body == b"row of user-1"
    if view is who:
        assert ask("/").body == b"of the session"
    for token in (UNSCOPED, ADMIN):  # None, and a refusal
        found = ask("/", bearer(token))
        assert found.status == 403
        assert found.header("www-authenticate") == DENIED.challenge


@dataclasses.dataclass
class Account:
    is_active: bool


def test_a_user_who_was_deactivated_stays_out(ask: Ask, configured: Configured) -> None:
    from django.contrib.auth.models import AnonymousUser

    for user, status in ((Account(is_active=True), 200), (Account(is_active=False), 403), (AnonymousUser(), 200)):
        configured(TOKENGUARD={"USER": lambda token, user=user: user}, MIDDLEWARE=[GUARD], ROOT_URLCONF=routes(who))
        assert ask("/", bearer(GOOD)).status == status


def test_of_a_token_whose_user_is_refused_nothing_stays_with_the_request(configured: Configured) -> None:
    from django.test import RequestFactory

    configured(TOKENGUARD={"USER": user_of}, MIDDLEWARE=[GUARD])
    request = RequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {UNSCOPED}")
    assert TokenGuardMiddleware(who)(request).status_code == 403
    with pytest.raises(ConfigurationError):
        get_token(request)


# Logs, and what refusals give away


@pytest.mark.parametrize("of_rest_framework", [True, False], ids=["REST framework", "Django"])
def test_an_outage_is_logged_and_not_mailed_with_each_request(
    ask: Ask, configured: Configured, caplog: pytest.LogCaptureFixture, of_rest_framework: bool
) -> None:
    # What django.request logs as an error goes to ADMINS.
    from tests.integrations.test_django.test_rest_framework import view_class

    view = view_class().as_view() if of_rest_framework else whoami
    configured(MIDDLEWARE=[] if of_rest_framework else [GUARD], ROOT_URLCONF=routes(view))
    assert ask("/", bearer(UNDECIDABLE)).status == 503
    records = [(record.name, record.levelname) for record in caplog.records if record.levelname != "DEBUG"]
    assert ("tokenguard", "WARNING") in records
    assert "django.request" not in dict(records)
    assert ask("/", bearer(FORGED)).status == 401
    assert ("django.request", "WARNING") in [(record.name, record.levelname) for record in caplog.records]


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
def test_no_log_record_holds_a_piece_of_a_token(
    ask: Ask, configured: Configured, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    configured(ROOT_URLCONF=routes(whoami_async if asynchronous else whoami))
    for case in REFUSED:
        if case.path == "/any":
            ask("/", case.headers, method=case.method, body=case.body)
    text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "invalid" in text or "bad_signature" in text
    assert fragments(text, *REFUSED) == []


def test_each_refusal_is_logged_once(ask: Ask, configured: Configured, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    configured(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=routes(require_scopes("read:users")(whoami)))
    for headers, said in (
        (bearer(FORGED), "refused with 401: bad_signature"),
        (bearer(UNSCOPED), "refused with 403: insufficient_scope: lacks read:users"),
        ((), "refused with 401: no_token"),
    ):
        caplog.clear()
        ask("/", headers)
        (record,) = [record for record in caplog.records if record.name == "tokenguard"]
        assert record.getMessage().startswith(said)


def test_refusals_name_nothing_of_django(ask: Ask, configured: Configured) -> None:
    configured(MIDDLEWARE=[COMMON, GUARD], ROOT_URLCONF=routes(whoami), DEBUG=True)
    for case in CASES:
        if case in REFUSED and case.path == "/any":
            found = ask("/", case.headers, method=case.method)
            text = f"{found.headers}{found.body!r}"
            assert leaks(text, case) == []
            assert "jango" not in text


def test_a_value_that_no_server_sends_is_malformed(configured: Configured) -> None:
    # A test of somebody's may: there META is written by hand.
    from django.test import RequestFactory

    configured()
    middleware = TokenGuardMiddleware(whoami)
    for value in ("Bearer \u20ac", "Bearer \U0001f511"):
        response = middleware(RequestFactory().get("/", HTTP_AUTHORIZATION=value))
        assert response.status_code == 400


# Construction


def test_wrong_settings_stop_django_from_starting(configured: Configured) -> None:
    configured(TOKENGUARD={"VALIDATOR": make_validator(), "REQUIRED": "yes"})
    for handler in (WSGIHandler, ASGIHandler):
        with pytest.raises(ConfigurationError, match="REQUIRED"):
            handler()


def test_an_application_may_answer_the_refusal_itself(ask: Ask, configured: Configured) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        try:
            get_token(request)
        except MissingToken as refused:
            return HttpResponse("Please sign in.", status=refused.status, headers=refused.headers)
        raise AssertionError

    configured(TOKENGUARD={"REQUIRED": False}, ROOT_URLCONF=routes(view))
    found = ask("/")
    assert (found.status, found.header("www-authenticate"), found.body) == (401, BARE, b"Please sign in.")


def test_no_attribute_that_a_view_sets_counts_as_a_verdict(ask: Ask, configured: Configured) -> None:
    class Planting(Noting):
        def change(self, request: HttpRequest) -> None:
            request._tokenguard = AccessToken(issuer=ISSUER, expires_at=0)

    globals()["Planting"] = Planting
    try:
        configured(MIDDLEWARE=[f"{HERE}.Planting"], ROOT_URLCONF=routes(require_token(whoami)))
        assert ask("/").status == 500
    finally:
        del globals()["Planting"]
