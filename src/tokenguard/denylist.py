"""A denylist: tokens and subjects that are refused although their tokens have not expired yet.

A JWT is good until its `exp`, whoever signed out or was locked out meanwhile (RFC 9068 s4 has no revocation). A
denylist is a check like any other: a callable that raises. One that several processes share needs no other protocol.
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
import weakref
from collections.abc import Callable

from ._numbers import check_count, is_number
from .config import MAX_LEEWAY
from .errors import ConfigurationError, InvalidToken, Reason
from .token import AccessToken

# A token serves for its issuer's leeway past its exp, and the validator's clock may not be ours.
_GRACE = 2 * MAX_LEEWAY

_Key = tuple[str, str, str]  # issuer, what is denied, its name: a jti, like a sub, is unique within its issuer only
_BY_NOW, _WHENEVER = "sub", "sub, whenever issued"  # two denials of one subject: neither prolongs the other


class Denylist:
    """Denied tokens and subjects, in the memory of this process. Other processes and later ones know nothing of them.

    Args:
        clock: seconds since the epoch.
        most: entries at most. An entry goes some minutes after the last token it can meet has expired, never sooner.

    Give it to a validator as one of its `checks`. A denied token is refused with 401 `invalid_token` and
    `Reason.REVOKED`, also where it was accepted before. All methods may be called from any thread.

    >>> from tokenguard import TokenValidator
    >>> denylist = Denylist()
    >>> validator = TokenValidator("https://as.example.com", audience="https://api.example.com", checks=(denylist,))
    >>> denylist.deny("token-1", issuer="https://as.example.com", until=time.time() + 3600)
    >>> len(denylist)
    1
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, most: int = 100_000) -> None:
        check_count("Denylist most", most)
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        # Denied are tokens issued up to the first time. The entry goes at the second.
        self._entries: dict[_Key, tuple[float, float]] = {}
        self._ends: list[tuple[float, _Key]] = []  # a heap: each key once, at the latest when its entry goes
        _all.add(self)

    def __len__(self) -> int:
        """How many entries there are, those included whose time is over and that nobody has cleared away yet."""
        return len(self._entries)

    def __call__(self, token: AccessToken) -> None:
        """Refuse the token if it or its subject is denied.

        Raises:
            InvalidToken: it is denied.
        """
        for what, name in (("jti", token.token_id), (_BY_NOW, token.subject), (_WHENEVER, token.subject)):
            if name is not None:
                entry = self._entries.get((token.issuer, what, name))
                # Of a token that does not say when it was issued nobody knows that it is newer. And an entry whose time
                # is over may be there still.
                if (
                    entry is not None
                    and (token.issued_at is None or token.issued_at <= entry[0])
                    and self._clock() < entry[1]
                ):
                    raise InvalidToken(Reason.REVOKED, f"on the denylist: {what}")

    def deny(self, token_id: str, *, issuer: str, until: float) -> None:
        """Deny one token.

        Args:
            token_id: its `AccessToken.token_id`.
            issuer: its `AccessToken.issuer`, exactly: a slash too many at its end, and nothing is denied.
            until: its `exp`, in seconds since the epoch; infinite for a token that has none.

        Raises:
            ConfigurationError: the list is full, `until` is past or no time, or a name is none. Nothing is denied then.
        """
        self._add((issuer, "jti", token_id), math.inf, until)

    def deny_token(self, token: AccessToken) -> None:
        """Deny this token, until it has expired: for a sign-out.

        Raises:
            ConfigurationError: it has no `token_id` to know it by (deny its subject), or the list is full.
        """
        if token.token_id is None:
            raise ConfigurationError("a token without an id cannot be denied by itself: deny_subject() denies it")
        if token.expires_at + _GRACE > self._clock():
            self.deny(token.token_id, issuer=token.issuer, until=token.expires_at)

    def deny_subject(self, subject: str, *, issuer: str, until: float, before: float | None = None) -> None:
        """Deny all tokens that a subject has by now, and none that it gets later: for a lock-out, a changed password.

        A token belongs to the former if its `iat` is not later than `before`, or if it has none. `iat` counts whole
        seconds on the issuer's clock: a token issued within the second of the denial is denied, and if the issuer's
        clock is ahead of ours, one issued that much earlier is not.

        Args:
            subject: `AccessToken.subject`.
            issuer: `AccessToken.issuer`, exactly: a slash too many at its end, and nobody is denied.
            until: the latest `exp` that a token of today can have, in seconds since the epoch: now and the longest
                lifetime of a token.
            before: seconds since the epoch; by default now. Add to it how far the issuer's clock may be ahead.
                Infinite: later tokens too, until some minutes past `until`. That is a denial by itself: an earlier one
                of the same subject stays as it is.

        Raises:
            ConfigurationError: the list is full, `until` is past or no time, or a name is none. Nothing is denied then.
        """
        if before is None:
            before = self._clock()
        elif not is_number(before) or not before > 0:
            raise ConfigurationError(f"before is {before!r}: it is a number of seconds since the epoch")
        self._add((issuer, _WHENEVER if before == math.inf else _BY_NOW, subject), before, until)

    def _add(self, key: _Key, before: float, until: float) -> None:
        now = self._clock()
        if not all(type(name) is str and name for name in key):
            raise ConfigurationError(f"{key[2]!r} of issuer {key[0]!r}: both are texts, and no empty ones")
        if not is_number(until) or not until + _GRACE > now:  # so put, not-a-number is refused too
            raise ConfigurationError(f"until is {until!r}: it is a time to come, in seconds since the epoch")
        with self._lock:
            self._clear(now)
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = max(before, entry[0]), max(until + _GRACE, entry[1])
                return
            if len(self._entries) >= self._most:
                # To forget an older denial would let somebody in again, and to forget this one would be a lie.
                raise ConfigurationError(f"the denylist is full, and nothing was denied: raise most={self._most}")
            self._entries[key] = before, until + _GRACE
            heapq.heappush(self._ends, (until + _GRACE, key))

    def _clear(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            end = self._entries[key][1]
            if end > now:  # denied once more since
                heapq.heappush(self._ends, (end, key))
            else:
                del self._entries[key]


_all: weakref.WeakSet[Denylist] = weakref.WeakSet()


def _after_fork() -> None:
    for denylist in _all:
        denylist._lock = threading.Lock()  # one that was held stays so


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
