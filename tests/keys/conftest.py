"""What all tests of keys stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.keys.stage import Stage, Validate, in_asyncio, in_thread, in_trio
from tokenguard.testing import LocalIssuer


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


@pytest.fixture
def stages(issuer: LocalIssuer) -> Iterator[Callable[..., Stage]]:
    """Opens stages with a policy."""
    with ExitStack() as stack:

        def stage(**policy: float) -> Stage:
            opened = Stage(issuer, **policy)
            stack.callback(opened.close)
            return opened

        yield stage


@pytest.fixture
def stage(stages: Callable[..., Stage]) -> Stage:
    return stages()


@pytest.fixture(params=[in_thread, in_asyncio, in_trio], ids=["thread", "asyncio", "trio"])
def validate(request: pytest.FixtureRequest) -> Validate:
    found: Validate = request.param
    return found
