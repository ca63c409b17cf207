"""The table's project under a real server: functions that make its WSGI applications, and ASGI servers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.test import override_settings

from tests.integrations.test_django import project
from tests.integrations.wsgi_server import LIMIT, Application, listen, when_told


def required() -> Application:
    return _wsgi("required")


def optional() -> Application:
    return _wsgi("optional")


def rest_framework() -> Application:
    return _wsgi("rest_framework")


def _wsgi(name: str) -> Application:
    _configure(name, asynchronous=False)
    from django.core.wsgi import get_wsgi_application

    application: Application = get_wsgi_application()
    return application


def _configure(name: str, *, asynchronous: bool) -> None:
    project.configure()
    if name == "rest_framework":
        settings = project.settings_of_rest_framework()
    else:
        settings = project.settings_of_the_table(name, asynchronous=asynchronous)
    override_settings(**settings).enable()


def main(server: str, made_by: str) -> None:
    """Serve an ASGI application until told to end."""
    _configure(made_by.rpartition(":")[2], asynchronous=True)
    when_told(lambda: os.kill(os.getpid(), signal.SIGTERM))
    running: dict[str, Callable[[], None]] = {"uvicorn": _uvicorn, "daphne": _daphne}
    running[server]()


def _uvicorn() -> None:
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
    uvicorn.Server(config).run(sockets=[listen()])


def _daphne() -> None:
    server: Any = import_module("daphne.server")  # installs Twisted's reactor
    from django.core.asgi import get_asgi_application

    with listen() as listener:
        endpoints = [f"fd:fileno={listener.fileno()}"]
        server.Server(get_asgi_application(), endpoints=endpoints, server_name="").run()


if __name__ == "__main__":
    main(*sys.argv[1:])
