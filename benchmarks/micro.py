"""One validation: of a token seen for the first time, of one seen before, and of tokens that are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any

from tokenguard import Issuer, TokenValidator
from tokenguard.testing import LocalIssuer

from . import node
from .measuring import Contestant, Section, Timed, interleave
from .peers import AsyncWay, Batch, Peer, SyncWay, Way, installed
from .tokens import ALGORITHMS, AUDIENCE, ISSUER, Mint, forged

VERIFY = "bare signature check"
HASH = "SHA-256 of the token"
PARSE = "json.loads of the payload"
SUM = "SHA-256, json.loads and signature check"
UNCACHED = "tokenguard validate, token_cache=None"

PASSES = 10  # over what costs a microsecond or two each: a clock is too coarse for less


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A part of the job that nobody can do without, with everything it needs at hand.

    Attributes:
        name: as in the tables.
        prepare: a token, as `loop` wants it.
        loop: does its part for each of them, and nothing else.
    """

    name: str
    prepare: Callable[[str], Any]
    loop: Callable[[Sequence[Any]], None]

    def run(self, batch: Batch) -> Timed:
        prepared = [self.prepare(token) for token in batch.tokens]
        began = perf_counter()
        for _ in range(batch.passes):
            self.loop(prepared)
        return Timed(batch.count, perf_counter() - began)


def verify_floor(keys: LocalIssuer, alg: str) -> Floor:
    """cryptography's `public_key.verify`, signing input and decoded signature being ready."""
    verify, arguments = _verification(keys, alg)

    def loop(prepared: Sequence[tuple[Any, ...]]) -> None:
        for ready in prepared:
            verify(*ready)

    return Floor(name=VERIFY, prepare=arguments, loop=loop)


def hash_floor() -> Floor:
    def loop(prepared: Sequence[bytes]) -> None:
        for text in prepared:
            sha256(text).digest()

    return Floor(name=HASH, prepare=str.encode, loop=loop)


def parse_floor() -> Floor:
    def loop(prepared: Sequence[bytes]) -> None:
        for payload in prepared:
            json.loads(payload)

    return Floor(name=PARSE, prepare=_payload, loop=loop)


def sum_floor(keys: LocalIssuer, alg: str) -> Floor:
    """All three: what a large token is measured against, as its size makes the other two count."""
    verify, arguments = _verification(keys, alg)

    def prepare(token: str) -> tuple[bytes, bytes, tuple[Any, ...]]:
        return token.encode(), _payload(token), arguments(token)

    def loop(prepared: Sequence[tuple[bytes, bytes, tuple[Any, ...]]]) -> None:
        for text, payload, ready in prepared:
            sha256(text).digest()
            json.loads(payload)
            verify(*ready)

    return Floor(name=SUM, prepare=prepare, loop=loop)


def _verification(keys: LocalIssuer, alg: str) -> tuple[Callable[..., None], Callable[[str], tuple[Any, ...]]]:
    """`verify` of the public key, and its arguments for a token."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from jwt import PyJWK

    sha = SHA256()
    more: dict[str, tuple[Any, ...]] = {
        "RS256": (padding.PKCS1v15(), sha),
        "PS256": (padding.PSS(padding.MGF1(sha), 32), sha),
        "ES256": (ec.ECDSA(sha),),
        "EdDSA": (),
    }

    def arguments(token: str) -> tuple[Any, ...]:
        signed, _, signature = token.encode().rpartition(b".")
        raw = _decoded(signature)
        if alg == "ES256":
            raw = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        return raw, signed, *more[alg]

    public: Any = PyJWK(next(jwk for jwk in keys.jwks()["keys"] if jwk["alg"] == alg)).key
    return public.verify, arguments


def _payload(token: str) -> bytes:
    return _decoded(token.encode().split(b".")[1])


def _decoded(segment: bytes) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def validate(keys: LocalIssuer, known: str) -> SyncWay:
    return SyncWay("tokenguard validate", lambda: _validator(keys, known).validate, remembers=True)


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


class Workbench:
    """Whatever all sections share: keys, tokens, and who is there to be measured."""

    def __init__(
        self, keys: LocalIssuer, child: node.Node | None, runner: asyncio.Runner, peers: Sequence[Peer], *, quick: bool
    ) -> None:
        self.keys = keys
        self.mint = Mint(keys)
        self.size = 100 if quick else 200
        self._rounds = 6 if quick else 40
        self._child = child
        self._runner = runner
        self._peers = peers

    def ways(self, alg: str) -> list[Way]:
        """Everybody for an algorithm, checked: who accepts what is to be refused, or the reverse, is not measured."""
        known, *good = self.mint.good(alg, 5)
        ours: list[Way] = [validate(self.keys, known), validate_async(self.keys, known, self._runner)]
        ours.append(validate_uncached(self.keys, known))
        peers = [peer.way(self.keys, alg, self._runner) for peer in self._peers if alg in peer.algorithms]
        nodes = self._child.ways(alg, known) if self._child else []
        bad = [*self.mint.expired(alg, 2), *forged(good), *self.mint.elsewhere(alg), *self.mint.junk(12)]
        for way in (*ours, *peers, *nodes):
            way.require_sound(good, forged(good) if way.name == node.FLOOR else bad)
        return [*ours, *peers, *nodes]

    def section(
        self,
        key: str,
        title: str,
        floors: Sequence[Floor],
        ways: Iterable[Way],
        tokens: Sequence[str],
        *,
        known: bool = False,
        bad: Sequence[str] = (),
    ) -> Section:
        """Measure; the first floor is the baseline.

        Args:
            key, title: the section's.
            floors: work on `tokens`.
            ways: work on `tokens` too, unless there are bad ones.
            tokens: good ones, some batches of them.
            known: let each validator check them beforehand.
            bad: to be refused.
        """
        contestants: dict[str, Contestant] = {}
        notes: dict[str, str] = {}
        for floor in floors:
            passes = PASSES if floor.name in (HASH, PARSE) else 1
            contestants[floor.name] = in_turn(floor.run, tokens, self.size, passes=passes)
        for way in ways:
            if bad:
                contestants[way.name] = in_turn(way.run, bad, self.size, good=False)
            elif known and way.remembers:
                contestants[way.name] = in_turn(way.run, tokens, self.size, known=True, passes=PASSES)
            else:
                contestants[way.name] = in_turn(way.run, tokens, self.size)
                if known:
                    notes[way.name] = "remembers nothing"
        rows = interleave(contestants, rounds=self._rounds)
        section = Section(
            key=key,
            title=title,
            unit="µs",
            baseline=floors[0].name,
            rows=tuple(replace(row, note=notes.get(row.name, "")) for row in rows),
            floors=frozenset({floor.name for floor in floors} | {node.FLOOR}),
        )
        return replace(section, rows=tuple(sorted(section.rows, key=lambda row: median(section.ratios(row)))))

    def anatomy(self, tokens: Sequence[str]) -> Section:
        """Where the time goes."""
        from . import anatomy  # it measures with what stands here

        (known,) = self.mint.good("RS256", 1)
        return anatomy.section(self.keys, known, tokens, size=self.size, rounds=self._rounds)


def in_turn(run: Callable[[Batch], Timed], tokens: Sequence[str], size: int, **said: Any) -> Contestant:
    """A contestant that does another batch of these tokens in each round, until it is the first one's turn again."""
    pieces = [tokens[start : start + size] for start in range(0, len(tokens), size)]
    batches = cycle([Batch(tokens=piece, **said) for piece in pieces])
    return lambda: run(next(batches))


