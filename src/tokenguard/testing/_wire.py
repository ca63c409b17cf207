"""Responses as bytes on a socket, and the faults that are made there."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import chain, cycle

from ._answers import Response
from ._faults import Episode, Fault

_PACE = 0.05  # seconds from byte to byte: well within any read timeout, which is why such timeouts do not help
_HUGE = 200_000_000  # bytes
_LINGER = 65_536  # bytes at a time
_SPACES = b" " * 100_000


def deliver(handler: BaseHTTPRequestHandler, response: Response, episode: Episode | None) -> None:
    """Send `response` in the manner of `episode`.

    Raises:
        OSError: the client has gone.
    """
    if episode is None:
        _send(handler, response)
        return
    match episode.fault:
        case Fault.RESET:
            _reset(handler)
        case Fault.DRIP_HEADERS:
            _drip(handler, chain(b"HTTP/1.1 200 OK\r\nX-Padding: ", cycle(b"x")), episode)
        case Fault.DRIP_BODY:
            _head(handler, response, "Content-Length", str(len(response.body)))
            _drip(handler, response.body, episode)
        case Fault.TRUNCATED:
            _head(handler, response, "Content-Length", str(len(response.body) + 1000))
            handler.wfile.write(response.body)
            handler.close_connection = True
        case Fault.HUGE:
            _huge(handler, response, episode)
        case _:
            _send(handler, response)


def refuse(handler: BaseHTTPRequestHandler, status: HTTPStatus) -> None:
    """Answer a request whose body is not going to be read, and end the connection.

    Raises:
        OSError: the client has gone.
    """
    headers = {"Content-Type": "application/json", "Connection": "close"}
    _send(handler, Response(status=status, headers=headers, body=b'{"error": "invalid_request"}'))
    # To close with something left to read resets the connection, which can take the answer away again before the
    # client has it (RFC 9112 s9.6). A client that never ends is no matter: nothing is kept, and `stop` cuts it off.
    handler.connection.shutdown(socket.SHUT_WR)
    while handler.rfile.read1(_LINGER):
        pass


def _head(handler: BaseHTTPRequestHandler, response: Response, framing: str, value: str) -> None:
    handler.send_response(response.status)
    for name, content in response.headers.items():
        handler.send_header(name, content)
    handler.send_header(framing, value)
    handler.end_headers()


def _send(handler: BaseHTTPRequestHandler, response: Response) -> None:
    _head(handler, response, "Content-Length", str(len(response.body)))
    handler.wfile.write(response.body)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    # To linger for no time at all means RST in place of FIN when the server now closes the connection.
    no_time = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
    handler.close_connection = True


def _drip(handler: BaseHTTPRequestHandler, data: Iterable[int], episode: Episode) -> None:
    for byte in data:
        if episode.over.wait(_PACE):
            handler.close_connection = True
            return
        handler.wfile.write(bytes((byte,)))


def _huge(handler: BaseHTTPRequestHandler, response: Response, episode: Episode) -> None:
    # Spaces after the opening brace: whoever reads to the end gets the right document, and has to hold all of it.
    opening, rest = response.body[:1], response.body[1:]
    _head(handler, response, "Transfer-Encoding", "chunked")
    _chunk(handler, opening)
    for _ in range(_HUGE // len(_SPACES)):
        if episode.over.is_set():
            handler.close_connection = True
            return
        _chunk(handler, _SPACES)
    _chunk(handler, rest)
    _chunk(handler, b"")


def _chunk(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
