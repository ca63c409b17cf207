"""The ASGI middleware, called as a server calls it."""

from __future__ import annotations

import asyncio
import logging
import pprint
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
import trio.testing

from tests.integrations.behaviour import (
    CASES,
    EXPIRED,
    FORGED,
    GOOD,
    LEEWAY,
    LIFETIME,
    NOW,
    PUBLIC,
    READ_WRITE,
    REFUSED,
    ROUTES,
    UNSCOPED,
    Case,
    bearer,
    check,
    fragments,
    leaks,
    make_validator,
)
from tests.integrations.conftest import (
    Response,
    Run,
    drive,
    http_scope,
    request,
    response,
    run_asyncio,
    run_trio,
    websocket_scope,
)
from tokenguard import (
    AccessDenied,
    AccessToken,
    ConfigurationError,
    InsufficientScope,
    InvalidToken,
    MissingToken,
    TokenValidator,
    Unavailable,
)
from tokenguard.integrations._verdict import VERDICT_KEY, Verdict
from tokenguard.integrations.asgi import ASGIApp, Message, Receive, Scope, Send, TokenGuardMiddleware

BARE = 'Bearer realm="https://api.example.com"'


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The routes of the table, in plain ASGI: the public key in the scope is all that it knows of the middleware."""
    route = ROUTES[scope["path"]]
    token: AccessToken | None = scope["tokenguard.token"]
    if token is None and route.asks != "nothing":
        missing = MissingToken()
        missing.scope = (*route.all_of, *route.any_of)
        raise missing
    if token is not None and not (
        token.scopes.issuperset(route.all_of) and (not route.any_of or token.scopes.intersection(route.any_of))
    ):
        raise InsufficientScope(required=(*route.all_of, *route.any_of))
    if route.raises is not None:
        raise route.raises()
    body = b"anonymous" if token is None else (token.subject or "").encode("ascii")
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def guarded(app: ASGIApp = application, **options: Any) -> TokenGuardMiddleware:
    return TokenGuardMiddleware(app, make_validator(), **options)


def applications() -> dict[str, ASGIApp]:
    """The two of the table."""
    return {"required": guarded(public=PUBLIC), "optional": guarded(required=False)}


def by_middleware(case: Case) -> bool:
    """Whether the middleware of the application `required` refuses it, before any route is asked."""
    return case in REFUSED and case.path.startswith("/any") and case.application == "required"


class Recorder:
    """An application that notes its calls, answers HTTP with 204, and lets a websocket be."""

    def __init__(self) -> None:
        self.calls: list[tuple[Scope, Receive, Send]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append((scope, receive, send))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    @property
    def scope(self) -> Scope:
        (call,) = self.calls
        return call[0]


async def never_called(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was reached")


async def nothing_to_receive() -> Message:
    raise AssertionError("somebody read the body")


# The table


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case) -> None:
    scope = http_scope(case.path, case.headers, method=case.method)
    found = run_asyncio(request, applications()[case.application], scope, case.body)
    check(case, found.status, found.headers, found.body)


def test_the_whole_table_gets_the_same_answers_under_trio() -> None:
    apps = applications()

    async def all_of_them() -> list[Response]:
        return [
            await request(apps[case.application], http_scope(case.path, case.headers, method=case.method), case.body)
            for case in CASES
        ]

    for case, found in zip(CASES, run_trio(all_of_them), strict=True):
        check(case, found.status, found.headers, found.body)


def test_the_table_has_the_size_and_the_rows_that_were_asked_for() -> None:
    assert len(CASES) >= 30
    assert {case.expected.status for case in CASES} == {200, 400, 401, 403, 503}
    assert {case.method for case in CASES} >= {"GET", "HEAD", "OPTIONS", "POST"}


def test_every_refusal_but_503_asks_for_a_bearer_token_in_legal_characters() -> None:
    # E08, C5, C8: at least one parameter, each at most once, nothing that would need an escape
    parameter = re.compile(r'([a-z_]+)="([\x20-\x21\x23-\x5b\x5d-\x7e]+)"')
    for case in REFUSED:
        challenge = case.expected.challenge
        if case.expected.status == 503:
            assert challenge is None
            continue
        assert challenge is not None
        scheme, _, parameters = challenge.partition(" ")
        names = [match[1] for part in parameters.split(", ") if (match := parameter.fullmatch(part))]
        assert scheme == "Bearer"
        assert len(names) == len(parameters.split(", ")) == len(set(names)) > 0


def test_what_is_looked_for_in_refusals_would_be_found() -> None:
    # E03, E04: a check that cannot fail checks nothing
    for text in (GOOD[5:13], FORGED[-8:], "x InvalidToken x", "ValueError: x", "Traceback (most", "/usr/lib/x", "a.py"):
        assert leaks(f"<{text}>"), text
    assert leaks("bad_signature")
    assert leaks("tokenguard")
    assert not leaks(GOOD[:7])


def test_without_a_token_neither_the_application_nor_the_body_is_touched(run: Run) -> None:
    # T11: and so a token in a form is left where it is
    for case in REFUSED:
        if by_middleware(case):
            sent: list[Message] = []

            async def send(message: Message, sent: list[Message] = sent) -> None:
                sent.append(message)

            scope = http_scope(case.path, case.headers, method=case.method)
            run(guarded(never_called, public=PUBLIC), scope, nothing_to_receive, send)
            assert response(sent).status == case.expected.status


def test_the_table_is_refused_on_a_websocket_with_the_same_answers_where_the_server_can_send_them() -> None:
    # T23
    for case in REFUSED:
        if case.method == "GET" and by_middleware(case):
            scope = websocket_scope(case.path, case.headers, denial_response=True)
            sent = run_asyncio(drive, guarded(never_called), scope, [{"type": "websocket.connect"}])
            found = response(sent, "websocket.http.response")
            check(case, found.status, found.headers, found.body)


# Repeated headers, whatever their schemes


def test_two_headers_of_which_none_is_a_bearer_token_are_none(run: Run) -> None:
    # T03, T29: a WSGI server joins them, and Digest has commas of its own.
    headers = [(b"authorization", b"Basic a"), (b"authorization", b"Digest b")]
    assert run(request, guarded(), http_scope(headers=headers)).status == 401


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([b"Bearer a", b"Bearer b"], "2 Authorization headers"),
        ([b"Basic a", b"Basic b", b"bearer c"], "3 Authorization headers"),
        ([b"Bearer a", b"Basic b"], "2 Authorization headers"),
        ([b"Bearer a, Bearer b"], "Bearer stands behind a comma: fields joined by a server?"),
    ],
)
def test_the_log_says_whether_headers_are_several_or_were_joined(
    values: list[bytes], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [(b"authorization", value) for value in values]
    assert run_asyncio(request, guarded(), http_scope(headers=headers)).status == 400
    assert [record.getMessage() for record in caplog.records] == [f"refused with 400: repeated_authorization: {said}"]


def test_header_names_match_in_any_case_even_if_a_server_did_not_lower_them(run: Run) -> None:
    scope = http_scope()
    scope["headers"] = [(b"Authorization", f"Bearer {GOOD}".encode())]
    assert run(request, guarded(), scope).body == b"user-1"
    scope["headers"] += [(b"AUTHORIZATION", f"Bearer {GOOD}".encode())]
    assert run(request, guarded(), scope).status == 400


def test_a_line_break_in_a_header_that_a_server_let_pass_is_no_part_of_a_token(run: Run) -> None:
    # F09
    for behind in (b"\n", b"\r\n", b"\r\nX: y", b"\n ", b"\x00", b"\x85", b"\xa0", b"\x1c"):
        for value in (b"Bearer " + GOOD.encode() + behind, b"Bearer " + behind + GOOD.encode()):
            assert run(request, guarded(), http_scope(headers=[(b"authorization", value)])).status == 400


# Scopes other than requests


def test_lifespan_passes_untouched(run: Run) -> None:
    # T24
    app = Recorder()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}, "tokenguard.token": "untouched"}
    before = dict(scope)

    async def send(message: Message) -> None: ...

    run(guarded(app), scope, nothing_to_receive, send)
    ((seen, receive, sender),) = app.calls
    assert seen is scope
    assert seen == before
    assert receive is nothing_to_receive
    assert sender is send


@pytest.mark.parametrize("kind", ["", "HTTP", "http2", "webtransport", "websocket.http"])
def test_an_unknown_kind_of_scope_is_refused(run: Run, kind: str) -> None:
    for options in ({}, {"required": False}, {"public": PUBLIC}):
        scope = {**http_scope("/health", bearer(GOOD)), "type": kind}
        with pytest.raises(ConfigurationError, match=re.escape(repr(kind))):
            run(drive, guarded(never_called, **options), scope)


# The scope


@pytest.mark.parametrize("make", [http_scope, websocket_scope])
@pytest.mark.parametrize(
    "options", [{}, {"required": False}, {"public": ["/any"]}], ids=["guarded", "optional", "public"]
)
@pytest.mark.parametrize("token", [GOOD, FORGED], ids=["good", "bad"])
def test_the_outer_scope_is_never_changed(
    run: Run, make: Callable[..., Scope], options: dict[str, Any], token: str
) -> None:
    scope = make(headers=bearer(token), extensions={}, state={"database": object()})
    before, inside = dict(scope), {name: pprint.pformat(value) for name, value in scope.items()}
    app = Recorder()
    run(drive, guarded(app, **options), scope)
    assert scope == before
    assert {name: pprint.pformat(value) for name, value in scope.items()} == inside
    for seen, _, _ in app.calls:
        assert seen is not scope
        assert seen["state"] is scope["state"]  # a server's lifespan state is shared on purpose
        assert {name: value for name, value in seen.items() if not name.startswith("tokenguard.")} == before


def test_the_application_finds_the_token_in_the_scope(run: Run) -> None:
    app = Recorder()
    run(request, guarded(app), http_scope(headers=bearer(READ_WRITE)))
    token = app.scope["tokenguard.token"]
    assert isinstance(token, AccessToken)
    assert token.subject == "user-2"
    assert token.scopes == {"read:users", "write:users"}


def _planted(validator: TokenValidator) -> dict[str, object]:
    token = AccessToken(issuer="https://evil.example.com", expires_at=NOW + LIFETIME, subject="root")
    return {"tokenguard.token": token, "tokenguard.verdict": Verdict(token=token, validator=validator)}


@pytest.mark.parametrize("make", [http_scope, websocket_scope])
def test_what_an_outer_layer_planted_in_the_scope_does_not_survive(run: Run, make: Callable[..., Scope]) -> None:
    planted = _planted(make_validator())
    app = Recorder()
    run(drive, guarded(app, required=False), make(**planted))
    assert app.scope["tokenguard.token"] is None
    assert app.scope[VERDICT_KEY].token is None

    app = Recorder()
    run(drive, guarded(app, public=["/any"]), make(**planted))
    assert app.scope["tokenguard.token"] is None
    assert app.scope[VERDICT_KEY].token is None

    app = Recorder()
    run(drive, guarded(app), make(headers=bearer(GOOD), **planted))
    assert app.scope["tokenguard.token"].subject == "user-1"
    assert app.scope[VERDICT_KEY].token.subject == "user-1"

    assert run(drive, guarded(never_called), make(**planted))


def test_of_two_middlewares_the_inner_one_has_the_last_word(run: Run) -> None:
    app = Recorder()
    run(request, guarded(guarded(app, public=["/any"])), http_scope(headers=bearer(GOOD)))
    assert app.scope["tokenguard.token"] is None


# Public paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path as a server hands it on, and whether it needs no token where `PUBLIC` is below the mount `root`."""

    path: str
    raw: bytes | None
    root: str = ""
    public: bool = False


