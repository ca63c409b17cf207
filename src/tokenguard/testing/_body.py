"""The body of a request, read to its end, so that the next request on the connection begins where it should."""

from __future__ import annotations

import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

LIMIT = 65_536  # bytes: many times the largest token that anybody sends

_LENGTH = re.compile(r"[0-9]{1,18}")


class BodyRefused(Exception):
    """A body that is not read: too long, or of a length that is not said. The connection ends with it."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def read_body(handler: BaseHTTPRequestHandler) -> bytes:
    """The body, empty for want of a `Content-Length`.

    Raises:
        BodyRefused: longer than `LIMIT`, in chunks, or with a length that is none.
        ConnectionError: the client went away in the middle of it.
    """
    if "Transfer-Encoding" in handler.headers:
        raise BodyRefused(HTTPStatus.LENGTH_REQUIRED)
    lengths = [value.strip() for value in handler.headers.get_all("Content-Length", ["0"])]
    # Two lengths, even equal ones, are how requests are smuggled (RFC 9112 s6.3).
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise BodyRefused(HTTPStatus.BAD_REQUEST)
    length = int(lengths[0])
    if length > LIMIT:
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = handler.rfile.read(length)
    if len(body) < length:
        raise ConnectionError("the client went away in the middle of its request")
    return body
