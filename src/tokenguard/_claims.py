"""What a token's claims say, and whether that holds now.

`read_claims` finds facts: they do not change while the token lives. `check_times` looks at the clock: on every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._encoding import for_log
from .challenge import is_scope_list, is_scope_token
from .config import Issuer
from .errors import InvalidToken, Reason
from .token import AccessToken, Claims, Draft

# 9999-12-31T23:59:59Z. Nobody issues tokens for later; who sends more counts in milliseconds.
LATEST_SECONDS = 253402300799

# These stand in ID, refresh and logout tokens of one issuer, signed with one key (RFC 8725bis s3, cross-JWT confusion):
# at_hash and c_hash (OpenID Connect Core s3.3.2.11), events (Back-Channel Logout s2.4, RFC 8417). A nonce alone is no
# such mark: some servers copy it into access tokens.
_FOREIGN_CLAIMS = ("at_hash", "c_hash", "events")
_FOREIGN_KINDS = {"token_use": frozenset({"id"}), "typ": frozenset({"id", "refresh", "offline", "logout"})}
_MARKS = frozenset({*_FOREIGN_CLAIMS, *_FOREIGN_KINDS, "cnf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What is asked of the claims of one issuer's tokens. `audience` is None where any will do."""

    issuer: Issuer
    audience: frozenset[str] | None


def read_claims(claims: dict[str, Any], rules: ClaimRules) -> AccessToken:
    """Read the claims of a token whose `iss` is known to be this issuer's.

    Raises:
        InvalidToken: a claim is missing, of the wrong type, for another audience, or tells of another kind of token.
    """
    if not _MARKS.isdisjoint(claims):
        _check_kind(claims)
    for name in rules.issuer.profile.required:
        if name not in claims:
            raise InvalidToken(Reason.MISSING_CLAIM, f"no {name}, which profile {rules.issuer.profile.name} requires")
    expires_at, issued_at, not_before = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf")
    if expires_at is None:
        raise InvalidToken(Reason.MISSING_CLAIM, "no exp")
    if issued_at is None and rules.issuer.max_token_age is not None:
        raise InvalidToken(Reason.MISSING_CLAIM, "no iat, which max_token_age requires")
    return Draft(
        rules.issuer.url,
        expires_at,
        _string(claims, "sub"),
        _string(claims, "client_id"),
        _audience(claims, rules.audience),
        _scopes(claims),
        issued_at,
        not_before,
        _string(claims, "jti"),
        Claims(claims),
    ).finish()


def check_times(token: AccessToken, issuer: Issuer, now: float) -> None:
    """Whether the token is good now (RFC 7519 s4.1.4 to s4.1.6), within the issuer's leeway.

    Raises:
        InvalidToken: it expired, is not valid yet, comes from the future, or is too old.
    """
    leeway = issuer.leeway
    if now >= token.expires_at + leeway:
        raise InvalidToken(Reason.EXPIRED, f"exp is {_apart(now, token.expires_at)} past, leeway {leeway} s")
    if token.not_before is not None and token.not_before > now + leeway:
        raise InvalidToken(Reason.NOT_YET_VALID, f"nbf is {_apart(now, token.not_before)} ahead, leeway {leeway} s")
    if token.issued_at is None:
        return
    if token.issued_at > now + leeway:
        raise InvalidToken(Reason.ISSUED_IN_FUTURE, f"iat is {_apart(now, token.issued_at)} ahead, leeway {leeway} s")
    if issuer.max_token_age is not None and now - token.issued_at > issuer.max_token_age + leeway:
        raise InvalidToken(
            Reason.TOO_OLD, f"iat is {_apart(now, token.issued_at)} past, max_token_age {issuer.max_token_age} s"
        )


def _apart(now: float, time: float) -> str:
    seconds = abs(now - time)
    return f"{seconds:.0f} s" if seconds < 1e12 else "ages"


def _check_kind(claims: dict[str, Any]) -> None:
    for name in _FOREIGN_CLAIMS:
        if name in claims:
            raise InvalidToken(Reason.WRONG_TOKEN_KIND, f"{name} is of an ID or logout token")
    for name, kinds in _FOREIGN_KINDS.items():
        kind = _string(claims, name)
        if kind is not None and kind.lower() in kinds:
            raise InvalidToken(Reason.WRONG_TOKEN_KIND, f"{name} is {for_log(kind)}: no access token")
    if "cnf" in claims:
        # RFC 9449 s7.2, RFC 8705 s3: without a proof of the key it is bound to, whoever sends it may have stolen it.
        raise InvalidToken(Reason.BOUND_TOKEN, "cnf binds it to a key; proofs of possession are not supported yet")


def _audience(claims: dict[str, Any], ours: frozenset[str] | None) -> tuple[str, ...]:
    aud = claims.get("aud", [])
    named = [aud] if type(aud) is str else aud
    if type(named) is not list or not all(type(name) is str for name in named):
        raise InvalidToken(Reason.MALFORMED_CLAIM, "aud is neither a string nor a list of strings")
    if ours is not None and ours.isdisjoint(named):
        if not named:
            raise InvalidToken(Reason.WRONG_AUDIENCE, "no aud")
        raise InvalidToken(Reason.WRONG_AUDIENCE, f"aud is {for_log(aud)}")
    return tuple(named)


def _time(claims: dict[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int and type(value) is not float:  # exact: a bool is no number
        raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is no number")
    if value > LATEST_SECONDS:
        raise InvalidToken(Reason.TIME_IN_MILLISECONDS, f"{name} is beyond the year 9999: milliseconds, not seconds?")
    return value


def _string(claims: dict[str, Any], name: str) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not str:
        raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is no string")
    return value


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    if "scp" not in claims:
        return _scope_set(claims["scope"], "scope") if "scope" in claims else frozenset()
    granted = _scope_set(claims["scp"], "scp")
    if "scope" in claims and _scope_set(claims["scope"], "scope") != granted:
        raise InvalidToken(Reason.MALFORMED_CLAIM, "scope and scp differ")
    return granted


def _scope_set(value: Any, name: str) -> frozenset[str]:
    # RFC 6749 s3.3 separates by U+0020 alone; str.split() would also at NBSP, tab and more, and grant what nobody did.
    if type(value) is str:
        if is_scope_list(value):
            scopes = frozenset(value.split(" "))
            return scopes if "" not in scopes else scopes - {""}
    elif type(value) is list and all(type(item) is str and is_scope_token(item) for item in value):
        return frozenset(value)
    raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is no list of scopes")
