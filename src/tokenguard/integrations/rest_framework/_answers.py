"""Refusals in REST framework's terms. Exception handlers, the project's own too, say what the body is, no more."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import APIException

from ...errors import RequestRefused
from .._answers import hold, members
from .._verdict import name_and_log
from ..django._requests import not_mailed, verdict_of


def exception_handler(exc: Exception, context: dict[str, Any]) -> Any:
    """REST framework's own handler, which also answers refusals that views raise. Name it as `EXCEPTION_HANDLER`.

    TokenGuardMiddleware answers them too; this is for projects without it, and for those that want REST framework's
    renderers.
    """
    from rest_framework import views

    if not isinstance(exc, RequestRefused):
        return views.exception_handler(exc, context)
    hold_response(view_of(context["request"]), "finalize_response", exc)
    return views.exception_handler(_in_its_terms(exc, context["request"]), context)


def refusal(refused: RequestRefused, request: Any) -> APIException:
    """What to raise for a refusal."""
    exception = _in_its_terms(refused, request)
    hold_response(view_of(request), "handle_exception", refused, exception)
    return exception


def _in_its_terms(refused: RequestRefused, request: Any) -> APIException:
    name_and_log(refused, verdict_of(request))
    exception = APIException(members(refused))
    exception.status_code = refused.status
    return exception


def hold_response(view: Any, method: str, refused: RequestRefused, only_of: object = None) -> None:
    """See to it that the response that a method of the view returns (to `only_of`) has a refusal's status and headers.

    There is one view for each request. Where the exception was caught, by REST framework's metadata or by the project,
    nothing is held.
    """
    if view is None:
        return
    respond = getattr(view, method)

    def held(said: object, *args: Any, **kwargs: Any) -> Any:
        response = respond(said, *args, **kwargs)
        if only_of is None or said is only_of:
            response.status_code = refused.status
            hold(response.headers, refused)
            not_mailed(response)
        return response

    setattr(view, method, held)


def view_of(request: Any) -> Any:
    """The view that a request is for; None where somebody made it by hand."""
    return request.parser_context.get("view")
