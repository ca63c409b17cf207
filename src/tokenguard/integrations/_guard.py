"""What middlewares and extensions are told, and the middleware around a whole application, in ASGI and in WSGI."""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import iscoroutinefunction
from typing import Generic, TypeVar

from ..errors import ConfigurationError
from ..validator import TokenValidator
from ._public_paths import PublicPaths

App = TypeVar("App")
Request = TypeVar("Request")


def check_validator(validator: object, name: str = "validator") -> None:
    """See to it that a middleware or extension was given a validator; what is annotated need not hold.

    Raises:
        ConfigurationError: it was not.
    """
    if isinstance(validator, type) or not hasattr(validator, "validate_async"):
        raise ConfigurationError(f"{name} is {kind(validator)}: pass a TokenValidator")


def check_options(required: object, issuer_of: object) -> None:
    """See to it that the options of a middleware or extension are what they should be.

    Raises:
        ConfigurationError: one is not.
    """
    if type(required) is not bool:
        raise ConfigurationError(f"required is {required!r}: True or False")
    if issuer_of is not None and (not callable(issuer_of) or iscoroutinefunction(issuer_of)):
        raise ConfigurationError(f"issuer_of is {issuer_of!r}: give a plain function")


def kind(value: object) -> str:
    """What a thing is; it may hold secrets."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


class Guard(Generic[App, Request]):
    """A middleware, as it is before the first request."""

    def __init__(
        self,
        app: App,
        validator: TokenValidator,
        *,
        required: bool = True,
        public: Collection[str] = (),
        issuer_of: Callable[[Request], str | None] | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            validator: who decides.
            required: False lets a request *without* a token through (the application then finds None), for applications
                that ask route by route. A token that is present and bad is refused all the same.
            public: paths that need no token and where none is looked at: exact decoded paths below the mount, or
                `"/static/*"` for a subtree. Everything else is protected whatever its method, CORS preflights too: put
                CORS middleware outside of this one.
            issuer_of: where tenants have issuers and addresses of their own: a plain function from the scope or environ
                to the URL of the issuer whose tokens are good there, None if nobody's are. One tenant's token is then
                refused at another's address.

        Raises:
            ConfigurationError: an argument is not usable.
        """
        check_validator(validator)
        check_options(required, issuer_of)
        self.app = app
        self.validator = validator
        self._issuer_of = issuer_of
        self._required = required
        paths = PublicPaths(public)
        self._public = paths if public else None
