"""What a case is, and the validators that cases run through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from tests.forge import BY_DEFAULT, ED, EVIL_RSA, RSA, public_jwk
from tests.forge import validator as make_validator
from tokenguard import ANY_AUDIENCE, Reason, TokenCache, TokenValidator, profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A token and what has to become of it.

    Attributes:
        id: `F26:...` is a concrete token of that case of the public list; `F:...` one of our own in the same group.
        reason: why it must be refused; None: it must be accepted.
        rules: the name of the validator, see `validator_for`.
    """

    id: str
    token: str | bytes
    reason: Reason | None
    rules: str = "base"


class Cases(list[Case]):
    """A list of cases, with short ways to add to it."""

    def accept(self, id: str, token: str | bytes, rules: str = "base") -> None:
        self.append(Case(id=id, token=token, reason=None, rules=rules))

    def refuse(self, id: str, token: str | bytes, reason: Reason, rules: str = "base") -> None:
        self.append(Case(id=id, token=token, reason=reason, rules=rules))


def values(table: dict[str, object]) -> dict[str, object]:
    """Names of cases, each with a JSON value. This is for the type checker."""
    return table


def members(table: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Names of cases, each with members to change. This is for the type checker."""
    return table


@cache
def validator_for(rules: str, token_cache: TokenCache | None = BY_DEFAULT) -> TokenValidator:
    validator = partial(make_validator, token_cache=token_cache)
    match rules:
        case "base":
            return validator()
        case "rfc9068":
            return validator(profiles.RFC9068)
        case "at most an hour old":
            return validator(max_token_age=3600)
        case "no leeway":
            return validator(leeway=0)
        case "two audiences":
            return validator(audience=("https://api.example.com", "urn:other"))
        case "any audience":
            return validator(audience=ANY_AUDIENCE)
        case "keys without kid":
            return validator(jwks={"keys": [public_jwk(RSA), public_jwk(ED)]})
        case "two keys under one kid":
            return validator(jwks={"keys": [public_jwk(RSA, kid="rs"), public_jwk(EVIL_RSA, kid="rs")]})
        case "Ed25519 by both names":
            return validator(algorithms=("EdDSA", "Ed25519"))
        case _:
            raise LookupError(rules)
