"""What `import tokenguard` costs a fresh interpreter, beside PyJWT and what both use of cryptography."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .measuring import Row, Section

ROOT = Path(__file__).parents[1]

NOTHING: Final = "nothing"
PYJWT: Final = "PyJWT and cryptography"
TOKENGUARD: Final = "tokenguard"
PROGRAMS: Final = {
    NOTHING: "pass",
    PYJWT: "import jwt, jwt.algorithms, cryptography.hazmat.primitives.asymmetric.ed25519",
    TOKENGUARD: "import tokenguard",
}

# None of these is needed to build a validator; each would cost more than all the rest.
HEAVY: Final = (
    "httpx", "httpx2", "httpcore", "requests", "asyncio", "anyio", "trio",
    "starlette", "fastapi", "flask", "werkzeug", "django", "rest_framework",
)  # fmt: skip


def sections(*, quick: bool) -> Iterator[Section]:
    """CPU milliseconds, less those of an interpreter that does nothing."""
    rounds = 7 if quick else 41
    order = random.Random(1)
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with TemporaryDirectory() as compiled:
        # Bytecode is at hand, as where a package is installed, whatever this environment says about writing it.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for program in PROGRAMS.values():
            _cpu(program, environment)
        for _ in range(rounds):
            for name in order.sample(list(PROGRAMS), len(PROGRAMS)):
                taken[name].append(_cpu(PROGRAMS[name], environment) * 1e3)
    over = statistics.median(ours - its for ours, its in zip(taken[TOKENGUARD], taken[PYJWT], strict=True))
    least = min(taken[TOKENGUARD]) - min(taken[PYJWT])
    heavy = ", ".join(heavy_modules()) or "none"
    notes = {TOKENGUARD: f"{over:.0f} ms over PyJWT's (least {least:.0f}; the goal is 30); heavy modules: {heavy}"}
    yield Section(
        key="import",
        title=f"Import in a fresh interpreter, CPU time beyond the {statistics.median(taken[NOTHING]):.0f} ms to start",
        unit="ms",
        baseline=PYJWT,
        rows=tuple(
            Row(
                name=name,
                samples=tuple(mine - bare for mine, bare in zip(taken[name], taken[NOTHING], strict=True)),
                note=notes.get(name, ""),
            )
            for name in (PYJWT, TOKENGUARD)
        ),
    )


def heavy_modules() -> list[str]:
    """Which of the heavy modules `import tokenguard` brings with it."""
    program = f"import json, sys, tokenguard; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    finished = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    found: list[str] = json.loads(finished.stdout)
    return found


def _cpu(program: str, environment: Mapping[str, str]) -> float:
    """Seconds of CPU, of user and system together: other processes matter less to it than to a clock."""
    import resource  # not on Windows; os.times() is too coarse

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
