"""django-oauth-toolkit as a server of its own; `dot_provider` starts it and says how it is driven.

Nothing of Django is imported before it runs, so that this module can be looked at where there is no Django.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

APPS = ("django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server:
    """Django behind wsgiref: one request at a time, all on one thread, whose alone the database in memory is."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._server: Any = None

    def start(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Set Django up, open the port."""
        application = _django(configuration)

        def counting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            self._counts[environ["PATH_INFO"]] += 1
            return application(environ, start_response)

        self._server = make_server("127.0.0.1", 0, counting, handler_class=_Quiet)
        issuer = f"http://127.0.0.1:{self._server.server_port}"
        reverse = import_module("django.urls").reverse
        names = {"token": "token", "introspection": "introspect", "revocation": "revoke-token"}
        endpoints = {f"{ours}_endpoint": issuer + reverse(f"oauth2_provider:{its}") for ours, its in names.items()}
        return {"issuer": issuer, **endpoints}

    def serve(self) -> None:
        """Answer requests until `stop`."""
        self._server.serve_forever(poll_interval=0.05)
        self._server.server_close()

    def stop(self) -> None:
        """End `serve`."""
        self._server.shutdown()

    def answer(self, command: str) -> Any:
        """Carry out one of the later commands."""
        match command:
            case "counts":
                return dict(self._counts)
            case "forget":
                self._counts.clear()
                return None
            case _:
                raise ValueError(f"no such command: {command}")


def _django(configuration: dict[str, Any]) -> Application:
    """Set Django up: the smallest project that has the toolkit, its tables, the clients."""
    conf = import_module("django.conf")
    conf.settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[*APPS],
        MIGRATION_MODULES=dict.fromkeys(app.rpartition(".")[2] for app in APPS),  # the tables as they are in the end
        OAUTH2_PROVIDER={
            "SCOPES": configuration["scopes"],
            "DEFAULT_SCOPES": [],
            "ACCESS_TOKEN_EXPIRE_SECONDS": configuration["token_lifetime"],
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # secrets are hashed; a good one is slow
        SECRET_KEY="for tests",
        USE_TZ=True,
    )
    import_module("django").setup()
    urls = import_module("django.urls")
    conf.settings.ROOT_URLCONF = (urls.path("", urls.include("oauth2_provider.urls")),)
    migrate = {"run_syncdb": True, "skip_checks": True, "interactive": False, "verbosity": 0}
    import_module("django.core.management").call_command("migrate", **migrate)
    model = import_module("oauth2_provider.models").get_application_model()
    for client in configuration["clients"]:
        model.objects.create(client_type="confidential", **client)
    import_module("django.contrib.auth").get_user_model().objects.create_user(**configuration["user"])
    application: Application = import_module("django.core.wsgi").get_wsgi_application()
    return application


def _say(number: int, **reply: Any) -> None:
    sys.stdout.write(json.dumps({"id": number, **reply}) + "\n")
    sys.stdout.flush()


def _obey(server: Server) -> None:
    try:
        for line in sys.stdin:
            said = json.loads(line)
            try:
                _say(said["id"], result=server.answer(said["command"]))
            except ValueError as error:
                _say(said["id"], error=str(error))
    finally:
        server.stop()


def main() -> None:
    """Serve until stdin closes: whoever started this is gone or done with it."""
    said = json.loads(sys.stdin.readline())
    server = Server()
    _say(said["id"], result=server.start(said))
    obeying = threading.Thread(target=_obey, args=[server], daemon=True)
    obeying.start()
    server.serve()
    obeying.join()


if __name__ == "__main__":
    main()
