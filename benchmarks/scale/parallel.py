"""Threads and processes: what the GIL leaves of several cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from tokenguard import Issuer, TokenValidator
from tokenguard.config import TokenCache
from tokenguard.testing import LocalIssuer

from ..measuring import Contestant, Section, interleave
from .elsewhere import elsewhere

TOKENS = 256
CACHE = TokenCache(entries=TOKENS // 8)  # less than the share of one of four threads: whoever runs ahead meets no hit


def sections(*, quick: bool) -> Iterator[Section]:
    for algorithm in ("RS256", "ES256", "EdDSA"):
        yield _section(algorithm, repeats=4 if quick else 16, rounds=3 if quick else 11)


def _section(algorithm: str, *, repeats: int, rounds: int) -> Section:
    with LocalIssuer(algorithms=(algorithm,)) as issuer, ExitStack() as stack:
        tokens = [issuer.mint(scope="read:things", expires_in=86400) for _ in range(TOKENS)]
        known = (issuer.url, issuer.jwks(), issuer.audience)
        validator = _validator(*known)
        workers = [stack.enter_context(elsewhere(_work, known, tokens)) for _ in range(2)]
        contestants: dict[str, Contestant] = {
            "1 thread": _threads(validator, tokens, 1, repeats),
            "2 threads": _threads(validator, tokens, 2, repeats),
            "4 threads": _threads(validator, tokens, 4, repeats),
            "1 other process": _processes(workers[:1], repeats),
            "2 other processes": _processes(workers, repeats),
        }
        rows = interleave(contestants, rounds=rounds)
    return Section(
        key=f"scale-parallel-{algorithm.lower()}",
        title=f"First-seen {algorithm} tokens per second, all threads or processes together; {os.cpu_count()} cores",
        unit="tokens/s",
        baseline="1 thread",
        more_is_better=True,
        rows=tuple(replace(row, samples=tuple(1e6 / each for each in row.samples)) for row in rows),
    )


def _validator(url: str, jwks: Mapping[str, Any], audience: str) -> TokenValidator:
    return TokenValidator(Issuer(url, jwks=jwks), audience=audience, token_cache=CACHE)


def _threads(validator: TokenValidator, tokens: Sequence[str], count: int, repeats: int) -> Contestant:
    """The same work, shared between some threads."""

    def batch() -> int:
        threads = [
            threading.Thread(target=_validate, args=(validator, tokens[n::count], repeats)) for n in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(tokens) * repeats

    return batch


def _processes(workers: Sequence[Connection], repeats: int) -> Contestant:
    """That work for each of some processes, which are up and waiting."""

    def batch() -> int:
        for worker in workers:
            worker.send(repeats)
        return sum(worker.recv() for worker in workers)

    return batch


def _work(connection: Connection, known: tuple[str, Mapping[str, Any], str], tokens: Sequence[str]) -> None:
    validator = _validator(*known)
    while True:
        repeats = connection.recv()
        _validate(validator, tokens, repeats)
        connection.send(len(tokens) * repeats)


def _validate(validator: TokenValidator, tokens: Sequence[str], repeats: int) -> None:
    for _ in range(repeats):
        for token in tokens:
            validator.validate(token)
