"""The only sockets of this library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from ._encoding import for_log
from ._fetch import Answer, Request


class HttpClient(Protocol):
    """What is used of an `httpx.Client` or `httpx2.Client`."""

    def build_request(self, method: str, url: str, *, headers: Any = ..., timeout: Any = ...) -> Any: ...
    def send(self, request: Any, *, stream: bool = ..., follow_redirects: Any = ...) -> Any: ...
    def close(self) -> None: ...


class Transport:
    """Sends requests; whatever goes wrong is an `Answer` too.

    A redirect is an answer like any other, never followed. Our own client takes no proxy and no password from the
    environment. One that the caller gave keeps its own settings, and is the caller's to close.
    """

    def __init__(self, client: HttpClient | None, monotonic: Callable[[], float]) -> None:
        self._given = client
        self._own: HttpClient | None = None
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._closed = False

    def send(self, request: Request) -> Answer:
        try:
            return self._send(request)
        except Exception as error:  # noqa: BLE001 - clients' transports, hooks and TLS raise what they like
            return self._trouble(f"{type(error).__name__} {for_log(str(error))}")

    def close(self) -> None:
        """Close our client, if there is one. Later requests get an answer that says so."""
        with self._lock:
            self._closed = True
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def after_fork(self) -> None:
        """In a child process: the parent's client and lock are not ours to touch."""
        self._lock = threading.Lock()
        self._own = None

    def _send(self, request: Request) -> Answer:
        client = self._client()
        if client is None:
            return self._trouble("the validator is closed")
        until = self._monotonic() + request.total_timeout
        connect, other = request.connect_timeout, request.total_timeout
        sent = client.build_request(
            "GET",
            request.url,
            # Compressed answers can grow a thousandfold while they are read: ask for none.
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=(connect, other, other, connect),
        )
        response = client.send(sent, stream=True, follow_redirects=False)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                return self._trouble("the answer is compressed, which was not asked for")
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > request.max_bytes:
                    return self._trouble(f"more than {request.max_bytes} bytes")
                if self._monotonic() > until:
                    return self._trouble(f"not done within {request.total_timeout} s")
            return Answer(at=self._monotonic(), status=response.status_code, body=bytes(body))
        finally:
            response.close()

    def _client(self) -> HttpClient | None:
        with self._lock:
            if self._closed:
                return None
            if self._given is not None:
                return self._given
            if self._own is None:
                import httpx  # 77 ms: only when something has to be fetched

                # Keys are fetched minutes apart: no connection is worth keeping open.
                limits = httpx.Limits(max_keepalive_connections=0)
                self._own = httpx.Client(trust_env=False, follow_redirects=False, limits=limits)
            return self._own

    def _trouble(self, text: str) -> Answer:
        return Answer(at=self._monotonic(), trouble=text)
