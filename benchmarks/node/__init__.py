"""Node's libraries as contestants: a child process that takes part in the rounds, and measures with its own clock."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenguard.testing import LocalIssuer

from ..measuring import Timed
from ..peers import Batch, Way
from ..tokens import AUDIENCE, ISSUER

HERE = Path(__file__).parent
FLOOR = "Node: crypto.verify"

_WARMING = 10  # batches: V8 optimises what it has seen often, and a server has been up for a while


class NodeFailed(Exception):
    """The child ended; it has said why on stderr."""


class Node:
    """The child. It takes the same tokens and keys as everybody else, and a line per batch."""

    def __init__(self, program: str, keys: LocalIssuer) -> None:
        self._process = subprocess.Popen(
            [program, "--expose-gc", "contestants.mjs"],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.algorithms: Mapping[str, Sequence[str]] = self.ask(
            {"issuer": ISSUER, "audience": AUDIENCE, "jwks": keys.jwks()}
        )

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise NodeFailed(f"node ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ways(self, alg: str, other: str) -> list[Way]:
        """Its contestants for an algorithm; `other` is a good token that is in no batch."""
        return [_NodeWay(self, name, alg, other) for name, algorithms in self.algorithms.items() if alg in algorithms]

    def close(self) -> None:
        self._process.communicate()


class _NodeWay(Way):
    def __init__(self, node: Node, contestant: str, alg: str, other: str) -> None:
        super().__init__(f"Node: {contestant}", remembers="cache on" in contestant)
        self._node = node
        self._asked = {"contestant": contestant, "alg": alg, "other": other}
        self._warm = False

    def accepts(self, token: str) -> bool:
        return bool(self._ask(Batch(tokens=[token]))["accepted"])

    def run(self, batch: Batch) -> Timed:
        if not self._warm:
            for _ in range(_WARMING):
                self._ask(batch)
            self._warm = True
        answer = self._ask(batch)
        self.require_verdicts(answer["accepted"], batch)
        return Timed(batch.count, answer["nanoseconds"] / 1e9)

    def _ask(self, batch: Batch) -> dict[str, Any]:
        return self._node.ask(
            {**self._asked, "tokens": list(batch.tokens), "known": batch.known, "passes": batch.passes}
        )


@contextmanager
def started(keys: LocalIssuer) -> Iterator[Node | None]:
    """The child, or None and a line that says what is missing."""
    program = shutil.which("node")
    if program is None:
        print("skipped: Node's libraries (install Node 20 or later, then: npm ci, in benchmarks/node)")
        yield None
        return
    node = Node(program, keys)
    try:
        missing = dependencies().keys() - {name.partition(",")[0] for name in node.algorithms}
        for name in sorted(missing):
            print(f"skipped: Node: {name} (make bench installs it, or: npm ci, in benchmarks/node)")
        yield node
    finally:
        node.close()


def dependencies() -> dict[str, str]:
    """Node's libraries and their versions, as they are to be installed."""
    found: dict[str, str] = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    return found
