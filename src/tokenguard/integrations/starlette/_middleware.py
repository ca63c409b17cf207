"""The middleware, and Starlette's own words for who a request is of."""

from __future__ import annotations

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser

from ...token import AccessToken
from .. import asgi


class TokenUser(BaseUser):
    """`request.user` of a request with a token; `token` has all of it."""

    def __init__(self, token: AccessToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.identity

    @property
    def identity(self) -> str:
        return self.token.subject or self.token.client_id or ""


class _NoUser(UnauthenticatedUser):
    """`request.user` of a request without a token."""


class _TokenCredentials(AuthCredentials):
    """`request.auth` of a request with a token. The list is made when somebody asks for it."""

    def __init__(self, token: AccessToken) -> None:
        self._token = token

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        return ["authenticated", *sorted(self._token.scopes)]


class TokenGuardMiddleware(asgi.TokenGuardMiddleware):
    """The ASGI middleware, which also sets `request.user` and `request.auth` where nobody did before.

    Arguments and behaviour are those of `tokenguard.integrations.asgi.TokenGuardMiddleware`. Starlette's own
    `@requires("read")` then works on the token's scopes, with Starlette's answers; `require_scopes` gives RFC 6750's.
    """

    def announce(self, scope: asgi.Scope, token: AccessToken | None) -> None:
        unsaid = "user" not in scope and "auth" not in scope
        if unsaid or isinstance(scope.get("user"), (TokenUser, _NoUser)):  # of an outer middleware like this one
            scope["user"] = _NoUser() if token is None else TokenUser(token)
            scope["auth"] = AuthCredentials() if token is None else _TokenCredentials(token)
