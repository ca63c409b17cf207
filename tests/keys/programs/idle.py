"""Makes a validator and prints what that has started or imported; then has it fetch, and prints what is left."""

from __future__ import annotations

import sys
import threading

import tokenguard

HEAVY = ("httpx", "httpx2", "httpcore", "asyncio", "trio", "anyio")


def state() -> str:
    return f"{[name for name in HEAVY if name in sys.modules]} {[thread.name for thread in threading.enumerate()]}"


def main() -> None:
    url, audience, token = sys.argv[1:]
    with tokenguard.TokenValidator(url, audience=audience) as validator:
        validator.health()
        try:
            validator.validate("junk")
        except tokenguard.InvalidToken:
            print(state())
        validator.validate(token)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(20)
    print([thread.name for thread in threading.enumerate()])


if __name__ == "__main__":
    main()
