"""The table over real HTTP: exact bytes on a socket, gunicorn, uvicorn or daphne behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integrations.behaviour import CASES, GOOD, Case, check
from tests.integrations.conftest import Response
from tests.integrations.test_django.test_rest_framework import ALONE, check_rendered
from tests.integrations.test_over_http import TIMEOUT, request_bytes, responses

pytestmark = pytest.mark.real_server

# Twisted takes 16 KiB of a header, and then hangs up without a word.
HANGS_UP = {"daphne": {case.name for case in CASES if case.name.startswith("20 KB")}}


class Server:
    """A server in a child process. It ends when its standard input closes, so it cannot outlive this process."""

    def __init__(self, name: str, application: str) -> None:
        self.name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        fd = self._socket.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integrations.test_django.served", name, application, str(fd)],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            pass_fds=[fd],
            start_new_session=True,  # a Ctrl-C is for us, and we end it
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._socket.close()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def send(self, data: bytes) -> list[Response]:
        """Send bytes on a connection of their own; whatever is answered until the server closes it."""
        with socket.create_connection(self._socket.getsockname(), timeout=TIMEOUT) as connection:
            connection.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionResetError):  # of what it did not read
                while chunk := connection.recv(65_536):
                    received += chunk
        return list(responses(received))


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn", "daphne"])
def server_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if sys.platform == "win32":
        pytest.skip("there a child does not inherit sockets")
    if find_spec(name) is None:
        reason = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return name


Servers = dict[str, Server]


@pytest.fixture(scope="module")
def servers(server_name: str) -> Iterator[Servers]:
    """The two applications of the table, and the one of REST framework without the middleware."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(Server(server_name, name)) for name in ("required", "optional", "rest_framework")
        }


def answer(case: Case, server: Server) -> Response | None:
    """The application's answer; None where the server refuses the request itself."""
    found = server.send(request_bytes(case))
    if case.name in HANGS_UP.get(server.name, ()):
        assert found == []
        return None
    (response,) = found
    if case.rejected_by >= {"h11", "httptools"}:
        assert response.status == 400
        assert "www-authenticate" not in {name.decode().lower() for name, _ in response.headers}
        return None
    return response


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, servers: Servers) -> None:
    found = answer(case, servers[case.application])
    if found is not None:
        check(case, found.status, found.headers, found.body)


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.name)
def test_each_request_for_a_view_of_rest_framework_gets_its_answer(case: Case, servers: Servers) -> None:
    found = answer(case, servers["rest_framework"])
    if found is not None:
        check_rendered(case, found)


def test_a_token_is_good_for_its_own_request_and_not_for_the_next_on_the_connection(servers: Servers) -> None:
    host = b"GET /any HTTP/1.1\r\nHost: api.example.com\r\n"
    good = f"Authorization: Bearer {GOOD}\r\n\r\n".encode()
    found = servers["required"].send(host + good + host + b"\r\n" + host + b"Connection: close\r\n" + good)
    assert [response.status for response in found] == [200, 401, 200]