PATHS = (
    Path(path="/health", raw=b"/health", public=True),
    Path(path="/health", raw=b"/h%65alth", public=True),
    Path(path="/static/a/b.css", raw=b"/static/a/b.css", public=True),
    Path(path="/static/", raw=b"/static/", public=True),
    Path(path="/static/ä", raw=b"/static/%c3%a4", public=True),
    Path(path="/static/...", raw=b"/static/...", public=True),  # three dots are a name
    Path(path="/static/.hidden", raw=b"/static/.hidden", public=True),
    # Not what is listed
    Path(path="/", raw=b"/"),
    Path(path="", raw=b""),
    Path(path="*", raw=b"*"),
    Path(path="/health/", raw=b"/health/"),
    Path(path="/health/x", raw=b"/health/x"),
    Path(path="/static/\ufffd\ufffd/any", raw=b"/static/%c0%ae%c0%ae/any"),  # no UTF-8: others may read dots
    Path(path="/healthy", raw=b"/healthy"),
    Path(path="/HEALTH", raw=b"/HEALTH"),
    Path(path="/static", raw=b"/static"),
    Path(path="/staticx", raw=b"/staticx"),
    Path(path="/Static/a", raw=b"/Static/a"),
    Path(path="/x/health", raw=b"/x/health"),
    Path(path="health", raw=b"health"),
    Path(path="http://api.example.com/health", raw=b"http://api.example.com/health"),  # absolute form
    # Two readers, two readings
    Path(path="//health", raw=b"//health"),
    Path(path="/./health", raw=b"/./health"),
    Path(path="/x/../health", raw=b"/x/../health"),
    Path(path="/static//any", raw=b"/static//any"),
    Path(path="/static/./any", raw=b"/static/./any"),
    Path(path="/static/.", raw=b"/static/."),
    Path(path="/static/..", raw=b"/static/.."),
    Path(path="/static/../any", raw=b"/static/../any"),
    Path(path="/static/../any", raw=b"/static/%2e%2e/any"),
    Path(path="/static/../any", raw=b"/static/%2E./any"),
    Path(path="/static/../any", raw=b"/static/..%2fany"),
    Path(path="/static/../any", raw=b"/static%2F..%2Fany"),
    Path(path="/static/a/b", raw=b"/static/a%2fb"),
    Path(path="/static/a/b", raw=b"/static/a%2Fb"),
    Path(path="/static/a", raw=b"/static%2fa"),
    Path(path="/static/a/b", raw=b"/static/a%5cb"),  # of a server that made a slash of it
    Path(path="/static/a", raw=b"/static/%2561"),  # of one that decoded twice
    Path(path="/static/..\\any", raw=b"/static/..\\any"),
    Path(path="/static/..\\any", raw=b"/static/..%5cany"),
    Path(path="/static/..\\any", raw=b"/static/..%5Cany"),
    Path(path="/static/..;/any", raw=b"/static/..;/any"),
    Path(path="/static/a;x=y", raw=b"/static/a;x=y"),
    Path(path="/static/a;x", raw=b"/static/a%3bx"),
    Path(path="/static/..%2fany", raw=b"/static/..%252fany"),
    Path(path="/static/%2e%2e/any", raw=b"/static/%252e%252e/any"),
    Path(path="/static/a%", raw=b"/static/a%25"),
    Path(path="/static/a%", raw=b"/static/a%"),
    Path(path="/static/a\x00", raw=b"/static/a%00"),
    Path(path="/static/a\n/any", raw=b"/static/a%0a/any"),
    Path(path="/static/a\t", raw=b"/static/a%09"),
    Path(path="/health", raw=None),  # who knows what was sent
    Path(path="/static/a", raw=None),
    # Below a mount
    Path(path="/api/health", raw=b"/api/health", root="/api", public=True),
    Path(path="/api/health", raw=b"/api/health", root="/"),
    Path(path="/api/v1/static/a", raw=b"/api/v1/static/a", root="/api/v1", public=True),
    Path(path="/health", raw=b"/health", root="/api", public=True),  # of servers that leave the mount out
    Path(path="/health/health", raw=b"/health/health", root="/health", public=True),
    Path(path="/api/health", raw=b"/api/health"),
    Path(path="/health", raw=b"/health", root="/health"),
    Path(path="/api/health", raw=b"/api%2fhealth", root="/api"),
    Path(path="/api//health", raw=b"/api//health", root="/api"),
    Path(path="/api/../health", raw=b"/api/../health", root="/api"),
    Path(path="/apihealth", raw=b"/apihealth", root="/api"),
    Path(path="/API/health", raw=b"/API/health", root="/api"),
    Path(path="/api/api/health", raw=b"/api/api/health", root="/api"),
    Path(path="/api/any", raw=b"/api/any", root="/api"),
    Path(path="/api", raw=b"/api", root="/api"),
    Path(path="/static/health", raw=b"/static/health", root="/static", public=True),
    Path(path="/static/any", raw=b"/static/any", root="/static"),
)


