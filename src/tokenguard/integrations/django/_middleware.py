"""The middleware, for Django's sync and async stacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_resolver

from ...errors import RequestRefused
from .._verdict import require_verdict
from ._decorators import PUBLIC
from ._requests import look, look_async, record, refuse, vary, verdict_of
from ._settings import configuration

_UNSEEN = "_tokenguard_unseen"  # of a request: nobody looked at its token, since its view seemed to be public


class TokenGuardMiddleware:
    """Lets a request through only with a valid access token in its `Authorization` header.

    What it does is in `settings.TOKENGUARD`. A request without a valid token is refused before anything behind this
    middleware runs, whatever its method and whether or not its URL exists; views with `@public` are left out. With
    `"REQUIRED": False` an *absent* token passes and the views ask. A token that is present and bad never passes.

    `request.user` stays what other middleware made it, unless `"USER"` names a function that tells who it is.

    Raises:
        ConfigurationError: the settings are wrong.

    Not checked: scopes; ask for those on the view. Nor CSRF, which is Django's: see docs/frameworks/django.md.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._configured = configuration()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        # Of the kind of the stack, or Django would call it in a thread.
        self.process_view = self._look_again_async if self._is_async else self._look_again

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._call_async(request)
        refusal = None if self._seems_public(request) else self._look(request)
        return _vary(request, self.get_response(request)) if refusal is None else refusal

    async def _call_async(self, request: HttpRequest) -> Any:
        refusal = None if self._seems_public(request) else await self._look_async(request)
        return _vary(request, await self.get_response(request)) if refusal is None else refusal

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that a view raised."""
        return refuse(request, exception) if isinstance(exception, RequestRefused) else None

    def _seems_public(self, request: HttpRequest) -> bool:
        """Whether no token is looked at, as far as can be said before other middleware had its turn."""
        if not self._configured.required and "HTTP_AUTHORIZATION" not in request.META:
            return False  # nor is there anything to look at
        try:
            view = get_resolver(getattr(request, "urlconf", None)).resolve(request.path_info).func
        except Http404:
            return False
        if not hasattr(view, PUBLIC):
            return False
        record(request, None, self._configured.validator)
        setattr(request, _UNSEEN, True)
        return True

    def _look(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a request that may not proceed."""
        try:
            look(request, self._configured, required=self._configured.required)
        except RequestRefused as refused:
            return refuse(request, refused)
        return None

    async def _look_async(self, request: HttpRequest) -> HttpResponse | None:
        try:
            await look_async(request, self._configured, required=self._configured.required)
        except RequestRefused as refused:
            return refuse(request, refused)
        return None

    # Middleware behind us may have changed the path, the language or `request.urlconf`, and with them the view.

    def _look_again(self, request: HttpRequest, view: Any, _: Sequence[Any], __: Mapping[str, Any]) -> Any:
        return self._look(request) if _is_no_longer_public(request, view) else None

    async def _look_again_async(self, request: HttpRequest, view: Any, _: Sequence[Any], __: Mapping[str, Any]) -> Any:
        return await self._look_async(request) if _is_no_longer_public(request, view) else None


def _is_no_longer_public(request: HttpRequest, view: Any) -> bool:
    if not hasattr(request, _UNSEEN) or hasattr(view, PUBLIC):
        return False
    delattr(request, _UNSEEN)
    return True


def _vary(request: HttpRequest, response: Any) -> Any:
    match = request.resolver_match
    depends = require_verdict(verdict_of(request)).token is not None or not hasattr(
        getattr(match, "func", None), PUBLIC
    )
    return vary(response) if depends else response
