"""Asking one issuer about tokens: what is remembered of its answers, and whether it is worth asking now. No I/O.

Of an answer, facts are remembered and no decisions: times are looked at each time. A token that the issuer does not
know is remembered apart and for a short time, so that junk evicts nothing. Trouble is never remembered as an answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ._breaker import Breaker
from ._cache import Generations
from ._claims import ClaimRules, untimely, validity
from ._client_auth import client_auth
from ._discovery import Discovery
from ._fetch import Answer, Fetch, FetchFailed, Miss, Queue, Request
from ._introspection_answer import (
    JSON,
    SIGNED,
    Trouble,
    is_unsupported,
    read_active,
    read_signed,
    trouble_of,
)
from ._json import json_object
from ._jws import parse_jws, read_payload
from ._keys import Keys
from .errors import InvalidToken, Reason, Unavailable
from .events import Event, IntrospectionFailed, IntrospectionRecovered
from .introspection import Introspection
from .token import AccessToken

FAILURES = 5  # in a row, until the endpoint is left alone
PAUSE_FIRST, PAUSE_MOST = 1.0, 30.0  # seconds
SEEK_AGAIN = 30.0  # seconds until the metadata is looked at again, while the last endpoint it named still serves
ANSWER_BYTES = 16 * 1024 * 1024  # of all remembered answers
WAITING = 32  # requests in line, per call that may be under way


class Standing(NamedTuple):
    """What the issuer said of an active token; until which tick that is remembered; from when until when it is good."""

    token: AccessToken
    until: float
    begins: float
    ends: float


class _Refusal(NamedTuple):
    """What the issuer said of a token that does not pass, and until which tick that is remembered."""

    until: float
    reason: Reason
    detail: str


class _Question(NamedTuple):
    """A token, and by which rules to read what is said of it."""

    text: bytes
    digest: bytes
    rules: ClaimRules


class Introspector:
    """Asks one issuer.

    Args:
        rules: what is asked of its tokens.
        asked: how to ask.
        keys: its keys, for signed answers.
        due: where to leave a fetch that nobody has to wait for.
        emit: told of what happens.
        random: a number from 0 to 1, so that a fleet does not come back in step.
    """

    def __init__(
        self,
        rules: ClaimRules,
        asked: Introspection,
        keys: Keys,
        *,
        due: deque[Fetch],
        emit: Callable[[Event], None],
        random: Callable[[], float],
    ) -> None:
        issuer = rules.issuer
        self.policy = asked.policy
        self._asked = asked
        self._keys = keys
        self._due = due
        self._emit = emit
        # An answer has RFC 7662's members, whatever the provider's JWTs are like.
        plain = replace(
            issuer.profile, required=(), kind=(), scopes=("scope",), client=("client_id",), audience=("aud",)
        )
        self._rules = ClaimRules(
            issuer=replace(issuer, profile=plain),
            audience=rules.audience,
            aud_optional=asked.allow_missing_aud,
            aud_may_be_empty=asked.allow_missing_aud,
            exp_optional=asked.allow_missing_exp,
            # Where no audience is looked at, nothing else would keep a refresh token out.
            token_type_optional=not (asked.allow_missing_aud or rules.audience is None)
            if asked.allow_missing_token_type is None
            else asked.allow_missing_token_type,
        )
        # Of a JWT that has been proven, it is enough to know that it still stands: its age is in its own iat.
        ageless = replace(self._rules.issuer, max_token_age=None)
        self._lenient = replace(
            self._rules,
            issuer=ageless,
            aud_optional=True,
            exp_optional=True,
            token_type_optional=asked.allow_missing_token_type is not False,
        )
        self._discovery = None if asked.endpoint is not None else Discovery(issuer)
        self._endpoint = asked.endpoint or ""
        self._seek_at = -math.inf if asked.endpoint is None else math.inf  # when to look into the metadata again
        self._doubted_at = -math.inf
        self._auth = client_auth(asked, issuer.url)
        self._active: Generations[Standing] = Generations(entries=asked.entries, weight=ANSWER_BYTES)
        self._refused: Generations[_Refusal] = Generations(entries=asked.entries, weight=asked.entries)
        self._breaker = Breaker(failures=FAILURES, pause_first=PAUSE_FIRST, pause_most=PAUSE_MOST, random=random)
        # By endpoint: tenants may have one in common, and what it can bear does not grow with their number.
        self._queue = Queue(name=asked.endpoint or self, places=asked.in_flight, length=asked.in_flight * WAITING)
        self._trouble: Trouble | None = None  # of the last answer

    def judge(self, text: bytes, digest: bytes, now: float, tick: float) -> Standing | Miss[Standing]:
        """What the issuer says of a token that only it can read.

        Raises:
            InvalidToken: it is not active, or may not pass here.
            Unavailable: nobody can say.
        """
        return self._look(_Question(text, digest, self._rules), now, tick)

    def confirm(
        self, token: AccessToken, text: bytes, digest: bytes, now: float, tick: float
    ) -> Standing | Miss[Standing]:
        """Whether a JWT that was proven still stands. Where the issuer has narrowed its scopes, those count.

        Raises:
            InvalidToken: it is not active, or the issuer speaks of another token.
            Unavailable: nobody can say.
        """
        outcome = self._look(_Question(text, digest, self._lenient), now, tick)
        if isinstance(outcome, Miss):
            return outcome.then(lambda standing, now, tick: self._both(token, standing))
        return self._both(token, outcome)

    def health(self, tick: float) -> dict[str, Any]:
        """State and last error, as plain data."""
        wait = self._breaker.wait(tick)
        state = "paused" if wait or self._breaker.open else "ready"
        return {"state": state, "next_try": wait, "last_error": None if self._trouble is None else self._trouble.text}

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        self._active.after_fork()
        self._refused.after_fork()
        self._breaker.after_fork()

    def _look(self, question: _Question, now: float, tick: float) -> Standing | Miss[Standing]:
        known = self._known(question, now, tick)
        if known is not None:
            return known
        if self._breaker.wait(tick):
            raise self._troubled(self._trouble or Trouble("left alone for a while"), tick)

        if self._discovery is not None and tick >= self._seek_at:
            seek = self._seek(self._discovery)
            if not self._endpoint:
                return Miss(fetch=seek, resume=lambda _, now, tick: self._ask(question, now, tick))
            self._seek_at = tick + SEEK_AGAIN
            self._due.append(seek)
        return self._ask(question, now, tick)

    def _ask(self, question: _Question, now: float, tick: float) -> Miss[Standing]:
        if not self._endpoint:
            raise self._troubled(self._trouble or Trouble("its metadata did not come in time"), tick)

        def resume(answer: Answer | None, now: float, tick: float) -> Standing | Miss[Standing]:
            # Mostly the flight has put it there, for all who waited.
            known = self._known(question, now, tick)
            return self._hear(answer, question, now, tick) if known is None else known

        return Miss(fetch=self._fetch(question, now, tick), resume=resume)

    def _known(self, question: _Question, now: float, tick: float) -> Standing | None:
        """What is remembered of a token.

        Raises:
            InvalidToken: it is remembered, and does not pass.
        """
        standing = self._active.get(question.digest)
        if standing is not None and tick < standing.until:
            return self._timely(standing, now)
        refusal = self._refused.get(question.digest)
        if refusal is not None and tick < refusal.until:
            raise self._refusing(refusal.reason, refusal.detail)
        return None

    def _hear(
        self, answer: Answer | None, question: _Question, now: float, tick: float, attempt: int = 0
    ) -> Standing | Miss[Standing]:
        if answer is None:
            raise self._unavailable("no answer in time", tick)
        trouble = trouble_of(answer)
        if trouble is not None:
            raise self._troubled(trouble, tick)
        issuer = self._rules.issuer
        try:
            if is_unsupported(answer):
                raise InvalidToken(Reason.INACTIVE, "the issuer does not introspect such tokens")
            members = self._members(answer.body, now, tick, attempt)
            if isinstance(members, Fetch):
                again = attempt + 1
                return Miss(
                    fetch=members,
                    resume=lambda _, now, tick: self._hear(answer, question, now, tick, again),
                )
            token = read_active(members, question.rules)
            begins, ends = validity(token, issuer)
            if now >= ends:  # and never good again
                raise untimely(token, issuer, now)
        except InvalidToken as refused:
            until = answer.at + self._asked.inactive_lifetime
            if until > tick:
                self._refused.put(question.digest, _Refusal(until, refused.reason, refused.detail), 1)
            refused.issuer = issuer.url
            raise
        # Counted from the answer, however late whoever waited for it comes to hear of it.
        until = min(answer.at + self._asked.lifetime, tick + (token.expires_at - now))
        if math.isinf(token.expires_at):
            until = tick
        standing = Standing(token, until, begins, ends)
        if until > tick:
            self._active.put(question.digest, standing, len(answer.body))
        return self._timely(standing, now)

    def _timely(self, standing: Standing, now: float) -> Standing:
        if not standing.begins <= now < standing.ends:
            refused = untimely(standing.token, self._rules.issuer, now)
            raise self._refusing(refused.reason, refused.detail)
        return standing

    def _refusing(self, reason: Reason, detail: str) -> InvalidToken:
        refused = InvalidToken(reason, detail)
        refused.issuer = self._rules.issuer.url
        return refused

    def _members(self, body: bytes, now: float, tick: float, attempt: int) -> dict[str, Any] | Fetch:
        """The members of an answer, or the keys to fetch first.

        Raises:
            Unavailable: it is no such answer.
        """
        try:
            members: Any = self._signed(body, now, tick, attempt) if self._asked.signed_response else json_object(body)
            if isinstance(members, Fetch):
                return members
            if type(members) is not dict:
                raise ValueError("it has no token_introspection")
        except ValueError as error:
            trouble = str(error)
        else:
            return members
        raise self._unavailable(f"the answer is of no use: {trouble}", tick)

    def _signed(self, body: bytes, now: float, tick: float, attempt: int) -> Any:
        try:
            header, payload, signed, signature = parse_jws(body.strip(), {})
            members = read_signed(read_payload(payload), header, self._rules, self._asked, now)
            if header.alg not in self._rules.issuer.algorithms:
                raise ValueError("it is signed with another algorithm than the issuer's")
            key = self._keys.find(header.kid, header.alg, tick, attempt=attempt)
        except InvalidToken as refused:  # said of the answer, not of the caller's token
            trouble = str(refused)
        else:
            if isinstance(key, Fetch):
                return key
            if key.verify(header.alg, signed, signature):
                return members
            # The issuer may have put a new key under the same kid, as with a JWT of its own.
            fetch = self._keys.doubt(tick) if attempt == 0 else None
            if fetch is not None:
                return fetch
            trouble = "its signature does not hold"
        raise ValueError(f"not signed by the issuer: {trouble}")

    def _seek(self, discovery: Discovery) -> Fetch:
        """Find the endpoint: one flight for all who wait for it."""
        asked = self._asked
        events: list[Event] = []

        def steps(tick: float) -> Generator[Request, Answer, None]:
            if not self._breaker.enter(tick):
                return
            try:
                self._endpoint = yield from discovery.find("introspection_endpoint", tick)
            except FetchFailed as failure:
                self._endpoint = ""
                self._breaker.failed(failure.at)
                self._tell(Trouble(str(failure), outage=True), failure.at, events)
            else:
                self._breaker.release(tick)
                lifetime = self._rules.issuer.keys.metadata_lifetime
                self._seek_at = tick + (SEEK_AGAIN if discovery.trouble else lifetime)

        return Fetch(
            name=self,
            steps=steps,
            landed=lambda: self._emit_all(events),
            patience=asked.patience,
            limit=asked.patience + 4 * asked.total_timeout,
        )

    def _fetch(self, question: _Question, now: float, looked: float) -> Fetch:
        events: list[Event] = []

        def steps(tick: float) -> Generator[Request, Answer, Answer | None]:
            if self._is_known(question.digest, tick) or not self._breaker.enter(tick):
                return None  # answered or opened meanwhile: it stood in line, or another one had just landed
            if not self._endpoint:
                return None  # it was lost meanwhile
            answer = yield self._request(question.text, now + (tick - looked))
            self._learn(answer, events)
            # Before it lands: else whoever comes between then and the first waiter's look would ask once more.
            try:
                self._hear(answer, question, now + (answer.at - looked), answer.at)
            except InvalidToken:
                pass
            except Unavailable as refused:
                self._tell(trouble_of(answer) or Trouble(refused.detail), answer.at, events)
            return answer

        asked = self._asked
        limit = asked.patience + 4 * asked.total_timeout  # it may have to wait in line
        return Fetch(
            name=(self, question.digest),
            steps=steps,
            landed=lambda: self._emit_all(events),
            patience=asked.patience,
            limit=limit,
            queue=self._queue,
        )

    def _request(self, text: bytes, now: float) -> Request:
        asked = self._asked
        members, authorization = self._auth(now)
        # Without the hint some servers look among their refresh tokens too, and call one of those active.
        form = {"token": text.decode("ascii"), "token_type_hint": "access_token", **members}
        return Request(
            url=self._endpoint,
            accept=SIGNED if asked.signed_response else JSON,
            form=urlencode(form).encode("ascii"),
            authorization=authorization,
            connect_timeout=asked.connect_timeout,
            total_timeout=asked.total_timeout,
            max_bytes=asked.max_bytes,
        )

    def _emit_all(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)

    def _learn(self, answer: Answer, events: list[Event]) -> None:
        trouble = self._trouble = trouble_of(answer)
        gone = answer.status in (404, 410) and answer.at >= self._doubted_at + SEEK_AGAIN
        if gone and self._discovery is not None:  # the endpoint may have moved
            self._discovery.forget()
            self._doubted_at = self._seek_at = answer.at
        if trouble is not None and trouble.outage:
            self._breaker.failed(answer.at)
        elif self._breaker.succeeded():
            events.append(IntrospectionRecovered(issuer=self._rules.issuer.url))

    def _tell(self, trouble: Trouble, tick: float, events: list[Event]) -> None:
        self._trouble = trouble
        events.append(
            IntrospectionFailed(
                issuer=self._rules.issuer.url,
                trouble=trouble.text,
                credentials=trouble.credentials,
                pause=self._breaker.wait(tick),
            )
        )

    def _is_known(self, digest: bytes, tick: float) -> bool:
        remembered = self._active.get(digest), self._refused.get(digest)
        return any(one is not None and tick < one.until for one in remembered)

    def _troubled(self, trouble: Trouble, tick: float) -> Unavailable:
        reason = Reason.INTROSPECTION_CREDENTIALS_REJECTED if trouble.credentials else None
        return self._unavailable(trouble.text, tick, reason=reason, retry_after=trouble.retry_after)

    def _unavailable(
        self, detail: str, tick: float, *, reason: Reason | None = None, retry_after: float = 0.0
    ) -> Unavailable:
        wait = max(1.0, self._breaker.wait(tick), min(retry_after, PAUSE_MOST))
        refused = Unavailable(reason or Reason.INTROSPECTION_UNAVAILABLE, detail, retry_after=math.ceil(wait))
        refused.issuer = self._rules.issuer.url
        return refused

    def _both(self, token: AccessToken, standing: Standing) -> Standing:
        """What a JWT says of itself, as far as the issuer still stands to it."""
        said = standing.token
        for name in ("subject", "client_id", "token_id"):
            # What only one of them tells (a JWT's azp is an answer's client_id) is no contradiction.
            if None not in (getattr(said, name), getattr(token, name)) and getattr(said, name) != getattr(token, name):
                raise self._refusing(Reason.INACTIVE, f"the issuer speaks of another {name}")
        if "scope" in said.claims and not token.scopes <= said.scopes:
            token = replace(token, scopes=token.scopes & said.scopes)
        return standing._replace(token=token)
