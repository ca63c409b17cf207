"""What all adapters share: the verdict on a request, the check before a handler, and refusal to answer.

Adapters translate; whatever decides is here or below, once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal, ready to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes


def check_validator(validator: object) -> None:
    """See to it that a middleware or extension was given a validator; what is annotated need not hold.

    Raises:
        ConfigurationError: it was not.
    """
    if isinstance(validator, type) or not hasattr(validator, "validate_async"):
        raise ConfigurationError(f"validator is {validator!r}: pass a TokenValidator")


def check_options(required: object, issuer_of: object) -> None:
    """See to it that the options of a middleware or extension are what they should be.

    Raises:
        ConfigurationError: one is not.
    """
    if type(required) is not bool:
        raise ConfigurationError(f"required is {required!r}: True or False")
    if issuer_of is not None and (not callable(issuer_of) or iscoroutinefunction(issuer_of)):
        raise ConfigurationError(f"issuer_of is {issuer_of!r}: give a plain function")


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


_HELD: Final = ("Cache-Control", "Location", "Retry-After", "WWW-Authenticate")


def hold(headers: Any, refused: RequestRefused) -> None:
    """Whatever an error handler of the application made of a refusal: give its headers those of the refusal again."""
    for name in _HELD:
        if name in headers:
            del headers[name]
        if name in refused.headers:
            headers[name] = refused.headers[name]


def members(refused: RequestRefused) -> dict[str, str]:
    """The body of the response to a refusal, for frameworks that render it themselves."""
    if refused.status == 503:
        return {"error": "temporarily_unavailable"}
    said = {"error": refused.error, "error_description": refused.description}
    return {name: value for name, value in said.items() if value is not None}


def answer(refused: RequestRefused, method: str | None = None) -> Answer:
    """The response to a refusal of a request with this method: the *Answers* table, in bytes."""
    body = json.dumps(members(refused)).encode("ascii")
    headers = {**refused.headers, "Content-Length": str(len(body))}
    return Answer(status=refused.status, headers=headers, body=b"" if method == "HEAD" else body)
