"""What is asked of a request, by the marks that decorators leave on functions.

A decorator returns a guard, a wrapper that asks, and marks what it wraps: of a guard above `@app.route` Flask knows
nothing. Before Flask calls anything, the extension looks for guards and marks on what it is about to call, and asks. So
the order of decorators makes no difference. A guard asks once more when it is called, as the extension cannot see
everything: a wrapper need not tell of what it is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flask import Flask, request, request_started
from flask.views import MethodView, View

from ...errors import ConfigurationError
from ...requirements import ANY_TOKEN, Requirement
from ...token import AccessToken
from .._verdict import admit as admit_verdict

EXTENSION: Final = "tokenguard"
VERDICT: Final = "_tokenguard_verdict"
ASKED: Final = "_tokenguard_asked"
GUARD: Final = "_tokenguard_guard"
PUBLIC: Final = "_tokenguard_public"


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
        for function in chain(view):
            if not guarded:  # what a guard wraps may be marked by others too, for other views
                requirements += getattr(function, ASKED, ())
            guard, requirement = getattr(function, GUARD, (None, ANY_TOKEN))
            if guard is function:  # else `functools.wraps` copied it
                guarded = True
                requirements.append(requirement)
    return requirements


def is_public(app: Flask) -> bool:
    """Whether the view of the current request needs no token."""
    # Flask strips slashes in front of a path; in front of other adapters such a path is never public.
    strange = request.environ.get("PATH_INFO", "").startswith("//")
    return not strange and any(hasattr(view, PUBLIC) for view in _views(app))


def _views(app: Flask) -> list[Any]:
    """The view of the current request; of a `MethodView` its method too."""
    view = app.view_functions.get(request.endpoint or "")
    of_class = getattr(view, "view_class", View)
    if not issubclass(of_class, MethodView):
        return [view]
    method = getattr(of_class, request.method.lower(), None)
    return [view, getattr(of_class, "get", None) if method is None and request.method == "HEAD" else method]


def admit(requirement: Requirement) -> AccessToken:
    verdict = getattr(request, VERDICT, None)
    if verdict is None:
        raise ConfigurationError(
            "this view asks for an access token, and nothing validates one: add TokenGuard(app, validator)"
        )
    return admit_verdict(verdict, requirement)


def chain(view: Any) -> Iterator[Any]:
    """A view, and all that it is a method, a wrapper (`functools.wraps`) or a partial of."""
    while view is not None:
        yield view
        view = next((getattr(view, name) for name in ("__func__", "__wrapped__", "func") if hasattr(view, name)), None)


@request_started.connect
def _never_open(app: Flask, **_: Any) -> None:
    """Without the extension nobody else asks for the marks."""
    if EXTENSION not in app.extensions:
        for requirement in asked(app):
            admit(requirement)
