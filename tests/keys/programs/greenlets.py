"""A process where threads are greenlets: gevent has patched everything before anything else was imported."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    monkey: Any = importlib.import_module("gevent.monkey")
    monkey.patch_all()
    gevent: Any = importlib.import_module("gevent")

    import json
    import threading

    from tests.keys.stage import Turned, settle
    from tokenguard import Issuer, KeyPolicy, RequestRefused, TokenValidator

    def wait_for_go() -> None:
        assert gevent.get_hub().threadpool.apply(sys.stdin.readline) == "go\n"  # greenlets go on meanwhile

    def tell(text: str) -> None:
        print(text, flush=True)

    url, audience, tokens = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    tick = Turned()
    validator = TokenValidator(
        Issuer(url, keys=KeyPolicy(connect_timeout=5, total_timeout=20, patience=20)), audience=audience, monotonic=tick
    )

    def crowd() -> None:
        greenlets = [gevent.spawn(validator.validate, tokens["good"]) for _ in range(1000)]
        gevent.joinall(greenlets, raise_error=True)

    crowd()
    tell("1000 greenlets have keys")

    wait_for_go()
    tick.now += 275
    crowd()
    # To let others run: that one is on its way.
    assert [thread.name for thread in threading.enumerate()].count("tokenguard-fetch") == 1
    tell("1000 greenlets did not wait")

    wait_for_go()

    def stranger() -> int:
        try:
            validator.validate(tokens["made up"])
        except RequestRefused as refused:
            return refused.status
        return 200

    one = gevent.spawn(stranger)
    gevent.sleep(0)
    crowd()
    assert not one.ready()
    tell("one waits and the others go on")
    tell(f"refused with {one.get(timeout=20)}")
    settle()

    wait_for_go()
    hasty = TokenValidator(
        Issuer(url, keys=KeyPolicy(connect_timeout=0.3, total_timeout=0.3)), audience=audience, monotonic=tick
    )
    try:
        hasty.validate(tokens["good"])
    except RequestRefused as refused:
        tell(f"cut off: {refused.detail.partition(': ')[2]}")
    wait_for_go()
    for each in (validator, hasty):
        each.close()


if __name__ == "__main__":
    main()
