"""Flask: the extension, and what views ask for.

TokenGuard(app, validator)

@app.get("/users")
@require_scopes("read:users")
def users():
    return {"caller": current_token.subject}
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FunctionType
from typing import Any, Final, TypeVar, cast

from flask import Flask, Request, Response, current_app, request, request_started
from flask.views import MethodView
from werkzeug.local import LocalProxy

from ..errors import ConfigurationError, RequestRefused
from ..requirements import ANY_TOKEN, Requirement, require
from ..token import AccessToken
from ..validator import TokenValidator
from ._authorization import credentials
from ._common import TOKEN_KEY, VERDICT_KEY, Verdict, admit, answer, bind, check_options, check_validator, hold
from .wsgi import authorization

__all__ = ["TokenGuard", "current_token", "get_token", "public", "require_scopes", "require_token"]

F = TypeVar("F", bound=Callable[..., Any])

_EXTENSION: Final = "tokenguard"
_PUBLIC: Final = "_tokenguard_public"
_ASKS: Final = "_tokenguard_asks"
_REFUSED: Final = "tokenguard.refused"


class TokenGuard:
    """The extension: validates the token of each request, before any `before_request` function of the application.

    A token that is present and bad is refused. An absent one passes, unless `required`, and the views ask.

    Args:
        app: the application; or call `init_app` later, for as many applications as you like.
        validator: who decides; otherwise `app.config["TOKENGUARD"]`, a TokenValidator or its settings as a mapping.
        required: True asks for a token whatever is requested, unknown URLs, automatic OPTIONS and static files too;
            only views with `@public` are left out.
        issuer_of: where tenants have issuers and addresses of their own: a plain function from the request to the URL
            of the issuer whose tokens are good there, None if nobody's are. One tenant's token is then refused at
            another's address.

    Raises:
        ConfigurationError: an argument is not usable.

    Not checked: scopes; ask for those on the view.
    """

    def __init__(
        self,
        app: Flask | None = None,
        validator: TokenValidator | None = None,
        *,
        required: bool = False,
        issuer_of: Callable[[Request], str | None] | None = None,
    ) -> None:
        check_options(required, issuer_of)
        if validator is not None:
            check_validator(validator)
        self._validator = validator
        self._required = required
        self._issuer_of = issuer_of
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an application.

        Raises:
            ConfigurationError: there is no usable validator, or the application is guarded already.
        """
        said: object = app  # what is annotated need not hold
        if not isinstance(said, Flask):
            raise ConfigurationError(f"app is {app!r}: TokenGuard(app, validator) takes a Flask application first")
        if _EXTENSION in app.extensions:
            raise ConfigurationError(f"{app!r} has a TokenGuard already")
        validator = _configured(app.config.get("TOKENGUARD")) if self._validator is None else self._validator
        app.extensions[_EXTENSION] = self
        # In front of all: what a function before us answered would need no token. Behind all: what one after us changed
        # would not hold.
        app.before_request_funcs.setdefault(None, []).insert(0, functools.partial(self._look, validator))
        app.after_request_funcs.setdefault(None, []).insert(0, _hold_to_refusal)
        app.error_handler_spec[None][None].setdefault(RequestRefused, _respond)
        handle = app.handle_user_exception

        def handle_user_exception(*args: Any) -> Any:
            error = args[-1]
            if isinstance(error, RequestRefused):
                if error.realm is None:  # raised by the application
                    validator.refuse(error)
                request.environ[_REFUSED] = error
            return handle(*args)

        vars(app)["handle_user_exception"] = handle_user_exception  # as Flask-RESTful does: whoever handles it, we know

    def _look(self, validator: TokenValidator) -> None:
        """Before each request: validate its token."""
        environ = request.environ
        environ.pop(_REFUSED, None)
        environ[TOKEN_KEY], environ[VERDICT_KEY] = None, Verdict(None, validator)
        view = current_app.view_functions.get(request.endpoint or "")
        # Flask strips slashes in front of a path; in front of other adapters such a path is never public.
        if _is_public(view) and not environ.get("PATH_INFO", "").startswith("//"):
            return
        text = credentials(authorization(environ), validator, required=self._required)
        if text is not None:
            token = validator.validate(text)
            if self._issuer_of is not None:
                bind(token, self._issuer_of(request), validator)
            environ[TOKEN_KEY], environ[VERDICT_KEY] = token, Verdict(token, validator)
        for requirement in getattr(view, _ASKS, ()):
            _admit(requirement)


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
        A decorator for views and for methods of class views, sync, async or generators, above or below `@app.route`.

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
    if any(hasattr(function, _ASKS) for function in _functions(view)):
        raise ConfigurationError(f"{_name(view)} asks for a token and cannot be public too")
    setattr(view, _PUBLIC, True)
    return view


