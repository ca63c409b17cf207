"""What an introspection endpoint answered (RFC 7662 s2.2), read as strictly as a token. No state.

No value of an answer is quoted: a server that repeats the question would put the token into our log.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NamedTuple

from .._claims import ClaimRules, read_claims
from .._fetch import Answer
from .._freshness import retry_after
from .._json import json_object
from ..errors import InvalidToken, Reason
from ..introspection import Introspection
from ..token import AccessToken

JSON = "application/json"
SIGNED = "application/token-introspection+jwt"

_CODE = re.compile("[a-z]{1,20}(?:_[a-z]{1,20}){0,5}")
_TOKEN_TYPES = ("bearer", "access_token")


class Trouble(NamedTuple):
    """Why an answer says nothing about the token.

    `outage`: the endpoint itself is in trouble, or has no ear for us; a caller's token cannot cause that.
    `credentials`: it does not take us for who we say we are.
    """

    text: str
    outage: bool = False
    credentials: bool = False
    retry_after: float = 0.0


def trouble_of(answer: Answer) -> Trouble | None:
    """What is wrong with an answer; None where it tells of the token."""
    refused = answer.status in (401, 403)
    if answer.trouble is not None:  # a page of an error that is too large says who is meant all the same
        return Trouble(answer.trouble, outage=answer.status == 0 or answer.status >= 500, credentials=refused)
    if answer.status == 200 or is_unsupported(answer):
        return None
    error = _error(answer)
    # A code, and no sentence (RFC 6749 s5.2): that might quote the token.
    text = f"status {answer.status}" + (f", error {error}" if _CODE.fullmatch(error) else "")
    later = retry_after(answer.headers)
    if refused or error == "invalid_client":
        return Trouble(text, outage=error == "invalid_client", credentials=True, retry_after=later)
    return Trouble(text, outage=answer.status >= 500, retry_after=later)


def is_unsupported(answer: Answer) -> bool:
    """Whether the server will never say anything about such a token (RFC 7009 s2.2.1, which servers use here too)."""
    return answer.status == 400 and _error(answer) == "unsupported_token_type"


def _error(answer: Answer) -> str:
    try:
        error = json_object(answer.body).get("error")
    except ValueError:
        return ""
    return error if type(error) is str else ""


def answer_rules(rules: ClaimRules, asked: Introspection) -> ClaimRules:
    """By which rules to read what the issuer says of a token, where those are the rules for its JWTs."""
    # An answer has RFC 7662's members, whatever the provider's JWTs are like.
    plain = replace(
        rules.issuer.profile, required=(), kind=(), scopes=("scope",), client=("client_id",), audience=("aud",)
    )
    return ClaimRules(
        issuer=replace(rules.issuer, profile=plain),
        audience=rules.audience,
        quoted=False,
        aud_optional=asked.allow_missing_aud,
        aud_may_be_empty=asked.allow_missing_aud,
        exp_optional=asked.allow_missing_exp,
        # Where no audience is looked at, nothing else would keep a refresh token out.
        token_type_optional=not (asked.allow_missing_aud or rules.audience is None)
        if asked.allow_missing_token_type is None
        else asked.allow_missing_token_type,
    )


def lenient_rules(rules: ClaimRules, asked: Introspection) -> ClaimRules:
    """The same of a JWT that has been proven: of that it is enough to know that it still stands."""
    strict = answer_rules(rules, asked)
    return replace(
        strict,
        issuer=replace(strict.issuer, max_token_age=None),  # its age is in its own iat
        aud_optional=True,
        exp_optional=True,
        token_type_optional=asked.allow_missing_token_type is not False,
    )


def read_active(members: dict[str, Any], rules: ClaimRules) -> AccessToken:
    """The facts about a token of which the server says that it is active.

    Raises:
        InvalidToken: it is not active, or what the server says of it does not let it pass here.
    """
    if members.get("active") is not True:
        raise InvalidToken(Reason.INACTIVE, "the issuer says that it is not active")
    kind = members.get("token_type")
    if type(kind) is str:
        if not kind.isascii() or kind.lower() not in _TOKEN_TYPES:
            raise InvalidToken(Reason.WRONG_TOKEN_KIND, "token_type is neither Bearer nor access_token")
    elif "token_type" in members:
        raise InvalidToken(Reason.MALFORMED_CLAIM, "token_type is no string")
    elif not rules.token_type_optional:
        raise InvalidToken(Reason.WRONG_TOKEN_KIND, "no token_type, which alone would tell it from a refresh token")
    if "iss" in members and members["iss"] not in (rules.issuer.url, *rules.issuer.profile.issuer_aliases):
        raise InvalidToken(Reason.WRONG_ISSUER, f"iss is not {rules.issuer.url}")
    return read_claims({name: value for name, value in members.items() if name != "active"}, rules)
