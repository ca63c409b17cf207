"""The introspection endpoint of one issuer: where it is, what it is asked, whether it is worth asking now. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import urlencode

from .._discovery import Discovery
from .._fetch import Answer, Fetch, FetchFailed, Queue, Request
from ..config import Issuer
from ..errors import Reason, Unavailable
from ..events import Event, IntrospectionFailed, IntrospectionRecovered
from ..introspection import Introspection
from .answer import JSON, SIGNED, Trouble, trouble_of
from .breaker import Breaker
from .client_auth import client_auth

FAILURES = 5  # in a row, until the endpoint is left alone
PAUSE_FIRST, PAUSE_MOST = 1.0, 30.0  # seconds
SEEK_AGAIN = 30.0  # seconds until the metadata is looked at again, while the last endpoint it named still serves
WAITING = 32  # requests in line, per call that may be under way


class Endpoint:
    """Where to ask an issuer.

    Args:
        issuer: whose it is.
        asked: how to ask.
        emit: told of what happens.
        random: a number from 0 to 1, so that a fleet does not come back in step.

    Attributes:
        url: empty as long as the issuer's metadata has not named it.
        queue: where calls stand in line.
        trouble: what was wrong with the last answer.
    """

    def __init__(
        self, issuer: Issuer, asked: Introspection, emit: Callable[[Event], None], random: Callable[[], float]
    ) -> None:
        self.url = asked.endpoint or ""
        # By endpoint: tenants may have one in common, and what it can bear does not grow with their number.
        self.queue = Queue(name=asked.endpoint or self, places=asked.in_flight, length=asked.in_flight * WAITING)
        self.trouble: Trouble | None = None
        self._issuer = issuer
        self._asked = asked
        self._emit = emit
        self._auth = client_auth(asked, issuer.url)
        self._breaker = Breaker(failures=FAILURES, pause_first=PAUSE_FIRST, pause_most=PAUSE_MOST, random=random)
        self._discovery = None if asked.endpoint is not None else Discovery(issuer)
        self._seek_at = -math.inf if asked.endpoint is None else math.inf  # when to look into the metadata again
        self._doubted_at = -math.inf

    def paused(self, tick: float) -> bool:
        """Whether it is left alone after failures."""
        return self._breaker.wait(tick) > 0

    def enter(self, tick: float) -> bool:
        """Whether a call may start now. Of one that may, `learn` is to be told."""
        return self._breaker.enter(tick)

    def seek(self, tick: float) -> Fetch | None:
        """What finds out where it is, if that is to be found out: one flight for all who wait for it."""
        if self._discovery is None or tick < self._seek_at:
            return None
        if self.url:
            self._seek_at = tick + SEEK_AGAIN
        discovery, asked = self._discovery, self._asked
        events: list[Event] = []

        def steps(tick: float) -> Generator[Request, Answer, None]:
            if not self._breaker.enter(tick):
                return
            try:
                self.url = yield from discovery.find("introspection_endpoint", tick)
            except FetchFailed as failure:
                self.url = ""
                self._breaker.failed(failure.at)
                self.tell(Trouble(str(failure), outage=True), failure.at, events)
            else:
                self._breaker.release(tick)
                lifetime = self._issuer.keys.metadata_lifetime
                self._seek_at = tick + (SEEK_AGAIN if discovery.trouble else lifetime)

        return Fetch(
            name=self,
            steps=steps,
            landed=lambda: self.emit_all(events),
            patience=asked.patience,
            limit=asked.patience + 4 * asked.total_timeout,
        )

    def request(self, text: bytes, now: float) -> Request:
        """The question about a token (RFC 7662 s2.1)."""
        asked = self._asked
        members, authorization = self._auth(now)
        # Without the hint some servers look among their refresh tokens too, and call one of those active.
        form = {"token": text.decode("ascii"), "token_type_hint": "access_token", **members}
        return Request(
            url=self.url,
            accept=SIGNED if asked.signed_response else JSON,
            form=urlencode(form).encode("ascii"),
            authorization=authorization,
            connect_timeout=asked.connect_timeout,
            total_timeout=asked.total_timeout,
            max_bytes=asked.max_bytes,
        )

    def learn(self, answer: Answer, events: list[Event]) -> None:
        """What an answer says of the endpoint itself."""
        trouble = self.trouble = trouble_of(answer)
        gone = answer.status in (404, 410) and answer.at >= self._doubted_at + SEEK_AGAIN
        if gone and self._discovery is not None:  # the endpoint may have moved
            self._discovery.forget()
            self._doubted_at = self._seek_at = answer.at
        if trouble is not None and trouble.outage:
            self._breaker.failed(answer.at)
        elif self._breaker.succeeded():
            events.append(IntrospectionRecovered(issuer=self._issuer.url))

    def tell(self, trouble: Trouble, tick: float, events: list[Event]) -> None:
        """Note what is wrong, for the operator."""
        self.trouble = trouble
        events.append(
            IntrospectionFailed(
                issuer=self._issuer.url,
                trouble=trouble.text,
                credentials=trouble.credentials,
                pause=self._breaker.wait(tick),
            )
        )

    def emit_all(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)

    def unavailable(self, trouble: Trouble, tick: float) -> Unavailable:
        """The refusal of a request that cannot be judged because of this."""
        reason = Reason.INTROSPECTION_CREDENTIALS_REJECTED if trouble.credentials else Reason.INTROSPECTION_UNAVAILABLE
        wait = max(1.0, self._breaker.wait(tick), min(trouble.retry_after, PAUSE_MOST))
        refused = Unavailable(reason, trouble.text, retry_after=math.ceil(wait))
        refused.issuer = self._issuer.url
        return refused

    def health(self, tick: float) -> dict[str, Any]:
        """State and last error, as plain data."""
        wait = self._breaker.wait(tick)
        state = "paused" if wait or self._breaker.open else "ready"
        return {"state": state, "next_try": wait, "last_error": None if self.trouble is None else self.trouble.text}

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        self._breaker.after_fork()
