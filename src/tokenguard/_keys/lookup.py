"""Where the core finds an issuer's key; here, in the configuration, or nowhere. `remote` has the other place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

from .._fetch import Fetch
from .._text import for_log
from ..errors import InvalidToken, Reason
from .jwk import Key
from .jwks import KeyIndex, KeySet


class Keys(Protocol):
    """An issuer's keys.

    Attributes:
        attend_at: from this tick on, whoever uses these keys, or what was proven with them, has to call `attend` first.
        at_hand: until then what `find` finds, by kid and algorithm; whatever is not here, or None, is for it to say.
    """

    attend_at: float
    at_hand: KeyIndex

    def attend(self, tick: float) -> bool:
        """Whether the keys may still be used. Leaves in `due` what should be fetched."""

    def find(self, kid: str | None, alg: str, tick: float, *, attempt: int) -> Key | Fetch:
        """The one key for a token's `kid` and `alg`, or what to fetch before asking again.

        `attempt` counts the fetches that this request has waited for.

        Raises:
            InvalidToken: there is no such key, or more than one.
            Unavailable: it cannot be said now.
        """

    def doubt(self, tick: float) -> Fetch | None:
        """A signature did not hold under a known kid. What to fetch before asking again, if that is worth a try."""

    def load(self, tick: float) -> Fetch | None:
        """What to fetch where there are no keys to serve with."""

    def health(self, tick: float) -> dict[str, Any]:
        """State, key ids, age, next refresh and last error, as plain data."""

    def after_fork(self) -> None:
        """In a child process: what was under way in the parent never lands here."""


class StaticKeys:
    """A key set from the configuration; None of an issuer that is asked about every token."""

    def __init__(self, keys: KeySet | None) -> None:
        self.attend_at = math.inf
        self.at_hand: KeyIndex = {} if keys is None else keys.index
        self._keys = keys

    def attend(self, tick: float) -> bool:
        return True

    def find(self, kid: str | None, alg: str, tick: float, *, attempt: int) -> Key | Fetch:
        key = None if self._keys is None else self._keys.find(kid, alg)
        if key is None:
            raise unknown_key(kid, alg)
        return key

    def doubt(self, tick: float) -> Fetch | None:
        return None

    def load(self, tick: float) -> Fetch | None:
        return None

    def health(self, tick: float) -> dict[str, Any]:
        return {
            "state": "unused" if self._keys is None else "fresh",
            "key_ids": [] if self._keys is None else list(names(self._keys.keys)),
            "age": None,
            "next_refresh": None,
            "last_error": None,
        }

    def after_fork(self) -> None:
        """Nothing was under way."""


def unknown_key(kid: str | None, alg: str) -> InvalidToken:
    name = "without a kid" if kid is None else f"with kid {for_log(kid)}"
    return InvalidToken(Reason.UNKNOWN_KEY, f"no key {name} for {alg}")


def names(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(sorted(key.name for key in keys))
