"""Asking one issuer about tokens: what is remembered of its answers, and what follows from them. No I/O.

Of an answer, facts are remembered and no decisions: times are looked at each time. A token that the issuer does not
know is remembered apart and for a short time, so that junk evicts nothing. Trouble is never remembered as an answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, NamedTuple

from .._cache import Generations
from .._claims import ClaimRules, untimely, validity
from .._fetch import Answer, Fetch, Miss, Request
from .._json import json_object
from .._keys.lookup import Keys
from ..errors import InvalidToken, Reason, Unavailable
from ..events import Event
from ..introspection import Introspection
from ..token import AccessToken
from .answer import Trouble, answer_rules, is_unsupported, lenient_rules, read_active, trouble_of
from .endpoint import Endpoint
from .signed import SignedAnswers

ANSWER_BYTES = 16 * 1024 * 1024  # of all remembered answers


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
        self.policy = asked.policy
        self._asked = asked
        self._rules = answer_rules(rules, asked)
        self._lenient = lenient_rules(rules, asked)
        self._signed = SignedAnswers(rules, asked, keys) if asked.signed_response else None
        self._endpoint = Endpoint(rules.issuer, asked, emit, random)
        self._due = due
        self._active: Generations[Standing] = Generations(entries=asked.entries, weight=ANSWER_BYTES)
        self._refused: Generations[_Refusal] = Generations(entries=asked.entries, weight=asked.entries)

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
        return self._endpoint.health(tick)

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        self._active.after_fork()
        self._refused.after_fork()
        self._endpoint.after_fork()

    def _look(self, question: _Question, now: float, tick: float) -> Standing | Miss[Standing]:
        known = self._known(question, now, tick)
        if known is not None:
            return known
        endpoint = self._endpoint
        if endpoint.paused(tick):
            raise endpoint.unavailable(endpoint.trouble or Trouble("left alone for a while"), tick)
        seek = endpoint.seek(tick)
        if seek is not None:
            if not endpoint.url:
                return Miss(fetch=seek, resume=lambda _, now, tick: self._ask(question, now, tick))
            self._due.append(seek)
        return self._ask(question, now, tick)

    def _ask(self, question: _Question, now: float, tick: float) -> Miss[Standing]:
        endpoint = self._endpoint
        if not endpoint.url:
            raise endpoint.unavailable(endpoint.trouble or Trouble("its metadata did not come in time"), tick)

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
            raise self._endpoint.unavailable(Trouble("no answer in time"), tick)
        trouble = trouble_of(answer)
        if trouble is not None:
            raise self._endpoint.unavailable(trouble, tick)
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
            members: Any = (
                json_object(body) if self._signed is None else self._signed.members(body, now, tick, attempt=attempt)
            )
            if isinstance(members, Fetch):
                return members
            if type(members) is not dict:
                raise ValueError("it has no token_introspection")
        except ValueError as error:
            trouble = str(error)
        else:
            return members
        raise self._endpoint.unavailable(Trouble(f"the answer is of no use: {trouble}"), tick)

    def _fetch(self, question: _Question, now: float, looked: float) -> Fetch:
        asked, endpoint = self._asked, self._endpoint
        events: list[Event] = []

        def steps(tick: float) -> Generator[Request, Answer, Answer | None]:
            if self._is_known(question.digest, tick) or not endpoint.enter(tick):
                return None  # answered or opened meanwhile: it stood in line, or another one had just landed
            if not endpoint.url:
                return None  # it was lost meanwhile
            answer = yield endpoint.request(question.text, now + (tick - looked))
            endpoint.learn(answer, events)
            # Before it lands: else whoever comes between then and the first waiter's look would ask once more.
            try:
                self._hear(answer, question, now + (answer.at - looked), answer.at)
            except InvalidToken:
                pass
            except Unavailable as refused:
                endpoint.tell(trouble_of(answer) or Trouble(refused.detail), answer.at, events)
            return answer

        return Fetch(
            name=(self, question.digest),
            steps=steps,
            landed=lambda: endpoint.emit_all(events),
            patience=asked.patience,
            limit=asked.patience + 4 * asked.total_timeout,  # it may have to wait in line
            queue=endpoint.queue,
        )

    def _is_known(self, digest: bytes, tick: float) -> bool:
        remembered = self._active.get(digest), self._refused.get(digest)
        return any(one is not None and tick < one.until for one in remembered)

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
