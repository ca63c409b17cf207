"""The table behind each ASGI server, over real HTTP, and websockets behind each of them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integrations.asgi_server import SERVERS, missing, serving
from tests.integrations.behaviour import (
    ABSENT,
    CASES,
    EXPIRED,
    EXPIRED_TOKEN,
    FORGED,
    GOOD,
    INVALID,
    MALFORMED,
    UNAVAILABLE,
    UNDECIDABLE,
    Case,
    Expected,
    bearer,
    check,
)
from tests.integrations.conftest import Response
from tests.integrations.test_over_http import TIMEOUT, responses

pytestmark = pytest.mark.real_server

# Which servers can send a response to a websocket that is refused; the others close it before it is accepted: 403.
DENIES_WITH_A_RESPONSE = set(SERVERS) - {"daphne"}
# autobahn lets applications say 1000 or 3000 to 4999, and takes another code for their failure; daphne gives no reason.
CLOSES_AS = {"daphne": (1011, "")}
# Twisted takes 16 KiB of a header, and then hangs up without a word.
HANGS_UP = {"daphne": {case.name for case in CASES if case.name.startswith("20 KB")}}

# Twisted reads a request with its whole body before it calls the application.
READS_BODIES_FIRST = {"daphne"}
# Which headers of a client a server takes for its own settings: a proxy has to drop them.
BELIEVES = {("daphne", "Daphne-Root-Path")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs."""

    name: str
    port: int

    def send(self, data: bytes) -> list[Response]:
        """Send bytes on a connection of their own; whatever is answered until the server closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(65_536):
                    received += chunk
        return list(responses(received))

    def websocket(self, token: str | None, application: str = "required", path: str = "/any") -> ClientConnection:
        """Open a websocket at one of the applications."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return connect(
            f"ws://{application}{path}",
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT),
            additional_headers=headers,
            open_timeout=TIMEOUT,
            proxy=None,
        )


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    name: str = request.param
    lacking = missing(name)
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(lacking)}")
    assert not lacking
    with serving(name) as port:
        yield Server(name=name, port=port)


def request_bytes(case: Case) -> bytes:
    """A request, exactly as the table has it, for the application that it is for."""
    lines = [f"{case.method} {case.path} HTTP/1.1".encode("ascii"), b"Host: " + case.application.encode("ascii")]
    lines += [name + b": " + value for name, value in case.headers]
    if case.body:
        lines.append(b"Content-Length: %d" % len(case.body))
    return b"\r\n".join([*lines, b"Connection: close", b"", case.body])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(server: Server, case: Case) -> None:
    found = server.send(request_bytes(case))
    if case.name in HANGS_UP.get(server.name, ()):
        assert found == []
        return
    (response,) = found
    if case.rejected_by and b"www-authenticate" not in {name.lower() for name, _ in response.headers}:
        assert response.status == 400  # of the server's own: nobody was asked
        return
    check(case, response.status, response.headers, response.body)


def test_what_stands_in_the_table_as_rejected_is_rejected_by_someone(server: Server) -> None:
    # Else the test above would take any 400 for an answer of the server's own.
    cases = [case for case in CASES if case.rejected_by and case.method == "GET"]
    assert cases
    for case in cases:
        (response,) = server.send(request_bytes(case))
        assert response.status == 400


def test_a_token_is_good_for_its_own_request_and_not_for_the_next_on_the_connection(server: Server) -> None:
    line = b"GET /any HTTP/1.1\r\nHost: required\r\n"
    good = f"Authorization: Bearer {GOOD}\r\n\r\n".encode()
    last = line + b"Connection: close\r\n" + good
    assert [response.status for response in server.send(line + good + line + b"\r\n" + last)] == [200, 401, 200]


def test_a_refusal_leaves_a_body_unread_and_is_answered_all_the_same(server: Server) -> None:
    body = bytes(1_000_000) if server.name in READS_BODIES_FIRST else b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as connection:
        connection.sendall(b"POST /any HTTP/1.1\r\nHost: required\r\nContent-Length: 1000000\r\n\r\n" + body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("header", ["X-Forwarded-Prefix", "X-Script-Name", "Script-Name", "Daphne-Root-Path"])
def test_no_client_says_where_the_application_is_mounted(server: Server, header: str) -> None:
    # Else /mount/health would be public.
    lines = f"GET /mount/health HTTP/1.1\r\nHost: required\r\n{header}: /mount\r\nConnection: close\r\n\r\n"
    (response,) = server.send(lines.encode("ascii"))
    believed = (server.name, header) in BELIEVES  # then the application is reached, and knows no such route
    assert response.status == (500 if believed else 401)


# Websockets


def test_a_websocket_with_a_token_is_let_in_and_without_one_where_none_is_required(server: Server) -> None:
    for token, application, said in ((GOOD, "required", "user-1"), (None, "optional", "anonymous")):
        with server.websocket(token, application) as websocket:
            assert websocket.recv(TIMEOUT) == said
            websocket.send("hello")
            assert websocket.recv(TIMEOUT) == "hello"


@pytest.mark.parametrize(
    ("token", "expected"),
    [(None, ABSENT), (FORGED, INVALID), (EXPIRED, EXPIRED_TOKEN), ("a b", MALFORMED), (UNDECIDABLE, UNAVAILABLE)],
    ids=["absent", "forged", "expired", "malformed", "keys out of reach"],
)
@pytest.mark.parametrize("application", ["required", "optional"])
def test_a_websocket_is_refused_before_it_is_accepted(
    server: Server, application: str, token: str | None, expected: Expected
) -> None:
    if token is None and application == "optional":
        return  # let in, see above
    with pytest.raises(InvalidStatus) as caught:
        server.websocket(token, application)
    denied = caught.value.response
    if server.name not in DENIES_WITH_A_RESPONSE:
        assert denied.status_code == 403
        assert "WWW-Authenticate" not in denied.headers
        return
    case = Case(name="websocket", headers=bearer(token) if token else (), expected=expected)
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in denied.headers.raw_items()]
    check(case, denied.status_code, headers, bytes(denied.body or b""))


def test_what_is_public_is_public_to_websockets_and_what_resembles_it_is_not(server: Server) -> None:
    for path in ("/health", "/static/feed"):
        with server.websocket(None, path=path) as websocket:
            assert websocket.recv(TIMEOUT) == "anonymous"
    for path in ("/health/", "//health", "/static/..%2fany", "/static/%2e%2e/any", "/any?/health"):
        with pytest.raises(InvalidStatus):
            server.websocket(None, path=path)


def test_an_open_websocket_is_closed_when_its_token_expires(server: Server) -> None:
    with server.websocket(GOOD, "expiring") as websocket:
        assert websocket.recv(TIMEOUT) == "user-1"
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(TIMEOUT)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == CLOSES_AS.get(
        server.name, (1008, "the access token expired")
    )
