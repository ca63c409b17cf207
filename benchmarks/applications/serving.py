"""An application under a server in a process of its own, seen from both ends: `serving` starts it, `main` is it.

ASGI applications run under uvicorn, with the loop and the parser that `uvicorn[standard]` brings, where they are
installed. WSGI applications run under gunicorn's gthread worker: its sync worker keeps no connection, and what would be
measured is how connections are made.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import Setting

ROOT = Path(__file__).parents[2]
GRACE = 10  # seconds to end in
THREADS = 4  # of gunicorn's worker

Make = Callable[[], Any]


@contextmanager
def serving(application: str, setting: Setting, *, server: str) -> Iterator[int]:
    """Serve an application (`module:function`, called with the setting) on loopback, and yield its port.

    Connections to it wait until it is up. It ends with the context, and with this process however that ends: its
    standard input is then at its end.

    Raises:
        RuntimeError: it did not start; why stands on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.applications.serving", server, application],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        start_new_session=True,  # a Ctrl-C is for us, and we end it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(setting)) + "\n")
        process.stdin.flush()
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"{application} does not start")
        yield int(port)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def described(server: str) -> str:
    """The server as it runs here."""
    if server == "gunicorn":
        return f"gunicorn, gthread, {THREADS} threads"
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return f"uvicorn, {loop} and {'httptools' if find_spec('httptools') else 'h11'}"


def main(server: str, application: str) -> None:
    # What is logged is worked out and thrown away; nothing is, for good tokens.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(True)
    module, name = application.split(":")
    setting = Setting(**json.loads(sys.stdin.readline()))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    running: dict[str, Callable[[Make, socket.socket], None]] = {"uvicorn": _uvicorn, "gunicorn": _gunicorn}
    running[server](lambda: getattr(importlib.import_module(module), name)(setting), listener)


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through `sys.stdin`, whose lock a fork would take along
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _uvicorn(make: Make, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(make(), access_log=False, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def _gunicorn(make: Make, listener: socket.socket) -> None:
    base: Any = importlib.import_module("gunicorn.app.base")

    class Server(base.BaseApplication):  # type: ignore[misc] # untyped
        def load_config(self) -> None:
            settings = {"bind": f"fd://{listener.detach()}", "worker_class": "gthread", "threads": THREADS}
            for name, value in {**settings, "graceful_timeout": 1, "loglevel": "error"}.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return make()

    Server().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
