"""What all authorization servers here have in common for a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.interop.child import LONG, Child
from tests.interop.clients import AWKWARD, Client

LIFETIME = 600
"""Seconds from `iat` to `exp` of an access token."""


class AuthorizationServer:
    """A running server. Addresses of its endpoints are URLs or paths.

    Args:
        child: the process, started.
        app: the client that obtains tokens.
        basic: the client as which an API asks for introspection.

    Attributes:
        issuer: its identifier. The endpoints' addresses have their names in RFC 8414's metadata.
        http: a client for what a test does itself.
    """

    def __init__(self, child: Child, *, app: Client, basic: Client) -> None:
        self.child = child
        self.app = app
        self.basic = basic
        self.issuer: str = child.started["issuer"]
        self.token_endpoint: str = child.started["token_endpoint"]
        self.introspection_endpoint: str = child.started["introspection_endpoint"]
        self.revocation_endpoint: str = child.started["revocation_endpoint"]
        self.http = httpx.Client(timeout=LONG, trust_env=False)

    def token(self, resource: str | None = None, scope: str | None = None) -> str:
        """An access token of the client `app` for itself (RFC 6749 s4.4, RFC 8707)."""
        form = {"grant_type": "client_credentials"}
        if resource is not None:
            form["resource"] = resource
        if scope is not None:
            form["scope"] = scope
        answer = self.post_as(self.app, self.token_endpoint, form)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def introspect(
        self, token: str, client: Client | None = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """What the server says of a token (RFC 7662), to `basic` or another client."""
        return self.post_as(client or self.basic, self.introspection_endpoint, {"token": token}, headers=headers)

    def revoke(self, token: str) -> None:
        """Revoke one of `app`'s tokens (RFC 7009)."""
        answer = self.post_as(self.app, self.revocation_endpoint, {"token": token})
        assert answer.status_code == 200, answer.text

    def post_as(
        self, client: Client, address: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Post a form as a client."""
        proven = client.authenticate(self.issuer, form)
        return self.http.post(address, data=proven.form, headers={**proven.headers, **(headers or {})})

    def counts(self) -> Counter[str]:
        """How often each path was asked for since the last `reset`."""
        return Counter(self.child.ask("counts"))

    def count(self, address: str) -> int:
        """How often one address was asked for."""
        return self.counts()[urlsplit(address).path]

    def reset(self) -> None:
        """Count anew."""
        self.child.ask("forget")

    def close(self) -> None:
        """Let it end."""
        self.http.close()
        self.child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def new_app() -> Client:
    """The client that obtains tokens, for itself and for users."""
    return Client(
        client_id="app",
        client_secret="the app's own",
        method="client_secret_basic",
        grants=("client_credentials", "authorization_code", "refresh_token"),
        redirect_uris=("https://app.example/callback",),
    )


def new_basic() -> Client:
    """A client for an API, without grants, whose Basic credentials need form-encoding."""
    return Client(client_id="api:basic", client_secret=AWKWARD, method="client_secret_basic")
