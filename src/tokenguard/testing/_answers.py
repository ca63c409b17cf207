"""What is asked and what is answered, as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeAlias
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in. Its `repr` shows no header and no body, where secrets and tokens are.

    Attributes:
        method: `GET` or `POST`.
        path: without the query.
        headers: names match in any case; `get_all` gives repeated ones.
        body: the bytes; empty for want of any.
    """

    method: str = "GET"
    path: str
    headers: Message = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def form(self) -> list[tuple[str, str]]:
        """The body as a form, in its order, with what is repeated or empty; `dict` makes a mapping of it.

        Raises:
            ValueError: it is not UTF-8.

        >>> Request(method="POST", path="/introspect", headers=Message(), body=b"token=a%20b&hint=").form()
        [('token', 'a b'), ('hint', '')]
        """
        return parse_qsl(self.body.decode("utf-8"), keep_blank_values=True, errors="strict")


NO_STORE = {"Cache-Control": "no-store"}  # RFC 6749 s5.1; what introspection says is no less private


def to_json(document: object) -> bytes:
    """A JSON text in ASCII."""
    return json.dumps(document).encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint means to say: a JSON object, still open to be spoiled, and how it is to be written."""

    document: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: bool = False
    write: Callable[[Mapping[str, Any]], bytes] = to_json


class Refusal(Exception):
    """An endpoint's error answer, raised in place of an answer (RFC 6749 s5.2, which RFC 7662 s2.3 and RFC 7009 share).

    Args:
        error: the code.
        description: for whoever wrote the client, out of fixed words: never from the request.
        status: 401 with a challenge where credentials are wrong, or else 400.
        headers: beside those of every such answer.
    """

    def __init__(
        self, error: str, description: str | None = None, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        document = {"error": error} if description is None else {"error": error, "error_description": description}
        self.answer = Answer(document=document, status=status, headers={**NO_STORE, **(headers or {})})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What goes out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Endpoint: TypeAlias = Callable[[Request], Answer]


def render(answer: Answer, request: Request) -> Response:
    """Write `answer`; as 304 without a body where the client has it already (RFC 9110 s13.1.2)."""
    body = answer.write(answer.document)
    headers = {"Content-Type": "application/json", **answer.headers}
    if not answer.etag:
        return Response(status=answer.status, headers=headers, body=body)
    headers["ETag"] = etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if known & {etag, "*"}:
        return Response(status=304, headers=headers, body=b"")
    return Response(status=answer.status, headers=headers, body=body)
