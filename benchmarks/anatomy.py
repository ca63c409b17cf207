"""Where the time of a first-seen token goes: the steps of its way, each by itself, and what is left for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter
from typing import Any, Final

from tokenguard import Issuer
from tokenguard._base64url import base64url_decode
from tokenguard._claims import ClaimRules, read_claims
from tokenguard._json import json_object
from tokenguard._keys.jwk import parse_jwk
from tokenguard.testing import LocalIssuer

from .measuring import Row, Section, Timed, interleave
from .ours import UNCACHED, in_turn, validate, validate_uncached
from .peers import Batch
from .tokens import AUDIENCE, ISSUER

WHOLE: Final = "tokenguard validate"
REST: Final = "the rest: header, times, key, calls"
REMEMBER: Final = "to remember it: its hash, and memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step: what it works on, made beforehand, and the work."""

    name: str
    prepare: Callable[[str], Any]
    work: Callable[[Any], object]

    def run(self, batch: Batch) -> Timed:
        prepared = [self.prepare(token) for token in batch.tokens]
        work = self.work
        began = perf_counter()
        for ready in prepared:
            work(ready)
        return Timed(batch.count, perf_counter() - began)


def steps(keys: LocalIssuer) -> tuple[Step, ...]:
    """In the order of a token's way."""
    issuer = Issuer(ISSUER, jwks=keys.jwks())
    rules = ClaimRules(issuer=issuer, audience=frozenset({AUDIENCE}))
    key = parse_jwk(next(jwk for jwk in keys.jwks()["keys"] if jwk["alg"] == "RS256"))

    def decode(parts: Sequence[bytes]) -> None:
        base64url_decode(parts[1])
        base64url_decode(parts[2])

    def payload(token: str) -> bytes:
        return base64url_decode(token.encode().split(b".")[1])

    def signed(token: str) -> tuple[bytes, bytes]:
        text, _, signature = token.encode().rpartition(b".")
        return text, base64url_decode(signature)

    return (
        Step(name="base64url of payload and signature", prepare=lambda token: token.encode().split(b"."), work=decode),
        Step(name="JSON of the payload, strictly", prepare=payload, work=json_object),
        Step(name="claims", prepare=lambda token: json_object(payload(token)), work=lambda c: read_claims(c, rules)),
        Step(name="signature", prepare=signed, work=lambda ready: key.verify("RS256", *ready)),
    )


def section(keys: LocalIssuer, known: str, tokens: Sequence[str], *, size: int, rounds: int) -> Section:
    """Measure the steps, and what the whole takes beyond them."""
    parts = steps(keys)
    on, off = validate(keys, known), validate_uncached(keys, known)
    hashing = Step(name="hash", prepare=str.encode, work=lambda text: sha256(text).digest())
    assert key_holds(parts[-1], tokens[0])
    rows = interleave(
        {step.name: in_turn(step.run, tokens, size) for step in (*parts, hashing)}
        | {WHOLE: in_turn(on.run, tokens, size), UNCACHED: in_turn(off.run, tokens, size)},
        rounds=rounds,
    )
    samples = {row.name: row.samples for row in rows}
    known_parts = [samples[step.name] for step in parts]
    rest = tuple(whole - sum(each) for whole, *each in zip(samples[UNCACHED], *known_parts, strict=True))
    memory = tuple(whole - without for whole, without in zip(samples[WHOLE], samples[UNCACHED], strict=True))
    shown = [
        Row(name=WHOLE, samples=samples[WHOLE]),
        *(Row(name=step.name, samples=samples[step.name]) for step in parts),
        Row(name=REST, samples=rest, note="what the whole takes beyond these steps"),
        Row(name=REMEMBER, samples=memory, note="the whole less the same without a cache"),
    ]
    return Section(
        key="anatomy",
        title="Where the time of a first-seen token goes (RS256, 754 bytes)",
        unit="µs",
        baseline=WHOLE,
        rows=tuple(replace(row, samples=tuple(max(0.001, sample) for sample in row.samples)) for row in shown),
        floors=frozenset(row.name for row in shown[1:]),
    )


def key_holds(step: Step, token: str) -> bool:
    """Whether the last step really finds a good signature good."""
    return step.work(step.prepare(token)) is True