@pytest.mark.parametrize("make", [http_scope, websocket_scope])
def test_only_listed_paths_that_have_one_reading_are_public(make: Callable[..., Scope]) -> None:
    for path in PATHS:
        app = Recorder()
        scope = make(root_path=path.root)
        scope["path"] = path.path
        del scope["raw_path"]
        if path.raw is not None:
            scope["raw_path"] = path.raw
        run_asyncio(drive, guarded(app, public=PUBLIC), scope)
        assert bool(app.calls) == path.public, path


def test_a_raw_path_of_none_is_not_public(run: Run) -> None:
    # ASGI: "may be None"
    assert run(request, guarded(never_called, public=PUBLIC), http_scope("/health", raw_path=None)).status == 401


def test_a_scope_without_a_root_path_is_at_the_root(run: Run) -> None:
    scope = http_scope("/health")
    del scope["root_path"]
    assert run(request, guarded(Recorder(), public=PUBLIC), scope).status == 204


def test_a_bad_token_is_not_looked_at_on_a_public_path_and_a_good_one_is_not_handed_on(run: Run) -> None:
    for token in (FORGED, GOOD):
        app = Recorder()
        run(request, guarded(app, public=["/any"]), http_scope(headers=bearer(token)))
        assert app.scope["tokenguard.token"] is None


