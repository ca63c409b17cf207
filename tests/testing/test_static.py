"""A StaticValidator stands in for a TokenValidator, and believes what the test says."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenguard import (
    AccessToken,
    ConfigurationError,
    InvalidToken,
    Reason,
    RequestRefused,
    TokenValidator,
    Unavailable,
)
from tokenguard.integrations.asgi import TokenGuardMiddleware
from tokenguard.integrations.starlette import get_token, require_scopes
from tokenguard.testing import StaticValidator

NOW = 1_700_000_000


def _clock() -> float:
    return NOW


def test_any_text_is_the_same_token() -> None:
    validator = StaticValidator(
        scopes=("read", "write"),
        subject="alice",
        client_id="shop",
        roles=["admin"],
        claims={"org": {"ids": [1]}},
        issuer="https://sso.example.com",
        audience="orders",
        token_id="t-1",
        expires_in=60,
        clock=_clock,
    )
    token = validator.validate("any")
    assert validator.validate(b"other") == token
    assert asyncio.run(validator.validate_async("third")) == token
    assert trio.run(validator.validate_async, "fourth") == token
    assert token == AccessToken(
        issuer="https://sso.example.com",
        subject="alice",
        client_id="shop",
        audience=("orders",),
        scopes=frozenset({"read", "write"}),
        roles=frozenset({"admin"}),
        issued_at=NOW,
        expires_at=NOW + 60,
        token_id="t-1",
        claims=token.claims,
    )
    assert token.to_dict() == {
        "iss": "https://sso.example.com",
        "sub": "alice",
        "aud": "orders",
        "client_id": "shop",
        "jti": "t-1",
        "iat": NOW,
        "exp": NOW + 60,
        "scope": "read write",
        "roles": ["admin"],
        "org": {"ids": [1]},
    }
    assert token.claims["org"]["ids"] == (1,)
    assert validator.realm == "orders"
    assert validator.seconds_left(token) == 60


def test_what_is_none_is_no_claim() -> None:
    token = StaticValidator(subject=None, client_id=None).validate("any")
    assert token.subject is token.client_id is None
    assert {"sub", "client_id", "scope", "roles"}.isdisjoint(token.claims)


def test_some_texts_are_tokens_and_no_others() -> None:
    mine = AccessToken(issuer="https://other.example.com", expires_at=NOW + 5, subject="bob")
    validator = StaticValidator(tokens={"reader": {"read"}, "bob": mine, "nobody": ()}, subject="alice", clock=_clock)
    assert validator.validate("reader").scopes == {"read"}
    assert validator.validate("reader").subject == "alice"
    assert validator.validate(b"bob") is mine
    assert validator.seconds_left(mine) == 5
    assert validator.validate("nobody").scopes == frozenset()
    with pytest.raises(InvalidToken) as caught:
        validator.validate(b"\xff")
    assert caught.value.reason is Reason.BAD_SIGNATURE
    assert caught.value.realm == validator.realm


def test_an_empty_choice_refuses_all() -> None:
    with pytest.raises(InvalidToken):
        StaticValidator(tokens={}).validate("any")


@pytest.mark.parametrize(
    ("refusal", "status"), [(InvalidToken, 401), (lambda: InvalidToken(Reason.EXPIRED), 401), (Unavailable, 503)]
)
def test_it_refuses_as_it_is_told(
    refusal: Callable[[], RequestRefused], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    validator = StaticValidator(refusal=refusal, realm="mine")
    refusals = []
    for _ in range(2):
        with pytest.raises(RequestRefused) as caught:
            validator.validate("any")
        refusals.append(caught.value)
    assert [refused.status for refused in refusals] == [status, status]
    assert refusals[0] is not refusals[1]
    assert refusals[0].realm == "mine"
    assert f"refused with {status}" in caplog.text


def test_it_is_ready_unless_it_is_told_otherwise() -> None:
    for validator in (StaticValidator(), StaticValidator(refusal=InvalidToken)):
        validator.warm_up()
        asyncio.run(validator.warm_up_async())
        assert validator.ready
        assert validator.health()["https://as.example.com"]["state"] == "unused"
    down = StaticValidator.unavailable(retry_after=7)
    assert not down.ready
    assert down.health()["https://as.example.com"]["state"] == "down"
    for warm_up in (down.warm_up, lambda: asyncio.run(down.warm_up_async()), lambda: down.validate("any")):
        with pytest.raises(Unavailable) as caught:
            warm_up()
        assert caught.value.retry_after == 7


def test_its_health_has_the_shape_of_a_real_one() -> None:
    real = TokenValidator("https://as.example.com", audience="a").health()
    for validator in (StaticValidator(), StaticValidator.unavailable()):
        (ours,) = validator.health().values()
        assert ours.keys() == real["https://as.example.com"].keys()


def test_whatever_touches_keys_is_its_own() -> None:
    """What it inherits knows no keys: a method added to TokenValidator has to be looked at here."""
    inherited = {"refuse", "close"}
    public = {name for name in vars(TokenValidator) if not name.startswith("_")} - inherited
    assert public <= vars(StaticValidator).keys()
    for name in public:
        theirs, ours = getattr(TokenValidator, name), getattr(StaticValidator, name)
        if isinstance(theirs, property):
            assert isinstance(ours, property)
            continue
        assert inspect.signature(theirs) == inspect.signature(ours)
        assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(ours)


def test_nobody_takes_it_for_a_real_one(caplog: pytest.LogCaptureFixture) -> None:
    with StaticValidator() as validator:
        assert repr(validator) == "<StaticValidator for tests only: accepts any text, checks nothing>"
    assert "accepts 1 texts" in repr(StaticValidator(tokens={"a": ()}))
    assert "refuses all" in repr(StaticValidator.unavailable())
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "tokenguard")] * 3
    assert "it is for tests only" in caplog.text
    assert not hasattr(import_module("tokenguard"), "StaticValidator")
    with pytest.raises(TypeError, match="one per process"):
        pickle.dumps(validator)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "scopes as a text": (
        {"scopes": "read"},
        r"scopes is 'read': a collection of names, such as scopes=\('read',\)",
    ),
    "scopes as one text": ({"scopes": "a b"}, r"such as scopes=\('a', 'b'\)"),
    "scopes as a number": ({"scopes": 7}, r"scopes is 7: a collection of names, such as scopes=\('read',\)"),
    "two scopes in one": ({"scopes": ("a b",)}, "scopes has 'a b': a single name, without spaces"),
    "a scope that is none": ({"scopes": (7,)}, "scopes has 7"),
    "an empty role": ({"roles": ("",)}, "roles has ''"),
    "roles as a text": ({"roles": "admin"}, "roles is 'admin'"),
    "a claim of an argument": ({"claims": {"sub": "x"}}, r"claims has sub: say subject=\.\.\. in its place"),
    "a claim that is no JSON": ({"claims": {"x": {1}}}, "claims are none that JSON can carry"),
    "a claim that is no number": ({"claims": {"x": float("nan")}}, "claims are none that JSON can carry"),
    "two ways to say scopes": ({"scopes": ("a",), "tokens": {}}, "scopes and tokens both say"),
    "a text that no client sends": ({"tokens": {"a b": ()}}, "no client can send that after Bearer"),
    "a text that is none": ({"tokens": {7: ()}}, "tokens has 7"),
    "scopes of a text as a text": ({"tokens": {"a": "read"}}, "scopes is 'read'"),
    "a refusal that is an exception": (
        {"refusal": InvalidToken()},
        "refusal is of type InvalidToken: give the class, or a function that makes one for each request",
    ),
    "a refusal that is none": ({"refusal": ValueError}, "refusal makes ValueError: give a function"),
    "a realm that cannot be sent": ({"realm": '"'}, "realm is"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_contradiction_is_a_configuration_error(fault: str) -> None:
    arguments, message = FAULTS[fault]
    with pytest.raises(ConfigurationError, match=message):
        StaticValidator(**arguments)


def test_a_token_is_text() -> None:
    with pytest.raises(TypeError, match="str or bytes, not NoneType"):
        StaticValidator().validate(None)  # type: ignore[arg-type]  # what a user may write


# Each adapter takes it. A route that needs `read` answers 200, 403, 401 and 503.


ANSWERS = {"reader": 200, "nobody": 403, "stranger": 401}


def _on_asgi(validator: TokenValidator) -> Callable[[str], int]:
    async def endpoint(request: Request) -> Response:
        token = request.scope["tokenguard.token"]
        return JSONResponse(token.subject, status_code=200 if "read" in token.scopes else 403)

    client = TestClient(TokenGuardMiddleware(Starlette(routes=[Route("/", endpoint)]), validator))
    return lambda text: client.get("/", headers={"Authorization": f"Bearer {text}"}).status_code


def _on_starlette(validator: TokenValidator) -> Callable[[str], int]:
    starlette = import_module("tokenguard.integrations.starlette")

    @require_scopes("read")
    async def endpoint(request: Request) -> Response:
        return JSONResponse(get_token(request).subject)

    app = starlette.TokenGuardMiddleware(Starlette(routes=[Route("/", endpoint)]), validator)
    client = TestClient(app)
    return lambda text: client.get("/", headers={"Authorization": f"Bearer {text}"}).status_code


def _on_wsgi(validator: TokenValidator) -> Callable[[str], int]:
    wsgi = pytest.importorskip("tokenguard.integrations.wsgi", exc_type=ImportError)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        good = "read" in environ["tokenguard.token"].scopes
        start_response("200 OK" if good else "403 Forbidden", [])
        return []

    guarded = wsgi.TokenGuardMiddleware(app, validator)

    def ask(text: str) -> int:
        seen: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_AUTHORIZATION": f"Bearer {text}"}
        for _ in guarded(environ, lambda status, headers, *_: seen.append(status)):
            pass
        return int(seen[0][:3])

    return ask


def _on_fastapi(validator: TokenValidator) -> Callable[[str], int]:
    fastapi = pytest.importorskip("fastapi")
    ours = pytest.importorskip("tokenguard.integrations.fastapi", exc_type=ImportError)
    guard = ours.TokenGuard(validator)
    app: Any = fastapi.FastAPI()
    guard.install(app)
    asked: Any = fastapi.Security(guard, scopes=["read"])

    async def endpoint(token: AccessToken = asked) -> str | None:
        return token.subject

    app.get("/")(endpoint)
    client = TestClient(app)
    return lambda text: client.get("/", headers={"Authorization": f"Bearer {text}"}).status_code


def _on_flask(validator: TokenValidator) -> Callable[[str], int]:
    flask = pytest.importorskip("flask")
    ours = pytest.importorskip("tokenguard.integrations.flask", exc_type=ImportError)
    app = flask.Flask("tests")
    app.config["TOKENGUARD"] = validator
    ours.TokenGuard(app)

    def endpoint() -> str:
        return str(ours.current_token.subject)

    app.get("/")(ours.require_scopes("read")(endpoint))
    client = app.test_client()
    return lambda text: int(client.get("/", headers={"Authorization": f"Bearer {text}"}).status_code)


@pytest.mark.parametrize("adapter", [_on_asgi, _on_starlette, _on_wsgi, _on_fastapi, _on_flask])
def test_each_adapter_takes_it(adapter: Callable[[TokenValidator], Callable[[str], int]]) -> None:
    ask = adapter(StaticValidator(tokens={"reader": ("read",), "nobody": ()}))
    assert {text: ask(text) for text in ANSWERS} == ANSWERS
    assert adapter(StaticValidator.unavailable())("reader") == 503
