"""What the core needs from outside, and what came of it, as values.

The core does no I/O. On a miss it returns a `Miss`, with a `Fetch`: the name of a job (one flight at a time per name)
and its steps, a generator that yields each `Request` and is sent the `Answer`. The steps feed the store they belong to,
or return an answer for all who waited. They raise nothing: whoever waited resumes, and gets a verdict, or an exception,
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ._freshness import retry_after
from ._json import json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP GET, or with a `form` a POST.

    Times are in seconds; `total_timeout` bounds all of it, `max_bytes` the answer's body.

    `known`: what an earlier answer of this address said of its version, for it to be confirmed by a 304.
    `form`: application/x-www-form-urlencoded. It holds a token, and `authorization` a secret: neither is shown.
    """

    url: str
    known: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    form: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)
    connect_timeout: float
    total_timeout: float
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a `Request`, and when (monotonic seconds). Names of headers are in lower case.

    `trouble` says why it is of no use. `status` is 0 where none came: connect failure, timeout.
    """

    at: float
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    trouble: str | None = None


Steps = Generator[Request, Answer, Answer | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A job for the shell: run `steps(now)` to its end, unless one of the same `name` is under way; then wait for that.

    Args:
        name: of the job.
        steps: what to do.
        landed: to be called when it is done and nobody waits any more, to tell of it.
        patience: how many seconds a request may wait.
        limit: after how many seconds one that is still under way counts as lost, and another may start.
        queue: where it stands in line with others for one of a few places; None: it has a place of its own.
    """

    name: Hashable
    steps: Callable[[float], Steps]
    landed: Callable[[], None]
    patience: float
    limit: float
    queue: Queue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """At most `places` jobs of this name at a time; at most `length` more wait for a place."""

    name: Hashable
    places: int
    length: int


V = TypeVar("V")
W = TypeVar("W")


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss(Generic[V]):
    """No decision yet: `fetch` first, then `resume(answer, now, tick)`. What was found before is not worked out again.

    The answer is what the fetch's steps returned; None where they return none, or did not in time.
    """

    fetch: Fetch
    resume: Callable[[Answer | None, float, float], V | Miss[V]]

    def then(self, do: Callable[[V, float, float], W | Miss[W]]) -> Miss[W]:
        """The same, and once there is a decision, `do(decision, now, tick)`."""

        def resume(answer: Answer | None, now: float, tick: float) -> W | Miss[W]:
            outcome = self.resume(answer, now, tick)
            return outcome.then(do) if isinstance(outcome, Miss) else do(outcome, now, tick)

        return Miss(fetch=self.fetch, resume=resume)


_COME_BACK = (408, 425, 429)  # not "not here", but "not now"


class FetchFailed(Exception):
    """Within the steps: this fetch yields nothing usable. The text is for the log.

    `elsewhere`: the address is of no use, yet another one may be (a 4xx, a body that is no such document).
    `impostor`: it answered for somebody else; nothing that it said before is any excuse.
    `retry_after`: seconds that the server asks to wait.
    """

    def __init__(
        self, text: str, *, at: float, elsewhere: bool = False, impostor: bool = False, retry_after: float = 0.0
    ) -> None:
        super().__init__(text)
        self.at = at
        self.elsewhere = elsewhere
        self.impostor = impostor
        self.retry_after = retry_after


def shortened(url: str) -> str:
    """A URL for a log line: an issuer's metadata may name one of any length."""
    return url if len(url) <= 128 else f"{url[:125]}..."


def get_json(request: Request) -> Generator[Request, Answer, tuple[dict[str, Any] | None, Answer]]:
    """Get a JSON object, whatever its Content-Type: many servers send a wrong one. None: what is known still holds."""
    answer = yield request
    url = shortened(request.url)
    if answer.trouble is not None:
        raise FetchFailed(f"{url}: {answer.trouble}", at=answer.at)
    if answer.status == 304 and request.known:
        return None, answer
    if answer.status != 200:
        raise FetchFailed(
            f"{url}: status {answer.status}",
            at=answer.at,
            elsewhere=300 <= answer.status < 500 and answer.status not in _COME_BACK,
            retry_after=retry_after(answer.headers),
        )
    try:
        return json_object(answer.body), answer
    except ValueError:
        pass
    raise FetchFailed(f"{url}: the body is no JSON object", at=answer.at, elsewhere=True)
