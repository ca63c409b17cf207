"""What views ask for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from ...errors import ConfigurationError, MissingToken, RequestRefused
from ...requirements import ANY_TOKEN, Requirement, require
from ...token import AccessToken
from .._common import admit, name_and_log, require_verdict
from ._requests import refuse, vary, verdict_of

F = TypeVar("F", bound=Callable[..., Any])

PUBLIC: Final = "tokenguard_public"
_ASKS: Final = "tokenguard_asks"

in_use: Final[set[str]] = set()
"""Modules whose views ask for tokens: what `manage.py check` looks at."""


def get_token(request: Any) -> AccessToken:
    """The validated token of this request.

    Raises:
        MissingToken: it came without one, under `"REQUIRED": False` or to a public view.
        ConfigurationError: no TokenGuardMiddleware saw this request.
    """
    verdict = require_verdict(verdict_of(request))
    if verdict.token is None:
        raise name_and_log(MissingToken(), verdict)
    return verdict.token


def require_scopes(*scopes: str, any_of: Collection[str] = ()) -> Callable[[F], F]:
    """Let a request reach the view only if its token was granted these scopes.

    Args:
        scopes: all of them are needed; compared exactly.
        any_of: one of them is needed.

    Returns:
        A decorator for sync and async views and for methods of class-based ones; for a class as a whole use Django's
        `method_decorator(..., name="dispatch")`.

    Raises:
        ConfigurationError: when decorating, for no or impossible scopes and for what cannot be guarded; when called
            without TokenGuardMiddleware.

    >>> @require_scopes("read:users")
    ... def users(request): ...
    """
    return _guard(require(scopes, any_of))


def require_token(view: F) -> F:
    """Let a request reach the view only with a valid token, whatever its scopes. Otherwise as `require_scopes`.

    >>> @require_token
    ... async def profile(request): ...
    """
    return _guard(ANY_TOKEN)(view)


def public(view: F) -> F:
    """Let requests reach the view without a token. None is looked at, not even a bad one.

    >>> @public
    ... def health(request): ...
    """
    _require_view(view)
    if hasattr(view, _ASKS):
        raise ConfigurationError(f"{_name(view)} asks for a token and cannot be public too")
    if inspect.ismethod(view):  # which can have no attribute of its own
        view = cast(F, functools.partial(view))
    setattr(view, PUBLIC, True)
    return view


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        _require_view(view)
        if hasattr(view, PUBLIC):
            raise ConfigurationError(f"{_name(view)} is public and cannot ask for a token too")
        in_use.add(getattr(view, "__module__", ""))

        def refusal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            request = _request(view, args, kwargs)
            try:
                admit(verdict_of(request), requirement)
            except RequestRefused as refused:
                return refuse(request, refused)
            return None

        # What the view itself raises is left to the middleware: ATOMIC_REQUESTS has to see it.
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                refused = refusal(args, kwargs)
                return refused if refused is not None else vary(await view(*args, **kwargs))

            guarded: Callable[..., Any] = guarded_async
        else:

            @functools.wraps(view)
            def guarded_sync(*args: Any, **kwargs: Any) -> Any:
                refused = refusal(args, kwargs)
                response = refused if refused is not None else view(*args, **kwargs)
                return _later(response) if _is_awaited(view, args) else vary(response)

            guarded = guarded_sync
        setattr(guarded, _ASKS, requirement)
        return cast(F, guarded)

    return decorate


def _is_awaited(view: Any, args: tuple[Any, ...]) -> bool:
    """Whether a plain function is the `dispatch` of an async class: what it returns is then awaited."""
    owner = args[0] if args else None
    while view is not None:  # as `method_decorator` passes it: bound, in a partial, below other decorators
        owner = getattr(getattr(view, "func", view), "__self__", owner)
        view = getattr(view, "__wrapped__", None)
    return getattr(owner, "view_is_async", False)


async def _later(response: Any) -> Any:
    return vary(await response if inspect.isawaitable(response) else response)


def _request(view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # By what all of them have, for one of REST framework is no HttpRequest. It comes first, or behind `self`.
    for argument in (*args[:2], kwargs.get("request")):
        if hasattr(argument, "META"):
            return argument
    given = ", ".join(type(argument).__name__ for argument in (*args, *kwargs.values())) or "nothing"
    raise ConfigurationError(f"{_name(view)} was called with {given} in place of a request")


def _require_view(view: Any) -> None:
    """Raise ConfigurationError unless `view` can be called with a request and returns a response."""
    if isinstance(view, (type, staticmethod, classmethod)) or not callable(view):
        raise ConfigurationError(
            f"{_name(view)} is no view: of a class decorate its methods, or the class with "
            '@method_decorator(require_token, name="dispatch")'
        )
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise ConfigurationError(f"{_name(view)} is a generator: a view returns a response")
    innermost = inspect.unwrap(view)
    (_require_function if inspect.isfunction(innermost) else _require_parameter)(innermost)


def _require_parameter(view: Any) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(view).parameters.values()}
    if not kinds & {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }:
        raise ConfigurationError(f"{_name(view)} must take the request to be guarded: def {_name(view)}(request)")


_require_function = functools.lru_cache(maxsize=1024)(_require_parameter)  # `method_decorator` decorates on every call


def _name(view: Any) -> str:
    return getattr(view, "__qualname__", repr(view))
