"""What views ask for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from werkzeug.local import LocalProxy

from ...errors import ConfigurationError
from ...requirements import ANY_TOKEN, Requirement, require
from ...token import AccessToken
from ._marks import ASKED, GUARD, PUBLIC, admit, chain

F = TypeVar("F", bound=Callable[..., Any])


def get_token() -> AccessToken:
    """The validated token of the current request.

    Raises:
        MissingToken: it came without one, or to a public view.
        ConfigurationError: the application has no TokenGuard.
    """
    return admit(ANY_TOKEN)


current_token: AccessToken = cast(AccessToken, LocalProxy(get_token))
"""The validated token of the current request: `get_token()`, each time it is used."""


def require_scopes(*scopes: str, any_of: Collection[str] = ()) -> Callable[[F], F]:
    """Let a request reach the view only if its token was granted these scopes.

    Args:
        scopes: all of them are needed; compared exactly.
        any_of: one of them is needed.

    Returns:
        A decorator for views, methods of class views and `before_request` functions, sync, async or generators, above
        or below `@app.route`.

    Raises:
        ConfigurationError: when decorating, for no or impossible scopes and for what cannot be guarded; when called in
            an application without TokenGuard.

    >>> @require_scopes("read:users")
    ... def users(): ...
    """
    return _guard(require(scopes, any_of))


def require_token(view: F) -> F:
    """Let a request reach the view only with a valid token, whatever its scopes. Otherwise as `require_scopes`.

    >>> @require_token
    ... async def profile(): ...
    """
    return _guard(ANY_TOKEN)(view)


def public(view: F) -> F:
    """Let requests reach the view without a token. None is looked at, not even a bad one.

    >>> @public
    ... def health(): ...
    """
    if any(getattr(function, ASKED, ()) for function in chain(_checked(view))):
        raise ConfigurationError(f"{view.__qualname__} asks for a token and cannot be public too")
    setattr(getattr(view, "__func__", view), PUBLIC, True)
    return view


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        if any(hasattr(function, PUBLIC) for function in chain(_checked(view))):
            raise ConfigurationError(f"{view.__qualname__} is public and cannot ask for a token too")

        async def guard_async(*args: Any, **kwargs: Any) -> Any:
            admit(requirement)
            return await view(*args, **kwargs)

        def guard_sync(*args: Any, **kwargs: Any) -> Any:
            admit(requirement)
            return view(*args, **kwargs)

        guard = functools.wraps(view)(guard_async if inspect.iscoroutinefunction(view) else guard_sync)
        vars(guard).update({ASKED: (), GUARD: (guard, requirement)})
        for function in filter(inspect.isfunction, chain(view)):
            others = getattr(function, ASKED, ())
            if requirement not in others:  # Flask-RESTful decorates for each request
                setattr(function, ASKED, (requirement, *others))
        return cast(F, guard)

    return decorate


def _checked(view: Any) -> Any:
    name = getattr(view, "__qualname__", repr(view))
    if not inspect.isfunction(view) and not inspect.ismethod(view):
        raise ConfigurationError(
            f"{name} is no function: of a class view decorate its methods, or name it in `decorators`"
        )
    if inspect.isasyncgenfunction(view):
        raise ConfigurationError(f"{name} is an async generator: Flask has no such views")
    return view
