"""Django REST framework: its authentication, and a permission that asks for scopes.

class Users(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [HasScopes("read:users")]

    def get(self, request):
        token = request.auth
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission, OperationHolderMixin

from ..errors import ConfigurationError, InsufficientScope, MissingToken, RequestRefused
from ..requirements import Requirement, require
from ..token import AccessToken
from ._common import Verdict, admit, members, name_and_log, require_verdict
from .django._requests import look, verdict_of
from .django._settings import configuration
from .django._user import TokenUser

__all__ = ["HasScopes", "TokenAuthentication", "TokenUser", "exception_handler"]


class TokenAuthentication(BaseAuthentication):
    """Authenticates by the bearer token: `request.auth` is then the `AccessToken`.

    Takes over what TokenGuardMiddleware found; without it, validates with the validator of `settings.TOKENGUARD`.
    An absent token is left to other authentication classes and to the permissions, a bad one is refused.

    Put it first in `authentication_classes`: REST framework lets the first one say what a 401 asks for.
    """

    def authenticate(self, request: Any) -> tuple[Any, AccessToken] | None:
        """Say who the request is of, for REST framework to call.

        Raises:
            APIException: refused; with its status, and the headers on the view.
        """
        _add_headers(request, {"Vary": "Authorization"})
        http, configured = request._request, configuration()
        if not isinstance(verdict_of(http), Verdict):
            try:
                look(http, configured, required=False)
            except RequestRefused as refused:
                raise _refusal(refused, request) from refused
        token = require_verdict(verdict_of(http)).token
        if token is None:
            return None
        return (TokenUser(token) if configured.user is None else http.user), token

    def authenticate_header(self, request: Any) -> str:
        """What a 401 asks for. REST framework calls it when it refuses a request for want of credentials."""
        missing = MissingToken()
        view = request.parser_context.get("view")
        permissions = [] if view is None else view.get_permissions()
        asked = [scope for one in permissions if isinstance(one, _HasScopes) for scope in one.requirement.scope]
        missing.scope = tuple(dict.fromkeys(asked))
        configuration().validator.refuse(missing)
        _add_headers(request, {"Cache-Control": "no-store"})
        return str(missing.challenge)


class HasScopes(OperationHolderMixin):
    """Lets a request through only if its token was granted these scopes: `permission_classes = [HasScopes("read")]`.

    Args:
        scopes: all of them are needed; compared exactly.
        any_of: one of them is needed.

    Raises:
        ConfigurationError: no or impossible scopes; when called, a view without TokenAuthentication.

    It combines with other permissions by `&`, `|` and `~`; what is refused by a combination REST framework answers in
    its own words, without a challenge for scopes. For any valid token there is REST framework's `IsAuthenticated`.
    """

    def __init__(self, *scopes: str, any_of: Collection[str] = ()) -> None:
        if not scopes and not any_of:
            raise ConfigurationError('HasScopes names no scope: permission_classes = [HasScopes("read:users")]')
        self._requirement = require(scopes, any_of)

    def __call__(self) -> _HasScopes:
        """Make one for a request, as REST framework does with a class."""
        return _HasScopes(self._requirement)


class _HasScopes(BasePermission):
    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement

    def has_permission(self, request: Any, view: Any) -> bool:
        self._request = request
        self._token = request.auth if isinstance(request.auth, AccessToken) else None  # of no other authentication
        if self._token is None:
            if not any(isinstance(one, TokenAuthentication) for one in request.authenticators):
                raise ConfigurationError(
                    f"{type(view).__name__} asks for scopes: put TokenAuthentication into its authentication_classes"
                )
            return False
        try:
            self.requirement.check(self._token)
        except InsufficientScope:
            return False
        return True

    @property
    def message(self) -> None:
        """Raise what is answered: REST framework reads it when it refuses because of this permission, and only then."""
        try:
            admit(Verdict(self._token, configuration().validator), self.requirement)
        except RequestRefused as refused:
            raise _refusal(refused, self._request) from refused


def exception_handler(exc: Exception, context: dict[str, Any]) -> Any:
    """REST framework's own handler, which also answers refusals that views raise. Name it as `EXCEPTION_HANDLER`.

    TokenGuardMiddleware answers them too; this is for projects without it, and for those that want REST framework's
    renderers.
    """
    from rest_framework import views

    if isinstance(exc, RequestRefused):
        exc = _refusal(exc, context["request"])
    return views.exception_handler(exc, context)


def _refusal(refused: RequestRefused, request: Any) -> APIException:
    """A refusal in REST framework's terms; its own and other people's exception handlers answer that."""
    name_and_log(refused, verdict_of(request))
    exception = APIException(members(refused))
    exception.status_code = refused.status
    _add_headers(request, {name: value for name, value in refused.headers.items() if name != "Content-Type"})
    return exception


def _add_headers(request: Any, headers: dict[str, str]) -> None:
    """Set headers of the response, whoever makes it. An exception could carry no `Cache-Control`."""
    found = getattr(request.parser_context.get("view"), "headers", {})
    vary = [value for value in (found.get("Vary"), headers.get("Vary")) if value]
    found.update(headers, **({"Vary": ", ".join(vary)} if vary else {}))
