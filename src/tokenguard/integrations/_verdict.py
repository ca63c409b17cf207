"""The verdict on a request, and the check before a handler.

Adapters translate; whatever decides is here or below, once.
"""

from __future__ import annotations

from typing import Final

from ..errors import ConfigurationError, MissingToken, RequestRefused
from ..requirements import Requirement, require_issuer
from ..token import AccessToken
from ..validator import TokenValidator

TOKEN_KEY: Final = "tokenguard.token"
"""Where the validated token stands in an ASGI scope or a WSGI environ, for other middleware to read. None: no token."""

VERDICT_KEY: Final = "tokenguard.verdict"
"""Where our own decorators look. Only an object of this module counts there."""


class Verdict:
    """What a middleware or extension found for this request, and the validator that found it.

    One is made for each request, and a frozen dataclass takes twice as long.
    """

    __slots__ = ("token", "validator")

    def __init__(self, token: AccessToken | None, validator: TokenValidator) -> None:
        self.token = token
        self.validator = validator


def bind(token: AccessToken, issuer: str | None, validator: TokenValidator) -> None:
    """See to it that a token is of the issuer whose tokens are good at the address of this request.

    Raises:
        InvalidToken: it is not; named and logged, ready to be answered.
    """
    try:
        require_issuer(token, issuer)
    except RequestRefused as refused:
        validator.refuse(refused)
        raise


def require_verdict(found: object) -> Verdict:
    """What stands under `VERDICT_KEY`, if one of our middlewares put it there.

    Raises:
        ConfigurationError: none did. A route that asks for a token is never open because nobody looked for one.
    """
    if type(found) is not Verdict:
        raise ConfigurationError(
            "this route asks for an access token, and nothing validates one: add TokenGuardMiddleware to the app"
        )
    return found


def admit(found: object, requirement: Requirement) -> AccessToken:
    """The token of a request whose route has this requirement.

    Raises:
        ConfigurationError: no middleware of ours saw the request.
        MissingToken, InsufficientScope: named and logged, ready to be answered.
    """
    verdict = require_verdict(found)
    try:
        if verdict.token is None:
            raise MissingToken
        requirement.check(verdict.token)
    except RequestRefused as refused:
        refused.scope = requirement.scope
        if verdict.token is not None:
            refused.issuer, refused.client_id = verdict.token.issuer, verdict.token.client_id
        name_and_log(refused, verdict)
        raise
    return verdict.token


def name_and_log(refused: RequestRefused, found: object) -> RequestRefused:
    """See to it that a refusal that an application raised names the realm and is logged; others passed here before."""
    if refused.realm is None:
        require_verdict(found).validator.refuse(refused)
    return refused
