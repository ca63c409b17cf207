"""The decision: may this token pass, now? A function of (token, issuers, known keys, now), without any I/O.

A token's way: size and shape, header, claims, times, key, signature, checks; cheapest first, so that nothing is fetched
or computed for a token that could not pass anyway. Its claims leave only after its signature held.
"""

from __future__ import annotations

import inspect
import random
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256

from ._cache import Generations
from ._claims import read_claims, untimely, validity
from ._fetch import Fetch, Miss
from ._introspection.introspector import Introspector, Standing
from ._introspection.opaque import OpaqueTokens, Select
from ._jws import Header, parse_jws, read_payload, token_bytes
from ._keys.jwk import Key
from ._keys.lookup import Keys
from ._text import for_log
from ._trust import Trust, Trusted
from .config import Issuer, TokenCache
from .errors import ConfigurationError, InvalidToken, Reason, RequestRefused
from .events import Event
from .tenants import TenantIssuers
from .token import AccessToken

Check = Callable[[AccessToken], object]


# Plain tuples, taken apart by their position: where each microsecond is 4 % of the whole, names cost too much.
# A token whose claims are in order, and which is still to be proven: its digest and text; header, signing input and
# signature (RFC 7515 s7.1); what it says, and whose it is.
_Case = tuple[bytes, bytes, Header, bytes, bytes, AccessToken, Trusted]
# A token that was proven before: what it says; by which key, of whose keys; until which tick that is remembered; from
# when until when it is good.
_Proof = tuple[AccessToken, Key, Keys, float, float, float]

_MAX_HEADERS = 1024
_DOT = ord(".")


