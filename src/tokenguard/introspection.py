"""What the operator says about token introspection (RFC 7662). Checked when it is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ._numbers import check_count, check_seconds
from ._text import for_log
from .errors import ConfigurationError

Policy = Literal["opaque", "always", "only"]
Auth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "bearer"]

_CREDENTIAL = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "private_key_jwt": "private_key",
    "bearer": "bearer",
}
_DEFAULT_AUTH = {"client_secret": "client_secret_basic", "private_key": "private_key_jwt", "bearer": "bearer"}
_SECONDS = ("lifetime", "inactive_lifetime", "connect_timeout", "total_timeout", "patience")
_COUNTS = ("entries", "in_flight", "max_bytes")
_MAX_SECONDS = 86400
_TOKEN68 = re.compile("[A-Za-z0-9._~+/-]+=*")


def _is_text(text: Any) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """How to ask an issuer about tokens (RFC 7662), for those that nobody else can read, or may have been revoked.

    Args:
        endpoint: where to ask; by default what the issuer's metadata names as its `introspection_endpoint`.
        client_id: who asks. Not needed with `bearer`, unless answers are signed.
        client_secret, private_key, bearer: exactly one of them says so credibly: a secret shared with the server; a
            private key in PEM, whose public half the server knows; or a token for the endpoint itself.
        auth: how the credential is sent: `client_secret_basic` (the default for a secret), `client_secret_post`,
            `private_key_jwt` (RFC 7523) or `bearer`.
        key_id: the `kid` of the private key, where the server needs it.
        assertion_audience: `aud` of assertions signed with the private key; by default the issuer's URL. Some servers
            want the URL of the endpoint.
        policy: which tokens are asked about. `opaque`: those that are no JWTs. `always`: JWTs too, once their signature
            and claims are found good, so that revoked ones are refused. `only`: all tokens, and no keys are fetched.
        signed_response: ask for signed answers (RFC 9701), and take no other.
        allow_missing_aud: accept answers that do not say for whom a token is. Whatever the server issued for other APIs
            is then good here too.
        allow_missing_token_type: accept answers that do not say of which type a token is, which may be a refresh token.
            None, the default: where they say for whom it is, and that is us; not with `allow_missing_aud` or
            `ANY_AUDIENCE`. True: always. False: never.
        allow_missing_exp: accept tokens of which the server does not say when they expire; never cached.
        lifetime: seconds for which a good answer is remembered, no token beyond its `exp`; so long may a revoked token
            be accepted at most. 0: not at all.
        inactive_lifetime: seconds for which a token is remembered as inactive. 0: not at all.
        entries: how many tokens are remembered at most, of either kind.
        in_flight: calls at a time; others wait for their turn.
        connect_timeout, total_timeout: seconds; bounds of one HTTP request.
        patience: seconds that a request waits for its answer before it gets 503.
        max_bytes: size of an answer, in bytes.

    Raises:
        ConfigurationError: the options contradict each other.

    Not checked here: whether the server knows these credentials; the log and 503 tell.

    >>> Introspection(client_id="api", client_secret="s3cret")
    Introspection(endpoint=None, client_id='api', auth='client_secret_basic', policy='opaque')
    """

    endpoint: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    private_key: str | bytes | None = None
    bearer: str | None = None
    auth: Auth | None = None
    key_id: str | None = None
    assertion_audience: str | None = None
    policy: Policy = "opaque"
    signed_response: bool = False
    allow_missing_aud: bool = False
    allow_missing_token_type: bool | None = None
    allow_missing_exp: bool = False
    lifetime: float = 60.0
    inactive_lifetime: float = 10.0
    entries: int = 4096
    in_flight: int = 32
    connect_timeout: float = 1.0
    total_timeout: float = 3.0
    patience: float = 5.0
    max_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        self._check_credentials()
        if self.policy not in ("opaque", "always", "only"):
            raise ConfigurationError(f'Introspection.policy is {for_log(self.policy)}: "opaque", "always" or "only"')
        for name in ("signed_response", "allow_missing_aud", "allow_missing_token_type", "allow_missing_exp"):
            switch: Any = getattr(self, name)
            if type(switch) is not bool and not (switch is None and name == "allow_missing_token_type"):
                raise ConfigurationError(f"Introspection.{name} is {switch!r}: True or False")
        if self.signed_response and self.client_id is None:
            raise ConfigurationError(
                "Introspection.signed_response needs client_id: the answers are for us by that name (RFC 9701 s5)"
            )
        for name in _SECONDS:
            zero_is_off = name in ("lifetime", "inactive_lifetime")
            check_seconds(f"Introspection.{name}", getattr(self, name), most=_MAX_SECONDS, zero=zero_is_off)
        for name in _COUNTS:
            check_count(f"Introspection.{name}", getattr(self, name))
        if self.connect_timeout > self.total_timeout:
            raise ConfigurationError("Introspection.connect_timeout is above its total_timeout")

    def _check_credentials(self) -> None:
        given = [name for name in _DEFAULT_AUTH if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigurationError(
                "Introspection needs one credential (RFC 7662 s2.1: the endpoint asks who asks), and has "
                f"{' and '.join(given) or 'none'}: give client_id with client_secret or private_key, or bearer"
            )
        (name,) = given
        said: Any = getattr(self, name)
        if not isinstance(said, (str, bytes) if name == "private_key" else str) or not said:
            raise ConfigurationError(f"Introspection.{name} is empty, or of a wrong type")  # and is not shown
        method: Any = _DEFAULT_AUTH[name] if self.auth is None else self.auth
        if not isinstance(method, str) or _CREDENTIAL.get(method) != name:
            fitting = " or ".join(f'"{auth}"' for auth, needs in _CREDENTIAL.items() if needs == name)
            raise ConfigurationError(f"Introspection.auth is {for_log(method)}: with {name} it is {fitting}")
        if name == "bearer" and not _TOKEN68.fullmatch(str(said)):
            raise ConfigurationError(
                "Introspection.bearer is no token (RFC 6750 s2.1): is there a space or a line end?"
            )
        if name == "client_secret" and not _is_text(said):
            raise ConfigurationError("Introspection.client_secret has lone surrogates, which cannot be sent")
        who: Any = self.client_id
        if name != "bearer" and who is None:
            raise ConfigurationError(f"Introspection.client_id is None: name the client that {name} belongs to")
        if who is not None and (not isinstance(who, str) or not who or not _is_text(who)):
            raise ConfigurationError(f"Introspection.client_id is {who!r}: the name of the client, a text")
        for option in ("key_id", "assertion_audience"):
            value: Any = getattr(self, option)
            if value is not None and name != "private_key":
                raise ConfigurationError(f"Introspection.{option} says something only beside private_key")
            if value is not None and (not isinstance(value, str) or not value or not _is_text(value)):
                raise ConfigurationError(f"Introspection.{option} is {value!r}: a text, and not an empty one")
        object.__setattr__(self, "auth", method)

    def __repr__(self) -> str:
        shown = ("endpoint", "client_id", "auth", "policy")
        return f"Introspection({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