# Configuration


@pytest.mark.parametrize(
    "paths",
    [
        "/health",
        ("health",),
        ("",),
        ("/*",),
        ("//*",),
        ("*",),
        ("/a*",),
        ("/*/a",),
        ("/a/*/b",),
        ("/a/**",),
        ("//health",),
        ("/./health",),
        ("/static/../health",),
        ("/a\\b",),
        ("/a;b",),
        ("/a%2fb",),
        ("/a%20b",),
        ("/health", "bad"),
    ],
    ids=repr,
)
def test_a_public_path_that_opens_more_than_it_says_or_never_matches_is_refused(paths: Any) -> None:
    with pytest.raises(ConfigurationError, match="public"):
        guarded(public=paths)


@pytest.mark.parametrize("paths", [None, (None,), (1,), (b"/health",)], ids=repr)
def test_public_paths_of_the_wrong_type_are_a_configuration_error(paths: Any) -> None:
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
    with pytest.raises(ConfigurationError, match="pass a TokenValidator"):
        TokenGuardMiddleware(application, validator)


# What applications raise


def _raises(error: Exception, *before: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        raise error

    return app


START: Message = {"type": "http.response.start", "status": 200, "headers": []}
CHUNK: Message = {"type": "http.response.body", "body": b"...", "more_body": True}


@pytest.mark.parametrize(
    "options", [{}, {"required": False}, {"public": ["/any"]}], ids=["guarded", "optional", "public"]
)
def test_a_refusal_that_the_application_raises_before_its_response_is_the_answer(
    run: Run, options: dict[str, Any]
) -> None:
    for error, status, challenge in (
        (MissingToken(), 401, BARE),
        (AccessDenied(detail="for the log"), 403, f'{BARE}, error="insufficient_scope", error_description="'),
        (InvalidToken(), 401, f'{BARE}, error="invalid_token", error_description="The access token is invalid"'),
        (Unavailable(retry_after=7), 503, None),
    ):
        found = run(request, guarded(_raises(error), **options), http_scope(headers=bearer(GOOD)))
        assert found.status == status
        assert (found.header("www-authenticate") or "").startswith(challenge or "")
        assert (found.header("www-authenticate") is None) == (challenge is None)
        assert found.header("cache-control") == "no-store"
        assert found.header("retry-after") == ("7" if status == 503 else None)
        assert not leaks(found.body.decode())


@pytest.mark.parametrize("before", [[START], [START, CHUNK]], ids=["headers sent", "body begun"])
def test_a_refusal_that_comes_after_the_response_has_begun_propagates(run: Run, before: list[Message]) -> None:
    error = AccessDenied()
    sent: list[Message] = []
    with pytest.raises(AccessDenied) as caught:
        run(drive, guarded(_raises(error, *before)), http_scope(headers=bearer(GOOD)), (), sent)
    assert caught.value is error
    assert sent == before


@pytest.mark.parametrize("kind", ["http.response.early_hint", "http.response.push", "http.response.debug"])
def test_a_refusal_that_comes_after_a_hint_or_a_push_is_still_the_answer(run: Run, kind: str) -> None:
    hint: Message = {"type": kind}
    first, *rest = run(drive, guarded(_raises(AccessDenied(), hint)), http_scope(headers=bearer(GOOD)))
    assert first is hint
    assert response(rest).status == 403


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_refusal_out_of_a_task_group_is_the_answer(run: Run, tasks: int) -> None:
    async def refuse() -> None:
        raise AccessDenied

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            inner.start_soon(refuse)
            if tasks > 1:
                outer.start_soon(refuse)

    assert run(request, guarded(app), http_scope(headers=bearer(GOOD))).status == 403


def test_what_else_came_out_of_a_task_group_is_the_applications_own(run: Run) -> None:
    for error in (
        ExceptionGroup("", [AccessDenied(), ValueError("a bug")]),
        ExceptionGroup("", [ExceptionGroup("", [ValueError("a bug")])]),
        ExceptionGroup("", [AccessDenied(), ExceptionGroup("", [ValueError("a bug"), AccessDenied()])]),
    ):
        sent: list[Message] = []
        with pytest.raises(ExceptionGroup) as caught:
            run(drive, guarded(_raises(error)), http_scope(headers=bearer(GOOD)), (), sent)
        assert caught.value is error
        assert not sent


def test_a_refusal_that_the_application_raises_is_logged_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenguard")
    run(request, guarded(_raises(AccessDenied(detail="it is Sunday"))), http_scope(headers=bearer(GOOD)))
    assert [record.getMessage() for record in caplog.records] == ["refused with 403: access_denied: it is Sunday"]


@pytest.mark.parametrize("error", [ValueError("x"), ConfigurationError("x"), OSError("x"), TimeoutError("x")], ids=repr)
@pytest.mark.parametrize("make", [http_scope, websocket_scope])
def test_any_other_exception_of_the_application_is_its_own(
    run: Run, make: Callable[..., Scope], error: Exception
) -> None:
    sent: list[Message] = []
    with pytest.raises(type(error)) as caught:
        run(drive, guarded(_raises(error)), make(headers=bearer(GOOD)), (), sent)
    assert caught.value is error
    assert not sent


@pytest.mark.parametrize("outcome", [ValueError("x"), True, False], ids=repr)
def test_a_check_that_fails_or_gives_no_clear_answer_never_lets_a_request_through(run: Run, outcome: object) -> None:
    def broken(token: AccessToken) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    validator = TokenValidator(
        *(trust.issuer for trust in make_validator()._core.trust.named.values()),
        audience="https://api.example.com",
        checks=(broken,),
        clock=lambda: NOW,
    )
    sent: list[Message] = []
    app = TokenGuardMiddleware(never_called, validator)
    with pytest.raises(ValueError if isinstance(outcome, Exception) else ConfigurationError):
        run(drive, app, http_scope(headers=bearer(GOOD)), (), sent)
    assert not sent


# Websockets that are refused

CONNECT: Message = {"type": "websocket.connect"}
ACCEPT: Message = {"type": "websocket.accept"}


def _text(text: str) -> Message:
    return {"type": "websocket.receive", "text": text}


@pytest.mark.parametrize("extensions", [{}, None, {"tls": {}}], ids=repr)
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), ""),
        (bearer(FORGED), "invalid_token"),
        (bearer(EXPIRED), "invalid_token"),
        (bearer("a b"), "invalid_request"),
    ],
    ids=["absent", "forged", "expired", "malformed"],
)
def test_a_websocket_is_closed_before_it_is_accepted_where_the_server_sends_no_responses(
    run: Run, extensions: object, headers: tuple[tuple[bytes, bytes], ...], reason: str
) -> None:
    # T23
    scope = websocket_scope(headers=headers, extensions=extensions)
    sent = run(drive, guarded(never_called), scope, [CONNECT])
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]


