"""Log lines: each issuer's trouble is heard, its end too, and no flood of either."""

from __future__ import annotations

import logging

import pytest

from tokenguard import InvalidToken, Reason, Unavailable
from tokenguard._report import Reporter
from tokenguard.events import IntrospectionFailed, IntrospectionRecovered, KeysRefreshed, RefreshFailed, ServingStale

A, B = "https://a.example.com", "https://b.example.com"


class Heard:
    """A reporter, and what it says from WARNING on. Times are given."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.tick = 0.0
        self.reporter = Reporter(None, lambda: self.tick)
        self._caplog = caplog

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Heard:
    caplog.set_level(logging.DEBUG, "tokenguard")
    return Heard(caplog)


def failed(issuer: str, failures: int = 1) -> RefreshFailed:
    return RefreshFailed(issuer=issuer, trouble="status 500", failures=failures, retry_in=2, stale=False)


def refreshed(issuer: str) -> KeysRefreshed:
    return KeysRefreshed(issuer=issuer, key_ids=("'k'",), added=(), removed=(), lifetime=300)


def unheard(issuer: str, pause: float = 0) -> IntrospectionFailed:
    return IntrospectionFailed(issuer=issuer, trouble="status 500", credentials=False, pause=pause)


def test_one_issuer_in_trouble_does_not_hide_another(heard: Heard) -> None:
    for _ in range(3):
        for issuer in (A, B):
            heard.reporter.happened(failed(issuer))
            heard.reporter.happened(ServingStale(issuer=issuer, age=400, ends_in=60))
    text = "keys of {}: fetch 1 in a row failed: status 500; next in 2 s"
    stale = "keys of {} are 400 s old and stale; 503 in 60 s"
    assert heard.lines == [text.format(A), stale.format(A), text.format(B), stale.format(B)]


def test_the_end_of_an_outage_is_as_loud_as_its_beginning_and_told_once(heard: Heard) -> None:
    heard.reporter.happened(refreshed(A))
    heard.reporter.happened(failed(A))
    heard.reporter.happened(refreshed(B))
    heard.reporter.happened(refreshed(A))
    heard.reporter.happened(refreshed(A))
    assert heard.lines[1:] == [f"keys of {A}: fetched again"]


def test_a_pause_is_told_though_a_failure_has_just_been(heard: Heard) -> None:
    for pause in (0, 0, 0, 1.0, 1.0):
        heard.reporter.happened(unheard(A, pause))
    heard.reporter.happened(IntrospectionRecovered(issuer=A))
    said = f"introspection at {A} failed: status 500"
    assert heard.lines == [said, f"{said}; paused for 1 s", f"introspection at {A} answers again"]


def test_made_up_issuers_are_no_flood(heard: Heard) -> None:
    for number in range(5000):
        heard.reporter.happened(failed(f"https://t{number}.example.com"))
    assert len(heard.lines) == 64
    assert len(heard.reporter._quiet_until) == 64
    assert len(heard.reporter._failing) == 1024
    # Refusals are heard all the same, and what only the operator can mend.
    heard.reporter.refused(InvalidToken(Reason.EXPIRED))
    heard.reporter.happened(IntrospectionFailed(issuer=A, trouble="status 401", credentials=True, pause=0))
    assert heard.lines[64] == "refused with 401: expired"
    assert heard.lines[65].startswith(f"introspection at {A} refuses our credentials")
    heard.tick = 1.0
    heard.reporter.happened(refreshed("https://t0.example.com"))
    assert heard.lines[66:] == ["keys of https://t0.example.com: fetched again"]
    heard.tick = 2.0
    heard.reporter.happened(failed(A))
    assert len(heard.lines) == 68
    assert ("RefreshFailed", A) in heard.reporter._quiet_until
    assert len(heard.reporter._quiet_until) == 2


def test_a_503_says_whose_it_is(heard: Heard) -> None:
    for refused in (Unavailable(detail="status 500"), InvalidToken(Reason.EXPIRED, "long ago")):
        refused.issuer = A
        heard.reporter.refused(refused)
    heard.reporter.refused(Unavailable(Reason.INTROSPECTION_UNAVAILABLE, "status 500"))
    assert heard.lines == [
        f"refused with 503: keys_unavailable: {A}: status 500",
        "refused with 401: expired: long ago",
        "refused with 503: introspection_unavailable: status 500",
    ]


def test_texts_of_applications_are_one_kind(heard: Heard) -> None:
    for number in range(1000):
        heard.reporter.refused(InvalidToken(f"user {number}"))
    assert heard.lines == ["refused with 401: malformed: user 0"]
    assert len(heard.reporter._quiet_until) == 1


def test_a_rotation_names_its_keys_and_many_of_them_are_cut(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    many = tuple(f"'{number}{'x' * 100}'" for number in range(100))
    heard.reporter.happened(KeysRefreshed(issuer=A, key_ids=many, added=("'a'", "'b'"), removed=(), lifetime=300))
    heard.reporter.happened(KeysRefreshed(issuer=A, key_ids=many, added=many, removed=many, lifetime=300))
    assert caplog.messages[0] == f"keys of {A}: added 'a', 'b', removed none"
    assert len(caplog.messages[1]) < 1100
