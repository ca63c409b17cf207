"""Whom we talk to: the configured issuer, and nobody that a token names."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integrations.conftest import Run, drive, http_scope, request, websocket_scope
from tests.integrations.test_asgi import Recorder
from tokenguard import InvalidToken, Issuer, TokenValidator
from tokenguard.integrations.asgi import TokenGuardMiddleware
from tokenguard.testing import LocalIssuer

Event = tuple[str, tuple[Any, ...]]

# An audit hook sees every thread and every library, and cannot be taken away again: so there is one, which is told
# when to listen.
_listening: list[list[Event]] = []


def _hook(name: str, args: tuple[Any, ...]) -> None:
    if _listening and name.startswith(
        ("socket.", "ssl.", "subprocess.", "os.system", "urllib.", "http.", "ftplib.", "open")
    ):
        for events in _listening:
            events.append((name, args))


sys.addaudithook(_hook)


@contextlib.contextmanager
def spy() -> Iterator[list[Event]]:
    """All that touches the network or opens a file, from here to the end of `with`."""
    events: list[Event] = []
    _listening.append(events)
    try:
        yield events
    finally:
        _listening.remove(events)


def contacted(events: list[Event]) -> set[Any]:
    """Where connections or datagrams went."""
    # (socket, address) in each of them
    return {args[1] for name, args in events if name in ("socket.connect", "socket.sendto", "socket.sendmsg")}


def looked_up(events: list[Event]) -> set[Any]:
    """Which hosts were asked for."""
    return {
        args[0]
        for name, args in events
        if name in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
    }


@pytest.fixture(scope="module")
def attacker() -> Iterator[LocalIssuer]:
    """Serves keys that would verify the forgeries, to whoever asks."""
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


def hostile_tokens(issuer: LocalIssuer, attacker: LocalIssuer) -> list[str]:
    """Tokens that name places to look for keys: theirs, the cloud's, the file system's."""
    theirs = attacker.jwks()["keys"][0]
    places = [
        attacker.jwks_uri,
        f"{attacker.url}/.well-known/openid-configuration",
        f"{issuer.url}@{urlsplit(attacker.url).netloc}/jwks",
        "https://attacker.example/jwks.json",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:1/jwks",
        "file:///etc/passwd",
        "ftp://attacker.example/jwks.json",
        "//attacker.example/jwks.json",
        "gopher://127.0.0.1:11211/_stats",
    ]
    kids = [*places, "../../../../etc/passwd", "/dev/null", "x' UNION SELECT 'key", "| nslookup attacker.example", ""]
    iss = {"iss": issuer.url}
    return [
        *(attacker.mint(iss, header={"jku": place}) for place in places),
        *(attacker.mint(iss, header={"jku": place, "kid": issuer.kid()}) for place in places),
        *(attacker.mint(iss, header={"x5u": place, "kid": issuer.kid()}) for place in places),
        *(attacker.mint(iss, header={"kid": kid}) for kid in kids),
        *(attacker.mint({"iss": place}) for place in places),
        attacker.mint(iss, header={"jwk": theirs}),
        attacker.mint(iss, header={"jwk": theirs, "kid": issuer.kid()}),
        attacker.mint(iss, header={"x5c": ["MIIB"], "kid": issuer.kid()}),
        attacker.mint(),
        attacker.mint({"iss": f"{issuer.url}/"}),
        attacker.mint({"iss": [issuer.url, attacker.url]}),
        attacker.mint({**iss, "jku": attacker.jwks_uri, "jwks_uri": attacker.jwks_uri, "aud": attacker.url}),
        attacker.mint({**iss, "_claim_sources": {"src1": {"endpoint": attacker.url}}}),
        attacker.mint(iss, header={"crit": ["jku"], "jku": attacker.jwks_uri}),
        attacker.mint(iss, header={"typ": "secevent+jwt", "jku": attacker.jwks_uri}),
        attacker.mint(iss, header={"alg": "none", "jku": attacker.jwks_uri}),
    ]


def _bearer(token: str) -> tuple[tuple[bytes, bytes]]:
    return ((b"authorization", b"Bearer " + token.encode("ascii")),)


def test_from_a_cold_start_on_hostile_tokens_cause_requests_to_the_configured_issuer_only(
    run: Run, issuer: LocalIssuer, attacker: LocalIssuer
) -> None:
    # K05, K07, K09, C22
    address = ("127.0.0.1", urlsplit(issuer.url).port)
    hostile = hostile_tokens(issuer, attacker)
    good = issuer.mint()
    attacker.reset_requests()
    with TokenValidator(issuer.url, audience=issuer.audience, monotonic=lambda: 0.0) as validator, spy() as events:
        app = TokenGuardMiddleware(Recorder(), validator)
        for token in [*hostile, good, *hostile]:
            status = run(request, app, http_scope(headers=_bearer(token))).status
            assert status == (204 if token is good else 401)
        for token in hostile:
            with pytest.raises(InvalidToken):
                validator.validate(token)
            assert run(drive, app, websocket_scope(headers=_bearer(token)))[0]["type"] == "websocket.close"
    assert contacted(events) == {address}
    assert looked_up(events) <= {"127.0.0.1"}
    assert attacker.requests.total() == 0
    # D01: one fetch to begin with, one for all the made-up kids, and one for all the bad signatures
    assert issuer.requests["/jwks"] == 3
    assert issuer.requests.total() == 4
    for name, args in events:
        assert not name.startswith(("subprocess.", "os.system", "ftplib.")), (name, args)
        assert "attacker.example" not in repr(args)
        assert name != "open" or str(args[0]) not in ("/etc/passwd", "/dev/null")


def test_a_good_token_with_a_hint_at_a_key_is_accepted_and_the_hint_not_followed(
    run: Run, issuer: LocalIssuer, attacker: LocalIssuer
) -> None:
    attacker.reset_requests()
    jwk = attacker.jwks()["keys"][0]
    hints = ({"jku": attacker.jwks_uri}, {"x5u": attacker.jwks_uri}, {"jwk": jwk}, {"x5c": ["MIIB"]}, {"x5t": "x"})
    with TokenValidator(issuer.url, audience=issuer.audience) as validator, spy() as events:
        app = TokenGuardMiddleware(Recorder(), validator)
        for hint in hints:
            assert run(request, app, http_scope(headers=_bearer(issuer.mint(header=hint)))).status == 204
    assert contacted(events) == {("127.0.0.1", urlsplit(issuer.url).port)}
    assert attacker.requests.total() == 0


def test_with_known_keys_nothing_is_contacted_at_all(run: Run, issuer: LocalIssuer, attacker: LocalIssuer) -> None:
    hostile = [*hostile_tokens(issuer, attacker), issuer.mint()]
    trusted = Issuer(issuer.url, jwks=issuer.jwks())
    with TokenValidator(trusted, audience=issuer.audience) as validator, spy() as events:
        app = TokenGuardMiddleware(Recorder(), validator)
        statuses = [run(request, app, http_scope(headers=_bearer(token))).status for token in hostile]
    assert statuses == [401] * (len(hostile) - 1) + [204]
    assert contacted(events) == looked_up(events) == set()


def test_a_proxy_or_password_in_the_environment_is_not_used(
    run: Run, issuer: LocalIssuer, attacker: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, attacker.url)
        monkeypatch.setenv(name.lower(), attacker.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    attacker.reset_requests()
    token = issuer.mint()
    with TokenValidator(issuer.url, audience=issuer.audience) as validator, spy() as events:
        app = TokenGuardMiddleware(Recorder(), validator)
        assert run(request, app, http_scope(headers=_bearer(token))).status == 204
    assert contacted(events) == {("127.0.0.1", urlsplit(issuer.url).port)}
    assert attacker.requests.total() == 0


def test_the_spy_sees_connections_and_look_ups(attacker: LocalIssuer) -> None:
    # A spy that sees nothing proves nothing.
    port = urlsplit(attacker.url).port
    assert port is not None
    with spy() as events:
        socket.create_connection(("127.0.0.1", port)).close()
    assert contacted(events) == {("127.0.0.1", port)}
    assert looked_up(events) == {"127.0.0.1"}
    with spy() as events:
        pass
    assert events == []
