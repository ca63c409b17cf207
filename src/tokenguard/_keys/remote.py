"""An issuer's keys as they are fetched, kept and let go. No I/O and no clock of its own.

The life of a fetched key set (the numbers are `KeyPolicy`'s):

    fetched                    due                fresh_until                        stale_until
      |------------ fresh ------|----- fresh -------|------------- stale --------------|---- down ---->
        known keys serve          and one fetch       the same, while fetches fail       whoever asks waits
                                  beside requests     (after a long pause: ask first)    for a fetch, or 503

A fetch beside requests is left in `due`, where the shell picks it up. A request waits only where no key can serve it:
without a usable set, or for a key that the set does not have. What such waits may cost the issuer is bounded: by
backoff as long as fetches fail, and by the cooldowns of unknown kids and bad signatures.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from .._discovery import Discovery
from .._fetch import Answer, Fetch, FetchFailed, Request, get_json, shortened
from .._freshness import kept, lifetime, revalidation
from .._text import for_log
from ..config import Issuer
from ..errors import Reason, Unavailable
from ..events import DiscoveryFailed, Event, KeySkipped, KeysRefreshed, KidRefused, RefreshFailed, ServingStale
from .jwk import Key
from .jwks import KeyIndex, KeySet
from .lookup import names, unknown_key


class _Cause(Enum):
    """Why a fetch was started."""

    LOAD = auto()
    UNKNOWN_KID = auto()
    BAD_SIGNATURE = auto()


class _Underway:
    """A fetch under way: why, and until when (a tick) it is expected back. One that is lost never lands."""

    __slots__ = ("cause", "lost_at")

    def __init__(self, cause: _Cause, lost_at: float) -> None:
        self.cause = cause
        self.lost_at = lost_at


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All that changes, swapped as a whole. Only the steps of a flight swap it; any thread may read it."""

    keys: KeySet | None = None
    source: str = ""  # the URL that they came from
    headers: Mapping[str, str] = field(default_factory=dict)  # with which they came
    confirmed_at: float = -math.inf
    due_at: float = math.inf
    fresh_until: float = -math.inf
    stale_until: float = -math.inf
    fetching: _Underway | None = None
    fetches: int = 0  # finished ones: tells whoever looked earlier that there is news
    sought_at: float = -math.inf  # start of the last fetch that an unknown kid forced
    doubted_at: float = -math.inf  # of the last that a bad signature forced
    forced_before: float = -math.inf  # of the last but one, whatever forced it
    failures: int = 0  # in a row
    retry_at: float = -math.inf
    trouble: str = ""  # of the last fetch

    def busy(self, tick: float) -> bool:
        return self.fetching is not None and tick < self.fetching.lost_at

    def serves(self, tick: float) -> bool:
        return self.keys is not None and tick < self.stale_until

    def serves_unasked(self, tick: float) -> bool:
        """Whether the keys may be used without asking the issuer first: for as long again as they were fresh.

        Whoever comes after a longer pause asks and waits, else a key withdrawn long ago would pass once more. An
        issuer that was asked and did not answer is an outage, and that is what stale keys are for.
        """
        return self.serves(tick) and (self.failures > 0 or tick < 2 * self.fresh_until - self.confirmed_at)


