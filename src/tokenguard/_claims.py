"""What a token's claims say, and when that holds.

`read_claims` finds facts: they do not change while the token lives. Whether it is good now is asked on every request:
`validity` says from when until when it is, `untimely` why it is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._roles import NO_ROLES, needs_audience, read_roles, role_paths
from ._scopes import read_scopes
from ._text import for_log
from .config import Issuer
from .errors import ConfigurationError, InvalidToken, Reason
from .token import AccessToken, Claims, Draft

# 9999-12-31T23:59:59Z. Nobody issues tokens for later; who sends more counts in milliseconds.
LATEST_SECONDS = 253402300799

# These stand in ID, refresh and logout tokens of one issuer, signed with one key (RFC 8725bis s3, cross-JWT confusion):
# at_hash and c_hash (OpenID Connect Core s3.3.2.11), events (Back-Channel Logout s2.4, RFC 8417). A nonce alone is no
# such mark: some servers copy it into access tokens.
_FOREIGN_CLAIMS = ("at_hash", "c_hash", "events")
# Where servers say of which kind a token is: Keycloak in typ, Cognito and Ory Hydra in token_use, Lightwave in
# token_class, Simple JWT in token_type. Ory Hydra calls a refresh token active and Bearer, with the aud of its grant.
_KINDS = ("typ", "token_use", "token_class", "token_type")
_FOREIGN_KINDS = frozenset({"id", "id_token", "refresh", "refresh_token", "offline", "logout"})
_MARKS = frozenset({*_FOREIGN_CLAIMS, *_KINDS, "cnf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What is asked of the claims of one issuer's tokens. `audience` is None where any will do.

    `aud_optional`, `aud_may_be_empty` (Ory Hydra sends [] where others send nothing), `exp_optional` and
    `token_type_optional` are for what a server says of a token (RFC 7662 s2.2), never for a token itself. `quoted`:
    whether errors show what `aud` is.
    The issuer's profile is taken apart here, once.

    Raises:
        ConfigurationError: any audience will do, and the profile needs to know ours.
    """

    issuer: Issuer
    audience: frozenset[str] | None
    # An audience of ours, as that of a token that names no other.
    alone: Mapping[str, tuple[str]] = field(init=False, repr=False, compare=False)
    expected: str = field(init=False, repr=False, compare=False)  # all of ours, for the log: sorted once, not by noise
    quoted: bool = True
    aud_optional: bool = False
    aud_may_be_empty: bool = False
    exp_optional: bool = False
    token_type_optional: bool = True
    required: tuple[str, ...] = field(init=False)
    one_of: tuple[tuple[str, ...], ...] = field(init=False)
    kind: tuple[tuple[str, Collection[str]], ...] = field(init=False)
    particular: bool = field(init=False)  # whether any of these three asks for something
    scopes: tuple[str, ...] = field(init=False)
    client: str | None = field(init=False)  # None: more than one claim, or none
    roles: tuple[tuple[str, ...], ...] = field(init=False)
    token_id: str = field(init=False)

    def __post_init__(self) -> None:
        profile = self.issuer.profile
        if self.audience is None:
            self._check_any_audience()
        required = tuple(name for name in profile.required if isinstance(name, str))
        one_of = tuple(names for names in profile.required if not isinstance(names, str))
        kind = tuple(dict(profile.kind).items())
        for name, value in {
            "alone": {name: (name,) for name in self.audience or ()},
            "expected": for_log(" or ".join(sorted(self.audience or ()))),
            "required": required,
            "one_of": one_of,
            "kind": kind,
            "particular": bool(required or one_of or kind),
            "scopes": profile.scopes,
            "client": profile.client[0] if len(profile.client) == 1 else None,
            "roles": role_paths(profile, self.audience or ()),
            "token_id": profile.token_id,
        }.items():
            object.__setattr__(self, name, value)

    def _check_any_audience(self) -> None:
        profile = self.issuer.profile
        contradiction = f"ANY_AUDIENCE contradicts profile {profile.name}, which "
        if "aud" in profile.required:
            raise ConfigurationError(contradiction + "requires aud to be checked")
        if len(profile.audience) > 1:
            others = " or ".join(profile.audience[1:])
            raise ConfigurationError(
                f"{contradiction}takes {others} where there is no aud: put the values of {others} that may call "
                "(the ids of your app clients) into audience"
            )
        if needs_audience(profile):
            raise ConfigurationError(
                f"{contradiction}reads roles under the name of our audience: name it in audience, or leave that path "
                "out with dataclasses.replace(profile, roles=...)"
            )


