"""What the operator says: which issuers to trust, and how far. Checked when it is said."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Set
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Literal

from . import profiles
from ._algorithms import ALGORITHMS
from ._fetch import Request
from ._numbers import check_count, check_seconds
from ._text import for_log
from ._urls import parse_url
from .errors import ConfigurationError
from .introspection import Introspection
from .profiles import Profile


class _AnyAudience(Enum):
    ANY_AUDIENCE = "ANY_AUDIENCE"

    def __repr__(self) -> str:
        return "ANY_AUDIENCE"


ANY_AUDIENCE: Final = _AnyAudience.ANY_AUDIENCE
"""As `audience`: accept tokens that were issued for anyone. Any API that gets such a token can replay it at yours."""

AnyAudience = Literal[_AnyAudience.ANY_AUDIENCE]

MAX_LEEWAY = 300  # RFC 9068 s4: a few minutes at most
MAX_AGE = 3660 * 86400  # of a token
MAX_SECONDS = 7 * 86400  # of any time in a policy: more is a mistake, and some is more than a thread can wait


_ASCENDING = (
    ("min_lifetime", "lifetime"),
    ("lifetime", "max_lifetime"),
    ("refresh_ahead", "lifetime"),
    ("retry_first", "retry_most"),
    ("connect_timeout", "total_timeout"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """How keys are fetched and kept. All times are in seconds.

    Args:
        lifetime: how long a fetched key set is fresh, where its `Cache-Control` says nothing usable.
        min_lifetime, max_lifetime: bounds of what `Cache-Control: max-age` may say.
        refresh_ahead: in the last so many seconds of its lifetime (a fifth of it at most) a set is fetched anew, beside
            requests; the very moment is left to chance, so that a fleet does not fetch in step.
        stale_window: how long past its lifetime a set serves while fetches fail; a discovery document too. May be 0.
        metadata_lifetime: how long a discovery document is fresh.
        cooldown: least time between two fetches that tokens force by unknown key ids, failed and hanging ones counted.
            Bad signatures force one in twice that time, and both together two in twice that time.
        retry_first, retry_most: wait after a failed fetch; doubles from the one to the other.
        connect_timeout, total_timeout: bounds of one HTTP request.
        patience: how long a request waits for keys before it is answered 503.
        max_bytes: size of a key set or discovery document, in bytes.
        max_keys: keys in a set.

    Raises:
        ConfigurationError: a number that is none, or two that contradict each other.
    """

    lifetime: float = 300.0
    min_lifetime: float = 60.0
    max_lifetime: float = 3600.0
    refresh_ahead: float = 60.0
    stale_window: float = 3600.0
    metadata_lifetime: float = 3600.0
    cooldown: float = 15.0
    retry_first: float = 1.0
    retry_most: float = 60.0
    connect_timeout: float = 1.0
    total_timeout: float = 3.0
    patience: float = 5.0
    max_bytes: int = 256 * 1024
    max_keys: int = 100

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name.startswith("max_") and name != "max_lifetime":
                check_count(f"KeyPolicy.{name}", value)
            else:
                check_seconds(f"KeyPolicy.{name}", value, most=MAX_SECONDS, zero=name == "stale_window")
        for low, high in _ASCENDING:
            if getattr(self, low) > getattr(self, high):
                raise ConfigurationError(
                    f"KeyPolicy.{low} ({getattr(self, low)}) is above KeyPolicy.{high} ({getattr(self, high)}): "
                    "lower the one or raise the other"
                )

    def request(self, url: str, known: Mapping[str, str] = MappingProxyType({})) -> Request:
        """A request for a key set or a discovery document, within these bounds."""
        return Request(
            url=url,
            known=known,
            connect_timeout=self.connect_timeout,
            total_timeout=self.total_timeout,
            max_bytes=self.max_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCache:
    """How much of what was proven is remembered, so that a repeated token costs no signature check.

    A remembered token is still judged each time: times, checks, and whether its key is still published. Tokens are
    known by their SHA-256; their text is not kept. Refused tokens are not remembered.

    Args:
        entries: tokens at most.
        text_bytes: length of all their texts at most, in bytes; what is kept of a token takes more than its text.
        lifetime: seconds at most; no token beyond its `exp`.

    Raises:
        ConfigurationError: a number that is none.
    """

    entries: int = 4096
    text_bytes: int = 16 * 1024 * 1024
    lifetime: float = 60.0

    def __post_init__(self) -> None:
        remedy = "; token_cache=None remembers nothing"
        check_count("TokenCache.entries", self.entries, remedy=remedy)
        check_count("TokenCache.text_bytes", self.text_bytes, remedy=remedy)
        check_seconds("TokenCache.lifetime", self.lifetime, most=MAX_SECONDS, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted authorization server, and every option that concerns it.

    Keys come from exactly one place: `jwks`, `jwks_uri`, `metadata_url`, or with none of them from discovery at the
    issuer's well-known addresses (RFC 8414 s3, OpenID Connect Discovery s4).

    Args:
        url: the issuer identifier, exactly as in the `iss` claim.
        jwks: the key set itself (`{"keys": [...]}`, RFC 7517 s5), where nothing is to be fetched.
        jwks_uri: where the key set is.
        metadata_url: where the metadata document is, if not at a well-known address. It must name `url` as its issuer.
        audience: replaces the validator's audience for tokens of this issuer.
        algorithms: the signature algorithms that its tokens may have; exact names.
        profile: the kind of token it sends.
        leeway: seconds of tolerance between its clock and ours, at most 300.
        max_token_age: seconds after `iat` for which its tokens are accepted at most; then `iat` is required.
        introspection: how to ask it about tokens that are no JWTs, or may have been revoked (RFC 7662).
        keys: how keys are fetched and kept.
        allow_insecure_http: fetch over http from hosts other than this machine. Whoever is on the path can then sign
            tokens that you accept.

    Raises:
        ConfigurationError: the options contradict each other, or can never accept a token.

    >>> Issuer("https://as.example.com", algorithms=("ES256",), leeway=10).leeway
    10
    """

    url: str
    _: KW_ONLY
    jwks: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    jwks_uri: str | None = None
    metadata_url: str | None = None
    audience: str | Collection[str] | AnyAudience | None = field(default=None, hash=False)
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
    profile: Profile = profiles.BASE
    leeway: float = 30
    max_token_age: float | None = None
    introspection: Introspection | None = None
    keys: KeyPolicy = KeyPolicy()
    allow_insecure_http: bool = False

    def __post_init__(self) -> None:
        said: Any = self  # what is annotated need not hold
        if not isinstance(said.url, str) or not said.url:
            raise ConfigurationError(f"an issuer is named by its URL, not by {said.url!r}")
        if said.introspection is not None and not isinstance(said.introspection, Introspection):
            raise ConfigurationError("introspection is none: write introspection=Introspection(client_id=..., ...)")
        self._check_source()
        self._check_algorithms(said.algorithms)
        if said.audience is not None:
            audiences(said.audience, where=f"Issuer({self.url!r}).audience")
        if not isinstance(said.profile, Profile):
            raise ConfigurationError(
                f"profile is {said.profile!r}: use one of tokenguard.profiles, such as profiles.BASE"
            )
        if not isinstance(said.keys, KeyPolicy):
            raise ConfigurationError(f"keys is {said.keys!r}: write keys=KeyPolicy(...)")
        check_seconds("leeway", said.leeway, most=MAX_LEEWAY, zero=True)
        if type(said.allow_insecure_http) is not bool:
            raise ConfigurationError(f"allow_insecure_http is {said.allow_insecure_http!r}: True or False")
        if said.max_token_age is not None:
            check_seconds("max_token_age", said.max_token_age, most=MAX_AGE, remedy="; None for any age")

    @property
    def has_keys(self) -> bool:
        """Whether keys of this issuer are ever needed: to check its tokens, or its signed answers."""
        return self.introspection is None or self.introspection.policy != "only" or self.introspection.signed_response

    def _check_source(self) -> None:
        named = [name for name in ("jwks", "jwks_uri", "metadata_url") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ConfigurationError(f"keys come from one place: keep one of {' and '.join(named)}")
        asked = self.introspection
        endpoint = None if asked is None else asked.endpoint
        if endpoint is not None:
            self._check_url("introspection.endpoint", endpoint)
        if not self.has_keys and self.jwks is not None:
            raise ConfigurationError('policy="only" asks the issuer about every token and needs no keys: drop jwks')
        if self.jwks is not None:
            jwks: Any = self.jwks
            if not isinstance(jwks, Mapping) or not isinstance(jwks.get("keys"), list):
                raise ConfigurationError('jwks is a JSON Web Key Set: {"keys": [...]} (RFC 7517 s5)')
            object.__setattr__(self, "jwks", copy.deepcopy(dict(jwks)))
        elif named:
            self._check_url(named[0], getattr(self, named[0]))
        from_metadata = (self.has_keys and not named) or (asked is not None and endpoint is None)
        if from_metadata and self.metadata_url is None:
            self._check_url("url", self.url)

    def _check_url(self, name: str, url: object) -> None:
        try:
            if not isinstance(url, str):
                raise ValueError("is no string")
            parts = parse_url(url, allow_insecure_http=self.allow_insecure_http)
            if name == "url" and parts.query:
                raise ValueError("has a query, and its metadata no well-known address (RFC 8414 s2): set jwks_uri")
        except ValueError as error:
            trouble = str(error)
        else:
            return
        raise ConfigurationError(f"Issuer {name} {for_log(url)} {trouble}")

    def _check_algorithms(self, algorithms: Any) -> None:
        if isinstance(algorithms, str) or not isinstance(algorithms, Collection) or not algorithms:
            raise ConfigurationError(f'algorithms is {algorithms!r}: a tuple such as ("RS256",)')
        for name in algorithms:
            if not isinstance(name, str) or name not in ALGORITHMS:
                raise ConfigurationError(
                    f"algorithm {name!r} can never verify a token here: choose from {', '.join(ALGORITHMS)}"
                )
        object.__setattr__(self, "algorithms", tuple(algorithms))


def audiences(audience: Any, *, where: str) -> tuple[str, ...] | None:
    """The accepted audiences, in the order given (sorted, where there is none); None for `ANY_AUDIENCE`.

    Raises:
        ConfigurationError: it is none of the accepted forms.
    """
    if audience is ANY_AUDIENCE:
        return None
    if isinstance(audience, str):
        audience = (audience,)
    if not isinstance(audience, Collection) or not audience:
        raise ConfigurationError(
            f"{where} is {audience!r}: name the API's identifier as it stands in the aud claim, or several of them; "
            "ANY_AUDIENCE accepts tokens that were issued for other APIs"
        )
    for name in audience:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{where} has {name!r}: each audience is a non-empty string")
    return tuple(sorted(audience)) if isinstance(audience, Set) else tuple(audience)
