"""private_key_jwt: a client proves who it is by signing a short note to the issuer (RFC 7523)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ._clients import Client, Clients
from ._jws import Jws, parse
from ._signing import family, public_key

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Assertions:
    """Believes each assertion once.

    Args:
        clients: who may sign.
        clock: seconds since the epoch.
    """

    def __init__(self, clients: Clients, *, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._clock = clock
        self._lock = threading.Lock()
        self._used: set[tuple[str, str]] = set()

    def client_of(self, assertion: str, audiences: Collection[str]) -> Client | None:
        """Who signed `assertion` for one of `audiences`; None if that is not proven, or was proven by it before."""
        try:
            jws = parse(assertion)
            client = self._clients.named(jws.text("iss"))
            if client is None or client.jwk is None or jws.text("sub") != client.client_id:
                return None
            believed = _signed_with(jws, client.jwk) and self._timely(jws) and _meant_for(jws, audiences)
            return client if believed and self._first_use(client, jws.text("jti")) else None
        except ValueError:
            return None

    def _timely(self, jws: Jws) -> bool:
        now, exp, nbf = self._clock(), jws.time("exp"), jws.time("nbf")
        return exp is not None and exp > now and (nbf is None or nbf <= now)

    def _first_use(self, client: Client, jti: str) -> bool:
        use = (client.client_id, jti)
        with self._lock:
            if use in self._used:
                return False
            self._used.add(use)
        return True


def _signed_with(jws: Jws, jwk: Mapping[str, Any]) -> bool:
    key = public_key(jwk)
    if "kid" in jwk and jws.header.get("kid", jwk["kid"]) != jwk["kid"]:
        return False
    return jws.signed_by(key) and ("alg" not in jwk or family(jws.header["alg"]) == family(jwk["alg"]))


def _meant_for(jws: Jws, audiences: Collection[str]) -> bool:
    aud = jws.claims.get("aud")
    return any(audience in (aud if isinstance(aud, list) else [aud]) for audience in audiences)
