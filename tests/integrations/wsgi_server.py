"""WSGI applications behind a server in a process of its own, seen from both ends: `serving` starts it, `main` is it.

The child has all applications of the table, told apart by the Host that is asked for, or others that a function makes.
It prints its port when it can be connected to, and ends when its standard input does, so that it cannot outlive whoever
started it.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - werkzeug's; found for the first time in one of granian's threads, it may be unknown
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
GRACE = 60  # seconds to start and to end in; nothing that passes waits for it
LIMIT = 65_535  # bytes of a header: the table has one of 20 KB
UWSGI = Path(sysconfig.get_path("scripts")) / "uwsgi"

SERVERS: dict[str, tuple[str, ...]] = {
    "gunicorn-sync": ("gunicorn",),
    "gunicorn-gthread": ("gunicorn",),
    "gunicorn-gevent": ("gunicorn", "gevent"),
    "waitress": ("waitress",),
    "uwsgi": ("pyuwsgi",),
    "granian": ("granian",),
    "werkzeug": ("werkzeug",),
    "wsgiref": (),
}
"""Each server, and the packages that it is made of."""


APPLICATIONS = f"{__spec__.name}:by_host"


@contextmanager
def serving(server: str, made_by: str = APPLICATIONS, *, child: str = __spec__.name) -> Iterator[int]:
    """Serve an application (`module:function`, called without arguments) on loopback, and yield the port.

    Args:
        child: the module that serves.

    Raises:
        RuntimeError: it did not start; why stands on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", child, server, made_by],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # wsgiref has the whole environment in each request's.
        env={name: value for name, value in os.environ.items() if not name.startswith("TOKENGUARD_")},
        start_new_session=True,  # a Ctrl-C is for us, and we end it
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
        if sys.platform != "win32":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, should it have left that behind


# The child. It imports the applications late: gevent patches a worker before anything else is in it.

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def by_host() -> Application:
    """The applications of the table."""
    from tests.integrations.behaviour import PUBLIC, make_validator
    from tests.integrations.flask_apps import applications as flask_applications
    from tests.integrations.wsgi_driving import application as table
    from tokenguard.integrations.wsgi import TokenGuardMiddleware

    flask = flask_applications()
    applications: dict[str, Application] = {
        "wsgi-required": TokenGuardMiddleware(table, make_validator(), public=PUBLIC),
        "wsgi-optional": TokenGuardMiddleware(table, make_validator(), required=False),
        "wsgi-odd": TokenGuardMiddleware(odd, make_validator()),
        "wsgi-path": TokenGuardMiddleware(path, make_validator(), public=PUBLIC),
        "flask-required": flask["required"],
        "flask-optional": flask["optional"],
    }
    return lambda environ, start_response: applications[environ["HTTP_HOST"]](environ, start_response)


