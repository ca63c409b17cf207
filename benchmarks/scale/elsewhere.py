"""A function in a fresh process, with a connection to it; it ends when the connection does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import Concatenate, ParamSpec

from tokenguard.testing import LocalIssuer

P = ParamSpec("P")
ROOT = Path(__file__).parents[2]
GRACE = 10  # seconds to end in


@contextmanager
def elsewhere(
    work: Callable[Concatenate[Connection, P], None], *args: P.args, **kwargs: P.kwargs
) -> Iterator[Connection]:
    """Run `work(connection, ...)` in a process that shares nothing with this one, and yield the other end.

    Not by `multiprocessing`, whose fresh processes first import the main program of this one.
    """
    socket, its = socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scale.elsewhere", str(its.fileno())],
            pass_fds=[its.fileno()],
            cwd=ROOT,
            start_new_session=True,  # a Ctrl-C is for us, and we end it
        )
    connection = Connection(socket.detach())
    try:
        connection.send((work, args, kwargs))
        yield connection
    finally:
        connection.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(descriptor: int) -> None:
    with Connection(descriptor) as connection, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work, args, kwargs = connection.recv()
        work(connection, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class IssuerElsewhere:
    """A `LocalIssuer` that takes no time from this process."""

    connection: Connection
    url: str
    jwks_uri: str
    audience: str

    def mint(self, count: int) -> list[str]:
        self.connection.send(count)
        tokens: list[str] = self.connection.recv()
        return tokens

    def key_requests(self) -> int:
        """How often its key set was asked for."""
        self.connection.send(None)
        requests: int = self.connection.recv()
        return requests


@contextmanager
def issuer_elsewhere(algorithm: str, *, keys: int = 1) -> Iterator[IssuerElsewhere]:
    """An issuer with some published keys; the last of them signs. It sends all of its key set each time."""
    with elsewhere(_issue, algorithm, keys) as connection:
        url, jwks_uri, audience = connection.recv()
        yield IssuerElsewhere(connection, url, jwks_uri, audience)


def _issue(connection: Connection, algorithm: str, keys: int) -> None:
    with LocalIssuer(algorithms=(algorithm,)) as issuer:
        issuer.etag = False
        for _ in range(keys):
            issuer.rotate()
        connection.send((issuer.url, issuer.jwks_uri, issuer.audience))
        while True:
            count = connection.recv()
            if count is None:
                connection.send(issuer.requests["/jwks"])
            else:
                connection.send([issuer.mint(scope="read:things", expires_in=86400) for _ in range(count)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
