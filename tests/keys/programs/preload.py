"""An application that is loaded and warmed, and then forked for four workers, as `gunicorn --preload` does it."""

from __future__ import annotations

import os
import stat
import sys
import warnings

from tests.keys.programs.fork_while_locked import in_child
from tests.keys.stage import Turned, settle
from tokenguard import TokenValidator

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def sockets() -> list[int]:
    found = []
    for number in range(256):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            continue
    return found


def main() -> None:
    url, audience, token = sys.argv[1:]
    tick = Turned()
    validator = TokenValidator(url, audience=audience, monotonic=tick)
    validator.warm_up()

    def work() -> None:
        assert not sockets(), "a socket came with us"
        assert validator.ready
        assert validator.validate(token).subject == "user-1"
        assert validator.health()[url]["age"] == 0  # by the parent's keys
        tick.now += 290
        validator.validate(token)
        settle()
        assert validator.health()[url]["age"] == 0  # by its own
        validator.close()

    children = [in_child(work) for _ in range(4)]
    print([os.waitpid(child, 0)[1] for child in children])
    validator.validate(token)
    validator.close()


if __name__ == "__main__":
    main()
