"""What a view asks of a token."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rest_framework.permissions import BasePermission, OperationHolderMixin

from ...errors import ConfigurationError, InsufficientScope, RequestRefused
from ...requirements import Requirement, require
from ...token import AccessToken
from .._verdict import Verdict, admit
from ..django._settings import configuration
from ._answers import refusal
from ._authentication import TokenAuthentication


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
            raise refusal(refused, self._request) from refused