def test_a_websocket_scope_may_lack_extensions(run: Run) -> None:
    scope = websocket_scope()
    del scope["extensions"]
    assert run(drive, guarded(never_called), scope, [CONNECT])[0]["type"] == "websocket.close"


def test_a_websocket_may_be_public_or_come_without_a_token_where_none_is_required(run: Run) -> None:
    for options in ({"public": ["/any"]}, {"required": False}):
        app = Recorder()
        assert run(drive, guarded(app, **options), websocket_scope(), [CONNECT]) == []
        assert app.scope["tokenguard.token"] is None
    sent = run(drive, guarded(never_called, required=False), websocket_scope(headers=bearer(FORGED)), [CONNECT])
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]


@pytest.mark.parametrize("denial_response", [True, False], ids=["response", "close"])
@pytest.mark.parametrize("headers", [(), bearer(UNSCOPED)], ids=["without a token", "with a token"])
def test_a_refusal_that_a_websocket_application_raises_before_it_accepts_is_the_answer(
    run: Run, denial_response: bool, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    scope = websocket_scope(headers=headers, denial_response=denial_response)
    error = InsufficientScope(required=("read:users",)) if headers else MissingToken()
    sent = run(drive, guarded(_raises(error), required=False), scope, [CONNECT])
    if denial_response:
        found = response(sent, "websocket.http.response")
        assert (found.status, found.body == b"{}") == ((403, False) if headers else (401, True))
    else:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": error.error or ""}]


def test_a_refusal_that_a_websocket_application_raises_later_propagates(run: Run) -> None:
    error = AccessDenied()
    sent: list[Message] = []
    with pytest.raises(AccessDenied) as caught:
        run(drive, guarded(_raises(error, ACCEPT)), websocket_scope(headers=bearer(GOOD)), [CONNECT], sent)
    assert caught.value is error
    assert sent == [ACCEPT]


# Websockets that outlive their token


class Clock:
    """Seconds since the epoch, as told."""

    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        return self.now


UNTIL_EXPIRY = LIFETIME + LEEWAY
CLOSED = {"type": "websocket.close", "code": 1008, "reason": "the access token expired"}
GONE = {"type": "websocket.disconnect", "code": 1008, "reason": "the access token expired"}


def _with_clock(app: ASGIApp) -> tuple[TokenGuardMiddleware, Clock]:
    clock = Clock()
    return TokenGuardMiddleware(app, make_validator(clock=clock)), clock


def test_until_its_token_expires_a_websocket_passes_all_messages(run: Run) -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        await send(ACCEPT)
        while (message := await receive())["type"] == "websocket.receive":
            clock.now += UNTIL_EXPIRY / 4
            await send({"type": "websocket.send", "text": message["text"]})
        assert message == {"type": "websocket.disconnect"}

    app, clock = _with_clock(echo)
    incoming = [CONNECT, _text("one"), _text("two"), _text("three")]
    sent = run(drive, app, websocket_scope(headers=bearer(GOOD)), incoming)
    assert sent == [ACCEPT, *({"type": "websocket.send", "text": text} for text in ("one", "two", "three"))]


def test_a_websocket_is_closed_when_it_receives_after_its_token_expired(run: Run) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        assert await receive() == _text("in time")
        clock.now += UNTIL_EXPIRY
        assert await receive() == GONE
        assert await receive() == GONE

    middleware, clock = _with_clock(app)
    incoming = [CONNECT, _text("in time"), _text("too late")]
    assert run(drive, middleware, websocket_scope(headers=bearer(GOOD)), incoming) == [ACCEPT, CLOSED]


def test_a_websocket_is_closed_when_it_sends_after_its_token_expired(run: Run) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "in time"})
        clock.now += UNTIL_EXPIRY
        for _ in range(2):
            with pytest.raises(OSError, match="the access token expired"):
                await send({"type": "websocket.send", "text": "too late"})
        assert await receive() == GONE

    middleware, clock = _with_clock(app)
    sent = run(drive, middleware, websocket_scope(headers=bearer(GOOD)), [CONNECT])
    assert sent == [ACCEPT, {"type": "websocket.send", "text": "in time"}, CLOSED]


