"""What a view is, and how it is called: what decorators have to know of it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ...errors import ConfigurationError


def require_view(view: Any) -> None:
    """Raise ConfigurationError unless `view` can be called with a request and returns a response."""
    if isinstance(view, (type, staticmethod, classmethod)) or not callable(view):
        raise ConfigurationError(
            f"{name_of(view)} is no view: of a class decorate its methods, or the class with "
            '@method_decorator(require_token, name="dispatch")'
        )
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise ConfigurationError(f"{name_of(view)} is a generator: a view returns a response")
    innermost = inspect.unwrap(view)
    (_require_function if inspect.isfunction(innermost) else _require_parameter)(innermost)


def _require_parameter(view: Any) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(view).parameters.values()}
    if not kinds & {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }:
        raise ConfigurationError(f"{name_of(view)} must take the request to be guarded: def {name_of(view)}(request)")


_require_function = functools.lru_cache(maxsize=1024)(_require_parameter)  # `method_decorator` decorates on every call


def request_of(view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The request among a view's arguments: first, or behind `self`; by what all have, REST framework's too."""
    for argument in (*args[:2], kwargs.get("request")):
        if hasattr(argument, "META"):
            return argument
    given = ", ".join(type(argument).__name__ for argument in (*args, *kwargs.values())) or "nothing"
    raise ConfigurationError(f"{name_of(view)} was called with {given} in place of a request")


def is_awaited(view: Any, args: tuple[Any, ...]) -> bool:
    """Whether a plain function is the `dispatch` of an async class: what it returns is then awaited."""
    owner = args[0] if args else None
    while view is not None:  # as `method_decorator` passes it: bound, in a partial, below other decorators
        owner = getattr(getattr(view, "func", view), "__self__", owner)
        view = getattr(view, "__wrapped__", None)
    return getattr(owner, "view_is_async", False)


def name_of(view: Any) -> str:
    return getattr(view, "__qualname__", repr(view))
