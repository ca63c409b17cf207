"""A validator without an issuer: it believes whatever a test says."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from ..challenge import is_scope_token
from ..errors import ConfigurationError, InvalidToken, Reason, RequestRefused, Unavailable
from ..token import AccessToken, Claims
from ..validator import TokenValidator

_log = logging.getLogger("tokenguard")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what adapters take for a token, RFC 6750 s2.1

_ARGUMENTS = {
    "iss": "issuer",
    "sub": "subject",
    "aud": "audience",
    "client_id": "client_id",
    "scope": "scopes",
    "roles": "roles",
    "jti": "token_id",
    "iat": "clock",
    "exp": "expires_in",
}


class StaticValidator(TokenValidator):
    """Accepts any bearer text as one and the same access token: for tests of routes, and for nothing else.

    It goes wherever a `TokenValidator` goes, fetches nothing and checks nothing: neither signature nor time, audience
    nor issuer. Scopes are still asked for by the routes. It says so in the log when it is made.

    Args:
        scopes: what the token grants.
        subject, client_id: whom it is about, and the client it was issued to; None for none.
        roles: what the subject is.
        claims: further claims, of JSON types; those that an argument names are said there.
        issuer, audience, token_id: as the token has them.
        expires_in: seconds from now until `expires_at`. A websocket is closed then, nothing else happens.
        realm: what challenges call the API; by default the audience.
        tokens: accept these texts alone, each as an `AccessToken`, or as the one token with these scopes; every
            other text is refused with 401.
        refusal: refuse every text with what this makes: `InvalidToken`, `lambda: InvalidToken(Reason.EXPIRED)`. Each
            time anew: one exception that was raised twice would show the second caller what the first one was told.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: an argument is of the wrong form, or contradicts another.

    >>> validator = StaticValidator(scopes=("orders:read",), claims={"org_id": 7})
    >>> token = validator.validate("any.text.at.all")
    >>> token.subject, token.scopes, token.claims["org_id"]
    ('user-1', frozenset({'orders:read'}), 7)
    >>> validator = StaticValidator(tokens={"reader": ("orders:read",), "nobody": ()})
    >>> validator.validate("reader").scopes
    frozenset({'orders:read'})
    >>> validator.validate("writer")
    Traceback (most recent call last):
    tokenguard.errors.InvalidToken: bad_signature: none of the texts that this StaticValidator takes
    """

    def __init__(
        self,
        *,
        scopes: Collection[str] = (),
        subject: str | None = "user-1",
        client_id: str | None = "client-1",
        roles: Collection[str] = (),
        claims: Mapping[str, Any] | None = None,
        issuer: str = "https://as.example.com",
        audience: str = "https://api.example.com",
        token_id: str = "token-1",
        expires_in: float = 3600,
        realm: str | None = None,
        tokens: Mapping[str, AccessToken | Collection[str]] | None = None,
        refusal: Callable[[], RequestRefused] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # What is not overridden below then judges for real, and refuses.
        super().__init__(issuer, audience=audience, realm=realm, clock=clock)
        now = int(clock())

        def token(granted: object) -> AccessToken:
            return _token(
                scopes=_names("scopes", granted),
                roles=_names("roles", roles),
                more={} if claims is None else claims,
                claims={
                    "iss": issuer,
                    "sub": subject,
                    "aud": audience,
                    "client_id": client_id,
                    "jti": token_id,
                    "iat": now,
                    "exp": now + expires_in,
                },
            )

        if tokens is not None and scopes:
            raise ConfigurationError('scopes and tokens both say what is granted: tokens={"reader": ("read",)}')
        self._any = token(scopes) if tokens is None else None
        self._tokens = {
            _bearer_text(text): said if isinstance(said, AccessToken) else token(said)
            for text, said in ({} if tokens is None else tokens).items()
        }
        self._refusal = refusal
        self._issuer_url = issuer
        self._down: Unavailable | None = None
        if refusal is not None:
            said: object = refusal  # what is annotated need not hold
            if not callable(said):
                raise ConfigurationError(
                    f"refusal is of type {type(said).__name__}: give the class, or a function that makes one for each "
                    "request, such as refusal=InvalidToken"
                )
            refused: object = refusal()
            if not isinstance(refused, RequestRefused):
                raise ConfigurationError(
                    f"refusal makes {type(refused).__name__}: give a function that makes a RequestRefused, "
                    "such as refusal=InvalidToken"
                )
            self._down = refused if isinstance(refused, Unavailable) else None
        _log.warning("StaticValidator accepts what nobody signed: it is for tests only")

    @classmethod
    def unavailable(cls, retry_after: int = 1) -> Self:
        """One that cannot decide, as where keys are out of reach: 503.

        Args:
            retry_after: seconds.

        >>> StaticValidator.unavailable().validate("any.text")
        Traceback (most recent call last):
        tokenguard.errors.Unavailable: keys_unavailable: this StaticValidator was told so
        """
        return cls(refusal=lambda: Unavailable(detail="this StaticValidator was told so", retry_after=retry_after))

    def validate(self, token: str | bytes) -> AccessToken:
        """The token that this text stands for.

        Raises:
            InvalidToken: for none, where `tokens` says which there are; or what `refusal` makes.
            TypeError: `token` is neither str nor bytes.
        """
        text: Any = token  # what is annotated need not hold
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"a token is str or bytes, not {type(text).__name__}")
        try:
            return self._judge(text if isinstance(text, str) else text.decode("latin-1"))
        except RequestRefused as refused:
            self.refuse(refused)
            raise

    async def validate_async(self, token: str | bytes) -> AccessToken:
        """`validate`, awaited."""
        return self.validate(token)

    def warm_up(self, timeout: float = 10.0) -> None:
        """Nothing to fetch.

        Raises:
            Unavailable: `refusal` makes it.
        """
        if self._down is not None:
            self._judge("")

    async def warm_up_async(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as its sync twin
        """`warm_up`, awaited."""
        self.warm_up(timeout)

    @property
    def ready(self) -> bool:
        """True, unless `refusal` makes `Unavailable`."""
        return self._down is None

    def health(self) -> dict[str, dict[str, Any]]:
        """As of an issuer whose keys are not used; `down` where `refusal` makes `Unavailable`."""
        health: dict[str, Any] = {"state": "unused", "key_ids": [], "age": None, "next_refresh": None}
        health["last_error"] = None
        if self._down is not None:
            health |= {"state": "down", "next_refresh": float(self._down.retry_after or 1), "last_error": "as told"}
        return {self._issuer_url: health}

    def seconds_left(self, token: AccessToken) -> float:
        """Until the token expires, without leeway."""
        return token.expires_at - self._clock()

    def _judge(self, text: str) -> AccessToken:
        if self._refusal is not None:
            raise self._refusal()
        token = self._any or self._tokens.get(text)
        if token is None:
            raise InvalidToken(Reason.BAD_SIGNATURE, "none of the texts that this StaticValidator takes")
        return token

    def __repr__(self) -> str:
        does = "accepts any text" if self._any is not None else f"accepts {len(self._tokens)} texts"
        return f"<StaticValidator for tests only: {does if self._refusal is None else 'refuses all'}, checks nothing>"


def _token(
    *, scopes: frozenset[str], roles: frozenset[str], more: Mapping[str, Any], claims: dict[str, Any]
) -> AccessToken:
    for name in more:
        if name in _ARGUMENTS:
            raise ConfigurationError(f"claims has {name}: say {_ARGUMENTS[name]}=... in its place")
    said = {name: value for name, value in claims.items() if value is not None}
    said |= {"scope": " ".join(sorted(scopes))} if scopes else {}
    said |= {"roles": sorted(roles)} if roles else {}
    try:
        said |= json.loads(json.dumps(dict(more), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"claims are none that JSON can carry: {error}") from None
    return AccessToken(
        issuer=claims["iss"],
        subject=claims["sub"],
        client_id=claims["client_id"],
        audience=(claims["aud"],),
        scopes=scopes,
        roles=roles,
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        token_id=claims["jti"],
        claims=Claims(said),
    )


def _names(argument: str, said: object) -> frozenset[str]:
    if isinstance(said, (str, bytes)) or not isinstance(said, Collection):
        example = tuple(said.split()) if isinstance(said, str) else ("read",)
        raise ConfigurationError(f"{argument} is {said!r}: a collection of names, such as {argument}={example}")
    for name in said:
        if not isinstance(name, str) or not name or (argument == "scopes" and not is_scope_token(name)):
            raise ConfigurationError(f"{argument} has {name!r}: a single name, without spaces")
    return frozenset(said)


def _bearer_text(text: object) -> str:
    if not isinstance(text, str) or not _TOKEN68.fullmatch(text):
        raise ConfigurationError(
            f"tokens has {text!r}: no client can send that after Bearer (RFC 6750 s2.1); take letters, digits and -._~"
        )
    return text
