"""An issuer with one client of each kind, and a client on a pooled connection."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.testing.asking import NOW, OPAQUE, ORDERS, READER, SIGNER
from tokenguard.testing import LocalIssuer


@pytest.fixture
def server() -> Iterator[LocalIssuer]:
    clients = (ORDERS, OPAQUE, READER, SIGNER)
    with LocalIssuer(algorithms=("ES256", "EdDSA"), clients=clients, clock=lambda: NOW) as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, timeout=5) as made:
        yield made
