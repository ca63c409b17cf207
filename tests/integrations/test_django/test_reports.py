"""Error pages and error mails: Django shows the variables of every frame there, and no token may be among them."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.log import AdminEmailHandler
from django.views.debug import SafeExceptionReporterFilter

from tests.integrations.behaviour import AUDIENCE, FORGED, GOOD, ISSUER, JWKS, NOW, bearer, fragments
from tests.integrations.test_django.conftest import Ask, Configured
from tests.integrations.test_django.project import GUARD
from tokenguard import AccessToken, Introspection, Issuer, TokenValidator
from tokenguard.integrations.django import get_token, require_scopes

Texts = list[str]


class Fault(Exception):
    """Of the project's own making."""


def faulty_view(request: HttpRequest) -> HttpResponse:
    token = get_token(request)
    wanted = "a variable of the view"
    raise Fault(f"{token.subject} {wanted}")


async def faulty_view_async(request: HttpRequest) -> HttpResponse:
    return faulty_view(request)


def faulty_check(token: AccessToken) -> None:
    wanted = "a variable of the check"
    raise Fault(wanted)


def faulty_user(token: AccessToken) -> None:
    wanted = "a variable of the hook"
    raise Fault(wanted)


async def faulty_user_async(token: AccessToken) -> None:
    faulty_user(token)


def absent_user(token: AccessToken) -> None: ...


def faulty_select(token: str) -> str:
    wanted = "a variable of the selection"
    raise Fault(wanted)


def faulty_exception_handler(exc: Exception, context: Any) -> Any:
    wanted = "a variable of the handler"
    raise Fault(wanted)


def no_exception_handler(exc: Exception, context: Any) -> None: ...


def faulty_select_validator() -> TokenValidator:
    asked = Introspection(endpoint=f"{ISSUER}/introspect", client_id="api", client_secret="a secret")
    issuers = [Issuer(url, jwks=JWKS, introspection=asked) for url in (ISSUER, f"{ISSUER}/2")]
    return TokenValidator(*issuers, audience=AUDIENCE, select=faulty_select)


def faulty_check_validator() -> TokenValidator:
    issuer = Issuer(ISSUER, jwks=JWKS, algorithms=("EdDSA",))
    return TokenValidator(issuer, audience=AUDIENCE, checks=(faulty_check,), clock=lambda: NOW)


class OwnFilter(SafeExceptionReporterFilter):
    cleansed_substitute = "hidden by the project"


@pytest.fixture
def reports(ask: Ask, configured: Configured) -> Iterator[Any]:
    """Sends a request whose handling fails; gives the error page, in HTML and in plain text, and the error mail."""
    mails: Texts = []

    class Handler(AdminEmailHandler):
        def send_mail(self, subject: str, message: str, *_: Any, html_message: str, **__: Any) -> None:
            mails.extend((subject, message, html.unescape(html_message)))

    handler = Handler(include_html=True)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)

    def reports(view: Any, *, token: str = GOOD, exception_handler: str | None = None, **tokenguard: Any) -> Texts:
        texts: Texts = []
        for debug, accept in ((True, b"text/html"), (True, b"text/plain"), (False, b"text/html")):
            mails.clear()
            configured(
                ADMINS=[("admin", "admin@example.com")],
                DEBUG=debug,
                MIDDLEWARE=[] if exception_handler else [GUARD],
                REST_FRAMEWORK={"EXCEPTION_HANDLER": exception_handler} if exception_handler else {},
                ROOT_URLCONF=(path("", view),),
                TOKENGUARD=tokenguard,
            )
            found = ask("/?page=1", ((b"Accept", accept), (b"Host", b"api.example.com"), *bearer(token)))
            assert found.status == 500
            texts += [html.unescape(found.body.decode()), *mails]
        assert len(mails) == 3
        return texts

    yield reports
    logger.removeHandler(handler)


@pytest.mark.parametrize("view", [faulty_view, faulty_view_async], ids=["sync", "async"])
def test_when_a_view_fails_no_report_holds_a_piece_of_the_token(reports: Any, view: Any) -> None:
    texts = reports(require_scopes("read:users")(view))
    for text in texts:
        assert fragments(text) == []
    assert "user-1" in texts[0]
    assert "a variable of the view" in texts[0]
    assert "HTTP_AUTHORIZATION" in texts[0]  # by name, with its value hidden


def test_when_a_check_fails_none_does_and_the_check_can_still_be_mended(reports: Any) -> None:
    texts = reports(faulty_view, VALIDATOR=faulty_check_validator())
    for text in texts:
        assert fragments(text) == []
    assert "a variable of the check" in texts[0]
    assert "faulty_check" in texts[-1]


@pytest.mark.parametrize("hook", [faulty_user, faulty_user_async], ids=["sync", "async"])
def test_when_the_hook_for_users_fails_none_does(reports: Any, hook: Any) -> None:
    texts = reports(faulty_view, USER=hook)
    for text in texts:
        assert fragments(text) == []
    assert "a variable of the hook" in texts[0]


def test_when_the_function_that_gets_the_text_of_a_token_fails_none_does(reports: Any) -> None:
    texts = reports(faulty_view, token="opaque-0123456789", VALIDATOR=faulty_select_validator())
    for text in texts:
        assert "0123456789" not in text
    assert "a variable of the selection" in texts[0]


@pytest.mark.parametrize("handler", ["no_exception_handler", "faulty_exception_handler"])
@pytest.mark.parametrize(
    ("token", "user"), [(FORGED, None), (GOOD, absent_user)], ids=["of a bad token", "of a good one"]
)
def test_when_a_refusal_is_the_cause_of_something_worse_none_does(
    reports: Any, handler: str, token: str, user: Any
) -> None:
    # REST framework raises what no exception handler answers, and Django's page shows the frames of its cause.
    from rest_framework.negotiation import DefaultContentNegotiation

    from tests.integrations.test_django.test_rest_framework import view_class

    class AnyAccept(DefaultContentNegotiation):
        def select_renderer(self, request: Any, renderers: Any, *_: Any) -> Any:
            return renderers[0], renderers[0].media_type

    view = view_class(content_negotiation_class=AnyAccept).as_view()
    texts = reports(view, token=token, exception_handler=f"{__name__}.{handler}", USER=user)
    for text in texts:
        assert fragments(text) == []
    assert "credentials" in texts[0]  # the name of a variable of ours


def test_a_projects_own_filter_still_filters(reports: Any, configured: Configured) -> None:
    from django.views.debug import get_default_exception_reporter_filter

    configured(DEFAULT_EXCEPTION_REPORTER_FILTER=f"{__name__}.OwnFilter")
    get_default_exception_reporter_filter.cache_clear()
    try:
        texts = reports(faulty_view, VALIDATOR=faulty_check_validator())
    finally:
        get_default_exception_reporter_filter.cache_clear()
    for text in texts:
        assert fragments(text) == []
    assert "hidden by the project" in texts[0]


def test_what_is_looked_for_would_be_found_without_the_filter(
    reports: Any, configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without it, the frames of the validator tell the whole token.
    monkeypatch.setattr("tokenguard.integrations.django._requests.hide_token", lambda request: None)
    texts = reports(faulty_view, VALIDATOR=faulty_check_validator())
    assert any(fragments(text) for text in texts)
