"""The applications that are measured do what they are measured at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.applications import Setting
from benchmarks.applications.serving import serving
from benchmarks.apps import FRAMEWORKS, App, Framework, _check, _installed, _setting, _Stop, _write_tokens
from tokenguard.testing import LocalIssuer

pytestmark = pytest.mark.real_server

MEASURED = [(framework, app) for framework in FRAMEWORKS for app in _installed(framework)]
BARE = [(framework, app) for framework, app in MEASURED if not app.protected]
GUARDED = [(framework, app) for framework, app in MEASURED if app.protected]


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("RS256",)) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def setting(issuer: LocalIssuer) -> Setting:
    return _setting(issuer)


@pytest.fixture
def good(issuer: LocalIssuer, setting: Setting, tmp_path: Path) -> str:
    return _write_tokens(issuer, tmp_path / "tokens", 1).read_text()


def _named(value: object) -> str:
    assert isinstance(value, Framework | App)
    return value.name


@pytest.mark.parametrize(("framework", "app"), MEASURED, ids=_named)
def test_each_application_answers_good_tokens_and_keeps_forged_ones_out(
    framework: Framework, app: App, setting: Setting, good: str
) -> None:
    with serving(app.made_by, setting, server=framework.server) as port:
        _check(_Stop(app=app, framework=framework, port=port), good)


def test_an_application_that_lets_a_forged_token_in_or_a_good_one_not_is_not_measured(
    setting: Setting, good: str
) -> None:
    for (framework, app), token in ((BARE[0], good), (GUARDED[0], good[:-9])):
        with serving(app.made_by, setting, server=framework.server) as port:
            stop = _Stop(app=replace(app, protected=True), framework=framework, port=port)
            with pytest.raises(RuntimeError, match="was due"):
                _check(stop, token)


def test_what_is_not_installed_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    lacking = replace(FRAMEWORKS[0].apps[0], name="odd", needs=("no_such_package",))
    framework = replace(FRAMEWORKS[0], apps=(*FRAMEWORKS[0].apps, lacking))
    assert _installed(framework) == list(FRAMEWORKS[0].apps)
    assert capsys.readouterr().err == "Starlette, odd is left out: no_such_package is not installed\n"
    assert _installed(replace(framework, needs=("no_such_package",))) == []


def test_the_sections_of_each_framework_have_keys_of_their_own() -> None:
    assert len({framework.key for framework in FRAMEWORKS}) == len(FRAMEWORKS)
    for framework in FRAMEWORKS:
        assert framework.key.replace("-", "").isalnum()
        assert framework.key.islower()
        assert [app.name for app in framework.apps if not app.protected] == [framework.apps[0].name] == ["bare"]
