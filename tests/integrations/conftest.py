"""Driving ASGI applications without a server: under asyncio and trio, with scopes made of exact bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

import pytest
import trio

from tokenguard.integrations.asgi import ASGIApp, Message, Scope

pytest.register_assert_rewrite("tests.integrations.behaviour")  # so that a failing `check` shows what differs

T = TypeVar("T")


class Run(Protocol):
    """Runs an async function to its end."""

    def __call__(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T: ...


def run_asyncio(function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
    async def main() -> T:
        return await function(*args)

    return asyncio.run(main())


def run_trio(function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
    return trio.run(function, *args)


@pytest.fixture(params=[run_asyncio, run_trio], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Either event loop."""
    chosen: Run = request.param
    return chosen


def http_scope(
    path: str = "/any",
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    method: str = "GET",
    **more: Any,
) -> Scope:
    """The scope of a request as a server makes it: names in lower case, values without the white space around them."""
    target, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(target),
        "raw_path": target.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
        **more,
    }


def websocket_scope(
    path: str = "/any", headers: Iterable[tuple[bytes, bytes]] = (), *, denial_response: bool = False, **more: Any
) -> Scope:
    """The scope of a websocket; `denial_response` is whether the server offers `websocket.http.response`."""
    scope = http_scope(path, headers)
    del scope["method"]
    extensions: dict[str, object] = {"websocket.http.response": {}} if denial_response else {}
    return {**scope, "type": "websocket", "scheme": "ws", "subprotocols": [], "extensions": extensions, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response, put together from messages."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header."""
        values = [value.decode("ascii") for found, value in self.headers if found == name.lower().encode("ascii")]
        assert len(values) <= 1
        return values[0] if values else None


def response(sent: Iterable[Message], prefix: str = "http.response") -> Response:
    """Read what an application sent as one complete response, and nothing besides."""
    start, *rest = sent
    assert start["type"] == f"{prefix}.start"
    assert [message["type"] for message in rest] == [f"{prefix}.body"] * len(rest)
    assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
    return Response(
        status=start["status"],
        headers=list(start["headers"]),
        body=b"".join(message.get("body", b"") for message in rest),
    )


async def drive(app: ASGIApp, scope: Scope, incoming: Iterable[Message] = (), sent: list[Message] | None = None) -> Any:
    """Call an application. It receives `incoming`, then that the client has gone; returns what it sent.

    Give a list as `sent` to see what was sent by an application that raises.
    """
    waiting = list(incoming)
    messages: list[Message] = [] if sent is None else sent

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": f"{scope['type']}.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


async def request(app: ASGIApp, scope: Scope, body: bytes = b"") -> Response:
    """Send a request with a body, and read the response."""
    return response(await drive(app, scope, [{"type": "http.request", "body": body, "more_body": False}]))
