"""Which tokens are good: opaque ones, which mean only what is noted here, and JWTs as long as they are not revoked."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._jws import parse
from ._mint import Mint, without

SIGNED_INTROSPECTION = "token-introspection+jwt"  # RFC 9701: the header's `typ`, and the media type after application/


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What an opaque token stands for, until it expires."""

    document: Mapping[str, Any] = field(repr=False)
    expires_at: float


class Ledger(Mint):
    """A mint that remembers.

    Args:
        algorithms: JWS names, at least one; the first is the default.
        audience: the `aud` of tokens that are given no other.
        clock: seconds since the epoch.
    """

    def __init__(self, *, algorithms: Sequence[str], audience: str, clock: Callable[[], float]) -> None:
        super().__init__(algorithms=algorithms, audience=audience, clock=clock)
        self._ledger_lock = threading.Lock()
        self._issued: dict[str, Issued] = {}
        self._revoked: set[str] = set()

    def mint_opaque(
        self,
        claims: Mapping[str, Any] | None = None,
        /,
        *,
        omit: Iterable[str] = (),
        scope: str | None = None,
        audience: str | Sequence[str] | None = None,
        subject: str = "user-1",
        client_id: str = "client-1",
        expires_in: float = 300,
        token: str | None = None,
    ) -> str:
        """Mint an opaque access token, of which the introspection endpoint knows what it means.

        Args:
            claims: merged over what introspection answers by default, `active token_type iss sub aud client_id iat
                exp`, as they are: they change what it says, not until when it says so.
            omit: members to leave out of that answer.
            scope: the `scope`, separated by spaces; none by default.
            audience: the `aud`; by default the issuer's `audience`.
            subject: the `sub`.
            client_id: the `client_id`: whose token it is, not who asks about it.
            expires_in: seconds from now until it is inactive; negative for a token that has expired.
            token: its text; by default 43 characters out of `A-Za-z0-9_-`. One that is there already starts anew.

        Returns:
            The token.

        Raises:
            ValueError: a name to leave out that is not there.
            RuntimeError: the issuer has not been started.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer() as issuer:
        ...     token = issuer.mint_opaque(scope="orders:read")
        ...     expired = issuer.mint_opaque(expires_in=-60)
        ...     already_expired_and_yet_active = issuer.mint_opaque({"exp": 1_700_000_000})
        ...     issuer.introspect(token)["scope"], issuer.introspect(expired)
        ('orders:read', {'active': False})
        """
        now = int(self._clock())
        defaults = {"active": True, "token_type": "Bearer"} | self._claims(
            now=now, scope=scope, audience=audience, subject=subject, client_id=client_id, expires_in=expires_in
        )
        document = copy.deepcopy(without({**defaults, **(claims or {})}, omit))
        if token is None:
            token = secrets.token_urlsafe(32)
        with self._ledger_lock:
            self._issued[token] = Issued(document=document, expires_at=now + expires_in)
            self._revoked.discard(token)
        return token

    def revoke(self, token: str) -> None:
        """Make a token inactive, whatever kind it is of: from now on the introspection endpoint says so.

        Args:
            token: its exact text. One that nobody knows is inactive anyway.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     token = issuer.mint()
        ...     issuer.revoke(token)
        ...     issuer.introspect(token)
        {'active': False}
        """
        with self._ledger_lock:
            self._revoked.add(token)

    def introspect(self, token: str) -> dict[str, Any]:
        """What the introspection endpoint answers about a token (RFC 7662 s2.2), without asking it.

        Args:
            token: opaque, or a JWT, which is active if one of the issuer's own keys signed it.

        Returns:
            The claims with `active` and `token_type`, a copy; `{"active": False}` for a token that is unknown,
            expired, not valid yet, or revoked.

        Raises:
            RuntimeError: the issuer has not been started.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.introspect(issuer.mint(subject="user-7"))["sub"]
        'user-7'
        """
        now = self._clock()
        with self._ledger_lock:
            issued, revoked = self._issued.get(token), token in self._revoked
        if revoked:
            return {"active": False}
        if issued is not None:
            return {"active": False} if now >= issued.expires_at else copy.deepcopy(dict(issued.document))
        claims = self._own_claims(token, now)
        return {"active": False} if claims is None else {"token_type": "Bearer", **claims, "active": True}

    def _own_claims(self, token: str, now: float) -> Mapping[str, Any] | None:
        try:
            jws = parse(token)
            starts, ends = jws.time("nbf"), jws.time("exp")
        except ValueError:
            return None
        # An answer that we signed is no token, although it has our name and our signature (RFC 9701 s8.1).
        if jws.claims.get("iss") != self.url or jws.header.get("typ") == SIGNED_INTROSPECTION:
            return None
        if (starts is not None and starts > now) or (ends is not None and ends <= now):
            return None
        kid = jws.header.get("kid")
        with self._keys_lock:
            keys = [key.private.public_key() for key in self._keys.values() if kid in (None, key.kid)]
        return jws.claims if any(map(jws.signed_by, keys)) else None
