"""The only sockets: what is sent, and that whatever goes wrong is an answer."""

from __future__ import annotations

import datetime as dt
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import httpx
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tokenguard._fetch import Answer, Request
from tokenguard._transport import IDLE, Transport, _Deadline, _Line
from tokenguard.testing import Fault, LocalIssuer

AT = 7.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Site:
    """Answers each POST with the next of `answers`, to the byte; with `b""` it closes. After the last one: `OK`."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = listener

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed in the end
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            text = b""
            while chunk := connection.recv(65536):
                text += chunk
                if not text.endswith(b"token=secret"):
                    continue
                self.requests.append(text)
                text = b""
                answer = self.answers.pop(0) if self.answers else OK
                if not answer:
                    return
                connection.sendall(answer)


@pytest.fixture
def site() -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = Site(listener)
        thread = threading.Thread(target=site.serve, daemon=True)
        thread.start()
        yield site
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A server's key, and a certificate for it that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + dt.timedelta(days=36500))
    pem = serialization.Encoding.PEM
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    return path


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(None, lambda: AT)
    yield transport
    transport.close()


def _request(url: str, *, total_timeout: float = 5.0, max_bytes: int = 100_000) -> Request:
    return Request(url=url, connect_timeout=5.0, total_timeout=total_timeout, max_bytes=max_bytes)


def _question(url: str, *, total_timeout: float = 5.0) -> Request:
    return Request(
        url=url,
        accept="a/b",
        form=b"token=secret",
        authorization="Basic YTo=",
        connect_timeout=5.0,
        total_timeout=total_timeout,
        max_bytes=1000,
    )


def _is_open(line: _Line) -> bool:
    assert isinstance(line.client, httpx.Client)
    return not line.client.is_closed


def _tls(certificate: Path) -> tuple[ssl.SSLSocket, socket.socket]:
    """Both ends of a connection: ours in TLS, and the peer's as it is on the wire."""
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = context.wrap_bio(into, out, server_side=True)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    ours.setblocking(False)
    client = trusting.wrap_socket(ours, do_handshake_on_connect=False)
    for end in (client, peer, client, peer):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
        if out.pending:
            theirs.sendall(out.read())
        elif end is client:
            into.write(theirs.recv(65536))
    assert client.version() == peer.version() is not None
    return client, theirs


def _mock(respond: Callable[[httpx.Request], httpx.Response]) -> Transport:
    return Transport(httpx.Client(transport=httpx.MockTransport(respond)), lambda: AT)


def test_an_answer_has_status_body_and_time(issuer: LocalIssuer, transport: Transport) -> None:
    answer = transport.send(_request(issuer.jwks_uri))
    assert (answer.status, answer.trouble, answer.at) == (200, None, AT)
    assert b'"keys"' in answer.body


def test_a_redirect_is_an_answer_and_never_followed(issuer: LocalIssuer, transport: Transport) -> None:
    issuer.fail(Fault.REDIRECT)
    assert transport.send(_request(issuer.jwks_uri)).status == 302
    assert list(issuer.requests) == ["/jwks"]


def test_not_even_by_a_client_that_follows_them(issuer: LocalIssuer) -> None:
    issuer.fail(Fault.REDIRECT)
    with httpx.Client(follow_redirects=True) as client:
        assert Transport(client, lambda: AT).send(_request(issuer.jwks_uri)).status == 302
    assert list(issuer.requests) == ["/jwks"]


@pytest.mark.parametrize(
    ("fault", "status", "trouble"),
    [
        (Fault.RESET, 0, "ReadError"),
        (Fault.TRUNCATED, 0, "RemoteProtocolError"),
        (Fault.HUGE, 200, "more than 100000 bytes"),
    ],
)
def test_a_broken_answer_is_trouble(
    issuer: LocalIssuer, transport: Transport, fault: Fault, status: int, trouble: str
) -> None:
    issuer.fail(fault)
    answer = transport.send(_request(issuer.jwks_uri))
    assert answer.status == status
    assert trouble in str(answer.trouble)


