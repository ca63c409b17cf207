"""Wycheproof's JSON Web Signature and JSON Web Key vectors (C14, C20, C24), through the internal verifier."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.vectors.verifier import refusal
from tokenguard._keys.jwk import parse_jwk

Load = Callable[[str], Any]

HS_KEY = "private or symmetric: such a key is not to be published"

_EMPTY = "an empty payload: a segment must not be empty, for no access token has one (its signature does hold)"
_KEY_FOR_PS256 = "alg PS384 under a key whose own alg is PS256: one key, one algorithm (RFC 8725bis s3); labelled valid"
_ES521 = "the key's alg is ES521, a name that RFC 7518 does not have: such a key is skipped; labelled valid"
_FINE = "spelt canonically, for all its label says (its unspoilt twin is labelled valid); refused for HS256 alone"
_INSERTED = (
    "a '?' in the text: base64url does not have it (RFC 7515 s2), whoever ignores it respells tokens; labelled valid"
)

# Where a label and our verdict, or a label and its own reason, part. Everything else must be as labelled.
# tcId: (our verdict, why)
CONTRADICTIONS: dict[int, tuple[str, str]] = {
    259: ("malformed", _EMPTY),
    264: ("malformed", _EMPTY),
    268: ("malformed", _EMPTY),
    272: ("malformed", _EMPTY),
    320: ("malformed", _EMPTY),
    325: ("malformed", _EMPTY),
    346: ("wrong_algorithm", _KEY_FOR_PS256),
    347: ("alg does not fit the key, or is unsupported", _ES521),
    350: ("wrong_algorithm", _KEY_FOR_PS256),
    351: ("alg does not fit the key, or is unsupported", _ES521),
    367: (HS_KEY, _FINE),
    370: (HS_KEY, _FINE),
    372: (HS_KEY, _INSERTED),
    373: (HS_KEY, _INSERTED),
}

# Keys from Infineon's broken generator (CVE-2017-15361) are not recognised. An issuer that uses one publishes it
# itself: telling costs a test of each modulus against a list of primes, and no other library here does it.
NOT_DONE = {7: "ROCA detection"}


class Vector(NamedTuple):
    id: int
    keys: list[dict[str, Any]]
    token: str
    valid: bool

    @property
    def symmetric(self) -> bool:
        return any(key["kty"] == "oct" for key in self.keys)


def vectors(document: dict[str, Any]) -> Iterator[Vector]:
    for group in document["testGroups"]:
        jwk = group.get("public", group["private"])
        for test in group["tests"]:
            yield Vector(test["tcId"], jwk.get("keys", [jwk]), test["jws"], test["result"] == "valid")


def test_each_signature_vector_gets_its_verdict(load: Load) -> None:
    document = load("wycheproof/json_web_signature_test.json")
    found = {vector.id: vector for vector in vectors(document)}
    assert len(found) == document["numberOfTests"] == 401
    for vector in found.values():
        verdict = refusal(vector.keys, vector.token)
        if vector.id in CONTRADICTIONS:
            expected, why = CONTRADICTIONS[vector.id]
            assert verdict is not None, (vector.id, why)
            assert verdict.endswith(expected), (vector.id, why)
        elif vector.symmetric:  # a shared secret never verifies, right or wrong
            assert verdict is not None, vector.id
            assert verdict.endswith(HS_KEY), vector.id
        else:
            assert (verdict is None) is vector.valid, (vector.id, verdict)


def test_the_signatures_over_empty_payloads_do_hold(load: Load) -> None:
    empty = {number for number, (_, why) in CONTRADICTIONS.items() if why is _EMPTY}
    for vector in vectors(load("wycheproof/json_web_signature_test.json")):
        if vector.id in empty:
            (jwk,) = vector.keys
            signed, _, signature = vector.token.rpartition(".")
            octets = urlsafe_b64decode(signature + "==")
            assert parse_jwk(jwk).verify(jwk["alg"], signed.encode("ascii"), octets), vector.id


def test_what_contradicts_is_the_same_token_or_the_same_key(load: Load) -> None:
    found = {vector.id: vector for vector in vectors(load("wycheproof/json_web_signature_test.json"))}
    # Labelled invalid for their padding, 367 and 370 have none: each is the text of a vector that is labelled valid.
    good = {vector.token for vector in found.values() if vector.valid}
    assert found[367].token in good
    assert found[370].token in good
    assert "?" in found[372].token
    assert "?" in found[373].token
    # Put right, the key of 347 and 351 verifies what it signed; and so does that of 346 and 350.
    for number, alg in ((346, "PS384"), (347, "ES512"), (350, "PS384"), (351, "ES512")):
        assert refusal([{**found[number].keys[0], "alg": alg}], found[number].token) is None, number


def test_each_key_vector_gets_its_verdict(load: Load) -> None:
    document = load("wycheproof/json_web_key_test.json")
    found = list(vectors(document))
    assert len(found) == document["numberOfTests"] == 26
    for vector in found:
        verdict = refusal(vector.keys, vector.token)
        if vector.id in NOT_DONE:
            assert verdict is None, f"{vector.id} is refused now: take it out of NOT_DONE"
        elif vector.symmetric:
            assert verdict is not None, vector.id
        else:
            assert (verdict is None) is vector.valid, (vector.id, verdict)
