"""`tokenguard-oauth verify`: the verdict on a token, and what it means."""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from .errors import ConfigurationError, InsufficientScope, Reason, RequestRefused, Unavailable
from .requirements import ANY_TOKEN, require
from .settings import NAMES, Source, build

ACCEPTED, REFUSED, UNDECIDED = 0, 1, 2
SECRET: Final = "TOKENGUARD_CLIENT_SECRET"  # in the environment; arguments are seen by other users of the machine

HINTS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.TOO_LARGE: "Is this one token, and nothing else?",
        Reason.MALFORMED: "A JWT has three parts between dots; the last is its signature, which it must have. An opaque"
        " token can only be introspected at its issuer: --client-id.",
        Reason.ENCRYPTED: "Tell the issuer to send signed tokens (JWS) for this API, not encrypted ones.",
        Reason.UNSUPPORTED_HEADER: "No access token needs that header; which component issued this one?",
        Reason.WRONG_ALGORITHM: "If the issuer signs so, allow it: --algorithm, or Issuer(algorithms=...). Never none.",
        Reason.WRONG_TYPE: "An ID token, a logout token or a DPoP proof is no access token.",
        Reason.MISSING_CLAIM: "Tell the issuer to send that claim, or take a profile that does not ask for it.",
        Reason.MALFORMED_CLAIM: "The issuer sends a value of a wrong type; it has to be mended there.",
        Reason.TIME_IN_MILLISECONDS: "The issuer counts in milliseconds; RFC 7519 wants seconds.",
        Reason.WRONG_ISSUER: "--issuer must equal iss to the letter; look at the scheme and a slash at the end.",
        Reason.WRONG_AUDIENCE: "The token is for another API: ask for one with this audience (or resource).",
        Reason.WRONG_TOKEN_KIND: "An ID token tells the client who logged in, a refresh token is for the issuer alone."
        " Send the access token.",
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

_OURS = {"INTROSPECTION": "--introspect", "ALGORITHMS": "--algorithm", "CLIENT_SECRET": SECRET}
_CREDENTIALS = ("CLIENT_SECRET_FILE", "PRIVATE_KEY_FILE")
_ASKING = ("INTROSPECTION", "INTROSPECTION_ENDPOINT", "INTROSPECTION_AUTH", *_CREDENTIALS)
_SECRET_FROM = f"its secret in {SECRET} or --client-secret-file"
_HEADER = re.compile(r"(?:authorization:\s*)?bearer\s", re.IGNORECASE)


def verify(options: Namespace) -> int:
    """Judge a token, and print the verdict.

    Args:
        options: `token`, `scope`, and settings under their names in lower case; None is what was not said.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: the options contradict each other, or there is no token.
    """
    requirement = require(options.scope, ()) if options.scope else ANY_TOKEN
    with build(_settings(options), (), Source(opening="", call=_called), {}) as validator:
        token = _token(options.token)
        try:
            validated = validator.validate(token)
            requirement.check(validated)
        except RequestRefused as refused:
            return _explain(refused)
    print(json.dumps(validated.to_dict(), indent=2), flush=True)  # if nobody reads it, that is to be known here
    print(f"accepted: a token of {validated.issuer}", file=sys.stderr)
    return ACCEPTED


def _settings(options: Namespace) -> dict[str, Any]:
    given = {name.upper(): value for name, value in vars(options).items() if value is not None}
    said = {name: value for name, value in given.items() if name in NAMES}
    said["REALM"] = "api"  # of challenges, which are not sent; else the audience had to be fit for one
    if "CLIENT_ID" in said:
        if said.keys().isdisjoint(_CREDENTIALS):
            if SECRET not in os.environ:
                raise ConfigurationError(f"--client-id needs {_SECRET_FROM}, or its private key in --private-key-file")
            said["CLIENT_SECRET"] = os.environ[SECRET]
        return said
    for name in _ASKING:
        if name in said:  # dropped in silence, it would let a revoked token be accepted
            option = f"--introspect {said[name]}" if name == "INTROSPECTION" else _called(name)
            more = "" if name in _CREDENTIALS else f", and {_SECRET_FROM}"
            raise ConfigurationError(f"{option} needs --client-id{more}")
    return said


def _called(name: object) -> str:
    setting = str(name)
    return _OURS.get(setting, f"--{setting.lower().replace('_', '-')}")


def _token(argument: str | None) -> str:
    reads = argument is None or argument == "-"
    token = (_read() if reads else str(argument)).strip()
    if not token:
        raise ConfigurationError(f"no token {'on standard input' if reads else 'in the argument'}")
    if _HEADER.match(token):
        raise ConfigurationError("that is a header, not a token: leave out 'Bearer ' and what stands before it")
    if len(token.split()) > 1:
        raise ConfigurationError("that is not one token: there is white space in it")
    return token


def _read() -> str:
    try:
        return "" if sys.stdin is None else sys.stdin.read()  # None: it was closed
    except UnicodeDecodeError:
        trouble = "no token on standard input: it is no text"  # and nothing of what it is
    raise ConfigurationError(trouble)


def _explain(refused: RequestRefused) -> int:
    undecided = isinstance(refused, Unavailable)
    print(f"{'cannot decide' if undecided else 'refused'}: {refused}", file=sys.stderr)
    if isinstance(refused, InsufficientScope):
        print("the token itself is good", file=sys.stderr)
    print(HINTS[refused.reason], file=sys.stderr)
    return UNDECIDED if undecided else REFUSED
