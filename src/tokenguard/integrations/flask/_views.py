"""What views ask for.

A decorator returns a guard, a wrapper that asks, and marks what it wraps: of a guard above `@app.route` Flask knows
nothing. Before Flask calls anything, the extension looks for guards and marks on what it is about to call, and asks. So
the order of decorators makes no difference. A guard asks once more when it is called, as the extension cannot see
everything: a wrapper need not tell of what it is one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeVar, cast

from flask import Flask, request, request_started
from flask.views import MethodView, View
from werkzeug.local import LocalProxy

from ...errors import ConfigurationError
from ...requirements import ANY_TOKEN, Requirement, require
from ...token import AccessToken
from .._common import admit

F = TypeVar("F", bound=Callable[..., Any])

EXTENSION: Final = "tokenguard"
VERDICT: Final = "_tokenguard_verdict"
_ASKED: Final = "_tokenguard_asked"
_GUARD: Final = "_tokenguard_guard"
_PUBLIC: Final = "_tokenguard_public"


def get_token() -> AccessToken:
    """The validated token of the current request.

    Raises:
        MissingToken: it came without one, or to a public view.
        ConfigurationError: the application has no TokenGuard.
    """
    return _admit(ANY_TOKEN)


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
    if any(getattr(function, _ASKED, ()) for function in _chain(_checked(view))):
        raise ConfigurationError(f"{view.__qualname__} asks for a token and cannot be public too")
    setattr(getattr(view, "__func__", view), _PUBLIC, True)
    return view


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        if any(hasattr(function, _PUBLIC) for function in _chain(_checked(view))):
            raise ConfigurationError(f"{view.__qualname__} is public and cannot ask for a token too")

        async def guard_async(*args: Any, **kwargs: Any) -> Any:
            _admit(requirement)
            return await view(*args, **kwargs)

        def guard_sync(*args: Any, **kwargs: Any) -> Any:
            _admit(requirement)
            return view(*args, **kwargs)

        guard = functools.wraps(view)(guard_async if inspect.iscoroutinefunction(view) else guard_sync)
        vars(guard).update({_ASKED: (), _GUARD: (guard, requirement)})
        for function in filter(inspect.isfunction, _chain(view)):
            others = getattr(function, _ASKED, ())
            if requirement not in others:  # Flask-RESTful decorates for each request
                setattr(function, _ASKED, (requirement, *others))
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


def _chain(view: Any) -> Iterator[Any]:
    """A view, and all that it is a method, a wrapper (`functools.wraps`) or a partial of."""
    while view is not None:
        yield view
        view = next((getattr(view, name) for name in ("__func__", "__wrapped__", "func") if hasattr(view, name)), None)


def asked(app: Flask) -> list[Requirement]:
    """What is asked by all that Flask is about to call for the current request."""
    called: list[Any] = []
    for name in (None, *request.blueprints):
        called += app.before_request_funcs.get(name, ())
    # Where Flask answers OPTIONS by itself it calls no view; a CORS preflight brings no token.
    if not (request.method == "OPTIONS" and getattr(request.url_rule, "provide_automatic_options", False)):
        called += _views(app)
    requirements: list[Requirement] = []
    for view in called:
        guarded = False
        for function in _chain(view):
            if not guarded:  # what a guard wraps may be marked by others too, for other views
                requirements += getattr(function, _ASKED, ())
            guard, requirement = getattr(function, _GUARD, (None, ANY_TOKEN))
            if guard is function:  # else `functools.wraps` copied it
                guarded = True
                requirements.append(requirement)
    return requirements


def is_public(app: Flask) -> bool:
    """Whether the view of the current request needs no token."""
    # Flask strips slashes in front of a path; in front of other adapters such a path is never public.
    strange = request.environ.get("PATH_INFO", "").startswith("//")
    return not strange and any(hasattr(view, _PUBLIC) for view in _views(app))


def _views(app: Flask) -> list[Any]:
    """The view of the current request; of a `MethodView` its method too."""
    view = app.view_functions.get(request.endpoint or "")
    of_class = getattr(view, "view_class", View)
    if not issubclass(of_class, MethodView):
        return [view]
    method = getattr(of_class, request.method.lower(), None)
    return [view, getattr(of_class, "get", None) if method is None and request.method == "HEAD" else method]


def _admit(requirement: Requirement) -> AccessToken:
    verdict = getattr(request, VERDICT, None)
    if verdict is None:
        raise ConfigurationError(
            "this view asks for an access token, and nothing validates one: add TokenGuard(app, validator)"
        )
    return admit(verdict, requirement)


@request_started.connect
def _never_open(app: Flask, **_: Any) -> None:
    """Without the extension nobody else asks for the marks."""
    if EXTENSION not in app.extensions:
        for requirement in asked(app):
            _admit(requirement)