def test_a_websocket_whose_token_expires_before_it_is_accepted_is_never_accepted(run: Run) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += UNTIL_EXPIRY
        with pytest.raises(OSError, match="expired"):
            await send(ACCEPT)

    middleware, clock = _with_clock(app)
    assert run(drive, middleware, websocket_scope(headers=bearer(GOOD)), [CONNECT]) == [CLOSED]


def test_a_websocket_that_its_application_closed_is_not_closed_again(run: Run) -> None:
    bye: Message = {"type": "websocket.close", "code": 1000}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send(bye)
        clock.now += UNTIL_EXPIRY
        assert await receive() == GONE

    middleware, clock = _with_clock(app)
    assert run(drive, middleware, websocket_scope(headers=bearer(GOOD)), [CONNECT]) == [ACCEPT, bye]


def test_a_websocket_that_its_application_answers_with_a_response_is_not_closed_as_well(run: Run) -> None:
    start: Message = {"type": "websocket.http.response.start", "status": 404, "headers": []}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        clock.now += UNTIL_EXPIRY
        assert await receive() == GONE

    middleware, clock = _with_clock(app)
    scope = websocket_scope(headers=bearer(GOOD), denial_response=True)
    assert run(drive, middleware, scope, [CONNECT]) == [start]


def test_a_refusal_of_a_websocket_whose_token_expires_meanwhile_is_answered_once(run: Run) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += UNTIL_EXPIRY
        raise AccessDenied

    middleware, clock = _with_clock(late)
    sent = run(drive, middleware, websocket_scope(headers=bearer(GOOD)), [CONNECT])
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}]

    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += UNTIL_EXPIRY
        assert await receive() == GONE
        raise AccessDenied

    middleware, clock = _with_clock(later)
    sent = []
    with pytest.raises(AccessDenied):
        run(drive, middleware, websocket_scope(headers=bearer(GOOD)), [CONNECT], sent)
    assert sent == [CLOSED]


