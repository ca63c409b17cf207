"""Prints by how many bytes the process has grown while a key set of 200 MB was refused: its peak, and Python's own."""

from __future__ import annotations

import resource
import sys
import tracemalloc

from tests.keys.stage import Turned, settle
from tokenguard import TokenValidator

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def main() -> None:
    url, audience, token = sys.argv[1:]
    tick = Turned()
    with TokenValidator(url, audience=audience, monotonic=tick) as validator:
        validator.validate(token)
        tick.now += 290
        validator.validate(token)
        settle()  # all that is needed to fetch is there by now
        print("warm", flush=True)
        sys.stdin.readline()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        tick.now += 290
        validator.validate(token)
        settle()
        print(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * UNIT)
        print(validator.health()[url]["last_error"])
        validator.validate(token)


if __name__ == "__main__":
    main()
