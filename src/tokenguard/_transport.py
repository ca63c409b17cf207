"""The only sockets of this library."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, Self

from ._fetch import Answer, Request
from ._text import for_log

MOST_IDLE = 64  # connections kept at a time, whomever they lead to
IDLE = 15.0  # seconds for which a connection is kept for the next one; many servers close theirs after 60, some after 5


class HttpClient(Protocol):
    """What is used of an `httpx.Client` or `httpx2.Client`."""

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: Any = ...,
        headers: Any = ...,
        timeout: Any = ...,
        extensions: Any = ...,
    ) -> Any: ...
    def send(self, request: Any, *, stream: bool = ..., follow_redirects: Any = ...) -> Any: ...
    def close(self) -> None: ...


class Transport:
    """Sends requests; whatever goes wrong is an `Answer` too.

    A redirect is an answer like any other, never followed. Our own clients take no proxy and no password from the
    environment. One that the caller gave keeps its own settings, and is the caller's to close.
    """

    def __init__(self, client: HttpClient | None, monotonic: Callable[[], float]) -> None:
        self._given = client
        self._idle: deque[_Idle] = deque()  # the latest comes last
        self._tls: Any = None
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._under_way: set[_Deadline] = set()
        self._closed = False

    def send(self, request: Request) -> Answer:
        deadline = self._take(request)
        if deadline is None:
            return self._trouble("the validator is closed")
        line = deadline.line
        try:
            with deadline:
                answer = self._exchange(line, request, deadline)
        except Exception as error:  # noqa: BLE001 - clients' transports, hooks and TLS raise what they like
            answer = self._trouble(_told(error, request))
        finally:
            self._under_way.discard(deadline)
        if line.client is not self._given:
            self._give_back(line, request, reusable=answer.trouble is None and not deadline.passed())
        return self._trouble(f"not done within {request.total_timeout} s") if deadline.passed() else answer

    def close(self) -> None:
        """Cut off what is under way and close our clients, if there are any. Later requests are told so."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for deadline in tuple(self._under_way):
            deadline.end()
        for each in idle:
            each.line.client.close()

    def after_fork(self) -> None:
        """In a child process: the parent's clients and lock are not ours to touch."""
        self._lock = threading.Lock()
        self._under_way = set()
        self._idle = deque()

    def _exchange(self, line: _Line, request: Request, deadline: _Deadline) -> Answer:
        connect, other = request.connect_timeout, request.total_timeout
        # Compressed answers can grow a thousandfold while they are read: ask for none.
        headers = {"Accept": request.accept, "Accept-Encoding": "identity", **request.known}
        if request.form is None:
            headers["Connection"] = "close"
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if request.authorization is not None:
            headers["Authorization"] = request.authorization
        sent = line.client.build_request(
            "GET" if request.form is None else "POST",
            request.url,
            content=request.form,
            headers=headers,
            timeout=(connect, other, other, connect),
            extensions={"trace": line.trace},
        )
        try:
            response = line.client.send(sent, stream=True, follow_redirects=False)
        except Exception:
            # A server may close a kept connection at the very moment we write to it. To ask about a token changes
            # nothing: once more, on a new one.
            if not line.kept or deadline.passed():
                raise
            response = line.client.send(sent, stream=True, follow_redirects=False)
        try:
            return self._read(response, request, deadline)
        finally:
            response.close()

    def _read(self, response: Any, request: Request, deadline: _Deadline) -> Answer:
        status = response.status_code
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return self._trouble("the answer is compressed, which was not asked for", status)
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > request.max_bytes:
                return self._trouble(f"more than {request.max_bytes} bytes", status)
            if deadline.passed():
                break
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(at=self._monotonic(), status=status, headers=headers, body=bytes(body))

    def _take(self, request: Request) -> _Deadline | None:
        """A connection, and by when its use is over; None once we are closed, which cuts what was taken before."""
        with self._lock:
            if self._closed:
                return None
            deadline = _Deadline(request.total_timeout, self._line(request))
            self._under_way.add(deadline)
            return deadline

    def _line(self, request: Request) -> _Line:
        if self._given is not None:
            return _Line(self._given)
        self._close_idle(MOST_IDLE)
        for each in reversed(self._idle if request.form is not None else ()):
            if each.url == request.url:
                self._idle.remove(each)
                each.line.kept = True
                return each.line
        if self._tls is None:
            import httpx  # 77 ms: only when something has to be fetched

            self._tls = httpx.create_ssl_context(trust_env=False)
        return _Line(_own_client(self._tls))

    def _give_back(self, line: _Line, request: Request, *, reusable: bool) -> None:
        """Keep a connection for the next one who asks about a token. Keys are fetched minutes apart: not for them."""
        with self._lock:
            keep = request.form is not None and reusable and not self._closed
            self._close_idle(MOST_IDLE - keep)
            if keep:
                self._idle.append(_Idle(request.url, line, self._monotonic() + IDLE))
        if not keep:
            line.client.close()

    def _close_idle(self, most: int) -> None:
        """Close what has been idle for too long, and the oldest beyond so many. Under the lock.

        httpx itself would close one only when it is used again, which may be never. And those of an endpoint that
        nobody asks any more must not shut out another's.
        """
        tick = self._monotonic()
        while self._idle and (self._idle[0].until <= tick or len(self._idle) > most):
            self._idle.popleft().line.client.close()

    def _trouble(self, text: str, status: int = 0) -> Answer:
        return Answer(at=self._monotonic(), status=status, trouble=text)


