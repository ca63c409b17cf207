"""`python -m tokenguard`: what it prints, and how it exits."""

from __future__ import annotations

import io
import json
import runpy
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenguard import Reason, _verify, cli
from tokenguard.testing import LocalIssuer

SECRET_FROM = "its secret in TOKENGUARD_CLIENT_SECRET or --client-secret-file"
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


def _verify_token(issuer: LocalIssuer, *arguments: str) -> int:
    return cli.main(["verify", "--issuer", issuer.url, "--audience", issuer.audience, *arguments])


def test_a_good_token_on_standard_input_prints_its_claims(
    issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{issuer.mint(scope='read')}\n"))
    assert _verify_token(issuer, "--scope", "read") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["sub"] == "user-1"
    assert output.err == f"accepted: a token of {issuer.url}\n"


def test_a_good_token_as_an_argument_does_as_well(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, issuer.mint()) == 0
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
        _verify_token(issuer, *more)
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
        (
            {"audience": "other"},
            "refused: wrong_audience: aud is 'other', not 'https://api.example.com'\nThe token is for another API",
        ),
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
    assert _verify_token(issuer, minted) == 1
    output = capsys.readouterr()
    assert output.err.startswith(message)
    assert output.out == ""


def test_a_missing_scope_says_that_the_token_is_good(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, "--scope", "write", issuer.mint(scope="read")) == 1
    assert capsys.readouterr().err.startswith(
        "refused: insufficient_scope: lacks write\nthe token itself is good\nAsk the issuer"
    )


def test_the_strict_profile_can_be_asked_for(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, "--profile", "rfc9068", issuer.mint(header={"typ": "JWT"})) == 1
    assert "wrong_type" in capsys.readouterr().err


def test_the_key_set_can_be_named(issuer: LocalIssuer) -> None:
    issuer.reset_requests()
    assert _verify_token(issuer, "--jwks-uri", issuer.jwks_uri, issuer.mint()) == 0
    assert list(issuer.requests) == ["/jwks"]


def test_an_issuer_out_of_reach_is_undecided(capsys: Output) -> None:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        issuer.down()
        assert _verify_token(issuer, issuer.mint()) == 2
    assert capsys.readouterr().err.startswith("cannot decide: keys_unavailable: http://127.0.0.1")


@pytest.mark.parametrize("arguments", [["--issuer", "http://as.example.com"], ["--scope", "a b"]])
def test_options_that_make_no_sense_are_undecided(issuer: LocalIssuer, capsys: Output, arguments: list[str]) -> None:
    assert _verify_token(issuer, *arguments, "token") == 2
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
    assert set(_verify.HINTS) == set(Reason) - elsewhere


def _opaque(issuer: LocalIssuer) -> str:
    """Any opaque token; one that begins with -h would ask for help."""
    return next(token for token in iter(issuer.mint_opaque, None) if not token.startswith("-h"))


class TestIntrospection:
    def verify(self, issuer: LocalIssuer, token: str, *arguments: str) -> int:
        return _verify_token(issuer, "--client-id", "api", *arguments, token)

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

    @pytest.mark.parametrize(
        ("content", "trouble"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"\xff", "is not in UTF-8"),
            (b"x" * 65537, "has more than"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_named(
        self, issuer: LocalIssuer, tmp_path: Path, capsys: Output, content: bytes | None, trouble: str
    ) -> None:
        file = tmp_path / "secret"
        if content is not None:
            file.write_bytes(content)
        assert self.verify(issuer, "x", "--client-secret-file", str(file)) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"cannot decide: --client-secret-file is '{file}': that file {trouble}")

    def test_without_any_it_says_what_is_missing(
        self, issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TOKENGUARD_CLIENT_SECRET", raising=False)
        assert self.verify(issuer, "x") == 2
        assert capsys.readouterr().err == (
            "cannot decide: --client-id needs its secret in TOKENGUARD_CLIENT_SECRET or --client-secret-file, or its "
            "private key in --private-key-file\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--introspect", "always"), f"--introspect always needs --client-id, and {SECRET_FROM}"),
            (("--introspect", "opaque"), f"--introspect opaque needs --client-id, and {SECRET_FROM}"),
            (
                ("--introspection-endpoint", "http://localhost/i"),
                f"--introspection-endpoint needs --client-id, and {SECRET_FROM}",
            ),
            (
                ("--introspection-auth", "client_secret_post"),
                f"--introspection-auth needs --client-id, and {SECRET_FROM}",
            ),
            (("--client-secret-file", "no-such"), "--client-secret-file needs --client-id"),
            (("--private-key-file", "no-such"), "--private-key-file needs --client-id"),
        ],
    )
    def test_it_is_not_left_out_because_nobody_asks(
        self, issuer: LocalIssuer, capsys: Output, arguments: tuple[str, ...], message: str
    ) -> None:
        assert _verify_token(issuer, issuer.mint(), *arguments) == 2
        assert capsys.readouterr() == ("", f"cannot decide: {message}\n")

    def test_a_secret_in_the_environment_alone_is_for_something_else(
        self, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKENGUARD_CLIENT_SECRET", "api-secret")
        assert _verify_token(issuer, issuer.mint()) == 0

    def test_two_credentials_are_one_too_many(self, issuer: LocalIssuer, capsys: Output) -> None:
        with pytest.raises(SystemExit, match="2"):
            self.verify(issuer, "x", "--client-secret-file", "s", "--private-key-file", "k")
        assert "--private-key-file: not allowed with argument --client-secret-file" in capsys.readouterr().err

    def test_the_method_can_be_named(self, issuer: LocalIssuer, tmp_path: Path, capsys: Output) -> None:
        file = tmp_path / "secret"
        file.write_text("api-secret")
        token, credential = _opaque(issuer), ("--client-secret-file", str(file))
        for method in ("client_secret_basic", "client_secret_post"):
            assert self.verify(issuer, token, *credential, "--introspection-auth", method) == 0
            posted = dict(issuer.last_request("/introspect").form())
            assert posted.get("client_secret") == (None if method == "client_secret_basic" else "api-secret")
        assert self.verify(issuer, token, *credential, "--introspection-auth", "private_key_jwt") == 2
        assert capsys.readouterr().err.endswith(
            "(here auth is --introspection-auth, client_secret is --client-secret-file)\n"
        )


def test_an_algorithm_is_allowed_by_name(capsys: Output) -> None:
    with LocalIssuer(algorithms=("ES384",)) as issuer:
        token = issuer.mint()
        assert _verify_token(issuer, token) == 1
        assert "allow it: --algorithm, or Issuer" in capsys.readouterr().err
        assert _verify_token(issuer, token, "--algorithm", "ES512", "--algorithm", "ES384") == 0
        assert _verify_token(issuer, token, "--algorithm", "ES512") == 1


def test_the_metadata_can_be_elsewhere(issuer: LocalIssuer) -> None:
    issuer.reset_requests()
    url = f"{issuer.url}/.well-known/openid-configuration"
    assert _verify_token(issuer, issuer.mint(), "--metadata-url", url) == 0
    assert list(issuer.requests) == ["/.well-known/openid-configuration", "/jwks"]


def test_the_leeway_is_what_is_said(issuer: LocalIssuer, capsys: Output) -> None:
    token = issuer.mint(expires_in=-60)
    assert [_verify_token(issuer, token, *leeway) for leeway in ((), ("--leeway", "299.5"))] == [1, 0]
    assert _verify_token(issuer, token, "--leeway", "301") == 2
    assert "from 0 to 300 (here leeway is --leeway)" in capsys.readouterr().err


def test_plain_http_has_to_be_allowed(capsys: Output) -> None:
    keys = ("--jwks-uri", "http://192.0.2.1/keys")  # of TEST-NET-1, RFC 5737: nobody is asked about a text like this
    arguments = ["verify", "--issuer", "https://as.example.com", "--audience", "api", *keys, "x"]
    assert cli.main(arguments) == 2
    assert "allow_insecure_http is --allow-insecure-http)" in capsys.readouterr().err
    assert cli.main([*arguments, "--allow-insecure-http"]) == 1


def test_an_audience_need_not_fit_into_a_challenge(issuer: LocalIssuer) -> None:
    assert _verify_token(issuer, issuer.mint(audience='"orders"'), "--audience", '"orders"') == 0


# Options


@pytest.mark.parametrize(
    "arguments", [("--client-secret", "hunter2"), ("--client-secret=hunter2",), ("--cl=hunter2",), ("--cl", "hunter2")]
)
def test_an_option_is_not_guessed_from_its_beginning(
    issuer: LocalIssuer, capsys: Output, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        _verify_token(issuer, "token", *arguments)
    error = capsys.readouterr().err
    assert f"unrecognized arguments: {arguments[0].partition('=')[0]}" in error
    assert "hunter2" not in error


def test_no_option_of_the_command_itself_is_guessed(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--vers"])
    assert "required: command" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["demo", "--ser"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("a (choose from hunter2",),
        ("a (choose from b) hunter2",),
        ("a (choose from hunter2)",),
        ("a (choose from\nhunter2)",),
        ("verify", "--profile", "a (choose from b) hunter2"),
        ("verify", "--profile", "a (choose from (hunter2)"),
        ("verify", "--leeway", "hunter2"),
        ("verify", "--leeway", "1 (choose from hunter2)"),
        ("demo", "--serve=a (choose from hunter2)"),
    ],
)
def test_what_is_not_shown_may_look_like_an_error(capsys: Output, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    error = capsys.readouterr().err
    assert "(not shown)" in error
    assert "hunter2" not in error


def test_the_version_is_that_of_the_distribution(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"tokenguard-oauth {version('tokenguard-oauth')}\n"


# What is no token


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no token on standard input"),
        (" \n", "no token on standard input"),
        ("Bearer hunter2\n", "that is a header, not a token: leave out 'Bearer ' and what stands before it"),
        (
            "authorization:bearer hunter2",
            "that is a header, not a token: leave out 'Bearer ' and what stands before it",
        ),
        ("hunter2\nhunter2", "that is not one token: there is white space in it"),
    ],
)
def test_what_is_not_one_token_is_not_judged(
    issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert _verify_token(issuer) == 2
    assert capsys.readouterr() == ("", f"cannot decide: {message}\n")


def test_nor_is_an_empty_argument(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, "") == 2
    assert capsys.readouterr().err == "cannot decide: no token in the argument\n"


def test_nor_is_what_is_no_text(issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"))
    assert _verify_token(issuer) == 2
    assert capsys.readouterr().err == "cannot decide: no token on standard input: it is no text\n"


def test_what_is_not_signed_is_not_taken_for_an_opaque_token_alone(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, issuer.mint(alg="none")) == 1
    error = capsys.readouterr().err
    assert error.startswith("refused: malformed: signature: ")
    assert "its signature, which it must have" in error


def test_a_refresh_token_is_not_taken_for_an_id_token(issuer: LocalIssuer, capsys: Output) -> None:
    assert _verify_token(issuer, issuer.mint({"token_use": "refresh"})) == 1
    error = capsys.readouterr().err
    assert error.startswith("refused: wrong_token_kind: ")
    assert "a refresh token is for the issuer alone. Send the access token." in error


@pytest.mark.parametrize("called", ["-h", "--help", "-hunter2"])
def test_a_token_that_looks_like_a_call_for_help_is_not_accepted(
    issuer: LocalIssuer, capsys: Output, called: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        _verify_token(issuer, called)
    assert caught.value.code == 2
    assert "usage: tokenguard-oauth verify" in "".join(capsys.readouterr())


def test_a_dash_stands_for_standard_input(issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(issuer.mint()))
    assert _verify_token(issuer, "-") == 0
    monkeypatch.setattr(sys, "stdin", None)  # it was closed
    assert _verify_token(issuer, "-") == 2
    assert capsys.readouterr().err.endswith("cannot decide: no token on standard input\n")


def test_a_verdict_that_cannot_be_written_is_none(
    issuer: LocalIssuer, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError("no space left")

    token = issuer.mint()
    monkeypatch.setattr(sys, "stdout", Full())
    assert _verify_token(issuer, token) == 2
    error = capsys.readouterr().err
    assert error.endswith("OSError: no space left\n")
    assert token not in error


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


def test_the_demo_shows_everything_before_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    seen: list[bytes] = []

    class Interrupted(SimpleNamespace):
        def wait(self) -> None:
            seen.append(shown.getvalue())
            raise KeyboardInterrupt

    monkeypatch.setattr("tokenguard._demo.threading", SimpleNamespace(Event=Interrupted, Thread=threading.Thread))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(shown), "utf-8"))  # as where it is a pipe
    assert cli.main(["demo", "--serve"]) == 0
    assert b"/users -H 'Authorization: Bearer " in seen[0]


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_the_demo_says_what_it_needs(capsys: Output, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delitem(sys.modules, "tokenguard._demo", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    for name in [name for name in sys.modules if name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr() == ("", "the demo needs starlette and uvicorn: pip install '.[demo]'\n")


def test_but_not_where_something_else_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tokenguard._demo", raising=False)
    monkeypatch.setitem(sys.modules, "tokenguard.testing", None)
    with pytest.raises(ModuleNotFoundError, match=r"tokenguard\.testing"):
        cli.main(["demo"])
