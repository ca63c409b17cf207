"""`python -m tokenguard`: what it prints, and how it exits."""

from __future__ import annotations

import io
import json
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenguard import Reason, cli
from tokenguard.testing import LocalIssuer

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


def _verify(issuer: LocalIssuer, *arguments: str) -> int:
    return cli.main(["verify", "--issuer", issuer.url, "--audience", issuer.audience, *arguments])


def test_a_good_token_on_standard_input_prints_its_claims(
    issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{issuer.mint(scope='read')}\n"))
    assert _verify(issuer, "--scope", "read") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["sub"] == "user-1"
    assert output.err == f"accepted: a token of {issuer.url}\n"


def test_a_good_token_as_an_argument_does_as_well(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify(issuer, issuer.mint()) == 0
    assert json.loads(capsys.readouterr().out)["iss"] == issuer.url


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        (("secret.a.b", "secret.c.d"), "(not shown)"),
        (("-secret", "-secret2"), "(not shown) (not shown)"),
        (("secret.a.b", "--scop-e=secret"), "--scop-e"),
        (("--isuer", "secret.a.b"), "--isuer"),
        (("--secret9", "--isuer"), "(not shown) --isuer"),
    ],
)
def test_an_argument_too_many_is_not_shown(
    issuer: LocalIssuer, capsys: Output, more: tuple[str, ...], shown: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        _verify(issuer, *more)
    output = capsys.readouterr()
    assert output.err.endswith(f"error: unrecognized arguments: {shown}\n")
    assert "secret" not in output.out + output.err


@pytest.mark.parametrize("arguments", [("hunter2.a.b",), ("verify", "-hunter2"), ("verify", "--profile", "hunter2")])
def test_what_stands_in_a_wrong_place_is_not_shown(capsys: Output, arguments: tuple[str, ...]) -> None:
    # Python 3.13 takes -hunter2 for -h and prints the help, 3.11 and 3.12 refuse it.
    with pytest.raises(SystemExit):
        cli.main(arguments)
    output = capsys.readouterr()
    assert "usage: tokenguard-oauth" in output.out + output.err
    assert "unter2" not in output.out + output.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expires_in": -3600}, "refused: expired: exp is 36"),
        ({"audience": "other"}, "refused: wrong_audience: aud is 'other'\nThe token is for another API"),
        ({"claims": {"iss": "https://other"}}, "refused: wrong_issuer: iss is 'https://other'\n--issuer must equal"),
        ({"kid": "x", "alg": "ES256", "header": {"kid": "gone"}}, "refused: unknown_key: no key with kid 'gone'"),
        ({"header": {"typ": "dpop+jwt"}}, "refused: wrong_type: typ is 'dpop+jwt'\nAn ID token, a logout token"),
    ],
    ids=["expired", "audience", "issuer", "kid", "typ"],
)
def test_a_bad_token_prints_the_reason_and_a_hint(
    issuer: LocalIssuer, capsys: Output, changes: dict[str, object], message: str
) -> None:
    options = {**changes}
    minted = issuer.mint(options.pop("claims", None), **{**options, "kid": None})  # type: ignore[arg-type]
    assert _verify(issuer, minted) == 1
    output = capsys.readouterr()
    assert output.err.startswith(message)
    assert output.out == ""


