"""The table behind each WSGI server, over real HTTP: exact bytes on a socket."""

from __future__ import annotations

import contextlib
import os
import posixpath
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec

import pytest

from tests.integrations.behaviour import ABSENT, ADMIN, ANONYMOUS, CASES, FORGED, GOOD, READ_WRITE, USER_1, Case, check
from tests.integrations.conftest import Response
from tests.integrations.test_over_http import TIMEOUT, responses
from tests.integrations.wsgi_server import SERVERS, serving

pytestmark = pytest.mark.real_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs."""

    name: str
    port: int

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, data: bytes) -> list[Response]:
        """Send bytes on a connection of their own; whatever is answered until the server closes it."""
        received = b""
        with self.connect() as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            while chunk := connection.recv(65_536):
                received += chunk
        return list(responses(received))


def require(*packages: str) -> None:
    """Skip what cannot run here; in CI, fail."""
    lacking = [package for package in packages if find_spec(package) is None]
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(lacking)}")
    assert not lacking


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    name: str = request.param
    require(*SERVERS[name], "flask")
    with serving(name) as port:
        yield Server(name=name, port=port)


def request_bytes(case: Case, adapter: str) -> bytes:
    """A request, exactly as the table has it, for the application that it is for."""
    host = f"Host: {adapter}-{case.application}".encode("ascii")
    lines = [f"{case.method} {case.path} HTTP/1.1".encode("ascii"), host]
    lines += [name + b": " + value for name, value in case.headers]
    if case.body:
        lines.append(b"Content-Length: %d" % len(case.body))
    return b"\r\n".join([*lines, b"Connection: close", b"", case.body])


# What a server's parser answers with 400 of its own, where the table says what an application would.
_NO_FIELD = {"NUL behind it", "carriage return behind it", "vertical tab behind it", "space before the colon"}
REJECTS = dict.fromkeys(("gunicorn", "waitress", "granian", "uvicorn", "daphne"), _NO_FIELD)
HANGS_UP = {
    "uwsgi": {"carriage return behind it"},
    "daphne": {case.name for case in CASES if case.name.startswith("20 KB")},  # Twisted takes 16 KiB of a header
}

# What a server hands on otherwise than it was sent. Python's parser ends a line at a carriage return and wsgiref strips
# all sorts of white space; granian empties a field that is not ASCII. And some make one path of another: the middleware
# sees that wherever the server tells what was sent.
_NOT_ASCII = {"byte beyond ASCII in it", "no-break space behind the scheme", "no-break space behind it"}
HANDS_ON = {
    ("werkzeug", "wsgi"): dict.fromkeys(["carriage return behind it"], USER_1) | {"not public: //health": ANONYMOUS},
    ("wsgiref", "wsgi"): dict.fromkeys(["carriage return behind it", "vertical tab behind it"], USER_1)
    | {"not public: //health": ANONYMOUS},
    ("granian", "wsgi"): dict.fromkeys(_NOT_ASCII, ABSENT),
}
HANDS_ON |= {(name, adapter): cases for (name, _), cases in HANDS_ON.items() for adapter in ("flask", "django")}
HANDS_ON |= {
    ("waitress", "flask"): {"not public: //health": ANONYMOUS},
    ("uwsgi", "flask"): {"not public: /./health": ANONYMOUS},
    ("uwsgi", "django"): {"not public: /./health": ANONYMOUS},
}


def as_handed_on(case: Case, adapter: str, server: Server) -> tuple[Case, Response] | None:
    """Send a request of the table: what the application is to answer, and what came. None: the server answered."""
    found = server.send(request_bytes(case, adapter))
    if case.name in HANGS_UP.get(server.name, ()):
        assert found == []
        return None
    (response,) = found
    if case.name in REJECTS.get(server.kind, ()):
        assert response.status == 400
        assert "www-authenticate" not in {name.decode().lower() for name, _ in response.headers}
        return None
    expected = HANDS_ON.get((server.name, adapter), {}).get(case.name, case.expected)
    return replace(case, expected=expected), response


@pytest.mark.parametrize("adapter", ["wsgi", "flask"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, adapter: str, server: Server) -> None:
    if answered := as_handed_on(case, adapter, server):
        case, response = answered
        check(case, response.status, response.headers, response.body)


ADAPTERS = ("wsgi", "flask")


def _get(host: str, *lines: bytes, path: str = "/any") -> bytes:
    head = [f"GET {path} HTTP/1.1".encode("ascii"), b"Host: " + host.encode("ascii"), *lines]
    return b"\r\n".join([*head, b"", b""])


CLOSE = b"Connection: close"


def _bearer(token: str) -> bytes:
    return f"Authorization: Bearer {token}".encode("ascii")


def test_a_token_is_good_for_its_own_request_and_not_for_the_next_on_the_connection(server: Server) -> None:
    for adapter in ADAPTERS:
        host = f"{adapter}-required"
        found = server.send(_get(host, _bearer(GOOD)) + _get(host) + _get(host, CLOSE, _bearer(GOOD)))
        assert [response.status for response in found] == [200, 401, 200][: len(found) or 1]  # some close at once


def test_a_header_that_goes_on_in_the_next_line_is_one_token_or_none(server: Server) -> None:
    # RFC 9112 s5.2: a server rejects obs-fold or reads it as spaces; either way there is one reading
    for adapter in ADAPTERS:
        for fold in (b"\r\n ", b"\r\n\t"):
            found = server.send(_get(f"{adapter}-required", CLOSE, _bearer(GOOD).replace(b"Bearer ", b"Bearer" + fold)))
            assert [response.status for response in found] in ([200], [400], [])


def test_a_request_line_in_absolute_form_opens_nothing(server: Server) -> None:
    for adapter in ADAPTERS:
        for path in ("/any", "/health/../any", "/static/..%2fany", "/any/../health", "/any?/health"):
            host = f"{adapter}-required"
            for response in server.send(_get(host, CLOSE, path=f"http://{host}{path}")):
                assert response.status in (400, 401), path


BEFORE = ("", "/", "/.", "/any/..", "/any%2f..", "/;", "http://wsgi-path", "//h", "*", "%2f", "/static/../any/..")
BEHIND = ("", "/", "/../any", "/..;/any", "/%2e%2e/any", "/..%2fany", "%2f..%2fany", "%5c..%5cany", ";/any", "%00")
NAMING_ANOTHER_PATH = (
    *(b"SCRIPT_NAME: /any", b"SCRIPT_NAME: /static", b"SCRIPT-NAME: /any", b"X-Script-Name: /any"),
    *(b"PATH_INFO: /health", b"PATH-INFO: /health", b"REQUEST_URI: /health", b"RAW_URI: /health"),
)


def test_whatever_a_client_asks_for_only_what_is_listed_is_open(server: Server) -> None:
    asked: list[tuple[str, tuple[bytes, ...]]] = [
        (before + path + behind, ())
        for before in BEFORE
        for path in ("/health", "/static/a", "/any")
        for behind in BEHIND
    ]
    asked += [(path, (name,)) for path in ("/any", "/any/health", "/static/any") for name in NAMING_ANOTHER_PATH]
    opened = set()
    for target, headers in asked:
        for response in server.send(_get("wsgi-path", CLOSE, *headers, path=target)):
            assert response.status in (200, 400, 401, 404, 500), target  # 404, 500: gunicorn, of a mount that is none
            if response.status == 200:
                opened.add(response.body.decode("latin-1"))
    assert opened >= {"/health", "/static/a"}
    for path in opened:
        assert path == "/health" or path.startswith("/static/")
        assert posixpath.normpath(path) == path.removesuffix("/")


def test_headers_become_no_keys_of_ours(server: Server) -> None:
    spoofed = [
        *(b"tokenguard.token: x", b"tokenguard.verdict: x", b"tokenguard.refused: x", b"Tokenguard-Token: x"),
        *(b"TOKENGUARD_TOKEN: x", b"HTTP_TOKENGUARD.TOKEN: x", b"_tokenguard_public: x"),
    ]
    (found,) = server.send(_get("wsgi-odd", CLOSE, _bearer(GOOD), *spoofed, path="/keys"))
    ours = [key for key in found.body.decode("latin-1").splitlines() if not key.startswith("HTTP_")]
    assert ours == ["tokenguard.token", "tokenguard.verdict"]
    for adapter in ADAPTERS:
        (found,) = server.send(_get(f"{adapter}-required", CLOSE, *spoofed))
        assert found.status == 401


def test_generators_and_files_pass_and_a_generator_may_refuse(server: Server) -> None:
    for path, token, status, body in (
        ("/generator", GOOD, 200, b"user-1user-1"),
        ("/generator", FORGED, 401, None),
        ("/file", GOOD, 200, b"file"),
        ("/refusing", GOOD, 403, None),
    ):
        (found,) = server.send(_get("wsgi-odd", CLOSE, _bearer(token), path=path))
        assert found.status == status
        assert found.body == body or (body is None and found.body.startswith(b'{"error": "in'))


def test_a_refusal_takes_the_place_of_a_response_of_which_nothing_was_sent(server: Server) -> None:
    (found,) = server.send(_get("wsgi-odd", CLOSE, _bearer(GOOD), path="/begun"))
    assert found.status == 403
    assert b"www-authenticate" in {name.lower() for name, _ in found.headers}
    # uwsgi sends the headers alone, and closes the connection.
    assert found.body == b"" if server.name == "uwsgi" else found.body.startswith(b'{"error": "insufficient_scope"')


def test_a_refusal_leaves_a_body_unread_and_is_answered_all_the_same(server: Server) -> None:
    # T11: of what was announced, nothing has come yet. waitress calls nobody before it has all of it.
    body = b"x" * 9_999 if server.name == "waitress" else b""
    for adapter in ADAPTERS:
        with server.connect() as connection:
            host = f"{adapter}-required".encode("ascii")
            connection.sendall(b"POST /any HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 9999\r\n\r\n" + body)
            assert connection.recv(65_536).split(b" ", 2)[1] == b"401"


def test_requests_at_the_same_time_do_not_mix(server: Server) -> None:
    subjects = {GOOD: b"user-1", READ_WRITE: b"user-2", ADMIN: b"admin-1", FORGED: None}

    def ask(number: int) -> bool:
        token, subject = list(subjects.items())[number % len(subjects)]
        (found,) = server.send(_get(f"{ADAPTERS[number % 2]}-required", CLOSE, _bearer(token)))
        return (found.status, found.body) == (200, subject) if subject else found.status == 401

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))