class Core:
    """Decides about tokens. Times are given: `now` in seconds since the epoch, `tick` in monotonic seconds.

    Facts are remembered, decisions are not: of a token that was proven before, times, checks and the state of its key
    are looked at each time.

    Args:
        issuers: whom to trust.
        audience: ours, for issuers that name none of their own; None for any.
        checks: the application's own.
        token_cache: how much to remember; None for nothing.
        emit: told of what happens to keys.
        select: which issuers to ask about an opaque token, where there are several.

    Attributes:
        trust: the issuers.
        due: fetches to start without anyone waiting for them; whoever drives the core empties it.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer | TenantIssuers],
        *,
        audience: frozenset[str] | None,
        checks: Iterable[Check],
        token_cache: TokenCache | None,
        emit: Callable[[Event], None],
        select: Select | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.due: deque[Fetch] = deque()
        self.trust = Trust(issuers, audience=audience, due=self.due, emit=emit, random=random)
        opaque = OpaqueTokens(self.trust, select)
        self._opaque = opaque if opaque.any else None
        self._find = self.trust.find
        self._checks = _sound_checks(checks)
        if self.trust.tenants:
            self._checks = (self.trust.recheck, *self._checks)
        self._proofs: Generations[_Proof] | None = None
        if token_cache is not None:
            self._proofs = Generations(entries=token_cache.entries, weight=token_cache.text_bytes)
            self._remember = token_cache.lifetime
        self._headers: dict[bytes, Header] = {}

    def decide(self, token: str | bytes, now: float, tick: float) -> AccessToken | Miss[AccessToken]:
        """The validated token, or what has to be fetched first.

        Raises:
            RequestRefused: the token may not pass, or nobody can say.
        """
        text = token_bytes(token)
        digest = b""
        if self._proofs is not None and _DOT in text:  # else nothing here has proven it
            digest = sha256(text).digest()
            proof = self._proofs.get(digest)
            if proof is not None:
                facts, key, keys, until, begins, ends = proof
                # Whatever is not clearly good goes the long way, and finds out there why.
                if (
                    begins <= now < ends
                    and tick < until
                    and not key.withdrawn
                    and (tick < keys.attend_at or keys.attend(tick))
                ):
                    if self._checks:
                        self._check(facts)
                    return facts
        if self._opaque is not None:
            asked = self._opaque.whom(text, self._headers)
            if asked:
                standing = self._opaque.judge(text, digest or sha256(text).digest(), asked, now, tick)
                return standing.then(self._accept) if isinstance(standing, Miss) else self._accept(standing, now, tick)
        header, payload, signed, signature = parse_jws(text, self._headers)
        claims = read_payload(payload)
        iss = claims.get("iss")
        if type(iss) is not str:
            raise InvalidToken(Reason.WRONG_ISSUER, "iss is missing or no string")
        # The claim is not verified yet. It only picks the one issuer whose keys may prove it (RFC 9068 s4: exact).
        trusted = self._find(iss)
        if trusted is None:
            slash = iss[:-1] if iss.endswith("/") else f"{iss}/"
            remedy = f", not {slash}: a slash at its end makes it another" if slash in self.trust.named else ""
            raise InvalidToken(Reason.WRONG_ISSUER, f"iss is {for_log(iss)}{remedy}")
        issuer = trusted.issuer
        try:
            if header.alg not in issuer.algorithms:
                raise InvalidToken(Reason.WRONG_ALGORITHM, f"alg is {for_log(header.alg)}")
            if header.typ not in issuer.profile.types:
                raise InvalidToken(Reason.WRONG_TYPE, f"typ is {for_log(header.typ)}")
            facts = read_claims(claims, trusted.rules)
        except InvalidToken as refused:
            refused.issuer = issuer.url
            raise
        return self._prove((digest, text, header, signed, signature, facts, trusted), now, tick)

    def _prove(
        self, case: _Case, now: float, tick: float, attempt: int = 0, doubted: Key | None = None
    ) -> AccessToken | Miss[AccessToken]:
        """Times, key, signature, checks: again after each fetch, which may have taken long or brought another key."""
        digest, text, header, signed, signature, facts, trusted = case
        keys = trusted.keys
        try:
            begins, ends = validity(facts, trusted.issuer)
            if not begins <= now < ends:
                raise untimely(facts, trusted.issuer, now)
            key = keys.at_hand.get((header.kid, header.alg)) if tick < keys.attend_at else None
            if key is None:
                found = keys.find(header.kid, header.alg, tick, attempt=attempt)
                if isinstance(found, Fetch):
                    return self._miss(found, case, attempt + 1, doubted)
                key = found
            if key is doubted or not key.verify(header.alg, signed, signature):
                fetch = keys.doubt(tick) if attempt == 0 else None
                if fetch is not None:
                    return self._miss(fetch, case, 1, key)
                raise InvalidToken(Reason.BAD_SIGNATURE, f"key {key.name}, {header.alg}")
        except RequestRefused as refused:
            refused.issuer = facts.issuer
            raise
        # Only a proven token leaves a trace: what anyone can make up must evict nothing.
        if header.segment not in self._headers:
            if len(self._headers) >= _MAX_HEADERS:
                self._headers = {}  # an issuer that puts something else into each header shuts nobody else out
            self._headers[header.segment] = header
        if trusted.introspector is not None and trusted.introspector.policy == "always":
            return self._confirm(case, key, trusted.introspector, now, tick)
        if self._proofs is not None:
            until = tick + min(self._remember, facts.expires_at - now)
            self._proofs.put(digest, (facts, key, keys, until, begins, ends), len(text))
        if self._checks:
            self._check(facts)
        return facts

    def _confirm(
        self, case: _Case, key: Key, introspector: Introspector, now: float, tick: float
    ) -> AccessToken | Miss[AccessToken]:
        """A proven JWT, of whose issuer we ask whether it still stands to it. Remembered no longer than its answer."""
        digest, text, _, _, _, facts, trusted = case
        digest = digest or sha256(text).digest()
        begins, ends = validity(facts, trusted.issuer)

        def conclude(standing: Standing, now: float, tick: float) -> AccessToken | Miss[AccessToken]:
            if key.withdrawn:  # while the issuer was asked: whether another one proves it, without any more fetches
                return self._prove(case, now, tick, attempt=2)
            if not begins <= now < ends:
                raise untimely(facts, trusted.issuer, now)
            if self._proofs is not None:
                until = min(standing.until, tick + self._remember)
                if until > tick:
                    window = max(begins, standing.begins), min(ends, standing.ends)
                    self._proofs.put(digest, (standing.token, key, trusted.keys, until, *window), len(text))
            return self._accept(standing, now, tick)

        standing = introspector.confirm(facts, text, digest, now, tick)
        return standing.then(conclude) if isinstance(standing, Miss) else conclude(standing, now, tick)

    def _accept(self, standing: Standing, now: float, tick: float) -> AccessToken:
        if self._checks:
            self._check(standing.token)
        return standing.token

    def _miss(self, fetch: Fetch, case: _Case, attempt: int, doubted: Key | None) -> Miss[AccessToken]:
        return Miss(fetch=fetch, resume=lambda _, now, tick: self._prove(case, now, tick, attempt, doubted))

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        if self._proofs is not None:
            self._proofs.after_fork()
        self.trust.after_fork()

    def _check(self, token: AccessToken) -> None:
        for check in self._checks:
            try:
                verdict = check(token)
            except RequestRefused as refused:
                refused.issuer, refused.client_id = token.issuer, token.client_id
                raise
            if verdict is not None:
                # True, False, a coroutine: whatever was meant, it is no clear yes.
                if inspect.iscoroutine(verdict):
                    verdict.close()
                raise ConfigurationError(
                    f"check {_name(check)} returned {type(verdict).__name__}: return None to accept, "
                    "raise AccessDenied() to refuse; checks are plain functions, not async"
                )


def _sound_checks(checks: Iterable[Check]) -> tuple[Check, ...]:
    said: object = checks  # what is annotated need not hold
    if not isinstance(said, Iterable):
        raise ConfigurationError(f"checks is {_name(said)}: it is a list of functions, checks=[my_check]")
    return tuple(map(_sound_check, checks))


def _sound_check(check: Check) -> Check:
    said: object = check  # what is annotated need not hold
    if not callable(said) or inspect.iscoroutinefunction(check):
        raise ConfigurationError(
            f"check {_name(check)} is no plain function: write def check(token), which raises AccessDenied() to refuse"
        )
    return check


def _name(check: object) -> str:
    return getattr(check, "__qualname__", None) or repr(check)
