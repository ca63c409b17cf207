"""A stage: an issuer on loopback, a validator of its tokens, and clocks that a test turns by hand."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from tokenguard import AccessToken, Issuer, KeyPolicy, RequestRefused, TokenValidator
from tokenguard.events import Event
from tokenguard.testing import LocalIssuer

LONG = 20.0
"""Seconds after which a test that is stuck gives up. No test that passes waits for it."""

Validate = Callable[[TokenValidator, str], AccessToken]
"""`validate` in one of its worlds: a thread, or an event loop of some kind."""


class Turned:
    """A clock that stands still until it is turned."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Stage:
    """An issuer and a validator. Lifetimes go by `tick`, `exp` by the wall clock, which `wall` puts forward or back."""

    def __init__(self, issuer: LocalIssuer, **policy: float) -> None:
        self.issuer = issuer
        self.tick = Turned()
        self.wall = 0.0
        self.events: list[Event] = []
        self.validator = self.another(**policy)

    def another(self, **policy: Any) -> TokenValidator:
        """One more validator, cold, by the same clocks."""
        return TokenValidator(
            Issuer(self.issuer.url, keys=KeyPolicy(**policy)),
            audience=self.issuer.audience,
            on_event=self.events.append,
            clock=lambda: time.time() + self.wall,
            monotonic=self.tick,
        )

    @property
    def fetched(self) -> int:
        """How often the key set was asked for, as the issuer counts."""
        return self.issuer.requests["/jwks"]

    @property
    def health(self) -> dict[str, Any]:
        return self.validator.health()[self.issuer.url]

    def warm(self) -> str:
        """Get the keys, and a token by one of them."""
        self.succeed(lambda: self.status(self.issuer.mint()) == 200)
        settle()
        self.issuer.reset_requests()
        self.events.clear()
        return self.issuer.mint()

    def status(self, token: str) -> int:
        """What a request with this token would be answered."""
        try:
            self.validator.validate(token)
        except RequestRefused as refused:
            return refused.status
        return 200

    def succeed(self, tried: Callable[[], bool]) -> None:
        """Try, a minute apart: where the deadline of a fetch is short, a busy machine may miss one."""
        for _ in range(20):
            if tried():
                return
            self.tick.now += 60
        raise AssertionError("it never succeeded")

    def close(self) -> None:
        self.issuer.recover()
        settle()
        self.validator.close()


def fetching() -> list[threading.Thread]:
    """The threads of this library."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("tokenguard")]


def settle() -> None:
    """Wait until all fetches have landed."""
    for thread in fetching():
        thread.join(LONG)
        assert not thread.is_alive()


def at_once(call: Coroutine[Any, Any, AccessToken]) -> AccessToken:
    """The result of a coroutine that awaits nothing at all, and so keeps no request waiting."""
    try:
        call.send(None)
    except StopIteration as done:
        token: AccessToken = done.value
        return token
    call.close()
    raise AssertionError("it waits")


def in_thread(validator: TokenValidator, token: str) -> AccessToken:
    return validator.validate(token)


def in_asyncio(validator: TokenValidator, token: str) -> AccessToken:
    return asyncio.run(validator.validate_async(token))


def in_trio(validator: TokenValidator, token: str) -> AccessToken:
    return trio.run(validator.validate_async, token)


class Program:
    """A module of `tests.keys.programs` in a process of its own; killed if it takes too long, or the test ends.

    Any warning is an error in there.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", f"tests.keys.programs.{name}", *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(3 * LONG, self._process.kill)
        self._guard.start()

    def read(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.end()
        return line.rstrip("\n")

    def go(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: exit status, the rest of its output, its complaints."""
        out, complaints = self._process.communicate()
        return self._process.returncode, out, complaints

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._guard.cancel()
        self._guard.join()
        self._process.kill()
        self._process.communicate()


def run_program(name: str, *arguments: str) -> str:
    """Run a program that must succeed without a complaint; what it prints."""
    with Program(name, *arguments) as program:
        status, output, complaints = program.end()
    assert (status, complaints) == (0, ""), complaints
    return output
