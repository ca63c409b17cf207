"""Installing what `server.mjs` needs: once, from the lock, into `node_modules` beside it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SOURCES = ("package.json", "package-lock.json", ".npmrc")
STAMP = "made-from"
TIMEOUT = 300  # seconds for npm, where a registry is slow


class NotInstalled(Exception):
    """There is no node or no npm here, or npm could not install; says which and why."""


def node() -> str:
    """The path of node, with all that `server.mjs` imports in place.

    Processes that install at the same time don't meet: each does so in a folder of its own, and the first to rename its
    result to `node_modules` is the one that counts. So what stands there is always whole.

    Raises:
        NotInstalled: it cannot be.
    """
    path = shutil.which("node")
    if path is None:
        raise NotInstalled("node is not in PATH: Node.js 20.20 or later runs the real authorization server")
    if not _installed():
        npm = shutil.which("npm")
        if npm is None:
            raise NotInstalled("npm is not in PATH: it comes with Node.js")
        with tempfile.TemporaryDirectory(prefix=".install-", dir=HERE) as folder:
            _install(npm, Path(folder))
    return path


def _installed() -> bool:
    with suppress(FileNotFoundError):
        return (MODULES / STAMP).read_text("ascii") == _made_from()
    return False


def _made_from() -> str:
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()


def _install(npm: str, folder: Path) -> None:
    for name in SOURCES:
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-update-notifier", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"npm ci did not end within {TIMEOUT} s") from None
    if done.returncode:
        said = "; ".join(done.stderr.strip().splitlines()[:4])
        raise NotInstalled(f"npm ci failed with status {done.returncode}: {said}")
    (folder / "node_modules" / STAMP).write_text(_made_from(), "ascii")
    with suppress(OSError):  # there was none, or another process has moved it
        MODULES.rename(folder / "older")
    try:
        (folder / "node_modules").rename(MODULES)
    except OSError:
        if not _installed():  # another process was not faster either
            raise
