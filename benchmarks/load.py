"""Load on a server on loopback: wrk where it is installed, else a client of our own in a process of its own.

Both keep some connections busy, each with one request at a time, and go through a file of tokens in turn. An answer
that is not 200 is an error and no measurement: refusals are fast.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import cast

ROOT = Path(__file__).parents[1]
CONNECTIONS = 32


class LoadError(RuntimeError):
    """The server did not answer each request with 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked for, and with which tokens: a file with one in each line."""

    port: int
    path: str
    tokens: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run.

    Attributes:
        p50, p99: milliseconds from a request to its answer, with all connections busy. wrk's are its own: it makes up
            for requests that it would have sent while it waited.
        busy: how much of one core the client took; near 1 it was the limit, not the server.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    busy: float = 0.0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def generator() -> str:
    """Which client there is."""
    return "wrk" if shutil.which("wrk") else "our own client"


def run(target: Target, *, seconds: float, start: int = 0, with_wrk: bool | None = None) -> Outcome:
    """Load a server.

    Args:
        target: the server.
        seconds: how long; wrk knows whole ones alone.
        start: which token comes first.
        with_wrk: whether wrk does it; by default if it is installed.

    Raises:
        LoadError: an answer was not 200, or a connection broke.
    """
    before = _cpu_of_children()
    began = perf_counter()
    if with_wrk is None:
        with_wrk = shutil.which("wrk") is not None
    outcome = _run_wrk(target, seconds, start) if with_wrk else _run_ours(target, seconds, start)
    busy = (_cpu_of_children() - before) / (perf_counter() - began)
    return Outcome(**{**asdict(outcome), "busy": busy})


def _cpu_of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


# Requests are written beforehand; one thread, so that the tokens come in turn.
_SCRIPT = """
local requests, turn = {}, 0

function init(args)
  for token in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, { Host = wrk.headers.Host, Authorization = "Bearer " .. token })
  end
  turn = tonumber(args[2]) % #requests
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'outcome {"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def _run_wrk(target: Target, seconds: float, start: int) -> Outcome:
    with NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        command = [
            "wrk",
            "--threads=1",
            f"--connections={CONNECTIONS}",
            f"--duration={math.ceil(seconds)}s",
            "--latency",
        ]
        url = f"http://127.0.0.1:{target.port}{target.path}"
        finished = subprocess.run(
            [*command, f"--script={script.name}", url, "--", target.tokens, str(start)],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
        )
    if finished.returncode:
        raise LoadError(f"wrk failed: {finished.stderr or finished.stdout}")
    return parse_wrk(finished.stdout)


def parse_wrk(text: str) -> Outcome:
    """Read what our script has wrk say. It counts as refused what has a status of 400 or more.

    Raises:
        LoadError: it counted an error, or says nothing.
    """
    line = next((line for line in text.splitlines() if line.startswith("outcome ")), None)
    if line is None:
        raise LoadError(f"wrk says no outcome: {text!r}")
    said = json.loads(line.removeprefix("outcome "))
    _require_clean(said["refused"], said["broken"], said["requests"])
    return Outcome(
        requests=said["requests"], seconds=said["us"] / 1e6, p50=said["p50_us"] / 1e3, p99=said["p99_us"] / 1e3
    )


def _run_ours(target: Target, seconds: float, start: int) -> Outcome:
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps({**asdict(target), "seconds": seconds, "start": start}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=seconds + 60,
        cwd=ROOT,
    )
    if finished.returncode:
        raise LoadError("our client failed; why stands above")
    return Tally(**json.loads(finished.stdout)).outcome()


def _require_clean(refused: int, broken: int, requests: int) -> None:
    if refused or broken:
        raise LoadError(f"{refused} answers were not 200, and {broken} connections broke")
    if not requests:
        raise LoadError("not one answer came")


@dataclass(slots=True, kw_only=True)
class Tally:
    """What our client counted; times in milliseconds, of good answers."""

    seconds: float
    took: list[float]
    refused: int
    broken: int

    def outcome(self) -> Outcome:
        """What that makes.

        Raises:
            LoadError: there were errors, or there was nothing.
        """
        _require_clean(self.refused, self.broken, len(self.took))
        took = sorted(self.took)
        return Outcome(requests=len(took), seconds=self.seconds, p50=percentile(took, 0.50), p99=percentile(took, 0.99))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed, by nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def drive(
    port: int,
    requests: Sequence[bytes],
    *,
    until: Callable[[], Awaitable[object]],
    start: int = 0,
    connections: int = CONNECTIONS,
) -> Tally:
    """Send requests in turn, over connections that stay open, until something comes to pass.

    Those under way at the end do not count.
    """
    loop = asyncio.get_running_loop()
    tally = Tally(seconds=0.0, took=[], refused=0, broken=0)
    turn = start

    def following() -> bytes:
        nonlocal turn
        turn += 1
        return requests[(turn - 1) % len(requests)]

    made = [
        await loop.create_connection(lambda: _Connection(following, tally), "127.0.0.1", port)
        for _ in range(connections)
    ]
    began = perf_counter()
    for _, connection in made:
        connection.begin()
    try:
        await until()
    finally:
        tally.seconds = perf_counter() - began
        for _, connection in made:
            connection.end()
    return tally


class _Connection(asyncio.Protocol):
    """One connection, one request at a time. Understands answers with a Content-Length, and no others."""

    def __init__(self, following: Callable[[], bytes], tally: Tally) -> None:
        self._following = following
        self._tally = tally
        self._received = b""
        self._sent = 0.0
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it

    def begin(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._following())

    def end(self) -> None:
        self._ended = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._received = b""
        if head.split(b" ", 2)[1] == b"200":
            self._tally.took.append((perf_counter() - self._sent) * 1e3)
        else:
            self._tally.refused += 1
        self.begin()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._tally.broken += 1


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise LoadError("an answer without Content-Length")
    return int(rest.split(b"\r\n", 1)[0])


def main() -> None:
    said = json.load(sys.stdin)
    before = f"GET {said['path']} HTTP/1.1\r\nHost: 127.0.0.1:{said['port']}\r\nAuthorization: Bearer "
    requests = [f"{before}{token}\r\n\r\n".encode() for token in Path(said["tokens"]).read_text().split()]

    async def drive_for_a_while() -> Tally:
        return await drive(said["port"], requests, start=said["start"], until=lambda: asyncio.sleep(said["seconds"]))

    loop_factory = import_module("uvloop").new_event_loop if find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        json.dump(asdict(runner.run(drive_for_a_while())), sys.stdout)


if __name__ == "__main__":
    main()