def test_a_websocket_that_was_closed_at_expiry_stays_closed_if_the_clock_is_set_back(run: Run) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        clock.now += UNTIL_EXPIRY
        assert await receive() == GONE
        clock.now -= UNTIL_EXPIRY
        assert await receive() == GONE
        with pytest.raises(OSError, match="expired"):
            await send({"type": "websocket.send", "text": "too late"})

    middleware, clock = _with_clock(app)
    incoming = [CONNECT, _text("too late")]
    assert run(drive, middleware, websocket_scope(headers=bearer(GOOD)), incoming) == [ACCEPT, CLOSED]


def test_an_application_that_gives_up_receiving_loses_no_message(run: Run) -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            with anyio.CancelScope() as patience:
                waiting.append(patience)
                seen.append(await receive())

    waiting: list[anyio.CancelScope] = []

    async def receive() -> Message:
        if len(waiting) == 1:
            waiting[0].cancel()
        await anyio.lowlevel.checkpoint()
        return incoming.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError

    incoming = [_text("one")]
    run(guarded(app), websocket_scope(headers=bearer(GOOD)), receive, send)
    assert seen == [_text("one")]


async def _wait_for_a_message(scope: Scope, receive: Receive, send: Send) -> None:
    await send(ACCEPT)
    assert await receive() == GONE


