"""The local issuer's endpoints on the wire: bodies, kept connections, crowds, faults, and nothing printed."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.testing.asking import BASIC, FORM, UNAUTHENTICATED, assertion, grant, introspect
from tokenguard.testing import Client, Fault, LocalIssuer, Reply, Request

LIMIT = 65_536
KINDS = {"token": "/token", "introspection": "/introspect", "revocation": "/revoke"}


def connect(issuer: LocalIssuer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(issuer.url).port or 0), timeout=5)


def post(issuer: LocalIssuer, *headers: str, body: bytes = b"") -> socket.socket:
    """A connection on which something was posted to the introspection endpoint, and nothing read."""
    connection = connect(issuer)
    head = "\r\n".join(["POST /introspect HTTP/1.1", "Host: localhost", *headers, "", ""])
    connection.sendall(head.encode() + body)
    return connection


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(65536).split(b" ", 2)[1])


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def port_of(answer: httpx.Response) -> int:
    """The client's port: the same for all that went over one connection."""
    port: int = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    return port


class TestBody:
    def test_may_have_64_kib(self, server: LocalIssuer, http: httpx.Client) -> None:
        room = LIMIT - len("token=")
        assert introspect(http, server, "a" * room).json() == {"active": False}
        answer = introspect(http, server, "a" * (room + 1))
        assert (answer.status_code, answer.json()) == (413, {"error": "invalid_request"})
        assert answer.headers["connection"] == "close"
        assert server.requests == {"/introspect": 1}

    def test_is_not_waited_for_if_it_is_too_long(self, server: LocalIssuer) -> None:
        with post(server, f"Content-Length: {10**15}", body=b"token=") as connection:
            assert status_of(connection) == 413

    def test_is_refused_in_chunks(self, server: LocalIssuer, http: httpx.Client) -> None:
        answer = http.post(server.introspection_endpoint, content=iter([b"token=a"]), headers={"Content-Type": FORM})
        assert answer.status_code == 411

    @pytest.mark.parametrize("length", ["x", "-1", "+1", "1_0", "", "9" * 5000])
    def test_has_a_length_that_is_one(self, server: LocalIssuer, length: str) -> None:
        with post(server, f"Content-Length: {length}", body=b"token=a") as connection:
            assert status_of(connection) == 400

    def test_has_one_length(self, server: LocalIssuer) -> None:
        with post(server, "Content-Length: 7", "Content-Length: 7", body=b"token=a") as connection:
            assert status_of(connection) == 400

    def test_that_breaks_off_gets_no_answer(self, server: LocalIssuer, capfd: pytest.CaptureFixture[str]) -> None:
        with post(server, "Content-Length: 70", body=b"token=a") as connection:
            connection.shutdown(socket.SHUT_WR)
            assert read_to_end(connection) == b""
        assert server.requests.total() == 0
        assert capfd.readouterr() == ("", "")

    def test_that_never_comes_does_not_keep_the_issuer_from_closing(self) -> None:
        before = set(threading.enumerate())
        with LocalIssuer(algorithms=("ES256",)) as issuer, post(issuer, "Content-Length: 7") as connection:
            with post(issuer, "Transfer-Encoding: chunked") as refused:
                assert status_of(refused) == 411
                issuer.close()
            assert read_to_end(connection) == b""
        assert set(threading.enumerate()) <= before
        gc.collect()

    def test_of_a_get_is_read_too(self, server: LocalIssuer, http: httpx.Client) -> None:
        answers = [http.request("GET", server.jwks_uri, content=b"GET / HTTP/1.1\r\n\r\n") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert port_of(answers[0]) == port_of(answers[1])


class TestConnections:
    def test_are_kept_whatever_the_answer(self, server: LocalIssuer, http: httpx.Client) -> None:
        answers = [
            introspect(http, server, server.mint_opaque()),
            introspect(http, server, "t", auth=("opaque", "wrong")),
            introspect(http, server, ""),
            http.get(server.introspection_endpoint),
            grant(http, server),
            http.post(server.url + "/nothing", data={"a": "b"}),
            http.post(server.revocation_endpoint, data={"token": "t"}, auth=BASIC),
            http.get(server.jwks_uri),
            introspect(http, server, "t"),
        ]
        assert [answer.status_code for answer in answers] == [200, 401, 400, 405, 200, 404, 200, 200, 200]
        assert len({port_of(answer) for answer in answers}) == 1

    def test_take_requests_one_after_the_other_without_waiting(self, server: LocalIssuer) -> None:
        one = b"POST /introspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\ntoken=a"
        with connect(server) as connection:
            connection.sendall(one * 3 + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answers = read_to_end(connection)
        assert (answers.count(b"HTTP/1.1 400 "), answers.count(b"HTTP/1.1 404 ")) == (3, 1)

    def test_may_be_32_at_once(self, server: LocalIssuer) -> None:
        tokens = [server.mint_opaque(subject=f"user-{number}") for number in range(32)]
        limits = httpx.Limits(max_keepalive_connections=32)
        with (
            httpx.Client(trust_env=False, verify=False, timeout=10, limits=limits) as http,
            ThreadPoolExecutor(32) as pool,
        ):
            ports = []
            for _ in range(2):
                server.fail(Fault.HANG, on="introspection")
                pending = [pool.submit(introspect, http, server, token) for token in tokens]
                server.wait_for_requests("/introspect", 32)
                server.reset_requests()
                server.recover()
                answers = [each.result() for each in pending]
                assert [answer.json()["sub"] for answer in answers] == [f"user-{number}" for number in range(32)]
                ports.append({port_of(answer) for answer in answers})
        assert len(ports[0]) == 32
        assert ports[0] == ports[1]


class TestRequests:
    def test_are_counted_and_the_last_is_kept(self, server: LocalIssuer, http: httpx.Client) -> None:
        introspect(http, server, "first")
        introspect(http, server, "second", headers={"Accept": "application/json", "X-Two": "2"})
        grant(http, server)
        assert server.requests == {"/introspect": 2, "/token": 1}
        request = server.last_request("/introspect")
        assert (request.method, request.path) == ("POST", "/introspect")
        assert (request.headers["accept"], request.headers["x-two"]) == ("application/json", "2")
        assert request.form() == [("token", "second")]
        assert dict(server.last_request("/token").form()) == {"grant_type": "client_credentials"}

    def test_are_kept_when_they_fail(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.SERVER_ERROR)
        introspect(http, server, "t")
        assert dict(server.last_request("/introspect").form()) == {"token": "t"}

    def test_are_forgotten_when_reset(self, server: LocalIssuer, http: httpx.Client) -> None:
        introspect(http, server, "t")
        server.reset_requests()
        with pytest.raises(LookupError, match="no request for /introspect"):
            server.last_request("/introspect")

    def test_show_neither_secret_nor_token(self, server: LocalIssuer, http: httpx.Client) -> None:
        introspect(http, server, "t")
        request: Request = server.last_request("/introspect")
        assert repr(request) == "Request(method='POST', path='/introspect')"


class TestFaults:
    @pytest.mark.parametrize("kind", KINDS)
    def test_hit_the_endpoint_they_are_told_to(self, server: LocalIssuer, http: httpx.Client, kind: str) -> None:
        server.fail(Fault.TOO_MANY_REQUESTS, on=kind)  # type: ignore[arg-type]
        statuses = {
            path: http.post(server.url + path, data={"token": "t", "grant_type": "client_credentials"}, auth=BASIC)
            for path in KINDS.values()
        }
        failed = statuses.pop(KINDS[kind])
        assert (failed.status_code, failed.headers["retry-after"]) == (429, "7")
        assert [answer.status_code for answer in statuses.values()] == [200, 200]

    def test_of_the_whole_kind_hit_all(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.SERVER_ERROR)
        assert introspect(http, server, "t").status_code == grant(http, server).status_code == 500
        server.recover()
        assert introspect(http, server, "t").status_code == grant(http, server).status_code == 200

    def test_keep_the_endpoint_from_doing_anything(self, server: LocalIssuer, http: httpx.Client) -> None:
        token, form = server.mint_opaque(), assertion(server)
        server.fail(Fault.SERVER_ERROR)
        http.post(server.revocation_endpoint, data={"token": token}, auth=BASIC)
        http.post(server.introspection_endpoint, data={"token": token, **form})
        server.recover()
        answer = http.post(server.introspection_endpoint, data={"token": token, **form})
        assert answer.json()["active"] is True

    def test_hang_until_recovered_and_then_do_it_once(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.HANG, on="introspection")
        form = {"token": "t", **assertion(server)}
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(http.post, server.introspection_endpoint, data=form)
            server.wait_for_requests("/introspect")
            assert not hanging.done()
            server.recover()
            assert hanging.result(5).json() == {"active": False}

    def test_answer_an_empty_object(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.EMPTY)
        assert introspect(http, server, server.mint_opaque()).json() == {}
        signed = introspect(http, server, "t", headers={"Accept": "application/token-introspection+jwt"})
        payload = signed.text.split(".")[1]
        assert json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["token_introspection"] == {}

    def test_break_off_in_the_middle(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.TRUNCATED, on="introspection")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            introspect(http, server, "t")

    @pytest.mark.parametrize("fault", [Fault.RESET, Fault.DRIP_HEADERS, Fault.HUGE])
    def test_are_over_when_recovered(self, server: LocalIssuer, http: httpx.Client, fault: Fault) -> None:
        server.fail(fault, on="introspection")
        with ThreadPoolExecutor(1) as pool:
            spoiled = pool.submit(introspect, http, server, "t")
            server.wait_for_requests("/introspect")
            server.recover()
            spoiled.exception(5)
        assert introspect(http, server, "t").json() == {"active": False}

    def test_drip_the_right_body(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.DRIP_BODY, on="revocation")
        answer = http.post(server.revocation_endpoint, data={"token": "t"}, auth=BASIC)
        assert answer.json() == {}

    def test_leave_what_is_no_key_set_right(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.UNUSABLE)
        assert introspect(http, server, "t").json() == {"active": False}

    def test_send_a_page_in_place_of_json(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Fault.HTML)
        assert introspect(http, server, "t").headers["content-type"] == "text/html; charset=utf-8"

    def test_redirect_with_the_body_to_where_the_right_answer_waits(
        self, server: LocalIssuer, http: httpx.Client
    ) -> None:
        server.fail(Fault.REDIRECT)
        assert introspect(http, server, "t").status_code == 307
        assert introspect(http, server, "t", follow_redirects=True).json() == {"active": False}
        assert server.requests == {"/introspect": 2, "/elsewhere/introspect": 1}
        assert http.get(server.jwks_uri).status_code == 302


class TestReplies:
    @pytest.mark.parametrize(
        "body", [{"active": "true"}, [], [{"active": True}], {"active": True}, {}, None, "true", 7, True]
    )
    def test_say_any_json(self, server: LocalIssuer, http: httpx.Client, body: object) -> None:
        server.fail(Reply(body=body), on="introspection")
        for headers in ({}, {"Accept": "application/token-introspection+jwt"}):
            answer = introspect(http, server, "t", headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            assert answer.json() == body

    def test_say_any_bytes(self, server: LocalIssuer, http: httpx.Client) -> None:
        for content in (b"", b'{"active":', b'{"active":true,"active":false}', b'\xff{"active":true}'):
            server.fail(Reply(body=content), on="introspection")
            assert introspect(http, server, "t").content == content

    @pytest.mark.parametrize("content_type", ["text/html", "application/jwt", None])
    def test_say_what_they_are_or_do_not(
        self, server: LocalIssuer, http: httpx.Client, content_type: str | None
    ) -> None:
        server.fail(Reply(body={"active": True}, content_type=content_type), on="introspection")
        assert introspect(http, server, "t").headers.get("content-type") == content_type

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, UNAUTHENTICATED),
            (400, {"error": "unsupported_token_type"}),
            (401, UNAUTHENTICATED),
            (403, {"error": "access_denied"}),
            (429, {}),
            (500, {"error": "server_error"}),
            (503, b"<html>"),
        ],
    )
    def test_have_any_status_and_headers(
        self, server: LocalIssuer, http: httpx.Client, status: int, body: object
    ) -> None:
        server.fail(Reply(body=body, status=status, headers={"Retry-After": "3"}), on="introspection")
        answers = [introspect(http, server, "t") for _ in range(2)]
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")
        assert port_of(answers[0]) == port_of(answers[1])

    def test_serve_the_other_endpoints_too(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Reply(body={"keys": "none"}), on="jwks")
        assert http.get(server.jwks_uri).json() == {"keys": "none"}
        assert introspect(http, server, "t").json() == {"active": False}

    def test_give_way_to_what_comes_next(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Reply(body=[]), on="introspection")
        server.fail(Fault.SERVER_ERROR, on="introspection")
        assert introspect(http, server, "t").status_code == 500
        server.fail(Reply(body=[]))
        server.recover()
        assert introspect(http, server, "t").json() == {"active": False}

    def test_outlast_being_down(self, server: LocalIssuer, http: httpx.Client) -> None:
        server.fail(Reply(body=[]))
        server.down()
        with pytest.raises(httpx.ConnectError):
            introspect(http, server, "t")
        server.up()
        assert introspect(http, server, "t").json() == []

    @pytest.mark.parametrize("name", ["content-type", "Content-Length", "Transfer-Encoding"])
    def test_leave_the_framing_to_the_server(self, name: str) -> None:
        with pytest.raises(ValueError, match="goes into content_type"):
            Reply(body={}, headers={name: "1"})

    def test_fail_when_made_if_they_are_not_json(self) -> None:
        with pytest.raises(TypeError, match="not JSON serializable"):
            Reply(body=object())


