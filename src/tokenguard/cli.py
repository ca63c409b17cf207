"""The command line: `tokenguard-oauth verify` judges a token, `tokenguard-oauth demo` shows the library at work."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Never

from ._settings_forms import PROFILES
from ._verify import SECRET, UNDECIDED, verify
from .errors import ConfigurationError

_OPTION = re.compile(r"--[a-z]+(?:-[a-z]+)*(?=\Z|=)")  # as ours are
_FOREIGN = re.compile(
    r"(invalid choice: |invalid float value: |ignored explicit argument ).*?(?= \(choose from [^()]*\)\Z|\Z)", re.DOTALL
)
_OF_DEMO = ("starlette", "uvicorn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 accepted, 1 refused, 2 could not decide (or the arguments make no sense).
    """
    options = _parse(arguments)
    # What is said here is said in full; without a handler Python would print the log line beside it.
    logging.getLogger("tokenguard").addHandler(logging.NullHandler())
    if options.command == "demo":
        return _demo(options.serve)
    try:
        return verify(options)
    except ConfigurationError as error:
        print(f"cannot decide: {error}", file=sys.stderr)
    except Exception:  # noqa: BLE001 - Python's own exit code for a crash, 1, would mean that the token was refused
        traceback.print_exc()
    return UNDECIDED


def _demo(serve: bool) -> int:
    try:
        from ._demo import demo
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _OF_DEMO:
            raise
        print(f"the demo needs {' and '.join(_OF_DEMO)}: pip install '.[demo]'", file=sys.stderr)
        return UNDECIDED
    return demo(serve=serve)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    # An opaque token may begin with a dash. What is one argument too many may be a token too, and is not shown.
    if options.command == "verify" and options.token is None and len(others) == 1 and not _OPTION.match(others[0]):
        options.token = others.pop()
    if others:
        shown = [match[0] if (match := _OPTION.match(other)) else "(not shown)" for other in others]
        parser.error(f"unrecognized arguments: {' '.join(shown)}")
    return options


class _Parser(argparse.ArgumentParser):
    """Shows nothing that stands where no value of ours may stand: `tokenguard-oauth TOKEN` is soon typed.

    Nor is an option guessed from its beginning: `--client-secret S3CRET` would be a file of that name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> Never:
        super().error(_FOREIGN.sub(r"\1(not shown)", message))


class _Help(argparse.Action):
    """Of `verify`. What was meant as a token may look like a call for help, and 0 would mean that it was accepted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> Never:
        parser.print_help()
        parser.exit(UNDECIDED)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: that takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> Never:
        from importlib.metadata import version

        print(f"{parser.prog} {version('tokenguard-oauth')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tokenguard-oauth", description="OAuth 2.0 access tokens for Python APIs.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and exit")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_verify(
        commands.add_parser(
            "verify",
            help="validate a token against its issuer, and say why or why not",
            epilog="Exit code: 0 accepted, 1 refused, 2 anything else: could not decide, or showed this.",
            add_help=False,
        )
    )
    demo = commands.add_parser("demo", help="protect an app, send it good and bad requests, show what happens")
    demo.add_argument("--serve", action="store_true", help="leave the app running, to be tried with curl")
    return parser


def _add_verify(verify: argparse.ArgumentParser) -> None:
    """What is a setting is kept under its name there, in lower case; None where it was not given."""
    verify.add_argument("-h", "--help", action=_Help, nargs=0, help="show this, and exit")
    verify.add_argument(
        "token",
        nargs="?",
        help="the token; read from standard input if left out, or if it is - (safer: arguments are"
        " seen by other users of the machine)",
    )
    verify.add_argument("--issuer", required=True, metavar="URL", help="the issuer, exactly as in the iss claim")
    verify.add_argument(
        "--audience",
        required=True,
        action="append",
        metavar="AUD",
        help="this API, as in the aud claim; may be repeated",
    )
    verify.add_argument(
        "--scope", action="append", default=[], metavar="S", help="a scope the token must have; may be repeated"
    )
    verify.add_argument("--profile", choices=sorted(PROFILES), default="base", help="what to ask of a token")
    verify.add_argument(
        "--algorithm",
        action="append",
        dest="algorithms",
        metavar="ALG",
        help="a signature algorithm that the token may have, in place of the usual ones; may be repeated",
    )
    verify.add_argument(
        "--leeway", type=float, metavar="SECONDS", help="tolerance between the clocks, at most 300; 30 if left out"
    )
    verify.add_argument("--jwks-uri", metavar="URL", help="where the keys are; found by discovery if left out")
    verify.add_argument(
        "--metadata-url", metavar="URL", help="where the issuer's metadata is, if not at a well-known address"
    )
    verify.add_argument(
        "--allow-insecure-http",
        action="store_true",
        default=None,
        help="fetch over http from other hosts too: whoever is on the path can then make this accept a token",
    )
    _add_introspection(verify)


def _add_introspection(verify: argparse.ArgumentParser) -> None:
    introspection = verify.add_argument_group(
        "introspection (RFC 7662)",
        f"Opaque tokens are asked about as a client of the issuer, whose secret is read from {SECRET} in the"
        " environment or from a file, never from an argument.",
    )
    introspection.add_argument("--client-id", metavar="ID", help="the client as which to ask")
    credential = introspection.add_mutually_exclusive_group()
    credential.add_argument("--client-secret-file", metavar="FILE", help="holds its secret")
    credential.add_argument("--private-key-file", metavar="FILE", help="holds its private key, as PEM")
    introspection.add_argument("--introspection-endpoint", metavar="URL", help="found by discovery if left out")
    introspection.add_argument(
        "--introspection-auth",
        choices=("client_secret_basic", "client_secret_post", "private_key_jwt"),
        help="how the client shows who it is; client_secret_basic if left out, with a key private_key_jwt",
    )
    introspection.add_argument(
        "--introspect",
        choices=("opaque", "always", "only"),
        dest="introspection",
        help="which tokens; opaque ones if left out",
    )
