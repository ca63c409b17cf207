"""ASGI applications behind a server in a process of its own, seen from both ends: `serving` starts it, `main` is it.

The child has the applications of the table, told apart by the Host that is asked for. It prints its port when it can be
connected to, and ends when its standard input does, so that it cannot outlive whoever started it.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.integrations.behaviour import LEEWAY, LIFETIME, NOW, PUBLIC, make_validator
from tests.integrations.test_asgi import application, guarded
from tokenguard.integrations.asgi import ASGIApp, Receive, Scope, Send, TokenGuardMiddleware

ROOT = Path(__file__).parents[2]
GRACE = 10  # seconds to start and to end in; nothing that passes waits for it
SHORT = 0.3  # seconds that the token of a websocket at `expiring` has left

SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn-websockets": ("uvicorn", "websockets"),
    "uvicorn-wsproto": ("uvicorn", "wsproto"),
    "hypercorn-asyncio": ("hypercorn",),
    "hypercorn-trio": ("hypercorn", "trio"),
    "granian": ("granian",),
    "daphne": ("daphne",),
}
"""Each server, and the packages that it is made of."""


def missing(server: str) -> list[str]:
    """The packages that are not installed."""
    return [package for package in SERVERS[server] if find_spec(package) is None]


@contextmanager
def serving(server: str) -> Iterator[int]:
    """Serve on loopback, and yield the port.

    Raises:
        RuntimeError: it did not start; why stands on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, server],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"{server} does not start")
        yield int(port)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# The child


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A websocket that says whose it is, and then what it is told."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    token = scope["tokenguard.token"]
    await send({"type": "websocket.send", "text": token.subject if token else "anonymous"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await (echo if scope["type"] == "websocket" else application)(scope, receive, send)


class Expiring:
    """A clock by which the good token is about to expire when it is first looked at."""

    def __init__(self) -> None:
        self._begun: float | None = None

    def __call__(self) -> float:
        if self._begun is None:
            self._begun = time.monotonic()
        return NOW + LIFETIME + LEEWAY - SHORT + time.monotonic() - self._begun


def applications() -> ASGIApp:
    """All of them, by Host."""
    apps: dict[bytes, Callable[[], ASGIApp]] = {
        b"required": lambda: required,
        b"optional": lambda: optional,
        b"expiring": lambda: TokenGuardMiddleware(inner, make_validator(clock=Expiring())),  # for each, a clock anew
    }
    required, optional = guarded(inner, public=PUBLIC), guarded(inner, required=False)

    async def by_host(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await apps[dict(scope["headers"])[b"host"]]()(scope, receive, send)

    return by_host


def main(server: str) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    kind, _, variant = server.partition("-")
    running: dict[str, Callable[[ASGIApp, str], None]] = {
        "uvicorn": _uvicorn,
        "hypercorn": _hypercorn,
        "granian": _granian,
        "daphne": _daphne,
    }
    running[kind](applications(), variant)


def _listen() -> socket.socket:
    """A socket that connections may wait at from now on."""
    listener = socket.create_server(("127.0.0.1", 0))
    _say_port(listener)
    return listener


def _say_port(bound: socket.socket) -> None:
    sys.stdout.write(f"{bound.getsockname()[1]}\n")
    sys.stdout.flush()


def _when_told(end: Callable[[], object]) -> None:
    """Call `end` when standard input is at its end."""

    def wait() -> None:
        sys.stdin.read()
        end()

    threading.Thread(target=wait, daemon=True).start()


def _uvicorn(app: ASGIApp, websockets: str) -> None:
    import uvicorn

    name: Any = {"websockets": "websockets-sansio", "wsproto": "wsproto"}[websockets]
    config = uvicorn.Config(
        app, ws=name, log_config=None, server_header=False, date_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    _when_told(lambda: setattr(server, "should_exit", True))
    server.run(sockets=[_listen()])


def _hypercorn(app: Any, loop: str) -> None:
    from hypercorn.config import Config

    config = Config()
    config.graceful_timeout = 1
    config.errorlog = None
    config.bind = [f"fd://{_listen().detach()}"]
    config.worker_class = loop
    told = threading.Event()
    _when_told(told.set)
    if loop == "trio":
        import trio
        from hypercorn.trio import serve as serve_trio

        async def trio_told() -> None:
            await trio.to_thread.run_sync(told.wait, abandon_on_cancel=True)

        trio.run(lambda: serve_trio(app, config, shutdown_trigger=trio_told))
    else:
        from hypercorn.asyncio import serve

        async def asyncio_told() -> None:
            await asyncio.to_thread(told.wait)

        asyncio.run(serve(app, config, shutdown_trigger=asyncio_told))


def _granian(app: ASGIApp, _: str) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    # It binds for itself, and neither takes a socket nor says its port: this one keeps a port for it.
    kept = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        kept.setsockopt(socket.SOL_SOCKET, option, 1)
    kept.bind(("127.0.0.1", 0))
    server = Server(app, port=kept.getsockname()[1], interface=Interfaces.ASGI, log_enabled=False)

    def say_port_when_it_serves() -> None:
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            with suppress(OSError), closing(socket.create_connection(kept.getsockname())):
                _say_port(kept)
                return
            time.sleep(0.01)  # it does not say when it has begun to listen

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        _when_told(lambda: loop.call_soon_threadsafe(server.stop))
        threading.Thread(target=say_port_when_it_serves, daemon=True).start()
        await server.serve()

    with kept:
        asyncio.run(serve())


def _daphne(app: Any, _: str) -> None:
    server_module = importlib.import_module("daphne.server")  # installs the reactor of asyncio
    reactor = importlib.import_module("twisted.internet.reactor")
    server = server_module.Server(app, endpoints=[f"fd:fileno={_listen().detach()}"], signal_handlers=False)
    _when_told(lambda: reactor.callFromThread(reactor.stop))
    server.run()


if __name__ == "__main__":
    main(sys.argv[1])
