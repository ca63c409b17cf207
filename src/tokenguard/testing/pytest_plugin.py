"""Fixtures for pytest, which nothing loads unasked.

In your top `conftest.py`:

    pytest_plugins = ["tokenguard.testing.pytest_plugin"]

or `pytest -p tokenguard.testing.pytest_plugin`. To have one otherwise, define a fixture of the same name in a
`conftest.py`: those that build on it then use yours.

PYTEST_DONT_REWRITE: there is no assertion here, and whoever imports `Bearer` first would get a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pytest

from ..config import Issuer
from ..validator import TokenValidator
from . import LocalIssuer, StaticValidator

__all__ = ["Bearer", "bearer", "local_issuer", "local_validator", "static_validator"]


class Bearer(Protocol):
    """Mints a token of `local_issuer`; arguments are those of `LocalIssuer.mint`, of which these are the most used."""

    def __call__(
        self,
        claims: Mapping[str, Any] | None = None,
        /,
        *,
        scope: str | None = None,
        audience: str | Sequence[str] | None = None,
        subject: str = "user-1",
        client_id: str = "client-1",
        expires_in: float = 300,
    ) -> dict[str, str]:
        """The headers of a request that comes with it."""
        ...


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "access_token(**arguments): static_validator takes each token for this one, as StaticValidator says"
    )


@pytest.fixture
def local_issuer() -> Iterator[LocalIssuer]:
    """A running issuer on loopback, of this test alone: rotate its keys, let it fail.

    It signs with ES256, since an RSA key takes a while to make.
    """
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


@pytest.fixture
def local_validator(local_issuer: LocalIssuer) -> Iterator[TokenValidator]:
    """A real validator that trusts `local_issuer`, with its audience."""
    with TokenValidator(Issuer(local_issuer.url), audience=local_issuer.audience) as validator:
        yield validator


@pytest.fixture
def bearer(local_issuer: LocalIssuer) -> Bearer:
    """Headers with a token of `local_issuer`: `client.get("/orders", headers=bearer(scope="orders:read"))`."""

    def headers(claims: Mapping[str, Any] | None = None, /, **arguments: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {local_issuer.mint(claims, **arguments)}"}

    return headers


@pytest.fixture
def static_validator(request: pytest.FixtureRequest) -> Iterator[StaticValidator]:
    """A validator that accepts any text; as which token, the test says: `@pytest.mark.access_token(scopes=("read",))`.

    Raises:
        ConfigurationError, TypeError: the marker's arguments are none that `StaticValidator` takes.
    """
    marker = request.node.get_closest_marker("access_token")
    with StaticValidator() if marker is None else StaticValidator(*marker.args, **marker.kwargs) as validator:
        yield validator
