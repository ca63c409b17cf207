"""The WSGI middleware, called as a server calls it."""

from __future__ import annotations

import io
import logging
import threading
import wsgiref.validate
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, EnvironBuilder

from tests.integrations.behaviour import (
    AUDIENCE,
    CASES,
    FORGED,
    GOOD,
    LIFETIME,
    NOW,
    PUBLIC,
    READ_WRITE,
    REFUSED,
    UNSCOPED,
    Case,
    bearer,
    check,
    fragments,
    leaks,
    make_validator,
)
from tests.integrations.wsgi_driving import Exchange, Unread, application, environ_of, serve
from tokenguard import (
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InvalidToken,
    Issuer,
    KeyPolicy,
    MissingToken,
    TokenValidator,
    Unavailable,
)
from tokenguard.integrations._verdict import VERDICT_KEY, Verdict
from tokenguard.integrations.wsgi import Environ, StartResponse, TokenGuardMiddleware, WSGIApp, get_token
from tokenguard.testing import Fault, LocalIssuer

BARE = f'Bearer realm="{AUDIENCE}"'


def guarded(app: WSGIApp = application, **options: Any) -> TokenGuardMiddleware:
    return TokenGuardMiddleware(app, make_validator(), **options)


def applications() -> dict[str, WSGIApp]:
    """The two of the table."""
    return {"required": guarded(public=PUBLIC), "optional": guarded(required=False)}


def by_middleware(case: Case) -> bool:
    """Whether the middleware of the application `required` refuses it, before any route is asked."""
    return case in REFUSED and case.path.startswith("/any") and case.application == "required"


class Recorder:
    """An application that notes its environs and answers 204."""

    def __init__(self) -> None:
        self.environs: list[Environ] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.environs.append(environ)
        start_response("204 No Content", [])
        return []

    @property
    def environ(self) -> Environ:
        (environ,) = self.environs
        return environ


