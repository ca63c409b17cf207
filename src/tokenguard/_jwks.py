"""The keys of one issuer: a key set, and the life of a fetched one. No I/O, no clock: `find` and feed."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ._discovery import Discovery
from ._encoding import for_log
from ._fetch import Answer, Fetch, FetchFailed, Request, Steps, get_json
from ._jwk import Key, parse_jwk
from .config import Issuer
from .errors import InvalidToken, Reason, Unavailable


class Keys(Protocol):
    """Where the core looks for a key."""

    def find(self, kid: str | None, alg: str, tick: float, *, fetched: bool) -> Key | Fetch:
        """The one key for a token's `kid` and `alg`, or what to fetch before asking again, with `fetched` set.

        Raises:
            InvalidToken: there is no such key, or more than one.
            Unavailable: it cannot be said now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A key of a set that does not serve, and why."""

    kid: str
    why: str


class KeySet:
    """The usable keys of a JWK Set (RFC 7517 s5), each under the names by which a token may ask for it.

    A key that cannot serve is skipped (s5: unknown types SHOULD be ignored); it does not spoil the rest. Entries with
    the same material are one key. Two different keys for one (kid, alg) are a tie, and a tie serves nobody.
    """

    __slots__ = ("_index", "_keys", "skipped")

    def __init__(self, document: Mapping[str, Any], issuer: Issuer, previous: KeySet | None = None) -> None:
        """Read a key set.

        Raises:
            ValueError: it is no key set, has too many keys, or none that can serve this issuer's tokens.
        """
        jwks = document.get("keys")
        if type(jwks) is not list:
            raise ValueError("no key set: keys is missing or no list")
        if len(jwks) > issuer.keys.max_keys:
            raise ValueError(f"{len(jwks)} keys, at most {issuer.keys.max_keys}")
        known = {} if previous is None else previous._keys
        self._keys: dict[Key, Key] = {}
        self._index: dict[tuple[str | None, str], Key | None] = {}  # None: a tie
        skipped = []
        for jwk in jwks:
            try:
                key = parse_jwk(jwk)
                if key.algorithms.isdisjoint(issuer.algorithms):
                    raise ValueError("serves none of the issuer's allowed algorithms")
            except ValueError as why:
                skipped.append(Skipped(kid=for_log(jwk.get("kid") if isinstance(jwk, dict) else None), why=str(why)))
                continue
            key = known.get(key, key)  # an unchanged key keeps its object, and all that hangs on it
            self._keys[key] = key
            for alg in key.algorithms.intersection(issuer.algorithms):
                self._enter(None, alg, key)
                if key.kid is not None:
                    self._enter(key.kid, alg, key)
        self.skipped = tuple(skipped)
        if not self._keys:
            raise ValueError("no usable key" + "".join(f"; {skip.kid}: {skip.why}" for skip in skipped[:3]))

    def _enter(self, kid: str | None, alg: str, key: Key) -> None:
        other = self._index.setdefault((kid, alg), key)
        if other is None or other.material != key.material:
            self._index[kid, alg] = None

    def find(self, kid: str | None, alg: str) -> Key | None:
        """The key for a token's `kid` and `alg`, None if there is none. No kid: the only key that fits.

        Raises:
            InvalidToken: different keys fit equally well.
        """
        key = self._index.get((kid, alg), _NO_KEY)
        if key is None:
            name = "without a kid" if kid is None else f"under kid {for_log(kid)}"
            raise InvalidToken(Reason.AMBIGUOUS_KEY, f"several keys {name} fit {alg}")
        return None if key is _NO_KEY else key


_NO_KEY: Final[Any] = object()


class StaticKeys:
    """A key set from the configuration."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def find(self, kid: str | None, alg: str, tick: float, *, fetched: bool) -> Key | Fetch:
        key = self._keys.find(kid, alg)
        if key is None:
            raise _unknown(kid, alg)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All that changes, swapped as a whole. Only the steps of a flight swap it; any thread may read it."""

    keys: KeySet | None = None
    fresh_until: float = -math.inf
    fetches: int = 0  # finished ones: tells whoever looked earlier that there is news
    fetching: bool = False
    sought_at: float = -math.inf  # start of the last fetch that an unknown kid caused
    failures: int = 0  # in a row
    retry_at: float = -math.inf
    trouble: str = ""  # of the last fetch


class RemoteKeys:
    """The fetched key set of one issuer (the rules are `KeyPolicy`'s).

    Cold or past its lifetime: whoever asks waits for one fetch, and none starts before `retry_at`. Fresh, and the kid
    is unknown: at most one fetch per `cooldown`, so that a flood of made-up kids is no flood at the issuer. Known kids
    never wait.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._policy = issuer.keys
        self._discovery = Discovery(issuer)
        self._state = _State()

    def find(self, kid: str | None, alg: str, tick: float, *, fetched: bool) -> Key | Fetch:
        state = self._state
        if state.keys is None or tick >= state.fresh_until:
            if not fetched and (state.fetching or tick >= state.retry_at):
                return self._fetch(state, seeking=False)
            raise self._unavailable(state, tick)
        key = state.keys.find(kid, alg)
        if key is not None:
            return key
        if not fetched and (state.fetching or tick >= state.sought_at + self._policy.cooldown):
            return self._fetch(state, seeking=True)
        if state.fetching or state.trouble:  # its key may be one that we failed to fetch: that is no verdict
            raise self._unavailable(state, tick)
        raise _unknown(kid, alg)

    def _fetch(self, state: _State, *, seeking: bool) -> Fetch:
        def steps(tick: float) -> Steps:
            if self._state.fetches != state.fetches:
                return  # another flight landed between the look and the start
            yield from self._refresh(tick, seeking=seeking)

        return Fetch(name=self, steps=steps, patience=self._policy.patience)

    def _refresh(self, tick: float, *, seeking: bool) -> Steps:
        before = self._state
        self._state = replace(before, fetching=True, sought_at=tick if seeking else before.sought_at)
        after = self._failed("the fetch was abandoned", tick)
        try:
            keys, tick = yield from self._load(tick)
            after = replace(
                self._state,
                keys=keys,
                fresh_until=tick + self._policy.lifetime,
                failures=0,
                retry_at=-math.inf,
                trouble="",
            )
        except FetchFailed as failure:
            self._discovery.forget()  # the issuer may have moved its keys
            after = self._failed(str(failure), failure.at)
        finally:
            self._state = replace(after, fetching=False, fetches=before.fetches + 1)

    def _load(self, tick: float) -> Generator[Request, Answer, tuple[KeySet, float]]:
        url = yield from self._discovery.jwks_uri(tick)
        document, at = yield from get_json(self._policy.request(url))
        try:
            return KeySet(document, self._issuer, self._state.keys), at
        except ValueError as error:
            trouble = str(error)
        raise FetchFailed(f"{url}: {trouble}", at=at)

    def _failed(self, trouble: str, tick: float) -> _State:
        wait = min(self._policy.retry_most, self._policy.retry_first * 2.0 ** min(self._state.failures, 60))
        return replace(self._state, failures=self._state.failures + 1, retry_at=tick + wait, trouble=trouble)

    def _unavailable(self, state: _State, tick: float) -> Unavailable:
        wait = min(max(state.retry_at - tick, 1), self._policy.retry_most)
        detail = state.trouble or "the keys did not come in time"
        return Unavailable(Reason.KEYS_UNAVAILABLE, detail, retry_after=math.ceil(wait))


def _unknown(kid: str | None, alg: str) -> InvalidToken:
    name = "without a kid" if kid is None else f"with kid {for_log(kid)}"
    return InvalidToken(Reason.UNKNOWN_KEY, f"no key {name} for {alg}")