@pytest.fixture
def hushed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is printed or logged."""
    caplog.set_level(0, logger="tokenguard")
    yield
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name.startswith("tokenguard")]


@pytest.mark.usefixtures("hushed")
def test_nothing_is_printed_whatever_is_sent(http: httpx.Client) -> None:
    client = Client(client_id="api", secret="hush-secret", bearer="hush-bearer")
    with LocalIssuer(algorithms=("ES256",), clients=(client,)) as issuer:
        token = issuer.mint_opaque(token="hush-token")
        for auth in (("api", "hush-secret"), ("api", "hush-other")):
            for fault in (None, Fault.SERVER_ERROR, Fault.RESET, Fault.TRUNCATED):
                issuer.recover()
                if fault is not None:
                    issuer.fail(fault)
                for endpoint in (issuer.introspection_endpoint, issuer.token_endpoint, issuer.revocation_endpoint):
                    with contextlib.suppress(httpx.TransportError):
                        http.post(endpoint, data={"token": token, "grant_type": "hush"}, auth=auth)
        issuer.recover()
        for content in (b"\xff\xfe=\x00", b"token=%ff%fe", b"&&==;;", b"token=" + b"[" * 60_000):
            http.post(issuer.introspection_endpoint, content=content, headers={"Content-Type": FORM}, auth=auth)
        with post(issuer, "Authorization: Bearer hush-\xe4", "Content-Length: 7", body=b"token=a") as connection:
            assert status_of(connection) == 400


def test_a_page_of_another_origin_may_ask_for_tokens_and_where_they_are_and_nothing_else() -> None:
    with LocalIssuer(algorithms=("ES256",)) as issuer, httpx.Client(trust_env=False) as client:
        preflight = client.options(
            issuer.token_endpoint,
            headers={"Origin": "http://localhost", "Access-Control-Request-Headers": "authorization,x-requested-with"},
        )
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization, X-Requested-With"
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        answer = client.post(
            issuer.token_endpoint, data={"grant_type": "client_credentials"}, auth=("api", "api-secret")
        )
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
        for kind in ("oauth-authorization-server", "openid-configuration"):
            answer = client.get(f"{issuer.url}/.well-known/{kind}", headers={"Origin": "http://localhost"})
            assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
            preflight = client.options(f"{issuer.url}/.well-known/{kind}")
            assert preflight.headers["Access-Control-Allow-Methods"] == "GET"
        for endpoint in (issuer.introspection_endpoint, issuer.revocation_endpoint, issuer.jwks_uri):
            refused = client.options(endpoint)
            assert refused.status_code == 405
            assert "Access-Control-Allow-Origin" not in refused.headers
