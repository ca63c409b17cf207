"""The table over real HTTP: exact bytes on a socket, a real server behind it."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import uvicorn

from tests.integrations.behaviour import CASES, GOOD, PUBLIC, Case, check
from tests.integrations.conftest import Response
from tests.integrations.test_asgi import application as asgi_application
from tests.integrations.test_asgi import guarded
from tests.integrations.test_fastapi import application_of_the_table as fastapi_application
from tests.integrations.test_starlette import application_of_the_table as starlette_application
from tokenguard.integrations.asgi import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.real_server

TIMEOUT = 10  # seconds, for what never comes; nothing waits for it

Parser = Literal["h11", "httptools"]
PARSERS = (
    "h11",
    pytest.param(
        "httptools",
        marks=pytest.mark.skipif(importlib.util.find_spec("httptools") is None, reason="httptools is not installed"),
    ),
)


class Server(uvicorn.Server):
    """uvicorn on an ephemeral loopback port, from `with` to its end."""

    def __init__(self, app: ASGIApp, parser: Parser) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=parser,
                ws="none",
                loop="asyncio",
                lifespan="on",  # it passes the middleware, or the server does not start
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=TIMEOUT,
            )
        )
        self.parser = parser
        self._begun = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve_until_told, name="uvicorn")

    def _serve_until_told(self) -> None:
        try:
            self.run(sockets=[self._socket])
        finally:
            self._begun.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begun.set()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._begun.wait(TIMEOUT)
        assert self.started
        return self

    def __exit__(self, *_: object) -> None:
        self.should_exit = True
        self._thread.join(TIMEOUT)
        self._socket.close()
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._socket.getsockname(), timeout=TIMEOUT)

    def send(self, data: bytes) -> list[Response]:
        """Send bytes on a connection of their own; whatever is answered until the server closes it."""
        with self.connect() as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        return list(responses(received))


def responses(received: bytes) -> Iterator[Response]:
    """Read responses that end by Content-Length; what stands behind the last is its body too, and so is found out."""
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        headers = []
        for field in fields:
            name, _, value = field.partition(b":")
            headers.append((name, value.strip()))
        lengths = [int(value) for name, value in headers if name.lower() == b"content-length"]
        last = b"HTTP/1.1 " not in received
        body, received = (received, b"") if last else (received[: lengths[0]], received[lengths[0] :])
        yield Response(status=int(line.split(b" ")[1]), headers=headers, body=body)


def request_bytes(case: Case) -> bytes:
    """A request, exactly as the table has it."""
    lines = [f"{case.method} {case.path} HTTP/1.1".encode("ascii"), b"Host: api.example.com"]
    lines += [name + b": " + value for name, value in case.headers]
    if case.body:
        lines.append(b"Content-Length: %d" % len(case.body))
    return b"\r\n".join([*lines, b"Connection: close", b"", case.body])


async def _with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await asgi_application(scope, receive, send)
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


Servers = dict[str, Server]


@pytest.fixture(scope="module", params=PARSERS)
def parser(request: pytest.FixtureRequest) -> Parser:
    chosen: Parser = request.param
    return chosen


@pytest.fixture(scope="module", params=["asgi", "starlette", "fastapi"])
def servers(request: pytest.FixtureRequest, parser: Parser) -> Iterator[Servers]:
    """The two applications of the table, each behind a server of its own."""
    apps: dict[str, ASGIApp]
    if request.param == "asgi":
        apps = {
            "required": guarded(_with_lifespan, public=PUBLIC),
            "optional": guarded(_with_lifespan, required=False),
        }
    elif request.param == "starlette":
        apps = {
            "required": starlette_application(asynchronous=True, public=PUBLIC),
            "optional": starlette_application(asynchronous=False, required=False),
        }
    else:
        apps = {
            "required": fastapi_application(asynchronous=True, required=True, public=PUBLIC),
            "optional": fastapi_application(asynchronous=False),
        }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Server(app, parser)) for name, app in apps.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, servers: Servers) -> None:
    server = servers[case.application]
    (found,) = server.send(request_bytes(case))
    if server.parser in case.rejected_by:
        assert found.status == 400
        assert "www-authenticate" not in {name.decode().lower() for name, _ in found.headers}
        return
    check(case, found.status, found.headers, found.body)


def test_a_token_is_good_for_its_own_request_and_not_for_the_next_on_the_connection(servers: Servers) -> None:
    host = b"GET /any HTTP/1.1\r\nHost: api.example.com\r\n"
    good = f"Authorization: Bearer {GOOD}\r\n\r\n".encode()
    found = servers["required"].send(host + good + host + b"\r\n" + host + b"Connection: close\r\n" + good)
    assert [response.status for response in found] == [200, 401, 200]


def test_a_header_that_goes_on_in_the_next_line_is_one_token_or_none(servers: Servers) -> None:
    # RFC 9112 s5.2: a server rejects obs-fold or reads it as spaces; either way there is one reading
    server = servers["required"]
    for fold in (b"\r\n ", b"\r\n\t"):
        (found,) = server.send(
            b"GET /any HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Bearer" + fold + GOOD.encode() + b"\r\n\r\n"
        )
        assert found.status in (200, 400)


def test_a_request_line_in_absolute_form_opens_nothing(servers: Servers) -> None:
    for target in (b"http://api.example.com/any", b"http://api.example.com/health/../any", b"http://x/static/..%2fany"):
        (found,) = servers["required"].send(
            b"GET " + target + b" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"
        )
        assert found.status in (400, 401)


def test_a_refusal_leaves_a_body_unread_and_is_answered_all_the_same(servers: Servers) -> None:
    # T11: of the megabyte that was announced, nothing has come yet
    with servers["required"].connect() as connection:
        connection.sendall(b"POST /any HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