def test_a_websocket_that_waits_for_a_message_is_closed_at_expiry_under_asyncio() -> None:
    middleware, clock = _with_clock(_wait_for_a_message)
    sent: list[Message] = []
    cancelled = []

    async def receive() -> Message:
        clock.now += UNTIL_EXPIRY - 0.01
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)
        clock.now += UNTIL_EXPIRY - 0.01  # as much as the wait may take

    async def scenario() -> None:
        async with asyncio.timeout(10):  # so that without an expiry the test fails and does not hang
            await middleware(websocket_scope(headers=bearer(GOOD)), receive, send)

    asyncio.run(scenario())
    assert sent == [ACCEPT, CLOSED]
    assert cancelled == [True]


def test_a_websocket_that_waits_for_a_message_is_closed_at_expiry_under_trio() -> None:
    middleware, _ = _with_clock(_wait_for_a_message)
    sent: list[Message] = []

    async def receive() -> Message:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def scenario() -> float:
        begun = trio.current_time()
        with trio.fail_after(2 * UNTIL_EXPIRY):
            await middleware(websocket_scope(headers=bearer(GOOD)), receive, send)
        return trio.current_time() - begun

    # trio's own clock jumps to the next deadline: neither sooner nor later than the token's
    assert trio.run(scenario, clock=trio.testing.MockClock(autojump_threshold=0)) == UNTIL_EXPIRY
    assert sent == [ACCEPT, CLOSED]


def test_a_server_error_while_a_websocket_receives_is_not_taken_for_expiry(run: Run) -> None:
    # The TimeoutError of a socket (ETIMEDOUT) is not the token's.
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(TimeoutError, match="of the socket"):
            await receive()

    async def receive() -> Message:
        raise TimeoutError("of the socket")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    run(guarded(app), websocket_scope(headers=bearer(GOOD)), receive, send)
    assert not sent


# Logs


def test_no_part_of_a_token_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    # L01: the whole table at DEBUG, on HTTP and on websockets, from every logger
    caplog.set_level(logging.DEBUG)
    apps = applications()
    for case in CASES:
        app = apps[case.application]
        run_asyncio(request, app, http_scope(case.path, case.headers, method=case.method), case.body)
        if by_middleware(case):
            assert run_asyncio(drive, guarded(never_called), websocket_scope(case.path, case.headers), [CONNECT])
    lines = [
        "\n".join([record.getMessage(), repr(record.__dict__), logging.Formatter().format(record)])
        for record in caplog.records
    ]
    assert len(lines) > len(REFUSED)
    assert fragments("\n".join(lines), *CASES) == []
