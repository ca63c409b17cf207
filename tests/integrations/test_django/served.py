"""The table's project under a real server, in a process of its own: `python -m ...served SERVER APPLICATION FD`.

The listening socket is inherited, so whoever started this may connect at once. It ends when its standard input does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any

from django.test import override_settings

from tests.integrations.test_django import project

LIMIT = 65_536  # bytes of a header field: the table has one of 20 KB


def main(server: str, application: str, fd: int) -> None:
    """Serve until told to end."""
    project.configure()
    if application == "rest_framework":
        settings = project.settings_of_rest_framework()
    else:
        settings = project.settings_of_the_table(application, asynchronous=server != "gunicorn")
    override_settings(**settings).enable()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    {"gunicorn": _gunicorn, "uvicorn": _uvicorn, "daphne": _daphne}[server](fd)


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _gunicorn(fd: int) -> None:
    from django.core.wsgi import get_wsgi_application

    base: Any = import_module("gunicorn.app.base").BaseApplication

    class Application(base):
        def load_config(self) -> None:
            self.cfg.set("bind", f"fd://{fd}")
            self.cfg.set("worker_class", "gthread")  # which keeps connections
            self.cfg.set("limit_request_field_size", LIMIT)
            self.cfg.set("loglevel", "error")

        def load(self) -> Any:
            return get_wsgi_application()

    Application().run()


def _uvicorn(fd: int) -> None:
    import uvicorn
    from django.core.asgi import get_asgi_application

    config = uvicorn.Config(
        get_asgi_application(),
        http="h11",
        lifespan="off",
        log_config=None,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=LIMIT,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


def _daphne(fd: int) -> None:
    server = import_module("daphne.server")  # installs Twisted's reactor
    from django.core.asgi import get_asgi_application

    server.Server(get_asgi_application(), endpoints=[f"fd:fileno={fd}"], server_name="").run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
