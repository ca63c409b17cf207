"""Where the published vectors are: a folder named by `TOKENGUARD_VECTORS`, never part of this repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def load() -> Callable[[str], Any]:
    """Read a file of the vectors, such as `wycheproof/json_web_key_test.json`."""
    folder = os.environ.get("TOKENGUARD_VECTORS")
    if not folder:
        missing = "set TOKENGUARD_VECTORS to a folder with wycheproof/ and rfc7520/ to run the published vectors"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing}; with CI=true they are required")
        pytest.skip(missing)
    return lambda name: json.loads((Path(folder) / name).read_text("utf-8"))
