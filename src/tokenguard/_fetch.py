"""What the core needs from outside, and what came of it, as values.

The core does no I/O. On a miss it returns a `Fetch`: the name of a job (one flight at a time per name) and its steps, a
generator that yields each `Request` and is sent the `Answer`. The steps feed the store they belong to; they return
nothing and raise nothing, so whoever waited asks the core again and gets a verdict, or an exception, of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._freshness import retry_after
from ._json import json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP GET. Times are in seconds; `total_timeout` bounds all of it, `max_bytes` the body.

    `known`: what an earlier answer of this address said of its version, for it to be confirmed by a 304.
    """

    url: str
    known: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float
    total_timeout: float
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a `Request`, and when (monotonic seconds). Names of headers are in lower case.

    `trouble` says why there is no usable answer at all (connect failure, timeout, too large); then `status` is 0.
    """

    at: float
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    trouble: str | None = None


Steps = Generator[Request, Answer, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A job for the shell: run `steps(now)` to its end, unless one of the same `name` is under way; then wait for that.

    Args:
        name: of the job.
        steps: what to do.
        landed: to be called when it is done and nobody waits any more, to tell of it.
        patience: how many seconds a request may wait.
        limit: after how many seconds one that is still under way counts as lost, and another may start.
    """

    name: Hashable
    steps: Callable[[float], Steps]
    landed: Callable[[], None]
    patience: float
    limit: float


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