def _told(error: Exception, request: Request) -> str:
    name = type(error).__name__
    # A line that is no HTTP is quoted by the error about it, and it may be our own question that came back.
    quotes = request.form is not None and name == "RemoteProtocolError"
    return name if quotes else f"{name} {for_log(str(error))}"


def _own_client(tls: Any) -> HttpClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    return httpx.Client(
        verify=tls,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE),
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
    )


class _Line:
    """A client, and the connections that it made, to be cut where they take too long.

    Each client of ours has one connection, for one request at a time. Of a given client, which serves many requests,
    each knows only the connections that it made itself.

    Attributes:
        kept: whether the connection in use served an earlier request.
    """

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.kept = False
        self._sockets: list[socket.socket] = []
        self._cut = False

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Called by httpx: take note of a connection as it is made, and again when it is wrapped in TLS."""
        if name == "connection.connect_tcp.started":
            self.kept = False
            self._sockets.clear()
        elif name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            connection = info["return_value"].get_extra_info("socket")
            if isinstance(connection, socket.socket):  # a given client may speak through something else
                self._sockets.append(connection)
            if self._cut:
                self.cut()

    def cut(self) -> None:
        """Shut the connection down under its reader. It is of no use any more."""
        self._cut = True
        for connection in tuple(self._sockets):
            with suppress(OSError):  # closed meanwhile, or replaced by its TLS twin
                # Not SSLSocket's own: it takes TLS away first, and what its user writes at that moment goes out plain.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Idle(NamedTuple):
    """A connection that nobody uses: where it leads to, and until when (a tick) it is kept."""

    url: str
    line: _Line
    until: float


class _Deadline:
    """Bounds a whole exchange. httpx's timeouts start anew with each byte, and a server may send one at a time.

    Once it is over, the connection is cut; one whose TLS is being set up still has its connect timeout.
    """

    def __init__(self, seconds: float, line: _Line) -> None:
        self._over = False
        self._until = time.monotonic() + seconds
        self.line = line
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        with suppress(RuntimeError):  # no threads here: then httpx's timeouts, and a look after each chunk, have to do
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def passed(self) -> bool:
        """Whether it is over: by the clock too, should the timer not run."""
        return self._over or time.monotonic() > self._until

    def end(self) -> None:
        """It is over now."""
        self._over = True
        self.line.cut()
