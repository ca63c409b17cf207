"""Django without a server: its handlers, called as servers call them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from tests.integrations.behaviour import make_validator
from tests.integrations.conftest import Response, http_scope, response, run_asyncio
from tests.integrations.test_django import project
from tests.integrations.wsgi_driving import environ_of, serve
from tokenguard.integrations.asgi import Message

Headers = Iterable[tuple[bytes, bytes]]
Ask = Callable[..., Response]
Configured = Callable[..., None]


@pytest.fixture(scope="session", autouse=True)
def _django() -> None:
    project.configure()


@pytest.fixture
def configured() -> Iterator[Configured]:
    """Changes settings until the end of the test. TOKENGUARD has the table's validator, if nothing else is said."""
    active: list[AbstractContextManager[None]] = []

    def change(**settings: Any) -> None:
        said = settings.get("TOKENGUARD", {})
        if isinstance(said, Mapping) and not {"VALIDATOR", "ISSUER"} & set(said):
            settings["TOKENGUARD"] = {"VALIDATOR": make_validator(), **said}
        changed = override_settings(**settings)
        changed.__enter__()
        active.append(changed)

    yield change
    for changed in reversed(active):
        changed.__exit__(None, None, None)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[None]:
    """A database with Django's own tables, for all threads."""
    connections.settings["default"]["NAME"] = str(tmp_path / "database")
    connections["default"].close()
    del connections["default"]
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False, skip_checks=True)
    yield
    connections["default"].close()
    del connections["default"]
    connections.settings["default"]["NAME"] = ":memory:"


def ask_wsgi(path: str = "/", headers: Headers = (), *, method: str = "GET", body: bytes = b"") -> Response:
    """Send a request through WSGIHandler."""
    stripped = [(name, value.strip(b" \t")) for name, value in headers]
    return serve(WSGIHandler(), environ_of(path, stripped, method=method, body=body))


def ask_asgi(path: str = "/", headers: Headers = (), *, method: str = "GET", body: bytes = b"") -> Response:
    """Send a request through ASGIHandler."""
    scope = http_scope(path, [(name, value.strip(b" \t")) for name, value in headers], method=method)
    return run_asyncio(_ask_asgi, scope, body)


async def _ask_asgi(scope: Any, body: bytes) -> Response:
    sent: list[Message] = []
    asked, done = False, asyncio.Event()

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await done.wait()  # who disconnects before is not answered
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            done.set()

    await ASGIHandler()(scope, receive, send)
    found = response(sent)
    return Response(
        status=found.status, headers=[(name.lower(), value) for name, value in found.headers], body=found.body
    )


@pytest.fixture(params=[ask_wsgi, ask_asgi], ids=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Sends a request through either handler."""
    chosen: Ask = request.param
    return chosen
