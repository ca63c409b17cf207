"""What the middlewares around a whole application are told: the same in ASGI and in WSGI."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from ..validator import TokenValidator
from ._common import check_options, check_validator
from ._public_paths import PublicPaths

App = TypeVar("App")
Request = TypeVar("Request")


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
