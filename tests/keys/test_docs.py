"""docs/keys.md: its example runs, and its tables are complete and right."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from starlette.testclient import TestClient

from tokenguard import KeyPolicy, events
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "keys.md").read_text(encoding="utf-8")


@pytest.fixture
def example(issuer: LocalIssuer) -> dict[str, Any]:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(source.replace("https://as.example.com", issuer.url), namespace)
    return namespace


@pytest.fixture
def client(example: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(example["app"]) as client:
        yield client


class TestReadiness:
    def test_it_is_ready_from_the_start(self, client: TestClient, issuer: LocalIssuer) -> None:
        answer = client.get("/ready")
        assert answer.status_code == 200
        assert answer.json()[issuer.url]["state"] == "fresh"
        assert issuer.requests["/jwks"] == 1

    def test_it_starts_without_its_issuer_and_says_so(self, example: dict[str, Any], issuer: LocalIssuer) -> None:
        issuer.fail(Fault.SERVER_ERROR)
        with TestClient(example["app"]) as client:
            answer = client.get("/ready")
            assert answer.status_code == 503
            assert answer.json()[issuer.url]["state"] == "down"

    def test_the_probe_fetches_as_nobody_else_would(self, example: dict[str, Any], issuer: LocalIssuer) -> None:
        client = TestClient(example["app"])  # without its lifespan: nothing has warmed it up
        assert client.get("/ready").status_code == 200
        assert issuer.requests["/jwks"] == 1
        example["validator"].close()


def _table(head: str) -> dict[str, list[str]]:
    lines = TEXT[TEXT.index(head) :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_each_field_of_the_policy_stands_there_with_its_default() -> None:
    documented = {name: float(row[0]) for name, row in _table("| field | default |").items()}
    assert documented == {field.name: field.default for field in dataclasses.fields(KeyPolicy)}


def test_each_event_stands_there_or_in_the_page_on_introspection() -> None:
    assert list(_table("| event | when |")) == [
        "KeysRefreshed",
        "KeySkipped",
        "RefreshFailed",
        "DiscoveryFailed",
        "ServingStale",
        "KidRefused",
        "RequestAccepted",
        "RequestRefused",
    ]
    names = {event.__name__ for event in typing.get_args(events.Event)}
    assert set(_table("| event | when |")) == {name for name in names if not name.startswith("Introspection")}


def test_the_picture_is_sound_and_has_the_numbers_of_the_policy() -> None:
    picture = ET.parse(DOCS / "keys.svg")
    said = " ".join(text.strip() for text in picture.getroot().itertext())
    policy = KeyPolicy()
    for seconds in (
        policy.lifetime,
        policy.lifetime - policy.refresh_ahead,
        policy.lifetime - policy.refresh_ahead / 2,
        policy.lifetime + policy.stale_window,
    ):
        assert f"{seconds:.0f}" in said
    assert "keys.svg" in TEXT