def test_a_hanging_server_is_trouble(issuer: LocalIssuer, transport: Transport) -> None:
    issuer.fail(Fault.HANG)
    trouble = transport.send(_request(issuer.jwks_uri, total_timeout=0.05)).trouble
    assert trouble == "not done within 0.05 s" or "ReadTimeout" in str(trouble)


def test_a_server_out_of_reach_is_trouble(issuer: LocalIssuer, transport: Transport) -> None:
    issuer.down()
    assert "ConnectError" in str(transport.send(_request(issuer.jwks_uri)).trouble)


@pytest.mark.parametrize("fault", [Fault.DRIP_HEADERS, Fault.DRIP_BODY])
@pytest.mark.parametrize("client", [None, httpx.Client, httpx2.Client], ids=["ours", "httpx", "httpx2"])
def test_a_dripping_server_is_cut_off_at_the_deadline(
    issuer: LocalIssuer, fault: Fault, client: type[httpx.Client] | None
) -> None:
    # Each byte comes well within httpx's own timeouts; all of them would take minutes.
    issuer.fail(fault)
    with ExitStack() as stack:
        transport = Transport(stack.enter_context(client()) if client else None, lambda: AT)
        stack.callback(transport.close)
        assert transport.send(_request(issuer.jwks_uri, total_timeout=0.3)).trouble == "not done within 0.3 s"


def test_a_body_that_comes_without_a_connection_ends_at_the_deadline_too() -> None:
    over = threading.Event()

    def drip() -> Iterator[bytes]:
        while not over.wait(0.01):
            yield b"."

    answer = _mock(lambda _: httpx.Response(200, content=drip())).send(_request("https://x/", total_timeout=0.05))
    over.set()
    assert answer.trouble == "not done within 0.05 s"


def test_a_connection_made_after_the_deadline_is_cut_as_well() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = _Line(httpx.Client())
        _Deadline(60.0, line).end()
        stream = SimpleNamespace(get_extra_info=lambda _: ours)
        line.trace("connection.connect_tcp.complete", {"return_value": stream})
        assert theirs.recv(1) == b""


