"""What is asked and what is answered, as values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in: the path without its query, and the headers, whose names match in any case."""

    path: str
    headers: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint means to say: a JSON object, still open to be spoiled."""

    document: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What goes out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Endpoint: TypeAlias = Callable[[Request], Answer]


def render(answer: Answer, request: Request) -> Response:
    """Write `answer` as JSON; as 304 without a body where the client has it already (RFC 9110 s13.1.2)."""
    body = json.dumps(answer.document).encode("ascii")
    headers = {"Content-Type": "application/json", **answer.headers}
    if not answer.etag:
        return Response(status=answer.status, headers=headers, body=body)
    headers["ETag"] = etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if known & {etag, "*"}:
        return Response(status=304, headers=headers, body=b"")
    return Response(status=answer.status, headers=headers, body=body)
