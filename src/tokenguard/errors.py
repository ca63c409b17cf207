"""Everything this library raises.

    TokenGuardError
    ├─ ConfigurationError                  a programming or deployment fault; says the remedy
    └─ RequestRefused                      all that an adapter needs to answer
       ├─ MissingToken              401    ├─ InsufficientScope           403
       ├─ InvalidRequest            400    ├─ AccessDenied                403
       ├─ InvalidToken              401    ├─ InsufficientAuthentication  401 (RFC 9470)
       └─ Unavailable               503

A refusal has two audiences. The client gets `status`, `error` and `description`: RFC 6750's words, from fixed lists,
nothing finer. The operator gets `reason`, stable and countable, and `detail`, a sentence for the log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any, ClassVar

from .challenge import DEFAULT_REALM, Challenge, is_scope_token


class Reason(StrEnum):
    """Why a request was refused: the only taxonomy there is, for logs and metrics. The values are stable.

    >>> Reason.EXPIRED == "expired"
    True
    """

    # Credentials (400, 401)
    NO_TOKEN = "no_token"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    REPEATED_AUTHORIZATION = "repeated_authorization"

    # Form of the token (401)
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    ENCRYPTED = "encrypted"
    UNSUPPORTED_HEADER = "unsupported_header"
    WRONG_ALGORITHM = "wrong_algorithm"
    WRONG_TYPE = "wrong_type"

    # Claims (401)
    MISSING_CLAIM = "missing_claim"
    MALFORMED_CLAIM = "malformed_claim"
    TIME_IN_MILLISECONDS = "time_in_milliseconds"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_TOKEN_KIND = "wrong_token_kind"
    BOUND_TOKEN = "bound_token"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    TOO_OLD = "too_old"
    REVOKED = "revoked"

    # Key and signature (401)
    UNKNOWN_KEY = "unknown_key"
    AMBIGUOUS_KEY = "ambiguous_key"
    BAD_SIGNATURE = "bad_signature"

    # Introspection (401)
    INACTIVE = "inactive"

    # What the route asks (401, 403)
    INSUFFICIENT_SCOPE = "insufficient_scope"
    ACCESS_DENIED = "access_denied"
    INSUFFICIENT_AUTHENTICATION = "insufficient_authentication"

    # Cannot decide (503)
    KEYS_UNAVAILABLE = "keys_unavailable"
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    INTROSPECTION_CREDENTIALS_REJECTED = "introspection_credentials_rejected"


class TokenGuardError(Exception):
    """The root of all errors of this library."""


class ConfigurationError(TokenGuardError):
    """A programming or deployment fault: the message says what is wrong, where, and what to write instead."""


def _texts(said: Collection[str], legal: Callable[[str], bool]) -> tuple[str, ...]:
    texts = tuple(said)
    if isinstance(said, str) or not all(map(legal, texts)):
        raise ConfigurationError(f"{said!r} is no collection of texts that may stand in a challenge (RFC 6750 s3)")
    return texts


def _seconds(name: str, said: Any) -> int:
    """Whole seconds, as RFC 9470 s3 and RFC 9110 s10.2.3 have them. What is annotated need not hold."""
    if type(said) is not int or said < 0:
        raise ConfigurationError(f"{name} is {said!r}: write whole seconds, 0 or more, such as {name}=60")
    return said


class RequestRefused(TokenGuardError):
    """The request may not proceed.

    Args:
        reason: why, for logs and metrics; each subclass has a default. A plain text in its place is the detail, as with
            any exception: `AccessDenied("organisation 7 is suspended")`.
        detail: a sentence for the log. It is never sent to the client; put no token and no secret in it.

    Attributes:
        status: the HTTP status to answer with.
        error: the RFC 6750 s3.1 error code, or None where no code may be sent (no credentials, 503).
        description: the `error_description` for the client, from a fixed list.
        realm, scope: what the challenge names; whoever knows them sets them (the validator, the route's requirement).
            Without a realm it names `api`.
        retry_after: whole seconds after which to try again (503), else None.
        issuer: for metrics: the configured issuer that the token claims to be of.
        client_id: for metrics: the client it was issued to, where the token itself was proven.
    """

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = None
    default_reason: ClassVar[Reason]
    default_description: ClassVar[str | None] = None

    realm: str | None = None
    scope: tuple[str, ...] = ()
    retry_after: int | None = None
    issuer: str | None = None
    client_id: str | None = None

    def __init__(self, reason: Reason | str | None = None, detail: str = "") -> None:
        if isinstance(reason, str) and not isinstance(reason, Reason):  # reasons are few: they label metrics
            reason, detail = None, f"{reason}: {detail}" if detail else str(reason)
        self.reason = self.default_reason if reason is None else reason
        self.detail = detail
        super().__init__(self.reason, detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)

    @property
    def description(self) -> str | None:
        return self.default_description

    @property
    def challenge(self) -> Challenge | None:
        """The `WWW-Authenticate` value to answer with; None where there is nothing to ask for (503)."""
        return Challenge(
            realm=self.realm or (None if self.error else DEFAULT_REALM),
            error=self.error,
            error_description=self.description,
            scope=" ".join(self.scope) or None,
        )

    @property
    def headers(self) -> dict[str, str]:
        """All response headers of the refusal, apart from Content-Length."""
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
        if self.challenge is not None:
            headers["WWW-Authenticate"] = str(self.challenge)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers


class MissingToken(RequestRefused):
    """No bearer credentials were sent: a bare challenge, without an error code (RFC 6750 s3.1)."""

    default_reason = Reason.NO_TOKEN


class InvalidRequest(RequestRefused):
    """Bearer credentials were sent in a form that is none of RFC 6750's."""

    status = 400
    error = "invalid_request"
    default_reason = Reason.MALFORMED_AUTHORIZATION
    default_description = "The Authorization header is malformed"


class InvalidToken(RequestRefused):
    """The token was judged, and refused. The client learns whether it expired, and nothing else."""

    error = "invalid_token"
    default_reason = Reason.MALFORMED

    @property
    def description(self) -> str:
        return "The access token expired" if self.reason is Reason.EXPIRED else "The access token is invalid"


class InsufficientScope(RequestRefused):
    """The token is good and its scopes do not reach.

    Args:
        required: all scopes that the route needs; the challenge names them (RFC 6750 s3).
    """

    status = 403
    error = "insufficient_scope"
    default_reason = Reason.INSUFFICIENT_SCOPE
    default_description = "The request requires higher privileges than provided by the access token"

    def __init__(self, reason: Reason | str | None = None, detail: str = "", *, required: Collection[str] = ()) -> None:
        super().__init__(reason, detail)
        self.scope = self.required = _texts(required, is_scope_token)


class AccessDenied(RequestRefused):
    """A check of the application refused a good token. Raise it from a function given as `checks=`, or from a handler.

    >>> raise AccessDenied("organisation 7 is suspended")
    Traceback (most recent call last):
    tokenguard.errors.AccessDenied: access_denied: organisation 7 is suspended
    """

    status = 403
    error = "insufficient_scope"
    default_reason = Reason.ACCESS_DENIED
    default_description = "The request requires higher privileges than provided by the access token"


class InsufficientAuthentication(RequestRefused):
    """The token is good; the user's authentication is too old or too weak for this route (RFC 9470 s3).

    Args:
        acr_values: the authentication contexts that would do, best first.
        max_age: whole seconds since the user's last authentication that would do.

    Raises:
        ConfigurationError: `max_age` is no such number.
    """

    error = "insufficient_user_authentication"
    default_reason = Reason.INSUFFICIENT_AUTHENTICATION
    default_description = "A different authentication level is required"

    def __init__(
        self,
        reason: Reason | str | None = None,
        detail: str = "",
        *,
        acr_values: Collection[str] = (),
        max_age: int | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.acr_values = _texts(acr_values, is_scope_token)
        self.max_age = None if max_age is None else _seconds("max_age", max_age)

    @property
    def challenge(self) -> Challenge:
        return Challenge(
            realm=self.realm,
            error=self.error,
            error_description=self.description,
            acr_values=" ".join(self.acr_values) or None,
            max_age=self.max_age,
        )


class Unavailable(RequestRefused):
    """What would decide is out of reach: neither good nor bad. Clients keep their token and come back later.

    Args:
        retry_after: whole seconds after which to try again.

    Raises:
        ConfigurationError: it is no such number.
    """

    status = 503
    default_reason = Reason.KEYS_UNAVAILABLE

    def __init__(self, reason: Reason | str | None = None, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(reason, detail)
        self.retry_after = _seconds("retry_after", retry_after)

    @property
    def challenge(self) -> None:
        return None
