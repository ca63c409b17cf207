"""Django's requests and responses: who sent them, what is found about them, how they are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from ..._text import for_log
from ...errors import AccessDenied, RequestRefused
from ...token import AccessToken
from ...validator import TokenValidator
from .._answers import answer
from .._authorization import credentials
from .._verdict import Verdict, bind, name_and_log
from ..wsgi import authorization
from ._reports import hide_token
from ._settings import Configuration

_VERDICT = "_tokenguard"  # of a request: neither a client nor a server in front of Django can set an attribute


def look(request: HttpRequest, configured: Configuration, *, required: bool) -> None:
    """Validate the token of a request, record the verdict, tell `request.user`.

    Raises:
        RequestRefused: it may not proceed.
    """
    with _judging(request, configured.validator):
        raw = credentials(authorization(request.META), configured.validator, required=required)
        token = None if raw is None else configured.validator.validate(raw)
        _bind(request, configured, token)
        if token is not None and configured.user is not None:
            _set_user(request, token, configured.user(token))
        record(request, token, configured.validator)


async def look_async(request: HttpRequest, configured: Configuration, *, required: bool) -> None:
    """`look`, which awaits where that waits."""
    with _judging(request, configured.validator):
        raw = credentials(authorization(request.META), configured.validator, required=required)
        token = None if raw is None else await configured.validator.validate_async(raw)
        _bind(request, configured, token)
        if token is not None and configured.user_async is not None:
            _set_user(request, token, await configured.user_async(token))
        record(request, token, configured.validator)


def verdict_of(request: Any) -> object:
    """What was found for this request, if anybody looked. A request of REST framework hands the question on."""
    return getattr(request, _VERDICT, None)


def record(request: HttpRequest, token: AccessToken | None, validator: TokenValidator) -> None:
    """Say what was found for this request."""
    setattr(request, _VERDICT, Verdict(token, validator))


def refuse(request: Any, refused: RequestRefused) -> HttpResponse:
    """The response to a refusal."""
    response = answer(name_and_log(refused, verdict_of(request)), request.method)
    return not_mailed(HttpResponse(response.body, status=response.status, headers=response.headers))


def not_mailed(response: Any) -> Any:
    """Keep Django from mailing ADMINS with each request of an outage: our own log has it, once a second."""
    if response.status_code == 503:
        response._has_been_logged = True  # as Django's log_response() says it to itself
    return response


def vary(response: Any) -> Any:
    """Let caches, Django's own among them, keep a response for the sender of the same `Authorization` only."""
    if hasattr(response, "headers"):  # else it is no response, which Django says better
        patch_vary_headers(response, ("Authorization",))
    return response


@contextmanager
def _judging(request: HttpRequest, validator: TokenValidator) -> Iterator[None]:
    """Let nothing that is raised show the token: a refusal neither, to which later errors may point as their cause."""
    try:
        yield
    except Exception as error:
        hide_token(request)
        if isinstance(error, RequestRefused):
            name_and_log(error, Verdict(None, validator))
        raise


def _bind(request: HttpRequest, configured: Configuration, token: AccessToken | None) -> None:
    if token is not None and configured.issuer_of is not None:
        bind(token, configured.issuer_of(request), configured.validator)


def _set_user(request: HttpRequest, token: AccessToken, user: Any) -> None:
    # Who was deactivated stays out, as with all of Django's and REST framework's own ways in. AnonymousUser never was.
    if user is None or not (getattr(user, "is_active", True) or getattr(user, "is_anonymous", False)):
        raise AccessDenied(detail=f"no active user here for subject {for_log(token.subject)}")

    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser
