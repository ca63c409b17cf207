"""Nothing of a token or a secret in logs, exceptions, events, health or `repr` (C61, L01, E03)."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.forge import AUDIENCE, DROP, ED, ISSUER
from tests.introspection.stage import OPAQUE, SECRET, Clock, Server, active, asked, issuer
from tests.introspection.test_client_auth import pem
from tests.introspection.test_trouble import TROUBLES
from tokenguard import RequestRefused, Unavailable
from tokenguard._fetch import Answer
from tokenguard.events import Event

BASIC = base64.b64encode(f"api:{SECRET}".encode()).decode()


def _raising(error: Exception) -> Callable[[str], httpx.Response]:
    def tell(_: str) -> httpx.Response:
        raise error

    return tell


def _echo(status: int, **members: object) -> Callable[[str], httpx.Response]:
    """Servers that quote what they were sent, wherever they can."""

    def tell(token: str) -> httpx.Response:
        quoted = f"token {token} of {SECRET} {BASIC}"
        headers = {"WWW-Authenticate": quoted, "Location": f"https://x/{token}", "Retry-After": token}
        body = {**members, "error_description": quoted, "error_uri": quoted}
        return httpx.Response(status, json=body, headers=headers)

    return tell


def _quoting(name: str) -> Callable[[str], dict[str, Any]]:
    return lambda token: active(**{name: f"token {token} of {SECRET} {BASIC}"})


TELLERS: dict[str, Callable[[str], Any]] = {
    "active": lambda _: active(),
    "inactive": lambda _: {"active": False},
    "active, and quoting": _echo(200, **active()),
    "for another": lambda _: active(aud="other"),
    **{f"{name} that quotes": _quoting(name) for name in ("aud", "iss", "token_type", "token_use", "nbf")},
    "400 with the token as its error": _echo(400, error=OPAQUE),
    "400 with a sentence as its error": _echo(400, error=f"unknown token {OPAQUE}"),
    "401 with the secret as its error": _echo(401, error=SECRET),
    "401 invalid_client": _echo(401, error="invalid_client"),
    "500 that quotes": _echo(500, error="server_error"),
    "302 to where the token stands": _echo(302),
    "HTML that quotes": lambda token: httpx.Response(200, text=f"<html>{token} {SECRET}"),
    "JSON twice": lambda token: httpx.Response(200, text=f'{{"active":true,"{token}":1,"{token}":2}}'),
    "too large": lambda token: httpx.Response(200, text=token * 10_000),
    "compressed": lambda token: httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(token.encode())
    ),
    "connect failure": _raising(httpx.ConnectError("refused")),
    "our own question instead of HTTP": _raising(
        httpx.RemoteProtocolError(f"illegal status line: bytearray(b'token={OPAQUE}&client_secret={SECRET}')")
    ),
    "timeout": _raising(httpx.ReadTimeout("too slow")),
    "a bug": _raising(ZeroDivisionError("?")),
}

CREDENTIALS: dict[str, dict[str, Any]] = {
    "basic": {},
    "post": {"auth": "client_secret_post"},
    "bearer": {"client_secret": DROP, "bearer": SECRET},
    "signed": {"signed_response": True},
}


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("name", TELLERS)
def test_nothing_shows(name: str, credential: str, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    server = Server(TELLERS[name])
    said = asked(**CREDENTIALS[credential])
    with (
        caplog.at_level(logging.DEBUG),
        server.validator(issuer(introspection=said), on_event=events.append) as validator,
    ):
        shown: list[object] = []
        for _ in range(7):
            try:
                shown.append(validator.validate(OPAQUE))
            except RequestRefused as refused:
                for error in _chain(refused):
                    shown += [str(error), repr(error), error.args, vars(error)]
                shown += [refused.headers, refused.description]
        validator._flights.rest(10.0)
        shown += [validator, validator.health(), said, validator._core.trust.named, events]
        shown += [record.getMessage() for record in caplog.records]
        shown += [record.args for record in caplog.records] + [record.exc_text for record in caplog.records]
    text = repr(shown)
    for secret in (OPAQUE, OPAQUE[:10], SECRET, BASIC, BASIC[10:]):
        assert secret not in text
    assert server.asked


def test_troubles_have_no_room_for_a_token() -> None:
    # They are texts of ours, and an error code of the server's where it is one.
    for told, _, _ in TROUBLES.values():
        assert not isinstance(told, Answer) or OPAQUE not in repr(told)


def test_a_private_key_shows_in_no_request_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    text = pem(ED)
    server = Server(_raising(httpx.ConnectError("refused")))
    said = asked(client_secret=DROP, private_key=text)
    with caplog.at_level(logging.DEBUG), server.validator(issuer(introspection=said)) as validator:
        with pytest.raises(Unavailable) as caught:
            validator.validate(OPAQUE)
        shown = repr([validator.health(), said, str(caught.value), caplog.messages])
    assert text.splitlines()[1] not in shown
    assert text.splitlines()[1].encode() not in server.requests[0].content


def test_it_is_loud_where_our_credentials_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    # C34, I07
    server = Server(lambda _: httpx.Response(401, json={"error": "invalid_client"}))
    with caplog.at_level(logging.INFO), server.validator() as validator:
        with pytest.raises(Unavailable):
            validator.validate(OPAQUE)
        validator._flights.rest(10.0)
    loud = [record for record in caplog.records if record.levelno == logging.ERROR]
    text = "refuses our credentials, and no opaque token can be judged: status 401, error invalid_client"
    assert [record.getMessage() for record in loud] == [f"introspection at {ISSUER} {text}"]


def test_it_is_loud_beside_other_trouble_too(caplog: pytest.LogCaptureFixture) -> None:
    # Callers can cause a 429 each second: that must not hide what only the operator can mend.
    server = Server(lambda token: httpx.Response(429 if token == OPAQUE else 401))
    with caplog.at_level(logging.INFO), server.validator() as validator:
        for token in (OPAQUE, "another"):
            with pytest.raises(Unavailable):
                validator.validate(token)
            validator._flights.rest(10.0)
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


def test_trouble_and_recovery_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    up: list[bool] = []
    server = Server(lambda _: active() if up else httpx.Response(500))
    with caplog.at_level(logging.INFO), server.validator(clock=clock) as validator:
        for _ in range(5):
            with pytest.raises(Unavailable):
                validator.validate(OPAQUE)
            clock.tick += 0.01
        assert validator.health()[ISSUER]["introspection"]["state"] == "paused"
        validator._flights.rest(10.0)
        up.append(True)
        clock.tick += 2
        validator.validate(OPAQUE)
        validator._flights.rest(10.0)
        assert validator.health()[ISSUER]["introspection"]["state"] == "ready"
    # In whatever order: that it failed, that it is paused, that it answers again, and whose 503 it was.
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING][1:]
    assert sorted(warnings) == [
        f"introspection at {ISSUER} answers again",
        f"introspection at {ISSUER} failed: status 500",
        f"introspection at {ISSUER} failed: status 500; paused for 1 s",
        f"refused with 503: introspection_unavailable: {ISSUER}: status 500",
    ]


def test_a_closed_validator_serves_what_it_knows_and_says_so_of_the_rest() -> None:
    server = Server(lambda _: active())
    with server.validator() as validator:
        validator.validate(OPAQUE)
    assert validator.validate(OPAQUE).audience == (AUDIENCE,)
    with pytest.raises(Unavailable, match="the validator is closed"):
        validator.validate("another")


def test_the_client_sends_the_token_in_the_body_alone() -> None:
    server = Server(lambda _: active())
    with server.validator() as validator:
        validator.validate(OPAQUE)
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", "https://as.example.com/introspect")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == f"Basic {BASIC}"
    assert OPAQUE not in str(request.url) + repr(request.headers)
    assert OPAQUE.encode() in request.content
