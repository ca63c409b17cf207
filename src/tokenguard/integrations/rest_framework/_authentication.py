"""Who a request is of: its token says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AND, OR

from ...errors import MissingToken, RequestRefused
from ...requirements import Requirement
from ...token import AccessToken
from .._verdict import Verdict, require_verdict
from ..django._requests import look, verdict_of
from ..django._settings import configuration
from ._answers import hold_response, refusal, view_of
from ._user import TokenUser


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
        headers = getattr(view_of(request), "headers", {})  # of its response
        headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Authorization")))
        http, configured = request._request, configuration()
        if not isinstance(verdict_of(http), Verdict):
            try:
                look(http, configured, required=False)
            except RequestRefused as refused:
                raise refusal(refused, request) from refused
        token = require_verdict(verdict_of(http)).token
        if token is None:
            return None
        return (TokenUser(token) if configured.user is None else http.user), token

    def authenticate_header(self, request: Any) -> str:
        """What a 401 asks for. REST framework calls it when it refuses a request for want of credentials."""
        missing, view = MissingToken(), view_of(request)
        missing.scope = () if view is None else scopes_of(view.get_permissions())
        configuration().validator.refuse(missing)
        hold_response(view, "finalize_response", missing)
        return str(missing.challenge)


def scopes_of(permissions: Iterable[Any]) -> tuple[str, ...]:
    """All scopes that these permissions ask for, alone or combined; not those that `~` asks nobody to have."""
    found: list[str] = []
    for permission in permissions:
        requirement = getattr(permission, "requirement", None)
        if isinstance(requirement, Requirement):  # of a HasScopes
            found += requirement.scope
        elif isinstance(permission, AND | OR):
            found += scopes_of((permission.op1, permission.op2))
    return tuple(dict.fromkeys(found))
