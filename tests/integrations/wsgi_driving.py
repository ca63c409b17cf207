"""Driving WSGI applications without a server: environs made of exact bytes, and a server's side of PEP 3333."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.integrations.behaviour import ROUTES
from tests.integrations.conftest import Response
from tokenguard import InsufficientScope, MissingToken
from tokenguard.integrations.wsgi import Environ, StartResponse, WSGIApp


class Unread(io.BytesIO):
    """A body that nobody is to read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("somebody read the body")

    readline = readlines = __next__ = read  # type: ignore[assignment] # whatever it would return


def environ_of(
    path: str = "/any",
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    joint: str = ",",
    mount: str = "",
    raw: str | None = "RAW_URI",
    keys: Mapping[str, Any] | None = None,
    **more: Any,
) -> Environ:
    """The environ of a request as a server makes it: repeated fields joined, and the path decoded.

    Args:
        path: the request's target, mount included.
        joint: what a server writes between the values of repeated fields.
        raw: where this server puts the target as it was sent; None: nowhere.
        keys: more keys, or others; like `more`.
    """
    target, _, query = path.partition("?")
    decoded = unquote_to_bytes(target).decode("latin-1")
    assert decoded.startswith(mount)
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": decoded.removeprefix(mount),
        "QUERY_STRING": query,
        "SERVER_NAME": "api.example.com",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if raw is not None:
        environ[raw] = path
    for name, value in headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}{joint}{text}" if key.startswith("HTTP_") and key in environ else text
    return {**environ, **(keys or {}), **more}


class Exchange:
    """A server's side of one request: what it was told, as far as things went."""

    def __init__(self) -> None:
        self.started: tuple[str, list[tuple[str, str]]] | None = None
        self.sent: list[bytes] = []
        self.closed = 0

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        assert type(status) is str
        assert type(headers) is list
        assert self.started is None or exc_info is not None, "start_response a second time"
        if exc_info is not None and self.sent:
            raise exc_info[1]
        self.started = status, headers
        return self.sent.append

    def run(self, app: WSGIApp, environ: Environ) -> Response:
        """Serve a request."""
        body = app(environ, self.start_response)
        try:
            for chunk in body:
                assert self.started is not None
                assert type(chunk) is bytes
                self.sent.append(chunk)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                self.closed += 1
                close()
        assert self.started is not None
        status, headers = self.started
        found = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return Response(status=int(status[:3]), headers=found, body=b"".join(self.sent))


def serve(app: WSGIApp, environ: Environ) -> Response:
    """Send a request, read the response."""
    return Exchange().run(app, environ)


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The routes of the table, in plain WSGI: the public key in the environ is all that it knows of the middleware."""
    route = ROUTES[environ["PATH_INFO"]]
    token = environ["tokenguard.token"]
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
    body = b"anonymous" if token is None else token.subject.encode("ascii")
    body += environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]
