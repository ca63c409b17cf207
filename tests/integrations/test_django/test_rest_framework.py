"""The REST framework module: its authentication, the permission, and what is answered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path

from tests.integrations.behaviour import (
    AUDIENCE,
    CASES,
    DENIED,
    FORGED,
    GOOD,
    INVALID,
    ISSUER,
    READ_WRITE,
    ROUTES,
    UNSCOPED,
    Case,
    bearer,
    check,
)
from tests.integrations.conftest import Response
from tests.integrations.test_django import project
from tests.integrations.test_django.conftest import Ask, Configured
from tokenguard import AccessDenied, AccessToken, ConfigurationError

BARE = f'Bearer realm="{AUDIENCE}"'
NOT_AUTHENTICATED = {"detail": "Authentication credentials were not provided."}  # in its own words
ALONE = tuple(case for case in CASES if case.path.partition("?")[0] in ROUTES)  # of unknown URLs it knows nothing


def check_rendered(case: Case, found: Response) -> None:
    """`check`, where the body may be REST framework's."""
    expected, body = case.expected, b"" if case.method == "HEAD" else found.body  # of HEAD servers send none
    if expected.status != 200 and body != case.answer:
        said = json.loads(body)
        assert said == json.loads(expected.body) or (said == NOT_AUTHENTICATED and expected.body == b"{}")
        case = dataclasses.replace(case, expected=dataclasses.replace(expected, body=body))
    check(case, found.status, found.headers, body)


# The table


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer_behind_the_middleware(
    case: Case, ask: Ask, configured: Configured
) -> None:
    configured(TOKENGUARD={"REQUIRED": case.application == "required"}, ROOT_URLCONF=project.rest_routes())
    check_rendered(case, ask(case.path, case.headers, method=case.method, body=case.body))


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.name)
def test_each_request_for_a_view_gets_its_answer_without_the_middleware(
    case: Case, ask: Ask, configured: Configured
) -> None:
    configured(**project.settings_of_rest_framework())
    check_rendered(case, ask(case.path, case.headers, method=case.method, body=case.body))


# Views


@pytest.fixture
def serve(configured: Configured) -> Callable[..., None]:
    """Puts a view class with these members at `/`, by default without the middleware."""

    def serve(*, middleware: bool = False, settings: dict[str, Any] | None = None, **members: Any) -> None:
        configured(
            MIDDLEWARE=[project.COMMON, *([project.GUARD] if middleware else [])],
            ROOT_URLCONF=(path("", view_class(**members).as_view()),),
            TOKENGUARD={"REQUIRED": False, **(settings or {})},
        )

    return serve


Serve = Callable[..., None]


def view_class(**members: Any) -> Any:
    from rest_framework.response import Response as Rendered
    from rest_framework.views import APIView

    from tokenguard.integrations.rest_framework import TokenAuthentication

    def get(self: Any, request: Any) -> Any:
        return Rendered([str(request.user), getattr(request.auth, "subject", None)])

    return type("Users", (APIView,), {"authentication_classes": [TokenAuthentication], "get": get, **members})