def read_claims(claims: dict[str, Any], rules: ClaimRules) -> AccessToken:
    """Read the claims of a token whose `iss` is known to be this issuer's.

    Raises:
        InvalidToken: a claim is missing, of the wrong type, for another audience, or tells of another kind of token.
    """
    issuer = rules.issuer
    if not _MARKS.isdisjoint(claims):
        _check_kind(claims)
    if rules.particular:
        _check_particulars(claims, rules)
    # Each claim is what nearly all are, or else looked at more closely: calls are what costs here.
    draft = Draft()
    draft.issuer = issuer.url
    get: Any = claims.get  # also of None, which is no claim's name
    exp, iat, nbf = get("exp"), get("iat"), get("nbf")
    draft.expires_at = exp if type(exp) is int and exp <= LATEST_SECONDS else _expiry(claims, rules)
    draft.issued_at = iat if type(iat) is int and iat <= LATEST_SECONDS else _time(claims, "iat")
    draft.not_before = nbf if type(nbf) is int and nbf <= LATEST_SECONDS else _time(claims, "nbf")
    if draft.issued_at is None and issuer.max_token_age is not None:
        raise InvalidToken(Reason.MISSING_CLAIM, "no iat, which max_token_age requires")
    sub, client, token_id, aud = get("sub"), get(rules.client), get(rules.token_id), get("aud")
    draft.subject = sub if type(sub) is str else _string(claims, "sub")
    draft.client_id = client if type(client) is str else _agreed(claims, issuer.profile.client)
    draft.token_id = token_id if type(token_id) is str else _string(claims, rules.token_id)
    draft.audience = (rules.alone.get(aud) if type(aud) is str else None) or _audience(claims, rules)
    draft.scopes = read_scopes(claims, rules.scopes)
    draft.roles = read_roles(claims, rules.roles) if rules.roles else NO_ROLES
    draft.claims = Claims(claims)
    return draft.finish()


def validity(token: AccessToken, issuer: Issuer) -> tuple[float, float]:
    """From when on, and until before when, the token is good (RFC 7519 s4.1.4 to s4.1.6), the issuer's leeway included.

    Returns:
        Seconds since the epoch.
    """
    leeway = issuer.leeway
    nbf, iat = token.not_before, token.issued_at
    begins = -math.inf if nbf is None else nbf
    ends = token.expires_at + leeway
    if iat is not None and iat > begins:
        begins = iat
    if issuer.max_token_age is not None and iat is not None:
        ends = min(ends, math.nextafter(iat + issuer.max_token_age + leeway, math.inf))  # so old is not too old
    return begins - leeway, ends


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
    for name in _KINDS:
        kind = _string(claims, name)
        if kind is not None and kind.lower() in _FOREIGN_KINDS:
            raise InvalidToken(Reason.WRONG_TOKEN_KIND, f"{name} is {for_log(kind)}: no access token")
    if "cnf" in claims:
        # RFC 9449 s7.2, RFC 8705 s3: without a proof of the key it is bound to, whoever sends it may have stolen it.
        raise InvalidToken(Reason.BOUND_TOKEN, "cnf binds it to a key; proofs of possession are not supported yet")


def _check_particulars(claims: dict[str, Any], rules: ClaimRules) -> None:
    profile = rules.issuer.profile.name
    for name in rules.required:
        if name not in claims:
            raise InvalidToken(Reason.MISSING_CLAIM, f"no {name}, which profile {profile} requires")
    for names in rules.one_of:
        if claims.keys().isdisjoint(names):
            raise InvalidToken(
                Reason.MISSING_CLAIM, f"neither {' nor '.join(names)}, of which profile {profile} requires one"
            )
    for name, values in rules.kind:
        value = _string(claims, name)
        if value is None:
            if "" not in values:
                raise InvalidToken(Reason.MISSING_CLAIM, f"no {name}, which profile {profile} requires")
        elif value == "" or value not in values:
            raise InvalidToken(Reason.WRONG_TOKEN_KIND, f"{name} is {for_log(value)}: profile {profile} takes others")


def _audience(claims: dict[str, Any], rules: ClaimRules) -> tuple[str, ...]:
    ours, names = rules.audience, rules.issuer.profile.audience
    name = next((name for name in names if name in claims), "aud")
    value = claims.get(name, [])
    named = [value] if type(value) is str else value
    if type(named) is not list or not all(type(one) is str for one in named):
        raise InvalidToken(Reason.MALFORMED_CLAIM, f"{name} is neither a string nor a list of strings")
    if ours is not None and ours.isdisjoint(named):
        if not named:
            if rules.aud_may_be_empty if name in claims else rules.aud_optional:
                return ()
            raise InvalidToken(Reason.WRONG_AUDIENCE, f"no {' nor '.join(names)}")
        said = for_log(value) if rules.quoted else "another"
        raise InvalidToken(Reason.WRONG_AUDIENCE, f"{name} is {said}, not {rules.expected}")
    return tuple(named)


def _agreed(claims: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """What those of these claims say that are there."""
    said = {_string(claims, name) for name in names if name in claims}
    if len(said) > 1:
        raise InvalidToken(Reason.MALFORMED_CLAIM, f"{' and '.join(names)} differ")
    return said.pop() if said else None


def _expiry(claims: dict[str, Any], rules: ClaimRules) -> float:
    exp = _time(claims, "exp")
    if exp is None:
        if rules.exp_optional:
            return math.inf
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
