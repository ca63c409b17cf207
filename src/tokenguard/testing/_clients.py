"""The clients of the issuer, APIs among them: who they are, and how they prove it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._signing import public_key

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # scope-token, RFC 6749 s3.3
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what can follow `Bearer`, RFC 6750 s2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who may use the token, introspection and revocation endpoints: a program that gets tokens, or an API.

    Args:
        client_id: its name.
        secret: for `client_secret_basic` and `client_secret_post`.
        jwk: its public key, for `private_key_jwt`. A `kid` or `alg` in it has to be the assertion's.
        bearer: a token that it may show to the introspection endpoint in place of all that (RFC 7662 s2.1).
        scopes: what the token endpoint may grant to it, all of which it gets if it names none; None, the default: it
            gets whatever it names.
        opaque: whether the token endpoint gives it opaque tokens; JWTs by default.

    Raises:
        ValueError: no way to prove who it is, or one of these is malformed; `jwk` also if it is private.

    >>> Client(client_id="orders", secret="s3cret", scopes=("orders:read",))
    Client(client_id='orders', jwk=None, scopes=('orders:read',), opaque=False)
    """

    client_id: str
    secret: str | None = field(default=None, repr=False)
    jwk: Mapping[str, Any] | None = None
    bearer: str | None = field(default=None, repr=False)
    scopes: Sequence[str] | None = None
    opaque: bool = False

    def __post_init__(self) -> None:
        if "" in (self.client_id, self.secret):
            raise ValueError("client_id or secret is empty")
        if self.secret is None and self.jwk is None and self.bearer is None:
            raise ValueError(f"the client {self.client_id!r} can prove nothing: give it a secret, a jwk or a bearer")
        if self.jwk is not None:
            public_key(self.jwk)
        if self.bearer is not None and not _TOKEN68.fullmatch(self.bearer):
            raise ValueError("bearer is made of letters, digits and -._~+/ with = at its end (RFC 6750 s2.1)")
        if isinstance(self.scopes, str) or not all(map(_SCOPE.fullmatch, self.scopes or ())):
            raise ValueError("scopes is a sequence of names without spaces (RFC 6749 s3.3)")

    def may_have(self, scopes: Collection[str]) -> bool:
        """Whether the token endpoint may grant all of `scopes`."""
        return all(map(_SCOPE.fullmatch, scopes)) and (self.scopes is None or set(scopes) <= set(self.scopes))


API = Client(client_id="api", secret="api-secret")
"""The one client of an issuer that is given no others."""


class Clients:
    """Clients by what they show.

    Raises:
        ValueError: two have one name, or one bearer token.
    """

    def __init__(self, clients: Collection[Client]) -> None:
        self._by_id = {client.client_id: client for client in clients}
        bearers = [client.bearer for client in clients if client.bearer is not None]
        if len(self._by_id) < len(clients) or len(set(bearers)) < len(bearers):
            raise ValueError("clients differ in client_id and in bearer")

    def named(self, client_id: str) -> Client | None:
        """The one of this name, not yet believed."""
        return self._by_id.get(client_id)

    def with_secret(self, client_id: str, secret: str) -> Client | None:
        """The one that proves by its secret that this is its name."""
        client = self._by_id.get(client_id)
        return client if client is not None and _same(secret, client.secret) else None

    def with_bearer(self, token: str) -> Client | None:
        """The one to which this bearer token was given."""
        return next((client for client in self._by_id.values() if _same(token, client.bearer)), None)


def _same(shown: str, kept: str | None) -> bool:
    return kept is not None and hmac.compare_digest(shown.encode(), kept.encode())
