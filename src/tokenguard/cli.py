"""The command line: `tokenguard-oauth verify` judges a token, `tokenguard-oauth demo` shows the library at work."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, Never

from . import profiles
from .config import Issuer
from .errors import ConfigurationError, InsufficientScope, Reason, RequestRefused, Unavailable
from .introspection import Introspection
from .requirements import ANY_TOKEN, require
from .validator import TokenValidator

ACCEPTED, REFUSED, UNDECIDED = 0, 1, 2
_PROFILES = {profile.name: profile for profile in vars(profiles).values() if isinstance(profile, profiles.Profile)}
_SECRET = "TOKENGUARD_CLIENT_SECRET"  # in the environment; arguments are seen by other users of the machine
_OPTION = re.compile(r"--[a-z]+(?:-[a-z]+)*(?=\Z|=)")  # as ours are
_FOREIGN = re.compile(r"(invalid choice: |ignored explicit argument ).*?(?= \(choose from |\Z)", re.DOTALL)

_HINTS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.TOO_LARGE: "Is this one token, and nothing else?",
        Reason.MALFORMED: "A JWT has three parts between dots. An opaque token can only be introspected at its issuer.",
        Reason.ENCRYPTED: "Tell the issuer to send signed tokens (JWS) for this API, not encrypted ones.",
        Reason.UNSUPPORTED_HEADER: "No access token needs that header; which component issued this one?",
        Reason.WRONG_ALGORITHM: "If the issuer really signs with it, allow it: Issuer(algorithms=...). Never none.",
        Reason.WRONG_TYPE: "An ID token, a logout token or a DPoP proof is no access token.",
        Reason.MISSING_CLAIM: "Tell the issuer to send that claim, or take a profile that does not ask for it.",
        Reason.MALFORMED_CLAIM: "The issuer sends a value of a wrong type; it has to be mended there.",
        Reason.TIME_IN_MILLISECONDS: "The issuer counts in milliseconds; RFC 7519 wants seconds.",
        Reason.WRONG_ISSUER: "--issuer must equal iss to the letter; look at the scheme and a slash at the end.",
        Reason.WRONG_AUDIENCE: "The token is for another API: ask for one with this audience (or resource).",
        Reason.WRONG_TOKEN_KIND: "An ID token tells the client who logged in. Send the access token.",
        Reason.BOUND_TOKEN: "It is bound to a key (DPoP or mTLS), and needs a proof of that key with each request.",
        Reason.EXPIRED: "Get a new token. If this one is new, compare the clocks.",
        Reason.NOT_YET_VALID: "Compare the issuer's clock with this machine's.",
        Reason.ISSUED_IN_FUTURE: "Compare the issuer's clock with this machine's.",
        Reason.UNKNOWN_KEY: "The issuer does not publish that key: a token of another environment, or long withdrawn?",
        Reason.AMBIGUOUS_KEY: "The issuer publishes several keys that fit; each needs a kid of its own.",
        Reason.BAD_SIGNATURE: "The token was changed, or signed with another key under the same name.",
        Reason.INACTIVE: "The issuer says so: it expired, was revoked, or was never this issuer's.",
        Reason.INSUFFICIENT_SCOPE: "Ask the issuer for a token with the scopes that are missing.",
        Reason.KEYS_UNAVAILABLE: "Nobody can say whether the token is good: the issuer's keys could not be fetched.",
        Reason.INTROSPECTION_UNAVAILABLE: "Nobody can say whether the token is good: the issuer did not answer.",
        Reason.INTROSPECTION_CREDENTIALS_REJECTED: "The issuer does not take us for that client: look at its secret.",
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 accepted, 1 refused, 2 could not decide (or the arguments make no sense).
    """
    options = _parse(arguments)
    # What is said here is said in full; without a handler Python would print the log line beside it.
    logging.getLogger("tokenguard").addHandler(logging.NullHandler())
    if options.command == "demo":
        from ._demo import demo

        return demo(serve=options.serve)
    try:
        return _verify(options)
    except ConfigurationError as error:
        print(f"cannot decide: {error}", file=sys.stderr)
        return UNDECIDED


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
    """Shows nothing that stands where no value of ours may stand: `tokenguard-oauth TOKEN` is soon typed."""

    def error(self, message: str) -> Never:
        super().error(_FOREIGN.sub(r"\1(not shown)", message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tokenguard-oauth", description="OAuth 2.0 access tokens for Python APIs.")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser(
        "verify",
        help="validate a token against its issuer, and say why or why not",
        epilog="Exit code: 0 accepted, 1 refused, 2 could not decide.",
    )
    verify.add_argument(
        "token",
        nargs="?",
        help="the token; read from standard input if left out (safer: arguments are"
        " seen by other users of the machine)",
    )
    verify.add_argument("--issuer", required=True, metavar="URL", help="the issuer, exactly as in the iss claim")
    verify.add_argument(
        "--audience", required=True, action="append", metavar="AUD", help="this API, as in the aud claim"
    )
    verify.add_argument("--scope", action="append", default=[], metavar="S", help="a scope the token must have")
    verify.add_argument("--jwks-uri", metavar="URL", help="where the keys are; found by discovery if left out")
    verify.add_argument("--profile", choices=sorted(_PROFILES), default="base", help="what to ask of a token")
    _add_introspection(verify)
    demo = commands.add_parser("demo", help="protect an app, send it good and bad requests, show what happens")
    demo.add_argument("--serve", action="store_true", help="leave the app running, to be tried with curl")
    return parser


def _add_introspection(verify: argparse.ArgumentParser) -> None:
    introspection = verify.add_argument_group(
        "introspection (RFC 7662)",
        f"Opaque tokens are asked about as a client of the issuer, whose secret is read from {_SECRET} in the"
        " environment or from a file, never from an argument.",
    )
    introspection.add_argument("--client-id", metavar="ID", help="the client as which to ask")
    introspection.add_argument("--client-secret-file", type=Path, metavar="FILE", help="holds its secret")
    introspection.add_argument("--private-key-file", type=Path, metavar="FILE", help="holds its private key, as PEM")
    introspection.add_argument("--introspection-endpoint", metavar="URL", help="found by discovery if left out")
    introspection.add_argument(
        "--introspect",
        choices=("opaque", "always", "only"),
        default="opaque",
        help="which tokens; opaque ones if left out",
    )


def _introspection(options: argparse.Namespace) -> Introspection | None:
    if options.client_id is None:
        return None
    key, secret = _read(options.private_key_file), _read(options.client_secret_file)
    if key is None and secret is None:
        secret = os.environ.get(_SECRET)
    return Introspection(
        endpoint=options.introspection_endpoint,
        client_id=options.client_id,
        client_secret=secret,
        private_key=key,
        policy=options.introspect,
    )


def _read(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text("utf-8").removesuffix("\n")
    except (OSError, ValueError) as error:
        trouble = error.strerror if isinstance(error, OSError) else "no UTF-8"  # and nothing of what is in it
    raise ConfigurationError(f"{file}: {trouble}")


def _verify(options: argparse.Namespace) -> int:
    requirement = require(options.scope, ()) if options.scope else ANY_TOKEN
    issuer = Issuer(
        options.issuer,
        jwks_uri=options.jwks_uri,
        profile=_PROFILES[options.profile],
        introspection=_introspection(options),
    )
    token = (sys.stdin.read() if options.token is None else options.token).strip()
    with TokenValidator(issuer, audience=options.audience) as validator:
        try:
            validated = validator.validate(token)
            requirement.check(validated)
        except RequestRefused as refused:
            return _explain(refused)
    print(json.dumps(validated.to_dict(), indent=2))
    print(f"accepted: a token of {validated.issuer}", file=sys.stderr)
    return ACCEPTED


def _explain(refused: RequestRefused) -> int:
    undecided = isinstance(refused, Unavailable)
    print(f"{'cannot decide' if undecided else 'refused'}: {refused}", file=sys.stderr)
    if isinstance(refused, InsufficientScope):
        print("the token itself is good", file=sys.stderr)
    print(_HINTS[refused.reason], file=sys.stderr)
    return UNDECIDED if undecided else REFUSED
