"""An HTTP server whose every thread and socket is known, so that it can be stopped whatever its clients do."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from ._answers import Request, Response
from ._body import BodyRefused, read_body
from ._faults import Episode, Fault
from ._wire import deliver, refuse

_STOP_WITHIN = 5.0  # seconds for all handlers together; they need milliseconds


class Site(Protocol):
    """What is served."""

    def arrived(self, request: Request) -> None:
        """Take note of a request."""

    def respond(self, request: Request) -> tuple[Response, Episode | None]:
        """The response, and the fault to deliver it with."""

    def interrupt(self) -> None:
        """End all waits of faults."""


def bind(port: int = 0) -> socket.socket:
    """A loopback socket that holds `port` (0: any free one) and refuses connections until somebody listens on it."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections that a stopped server has closed keep the port for a minute (TIME_WAIT).
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


class Handler(BaseHTTPRequestHandler):
    """One connection, of any number of requests. A new method needs its `do_` here, and a route in the site."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "LocalIssuer"
    sys_version = ""
    disable_nagle_algorithm = True  # headers and body are two writes: without it each answer may wait for an ACK

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        site = self.server.site
        try:
            body = read_body(self)
        except BodyRefused as refused:
            refuse(self, refused.status)
            return
        request = Request(method=self.command, path=self.path.partition("?")[0], headers=self.headers, body=body)
        site.arrived(request)
        response, episode = site.respond(request)
        # In this order (respond, look for the stop, wait), a stop between any two steps is seen: it interrupts last.
        while episode is not None and episode.fault is Fault.HANG and not self.server.stopping:
            episode.over.wait()
            response, episode = site.respond(request)
        if self.server.stopping:
            self.close_connection = True
            return
        deliver(self, response, episode)

    def do_POST(self) -> None:
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: tests read their own output."""


class Server(ThreadingHTTPServer):
    """Serves `site` on an already bound socket from `__init__` until `stop`."""

    daemon_threads = True  # for whoever forgets `stop`; it joins them all the same
    request_queue_size = 1024

    def __init__(self, site: Site, bound: socket.socket) -> None:
        super().__init__(bound.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()  # the base class made one of its own
        self.socket = bound
        self.site = site
        self.stopping = False
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._ended: list[threading.Thread] = []
        self.server_activate()
        # A short poll, since stopping waits for it where shutting a listener down does not wake select (not on Linux).
        self._acceptor = threading.Thread(target=self.serve_forever, args=(0.05,), name="LocalIssuer", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Refuse connections, cut those that are open, and leave no thread or socket."""
        self.stopping = True
        self.site.interrupt()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.shutdown()
        self._acceptor.join()
        self.server_close()
        with self._lock:
            for connection in self._open.values():
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            threads = [*self._open, *self._ended]
        deadline = time.monotonic() + _STOP_WITHIN
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection."""
        thread = threading.Thread(target=self._handle, args=(request, client_address), daemon=True)
        with self._lock:
            thread.start()
            self._open[thread] = request
            ended, self._ended = self._ended, []
        for other in ended:
            other.join()

    def _handle(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                thread = threading.current_thread()
                del self._open[thread]
                self._ended.append(thread)

    def shutdown_request(self, request: Any) -> None:
        """Close without the half-close of the base class, which would send FIN ahead of a reset."""
        with self._lock:  # `stop` must not be about to shut a socket down whose number is just given to another
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet about clients that go away, which is their right; loud about a mistake, such as metadata not JSON."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
