"""Tokens as authorization servers issue them: distinct, of the usual size; good ones, and some of each bad kind."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from typing import Any

from tokenguard.testing import LocalIssuer

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")

Claims = dict[str, Any]


class Mint:
    """An issuer's keys, and tokens signed with them. RSA keys have 2048 bits; a signature with one takes 1 ms.

    Args:
        keys: publishes the keys; what it is called as an issuer does not matter.
    """

    def __init__(self, keys: LocalIssuer) -> None:
        self.keys = keys
        self._random = random.Random(1)  # tokens of the same contents in each run, but for keys and times

    def good(self, alg: str, count: int) -> list[str]:
        """So many good tokens, no two alike: about 750 bytes with RS256."""
        return [self._sign(alg, self._claims()) for _ in range(count)]

    def large(self, alg: str, count: int) -> list[str]:
        """Good tokens of about 6 KB, most of it roles, as Keycloak and Entra ID send them to busy people."""
        return [self._sign(alg, {**self._claims(), **self._roles()}) for _ in range(count)]

    def expired(self, alg: str, count: int) -> list[str]:
        """Good tokens but for `exp`, an hour ago: beyond anyone's leeway."""
        past = int(time.time()) - 3600
        return [self._sign(alg, {**self._claims(), "iat": past - 3600, "exp": past}) for _ in range(count)]

    def elsewhere(self, alg: str) -> list[str]:
        """For another API, and from another issuer that signs with the same key: to see whether both are looked at."""
        return [
            self._sign(alg, {**self._claims(), "aud": "https://other.example.com"}),
            self._sign(alg, {**self._claims(), "iss": "https://evil.example.com"}),
        ]

    def junk(self, count: int) -> list[str]:
        """What is no token of anybody's: opaque ones, noise, cut ones, unsigned ones."""
        (whole,) = self.good(self.keys.algorithms[0], 1)
        claims = self._claims()
        unsigned = self.keys.sign({"alg": "none", "typ": "at+jwt"}, _json(claims), alg="none")
        kinds = (
            lambda: self._noise(43),
            lambda: self._noise(700),
            lambda: f"{self._noise(80)}.{self._noise(300)}.{self._noise(342)}",
            lambda: whole[: self._random.randrange(90, 300)],
            lambda: f"{whole.partition('.')[0]}.{self._noise(300)}.{self._noise(342)}",
            lambda: unsigned,
        )
        return [kinds[index % len(kinds)]() for index in range(count)]

    def _claims(self) -> Claims:
        issued = int(time.time()) - self._random.randrange(600)
        return {
            "iss": ISSUER,
            "sub": f"{self._random.getrandbits(48):012x}",
            "aud": AUDIENCE,
            "client_id": "web-app",
            "scope": "orders:read orders:write email",
            "iat": issued,
            "exp": issued + 4 * 3600,
            "jti": f"{self._random.getrandbits(88):022x}",
            "org_id": f"org-{self._random.getrandbits(16):04x}",
            "plan": "pro",
        }

    def _roles(self) -> Claims:
        return {
            "realm_access": {"roles": [f"role-{self._random.getrandbits(32):08x}" for _ in range(200)]},
            "groups": [f"/teams/{self._random.getrandbits(24):06x}" for _ in range(50)],
        }

    def _sign(self, alg: str, claims: Claims) -> str:
        return self.keys.sign({"alg": alg, "typ": "at+jwt", "kid": self.keys.kid(alg)}, _json(claims))

    def _noise(self, length: int) -> str:
        return "".join(
            self._random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", k=length)
        )


def forged(tokens: Sequence[str]) -> list[str]:
    """Each token with its neighbour's signature: sound as a number and as text, and wrong."""
    signed = [token.rpartition(".")[0] for token in tokens]
    signatures = [token.rpartition(".")[2] for token in tokens]
    return [f"{text}.{signature}" for text, signature in zip(signed, signatures[1:] + signatures[:1], strict=True)]


def _json(claims: Claims) -> bytes:
    return json.dumps(claims, separators=(",", ":")).encode()
