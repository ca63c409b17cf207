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
from .._verdict import admit, name_and_log, require_verdict
from ._requests import refuse, vary, verdict_of
from ._views import is_awaited, name_of, request_of, require_view

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
    require_view(view)
    if hasattr(view, _ASKS):
        raise ConfigurationError(f"{name_of(view)} asks for a token and cannot be public too")
    if inspect.ismethod(view):  # which can have no attribute of its own
        view = cast(F, functools.partial(view))
    setattr(view, PUBLIC, True)
    return view


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        require_view(view)
        if hasattr(view, PUBLIC):
            raise ConfigurationError(f"{name_of(view)} is public and cannot ask for a token too")
        in_use.add(getattr(view, "__module__", ""))

        def refusal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            request = request_of(view, args, kwargs)
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
                return _later(response) if is_awaited(view, args) else vary(response)

            guarded = guarded_sync
        setattr(guarded, _ASKS, requirement)
        return cast(F, guarded)

    return decorate


async def _later(response: Any) -> Any:
    return vary(await response if inspect.isawaitable(response) else response)
