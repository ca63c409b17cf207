"""A hundred thousand mutations of good tokens: none is accepted unless it is a good token, to the byte."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable

import pytest

from tests.forge import ALGORITHMS, KIDS, b64, claims, forge, header, validator
from tests.ways import WAYS, Way, by
from tokenguard import InvalidToken, Reason

MUTATIONS_PER_ALGORITHM = 25_000
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STRANGE = ["=", "+", "/", " ", "\n", "\0", ".", "é", "\u212a", "\uff0e", "\ud800", "\ufeff", "%2E", "~"]

Mutation = Callable[[random.Random, str, str], str]


def flip_bit(dice: random.Random, token: str, other: str) -> str:
    at = dice.randrange(len(token))
    return f"{token[:at]}{chr(ord(token[at]) ^ 1 << dice.randrange(8))}{token[at + 1 :]}"


def delete(dice: random.Random, token: str, other: str) -> str:
    at = dice.randrange(len(token))
    return token[:at] + token[at + dice.randint(1, 4) :]


def truncate(dice: random.Random, token: str, other: str) -> str:
    return token[: dice.randrange(len(token))]


def insert(dice: random.Random, token: str, other: str) -> str:
    at = dice.randint(0, len(token))
    return token[:at] + "".join(dice.choices(_ALPHABET, k=dice.randint(1, 4))) + token[at:]


def insert_strange(dice: random.Random, token: str, other: str) -> str:
    at = dice.randint(0, len(token))
    return token[:at] + dice.choice(_STRANGE) + token[at:]


def replace(dice: random.Random, token: str, other: str) -> str:
    at = dice.randrange(len(token))
    return token[:at] + dice.choice(_ALPHABET) + token[at + 1 :]


def change_case(dice: random.Random, token: str, other: str) -> str:
    at = dice.randrange(len(token))
    return token[:at] + token[at].swapcase() + token[at + 1 :]


def swap_characters(dice: random.Random, token: str, other: str) -> str:
    left, right = sorted(dice.sample(range(len(token)), 2))
    return token[:left] + token[right] + token[left + 1 : right] + token[left] + token[right + 1 :]


def mix_segments(dice: random.Random, token: str, other: str) -> str:
    return ".".join(dice.choice(pair) for pair in zip(token.split("."), other.split("."), strict=True))


def shuffle_segments(dice: random.Random, token: str, other: str) -> str:
    segments = token.split(".")
    return ".".join(dice.choices(segments, k=dice.randint(1, 6)))


def respell_base64(dice: random.Random, token: str, other: str) -> str:
    segments = token.split(".")
    at = dice.randrange(3)
    last = _ALPHABET.index(segments[at][-1])
    segments[at] = dice.choice(
        [
            segments[at] + "=" * (-len(segments[at]) % 4 or 4),
            segments[at].replace("-", "+").replace("_", "/") + "=",
            segments[at][:-1] + _ALPHABET[last ^ dice.randint(1, 3)],
            segments[at] + "A",
            segments[at] + "\n",
        ]
    )
    return ".".join(segments)


def respell_json(dice: random.Random, token: str, other: str) -> str:
    segments = token.split(".")
    at = dice.randrange(2)
    value = json.loads(urlsafe_b64decode(segments[at] + "=="))
    name = dice.choice(list(value))
    text = dice.choice(
        [
            json.dumps(value, indent=dice.randint(0, 3)),
            json.dumps(dict(dice.sample(list(value.items()), len(value)))),
            json.dumps({**value, "x": dice.random()}),
            json.dumps({key: member for key, member in value.items() if key != name}),
            json.dumps(value).replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"'),
            json.dumps(value)[:-1] + f',"{name}":{json.dumps(value[name])}}}',
            " " * dice.randint(1, 3) + json.dumps(value),
            json.dumps({**value, name: dice.choice([None, True, [value[name]], str(value[name]) + " ", 0, {}])}),
        ]
    )
    segments[at] = b64(text.encode())
    return ".".join(segments)


def change_payload_bytes(dice: random.Random, token: str, other: str) -> str:
    head, payload, signature = token.split(".")
    octets = bytearray(urlsafe_b64decode(payload + "=="))
    octets[dice.randrange(len(octets))] = dice.randrange(256)
    return f"{head}.{b64(bytes(octets))}.{signature}"


def change_signature_bytes(dice: random.Random, token: str, other: str) -> str:
    signed, _, signature = token.rpartition(".")
    octets = bytearray(urlsafe_b64decode(signature + "=="))
    octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
    return f"{signed}.{b64(bytes(octets))}"


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit, delete, truncate, insert, insert_strange, replace, change_case, swap_characters, mix_segments,
    shuffle_segments, respell_base64, respell_json, change_payload_bytes, change_signature_bytes,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_mutation_of_a_good_token_is_accepted(alg: str, way: Way) -> None:
    with by(way):
        _mutate(alg)


def _mutate(alg: str) -> None:
    guard = validator()
    dice = random.Random(f"mutations of {alg}")
    tokens = [
        forge(claims(sub=f"user-{number}", scope="read write"), header(alg, typ=typ), by=alg)
        for number, typ in enumerate(("JWT", "at+jwt", "application/at+jwt", "jwt"))
    ]
    good = {token.encode("utf-8") for token in tokens}
    for token in tokens:
        assert guard.validate(token).subject is not None

    reasons: Counter[Reason] = Counter()
    accepted = []
    for number in range(MUTATIONS_PER_ALGORITHM):
        token, other = dice.sample(tokens, 2)
        mutant = MUTATIONS[number % len(MUTATIONS)](dice, token, other)
        octets = mutant.encode("utf-8", "surrogatepass")
        try:
            guard.validate(octets if number % 2 else mutant)
        except InvalidToken as refused:
            reasons[refused.reason] += 1
            assert octets not in good
        else:
            accepted.append(octets)
    assert set(accepted) <= good
    assert len(accepted) + reasons.total() == MUTATIONS_PER_ALGORITHM
    # They die everywhere on a token's way, and a good share of them only at the signature.
    assert reasons[Reason.BAD_SIGNATURE] > MUTATIONS_PER_ALGORITHM // 10
    assert {Reason.MALFORMED, Reason.MALFORMED_CLAIM, Reason.WRONG_ISSUER, Reason.WRONG_ALGORITHM} <= reasons.keys()


def test_the_mutations_are_a_hundred_thousand() -> None:
    assert set(ALGORITHMS) == set(KIDS) == {"RS256", "PS256", "ES256", "EdDSA"}
    assert MUTATIONS_PER_ALGORITHM * len(ALGORITHMS) == 10**5
