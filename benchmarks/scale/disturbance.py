"""What good tokens notice of other things that go on: keys fetched anew, and floods of tokens under made-up key ids."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from time import perf_counter

from tokenguard import InvalidToken, Issuer, KeyPolicy, TokenValidator

from ..load import percentile
from ..measuring import Row, Section
from .elsewhere import IssuerElsewhere, issuer_elsewhere
from .sizes import forgetful

TOKENS = 512
OFTEN = 0.1  # seconds of life for a key set
FIGURES = ("p50", "p99", "max")

# A fetch about each OFTEN seconds, far more often than anybody would configure, so that some fall into each round.
RESTLESS = KeyPolicy(lifetime=OFTEN, min_lifetime=OFTEN, max_lifetime=OFTEN, refresh_ahead=OFTEN / 5)


def sections(*, quick: bool) -> Iterator[Section]:
    rounds, seconds = (2, 0.3) if quick else (9, 1.0)
    with issuer_elsewhere("RS256", keys=4) as issuer:
        tokens = issuer.mint(TOKENS)
        yield _refresh(issuer, tokens, rounds, seconds)
        yield _flood(issuer, tokens, rounds, seconds)


class _Times:
    """What one contestant's tokens took, in microseconds: three rows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rounds: list[list[float]] = []

    def take(self, validator: TokenValidator, tokens: Sequence[str], seconds: float) -> None:
        took = []
        end = perf_counter() + seconds
        for token in cycle(tokens):
            began = perf_counter()
            validator.validate(token)
            done = perf_counter()
            took.append((done - began) * 1e6)
            if done >= end:
                break
        self._rounds.append(sorted(took))

    def rows(self, note: str = "") -> Iterator[Row]:
        for figure, share in zip(FIGURES, (0.50, 0.99, 1.0), strict=True):
            yield Row(
                name=f"{self.name}, {figure}",
                samples=tuple(percentile(took, share) for took in self._rounds),
                note=note if figure == FIGURES[0] else "",
            )


def _validator(issuer: IssuerElsewhere, policy: KeyPolicy) -> TokenValidator:
    validator = TokenValidator(
        Issuer(issuer.url, jwks_uri=issuer.jwks_uri, keys=policy),
        audience=issuer.audience,
        token_cache=forgetful(TOKENS // 2),  # half of them at a time is sent by one thread
    )
    validator.warm_up()
    return validator


def _refresh(issuer: IssuerElsewhere, tokens: Sequence[str], rounds: int, seconds: float) -> Section:
    quiet, refreshed = _Times("quiet"), _Times("while keys are fetched")
    fetched = 0
    with ExitStack() as stack:
        calm = stack.enter_context(_validator(issuer, KeyPolicy()))
        restless = stack.enter_context(_validator(issuer, RESTLESS))
        for _ in range(rounds):
            quiet.take(calm, tokens, seconds)
            restless.validate(tokens[0])  # after a rest its keys are too old: who comes first then is another question
            before = issuer.key_requests()
            refreshed.take(restless, tokens, seconds)
            fetched += issuer.key_requests() - before
    return Section(
        key="scale-refresh",
        title="Time of a first-seen RS256 token while the key set is fetched beside it",
        unit="us",
        baseline="quiet, p50",
        rows=(*quiet.rows(), *refreshed.rows(note=f"{fetched / (rounds * seconds):.0f} fetches in a second")),
    )


def _flood(issuer: IssuerElsewhere, tokens: Sequence[str], rounds: int, seconds: float) -> Section:
    alone, beside, flooded = _Times("alone"), _Times("beside good ones"), _Times("beside unknown key ids")
    good = tokens[: TOKENS // 2]
    strange = [_under_unknown_kid(token) for token in tokens[TOKENS // 2 :]]
    sent = 0
    with ExitStack() as stack:
        stack.enter_context(_unlogged())
        first, second, third = (stack.enter_context(_validator(issuer, KeyPolicy())) for _ in range(3))
        before = issuer.key_requests()
        began = perf_counter()
        for _ in range(rounds):
            alone.take(first, good, seconds)
            with _sending(second, tokens[TOKENS // 2 :]):
                beside.take(second, good, seconds)
            with _sending(third, strange) as count:
                flooded.take(third, good, seconds)
            sent += count()
        fetched, took = issuer.key_requests() - before, perf_counter() - began
    return Section(
        key="scale-flood",
        title="Time of a first-seen RS256 token beside another thread that sends tokens without a pause",
        unit="us",
        baseline="beside good ones, p50",
        rows=(
            *alone.rows(),
            *beside.rows(),
            *flooded.rows(note=f"{sent:,} of them made {fetched} key requests in {took:.0f} s"),
        ),
    )


@contextmanager
def _sending(validator: TokenValidator, tokens: Sequence[str]) -> Iterator[Callable[[], int]]:
    """Have another thread validate these tokens, over and over; yields how many there were."""
    over = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        for token in cycle(tokens):
            if over.is_set():
                return
            sent += 1
            try:
                validator.validate(token)
            except InvalidToken:
                continue

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield lambda: sent
    finally:
        over.set()
        thread.join()


def _under_unknown_kid(token: str) -> str:
    header = {"alg": "RS256", "typ": "at+jwt", "kid": secrets.token_hex(8)}
    segment = urlsafe_b64encode(json.dumps(header).encode("ascii")).rstrip(b"=").decode("ascii")
    return f"{segment}.{token.partition('.')[2]}"


@contextmanager
def _unlogged() -> Iterator[None]:
    """What is logged goes nowhere: not, for want of a handler, to standard error."""
    logger, handler = logging.getLogger("tokenguard"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
