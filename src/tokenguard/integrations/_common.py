"""What all adapters share: headers to token, refusal to answer, and the check before a handler.

Adapters translate; whatever decides is here or below, once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

from .._jws import MAX_TOKEN_BYTES
from ..errors import ConfigurationError, InvalidRequest, InvalidToken, MissingToken, Reason, RequestRefused
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


# A "Bearer" that ends there or is followed by something that cannot belong to a scheme's name (RFC 9110 s5.6.2, tchar).
_BEARER = re.compile(rb"bearer(?![!#$%&'*+.^_`|~0-9a-z-])", re.IGNORECASE)
_ANOTHER_BEARER = re.compile(rb",[ \t]*bearer(?:[ \t]|\Z)", re.IGNORECASE)
_MAX_CREDENTIALS = MAX_TOKEN_BYTES + 64  # looked at before anything is searched for in it
_CREDENTIALS = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")  # RFC 6750 s2.1: 1*SP b64token
_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/-"


def bearer_token(values: Sequence[bytes]) -> bytes:
    """The token in the values of all `Authorization` fields of a request (RFC 6750 s2.1).

    Raises:
        MissingToken: there is none: no such field, or one of another scheme.
        InvalidRequest: there is something that means to be a bearer token and is not exactly one.
    """
    if not values:
        raise MissingToken
    # As WSGI servers join them, since all adapters have to agree (RFC 9110 s5.2). Next to a comma, Bearer is refused.
    value = values[0] if len(values) == 1 else b", ".join(values)
    token = value[7:]
    # Nearly all are so, and nothing below would say otherwise: the search takes three times as long.
    if (
        value[:7].lower() == b"bearer "
        and token
        and len(value) <= _MAX_CREDENTIALS
        and not token.translate(None, _TOKEN68)
    ):
        return token
    value = value.strip(b" \t")  # RFC 9110 s5.5: white space around a field's value is no part of it
    if _ANOTHER_BEARER.search(value, 0, _MAX_CREDENTIALS):  # servers join repeated fields with a comma
        raise InvalidRequest(Reason.REPEATED_AUTHORIZATION, "Bearer stands behind a comma: fields joined by a server?")
    if not _BEARER.match(value):
        raise MissingToken(detail="another scheme than Bearer")
    if len(value) > _MAX_CREDENTIALS:
        raise InvalidToken(Reason.TOO_LARGE, f"{len(value)} bytes of credentials")
    credentials = _CREDENTIALS.fullmatch(value)
    if credentials is None:
        if len(values) > 1:
            raise InvalidRequest(Reason.REPEATED_AUTHORIZATION, f"{len(values)} Authorization headers")
        raise InvalidRequest(Reason.MALFORMED_AUTHORIZATION, "Bearer is not followed by exactly one token")
    return credentials[1]


def credentials(values: Sequence[bytes], validator: TokenValidator, *, required: bool) -> bytes | None:
    """The token in the `Authorization` fields of a request; None where it may come without, and does.

    Raises:
        MissingToken, InvalidRequest: named and logged, ready to be answered.
    """
    try:
        return bearer_token(values)
    except RequestRefused as refused:
        if isinstance(refused, MissingToken) and not required:
            return None
        validator.refuse(refused)
        raise


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


class PublicPaths:
    """Paths that need no token: exact ones, and subtrees written as `/x/*`.

    Raises:
        ConfigurationError: one that would open more than it says, or never match.
    """

    def __init__(self, paths: Collection[str]) -> None:
        said: Any = paths  # what is annotated need not hold
        if isinstance(said, str) or not isinstance(said, Collection):
            raise ConfigurationError(f'public is {said!r}: a collection of paths, such as public=("/health",)')
        for path in said:
            if not isinstance(path, str):
                raise ConfigurationError(f"public path {path!r} is no string")
            subtree = path.removesuffix("/*")
            if not path.startswith("/") or "*" in subtree or _is_ambiguous(path) or not subtree:
                raise ConfigurationError(
                    f'public path {path!r}: write an exact, decoded path such as "/health", or a subtree such as '
                    '"/static/*"; what is all public needs no middleware'
                )
        self._exact = frozenset(path for path in paths if not path.endswith("/*"))
        self._subtrees = tuple(path[:-1] for path in paths if path.endswith("/*"))

    def include(self, path: str, mount: str, raw_path: bytes | None) -> bool:
        """Whether a request needs no token.

        A path that two readers may read differently is never public: what lies behind us may be the other reader.

        Args:
            path: decoded, with the mount in front of it or without (servers differ).
            mount: where the application is mounted, `root_path` or `SCRIPT_NAME`.
            raw_path: as it was sent; without it nobody can say what was encoded.
        """
        if raw_path is None or _is_ambiguous(path) or _ENCODED_SEPARATOR.search(raw_path):
            return False
        # As Starlette reads it, to the letter: else one route would be open in place of another.
        if mount and (path == mount or path.startswith(f"{mount}/")):
            path = path[len(mount) :]
        return path in self._exact or path.startswith(self._subtrees)


_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c|25)", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"//|[\\;%\x00-\x1f\ufffd]|/\.{1,2}(?:/|\Z)")  # U+FFFD: bytes that are no UTF-8


def _is_ambiguous(path: str) -> bool:
    return _AMBIGUOUS.search(path) is not None
