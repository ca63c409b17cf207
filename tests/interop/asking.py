"""Validators that ask a server about tokens, and what they say to one, or to many at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.interop.authorization_server import AuthorizationServer
from tests.interop.clients import Client
from tests.interop.oidc_provider import OPAQUE, OidcProvider, resource_of
from tests.keys.stage import LONG, Turned, settle
from tokenguard import (
    Introspection,
    InvalidToken,
    Issuer,
    KeyPolicy,
    Reason,
    RequestRefused,
    TenantIssuers,
    TokenValidator,
    Unavailable,
)
from tokenguard.integrations.asgi import TokenGuardMiddleware

PATIENT: dict[str, Any] = {"connect_timeout": 10, "total_timeout": 10, "patience": 20}  # seconds; for busy machines
PATIENT_KEYS = KeyPolicy(connect_timeout=10, total_timeout=10, patience=20)


def credentials(client: Client) -> dict[str, Any]:
    """How a client says who it is, in the words of `Introspection`."""
    if client.method == "private_key_jwt":
        return {"client_id": client.client_id, "private_key": client.private_key}
    return {"client_id": client.client_id, "client_secret": client.client_secret, "auth": client.method}


def asked(
    server: AuthorizationServer, client: Client | None = None, *, issuer: Mapping[str, Any] | None = None, **said: Any
) -> Issuer:
    """An issuer that is asked about tokens.

    Args:
        server: whose.
        client: who asks; by default `basic`.
        issuer: more options of the `Issuer`.
        said: options of the `Introspection`.
    """
    introspection = Introspection(**{**PATIENT, **credentials(client or server.basic), **said})
    return Issuer(server.issuer, introspection=introspection, **{"keys": PATIENT_KEYS, **(issuer or {})})


JWT = resource_of("ES256")
"""The `resource` of tokens that are JWTs."""

WELL_KNOWN = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@contextmanager
def validating(
    *issuers: Issuer | TenantIssuers, tick: Turned | None = None, **options: Any
) -> Iterator[TokenValidator]:
    """A validator, cold. Its caches go by `tick`."""
    with TokenValidator(*issuers, monotonic=tick or Turned(), **options) as validator:
        yield validator
        settle()


def refusal(validator: TokenValidator, token: str) -> Reason:
    """Why a token is answered 401."""
    with pytest.raises(InvalidToken) as refused:
        validator.validate(token)
    assert refused.value.status == 401
    return refused.value.reason


def silence(validator: TokenValidator, token: str) -> Unavailable:
    """That nobody can say: 503, and when to ask again."""
    with pytest.raises(Unavailable) as unavailable:
        validator.validate(token)
    refused = unavailable.value
    assert (refused.status, refused.challenge) == (503, None)
    assert int(refused.headers["Retry-After"]) >= 1
    return refused


def asking(
    server: OidcProvider,
    tick: Turned | None = None,
    *,
    audience: Any = OPAQUE,
    client: Client | None = None,
    issuer: dict[str, Any] | None = None,
    validator: dict[str, Any] | None = None,
    **said: Any,
) -> AbstractContextManager[TokenValidator]:
    """A validator, cold, that asks this server, about whose endpoints it knows nothing."""
    trusted = asked(server, client, issuer=issuer, **said)
    return validating(trusted, tick=tick, audience=audience, **(validator or {}))


def calls(server: AuthorizationServer) -> int:
    """How often it was asked about tokens."""
    return server.count(server.introspection_endpoint)


def status(validator: TokenValidator, token: str) -> int:
    """What a request with this token would be answered."""
    try:
        validator.validate(token)
    except RequestRefused as refused:
        return refused.status
    return 200


def succeed(validator: TokenValidator, token: str, tick: Turned) -> None:
    """Try, a minute apart: where a deadline is short, a busy machine may miss it."""
    for _ in range(20):
        if status(validator, token) == 200:
            return
        tick.now += 60
    raise AssertionError("it never succeeded")


def in_threads(count: int, call: Callable[[], object]) -> None:
    """Call from so many threads at a time."""
    start = threading.Barrier(count)

    def run() -> None:
        start.wait(LONG)
        call()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


async def answered(app: TokenGuardMiddleware, token: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request with this token."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing reads the body")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + token.encode("ascii"))]
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "root_path": "", "headers": headers}
    await app(scope, receive, send)
    said = {name.decode("ascii"): value.decode("ascii") for name, value in sent[0]["headers"]}
    return sent[0]["status"], said, sent[1]["body"]


def guarded(validator: TokenValidator) -> TokenGuardMiddleware:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["tokenguard.token"].client_id.encode("ascii")})

    return TokenGuardMiddleware(app, validator)


async def all_answered(app: TokenGuardMiddleware, tokens: Iterable[str]) -> list[tuple[int, dict[str, str], bytes]]:
    return await asyncio.gather(*(answered(app, token) for token in tokens))
