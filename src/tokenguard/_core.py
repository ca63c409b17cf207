"""The decision: may this token pass, now? A function of (token, issuers, known keys, now), without any I/O.

A token's way: size and shape, header, claims, times, key, signature, checks; cheapest first, so that nothing is fetched
or computed for a token that could not pass anyway. Its claims leave only after its signature held.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ._claims import ClaimRules, check_times, read_claims
from ._encoding import for_log
from ._fetch import Fetch
from ._jwks import Keys, KeySet, RemoteKeys, Skipped, StaticKeys
from ._jws import Jws, parse_jws, read_json
from .config import AnyAudience, Issuer, audiences
from .errors import ConfigurationError, InvalidToken, Reason
from .token import AccessToken

Check = Callable[[AccessToken], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """An issuer with its keys, and the rules for its tokens."""

    rules: ClaimRules
    keys: Keys
    skipped: tuple[Skipped, ...] = ()

    @property
    def issuer(self) -> Issuer:
        return self.rules.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """No decision yet: `fetch` first, then `resume(now, tick)`. What was found before is not worked out again."""

    fetch: Fetch
    resume: Callable[[float, float], AccessToken | Miss]


class Core:
    """Decides about tokens. Times are given: `now` in seconds since the epoch, `tick` in monotonic seconds."""

    def __init__(self, issuers: Iterable[Issuer], audience: frozenset[str] | None, checks: Iterable[Check]) -> None:
        self._trusted: Mapping[str, Trusted] = {issuer.url: _trust(issuer, audience) for issuer in issuers}
        self._checks = tuple(map(_sound_check, checks))

    @property
    def trusted(self) -> Mapping[str, Trusted]:
        return self._trusted

    def decide(self, token: str | bytes, now: float, tick: float) -> AccessToken | Miss:
        """The validated token, or what has to be fetched first.

        Raises:
            RequestRefused: the token may not pass, or nobody can say.
        """
        jws = parse_jws(token)
        claims = read_json("payload", jws.payload)
        iss = claims.get("iss")
        if type(iss) is not str:
            raise InvalidToken(Reason.WRONG_ISSUER, "iss is missing or no string")
        # The claim is not verified yet. It only picks the one issuer whose keys may prove it (RFC 9068 s4: exact).
        trusted = self._trusted.get(iss)
        if trusted is None:
            raise InvalidToken(Reason.WRONG_ISSUER, f"iss is {for_log(iss)}")
        issuer = trusted.issuer
        if jws.alg not in issuer.algorithms:
            raise InvalidToken(Reason.WRONG_ALGORITHM, f"alg is {for_log(jws.alg)}")
        if jws.typ not in issuer.profile.types:
            raise InvalidToken(Reason.WRONG_TYPE, f"typ is {for_log(jws.typ)}")
        facts = read_claims(claims, trusted.rules)
        check_times(facts, issuer, now)
        return self._prove(jws, facts, trusted, tick, fetched=False)

    def _prove(
        self, jws: Jws, facts: AccessToken, trusted: Trusted, tick: float, *, fetched: bool
    ) -> AccessToken | Miss:
        key = trusted.keys.find(jws.kid, jws.alg, tick, fetched=fetched)
        if isinstance(key, Fetch):

            def resume(now: float, tick: float) -> AccessToken | Miss:
                check_times(facts, trusted.issuer, now)  # the wait may have been long
                return self._prove(jws, facts, trusted, tick, fetched=True)

            return Miss(fetch=key, resume=resume)
        if not key.verify(jws.alg, jws.signed, jws.signature):
            raise InvalidToken(Reason.BAD_SIGNATURE, f"key {for_log(key.kid)}, {jws.alg}")
        self._check(facts)
        return facts

    def _check(self, token: AccessToken) -> None:
        for check in self._checks:
            verdict = check(token)
            if verdict is not None:
                # True, False, a coroutine: whatever was meant, it is no clear yes.
                if inspect.iscoroutine(verdict):
                    verdict.close()
                raise ConfigurationError(
                    f"check {_name(check)} returned {type(verdict).__name__}: return None to accept, "
                    "raise AccessDenied() to refuse; checks are plain functions, not async"
                )


def _trust(issuer: Issuer, audience: frozenset[str] | None) -> Trusted:
    rules = ClaimRules(issuer=issuer, audience=audience if issuer.audience is None else _set(issuer.audience))
    if "aud" in issuer.profile.required and rules.audience is None:
        raise ConfigurationError(
            f"ANY_AUDIENCE contradicts profile {issuer.profile.name}, which requires aud to be checked"
        )
    if issuer.jwks is None:
        return Trusted(rules=rules, keys=RemoteKeys(issuer))
    try:
        keys = KeySet(issuer.jwks, issuer)
    except ValueError as error:
        trouble = str(error)
    else:
        return Trusted(rules=rules, keys=StaticKeys(keys), skipped=keys.skipped)
    raise ConfigurationError(
        f"jwks of {issuer.url}: {trouble}; it needs a public key for {', '.join(issuer.algorithms)}"
    )


def _set(audience: str | Iterable[str] | AnyAudience) -> frozenset[str] | None:
    names = audiences(audience, where="audience")
    return None if names is None else frozenset(names)


def _sound_check(check: Check) -> Check:
    said: object = check  # what is annotated need not hold
    if not callable(said) or inspect.iscoroutinefunction(check):
        raise ConfigurationError(
            f"check {_name(check)} is no plain function: write def check(token), which raises AccessDenied() to refuse"
        )
    return check


def _name(check: object) -> str:
    return getattr(check, "__qualname__", None) or repr(check)
