"""Error pages and error mails, which show the variables of every frame."""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter

_US = __name__.partition(".")[0]


class _WithoutOurVariables:
    """The project's own filter, which also hides the variables of this package's frames: one of them is the token.

    `sensitive_variables` would not do. It hides nothing where DEBUG is on, and of a coroutine's callees nothing ever.
    """

    def __init__(self, of_the_project: Any) -> None:
        self._of_the_project = of_the_project

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of_the_project, name)

    def get_traceback_frame_variables(self, request: HttpRequest, tb_frame: FrameType) -> Iterable[tuple[str, Any]]:
        if tb_frame.f_globals.get("__name__", "").partition(".")[0] == _US:
            return [(name, SafeExceptionReporterFilter.cleansed_substitute) for name in tb_frame.f_locals]
        variables: Iterable[tuple[str, Any]] = self._of_the_project.get_traceback_frame_variables(request, tb_frame)
        return variables


def hide_our_variables(request: HttpRequest) -> None:
    """For a request whose token raised what nobody expected, such as a fault in a function given as `checks=`."""
    request.exception_reporter_filter = _WithoutOurVariables(get_exception_reporter_filter(request))
