"""What a validation costs as configuration and tokens grow; repeated, and first seen."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter

from tokenguard import Issuer, TokenValidator
from tokenguard.config import TokenCache
from tokenguard.requirements import Requirement
from tokenguard.testing import LocalIssuer

from ..floors import sum_floor
from ..measuring import Contestant, Row, Section, interleave
from ..ours import in_turn
from .elsewhere import IssuerElsewhere, issuer_elsewhere

TOKENS = 1000
DAY = 86400
ROLES = (0, 30, 100, 300)
SCOPES = ((1, 1), (10, 1), (10, 10), (100, 1), (100, 100))  # granted, required


def sections(*, quick: bool) -> Iterator[Section]:
    rounds = 3 if quick else 15
    yield from _keys_and_issuers(rounds)
    yield from _scopes(rounds)
    yield _token_size(rounds)
    yield _warm_up(3 if quick else 7)


def forgetful(tokens: int) -> TokenCache:
    """A cache that holds half of some tokens: validated in turn, each is first seen, and still digested and stored."""
    return TokenCache(entries=tokens // 2)


def validating(validator: TokenValidator, tokens: Sequence[str]) -> Contestant:
    """Validate them in turn."""

    def batch() -> int:
        for token in tokens:
            validator.validate(token)
        return len(tokens)

    return batch


def _keys_and_issuers(rounds: int) -> Iterator[Section]:
    first: dict[str, Contestant] = {}
    repeated: dict[str, Contestant] = {}
    with ExitStack() as stack:
        for keys in (1, 10, 100):
            issuer = stack.enter_context(LocalIssuer(algorithms=("ES256",)))
            kids = [issuer.rotate() for _ in range(keys)]
            tokens = [issuer.mint(kid=kids[n % keys], expires_in=DAY) for n in range(TOKENS)]
            name = f"{keys} key{'s' * (keys > 1)}, 1 issuer"
            first[name], repeated[name] = _both(stack, [issuer.url], issuer, tokens)
        issuer = stack.enter_context(LocalIssuer(algorithms=("ES256",)))
        for count in (10, 100, 1000):
            urls = [_issuer_name(n) for n in range(count)]
            tokens = [issuer.mint({"iss": urls[n % count]}, expires_in=DAY) for n in range(TOKENS)]
            name = f"1 key each, {count:,} issuers"
            first[name], repeated[name] = _both(stack, urls, issuer, tokens)
        baseline = next(iter(first))
        yield Section(
            key="scale-keys-first-seen",
            title=f"First-seen ES256 tokens, by keys and issuers; {TOKENS:,} tokens that use each of them",
            unit="us",
            baseline=baseline,
            rows=interleave(first, rounds=rounds),
        )
        yield Section(
            key="scale-keys-repeated",
            title=f"Repeated ES256 tokens, by keys and issuers; {TOKENS:,} tokens that use each of them",
            unit="us",
            baseline=baseline,
            rows=interleave(repeated, rounds=rounds),
        )


def _both(
    stack: ExitStack, urls: Sequence[str], issuer: LocalIssuer, tokens: Sequence[str]
) -> tuple[Contestant, Contestant]:
    issuer.cache_control = "max-age=3600"
    trusted = [Issuer(url, jwks_uri=issuer.jwks_uri) for url in urls]
    validators = []
    for cache in (forgetful(len(tokens)), TokenCache()):
        validator = TokenValidator(*trusted, audience=issuer.audience, token_cache=cache)
        validators.append(stack.enter_context(validator))
        validator.warm_up(60)
    return validating(validators[0], tokens), validating(validators[1], tokens)


def _issuer_name(number: int) -> str:
    return f"https://tenant-{number}.example.com"


def _scopes(rounds: int) -> Iterator[Section]:
    first: dict[str, Contestant] = {}
    repeated: dict[str, Contestant] = {}
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        names = [f"read:thing-{n}" for n in range(100)]
        trusted = Issuer(issuer.url, jwks=issuer.jwks())
        for granted, required in SCOPES:
            tokens = [issuer.mint(scope=" ".join(names[:granted]), expires_in=DAY) for _ in range(100)]
            requirement = Requirement(all_of=tuple(names[:required]))
            for contestants, cache in ((first, forgetful(len(tokens))), (repeated, TokenCache())):
                validator = TokenValidator(trusted, audience=issuer.audience, token_cache=cache)
                contestants[f"{granted} granted, {required} required"] = _admitting(validator, requirement, tokens)
    for contestants, which in ((first, "first seen"), (repeated, "repeated")):
        yield Section(
            key=f"scale-scopes-{which.replace(' ', '-')}",
            title=f"Validation and scopes, ES256, {which}",
            unit="us",
            baseline=next(iter(contestants)),
            rows=interleave(contestants, rounds=rounds),
        )


def _admitting(validator: TokenValidator, requirement: Requirement, tokens: Sequence[str]) -> Contestant:
    def batch() -> int:
        for token in tokens:
            requirement.check(validator.validate(token))
        return len(tokens)

    return batch


def _token_size(rounds: int) -> Section:
    """Against the sum of what cannot be saved: SHA-256 of the text, JSON of the payload, and the signature check."""
    contestants: dict[str, Contestant] = {}
    pairs: dict[str, str] = {}
    with LocalIssuer(algorithms=("RS256",)) as issuer:
        bare = sum_floor(issuer, "RS256")
        for roles in ROLES:
            tokens = [issuer.mint(role_claims(roles), expires_in=DAY) for _ in range(100)]
            size = f"{roles} roles, {statistics.mean(map(len, tokens)) / 1000:.1f} KB"
            trusted = Issuer(issuer.url, jwks=issuer.jwks())
            once = TokenValidator(trusted, audience=issuer.audience, token_cache=forgetful(len(tokens)))
            again = TokenValidator(trusted, audience=issuer.audience)
            floor = f"floor, {size}"
            contestants[floor] = in_turn(bare.run, tokens, len(tokens))
            contestants[f"first seen, {size}"] = validating(once, tokens)
            contestants[f"repeated, {size}"] = validating(again, tokens)
            pairs[f"first seen, {size}"] = floor
    rows = {row.name: row for row in interleave(contestants, rounds=rounds)}
    for name, floor in pairs.items():
        rows[name] = replace(rows[name], note=f"{statistics.median(rows[name].over(rows[floor])):.2f} times its floor")
    return Section(
        key="scale-token-size",
        title="RS256 tokens by size; the floor is SHA-256 of the text + json.loads of the payload + verify",
        unit="us",
        baseline=next(iter(rows)),
        rows=tuple(rows.values()),
        floors=frozenset(pairs.values()),
    )


def role_claims(count: int) -> dict[str, list[str]]:
    return {"roles": [f"Department.Resource-{n}.ReadWrite" for n in range(count)]} if count else {}


def _warm_up(rounds: int) -> Section:
    """From nothing to keys for each issuer; the issuers are one server in another process."""
    counts = (1, 10, 100, 1000)
    samples: dict[int, list[float]] = {count: [] for count in counts}
    with issuer_elsewhere("ES256") as issuer:
        for _ in range(rounds):
            for count in counts:
                samples[count].append(_warm_up_once(issuer, count) * 1e3)
    return Section(
        key="scale-warm-up",
        title="warm_up() of a new validator, by issuers",
        unit="ms",
        baseline="1 issuer",
        rows=tuple(
            Row(name=f"{count:,} issuer{'s' * (count > 1)}", samples=tuple(taken)) for count, taken in samples.items()
        ),
    )


def _warm_up_once(issuer: IssuerElsewhere, count: int) -> float:
    trusted = [Issuer(_issuer_name(n), jwks_uri=issuer.jwks_uri) for n in range(count)]
    with TokenValidator(*trusted, audience=issuer.audience) as validator:
        began = perf_counter()
        validator.warm_up(60)
        return perf_counter() - began
