"""Forks, exits and memory: what can only be seen in a process of its own."""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress

import pytest

from tests.keys.stage import LONG, Program, Stage, run_program, settle
from tokenguard import Issuer, TokenValidator, Unavailable
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")


@forks
def test_a_hundred_children_forked_at_the_worst_moment_serve_and_fetch_by_themselves() -> None:
    assert run_program("fork_while_locked") == "{'flights': 26, 'transport': 26, 'fetching': 26, 'validating': 26}\n"


@forks
def test_workers_of_a_preloaded_application_have_its_keys_and_refresh_their_own(issuer: LocalIssuer) -> None:
    assert run_program("preload", issuer.url, issuer.audience, issuer.mint()) == "[0, 0, 0, 0]\n"
    assert issuer.requests["/jwks"] == 1 + 4


def test_after_a_fork_nothing_of_the_parents_is_waited_for(stage: Stage, issuer: LocalIssuer) -> None:
    # The same within one process, for the coverage of it.
    token = stage.warm()
    issuer.fail(Fault.HANG)
    stage.tick.now += 290
    assert stage.status(token) == 200
    issuer.wait_for_requests("/jwks")
    stage.validator._after_fork()
    assert stage.status(token) == 200
    issuer.wait_for_requests("/jwks", 2)
    issuer.recover()
    settle()


@pytest.mark.parametrize("way", ["thread", "asyncio", "trio", "refresh"])
def test_the_interpreter_ends_though_a_fetch_hangs(issuer: LocalIssuer, way: str) -> None:
    if way != "refresh":
        issuer.fail(Fault.HANG)
    with Program("exit_while_fetching", way, issuer.url, issuer.audience, issuer.mint()) as program:
        if way == "refresh":
            assert program.read() == "hang"
            issuer.fail(Fault.HANG)
            issuer.reset_requests()
            program.go()
        assert program.read() == "fetching"
        issuer.wait_for_requests("/jwks" if way == "refresh" else "/.well-known/oauth-authorization-server")
        program.go()
        status, output, complaints = program.end()
    assert (status, output, complaints) == (0, "", "")


def test_nothing_is_imported_or_started_before_it_is_needed_and_nothing_is_left(issuer: LocalIssuer) -> None:
    before, after = run_program("idle", issuer.url, issuer.audience, issuer.mint()).splitlines()[-2:]
    assert before == "[] ['MainThread']"
    assert after == "['MainThread']"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_a_key_set_of_200_megabytes_adds_less_than_five(issuer: LocalIssuer) -> None:
    with Program("huge_set", issuer.url, issuer.audience, issuer.mint()) as program:
        assert program.read() == "warm"
        issuer.fail(Fault.HUGE, on="jwks")
        program.go()
        traced, grown, trouble = int(program.read()), int(program.read()), program.read()
        assert program.end()[0] == 0
    assert "more than 262144 bytes" in trouble
    assert traced < 5_000_000
    assert grown < 5_000_000


def test_reading_a_key_set_that_never_ends_stops_early() -> None:
    sent = 0

    def serve(listener: socket.socket) -> None:
        nonlocal sent
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(LONG)
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
            while sent < 200_000_000:
                connection.sendall(b" " * 10_000)
                sent += 10_000

    with socket.create_server(("127.0.0.1", 0)) as listener, LocalIssuer(algorithms=("ES256",)) as issuer:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        port = listener.getsockname()[1]
        with (
            TokenValidator(
                Issuer(issuer.url, jwks_uri=f"http://127.0.0.1:{port}/"), audience=issuer.audience
            ) as validator,
            pytest.raises(Unavailable, match="more than 262144 bytes"),
        ):
            validator.validate(issuer.mint())
        thread.join(LONG)
    assert 0 < sent < 20_000_000  # what the sockets' buffers took
