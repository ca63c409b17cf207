"""An outside world for fetches: answers by URL, without sockets or time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenguard._fetch import Answer, Fetch

Reply = Answer | int | str | bytes | Mapping[str, Any]
"""What an address answers: JSON, a body, a status, or a trouble in words."""


class World:
    """Answers requests as it was told, and remembers them."""

    def __init__(self, **_: object) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[str] = []
        self.tick = 0.0
        self.takes = 0.0
        """Seconds that pass with each request."""

    def run(self, fetch: Fetch) -> None:
        """Run a fetch to its end."""
        steps = fetch.steps(self.tick)
        try:
            request = next(steps)
            while True:
                self.asked.append(request.url)
                self.tick += self.takes
                request = steps.send(self.answer(request.url))
        except StopIteration:
            pass

    def answer(self, url: str) -> Answer:
        reply = self.replies.get(url, 404)
        if isinstance(reply, Answer):
            return reply
        if isinstance(reply, int):
            return Answer(at=self.tick, status=reply)
        if isinstance(reply, str):
            return Answer(at=self.tick, trouble=reply)
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return Answer(at=self.tick, status=200, body=body)
