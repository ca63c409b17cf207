"""The benchmarks' load generators count right, and an answer that is not 200 is no measurement."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from benchmarks import import_cost, load

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nX: y\r\n\r\n"

WRK = """\
Running 2s test @ http://127.0.0.1:40123/things
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.51ms  711.33us  11.31ms   92.31%
    Req/Sec    12.66k     1.02k   13.89k    70.00%
  Latency Distribution
     50%    2.44ms
     75%    2.63ms
     90%    2.89ms
     99%    6.21ms
  25203 requests in 2.00s, 3.61MB read
Requests/sec:  12596.94
Transfer/sec:      1.80MB
outcome {"requests": 25203, "us": 2000724, "p50_us": 2440, "p99_us": 6213, "refused": 0, "broken": 0}
"""


def test_wrk_outcome() -> None:
    outcome = load.parse_wrk(WRK)
    assert outcome == load.Outcome(requests=25203, seconds=2.000724, p50=2.44, p99=6.213)
    assert outcome.rate == pytest.approx(12596.94, abs=0.01)


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (WRK.replace('"refused": 0', '"refused": 1'), "1 answers were not 200"),
        (WRK.replace('"broken": 0', '"broken": 2'), "2 connections broke"),
        (WRK.replace('"requests": 25203', '"requests": 0'), "not one answer"),
        ("unable to connect to 127.0.0.1:9", "no outcome"),
    ],
    ids=["refused", "broken", "nothing", "silent"],
)
def test_wrk_error(said: str, trouble: str) -> None:
    with pytest.raises(load.LoadError, match=trouble):
        load.parse_wrk(said)


class Served:
    """A server that gives its answers in turn, each in the given pieces, and says when `enough` requests came."""

    def __init__(self, *answers: Iterable[bytes], enough: int) -> None:
        self.answers = [tuple(pieces) for pieces in answers]
        self.requests: list[bytes] = []
        self._enough = enough
        self.over = asyncio.Event()
        self.connections: list[asyncio.Task[None] | None] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.current_task())
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                pieces = self.answers[len(self.requests) % len(self.answers)]
                self.requests.append(request)
                if len(self.requests) >= self._enough:
                    self.over.set()
                if not pieces:
                    break
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # so that the next piece goes out by itself
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def driven(served: Callable[[], Served], requests: list[bytes], connections: int = 4) -> tuple[load.Tally, Served]:
    async def drive() -> tuple[load.Tally, Served]:
        there = served()
        server = await asyncio.start_server(there.handle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            tally = await load.drive(port, requests, connections=connections, until=there.over.wait)
            await asyncio.gather(*filter(None, there.connections))
        return tally, there

    return asyncio.run(drive())


def test_own_client_counts() -> None:
    requests = [b"GET /%d HTTP/1.1\r\n\r\n" % n for n in range(3)]
    tally, served = driven(lambda: Served((OK[:20], OK[20:-2], OK[-2:]), enough=200), requests)
    outcome = tally.outcome()
    # What is under way when it ends does not count: at most one request on each connection.
    assert len(served.requests) - 4 <= outcome.requests <= len(served.requests)
    assert outcome.seconds > 0
    assert 0 < outcome.p50 <= outcome.p99
    asked = Counter(served.requests)
    assert set(asked) == set(requests)
    assert max(asked.values()) - min(asked.values()) <= 4


def test_own_client_wants_200() -> None:
    tally, _ = driven(lambda: Served((OK,), (REFUSED,), enough=50), [b"GET / HTTP/1.1\r\n\r\n"])
    assert tally.refused > 0
    with pytest.raises(load.LoadError, match=f"{tally.refused} answers were not 200"):
        tally.outcome()


def test_own_client_notices_a_broken_connection() -> None:
    answers = [[OK], [], *[[OK]] * 98]  # the second request is answered by the end of its connection
    tally, _ = driven(lambda: Served(*answers, enough=90), [b"GET / HTTP/1.1\r\n\r\n"])
    assert tally.broken == 1
    with pytest.raises(load.LoadError, match="1 connections broke"):
        tally.outcome()


def test_percentile() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [load.percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert load.percentile([7.0], 0.5) == 7


def test_import_brings_nothing_heavy() -> None:
    assert import_cost.heavy_modules() == []
