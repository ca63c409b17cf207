"""The pytest plugin: nobody gets it unasked, and whoever asks has an issuer, a validator and headers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "tokenguard.testing.pytest_plugin"


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other people's plugins are no part of this, and take their time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def asked(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose conftest asks for the plugin."""
    pytester.makeconftest(f"pytest_plugins = [{PLUGIN!r}]")
    pytester.makeini("[pytest]\nstrict = true\nfilterwarnings = error\naddopts = -p no:cacheprovider")
    return pytester


def test_bearer_headers_are_good_at_a_validator_of_the_local_issuer(asked: pytest.Pytester) -> None:
    asked.makepyfile(
        """
        def test_good(local_issuer, local_validator, bearer):
            headers = bearer(scope="read", subject="alice")
            scheme, text = headers.pop("Authorization").split(" ")
            assert scheme == "Bearer" and not headers
            token = local_validator.validate(text)
            assert token.issuer == local_issuer.url
            assert (token.subject, token.scopes) == ("alice", {"read"})

        def test_claims(local_validator, bearer):
            text = bearer({"org_id": 7})["Authorization"].removeprefix("Bearer ")
            assert local_validator.validate(text).claims["org_id"] == 7
        """
    )
    asked.runpytest_inprocess().assert_outcomes(passed=2)


def test_each_test_has_an_issuer_of_its_own(asked: pytest.Pytester) -> None:
    asked.makepyfile(
        """
        import pytest
        from tokenguard import Unavailable

        def test_down(local_issuer, local_validator, bearer):
            text = bearer()["Authorization"].removeprefix("Bearer ")
            local_issuer.down()
            with pytest.raises(Unavailable):
                local_validator.validate(text)

        def test_up(local_issuer, local_validator):
            local_validator.warm_up()
            assert local_issuer.requests["/jwks"] == 1
        """
    )
    asked.runpytest_inprocess().assert_outcomes(passed=2)


def test_the_marker_says_what_a_static_validator_accepts(asked: pytest.Pytester) -> None:
    asked.makepyfile(
        """
        import pytest
        from tokenguard import ConfigurationError

        pytestmark = pytest.mark.access_token(scopes=("read",))

        def test_module(static_validator):
            assert static_validator.validate("any").scopes == {"read"}

        @pytest.mark.access_token(subject="alice")
        def test_nearer(static_validator):
            token = static_validator.validate("any")
            assert (token.subject, token.scopes) == ("alice", frozenset())

        class TestFaults:
            @pytest.mark.access_token(scopes="read")
            def test_wrong(self, static_validator): ...

            @pytest.mark.access_token("read")
            def test_positional(self, static_validator): ...
        """
    )
    result = asked.runpytest_inprocess()
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*ConfigurationError: scopes is 'read'*", "*TypeError: *positional argument*"])


def test_without_a_marker_a_static_validator_grants_nothing(asked: pytest.Pytester) -> None:
    asked.makepyfile("def test_it(static_validator): assert not static_validator.validate('any').scopes")
    asked.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_fixture_of_the_same_name_takes_over(asked: pytest.Pytester) -> None:
    asked.makepyfile(
        """
        import pytest
        from tokenguard.testing import LocalIssuer

        @pytest.fixture(scope="module")
        def local_issuer():
            with LocalIssuer(algorithms=("EdDSA",), audience="mine") as issuer:
                yield issuer

        def test_it(local_validator, bearer):
            assert local_validator.realm == "mine"
            assert local_validator.validate(bearer()["Authorization"][7:]).audience == ("mine",)
        """
    )
    asked.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_marker_and_the_fixtures_are_described(asked: pytest.Pytester) -> None:
    asked.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.access_token(?*arguments): *"])
    lines = asked.runpytest_inprocess("--fixtures").stdout.lines
    for name in ("local_issuer", "local_validator", "bearer", "static_validator"):
        (at,) = (number for number, line in enumerate(lines) if line.startswith(f"{name} -- "))
        assert lines[at + 1].startswith("    ")
        assert "no docstring" not in lines[at + 1]


def test_types_of_the_plugin_may_be_imported_before_it_is_asked_for(asked: pytest.Pytester) -> None:
    asked.makeconftest(f"from {PLUGIN} import Bearer\npytest_plugins = [{PLUGIN!r}]")
    asked.makepyfile("def test_it(bearer): assert bearer()")
    asked.runpytest_inprocess().assert_outcomes(passed=1)


def test_nobody_gets_it_unasked(pytester: pytest.Pytester) -> None:
    assert not [point for point in distribution("tokenguard-oauth").entry_points if point.group == "pytest11"]
    pytester.makepyfile("def test_it(local_issuer): ...")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


def test_it_is_there_with_an_option_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bearer): assert bearer()")
    pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_pytest_is_imported_by_the_plugin_alone() -> None:
    program = "import sys, tokenguard.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
