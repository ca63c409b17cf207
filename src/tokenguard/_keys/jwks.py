"""A JWK Set (RFC 7517 s5): which of its keys serve, and which one serves whom."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from .._text import for_log
from ..config import Issuer
from ..errors import InvalidToken, Reason
from .jwk import Key, parse_jwk


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A key of a set that does not serve, and why."""

    kid: str
    why: str


KeyIndex = Mapping[tuple[str | None, str], Key | None]
"""Keys by the kid and the algorithm that a token names; None: a tie."""


class KeySet:
    """The usable keys of a JWK Set (RFC 7517 s5), each under the names by which a token may ask for it.

    A key that cannot serve is skipped (s5: unknown types SHOULD be ignored); it does not spoil the rest. Entries with
    the same material are one key. Two different keys for one (kid, alg) are a tie, and a tie serves nobody.

    Attributes:
        index: those that serve, by what a token may call them; no kid: the only key that fits.
        skipped: those that do not.
    """

    __slots__ = ("_keys", "index", "skipped")

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
        index: dict[tuple[str | None, str], Key | None] = {}
        self.index: KeyIndex = index
        skipped = []
        for jwk in jwks:
            try:
                key = parse_jwk(jwk)
                if key.algorithms.isdisjoint(issuer.algorithms):
                    raise ValueError("serves none of the issuer's allowed algorithms")
            except ValueError as why:
                skipped.append(Skipped(kid=for_log(jwk.get("kid") if isinstance(jwk, dict) else None), why=str(why)))
                continue
            # An unchanged key keeps its object, and all that hangs on it. One that stands twice is one.
            key = known.get(key, key)
            key = self._keys.setdefault(key, key)
            for alg in key.algorithms.intersection(issuer.algorithms):
                _enter(index, None, alg, key)
                if key.kid is not None:
                    _enter(index, key.kid, alg, key)
        self.skipped = tuple(skipped)
        if not self._keys:
            raise ValueError("no usable key" + "".join(f"; {skip.kid}: {skip.why}" for skip in skipped[:3]))

    def find(self, kid: str | None, alg: str) -> Key | None:
        """The key for a token's `kid` and `alg`, None if there is none. No kid: the only key that fits.

        Raises:
            InvalidToken: different keys fit equally well.
        """
        key = self.index.get((kid, alg), _NO_KEY)
        if key is None:
            name = "without a kid" if kid is None else f"under kid {for_log(kid)}"
            raise InvalidToken(Reason.AMBIGUOUS_KEY, f"several keys {name} fit {alg}")
        return None if key is _NO_KEY else key

    @property
    def keys(self) -> Set[Key]:
        """All keys that serve."""
        return self._keys.keys()


def _enter(index: dict[tuple[str | None, str], Key | None], kid: str | None, alg: str, key: Key) -> None:
    other = index.setdefault((kid, alg), key)
    if other is None or other.material != key.material:
        index[kid, alg] = None


_NO_KEY: Final[Any] = object()
