"""The validator: the core, its clock, and what fetches for it."""

from __future__ import annotations

import inspect
import math
import os
import time
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from types import TracebackType
from typing import Any, Never, Self

from ._core import Check, Core
from ._fetch import Fetch, Miss
from ._flight import Flights
from ._introspection.opaque import Select
from ._report import Reporter
from ._transport import HttpClient, Transport
from ._trust import Trusted
from .challenge import DEFAULT_REALM, is_challenge_text
from .config import AnyAudience, Issuer, TokenCache, audiences
from .errors import ConfigurationError, RequestRefused, Unavailable
from .events import Event
from .tenants import TenantIssuers
from .token import AccessToken

_DEFAULT_CACHE = TokenCache()
_REST, _MOMENT = 1.0, 0.02  # seconds for threads to end, at most and at least
_SERVING = ("fresh", "stale", "unused")


class TokenValidator:
    """Validates access tokens: signature, `iss`, `aud`, `exp`, `nbf` and the rest, against each issuer's cached keys.

    Where an issuer has `introspection`, it is asked as well, or instead. Build one when the application starts, and
    share it: between threads, event loops and adapters.

    Args:
        issuers: whom to trust, each by URL or as an `Issuer` with options of its own; or as `TenantIssuers`.
        audience: the identifier of this API as it stands in the `aud` claim; of several, any match suffices.
            `ANY_AUDIENCE` does without, and accepts tokens that were issued for other APIs.
        realm: what challenges call this API; by default the first audience.
        checks: plain functions that see each validated token, on every request. None accepts; raising `AccessDenied`
            (or another `RequestRefused`) refuses; any other exception propagates, and nothing passes.
        on_event: called with each `tokenguard.events.Event`, on whatever thread it happens; what it raises is logged.
        select: where several issuers have `introspection`: a plain function from the text of an opaque token to the URL
            of its issuer (or several, which are asked in turn). A token is shown to nobody else.
        token_cache: how many proven tokens to remember, so that a repeated one costs no signature check; None for none.
        http_client: an `httpx.Client` or `httpx2.Client` to fetch keys and ask issuers with; yours to close.
        clock: seconds since the epoch; for `exp`, `nbf` and `iat`.
        monotonic: seconds that never jump; for lifetimes of what was fetched.

    Raises:
        ConfigurationError: an option is wrong, or contradicts another; the message has the remedy.

    Not checked: scopes (see `require_scopes` of the adapters), proof of possession (a token with `cnf` is refused),
    revocation, unless an issuer's `introspection` or a `Denylist` among the checks says it.

    >>> validator = TokenValidator("https://as.example.com", audience="https://api.example.com")
    >>> validator.realm
    'https://api.example.com'
    """

    def __init__(
        self,
        *issuers: str | Issuer | TenantIssuers,
        audience: str | Collection[str] | AnyAudience,
        realm: str | None = None,
        checks: Collection[Check] = (),
        select: Select | None = None,
        token_cache: TokenCache | None = _DEFAULT_CACHE,
        http_client: HttpClient | None = None,
        on_event: Callable[[Event], None] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not issuers:
            raise ConfigurationError('no issuer to trust: TokenValidator("https://as.example.com", audience=...)')
        trusted = [issuer if isinstance(issuer, (Issuer, TenantIssuers)) else Issuer(issuer) for issuer in issuers]
        urls = [issuer.url for issuer in trusted if isinstance(issuer, Issuer)]
        for url in urls:
            if urls.count(url) > 1:
                raise ConfigurationError(f"issuer {url} is given twice")
        names = audiences(audience, where="audience")
        cache: Any = token_cache  # what is annotated need not hold
        if cache is not None and not isinstance(cache, TokenCache):
            raise ConfigurationError(f"token_cache is {cache!r}: TokenCache(...), or None for none")
        _require_callables(on_event=on_event, clock=clock, monotonic=monotonic)
        self.realm: str = _realm(realm, names)
        self._reporter = Reporter(on_event, monotonic)
        self._core = Core(
            trusted,
            audience=None if names is None else frozenset(names),
            checks=checks,
            token_cache=token_cache,
            emit=self._reporter.happened,
            select=select,
        )
        self._transport = Transport(_sync_client(http_client), monotonic)
        self._flights = Flights(self._transport, monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._notify = on_event is not None
        _all.add(self)

    def validate(self, token: str | bytes) -> AccessToken:
        """Validate a token, as it stands after `Bearer `.

        Waits only where something has to be fetched, a few seconds at most: keys, for one request at a time per issuer,
        or what the issuer says of this token.

        Args:
            token: the compact token.

        Returns:
            The validated token.

        Raises:
            InvalidToken: the token was judged and refused; answer 401.
            AccessDenied: a check refused it (or what else a check raised); answer with its `status` and `headers`.
            Unavailable: it could not be judged, as the issuer is out of reach; answer 503, never 401.
            ConfigurationError: a check returned something, or `select` or `allowed` did not do as they have to.
            TypeError: `token` is neither str nor bytes.

        >>> validator = TokenValidator("https://as.example.com", audience="https://api.example.com")
        >>> validator.validate("no.such.token")
        Traceback (most recent call last):
        tokenguard.errors.InvalidToken: malformed: signature: not canonical base64url
        """
        try:
            began = self._monotonic()
            outcome = self._core.decide(token, self._clock(), began)
            while isinstance(outcome, Miss):
                answer = self._flights.wait(outcome.fetch, self._patience(outcome.fetch, began))
                outcome = outcome.resume(answer, self._clock(), self._monotonic())
        except RequestRefused as refused:
            self.refuse(refused)
            raise
        finally:
            if self._core.due:
                self._start_due()
        if self._notify:
            self._reporter.accepted(outcome)
        return outcome

    async def validate_async(self, token: str | bytes) -> AccessToken:
        """`validate`, for asyncio and trio: the same core, caches and errors. It awaits only what is fetched."""
        try:
            began = self._monotonic()
            outcome = self._core.decide(token, self._clock(), began)
            while isinstance(outcome, Miss):
                answer = await self._flights.wait_async(outcome.fetch, self._patience(outcome.fetch, began))
                outcome = outcome.resume(answer, self._clock(), self._monotonic())
        except RequestRefused as refused:
            self.refuse(refused)
            raise
        finally:
            if self._core.due:
                self._start_due()
        if self._notify:
            self._reporter.accepted(outcome)
        return outcome

    def warm_up(self, timeout: float = 10.0) -> None:
        """Fetch the keys of all issuers, so that no request has to wait for them. For start-up and readiness probes.

        Args:
            timeout: seconds to wait at most.

        Raises:
            Unavailable: an issuer has no usable keys, and says why; call again after its `retry_after`.
        """
        until = self._monotonic() + timeout
        for fetch in self._missing():
            self._flights.start(fetch)
        for fetch in self._missing():
            self._flights.wait(fetch, max(0.0, until - self._monotonic()))
        # Whoever loads an application and forks it does so right after this. A thread whose keys have come at the very
        # last moment is gone in one more.
        self._flights.rest(min(_REST, max(_MOMENT, until - self._monotonic())))
        self._require_ready()

    async def warm_up_async(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as its sync twin
        """`warm_up`, for asyncio and trio."""
        until = self._monotonic() + timeout
        for fetch in self._missing():
            self._flights.start(fetch)
        for fetch in self._missing():
            await self._flights.wait_async(fetch, max(0.0, until - self._monotonic()))
        self._require_ready()

    @property
    def ready(self) -> bool:
        """Whether each issuer has keys to serve with, fresh or stale. Fetches nothing.

        Of tenants, what they have in common: one that is out of reach is its own affair.
        """
        tick = self._monotonic()
        return all(keys.health(tick)["state"] in _SERVING for keys in self._core.trust.keys.values())

    def health(self) -> dict[str, dict[str, Any]]:
        """How each issuer's keys are, by its URL, as plain data. Fetches nothing.

        Returns:
            For each: `state` (`cold`: never fetched; `fresh`; `stale`: past its lifetime, still serving; `down`:
            nothing to serve with; `unused`: the issuer is asked about every token), `key_ids`, `age` and `next_refresh`
            in seconds, `last_error`. With introspection also `introspection`: its `state` (`ready`, or `paused` after
            failures), `next_try` in seconds, `last_error`. Of tenants, those in use lately; what
            they have in common stands under their template.

        >>> validator = TokenValidator("https://as.example.com", audience="https://api.example.com")
        >>> validator.health()["https://as.example.com"]["state"], validator.ready
        ('cold', False)
        """
        tick = self._monotonic()
        trust = self._core.trust
        common = {url: keys.health(tick) for url, keys in trust.keys.items()}
        return {**common, **{url: _health(trusted, tick) for url, trusted in trust.known().items()}}

    def refuse(self, refused: RequestRefused) -> None:
        """For adapters: name our realm in a refusal, and log it. What `validate` raises went through here already."""
        refused.realm = self.realm
        self._reporter.refused(refused)

    def seconds_left(self, token: AccessToken) -> float:
        """For adapters that hold a connection open: how long this token may still be used, leeway included."""
        trusted = self._core.trust.find(token.issuer)
        if trusted is None:  # of a tenant that is none of ours any more
            return 0.0
        issuer = trusted.issuer
        ends_at = token.expires_at
        if issuer.max_token_age is not None and token.issued_at is not None:
            ends_at = min(ends_at, token.issued_at + issuer.max_token_age)
        return ends_at + issuer.leeway - self._clock()

    def close(self) -> None:
        """Close connections. Known keys serve on; what would have to be fetched is `Unavailable` from now on."""
        self._transport.close()

    def __reduce__(self) -> Never:
        raise TypeError(
            "a TokenValidator has connections and caches of its own: share one between threads, build one per process"
        )

    def _patience(self, fetch: Fetch, began: float) -> float:
        """Seconds that are left to a request that began then: a fetch's patience counts for all before it as well."""
        return max(0.0, began + fetch.patience - self._monotonic())

    def _start_due(self) -> None:
        with suppress(IndexError):  # another thread was faster
            self._flights.start(self._core.due.popleft())

    def _missing(self) -> list[Fetch]:
        tick = self._monotonic()
        found = [keys.load(tick) for keys in self._core.trust.keys.values()]
        return [fetch for fetch in found if fetch is not None]

    def _require_ready(self) -> None:
        tick = self._monotonic()
        for url, keys in self._core.trust.keys.items():
            health = keys.health(tick)
            if health["state"] not in _SERVING:
                trouble = health["last_error"] or "its keys did not come in time"
                raise Unavailable(detail=f"{url}: {trouble}", retry_after=max(1, math.ceil(health["next_refresh"])))

    def _after_fork(self) -> None:
        self._flights.after_fork()
        self._transport.after_fork()
        self._core.after_fork()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _health(trusted: Trusted, tick: float) -> dict[str, Any]:
    health = trusted.keys.health(tick)
    return health if trusted.introspector is None else {**health, "introspection": trusted.introspector.health(tick)}


def _require_callables(**said: Any) -> None:
    for name, value in said.items():
        if name == "on_event" and value is None:
            continue
        if not callable(value) or inspect.iscoroutinefunction(value):
            raise ConfigurationError(f"{name} is {value!r}: give a plain function")


def _sync_client(client: Any) -> HttpClient | None:
    sync: HttpClient | None = client
    usable = client is None or (
        callable(getattr(client, "send", None)) and callable(getattr(client, "build_request", None))
    )
    if not usable or isinstance(client, type) or inspect.iscoroutinefunction(getattr(client, "send", None)):
        raise ConfigurationError(
            f"http_client is {client!r}: give an httpx.Client (not an AsyncClient: fetches run beside the event loop)"
        )
    return sync


_all: weakref.WeakSet[TokenValidator] = weakref.WeakSet()


def _after_fork() -> None:
    for validator in _all:
        validator._after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


def _realm(realm: Any, audience: tuple[str, ...] | None) -> str:
    if realm is None:
        realm = DEFAULT_REALM if audience is None else audience[0]
        if not is_challenge_text(realm):
            raise ConfigurationError(
                f'audience {realm!r} has characters that may not stand in a challenge: name a realm, realm="api"'
            )
    if not isinstance(realm, str) or not is_challenge_text(realm):
        raise ConfigurationError(f'realm is {realm!r}: printable ASCII without quotes and backslashes, such as "api"')
    return str(realm)
