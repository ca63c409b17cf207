"""Introspection answers that the issuer has signed (RFC 9701): who made them, for whom, and when. No I/O."""

from __future__ import annotations

from typing import Any

from .._claims import ClaimRules
from .._fetch import Fetch
from .._jws import Header, parse_jws, read_payload
from .._keys.lookup import Keys
from .._numbers import is_number
from ..errors import InvalidToken
from ..introspection import Introspection

SIGNED_TYPE = "token-introspection+jwt"
MAX_AGE = 60  # seconds since an answer was made: ours was asked for a moment ago


class SignedAnswers:
    """Reads what an issuer signed.

    Args:
        rules: what is asked of its tokens.
        asked: as whom we ask it.
        keys: its keys.
    """

    def __init__(self, rules: ClaimRules, asked: Introspection, keys: Keys) -> None:
        self._issuer = rules.issuer
        self._client_id = asked.client_id
        self._keys = keys

    def members(self, body: bytes, now: float, tick: float, *, attempt: int) -> Any:
        """The members in an answer, or the keys to fetch first.

        Raises:
            ValueError: the issuer did not sign it, or not for us, or not now.
            Unavailable: its keys are out of reach.
        """
        try:
            header, payload, signed, signature = parse_jws(body.strip(), {})
            members = self._read(read_payload(payload), header, now)
            if header.alg not in self._issuer.algorithms:
                raise ValueError("it is signed with another algorithm than the issuer's")
            key = self._keys.find(header.kid, header.alg, tick, attempt=attempt)
        except InvalidToken as refused:  # said of the answer, not of the caller's token
            trouble = str(refused)
        else:
            if isinstance(key, Fetch):
                return key
            if key.verify(header.alg, signed, signature):
                return members
            # The issuer may have put a new key under the same kid, as with a JWT of its own.
            fetch = self._keys.doubt(tick) if attempt == 0 else None
            if fetch is not None:
                return fetch
            trouble = "its signature does not hold"
        raise ValueError(f"not signed by the issuer: {trouble}")

    def _read(self, payload: dict[str, Any], header: Header, now: float) -> Any:
        """The members in an answer whose signature is still to be checked (RFC 9701 s5)."""
        aud: Any = payload.get("aud")
        iat: Any = payload.get("iat")
        exp: Any = payload.get("exp", now)
        leeway = self._issuer.leeway
        if header.typ != SIGNED_TYPE:
            raise ValueError(f"typ is not {SIGNED_TYPE}")
        if payload.get("iss") != self._issuer.url:
            raise ValueError(f"iss is not {self._issuer.url}")
        if self._client_id is None or self._client_id not in (aud if type(aud) is list else [aud]):
            raise ValueError("aud is not our client_id")
        if not is_number(iat) or not now - MAX_AGE - leeway <= iat <= now + leeway:
            raise ValueError("iat is missing, or it was not made now")
        if not is_number(exp) or exp + leeway < now:
            raise ValueError("exp is past")
        return payload.get("token_introspection")
