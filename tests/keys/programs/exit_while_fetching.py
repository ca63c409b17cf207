"""Ends while a fetch hangs that would take a minute, without closing anything."""

from __future__ import annotations

import asyncio
import sys
import threading

import trio

from tests.keys.stage import Turned
from tokenguard import Issuer, KeyPolicy, TokenValidator, Unavailable


def main() -> None:
    way, url, audience, token = sys.argv[1:]
    policy = KeyPolicy(connect_timeout=60, total_timeout=60, patience=0.01 if way != "refresh" else 60)
    tick = Turned()
    validator = TokenValidator(Issuer(url, keys=policy), audience=audience, monotonic=tick)
    if way == "refresh":
        validator.validate(token)
        print("hang", flush=True)
        sys.stdin.readline()
        tick.now += 290
        validator.validate(token)
    else:
        try:
            if way == "thread":
                validator.validate(token)
            elif way == "asyncio":
                asyncio.run(validator.validate_async(token))
            else:
                trio.run(validator.validate_async, token)
        except Unavailable:
            pass
    assert [thread.name for thread in threading.enumerate()].count("tokenguard-fetch") == 1
    print("fetching", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