def never_called(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise AssertionError("the application was reached")


# The table


@pytest.mark.parametrize("joint", [",", ", "], ids=["comma", "comma and space"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, joint: str) -> None:
    for raw in ("RAW_URI", "REQUEST_URI", None):
        environ = environ_of(case.path, case.headers, method=case.method, body=case.body, joint=joint, raw=raw)
        found = serve(applications()[case.application], environ)
        check(case, found.status, found.headers, found.body)


@pytest.mark.parametrize("case", [case for case in CASES if not case.rejected_by], ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer_in_werkzeugs_client(case: Case) -> None:
    path, _, query = case.path.partition("?")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in case.headers]
    builder = EnvironBuilder(path=path, query_string=query, method=case.method, headers=headers, data=case.body or None)
    environ = builder.get_environ()
    environ["PATH_INFO"] = environ_of(case.path)["PATH_INFO"]  # it takes some liberties with paths
    environ["REQUEST_URI"] = environ["RAW_URI"] = case.path
    found = Client(applications()[case.application]).open(environ)
    sent = [(name.encode(), value.encode()) for name, value in found.headers]
    check(case, found.status_code, sent, found.data)


def test_without_a_token_neither_the_application_nor_the_body_is_touched() -> None:
    # T11: and so a token in a form is left where it is
    for case in REFUSED:
        if by_middleware(case):
            environ = environ_of(case.path, case.headers, method=case.method, keys={"wsgi.input": Unread(case.body)})
            assert serve(guarded(never_called, public=PUBLIC), environ).status == case.expected.status


def test_both_sides_keep_to_the_protocol() -> None:
    # wsgiref.validate checks what an application gets and what a server does; here as server and as application
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_token(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"one", b"two"]

    def generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        get_token(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield from (b"one", b"", b"two")

    for inner in (app, generator):
        outer: Any = wsgiref.validate.validator(guarded(wsgiref.validate.validator(inner)))
        for headers, status in ((bearer(GOOD), 200), ((), 401), (bearer(FORGED), 401)):
            environ = environ_of(headers=headers)
            found = Exchange()
            body = outer(environ, found.start_response)
            content = b"".join(body)
            body.close()
            assert found.started is not None
            assert int(found.started[0][:3]) == status
            assert (content == b"onetwo") == (status == 200)


def test_a_status_has_its_phrase() -> None:
    for headers, status in (
        ((), "401 Unauthorized"),
        (bearer("a b"), "400 Bad Request"),
    ):
        exchange = Exchange()
        exchange.run(guarded(), environ_of(headers=headers))
        assert exchange.started is not None
        assert exchange.started[0] == status
    for error, status in (
        (AccessDenied(), "403 Forbidden"),
        (Unavailable(), "503 Service Unavailable"),
        (type("Teapot", (AccessDenied,), {"status": 418})(), "418 Refused"),
    ):
        exchange = Exchange()
        exchange.run(guarded(_raises(error), required=False), environ_of())
        assert exchange.started is not None
        assert exchange.started[0] == status


# The Authorization field, as servers hand it on


def _authorized(value: str, **more: Any) -> int:
    return serve(guarded(Recorder()), environ_of(HTTP_AUTHORIZATION=value, **more)).status


def test_fields_that_a_server_joined_are_never_one_token() -> None:
    # T06
    for value in (
        f"Bearer {GOOD},Bearer {GOOD}",
        f"Bearer {GOOD}, Bearer {GOOD}",
        f"Bearer {GOOD} ,\tbearer {FORGED}",
        f"Bearer {GOOD},",
        f",Bearer {GOOD}",
        f"Bearer {GOOD},Basic dXNlcjpwYXNzd29yZA==",
        f"Basic dXNlcjpwYXNzd29yZA==,Bearer {GOOD}",
        f"Bearer {GOOD};Bearer {GOOD}",
    ):
        assert _authorized(value) == 400, value


def test_bytes_beyond_ascii_are_no_part_of_a_token() -> None:
    for character in ("\xff", "\xa0", "\x85", "\x00", "\n", "\r\n", "\u2028", "\U0001f511", "\udcff", "\u212a"):
        assert _authorized(f"Bearer {GOOD}{character}") == 400, repr(character)
        assert _authorized(f"Bearer {character}{GOOD}") == 400, repr(character)
        assert _authorized(f"{character}Bearer {GOOD}") in (400, 401), repr(character)
    assert _authorized(f"B\u1d07arer {GOOD}") == 401
    assert _authorized(f"Bea\u017fer {GOOD}") == 401


def test_an_empty_field_is_none() -> None:
    for value in ("", " ", "\t"):
        assert _authorized(value) == 401


def test_fields_of_similar_names_are_none() -> None:
    for key in (
        *("HTTP_AUTHORIZATION_", "HTTP__AUTHORIZATION", "HTTP_HTTP_AUTHORIZATION", "HTTP_X_AUTHORIZATION"),
        *("HTTP_PROXY_AUTHORIZATION", "AUTHORIZATION", "HTTP_authorization", "REDIRECT_HTTP_AUTHORIZATION"),
        *("HTTP_TOKENGUARD.TOKEN", "HTTP_TOKENGUARD_TOKEN", "REMOTE_USER", "AUTH_TYPE"),
    ):
        assert serve(guarded(never_called), environ_of(keys={key: f"Bearer {GOOD}"})).status == 401, key


def test_a_token_may_be_as_large_as_elsewhere_and_no_larger() -> None:
    assert _authorized("Bearer " + "a" * 20_000) == 401
    assert _authorized("Bearer " + "a b " * 100_000) == 401


def test_what_is_said_of_the_body_changes_nothing() -> None:
    for length in ("", "0", "-1", "x", "9" * 30, "1,1"):
        assert _authorized(f"Bearer {GOOD}", CONTENT_LENGTH=length) == 204
        assert _authorized("", CONTENT_LENGTH=length) == 401


# The environ


@pytest.mark.parametrize(
    "options", [{}, {"required": False}, {"public": ["/any"]}], ids=["guarded", "optional", "public"]
)
@pytest.mark.parametrize("token", [GOOD, FORGED], ids=["good", "bad"])
def test_the_outer_environ_is_never_changed(options: dict[str, Any], token: str) -> None:
    environ = environ_of(headers=bearer(token))
    before = dict(environ)
    app = Recorder()
    serve(guarded(app, **options), environ)
    assert environ == before
    for seen in app.environs:
        assert type(seen) is dict
        assert {name: value for name, value in seen.items() if not name.startswith("tokenguard.")} == before


def test_the_application_finds_the_token_in_the_environ() -> None:
    app = Recorder()
    serve(guarded(app), environ_of(headers=bearer(READ_WRITE)))
    token = app.environ["tokenguard.token"]
    assert isinstance(token, AccessToken)
    assert get_token(app.environ) is token
    assert (token.subject, set(token.scopes)) == ("user-2", {"read:users", "write:users"})


def _planted() -> dict[str, object]:
    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME, subject="root")
    return {"tokenguard.token": token, "tokenguard.verdict": Verdict(token=token, validator=make_validator())}


def test_what_an_outer_layer_planted_in_the_environ_does_not_survive() -> None:
    for options, headers, subject in (
        ({"required": False}, (), None),
        ({"public": ["/any"]}, (), None),
        ({"public": ["/any"]}, bearer(GOOD), None),
        ({}, bearer(GOOD), "user-1"),
    ):
        app = Recorder()
        serve(guarded(app, **options), environ_of(headers=headers, keys=_planted()))
        for token in (app.environ["tokenguard.token"], app.environ[VERDICT_KEY].token):
            assert (token and token.subject) == subject
    assert serve(guarded(never_called), environ_of(keys=_planted())).status == 401


def test_of_two_middlewares_the_inner_one_has_the_last_word() -> None:
    app = Recorder()
    serve(guarded(guarded(app, public=["/any"])), environ_of(headers=bearer(GOOD)))
    assert app.environ["tokenguard.token"] is None


class _SubVerdict(Verdict):
    """Not ours."""


def test_get_token_without_the_middleware_is_a_configuration_error() -> None:
    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME)
    for found in (None, token, True, {"token": token}, _SubVerdict(token, make_validator()), Verdict):
        with pytest.raises(ConfigurationError, match="add TokenGuardMiddleware"):
            get_token({VERDICT_KEY: found, "tokenguard.token": token})


def test_get_token_without_a_token_is_refused_as_if_the_middleware_had(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        get_token(environ)
        raise AssertionError

    for options in ({"required": False}, {"public": ["/any"]}):
        caplog.clear()
        found = serve(guarded(app, **options), environ_of())
        assert (found.status, found.header("www-authenticate"), found.body) == (401, BARE, b"{}")
        assert [record.getMessage() for record in caplog.records] == ["refused with 401: no_token"]


# Public paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path as a server hands it on, and whether it needs no token where `PUBLIC` is below the mount."""

    info: str
    raw: str | None = None
    mount: str = ""
    public: bool = False


def _utf8(text: str) -> str:
    return text.encode().decode("latin-1")


PATHS = (
    # Of servers that hand on what was sent
    Path(info="/health", raw="/health", public=True),
    Path(info="/health", raw="/health?verbose=1", public=True),
    Path(info="/health", raw="/health?x=%2f/../any", public=True),
    Path(info="/health", raw="/h%65alth", public=True),
    Path(info="/static/a/b.css", raw="/static/a/b.css", public=True),
    Path(info="/static/", raw="/static/", public=True),
    Path(info=_utf8("/static/ä"), raw="/static/%c3%a4", public=True),
    Path(info=_utf8("/static/ä"), raw=_utf8("/static/ä"), public=True),
    Path(info="/static/...", raw="/static/...", public=True),
    Path(info="/static/a/b", raw="/static/a%2fb"),
    Path(info="/static/a/b", raw="/static/a%2Fb"),
    Path(info="/static/a", raw="/static%2fa"),
    Path(info="/static/a/b", raw="/static/a%5cb"),
    Path(info="/static/a", raw="/static/%2561"),
    Path(info="/static/../any", raw="/static/..%2fany"),
    Path(info="/static/../any", raw="/static/%2e%2e/any"),
    # What was sent says something else: the server or a layer before us made one path of another
    Path(info="/health", raw="//health"),
    Path(info="/health", raw="/x/../health"),
    Path(info="/health", raw="/./health"),
    Path(info="/health", raw="/any"),
    Path(info="/health", raw="/any/health"),
    Path(info="/health", raw="/healthy"),
    Path(info="/health", raw="health"),
    Path(info="/health", raw=""),
    Path(info="/health", raw="?"),
    Path(info="/health", raw="*"),
    Path(info="/health", raw="/health/"),
    Path(info="/health", raw="/health#/any"),
    Path(info="/health", raw="/health;x"),
    Path(info="/health", raw="/HEALTH"),
    Path(info="/health", raw="http://api.example.com/health"),
    Path(info="/health", raw="\u212aealth"),
    Path(info="/static/any", raw="/any"),
    Path(info="/static/any", raw="/static//any"),
    # Of servers that do not
    Path(info="/health", public=True),
    Path(info="/static/a/b.css", public=True),
    Path(info=_utf8("/static/ä"), public=True),
    # Not what is listed
    Path(info="/"),
    Path(info=""),
    Path(info="*"),
    Path(info="/health/"),
    Path(info="/health/x"),
    Path(info="/healthy"),
    Path(info="/HEALTH"),
    Path(info="/static"),
    Path(info="/staticx"),
    Path(info="/x/health"),
    Path(info="health"),
    Path(info="http://api.example.com/health"),
    # Two readers, two readings
    *(
        Path(info=info, raw=raw)
        for info in (
            *("//health", "/./health", "/x/../health", "/static//any", "/static/./any", "/static/.", "/static/.."),
            *("/static/../any", "/static/..\\any", "/static/a\\b", "/static/..;/any", "/static/a;x=y"),
            *("/static/a%2fb", "/static/%2e%2e/any", "/static/a%", "/static/a\x00", "/static/a\n/any", "/static/a\t"),
            *("/static/\xc0\xae\xc0\xae/any", "/static/\xff", "/static/\u0101", "/static/\udcff"),
        )
        for raw in (None, info)
    ),
    # Below a mount
    Path(mount="/api", info="/health", raw="/api/health", public=True),
    Path(mount="/api", info="/health", raw="/health", public=True),  # a proxy took it away, and said so
    Path(mount="/proxy/api", info="/health", raw="/api/health", public=True),  # one of two
    Path(mount="/api", info="/health", public=True),
    Path(mount="/health", info="/health", raw="/health/health", public=True),
    Path(mount="/api", info="/health", raw="/other/health"),
    Path(mount="/api", info="/health", raw="/api//health"),
    Path(mount="/api", info="//health", raw="/api//health"),
    Path(mount="/api", info="/health", raw="/x/api/health"),
    Path(mount="/api", info="/health", raw="/api%2fhealth"),
    Path(mount="/api", info="/../health", raw="/api/../health"),
    Path(mount="/api", info="", raw="/api"),
    Path(mount="/api", info="/api/health", raw="/api/api/health"),
    Path(mount="/health", info="", raw="/health"),
    Path(mount="/health", info="", raw=""),
    Path(mount="/static", info="/any", raw="/static/any"),
)


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_only_listed_paths_that_have_one_reading_are_public(name: str) -> None:
    for path in PATHS:
        environ = environ_of(raw=None, SCRIPT_NAME=path.mount, PATH_INFO=path.info)
        if path.raw is not None:
            environ[name] = path.raw
        app = Recorder()
        assert serve(guarded(app, public=PUBLIC), environ).status == (204 if path.public else 401), path


def test_where_a_server_says_twice_what_was_sent_both_have_to_agree() -> None:
    for raw, uri, status in (
        ("/health", "/health", 204),
        ("/health", "/h%65alth", 204),
        ("/health", "/any", 401),
        ("/any", "/health", 401),
        ("/static/a", "/static%2fa", 401),
        ("/static%2fa", "/static/a", 401),
    ):
        info = "/static/a" if "static" in raw else "/health"
        environ = environ_of(raw=None, PATH_INFO=info, RAW_URI=raw, REQUEST_URI=uri)
        assert serve(guarded(Recorder(), public=PUBLIC), environ).status == status, (raw, uri)


def test_an_environ_may_lack_the_path_and_the_mount() -> None:
    # PEP 3333: they may be absent where they are empty
    environ = environ_of()
    del environ["PATH_INFO"], environ["SCRIPT_NAME"]
    assert serve(guarded(never_called, public=PUBLIC), environ).status == 401


def test_a_bad_token_is_not_looked_at_on_a_public_path_and_a_good_one_is_not_handed_on() -> None:
    for token in (FORGED, GOOD):
        app = Recorder()
        serve(guarded(app, public=["/any"]), environ_of(headers=bearer(token)))
        assert app.environ["tokenguard.token"] is None


def test_public_paths_are_below_the_mount_wherever_the_middleware_stands() -> None:
    inside = DispatcherMiddleware(Recorder(), {"/api/v1": guarded(Recorder(), public=["/health"])})
    outside = guarded(DispatcherMiddleware(Recorder(), {"/api/v1": Recorder()}), public=["/api/v1/health"])
    for app, answers in (
        (inside, {"/api/v1/health": 204, "/api/v1/any": 401, "/health": 204, "/api/v1": 401, "/api/v1//health": 401}),
        (outside, {"/api/v1/health": 204, "/api/v1/any": 401, "/health": 401, "/api/v1": 401}),
    ):
        for path, status in answers.items():
            assert serve(app, environ_of(path)).status == status, path


# Configuration


@pytest.mark.parametrize("paths", ["/health", None, (None,), ("/*",), ("health",), ("/a%2fb",)], ids=repr)
def test_a_public_path_that_opens_more_than_it_says_or_never_matches_is_refused(paths: Any) -> None:
    with pytest.raises(ConfigurationError, match="public"):
        guarded(public=paths)


@pytest.mark.parametrize("required", ["", None, 0, 1, "no"], ids=repr)
def test_whether_a_token_is_required_is_said_by_a_bool(required: Any) -> None:
    with pytest.raises(ConfigurationError, match="True or False"):
        guarded(required=required)


@pytest.mark.parametrize(
    "validator", [None, "https://as.example.com", object(), TokenValidator], ids=["none", "url", "object", "class"]
)
def test_a_validator_that_is_none_is_refused_at_construction(validator: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass a TokenValidator") as caught:
        TokenGuardMiddleware(application, validator)
    assert "as.example.com" not in str(caught.value)  # it may be, or hold, a secret


async def _async_issuer_of(environ: Environ) -> str:
    raise AssertionError


@pytest.mark.parametrize("issuer_of", ["https://as.example.com", _async_issuer_of, 5], ids=["text", "async", "number"])
def test_the_issuer_of_an_address_is_told_by_a_plain_function(issuer_of: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a plain function"):
        guarded(issuer_of=issuer_of)


def test_a_token_is_good_only_at_the_address_of_its_issuer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")

    def issuer_of(environ: Environ) -> str | None:
        return {"ours.example.com": "https://as.example.com", "theirs.example.com": "https://x.example.com"}.get(
            environ["HTTP_HOST"]
        )

    app = guarded(Recorder(), issuer_of=issuer_of)
    for host, status in (("ours.example.com", 204), ("theirs.example.com", 401), ("nobodys.example.com", 401)):
        caplog.clear()
        found = serve(app, environ_of(headers=bearer(GOOD), HTTP_HOST=host))
        assert found.status == status
        assert len(caplog.records) == (status != 204)
    assert serve(guarded(Recorder(), issuer_of=issuer_of, required=False), environ_of()).status == 204


# What applications raise


def _raises(error: Exception) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    return app


def _raises_at_its_first_chunk(error: Exception) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield from _raises(error)(environ, start_response)

    return app


def _raises_when_iterated(error: Exception) -> WSGIApp:
    class App:
        def __init__(self, environ: Environ, start_response: StartResponse) -> None: ...

        def __iter__(self) -> Iterator[bytes]:
            raise error

    return App


EARLY = pytest.mark.parametrize(
    "make", [_raises, _raises_at_its_first_chunk, _raises_when_iterated], ids=["call", "generator", "iterable"]
)


@EARLY
@pytest.mark.parametrize(
    "options", [{}, {"required": False}, {"public": ["/any"]}], ids=["guarded", "optional", "public"]
)
def test_a_refusal_that_the_application_raises_before_its_response_is_the_answer(
    make: Callable[[Exception], WSGIApp], options: dict[str, Any]
) -> None:
    for error, status, challenge in (
        (MissingToken(), 401, BARE),
        (AccessDenied(detail="for the log"), 403, f'{BARE}, error="insufficient_scope", error_description="'),
        (InvalidToken(), 401, f'{BARE}, error="invalid_token", error_description="The access token is invalid"'),
        (Unavailable(retry_after=7), 503, None),
    ):
        found = serve(guarded(make(error), **options), environ_of(headers=bearer(GOOD)))
        assert found.status == status
        assert (found.header("www-authenticate") or "").startswith(challenge or "")
        assert (found.header("www-authenticate") is None) == (challenge is None)
        assert found.header("cache-control") == "no-store"
        assert found.header("retry-after") == ("7" if status == 503 else None)
        assert not leaks(found.body.decode())


@EARLY
def test_a_refusal_that_the_application_raises_is_logged_once(
    make: Callable[[Exception], WSGIApp], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    serve(guarded(make(AccessDenied(detail="it is Sunday"))), environ_of(headers=bearer(GOOD)))
    assert [record.getMessage() for record in caplog.records] == ["refused with 403: access_denied: it is Sunday"]


@EARLY
@pytest.mark.parametrize("error", [ValueError("x"), ConfigurationError("x"), OSError("x")], ids=repr)
def test_any_other_exception_of_the_application_is_its_own(
    make: Callable[[Exception], WSGIApp], error: Exception
) -> None:
    exchange = Exchange()
    with pytest.raises(type(error)) as caught:
        exchange.run(guarded(make(error)), environ_of(headers=bearer(GOOD)))
    assert caught.value is error
    assert exchange.started is None


def _after_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    raise AccessDenied


def _after_write(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])(b"one")
    raise AccessDenied


def _in_a_generator_after_start(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    yield from _after_start(environ, start_response)


def _after_a_chunk(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    raise AccessDenied


def _after_an_empty_chunk(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b""
    raise AccessDenied


@pytest.mark.parametrize("app", [_after_start, _in_a_generator_after_start], ids=["start", "start in a generator"])
def test_a_refusal_takes_the_place_of_a_response_of_which_nothing_was_sent(
    app: WSGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    # PEP 3333, "Error Handling". uwsgi would let the 200 stand.
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    found = serve(guarded(app), environ_of(headers=bearer(GOOD)))
    assert (found.status, found.header("cache-control")) == (403, "no-store")
    assert found.body.startswith(b'{"error": "insufficient_scope"')
    assert [record.getMessage() for record in caplog.records] == ["refused with 403: access_denied"]


def _in_what_it_returned_after_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return _raises_at_its_first_chunk(AccessDenied())(environ, start_response)


@pytest.mark.parametrize(
    ("app", "sent"),
    [
        (_after_write, [b"one"]),
        (_after_a_chunk, [b"one"]),
        (_after_an_empty_chunk, [b""]),
        (_in_what_it_returned_after_start, []),
    ],
    ids=["write", "chunk", "empty chunk", "returned"],
)
def test_a_refusal_that_comes_when_the_response_is_under_way_propagates(app: WSGIApp, sent: list[bytes]) -> None:
    # The server closes the connection, or answers 500 where nothing has gone out yet.
    exchange = Exchange()
    with pytest.raises(AccessDenied):
        exchange.run(guarded(app), environ_of(headers=bearer(GOOD)))
    assert exchange.started == ("200 OK", [])
    assert exchange.sent == sent


def test_an_application_may_change_its_mind_with_exc_info() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 Oops", [], (type(error), error, error.__traceback__))
        return [b"sorry"]

    found = serve(guarded(app), environ_of(headers=bearer(GOOD)))
    assert (found.status, found.body) == (500, b"sorry")


def test_a_body_of_an_application_that_began_its_response_is_handed_on_untouched() -> None:
    # Servers know their own wsgi.file_wrapper again, and send a file without reading it here.
    file = io.BytesIO(b"file")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return file

    assert guarded(app)(environ_of(headers=bearer(GOOD)), Exchange().start_response) is file


def test_a_generator_passes_in_its_pieces_and_is_asked_for_no_more_than_the_first_beforehand() -> None:
    asked = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        asked.append("one")
        start_response("200 OK", [])
        yield b"one"
        asked.append("two")
        yield b"two"

    body = guarded(app)(environ_of(headers=bearer(GOOD)), Exchange().start_response)
    assert asked == ["one"]
    chunks = iter(body)
    assert next(chunks) == b"one"
    assert asked == ["one"]
    assert list(chunks) == [b"two"]


def test_a_generator_may_yield_nothing() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("204 No Content", [])
        yield from ()

    found = serve(guarded(app), environ_of(headers=bearer(GOOD)))
    assert (found.status, found.body) == (204, b"")


class _Closable:
    """An iterable that begins its response, or raises, when it is first asked; and notes that it was closed."""

    def __init__(self, start_response: StartResponse, error: BaseException | None) -> None:
        self.start_response = start_response
        self.error = error
        self.closed = 0
        self.left = [b"one"]

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.error is not None:
            raise self.error
        if not self.left:
            raise StopIteration
        self.start_response("200 OK", [])
        return self.left.pop()

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [None, AccessDenied(), ValueError("x"), KeyboardInterrupt()], ids=repr)
def test_an_iterable_is_closed_once_whatever_comes_of_it(error: BaseException | None) -> None:
    made = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        made.append(_Closable(start_response, error))
        return made[0]

    environ = environ_of(headers=bearer(GOOD))
    if error is None or isinstance(error, AccessDenied):
        found = serve(guarded(app), environ)
        assert found.status == (200 if error is None else 403)
    else:
        with pytest.raises(type(error)):
            serve(guarded(app), environ)
    assert made[0].closed == 1


@pytest.mark.parametrize("outcome", [ValueError("x"), True, False], ids=repr)
def test_a_check_that_fails_or_gives_no_clear_answer_never_lets_a_request_through(outcome: object) -> None:
    def broken(token: AccessToken) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    validator = TokenValidator(
        *(trust.issuer for trust in make_validator()._core.trust.named.values()),
        audience=AUDIENCE,
        checks=(broken,),
        clock=lambda: NOW,
    )
    exchange = Exchange()
    with pytest.raises(ValueError if isinstance(outcome, Exception) else ConfigurationError):
        exchange.run(TokenGuardMiddleware(never_called, validator), environ_of(headers=bearer(GOOD)))
    assert exchange.started is None


# Threads, and slow issuers


def test_requests_at_the_same_time_do_not_mix() -> None:
    together = threading.Barrier(4, timeout=10)

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        together.wait()
        token = environ["tokenguard.token"]
        start_response("200 OK", [])
        together.wait()
        yield (b"nobody" if token is None else token.subject.encode())
        together.wait()
        yield b"" if token is None else get_token(environ).subject.encode()  # type: ignore[union-attr]

    middleware = guarded(app, required=False)
    tokens = [GOOD, READ_WRITE, UNSCOPED, None]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            found = list(
                pool.map(
                    lambda token: serve(middleware, environ_of(headers=() if token is None else bearer(token))).body,
                    tokens,
                )
            )
            assert found == [b"user-1user-1", b"user-2user-2", b"user-1user-1", b"nobody"]


@pytest.mark.real_server
def test_while_an_issuer_is_slow_a_request_waits_no_longer_than_its_patience() -> None:
    with LocalIssuer() as issuer:
        policy = KeyPolicy(connect_timeout=5, total_timeout=10, patience=0.05)
        validator = TokenValidator(Issuer(issuer.url, keys=policy), audience=issuer.audience)
        with validator:
            app = TokenGuardMiddleware(Recorder(), validator)
            environ = environ_of(headers=bearer(issuer.mint()))
            issuer.fail(Fault.HANG)  # until it is told otherwise: only our patience ends this wait
            found = serve(app, environ)
            assert (found.status, found.header("retry-after") is not None) == (503, True)
            assert found.body == b'{"error": "temporarily_unavailable"}'
            issuer.recover()
            validator.warm_up()
            assert serve(app, environ).status == 204


# Logs


def test_no_part_of_a_token_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    # L01: the whole table at DEBUG, from every logger
    caplog.set_level(logging.DEBUG)
    apps = applications()
    for case in CASES:
        serve(apps[case.application], environ_of(case.path, case.headers, method=case.method, body=case.body))
    lines = [
        "\n".join([record.getMessage(), repr(record.__dict__), logging.Formatter().format(record)])
        for record in caplog.records
    ]
    assert len(lines) > len(REFUSED) / 2
    assert fragments("\n".join(lines), *CASES) == []
