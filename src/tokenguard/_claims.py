"""What a token's claims say, and when that holds.

`read_claims` finds facts: they do not change while the token lives. Whether it is good now is asked on every request:
`validity` says from when until when it is, `untimely` why it is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ._text import for_log
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
    issuer, ours = rules.issuer, rules.audience
    if not claims.keys().isdisjoint(_MARKS):
        _check_kind(claims)
    for name in issuer.profile.required:
        if name not in claims:
            raise InvalidToken(Reason.MISSING_CLAIM, f"no {name}, which profile {issuer.profile.name} requires")
    # Each claim is what nearly all are, or else looked at more closely: calls are what costs here.
    draft = Draft()
    draft.issuer = issuer.url
    get = claims.get
    exp, iat, nbf = get("exp"), get("iat"), get("nbf")
    draft.expires_at = exp if type(exp) is int and exp <= LATEST_SECONDS else _expiry(claims)
    draft.issued_at = iat if type(iat) is int and iat <= LATEST_SECONDS else _time(claims, "iat")
    draft.not_before = nbf if type(nbf) is int and nbf <= LATEST_SECONDS else _time(claims, "nbf")
    if draft.issued_at is None and issuer.max_token_age is not None:
        raise InvalidToken(Reason.MISSING_CLAIM, "no iat, which max_token_age requires")
    sub, client_id, jti, aud = get("sub"), get("client_id"), get("jti"), get("aud")
    draft.subject = sub if type(sub) is str else _string(claims, "sub")
    draft.client_id = client_id if type(client_id) is str else _string(claims, "client_id")
    draft.token_id = jti if type(jti) is str else _string(claims, "jti")
    draft.audience = (aud,) if type(aud) is str and (ours is None or aud in ours) else _audience(claims, ours)
    draft.scopes = _scopes(claims)
    draft.claims = Claims(claims)
    return draft.finish()


def validity(token: AccessToken, issuer: Issuer) -> tuple[float, float]:
    """From when on, and until before when, the token is good (RFC 7519 s4.1.4 to s4.1.6), the issuer's leeway included.

    Returns:
        Seconds since the epoch.
    """
    leeway = issuer.leeway
    begins, ends = -math.inf, token.expires_at + leeway
    if token.not_before is not None:
        begins = token.not_before - leeway
    iat = token.issued_at
    if iat is not None:
        begins = max(begins, iat - leeway)
        if issuer.max_token_age is not None:
            ends = min(ends, math.nextafter(iat + issuer.max_token_age + leeway, math.inf))  # so old is not too old
    return begins, ends


def untimely(token: AccessToken, issuer: Issuer, now: float) -> InvalidToken:
    """Why a token is not good now: it expired, is too old, is not valid yet, or comes from the future."""
    leeway = issuer.leeway
    if now >= token.expires_at + leeway:
        return InvalidToken(Reason.EXPIRED, f"exp is {_apart(now, token.expires_at)} past, leeway {leeway} s")
    if token.not_before is not None and token.not_before - leeway > now:
        return InvalidToken(Reason.NOT_YET_VALID, f"nbf is {_apart(now, token.not_before)} ahead, leeway {leeway} s")
    iat = now if token.issued_at is None else token.issued_at  # not None: nothing else is left
    if iat > now:
        return InvalidToken(Reason.ISSUED_IN_FUTURE, f"iat is {_apart(now, iat)} ahead, leeway {leeway} s")
    return InvalidToken(Reason.TOO_OLD, f"iat is {_apart(now, iat)} past, max_token_age {issuer.max_token_age} s")


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


def _expiry(claims: dict[str, Any]) -> float:
    exp = _time(claims, "exp")
    if exp is None:
        raise InvalidToken(Reason.MISSING_CLAIM, "no exp")
    return exp


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
        scope = claims.get("scope")
        if type(scope) is str and len(scope) <= 256:
            return _usual_scopes(scope)
        return _scope_set(scope, "scope") if "scope" in claims else frozenset()
    granted = _scope_set(claims["scp"], "scp")
    if "scope" in claims and _scope_set(claims["scope"], "scope") != granted:
        raise InvalidToken(Reason.MALFORMED_CLAIM, "scope and scp differ")
    return granted


@lru_cache(maxsize=256)
def _usual_scopes(scope: str) -> frozenset[str]:
    """A client's tokens have the same scopes each time: one set for all."""
    return _scope_set(scope, "scope")


def _scope_set(value: Any, name: str) -> frozenset[str]:
    # RFC 6749 s3.3 separates by U+0020 alone; str.split() would also at NBSP, tab and more, and grant what nobody did.
    if type(value) is str:
        if is_scope_list(value):
            scopes = frozenset(value.split(" "))
            return scopes if "" not in scopes else scopes - {""}
    elif type(value) is list and all(type(item) is str and is_scope_token(item) for item in value):
        return frozenset(value)
    raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is no list of scopes")
