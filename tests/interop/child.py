"""A server in a process of its own, driven by lines of JSON: `server.mjs` and `dot_server.py` speak them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

LONG = 30.0
"""Seconds after which a child that says nothing is given up. Nothing that passes waits for it."""


class Child:
    """A child process and what it was asked. It ends when its stdin closes, so it cannot outlive this process.

    Args:
        command: what to run.
        configuration: for its `start` command.

    Raises:
        RuntimeError: it does not start; with what it said on stderr.
    """

    def __init__(self, command: Sequence[str], **configuration: Any) -> None:
        # To append, wherever we read: the child has our position in the file.
        self._errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self._lines: Queue[str | None] = Queue()  # None: it has ended
        self._reader = threading.Thread(target=self._read, name="child", daemon=True)
        self._reader.start()
        self._asked = 0
        self._asking = threading.Lock()
        try:
            self.started: dict[str, Any] = self.ask("start", **configuration)
        except BaseException:
            self.close()
            raise

    def ask(self, command: str, **options: Any) -> Any:
        """Send a command, wait for its result.

        Raises:
            RuntimeError: it failed, or did not come in time; with what was said on stderr.
        """
        with self._asking:
            self._asked += 1
            assert self._process.stdin is not None
            with suppress(OSError):  # if it has ended, there is no answer either
                self._process.stdin.write(json.dumps({"id": self._asked, "command": command, **options}) + "\n")
                self._process.stdin.flush()
            reply = self._reply(self._asked)
        if "error" in reply:
            raise RuntimeError(f"{command}: {reply['error']}\n{self._complaints()}")
        return reply["result"]

    def close(self) -> None:
        """Let it end; kill it if it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(LONG)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _reply(self, number: int) -> dict[str, Any]:
        while True:
            try:
                line = self._lines.get(timeout=LONG)
            except Empty:
                raise RuntimeError(f"no answer within {LONG} s\n{self._complaints()}") from None
            if line is None:
                self._lines.put(None)
                raise RuntimeError(f"it has ended\n{self._complaints()}")
            reply: dict[str, Any] = json.loads(line)
            if reply["id"] == number:  # else an answer that came too late
                return reply

    def _complaints(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")
