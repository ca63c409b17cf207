"""The servers: one of each for all tests here, set right again after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.interop.dot_provider import DotProvider, is_installed
from tests.interop.npm import NotInstalled
from tests.interop.oidc_provider import OidcProvider
from tests.keys.stage import Turned


def missing(what: str) -> NoReturn:
    """Skip, for lack of a server; where nothing may be left out, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; with CI=true it is required")
    pytest.skip(what)


def _oidc_provider(path: str = "") -> Iterator[OidcProvider]:
    try:
        provider = OidcProvider(path=path)
    except NotInstalled as why:
        missing(str(why))
    with provider:
        yield provider


# Until the end of the package, not of the session: no test elsewhere is to meet the thread that reads from a child.
@pytest.fixture(scope="package")
def _provider_of_all() -> Iterator[OidcProvider]:
    yield from _oidc_provider()


@pytest.fixture(scope="package")
def _tenant_of_all() -> Iterator[OidcProvider]:
    yield from _oidc_provider("/tenant/one")


@pytest.fixture
def tick() -> Turned:
    """The clock by which keys and answers age."""
    return Turned()


@pytest.fixture(scope="package")
def dot() -> Iterator[DotProvider]:
    """django-oauth-toolkit."""
    if not is_installed():
        missing("django-oauth-toolkit is not installed")
    with DotProvider() as provider:
        yield provider


@pytest.fixture
def provider(_provider_of_all: OidcProvider) -> Iterator[OidcProvider]:
    """oidc-provider, its issuer without a path."""
    yield _provider_of_all
    _provider_of_all.reset()


@pytest.fixture
def tenant(_tenant_of_all: OidcProvider) -> Iterator[OidcProvider]:
    """oidc-provider below `/tenant/one`."""
    yield _tenant_of_all
    _tenant_of_all.reset()
