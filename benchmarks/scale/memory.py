"""What remembered tokens take, by the operating system's own account of a process of their own."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

from tokenguard import Issuer, TokenValidator
from tokenguard.config import TokenCache
from tokenguard.testing import LocalIssuer

from ..measuring import Row, Section
from .elsewhere import elsewhere
from .sizes import role_claims

WARM = 200  # tokens before anything is counted: what is imported and allocated once, is
LARGE = 300  # roles


def sections(*, quick: bool) -> Iterator[Section]:
    counts = (100, 1000, TokenCache().entries, 10_000)
    yield from _distinct(counts if quick else (*counts, 30_000, 100_000), 1 if quick else 3)
    yield _entry(5_000 if quick else 20_000, 3 if quick else 5)


def resident() -> int:
    """Bytes of this process in memory; where that is not told, the most there ever were."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _distinct(counts: tuple[int, ...], rounds: int) -> Iterator[Section]:
    grown: dict[int, list[float]] = {count: [] for count in counts}
    took: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        with elsewhere(_validate_distinct, counts) as connection:
            for count in counts:
                growth, each = connection.recv()
                grown[count].append(growth / 2**20)
                took[count].append(each)
    full = f"{TokenCache().entries:,} tokens"
    yield Section(
        key="scale-memory",
        title=f"Memory taken since the start, after so many distinct EdDSA tokens; the default cache holds {full}",
        unit="MiB",
        baseline=f"{10_000:,} tokens",  # the first count beyond what it holds
        rows=tuple(Row(name=f"{count:,} tokens", samples=tuple(taken)) for count, taken in grown.items()),
    )
    yield Section(
        key="scale-distinct-tokens",
        title="A first-seen EdDSA token through the default cache, by how many there were",
        unit="us",
        baseline=f"up to {counts[0]:,} tokens",
        rows=tuple(Row(name=f"up to {count:,} tokens", samples=tuple(taken)) for count, taken in took.items()),
    )


def _validate_distinct(connection: Connection, counts: tuple[int, ...]) -> None:
    with LocalIssuer(algorithms=("EdDSA",)) as issuer:
        validator = _validator(issuer, TokenCache())
        _fill(_validator(issuer, TokenCache()), issuer, WARM, roles=0)
        gc.collect()
        start = resident()
        done = 0
        for count in counts:
            spent = _fill(validator, issuer, count - done, roles=0)
            each = spent / (count - done) * 1e6
            done = count
            gc.collect()
            connection.send((resident() - start, each))


def _entry(count: int, rounds: int) -> Section:
    rows = []
    for roles, entries in ((0, count), (LARGE, count // 10)):
        samples = []
        size = 0
        for _ in range(rounds):
            with elsewhere(_remember, entries, roles) as connection:
                growth, size = connection.recv()
                samples.append(growth / entries)
        rows.append(Row(name=f"{roles} roles", samples=tuple(samples), note=f"the token's text: {size:,} bytes"))
    return Section(
        key="scale-cache-entry",
        title="Memory that a remembered token takes",
        unit="bytes",
        baseline=rows[0].name,
        rows=tuple(rows),
    )


def _remember(connection: Connection, entries: int, roles: int) -> None:
    """Fill a cache that forgets nothing."""
    with LocalIssuer(algorithms=("EdDSA",)) as issuer:
        validator = _validator(issuer, TokenCache(entries=4 * entries, text_bytes=2**40))
        _fill(_validator(issuer, TokenCache()), issuer, WARM, roles=roles)
        size = len(issuer.mint(role_claims(roles)))
        gc.collect()
        start = resident()
        _fill(validator, issuer, entries, roles=roles)
        gc.collect()
        connection.send((resident() - start, size))


def _validator(issuer: LocalIssuer, cache: TokenCache) -> TokenValidator:
    return TokenValidator(Issuer(issuer.url, jwks=issuer.jwks()), audience=issuer.audience, token_cache=cache)


def _fill(validator: TokenValidator, issuer: LocalIssuer, count: int, *, roles: int) -> float:
    """Validate so many new tokens, none of which is kept here, and say how long that took without minting them."""
    claims = role_claims(roles)
    spent = 0.0
    for _ in range(count):
        token = issuer.mint(claims, scope="read:things", expires_in=86400)
        began = perf_counter()
        validator.validate(token)
        spent += perf_counter() - began
    return spent