def sections(*, quick: bool) -> Iterator[Section]:
    with ExitStack() as stack:
        keys = stack.enter_context(LocalIssuer(algorithms=ALGORITHMS))
        child = stack.enter_context(node.started(keys))
        runner = stack.enter_context(asyncio.Runner())
        bench = Workbench(keys, child, runner, list(installed(keys)), quick=quick)
        good, ways = {}, {}
        for alg in ALGORITHMS:
            # Several batches, so that even a processor's caches see a token again only after many others.
            count = bench.size * (3 if quick else 10 if alg == "RS256" else 5)
            good[alg], ways[alg] = bench.mint.good(alg, count), bench.ways(alg)
        yield from _first_seen(bench, good, ways)
        yield bench.anatomy(good["RS256"])
        yield from _repeated(bench, good, ways)
        yield from _refused(bench, good["RS256"], ways["RS256"])
        yield from _large(bench, ways["RS256"])


def _first_seen(
    bench: Workbench, good: Mapping[str, Sequence[str]], ways: Mapping[str, Sequence[Way]]
) -> Iterator[Section]:
    for alg in ALGORITHMS:
        yield bench.section(
            f"first-seen-{alg.lower()}",
            f"{alg}, a token seen for the first time ({len(good[alg][0])} bytes)",
            [verify_floor(bench.keys, alg), parse_floor(), hash_floor()],
            ways[alg],
            good[alg],
        )


def _repeated(
    bench: Workbench, good: Mapping[str, Sequence[str]], ways: Mapping[str, Sequence[Way]]
) -> Iterator[Section]:
    for alg in ALGORITHMS:
        yield bench.section(
            f"repeated-{alg.lower()}",
            f"{alg}, a token seen before ({len(good[alg][0])} bytes)",
            [hash_floor(), verify_floor(bench.keys, alg)],
            [way for way in ways[alg] if way.name not in (node.FLOOR, UNCACHED)],
            good[alg][: bench.size],
            known=True,
        )


def _refused(bench: Workbench, good: Sequence[str], ways: Sequence[Way]) -> Iterator[Section]:
    floors = [verify_floor(bench.keys, "RS256")]
    judges = [way for way in ways if way.name != node.FLOOR]
    for key, title, bad in (
        ("bad-signature", "RS256, refused: its signature is another token's", forged(good)),
        ("expired", "RS256, refused: expired an hour ago", bench.mint.expired("RS256", bench.size)),
        ("junk", "Refused: noise, opaque, cut and unsigned tokens", bench.mint.junk(bench.size * 3)),
    ):
        yield bench.section(key, title, floors, judges, good, bad=bad)


def _large(bench: Workbench, ways: Sequence[Way]) -> Iterator[Section]:
    tokens = bench.mint.large("RS256", bench.size * 2)
    size = f"{len(tokens[0]) / 1000:.1f} KB, 250 roles and groups"
    judges = [way for way in ways if way.name != node.FLOOR]
    floors = [sum_floor(bench.keys, "RS256"), verify_floor(bench.keys, "RS256"), parse_floor(), hash_floor()]
    yield bench.section(
        "large-first-seen", f"RS256, a large token seen for the first time ({size})", floors, judges, tokens
    )
    yield bench.section(
        "large-repeated",
        f"RS256, a large token seen before ({size})",
        [hash_floor(), verify_floor(bench.keys, "RS256")],
        [way for way in judges if way.name != UNCACHED],
        tokens[: bench.size],
        known=True,
    )
