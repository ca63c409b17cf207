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
from .._authorization import credentials
from .._common import Verdict, answer, name_and_log
from ._reports import hide_our_variables
from ._settings import Configuration

_VERDICT = "_tokenguard"  # of a request: neither a client nor a server in front of Django can set an attribute


def look(request: HttpRequest, configured: Configuration, *, required: bool) -> None:
    """Validate the token of a request, record the verdict, tell `request.user`.

    Raises:
        RequestRefused: it may not proceed.
    """
    with _hiding(request):
        raw = _raw(request, configured.validator, required)
        token = None if raw is None else configured.validator.validate(raw)
        record(request, token, configured.validator)
        if token is not None and configured.user is not None:
            _set_user(request, token, configured.user(token))


async def look_async(request: HttpRequest, configured: Configuration, *, required: bool) -> None:
    """`look`, which awaits where that waits."""
    with _hiding(request):
        raw = _raw(request, configured.validator, required)
        token = None if raw is None else await configured.validator.validate_async(raw)
        record(request, token, configured.validator)
        if token is not None and configured.user_async is not None:
            _set_user(request, token, await configured.user_async(token))


def verdict_of(request: Any) -> object:
    """What was found for this request, if anybody looked. A request of REST framework hands the question on."""
    return getattr(request, _VERDICT, None)


def record(request: HttpRequest, token: AccessToken | None, validator: TokenValidator) -> None:
    """Say what was found for this request."""
    setattr(request, _VERDICT, Verdict(token, validator))


def refuse(request: Any, refused: RequestRefused) -> HttpResponse:
    """The response to a refusal."""
    response = answer(name_and_log(refused, verdict_of(request)), request.method)
    return HttpResponse(response.body, status=response.status, headers=response.headers)


def vary(response: Any) -> Any:
    """Let caches, Django's own among them, keep a response for the sender of the same `Authorization` only."""
    if hasattr(response, "headers"):  # else it is no response, which Django says better
        patch_vary_headers(response, ("Authorization",))
    return response


@contextmanager
def _hiding(request: HttpRequest) -> Iterator[None]:
    try:
        yield
    except RequestRefused:
        raise
    except Exception:
        hide_our_variables(request)
        raise


def _raw(request: HttpRequest, validator: TokenValidator, required: bool) -> bytes | None:
    value = request.META.get("HTTP_AUTHORIZATION")  # of several, WSGI servers and Django's ASGI handler join the values
    return credentials([] if value is None else [value.encode("latin-1", "replace")], validator, required=required)


def _set_user(request: HttpRequest, token: AccessToken, user: Any) -> None:
    if user is None:
        raise AccessDenied(detail=f"no user here for subject {for_log(token.subject)}")

    async def auser() -> Any:
        return user

    request.user, request.auser = user, auser
