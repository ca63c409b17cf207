"""How long to look for a counterexample: in CI five times as long as while somebody waits."""

from __future__ import annotations

import os


def examples(thorough: int) -> int:
    return thorough if os.environ.get("CI") else thorough // 5
