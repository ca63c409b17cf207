"""tokenguard as a contestant, and how a contestant gets its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import Any

from tokenguard import Issuer, TokenValidator
from tokenguard.testing import LocalIssuer

from .measuring import Contestant, Timed
from .peers import AsyncWay, Batch, SyncWay
from .tokens import AUDIENCE, ISSUER

UNCACHED = "tokenguard validate, token_cache=None"

PASSES = 10  # over what costs a microsecond or two each: a clock is too coarse for less


def validate(keys: LocalIssuer, known: str, clock: Callable[[], float] = perf_counter) -> SyncWay:
    return SyncWay("tokenguard validate", lambda: _validator(keys, known).validate, remembers=True, clock=clock)


def validate_async(keys: LocalIssuer, known: str, runner: asyncio.Runner) -> AsyncWay:
    fresh = partial(_validator, keys, known)
    return AsyncWay("tokenguard validate_async", lambda: fresh().validate_async, runner, remembers=True)


def validate_uncached(keys: LocalIssuer, known: str) -> SyncWay:
    fresh = partial(_validator, keys, known, token_cache=None)
    return SyncWay(UNCACHED, lambda: fresh().validate)


def _validator(keys: LocalIssuer, known: str, **options: Any) -> TokenValidator:
    """New, and warm: it has its keys, and has seen one token of the issuer's that nobody measures."""
    validator = TokenValidator(Issuer(ISSUER, jwks=keys.jwks()), audience=AUDIENCE, **options)
    validator.validate(known)
    return validator


def in_turn(run: Callable[[Batch], Timed], tokens: Sequence[str], size: int, **said: Any) -> Contestant:
    """A contestant that does another batch of these tokens in each round, until it is the first one's turn again."""
    pieces = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    batches = cycle([Batch(tokens=piece, **said) for piece in pieces])
    return lambda: run(next(batches))