def odd(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers in the ways that PEP 3333 allows besides."""
    import io

    from tokenguard import AccessDenied
    from tokenguard.integrations.wsgi import get_token

    def begun() -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        raise AccessDenied

    def generator() -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/refusing":
            raise AccessDenied
        subject = (get_token(environ).subject or "").encode("ascii")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(2 * len(subject)))])
        yield subject
        yield subject

    def keys() -> list[bytes]:
        body = "\n".join(sorted(key for key in environ if "TOKEN" in key.upper())).encode("latin-1")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    def file() -> Any:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        wrapper = environ.get("wsgi.file_wrapper", lambda file, size: iter(lambda: file.read(size), b""))
        return wrapper(io.BytesIO(b"file"), 2)

    ways: dict[str, Callable[[], Iterable[bytes]]] = {"/begun": begun, "/file": file, "/keys": keys}
    return ways.get(environ["PATH_INFO"], generator)()


def path(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says where it was asked for."""
    body: bytes = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def main(server: str, made_by: str) -> None:
    """Serve until told to end."""
    kind, _, variant = server.partition("-")
    running: dict[str, Callable[[str, str], None]] = {
        "gunicorn": _gunicorn,
        "waitress": _waitress,
        "werkzeug": _werkzeug,
        "wsgiref": _wsgiref,
        "granian": _granian,
        "uwsgi": _uwsgi,
    }
    running[kind](made_by, variant)


def _made(by: str) -> Application:
    module, _, name = by.partition(":")
    application: Application = getattr(import_module(module), name)()
    return application


def listen() -> socket.socket:
    """A socket that connections may wait at from now on."""
    listener = socket.create_server(("127.0.0.1", 0))
    _say_port(listener)
    return listener


def _say_port(bound: socket.socket) -> None:
    sys.stdout.write(f"{bound.getsockname()[1]}\n")
    sys.stdout.flush()


def when_told(end: Callable[[], object]) -> None:
    """Call `end` when standard input is at its end."""

    def wait() -> None:
        while os.read(0, 1):  # not through `sys.stdin`, whose lock a fork would take along
            pass
        end()

    threading.Thread(target=wait, daemon=True).start()


def _gunicorn(made_by: str, worker: str) -> None:
    base: Any = import_module("gunicorn.app.base")

    class Server(base.BaseApplication):  # type: ignore[misc] # untyped
        def load_config(self) -> None:
            settings = {"bind": f"fd://{listen().detach()}", "worker_class": worker, "threads": 4}
            for name, value in {**settings, "limit_request_field_size": LIMIT, "loglevel": "critical"}.items():
                self.cfg.set(name, value if worker != "sync" or name != "threads" else 1)
            self.cfg.set("graceful_timeout", 1)

        def load(self) -> Application:
            return _made(made_by)

    when_told(lambda: os.kill(os.getpid(), signal.SIGTERM))
    Server().run()


def _waitress(made_by: str, _: str) -> None:
    waitress: Any = import_module("waitress")
    server = waitress.create_server(_made(made_by), sockets=[listen()])
    when_told(lambda: os._exit(0))
    server.run()


def _werkzeug(made_by: str, _: str) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            pass

        def version_string(self) -> str:
            return "werkzeug"  # without that of Python

    listener = listen()
    host, port = listener.getsockname()
    application = _made(made_by)
    server = make_server(host, port, application, threaded=True, request_handler=Quiet, fd=listener.fileno())
    when_told(server.shutdown)
    server.serve_forever(poll_interval=0.05)


def _wsgiref(made_by: str, _: str) -> None:
    from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

    ServerHandler.server_software = "wsgiref"  # without the version of Python

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = WSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(_made(made_by))
    _say_port(server.socket)
    when_told(server.shutdown)
    server.serve_forever(poll_interval=0.05)


def _granian(made_by: str, _: str) -> None:
    # It binds for itself, and neither takes a socket nor says its port: this one keeps a port for it.
    kept = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        kept.setsockopt(socket.SOL_SOCKET, option, 1)
    kept.bind(("127.0.0.1", 0))
    granian: Any = import_module("granian")
    port = kept.getsockname()[1]
    server = granian.Granian(made_by, port=port, interface="wsgi", factory=True, log_enabled=False)

    def say_port_when_it_serves() -> None:
        until = time.monotonic() + GRACE
        while time.monotonic() < until:
            with suppress(OSError), closing(socket.create_connection(kept.getsockname())):
                _say_port(kept)
                return
            time.sleep(0.01)  # it does not say when it has begun to listen
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=say_port_when_it_serves, daemon=True).start()
    when_told(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with kept:
        server.serve()


def _uwsgi(made_by: str, _: str) -> None:
    listener = listen()
    process = subprocess.Popen(
        [
            *(str(UWSGI), f"--http-socket=fd://{listener.fileno()}", f"--module={made_by}()"),
            *("--master", "--die-on-term", "--need-app", "--enable-threads", "--threads=4", f"--buffer-size={LIMIT}"),
            *("--disable-logging", "--logto=/dev/null", f"--pythonpath={ROOT}", f"--virtualenv={sys.prefix}"),
        ],
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    listener.close()
    when_told(process.terminate)
    process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
