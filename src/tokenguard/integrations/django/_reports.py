"""Error pages and error mails, which show the variables of every frame."""

from __future__ import annotations

from collections.abc import Iterable
from types import FrameType
from typing import Any, Final

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter

_US: Final = __name__.partition(".")[0]
_LEAST: Final = 8  # characters: what is shorter is no secret, and part of too much else
_HIDDEN: Final = SafeExceptionReporterFilter.cleansed_substitute


class _WithoutToken:
    """The project's own filter, which also hides all variables of this package's frames, and the token in others.

    `sensitive_variables` would not do. It hides nothing where DEBUG is on, and of a coroutine's callees nothing ever.
    """

    def __init__(self, of_the_project: Any, token: str) -> None:
        self._of_the_project = of_the_project
        self._token = token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of_the_project, name)

    def get_traceback_frame_variables(self, request: HttpRequest, tb_frame: FrameType) -> Iterable[tuple[str, Any]]:
        if tb_frame.f_globals.get("__name__", "").partition(".")[0] == _US:
            return [(name, _HIDDEN) for name in tb_frame.f_locals]
        variables = self._of_the_project.get_traceback_frame_variables(request, tb_frame)
        return [(name, _HIDDEN if self._has_token(value) else value) for name, value in variables]

    def _has_token(self, value: object) -> bool:
        """A function given as `select=` has it, of which it is to say whose it is."""
        return isinstance(value, str) and len(self._token) >= _LEAST and self._token in value


def hide_token(request: HttpRequest) -> None:
    """For a request whose token was refused, or led to what nobody expected: a fault of a function in `checks=`."""
    token = request.META.get("HTTP_AUTHORIZATION", "").rstrip().rpartition(" ")[2]
    request.exception_reporter_filter = _WithoutToken(get_exception_reporter_filter(request), token)