def test_what_is_written_while_a_connection_is_cut_never_goes_out_in_the_clear(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = _tls(certificate)
    shut_down = socket.socket.shutdown

    def write_and_shut_down(connection: socket.socket, how: int) -> None:
        connection.send(b"token=secret")  # as another thread may, at this very moment
        shut_down(connection, how)

    monkeypatch.setattr(socket.socket, "shutdown", write_and_shut_down)
    with ours, theirs:
        line = _Line(httpx.Client())
        line.trace("connection.start_tls.complete", {"return_value": SimpleNamespace(get_extra_info=lambda _: ours)})
        line.cut()
        wire = b"".join(iter(lambda: theirs.recv(65536), b""))  # to its end: it is cut
        assert len(wire) > len(b"token=secret")
        assert b"secret" not in wire
        with pytest.raises(OSError, match=r"Broken pipe|EOF|closed"):
            ours.send(b"token=secret")
        line.client.close()


def test_where_no_thread_starts_there_is_no_deadline_but_an_answer(
    issuer: LocalIssuer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.send(_request(issuer.jwks_uri))

    def no_threads(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", no_threads)
    assert transport.send(_request(issuer.jwks_uri)).status == 200


def test_a_body_of_the_very_size_passes_and_one_more_does_not() -> None:
    transport = _mock(lambda _: httpx.Response(200, content=b"12345"))
    assert transport.send(_request("https://x/", max_bytes=5)).body == b"12345"
    assert transport.send(_request("https://x/", max_bytes=4)).trouble == "more than 4 bytes"


def test_no_compressed_answer_is_asked_for_or_read() -> None:
    seen: list[httpx.Headers] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"bomb"))

    assert "compressed" in str(_mock(respond).send(_request("https://x/")).trouble)
    assert seen[0]["accept-encoding"] == "identity"
    assert seen[0]["accept"] == "application/json"


def test_an_encoding_that_is_none_is_read_however_it_is_spelt() -> None:
    transport = _mock(lambda _: httpx.Response(200, headers={"Content-Encoding": "Identity"}, content=b"{}"))
    assert transport.send(_request("https://x/")).body == b"{}"


def test_whatever_a_client_raises_is_trouble_and_harmless_in_a_log() -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("\x1b[31m\r\n" + "x" * 1000)

    trouble = str(_mock(respond).send(_request("https://x/")).trouble)
    assert trouble.startswith("ZeroDivisionError '\\x1b[31m\\r\\nxxx")
    assert len(trouble) < 200


def test_httpx2_serves_as_well(issuer: LocalIssuer) -> None:
    with httpx2.Client() as client:
        transport = Transport(client, lambda: AT)
        assert transport.send(_request(issuer.jwks_uri)).status == 200
        issuer.fail(Fault.REDIRECT)
        assert transport.send(_request(issuer.jwks_uri)).status == 302
        issuer.down()
        assert "ConnectError" in str(transport.send(_request(issuer.jwks_uri)).trouble)


def test_our_client_takes_nothing_from_the_environment(
    issuer: LocalIssuer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert transport.send(_request(issuer.jwks_uri)).status == 200


def test_our_client_keeps_no_cookies(site: Site, transport: Transport) -> None:
    site.answers = [b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}", OK]
    transport.send(_question(site.url))
    transport.send(_question(site.url))
    assert site.connections == 1
    assert b"cookie" not in site.requests[1].lower()


def test_a_clock_ends_it_where_the_timer_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_threads(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", no_threads)
    endless = itertools.repeat(b".")
    answer = _mock(lambda _: httpx.Response(200, content=endless)).send(
        _request("https://x/", total_timeout=0.05, max_bytes=10**9)
    )
    assert answer.trouble == "not done within 0.05 s"


def test_no_connection_is_kept_for_keys(issuer: LocalIssuer, transport: Transport) -> None:
    transport.send(_request(issuer.jwks_uri))
    assert not transport._idle


def test_a_question_about_a_token_is_a_form(site: Site, transport: Transport) -> None:
    assert transport.send(_question(site.url)).body == b"{}"
    head, _, body = site.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /x http/1.1"
    assert {b"content-type: application/x-www-form-urlencoded", b"authorization: basic yto=", b"accept: a/b"} <= {
        *lines
    }
    assert body == b"token=secret"


def test_what_is_asked_is_not_shown(site: Site) -> None:
    assert "secret" not in repr(_question(site.url))
    assert "YTo=" not in repr(_question(site.url))


def test_questions_share_a_connection(site: Site, transport: Transport) -> None:
    for _ in range(3):
        assert transport.send(_question(site.url)).status == 200
    assert (site.connections, len(site.requests)) == (1, 3)


def test_a_kept_connection_that_the_server_closes_meanwhile_costs_no_answer(site: Site, transport: Transport) -> None:
    transport.send(_question(site.url))
    site.answers = [b"", OK]
    assert transport.send(_question(site.url)).status == 200
    assert (site.connections, len(site.requests)) == (2, 3)


def test_a_new_connection_that_the_server_closes_is_trouble(site: Site, transport: Transport) -> None:
    site.answers = [b"", OK]
    assert "RemoteProtocolError" in str(transport.send(_question(site.url)).trouble)
    assert len(site.requests) == 1


def test_a_kept_connection_is_cut_at_the_deadline_too(site: Site, transport: Transport) -> None:
    transport.send(_question(site.url))
    site.answers = [b"HTTP/1.1 200 OK\r\n", OK]  # and then nothing more
    answer = transport.send(_question(site.url, total_timeout=0.2))
    assert answer == Answer(at=AT, trouble="not done within 0.2 s")
    assert transport.send(_question(site.url)).status == 200
    assert site.connections == 2


def test_no_more_connections_are_kept_than_so_many(
    site: Site, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenguard._transport.MOST_IDLE", 1)
    for path in ("", "?b", "?c"):
        assert transport.send(_question(site.url + path)).status == 200
    (kept,) = transport._idle
    assert kept.url == f"{site.url}?c"  # else those that nobody uses any more would shut out the others


@pytest.mark.parametrize("way", ["a key is fetched", "another token is asked about", "one is given back"])
def test_a_connection_that_nobody_uses_any_more_is_closed(site: Site, issuer: LocalIssuer, way: str) -> None:
    clock = [AT]
    transport = Transport(None, lambda: clock[0])
    transport.send(_question(site.url))
    (idle,) = transport._idle
    other = transport._line(_question(f"{site.url}?b"))
    clock[0] = AT + IDLE - 0.1
    transport.send(_request(issuer.jwks_uri))
    assert _is_open(idle.line)
    clock[0] = AT + IDLE
    if way == "a key is fetched":
        transport.send(_request(issuer.jwks_uri))
    elif way == "another token is asked about":
        transport.send(_question(f"{site.url}?b"))
    transport._give_back(other, _question(f"{site.url}?b"), reusable=way == "one is given back")
    assert not _is_open(idle.line)
    assert site.url not in {each.url for each in transport._idle}
    transport.close()


def test_the_latest_connection_to_an_address_is_used_first(site: Site, transport: Transport) -> None:
    lines = [transport._line(_question(site.url + path)) for path in ("", "", "?b")]
    for line, path in zip(lines, ("", "", "?b"), strict=True):
        transport._give_back(line, _question(site.url + path), reusable=True)
    assert [transport._line(_question(site.url)) for _ in range(2)] == [lines[1], lines[0]]
    for line in lines:
        line.client.close()


def test_what_is_taken_is_cut_by_closing_from_the_very_first_moment(site: Site, transport: Transport) -> None:
    taken = transport._take(_question(site.url))
    transport.close()
    assert taken is not None
    assert taken.passed()
    assert transport._take(_question(site.url)) is None


def test_nothing_is_under_way_any_more_whatever_ended_it(
    site: Site, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> NoReturn:
        raise Interrupted

    monkeypatch.setattr(transport, "_exchange", interrupt)
    with pytest.raises(Interrupted):
        transport.send(_question(site.url))
    assert not transport._under_way


def test_a_connection_that_is_no_socket_is_left_alone() -> None:
    line = _Line(httpx.Client())
    line.trace("connection.connect_tcp.complete", {"return_value": SimpleNamespace(get_extra_info=lambda _: None)})
    line.cut()
    line.client.close()


def test_a_closed_transport_keeps_no_connection(site: Site, transport: Transport) -> None:
    transport.send(_question(site.url))
    ((_, line, _),) = transport._idle
    transport.close()
    assert not _is_open(line)
    transport._give_back(line, _question(site.url), reusable=True)
    assert not transport._idle


def test_once_closed_it_says_so_and_opens_nothing(issuer: LocalIssuer, transport: Transport) -> None:
    transport.send(_request(issuer.jwks_uri))
    transport.close()
    transport.close()
    assert transport.send(_request(issuer.jwks_uri)) == Answer(at=AT, trouble="the validator is closed")


def test_a_given_client_is_not_ours_to_close(issuer: LocalIssuer) -> None:
    with httpx.Client() as client:
        Transport(client, lambda: AT).close()
        assert not client.is_closed


def test_after_a_fork_the_parents_connections_and_lock_are_left_alone(site: Site, transport: Transport) -> None:
    transport.send(_question(site.url))
    ((_, line, _),), held = transport._idle, transport._lock
    with held:
        transport.after_fork()
        assert transport.send(_question(site.url)).status == 200
    assert site.connections == 2
    line.client.close()


def test_threads_share_a_transport(issuer: LocalIssuer, transport: Transport) -> None:
    threads = [threading.Thread(target=transport.send, args=(_request(issuer.jwks_uri),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.requests["/jwks"] == 8