class RemoteKeys:
    """The fetched key set of one issuer.

    Args:
        issuer: whose, and by which policy.
        due: where to leave a fetch that nobody has to wait for.
        emit: told of what happens.
        random: a number from 0 to 1, so that a fleet does not fetch in step.
    """

    def __init__(
        self, issuer: Issuer, due: deque[Fetch], emit: Callable[[Event], None], random: Callable[[], float]
    ) -> None:
        self._issuer = issuer
        self._policy = issuer.keys
        self._due = due
        self._emit = emit
        self._random = random
        self._discovery = Discovery(issuer) if issuer.jwks_uri is None else None
        self._state = _State()
        self.attend_at = -math.inf
        self.at_hand: KeyIndex = {}

    def attend(self, tick: float) -> bool:
        return self._attend(self._state, tick)

    def find(self, kid: str | None, alg: str, tick: float, *, attempt: int) -> Key | Fetch:
        state = self._state
        keys = state.keys
        if keys is None or not (tick < self.attend_at or self._attend(state, tick)):
            fetch = self.load(tick) if attempt == 0 else None
            if fetch is not None:
                return fetch
            if keys is None or not state.serves(tick):
                raise self._unavailable(state, tick)
        key = keys.find(kid, alg)
        if key is not None:
            return key
        # One that came during another's fetch may have come too late for that: so at most two.
        joins = attempt == 0 or (
            attempt == 1 and state.fetching is not None and state.fetching.cause is not _Cause.LOAD
        )
        if (joins and state.busy(tick)) or (
            attempt < 2 and self._may_force(state, tick, state.sought_at + self._policy.cooldown)
        ):
            return self._fetch(state, _Cause.UNKNOWN_KID)
        if state.busy(tick) or state.trouble:  # its key may be one that we failed to fetch: that is no verdict
            raise self._unavailable(state, tick)
        self._emit(KidRefused(issuer=self._issuer.url, kid=None if kid is None else for_log(kid)))
        raise unknown_key(kid, alg)

    def doubt(self, tick: float) -> Fetch | None:
        # The issuer may have put a new key under the same kid: rare, and cheap to claim. So at most one of the two.
        state = self._state
        rested_at = state.doubted_at + 2 * self._policy.cooldown
        doubting = state.fetching is not None and state.busy(tick) and state.fetching.cause is _Cause.BAD_SIGNATURE
        if doubting or self._may_force(state, tick, rested_at):
            return self._fetch(state, _Cause.BAD_SIGNATURE)
        return None

    def load(self, tick: float) -> Fetch | None:
        state = self._state
        if state.serves_unasked(tick) or not (state.busy(tick) or tick >= state.retry_at):
            return None
        return self._fetch(state, _Cause.LOAD)

    def health(self, tick: float) -> dict[str, Any]:
        state = self._state
        name = "down" if state.keys is not None or state.failures else "cold"
        if state.serves(tick):
            name = "fresh" if tick < state.fresh_until else "stale"
        next_at = state.due_at if state.serves(tick) else max(state.retry_at, tick)
        return {
            "state": name,
            "key_ids": [] if state.keys is None else list(names(state.keys.keys)),
            "age": None if state.keys is None else tick - state.confirmed_at,
            "next_refresh": max(0.0, next_at - tick),
            "last_error": state.trouble or self._discovery_trouble or None,
        }

    @property
    def _discovery_trouble(self) -> str:
        return "" if self._discovery is None else self._discovery.trouble

    def after_fork(self) -> None:
        state = self._state
        due_at = state.due_at if math.isinf(state.due_at) else self._due_at(state.confirmed_at, state.fresh_until)
        self._state = replace(state, fetching=None, due_at=due_at)

    def _attend(self, state: _State, tick: float) -> bool:
        if not state.serves_unasked(tick):
            return False
        if tick >= state.due_at and not state.busy(tick):
            self._due.append(self._fetch(state, _Cause.LOAD))
        return True

    def _may_force(self, state: _State, tick: float, rested_at: float) -> bool:
        """Two in two cooldowns, whatever forces them; and backoff comes first."""
        earliest = max(rested_at, state.forced_before + 2 * self._policy.cooldown, state.retry_at)
        return not state.busy(tick) and tick >= earliest

    def _fetch(self, state: _State, cause: _Cause) -> Fetch:
        events: list[Event] = []

        def steps(tick: float) -> Generator[Request, Answer, None]:
            if self._state.fetches != state.fetches:
                return  # another flight landed between the look and the start
            yield from self._refresh(tick, cause, events)

        def landed() -> None:
            for event in events:
                self._emit(event)

        # Two metadata documents and a key set, and some time for names to be resolved.
        limit = 4 * self._policy.total_timeout
        return Fetch(name=self, steps=steps, landed=landed, patience=self._policy.patience, limit=limit)

    def _refresh(self, tick: float, cause: _Cause, events: list[Event]) -> Generator[Request, Answer, None]:
        before = self._state
        mine = _Underway(cause, tick + 4 * self._policy.total_timeout)
        started = self._state = replace(
            before,
            fetching=mine,
            # Stamped at the start: a fetch that hangs counts too.
            sought_at=tick if cause is _Cause.UNKNOWN_KID else before.sought_at,
            doubted_at=tick if cause is _Cause.BAD_SIGNATURE else before.doubted_at,
            forced_before=before.forced_before if cause is _Cause.LOAD else max(before.sought_at, before.doubted_at),
        )
        after = self._failed(started, FetchFailed("the fetch was abandoned", at=tick))
        try:
            after = yield from self._load(started, tick)
        except FetchFailed as failure:
            after = self._failed(started, failure)
            tick = failure.at
        except GeneratorExit:
            # Nobody runs it any more: in a child process the interpreter ends what the parent's threads were at.
            if self._state.fetching is mine:
                self._state = before
            return
        finally:
            if self._state.fetching is mine:  # else this one was given up, and another has taken its place
                self._land(before, after)
                events += self._told(before, after, tick)

    def _land(self, before: _State, after: _State) -> None:
        self._state = replace(after, fetching=None, fetches=before.fetches + 1)
        # In this order, and `attend_at` is read first: nobody takes old keys for good until the new time.
        self.at_hand = {} if after.keys is None else after.keys.index
        self.attend_at = min(after.due_at, after.stale_until)
        if before.keys is not None and after.keys is not None:
            for key in before.keys.keys - after.keys.keys:
                key.withdrawn = True

    def _load(self, state: _State, tick: float) -> Generator[Request, Answer, _State]:
        url = self._issuer.jwks_uri or ""
        if self._discovery is not None:
            url = yield from self._discovery.find("jwks_uri", tick)
        # After a failure ask for the whole: it may have been our own question that the server choked on.
        known = revalidation(state.headers) if state.source == url and not state.failures else {}
        try:
            document, answer = yield from get_json(self._policy.request(url, known))
        except FetchFailed as failure:
            if failure.elsewhere and self._discovery is not None:
                self._discovery.forget()  # the issuer may have moved its keys
            raise
        keys = state.keys if document is None else self._read(document, url, state, answer.at)
        headers = kept(answer.headers, {} if document is not None else state.headers)
        policy = self._policy
        fresh = lifetime(headers, default=policy.lifetime, least=policy.min_lifetime, most=policy.max_lifetime)
        return replace(
            state,
            keys=keys,
            source=url,
            headers=headers,
            confirmed_at=answer.at,
            due_at=self._due_at(answer.at, answer.at + fresh),
            fresh_until=answer.at + fresh,
            stale_until=answer.at + fresh + policy.stale_window,
            failures=0,
            retry_at=-math.inf,
            trouble="",
        )

    def _due_at(self, confirmed_at: float, fresh_until: float) -> float:
        """In the first half of the last part of the lifetime: the second half is for a fleet's slower ones."""
        ahead = min(self._policy.refresh_ahead, (fresh_until - confirmed_at) / 5)
        return fresh_until - ahead * (1 - self._random() / 2)

    def _read(self, document: dict[str, Any], url: str, state: _State, at: float) -> KeySet:
        try:
            return KeySet(document, self._issuer, state.keys)
        except ValueError as error:
            trouble = str(error)
        raise FetchFailed(f"{shortened(url)}: {trouble}", at=at)

    def _failed(self, state: _State, failure: FetchFailed) -> _State:
        policy = self._policy
        wait = min(policy.retry_most, policy.retry_first * 2.0 ** min(state.failures, 60)) * (1 - self._random() / 4)
        retry_at = failure.at + max(wait, min(failure.retry_after, policy.retry_most))
        return replace(
            state,
            due_at=max(state.due_at, retry_at),
            failures=state.failures + 1,
            retry_at=retry_at,
            trouble=str(failure),
        )

    def _told(self, before: _State, after: _State, tick: float) -> Iterator[Event]:
        issuer = self._issuer.url
        if self._discovery_trouble:
            yield DiscoveryFailed(issuer=issuer, trouble=self._discovery_trouble)
        if not after.trouble and after.keys is not None:
            yield from self._told_of_keys(before.keys, after.keys, after.fresh_until - after.confirmed_at)
            return
        stale = after.serves(tick) and tick >= after.fresh_until
        next_at = max(after.retry_at, after.due_at if after.serves(tick) else tick)
        yield RefreshFailed(
            issuer=issuer, trouble=after.trouble, failures=after.failures, retry_in=next_at - tick, stale=stale
        )
        if stale:
            yield ServingStale(issuer=issuer, age=tick - after.confirmed_at, ends_in=after.stale_until - tick)

    def _told_of_keys(self, before: KeySet | None, after: KeySet, fresh: float) -> Iterator[Event]:
        old_keys = frozenset[Key]() if before is None else before.keys
        yield KeysRefreshed(
            issuer=self._issuer.url,
            key_ids=names(after.keys),
            added=names(after.keys - old_keys),
            removed=names(old_keys - after.keys),
            lifetime=fresh,
        )
        for skipped in after.skipped:
            if before is None or skipped not in before.skipped:
                yield KeySkipped(issuer=self._issuer.url, kid=skipped.kid, why=skipped.why)

    def _unavailable(self, state: _State, tick: float) -> Unavailable:
        wait = min(max(state.retry_at - tick, 1), self._policy.retry_most)
        detail = state.trouble or "the keys did not come in time"
        return Unavailable(Reason.KEYS_UNAVAILABLE, detail, retry_after=math.ceil(wait))