def test_a_missing_scope_says_that_the_token_is_good(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify(issuer, "--scope", "write", issuer.mint(scope="read")) == 1
    assert capsys.readouterr().err.startswith(
        "refused: insufficient_scope: lacks write\nthe token itself is good\nAsk the issuer"
    )


def test_the_strict_profile_can_be_asked_for(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify(issuer, "--profile", "rfc9068", issuer.mint(header={"typ": "JWT"})) == 1
    assert "wrong_type" in capsys.readouterr().err


def test_the_key_set_can_be_named(issuer: LocalIssuer) -> None:
    issuer.reset_requests()
    assert _verify(issuer, "--jwks-uri", issuer.jwks_uri, issuer.mint()) == 0
    assert list(issuer.requests) == ["/jwks"]


def test_an_issuer_out_of_reach_is_undecided(capsys: Output) -> None:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        issuer.down()
        assert _verify(issuer, issuer.mint()) == 2
    assert capsys.readouterr().err.startswith("cannot decide: keys_unavailable: http://127.0.0.1")


@pytest.mark.parametrize("arguments", [["--issuer", "http://as.example.com"], ["--scope", "a b"]])
def test_options_that_make_no_sense_are_undecided(issuer: LocalIssuer, capsys: Output, arguments: list[str]) -> None:
    assert _verify(issuer, *arguments, "token") == 2
    assert capsys.readouterr().err.startswith("cannot decide: ")


def test_there_is_a_hint_for_each_reason_that_can_come_up() -> None:
    elsewhere = {
        Reason.NO_TOKEN,
        Reason.MALFORMED_AUTHORIZATION,
        Reason.REPEATED_AUTHORIZATION,
        Reason.ACCESS_DENIED,
        Reason.INSUFFICIENT_AUTHENTICATION,
        Reason.TOO_OLD,
        Reason.REVOKED,
    }
    assert set(cli._HINTS) == set(Reason) - elsewhere


def _opaque(issuer: LocalIssuer) -> str:
    """Any opaque token; one that begins with -h would ask for help."""
    return next(token for token in iter(issuer.mint_opaque, None) if not token.startswith("-h"))


class TestIntrospection:
    def verify(self, issuer: LocalIssuer, token: str, *arguments: str) -> int:
        return _verify(issuer, "--client-id", "api", *arguments, token)

    def test_the_secret_comes_from_the_environment(
        self, issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKENGUARD_CLIENT_SECRET", "api-secret")
        assert self.verify(issuer, _opaque(issuer)) == 0
        assert json.loads(capsys.readouterr().out)["sub"] == "user-1"

    def test_an_opaque_token_may_begin_with_a_dash(
        self, issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKENGUARD_CLIENT_SECRET", "api-secret")
        token = next(
            token for token in iter(issuer.mint_opaque, None) if token.startswith("-") and token[1] not in "-h"
        )
        assert self.verify(issuer, token) == 0
        assert json.loads(capsys.readouterr().out)["sub"] == "user-1"

    def test_or_from_a_file(self, issuer: LocalIssuer, tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "secret"
        file.write_text("api-secret\n")
        endpoint = ("--introspection-endpoint", issuer.introspection_endpoint)
        token = _opaque(issuer)
        assert self.verify(issuer, token, "--client-secret-file", str(file), *endpoint) == 0
        issuer.revoke(token)
        assert self.verify(issuer, token, "--client-secret-file", str(file), "--introspect", "only") == 1
        assert capsys.readouterr().err.endswith(
            "The issuer says so: it expired, was revoked, or was never this issuer's.\n"
        )

    def test_a_wrong_one_decides_nothing(self, issuer: LocalIssuer, tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "secret"
        file.write_text("another")
        assert self.verify(issuer, _opaque(issuer), "--client-secret-file", str(file)) == 2
        error = capsys.readouterr().err
        assert error.startswith("cannot decide: introspection_credentials_rejected: status 401")
        assert "another" not in error

    def test_a_private_key_that_is_none_is_not_shown(self, issuer: LocalIssuer, tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "key"
        file.write_text("SECRET")
        assert self.verify(issuer, "x", "--private-key-file", str(file)) == 2
        error = capsys.readouterr().err
        assert error.startswith("cannot decide: Introspection.private_key is no")
        assert "SECRET" not in error

    @pytest.mark.parametrize(("content", "trouble"), [(None, "No such file or directory"), (b"\xff", "no UTF-8")])
    def test_a_file_that_cannot_be_read_is_named(
        self, issuer: LocalIssuer, tmp_path: Path, capsys: Output, content: bytes | None, trouble: str
    ) -> None:
        file = tmp_path / "secret"
        if content is not None:
            file.write_bytes(content)
        assert self.verify(issuer, "x", "--client-secret-file", str(file)) == 2
        assert capsys.readouterr().err == f"cannot decide: {file}: {trouble}\n"

    def test_without_any_it_says_what_is_missing(
        self, issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TOKENGUARD_CLIENT_SECRET", raising=False)
        assert self.verify(issuer, "x") == 2
        assert "Introspection needs one credential" in capsys.readouterr().err


def test_no_command_prints_the_usage(capsys: Output) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "usage: tokenguard-oauth" in capsys.readouterr().err


def test_python_m_tokenguard_is_the_same(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(sys, "argv", ["tokenguard", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("tokenguard", run_name="__main__")
    assert caught.value.code == 0
    assert "verify" in capsys.readouterr().out


def test_the_demo_shows_each_answer_as_it_must_be(capsys: Output) -> None:
    assert cli.main(["demo"]) == 0
    output = capsys.readouterr().out
    assert "18 of 18 answered as they must be" in output
    assert output.count("\nok ") == 18
    assert "503" in output


def test_the_demo_fails_where_an_answer_is_not_as_it_must_be(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenguard import _demo

    monkeypatch.setattr(_demo, "_INVALID", "something else")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli.main(["demo"]) == 1
    output = capsys.readouterr().out
    assert "\033[31m!!\033[0m" in output
    assert "must be 401 Bearer" in output


def test_the_demo_can_be_left_running(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(SimpleNamespace):
        def wait(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("tokenguard._demo.threading", SimpleNamespace(Event=Interrupted, Thread=threading.Thread))
    assert cli.main(["demo", "--serve"]) == 0
    assert "curl -i -X POST http://127.0.0.1:" in capsys.readouterr().out
