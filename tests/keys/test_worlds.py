"""One validator, shared by whatever runs code: many threads, several event loops, asyncio, uvloop, trio, gevent."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from tests.forge import EVIL_P256
from tests.keys.stage import Program, Stage, at_once, fetching, settle
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

THREADS = 64
ROTATIONS = 30


def test_64_threads_judge_rightly_while_keys_rotate(stage: Stage, issuer: LocalIssuer) -> None:
    # N01. Good tokens by the newest and by older keys, forgeries under the newest kid, made-up kids.
    good, forged, made_up = issuer.mint(), issuer.mint(key=EVIL_P256), issuer.mint(header={"kid": "made-up"})
    tokens = [(good, forged, made_up)]
    stage.warm()
    over = threading.Event()
    verdicts: Counter[tuple[str, int]] = Counter()
    counting = threading.Lock()

    def judge(seed: int) -> None:
        chance = random.Random(seed)
        seen: Counter[tuple[str, int]] = Counter()
        while not over.is_set():
            good, forged, made_up = chance.choice(tokens[-3:])
            seen["good", stage.status(good)] += 1
            kind, bad = chance.choice((("forged", forged), ("made up", made_up)))
            seen[kind, stage.status(bad)] += 1
        with counting:
            verdicts.update(seen)

    with ThreadPoolExecutor(THREADS) as pool:
        judges = [pool.submit(judge, seed) for seed in range(THREADS)]
        for _ in range(ROTATIONS):
            issuer.rotate()
            stage.tick.now += 60  # every budget is full again
            good = issuer.mint()
            while stage.status(good) != 200:  # a fetch that began before the rotation may have come between
                stage.tick.now += 60
            tokens.append((good, issuer.mint(key=EVIL_P256), issuer.mint(header={"kid": f"made-up-{len(tokens)}"})))
        over.set()
        for judged in judges:
            judged.result()
    assert set(verdicts) <= {("good", 200), ("forged", 401), ("made up", 401), ("made up", 503)}
    assert verdicts["good", 200] + verdicts["forged", 401] > 2000
    settle()
    assert len(stage.health["key_ids"]) == ROTATIONS + 1
    assert not fetching()


def test_two_event_loops_of_two_kinds_and_threads_share_one_fetch(stage: Stage, issuer: LocalIssuer) -> None:
    token = issuer.mint()
    issuer.fail(Fault.HANG)

    async def under_asyncio() -> None:
        await asyncio.gather(*(stage.validator.validate_async(token) for _ in range(100)))

    async def under_trio() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(stage.validator.validate_async, token)

    with ThreadPoolExecutor(6) as pool:
        worlds = [pool.submit(asyncio.run, under_asyncio()) for _ in range(2)]
        worlds += [pool.submit(trio.run, under_trio) for _ in range(2)]
        threads = [pool.submit(stage.status, token) for _ in range(2)]
        issuer.wait_for_requests("/.well-known/oauth-authorization-server")
        issuer.recover()
        for world in worlds:
            world.result()
        assert [thread.result() for thread in threads] == [200, 200]
    assert stage.fetched == 1


def test_an_event_loop_after_another_is_as_good_as_the_first(stage: Stage, issuer: LocalIssuer) -> None:
    for _ in range(5):
        asyncio.run(stage.validator.validate_async(issuer.mint()))
        trio.run(stage.validator.validate_async, issuer.mint())
        issuer.rotate()
        stage.tick.now += 60
    assert stage.fetched == 5


def test_under_trio_keys_rotate_and_nobody_is_wrong(stage: Stage, issuer: LocalIssuer) -> None:
    async def many(token: str) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(stage.validator.validate_async, token)

    async def main() -> None:
        for _ in range(10):
            await many(issuer.mint())
            issuer.rotate()
            stage.tick.now += 60

    trio.run(main)
    assert stage.fetched == 10


def test_uvloop_is_an_event_loop_like_others(stages: Callable[..., Stage], issuer: LocalIssuer) -> None:
    uvloop: Any = pytest.importorskip("uvloop", reason="there is none for Windows")
    stage = stages(patience=10)

    async def crowd(token: str) -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        await asyncio.gather(*(stage.validator.validate_async(token) for _ in range(1000)))

    def run(token: str) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(crowd(token))

    run(issuer.mint())
    assert stage.fetched == 1
    issuer.rotate()
    run(issuer.mint())
    assert stage.fetched == 2
    issuer.fail(Fault.HANG)
    stage.tick.now += 275
    assert at_once(stage.validator.validate_async(issuer.mint())).subject == "user-1"
    run(issuer.mint())
    assert len(fetching()) == 1
    issuer.recover()
    settle()
    assert stage.fetched == 3


def test_greenlets_of_gevent_wait_for_one_another(issuer: LocalIssuer) -> None:
    if importlib.util.find_spec("gevent") is None:
        pytest.skip("there is no gevent for this Python")
    tokens = {"good": issuer.mint(), "made up": issuer.mint(header={"kid": "made-up"})}
    with Program("greenlets", issuer.url, issuer.audience, json.dumps(tokens)) as program:
        assert program.read() == "1000 greenlets have keys"
        assert issuer.requests["/jwks"] == 1
        issuer.fail(Fault.HANG)
        program.go()
        assert program.read() == "1000 greenlets did not wait"
        issuer.wait_for_requests("/jwks", 2)
        program.go()
        assert program.read() == "one waits and the others go on"
        issuer.recover()
        assert program.read() == "refused with 401"
        program.go()
        issuer.fail(Fault.DRIP_HEADERS)
        assert program.read() == "cut off: not done within 0.3 s"
        program.go()
        assert program.end() == (0, "", "")
