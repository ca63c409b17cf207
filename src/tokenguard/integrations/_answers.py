"""From a refusal to its answer: the status, the headers and the body, in bytes or in a framework's response."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ..errors import RequestRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal, ready to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes


# A refusal without one of these is answered without it.
_HELD: Final = ("Cache-Control", "Location", "Retry-After", "WWW-Authenticate")


def hold(headers: Any, refused: RequestRefused) -> None:
    """Whatever an error handler of the application made of a refusal: give its headers those of the refusal again."""
    for name in _HELD:
        if name in headers:
            del headers[name]
    for name, value in refused.headers.items():
        if name != "Content-Type":  # of the handler's body
            headers[name] = value


def members(refused: RequestRefused) -> dict[str, str]:
    """The body of the response to a refusal, for frameworks that render it themselves."""
    if refused.status == 503:
        return {"error": "temporarily_unavailable"}
    said = {"error": refused.error, "error_description": refused.description}
    return {name: value for name, value in said.items() if value is not None}


def answer(refused: RequestRefused, method: str | None = None) -> Answer:
    """The response to a refusal of a request with this method: the *Answers* table, in bytes."""
    body = json.dumps(members(refused)).encode("ascii")
    headers = {**refused.headers, "Content-Length": str(len(body))}
    return Answer(status=refused.status, headers=headers, body=b"" if method == "HEAD" else body)
