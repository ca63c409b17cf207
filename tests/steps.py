"""An outside world for key stores: answers by URL, a clock, events; no sockets, no time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from tokenguard import Issuer
from tokenguard._fetch import Answer, Fetch, Request
from tokenguard._keys.jwk import Key
from tokenguard._keys.remote import RemoteKeys
from tokenguard.events import Event

Reply = Answer | int | str | bytes | Mapping[str, Any]
"""What an address answers: JSON, a body, a status, or a trouble in words."""


class World:
    """Answers requests as it was told, and remembers them."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.headers: dict[str, str] = {}
        self.requests: list[Request] = []
        self.events: list[Event] = []
        self.due: deque[Fetch] = deque()
        self.tick = 0.0
        self.takes = 0.0
        """Seconds that pass with each request."""
        self.chance = 0.0

    @property
    def asked(self) -> list[str]:
        return [request.url for request in self.requests]

    def store(self, issuer: Issuer) -> RemoteKeys:
        return RemoteKeys(issuer, self.due, self.events.append, lambda: self.chance)

    def get(self, keys: RemoteKeys, kid: str = "a", alg: str = "RS256") -> Key:
        """Look as a request does: fetch where that is asked for, and look again."""
        for attempt in range(3):
            found = keys.find(kid, alg, self.tick, attempt=attempt)
            if isinstance(found, Key):
                return found
            self.run(found)
        raise AssertionError("it never ends")

    def run_due(self) -> int:
        """Run what was left for the background; how much that was."""
        count = 0
        while self.due:
            self.run(self.due.popleft())
            count += 1
        return count

    def run(self, fetch: Fetch) -> None:
        steps = fetch.steps(self.tick)
        try:
            request = next(steps)
            while True:
                self.requests.append(request)
                self.tick += self.takes
                request = steps.send(self.answer(request.url))
        except StopIteration:
            pass
        fetch.landed()

    def answer(self, url: str) -> Answer:
        reply = self.replies.get(url, 404)
        if isinstance(reply, Answer):
            return reply
        if isinstance(reply, str):
            return Answer(at=self.tick, trouble=reply)
        if isinstance(reply, int):
            return Answer(at=self.tick, status=reply, headers=self.headers)
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return Answer(at=self.tick, status=200, body=body, headers=self.headers)