@pytest.fixture(params=[True, False], ids=["behind the middleware", "alone"])
def middleware(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


def statuses(ask: Ask, *tokens: str | None) -> list[int]:
    return [ask("/", () if token is None else bearer(token)).status for token in tokens]


def body(found: Response) -> Any:
    return json.loads(found.body)


def test_an_absent_token_is_left_to_the_permissions(ask: Ask, serve: Serve, middleware: bool) -> None:
    serve(middleware=middleware)
    assert body(ask("/")) == ["AnonymousUser", None]
    assert body(ask("/", bearer(GOOD))) == ["user-1", "user-1"]
    assert statuses(ask, FORGED) == [401]


def test_the_permission_combines_with_others(ask: Ask, serve: Serve, middleware: bool) -> None:
    from rest_framework.permissions import AllowAny, IsAuthenticated

    from tokenguard.integrations.rest_framework import HasScopes

    read, write = HasScopes("read:users"), HasScopes("write:users")
    for permissions, expected in (
        ([read], [200, 403, 401]),
        ([IsAuthenticated, read], [200, 403, 401]),
        ([read & write], [403, 403, 401]),
        ([read | write], [200, 403, 401]),
        ([IsAuthenticated & read], [200, 403, 401]),
        ([AllowAny | read], [200, 200, 200]),
        ([read | AllowAny], [200, 200, 200]),
        ([~read], [403, 200, 200]),
        ([HasScopes(any_of=("admin", "read:users"))], [200, 403, 401]),
    ):
        serve(middleware=middleware, permission_classes=permissions)
        assert statuses(ask, GOOD, UNSCOPED, None) == expected, permissions


def test_what_is_let_in_by_another_permission_is_not_logged_as_refused(
    ask: Ask, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    from rest_framework.permissions import AllowAny

    from tokenguard.integrations.rest_framework import HasScopes

    serve(permission_classes=[HasScopes("admin") | AllowAny])
    caplog.set_level("DEBUG", logger="tokenguard")
    assert statuses(ask, GOOD) == [200]
    assert [record for record in caplog.records if record.name == "tokenguard"] == []
    serve(permission_classes=[HasScopes("admin")])
    assert statuses(ask, GOOD) == [403]
    (record,) = [record for record in caplog.records if record.name == "tokenguard"]
    assert record.getMessage() == "refused with 403: insufficient_scope: lacks admin"


def test_a_permission_that_refuses_nobody_has_no_message(ask: Ask, serve: Serve) -> None:
    from tokenguard.integrations.rest_framework import HasScopes

    made: list[Any] = []

    def get_permissions(self: Any) -> list[Any]:
        made.append(HasScopes("read:users")())
        return made[-1:]

    serve(get_permissions=get_permissions)
    assert statuses(ask, GOOD) == [200]
    assert made[-1].message is None


def test_the_challenge_of_a_401_names_what_all_permissions_ask_for(ask: Ask, serve: Serve) -> None:
    from rest_framework.permissions import IsAuthenticated

    from tokenguard.integrations.rest_framework import HasScopes

    permissions = [IsAuthenticated, HasScopes("read:users"), HasScopes("read:users", any_of=["admin"])]
    serve(permission_classes=permissions)
    found = ask("/")
    assert found.header("www-authenticate") == f'{BARE}, scope="read:users admin"'
    assert (found.header("cache-control"), body(found)) == ("no-store", NOT_AUTHENTICATED)


def test_it_names_the_scopes_of_combined_permissions_too(ask: Ask, serve: Serve) -> None:
    from rest_framework.permissions import IsAdminUser, IsAuthenticated

    from tokenguard.integrations.rest_framework import HasScopes

    combined = (
        IsAuthenticated & (HasScopes("read:users") | HasScopes("write:users") | IsAdminUser) & ~HasScopes("admin")
    )
    serve(permission_classes=[combined])
    assert ask("/").header("www-authenticate") == f'{BARE}, scope="read:users write:users"'


def test_responses_vary_by_authorization_and_by_whatever_else(ask: Ask, serve: Serve) -> None:
    from rest_framework.renderers import JSONRenderer, StaticHTMLRenderer

    serve()
    assert ask("/", bearer(GOOD)).header("vary") == "Authorization"
    serve(renderer_classes=[JSONRenderer, StaticHTMLRenderer])
    assert ask("/").header("vary") == "Accept, Authorization"
    serve(default_response_headers={"Vary": "Accept, Origin"})
    assert ask("/").header("vary") == "Accept, Origin, Authorization"


def test_function_views_and_actions_ask_too(ask: Ask, configured: Configured) -> None:
    from rest_framework.decorators import action, api_view, authentication_classes, permission_classes
    from rest_framework.response import Response as Rendered
    from rest_framework.viewsets import ViewSet

    from tokenguard.integrations.rest_framework import HasScopes, TokenAuthentication

    def users(request: Any) -> Any:
        return Rendered(request.auth.subject)

    for decorator in (
        authentication_classes([TokenAuthentication]),
        permission_classes([HasScopes("read:users")]),
        api_view(["GET"]),
    ):
        users = decorator(users)

    class Users(ViewSet):
        authentication_classes = [TokenAuthentication]  # noqa: RUF012 - as REST framework has it

        @action(detail=False, permission_classes=[HasScopes("read:users")])
        def first(self, request: Any) -> Any:
            return Rendered(request.auth.subject)

    for view in (users, Users.as_view({"get": "first"}, **Users.first.kwargs)):
        configured(MIDDLEWARE=[], ROOT_URLCONF=(path("", view),))
        assert statuses(ask, GOOD, UNSCOPED, FORGED, None) == [200, 403, 401, 401]


def test_our_decorators_go_on_handlers_and_functions_too(ask: Ask, configured: Configured, serve: Serve) -> None:
    from rest_framework.decorators import api_view, authentication_classes
    from rest_framework.response import Response as Rendered

    from tokenguard.integrations.django import require_scopes
    from tokenguard.integrations.rest_framework import TokenAuthentication

    def get(self: Any, request: Any) -> Any:
        return Rendered(request.auth.subject)

    serve(get=require_scopes("read:users")(get))
    assert statuses(ask, GOOD, UNSCOPED, FORGED, None) == [200, 403, 401, 401]

    def users(request: Any) -> Any:
        return Rendered(request.auth.subject)

    inner = api_view(["GET"])(authentication_classes([TokenAuthentication])(require_scopes("read:users")(users)))
    configured(MIDDLEWARE=[], ROOT_URLCONF=(path("", inner),))
    assert statuses(ask, GOOD, UNSCOPED, FORGED, None) == [200, 403, 401, 401]
    outer = require_scopes("read:users")(api_view(["GET"])(authentication_classes([TokenAuthentication])(users)))
    configured(TOKENGUARD={"REQUIRED": False}, MIDDLEWARE=[project.GUARD], ROOT_URLCONF=(path("", outer),))
    assert statuses(ask, GOOD, UNSCOPED, FORGED, None) == [200, 403, 401, 401]


# Other authentication beside


def of_the_session(user: object) -> type[object]:
    from rest_framework.authentication import BaseAuthentication

    class Session(BaseAuthentication):
        def authenticate(self, request: Any) -> object:
            return (user, None) if "HTTP_COOKIE" in request.META else None

    return Session


class Somebody:
    is_authenticated = True
    pk = 1


def test_scopes_of_a_token_do_not_count_for_another_user(ask: Ask, serve: Serve, middleware: bool) -> None:
    from tokenguard.integrations.rest_framework import HasScopes, TokenAuthentication

    session = of_the_session(Somebody())
    cookie = ((b"Cookie", b"session=1"),)
    for authentication in ([session, TokenAuthentication], [TokenAuthentication, session]):
        serve(
            middleware=middleware,
            authentication_classes=authentication,
            permission_classes=[HasScopes("read:users")],
        )
        assert ask("/", cookie).status == 401
        found = ask("/", (*cookie, *bearer(GOOD)))
        assert found.status == (401 if authentication[0] is session else 200)


def test_scopes_without_token_authentication_are_a_mistake(ask: Ask, serve: Serve, middleware: bool) -> None:
    from tokenguard.integrations.rest_framework import HasScopes

    serve(middleware=middleware, authentication_classes=[], permission_classes=[HasScopes("read:users")])
    assert statuses(ask, GOOD, None) == [500, 500]


def test_a_permission_without_scopes_is_a_mistake() -> None:
    from tokenguard.integrations.rest_framework import HasScopes

    mistakes: tuple[dict[str, Any], ...] = ({}, {"any_of": "admin"}, {"any_of": ["a b"]})
    for mistake in mistakes:
        with pytest.raises(ConfigurationError):
            HasScopes(**mistake)


def test_a_forced_authentication_of_a_test_counts(configured: Configured) -> None:
    from rest_framework.test import APIRequestFactory, force_authenticate

    from tokenguard.integrations.rest_framework import HasScopes

    configured()
    view = view_class(permission_classes=[HasScopes("read:users")]).as_view()
    token = AccessToken(issuer=ISSUER, subject="tester", expires_at=0, scopes=frozenset({"read:users"}))
    request = APIRequestFactory().get("/")
    force_authenticate(request, Somebody(), token)
    assert view(request).data[1] == "tester"
    request = APIRequestFactory().get("/")
    force_authenticate(request, Somebody(), dataclasses.replace(token, scopes=frozenset()))
    response = view(request)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (
        403,
        f'{DENIED.challenge}, scope="read:users"',
    )


def test_a_request_without_a_view_is_authenticated_too(configured: Configured) -> None:
    from rest_framework.request import Request
    from rest_framework.test import APIRequestFactory

    from tokenguard.integrations.rest_framework import TokenAuthentication

    configured()
    request = Request(
        APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {GOOD}"), authenticators=[TokenAuthentication()]
    )
    assert request.auth.subject == "user-1"
    assert TokenAuthentication().authenticate_header(request) == BARE


# request.user


def test_the_user_is_the_tokens_and_has_no_permissions_of_djangos() -> None:
    from tokenguard.integrations.rest_framework import TokenUser

    token = AccessToken(issuer=ISSUER, subject="user-1", client_id="client-1", expires_at=0)
    user = TokenUser(token)
    assert (user.token, user.pk, user.id) == (token, f"{ISSUER}#user-1", f"{ISSUER}#user-1")
    assert (str(user), user.get_username()) == ("user-1", "user-1")
    assert (user.is_authenticated, user.is_active) == (True, True)
    assert (user.is_anonymous, user.is_staff, user.is_superuser) == (False, False, False)
    assert not user.has_perm("auth.add_user")
    assert not user.has_perms(["auth.add_user"])
    assert str(TokenUser(dataclasses.replace(token, subject=None))) == "client-1"
    assert str(TokenUser(dataclasses.replace(token, subject=None, client_id=None))) == ""


def row_of(token: AccessToken) -> object:
    return None if "read:users" not in token.scopes else f"row of {token.subject}"


async def row_of_async(token: AccessToken) -> object:
    return row_of(token)


@pytest.mark.parametrize("hook", [row_of, row_of_async], ids=["sync", "async"])
def test_the_hook_says_who_the_user_is(ask: Ask, serve: Serve, middleware: bool, hook: object) -> None:
    from rest_framework.permissions import AllowAny

    serve(middleware=middleware, settings={"USER": hook}, permission_classes=[AllowAny])
    assert body(ask("/", bearer(GOOD))) == ["row of user-1", "user-1"]
    assert body(ask("/")) == ["AnonymousUser", None]
    found = ask("/", bearer(UNSCOPED))
    assert (found.status, body(found)["error"]) == (403, "insufficient_scope")
    assert "insufficient_scope" in (found.header("www-authenticate") or "")


def test_throttling_counts_by_issuer_and_subject(ask: Ask, serve: Serve) -> None:
    from django.core.cache import cache
    from rest_framework.throttling import UserRateThrottle

    class Twice(UserRateThrottle):
        rate = "2/day"

    cache.clear()
    serve(throttle_classes=[Twice])
    assert statuses(ask, GOOD, GOOD, GOOD, READ_WRITE) == [200, 200, 429, 200]
    cache.clear()


# What views raise


def refusing(self: Any, request: Any) -> HttpResponse:
    raise AccessDenied(detail="secret of the house")


def test_refusals_of_views_are_answered_by_the_middleware_or_the_exception_handler(
    ask: Ask, serve: Serve, configured: Configured
) -> None:
    handler = "tokenguard.integrations.rest_framework.exception_handler"
    for middleware, settings in (
        (True, {}),
        (True, {"EXCEPTION_HANDLER": handler}),
        (False, {"EXCEPTION_HANDLER": handler}),
    ):
        serve(middleware=middleware, get=refusing)
        configured(TOKENGUARD={"REQUIRED": False}, REST_FRAMEWORK=settings)
        found = ask("/", bearer(GOOD))
        assert (found.status, found.header("www-authenticate")) == (403, DENIED.challenge)
        assert (found.header("cache-control"), found.header("content-type")) == ("no-store", "application/json")
        assert body(found)["error"] == "insufficient_scope"


def test_other_exceptions_are_rest_frameworks_own(ask: Ask, serve: Serve, configured: Configured) -> None:
    from rest_framework.exceptions import NotFound

    def get(self: Any, request: Any) -> HttpResponse:
        raise NotFound

    serve(get=get)
    configured(REST_FRAMEWORK={"EXCEPTION_HANDLER": "tokenguard.integrations.rest_framework.exception_handler"})
    found = ask("/", bearer(GOOD))
    assert (found.status, found.header("cache-control")) == (404, None)


def handler_of_the_project(exc: Any, context: Any) -> Any:
    from rest_framework.response import Response as Rendered

    return Rendered({"mine": exc.__cause__.reason}, status=exc.status_code)


def test_a_projects_own_exception_handler_changes_the_body_and_nothing_else(
    ask: Ask, serve: Serve, configured: Configured
) -> None:
    serve()
    configured(REST_FRAMEWORK={"EXCEPTION_HANDLER": f"{__name__}.handler_of_the_project"})
    found = ask("/", bearer(FORGED))
    assert (found.status, body(found)) == (401, {"mine": "bad_signature"})
    assert (found.header("cache-control"), found.header("www-authenticate")) == (
        "no-store",
        INVALID.challenge,
    )


def always_fine(exc: Any, context: Any) -> Any:
    """As of projects that say in the body what went wrong, and nowhere else."""
    from rest_framework.response import Response as Rendered

    return Rendered({"code": 1}, status=200, headers={"Cache-Control": "max-age=60"})


def test_no_exception_handler_turns_a_refusal_into_a_pass(ask: Ask, serve: Serve, configured: Configured) -> None:
    from rest_framework.permissions import IsAuthenticated

    from tokenguard.integrations.rest_framework import HasScopes

    read = HasScopes("read:users")
    for permissions, headers, status, challenge in (
        ([IsAuthenticated, read], (), 401, f'{BARE}, scope="read:users"'),
        ([read], (), 401, f'{BARE}, scope="read:users"'),
        ([read], bearer(UNSCOPED), 403, f'{DENIED.challenge}, scope="read:users"'),
        ([], bearer(FORGED), 401, INVALID.challenge),
    ):
        serve(permission_classes=permissions)
        configured(REST_FRAMEWORK={"EXCEPTION_HANDLER": f"{__name__}.always_fine"})
        found = ask("/", headers)
        assert (found.status, found.header("www-authenticate")) == (status, challenge)
        assert (found.header("cache-control"), body(found)) == ("no-store", {"code": 1})
        assert ask("/", bearer(GOOD)).status == 200


def test_a_refusal_that_is_caught_leaves_no_trace(ask: Ask, serve: Serve, middleware: bool) -> None:
    from django.http import Http404
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import AllowAny

    from tokenguard.integrations.rest_framework import HasScopes

    def get_permissions(self: Any) -> list[Any]:
        return [HasScopes("write:users")() if self.request.method == "POST" else AllowAny()]

    def get(self: Any, request: Any) -> Any:
        try:
            self.permission_denied(request, message=getattr(_refusing(request), "message", None))
        except APIException:
            raise Http404 from None

    def _refusing(request: Any) -> Any:
        permission: Any = HasScopes("write:users")()
        assert not permission.has_permission(request, request.parser_context["view"])
        return permission

    serve(middleware=middleware, get_permissions=get_permissions, get=get, post=refusing)
    found = ask("/", bearer(GOOD), method="OPTIONS")  # whose metadata tries what the caller may do
    assert (found.status, found.header("www-authenticate"), found.header("cache-control")) == (200, None, None)
    found = ask("/", bearer(GOOD))
    assert (found.status, found.header("www-authenticate")) == (404, None)


def test_an_unsafe_request_needs_no_csrf_token(ask: Ask, configured: Configured) -> None:
    configured(
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        ROOT_URLCONF=(path("", view_class(post=lambda self, request: HttpResponse()).as_view()),),
    )
    assert ask("/", bearer(GOOD), method="POST").status == 200


# drf-spectacular


@pytest.mark.skipif(find_spec("drf_spectacular") is None, reason="drf-spectacular is not installed")
def test_drf_spectacular_describes_a_bearer_scheme_and_the_scopes_where_openapi_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.settings import spectacular_settings

    from tokenguard.integrations.rest_framework import HasScopes, TokenAuthentication

    class Ours(TokenAuthentication):
        """Somebody's subclass."""

    for authentication, version, named in (
        (TokenAuthentication, "3.0.3", []),
        (Ours, "3.0.3", []),
        (TokenAuthentication, "3.1.1", ["read:users"]),
    ):
        monkeypatch.setattr(spectacular_settings, "OAS_VERSION", version)
        view = view_class(
            authentication_classes=[authentication],
            permission_classes=[HasScopes("read:users")],
            schema=AutoSchema(),
            serializer_class=None,
        )
        schema = SchemaGenerator(patterns=[path("", view.as_view())]).get_schema(request=None, public=True)
        assert schema["components"]["securitySchemes"] == {"bearerAuth": {"type": "http", "scheme": "bearer"}}
        assert schema["paths"]["/"]["get"]["security"] == [{"bearerAuth": named}]
