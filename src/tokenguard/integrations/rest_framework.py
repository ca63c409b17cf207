"""Django REST framework: its authentication, and a permission that asks for scopes.

class Users(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [HasScopes("read:users")]

    def get(self, request):
        token = request.auth
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import AND, OR, BasePermission, OperationHolderMixin

from ..errors import ConfigurationError, InsufficientScope, MissingToken, RequestRefused
from ..requirements import Requirement, require
from ..token import AccessToken
from ._common import Verdict, admit, members, name_and_log, require_verdict
from .django._requests import look, not_mailed, verdict_of
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
            APIException: refused.
        """
        headers = getattr(_view_of(request), "headers", {})  # of its response
        headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Authorization")))
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
        missing, view = MissingToken(), _view_of(request)
        missing.scope = () if view is None else scopes_of(view.get_permissions())
        configuration().validator.refuse(missing)
        _hold(view, "finalize_response", missing)
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

    if not isinstance(exc, RequestRefused):
        return views.exception_handler(exc, context)
    _hold(_view_of(context["request"]), "finalize_response", exc)
    return views.exception_handler(_in_its_terms(exc, context["request"]), context)


def scopes_of(permissions: Iterable[Any]) -> tuple[str, ...]:
    """All scopes that these permissions ask for, alone or combined; not those that `~` asks nobody to have."""
    found: list[str] = []
    for one in permissions:
        if isinstance(one, _HasScopes):
            found += one.requirement.scope
        elif isinstance(one, AND | OR):
            found += scopes_of((one.op1, one.op2))
    return tuple(dict.fromkeys(found))


def _refusal(refused: RequestRefused, request: Any) -> APIException:
    """What to raise for a refusal. Exception handlers, the project's own too, say what the body is."""
    exception = _in_its_terms(refused, request)
    _hold(_view_of(request), "handle_exception", refused, exception)
    return exception


def _in_its_terms(refused: RequestRefused, request: Any) -> APIException:
    name_and_log(refused, verdict_of(request))
    exception = APIException(members(refused))
    exception.status_code = refused.status
    return exception


def _hold(view: Any, method: str, refused: RequestRefused, only_of: object = None) -> None:
    """See to it that the response that a method of the view returns (to `only_of`) has a refusal's status and headers.

    There is one view for each request. Where the exception was caught, by REST framework's metadata or by the project,
    nothing is held.
    """
    if view is None:
        return
    respond = getattr(view, method)

    def held(said: object, *args: Any, **kwargs: Any) -> Any:
        response = respond(said, *args, **kwargs)
        if only_of is None or said is only_of:
            response.status_code = refused.status
            for name in refused.headers.keys() - {"Content-Type"}:
                response.headers[name] = refused.headers[name]
        return not_mailed(response)

    setattr(view, method, held)


def _view_of(request: Any) -> Any:
    return request.parser_context.get("view")
