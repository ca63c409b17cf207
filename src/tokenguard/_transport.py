"""The only sockets of this library."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self

from ._fetch import Answer, Request
from ._text import for_log


class HttpClient(Protocol):
    """What is used of an `httpx.Client` or `httpx2.Client`."""

    def build_request(
        self, method: str, url: str, *, headers: Any = ..., timeout: Any = ..., extensions: Any = ...
    ) -> Any: ...
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
        self._under_way: set[_Deadline] = set()
        self._closed = False

    def send(self, request: Request) -> Answer:
        client = self._client()
        if client is None:
            return self._trouble("the validator is closed")
        with _Deadline(request.total_timeout) as deadline:
            self._under_way.add(deadline)
            try:
                answer = self._exchange(client, request, deadline)
            except Exception as error:  # noqa: BLE001 - clients' transports, hooks and TLS raise what they like
                answer = self._trouble(f"{type(error).__name__} {for_log(str(error))}")
        self._under_way.discard(deadline)
        return self._trouble(f"not done within {request.total_timeout} s") if deadline.passed() else answer

    def close(self) -> None:
        """Cut off what is under way and close our client, if there is one. Later requests are told so."""
        with self._lock:
            self._closed = True
            own, self._own = self._own, None
        for deadline in tuple(self._under_way):
            deadline.end()
        if own is not None:
            own.close()

    def after_fork(self) -> None:
        """In a child process: the parent's client and lock are not ours to touch."""
        self._lock = threading.Lock()
        self._under_way = set()
        self._own = None

    def _exchange(self, client: HttpClient, request: Request, deadline: _Deadline) -> Answer:
        connect, other = request.connect_timeout, request.total_timeout
        # Compressed answers can grow a thousandfold while they are read: ask for none. And for a connection of its own,
        # so that the deadline can cut it.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
        sent = client.build_request(
            "GET",
            request.url,
            headers={**headers, **request.known},
            timeout=(connect, other, other, connect),
            extensions={"trace": deadline.trace},
        )
        response = client.send(sent, stream=True, follow_redirects=False)
        try:
            return self._read(response, request, deadline)
        finally:
            response.close()

    def _read(self, response: Any, request: Request, deadline: _Deadline) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":
            return self._trouble("the answer is compressed, which was not asked for")
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > request.max_bytes:
                return self._trouble(f"more than {request.max_bytes} bytes")
            if deadline.passed():
                break
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(at=self._monotonic(), status=response.status_code, headers=headers, body=bytes(body))

    def _client(self) -> HttpClient | None:
        with self._lock:
            if self._closed:
                return None
            if self._given is not None:
                return self._given
            if self._own is None:
                from http.cookiejar import CookieJar, DefaultCookiePolicy

                import httpx  # 77 ms: only when something has to be fetched

                # Keys are fetched minutes apart: no connection is worth keeping open.
                limits = httpx.Limits(max_keepalive_connections=0)
                no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
                self._own = httpx.Client(trust_env=False, follow_redirects=False, limits=limits, cookies=no_cookies)
            return self._own

    def _trouble(self, text: str) -> Answer:
        return Answer(at=self._monotonic(), trouble=text)


class _Deadline:
    """Bounds a whole exchange. httpx's timeouts start anew with each byte, and a server may send one at a time.

    Once it is over, the connection is shut down under the reader.
    """

    def __init__(self, seconds: float) -> None:
        self._over = False
        self._until = time.monotonic() + seconds
        self._connections: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        with suppress(RuntimeError):  # no threads here: then httpx's timeouts, and a look after each chunk, have to do
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Called by httpx: take note of the connection as it is made, and again when it is wrapped in TLS."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._connections.append(info["return_value"].get_extra_info("socket"))
            if self._over:
                self.end()

    def passed(self) -> bool:
        """Whether it is over: by the clock too, should the timer not run."""
        return self._over or time.monotonic() > self._until

    def end(self) -> None:
        """It is over now."""
        self._over = True
        for connection in self._connections:
            with suppress(OSError):  # closed meanwhile, or replaced by its TLS twin
                connection.shutdown(socket.SHUT_RDWR)
