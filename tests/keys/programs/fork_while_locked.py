"""Forks a hundred times while other threads hold locks, fetch, or validate; each child has to serve all by itself.

No other thread makes a TLS context meanwhile. OpenSSL takes locks for that, and once more when such a thread has ended
and is cleared away; a child forked at that very moment cannot be helped.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.keys.stage import Stage, settle
from tokenguard import InvalidToken, TokenValidator
from tokenguard.testing import Fault, LocalIssuer

SCENES, CHILDREN = 52, 2  # of each scene, side by side
KINDS = ("flights", "transport", "fetching", "validating")
STUCK = 15  # seconds

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # that is what we test


def in_child(call: Callable[[], None]) -> int:
    """Fork, and call; the child's number."""
    number = os.fork()
    if number:
        return number
    signal.alarm(STUCK)  # ends it with a signal of its own
    status = 1
    try:
        call()
        status = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as if it were the test
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


@contextmanager
def held_by_another_thread(first: threading.Lock, second: threading.Lock) -> Iterator[None]:
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with first, second:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def fetching(stage: Stage, known: str) -> Iterator[None]:
    """A refresh hangs; in the child, which has no part in it, the issuer is there again as soon as we look away."""
    stage.issuer.fail(Fault.HANG, on="jwks")
    stage.issuer.reset_requests()
    stage.tick.now += 290
    stage.validator.validate(known)
    stage.issuer.wait_for_requests("/jwks")
    yield
    stage.issuer.recover()
    settle()


@contextmanager
def at_work(work: Callable[[], object]) -> Iterator[None]:
    """Threads do this all the time; the fork comes at any moment of it."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            work()

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def scene(kind: str, stage: Stage, cold: TokenValidator, known: str) -> AbstractContextManager[object]:
    """What other threads do while we fork."""
    warm = stage.validator
    if kind == "flights":
        return held_by_another_thread(warm._flights._lock, cold._flights._lock)
    if kind == "transport":
        return held_by_another_thread(warm._transport._lock, cold._transport._lock)
    if kind == "fetching":
        return fetching(stage, known)
    stage.tick.now += 280
    return at_work(lambda: warm.validate(known))


def main() -> None:
    faulthandler.register(signal.SIGALRM, chain=True)
    well: Counter[str] = Counter()
    with LocalIssuer(algorithms=("ES256",)) as issuer, ExitStack() as stack:
        stage = Stage(issuer)
        stack.callback(stage.close)
        warm, known = stage.validator, stage.warm()
        made_up = issuer.mint(header={"kid": "made-up"})
        for run in range(SCENES):
            kind, cold = KINDS[run % len(KINDS)], stack.enter_context(stage.another())

            def serve(kind: str = kind, cold: TokenValidator = cold) -> None:
                warm.validate(known)
                stage.tick.now += 300
                warm.validate(known)
                settle()
                assert stage.health["age"] == 0, stage.health  # it has refreshed its keys itself
                if kind in ("flights", "transport"):
                    assert cold.validate(known).subject == "user-1"
                try:
                    warm.validate(made_up)
                except InvalidToken:
                    return
                raise AssertionError("a made-up kid passed")

            with scene(kind, stage, cold, known):
                children = [in_child(serve) for _ in range(CHILDREN)]
            for child in children:
                _, status = os.waitpid(child, 0)
                assert status == 0, f"scene {run} ({kind}): {status}, {signal.SIGALRM} would be a deadlock"
                well[kind] += 1
    print(dict(well))


if __name__ == "__main__":
    main()