def _guard(requirement: Requirement) -> Callable[[F], F]:
    def decorate(view: F) -> F:
        functions = list(_functions(view))
        if any(hasattr(function, _PUBLIC) for function in functions):
            raise ConfigurationError(f"{_name(view)} is public and cannot ask for a token too")

        if inspect.iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                _admit(requirement)
                return await view(*args, **kwargs)

            guarded: Callable[..., Any] = guarded_async
        else:

            @functools.wraps(view)
            def guarded_sync(*args: Any, **kwargs: Any) -> Any:
                _admit(requirement)
                return view(*args, **kwargs)

            guarded = guarded_sync
        setattr(guarded, _ASKS, ())  # it asks by itself
        # If we stand above `@app.route`, one of those below is the view, and nobody calls `guarded`. What a module has
        # under its name is not below an `@` now: it may be another view too.
        for function in functions:
            if function.__globals__.get(function.__name__) is not function:
                setattr(function, _ASKS, (*getattr(function, _ASKS, ()), requirement))
        return cast(F, guarded)

    return decorate


def _functions(view: Any) -> Iterator[FunctionType]:
    """A view, and what it wraps."""
    if not inspect.isfunction(view):
        raise ConfigurationError(
            f"{_name(view)} is no function: of a class view decorate its methods, or name it in `decorators`"
        )
    if inspect.isasyncgenfunction(view):
        raise ConfigurationError(f"{_name(view)} is an async generator: Flask has no such views")
    while inspect.isfunction(view):
        yield view
        view = getattr(view, "__wrapped__", None)


def _name(view: Any) -> str:
    return getattr(view, "__qualname__", repr(view))


def _is_public(view: Any) -> bool:
    of_class = getattr(view, "view_class", None)
    if of_class is not None and issubclass(of_class, MethodView) and not hasattr(view, _PUBLIC):
        method = request.method.lower()
        view = getattr(of_class, method, None) or (method == "head" and getattr(of_class, "get", None))
    return hasattr(view, _PUBLIC)


_NOBODY_LOOKED: Final = "this view asks for an access token, and nothing validates one: add TokenGuard(app, validator)"


def _admit(requirement: Requirement) -> AccessToken:
    found = request.environ.get(VERDICT_KEY)
    if _EXTENSION not in current_app.extensions or type(found) is not Verdict:
        raise ConfigurationError(_NOBODY_LOOKED)
    return admit(found, requirement)


@request_started.connect
def _never_open(app: Flask, **_: Any) -> None:
    """Without the extension, a view whose decorator stands above `@app.route` would not notice."""
    view = app.view_functions.get(request.endpoint or "")
    if hasattr(view, _ASKS) and _EXTENSION not in app.extensions:
        raise ConfigurationError(_NOBODY_LOOKED)


def _respond(refused: RequestRefused) -> Response:
    """The error handler of refusals, where the application has none."""
    response = answer(refused, request.method)
    return current_app.response_class(response.body, response.status, response.headers)


def _hold_to_refusal(response: Response) -> Response:
    """After each request: whatever an error handler made of a refusal, it is one."""
    refused = request.environ.pop(_REFUSED, None)
    if refused is not None:
        response.status_code = refused.status
        hold(response.headers, refused)
    return response


def _configured(said: Any) -> TokenValidator:
    if said is None:
        raise ConfigurationError('no validator: TokenGuard(app, validator), or app.config["TOKENGUARD"] = validator')
    if isinstance(said, Mapping):
        from ..settings import validator_from

        said = validator_from(said)
    check_validator(said)
    return cast(TokenValidator, said)
