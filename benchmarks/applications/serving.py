"""An application under uvicorn in a process of its own, seen from both ends: `serving` starts it, `main` is it."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from socket import create_server

from . import Setting

ROOT = Path(__file__).parents[2]
GRACE = 10  # seconds to end in


@contextmanager
def serving(application: str, setting: Setting) -> Iterator[int]:
    """Serve an application (`module:function`, called with the setting) on loopback, and yield its port.

    Connections to it wait until it is up. It ends with the context, and with this process however that ends: its
    standard input is then at its end.

    Raises:
        RuntimeError: it did not start; why stands on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.applications.serving", application],
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


def described() -> str:
    """The server as it runs here."""
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    return f"uvicorn, {loop} and {'httptools' if find_spec('httptools') else 'h11'}"


def main(application: str) -> None:
    import uvicorn

    # What is logged is worked out and thrown away; nothing is, for good tokens.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.captureWarnings(True)
    module, name = application.split(":")
    make: Callable[[Setting], Callable[..., object]] = getattr(importlib.import_module(module), name)
    app = make(Setting(**json.loads(sys.stdin.readline())))
    # One worker, and the loop and parser that `uvicorn[standard]` brings, where they are installed.
    config = uvicorn.Config(app, access_log=False, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    def end_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_parent, daemon=True).start()
    with create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
