"""Signed answers (RFC 9701, C35, C36): asked for, checked with the issuer's keys, and no others taken."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.forge import (
    DROP,
    GOOD_KEYS,
    ISSUER,
    JWKS,
    NOW,
    P256,
    RSA,
    RSA_PSS,
    SIGNERS,
    as_bytes,
    b64,
    forge,
    header,
    public_jwk,
)
from tests.introspection.stage import ENDPOINT, INACTIVE, JWT, OPAQUE, Scene, active, answer, asked, issuer
from tokenguard import Reason, Unavailable
from tokenguard._fetch import Answer
from tokenguard.events import IntrospectionFailed

TYPE = "token-introspection+jwt"
KEYS = "https://as.example.com/jwks"


def _payload(said: object = None, **changes: object) -> dict[str, object]:
    members = {
        "iss": ISSUER,
        "aud": "api",
        "iat": NOW,
        "token_introspection": active() if said is None else said,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not DROP}


def _answer(payload: Any = None, head: Any = None, by: Any = "RS256") -> bytes:
    if head is None:
        head = header(by if isinstance(by, str) else "RS256", typ=TYPE)
    return forge(_payload() if payload is None else payload, head, by).encode()


def _signed(said: object) -> bytes:
    return _answer(_payload(said))


def _scene(**options: Any) -> Scene:
    scene = Scene(issuer(introspection=asked(signed_response=True), **options))
    scene.tells[ENDPOINT] = _answer()
    return scene


def test_it_is_asked_for() -> None:
    scene = _scene()
    token = scene.validate()
    assert token.subject == "user-1"
    assert token.scopes == {"read", "write"}
    assert scene.requests[0].accept == "application/token-introspection+jwt"
    scene.validate()
    assert scene.calls == 1


GOOD: dict[str, bytes] = {
    "PS256": _answer(by="PS256"),
    "ES256": _answer(by="ES256"),
    "EdDSA": _answer(by="EdDSA"),
    "typ in capitals": _answer(head=header(typ=TYPE.upper())),
    "typ with application/": _answer(head=header(typ="application/" + TYPE)),
    "no kid, and one key that fits": _answer(head=header(typ=TYPE, kid=DROP)),
    "aud a list": _answer(_payload(aud=["other", "api"])),
    "iat within leeway ahead": _answer(_payload(iat=NOW + 30)),
    "iat of a minute ago": _answer(_payload(iat=NOW - 60)),
    "iat a fraction": _answer(_payload(iat=NOW - 0.5)),
    "exp ahead": _answer(_payload(exp=NOW + 1)),
    "exp past within leeway": _answer(_payload(exp=NOW - 30)),
    "more members": _answer(_payload(jti="x", sub="y", nonce="z")),
    "white space around": b" \r\n" + _answer() + b"\n",
}

BAD: dict[str, bytes] = {
    # Unsigned
    "plain JSON": as_bytes(active()),
    "plain JSON, inactive": as_bytes(INACTIVE),
    "nothing": b"",
    "HTML": b"<html>",
    "two segments": _answer().rpartition(b".")[0],
    "no signature": _answer().rpartition(b".")[0] + b".",
    "alg none": _answer(head=header("none", typ=TYPE), by="none") + b"AAAA",
    "a JWE": b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}').encode() + b".AAAA.AAAA.AAAA.AAAA",
    # typ (RFC 9701 s5)
    "typ missing": _answer(head=header(typ=DROP)),
    "typ JWT": _answer(head=header(typ="JWT")),
    "typ at+jwt": _answer(head=header(typ="at+jwt")),
    "typ of another": _answer(head=header(typ="introspection+jwt")),
    "typ with a KELVIN SIGN": _answer(head=header(typ=TYPE.replace("k", "\u212a"))),
    "typ a list": _answer(head=header(typ=[TYPE])),
    # iss
    "iss missing": _answer(_payload(iss=DROP)),
    "iss of another": _answer(_payload(iss="https://evil.example.com")),
    "iss with a slash more": _answer(_payload(iss=ISSUER + "/")),
    "iss a list": _answer(_payload(iss=[ISSUER])),
    "iss null": _answer(_payload(iss=None)),
    # aud: us
    "aud missing": _answer(_payload(aud=DROP)),
    "aud of another": _answer(_payload(aud="other")),
    "aud a prefix": _answer(_payload(aud="ap")),
    "aud others": _answer(_payload(aud=["other", "API", "api ", ["api"], None])),
    "aud none": _answer(_payload(aud=[])),
    "aud null": _answer(_payload(aud=None)),
    "aud an object": _answer(_payload(aud={"api": True})),
    # iat: now
    "iat missing": _answer(_payload(iat=DROP)),
    "iat of long ago": _answer(_payload(iat=NOW - 91)),
    "iat ahead": _answer(_payload(iat=NOW + 31)),
    "iat in milliseconds": _answer(_payload(iat=NOW * 1000)),
    "iat a string": _answer(_payload(iat=str(NOW))),
    "iat true": _answer(_payload(iat=True)),
    "iat null": _answer(_payload(iat=None)),
    "exp past": _answer(_payload(exp=NOW - 31)),
    "exp a string": _answer(_payload(exp=str(NOW + 60))),
    "exp null": _answer(_payload(exp=None)),
    # What is in it
    "no token_introspection": _answer(_payload(token_introspection=DROP)),
    "token_introspection null": _answer(_payload(token_introspection=None)),
    "token_introspection a list": _answer(_payload([active()])),
    "token_introspection a text": _answer(_payload(json.dumps(active()))),
    "token_introspection true": _answer(_payload(True)),
    "the members outside": _answer(_payload(DROP, **active())),
    "a name twice": _answer(as_bytes(_payload())[:-1] + b',"aud":"api"}'),
    "a payload that is no object": _answer(b"[]"),
    # Signature, key, algorithm
    "an attacker's key": _answer(by="evil RS256", head=header(typ=TYPE)),
    "a key of another type": _answer(by="ES256", head=header("RS256", typ=TYPE)),
    "alg outside of the allow-list": _answer(by="RS512", head=header("RS512", typ=TYPE, kid="rs")),
    "HS256 with the secret": _answer(by="HS256", head=header("HS256", typ=TYPE, kid="oct")),
    "unknown kid": _answer(head=header(typ=TYPE, kid="nobody's")),
    "kid a number": _answer(head=header(typ=TYPE, kid=1)),
    "jwk in the header": _answer(
        head=header(typ=TYPE, kid="new", jwk=public_jwk(RSA_PSS)), by=SIGNERS["RSA_PSS as RS256"]
    ),
    "crit": _answer(head=header(typ=TYPE, crit=["x"])),
    "payload of another answer": b".".join(
        [_answer().split(b".")[0], _signed(active(sub="admin")).split(b".")[1], _answer().split(b".")[2]]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_is_taken(name: str) -> None:
    scene = _scene()
    scene.tells[ENDPOINT] = GOOD[name]
    assert scene.validate().subject == "user-1"


@pytest.mark.parametrize("name", BAD)
def test_any_other_says_nothing(name: str) -> None:
    scene = _scene()
    scene.tells[ENDPOINT] = BAD[name]
    for _ in range(6):  # and is remembered as nothing, and opens nothing
        assert scene.unavailable().reason is Reason.INTROSPECTION_UNAVAILABLE
    assert scene.calls == 6
    assert sum(isinstance(event, IntrospectionFailed) for event in scene.events) == 6
    assert scene.introspector().health(0)["state"] == "ready"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (INACTIVE, "inactive"),
        ({}, "inactive"),
        (active(active="true"), "inactive"),
        (active(aud="https://other.example.com"), "wrong_audience"),
        (active(iss="https://other.example.com"), "wrong_issuer"),
        (active(exp=NOW - 1000), "expired"),
        (active(exp=DROP), "missing_claim"),
        (active(cnf={}), "bound_token"),
        (active(token_type="refresh_token"), "wrong_token_kind"),
        (active(sub=7), "malformed_claim"),
    ],
)
def test_what_is_in_it_is_judged_like_any_answer(said: Any, outcome: str) -> None:
    scene = _scene()
    scene.tells[ENDPOINT] = _signed(said)
    assert scene.outcome(OPAQUE) == outcome
    assert scene.outcome(OPAQUE) == outcome
    assert scene.calls == 1


def test_an_answer_for_whoever_asks_without_signatures_is_plain() -> None:
    scene = Scene()
    scene.tells[ENDPOINT] = _answer()
    assert scene.unavailable().reason is Reason.INTROSPECTION_UNAVAILABLE


def test_one_remembered_cannot_be_shown_again_later() -> None:
    scene = _scene()
    scene.validate("one")
    scene.tick = 91
    scene.unavailable("two")
    scene.tells[ENDPOINT] = _answer(_payload(iat=NOW + 91))
    scene.validate("two")


def test_trouble_is_trouble_and_unsupported_unsupported() -> None:
    scene = _scene()
    scene.tells[ENDPOINT] = 500
    scene.unavailable()
    scene.tells[ENDPOINT] = answer(400, {"error": "unsupported_token_type"})
    scene.refused()


def test_alg_has_to_be_one_of_the_issuers() -> None:
    scene = _scene(algorithms=("ES256",))
    assert "another algorithm" in scene.unavailable().detail
    scene.tells[ENDPOINT] = _answer(by="ES256")
    scene.validate()


class TestKeys:
    """They are the issuer's, fetched when the first answer needs them; under `only` too."""

    def scene(self, policy: str = "only", **options: Any) -> Scene:
        said = asked(policy=policy, signed_response=True, **options)
        scene = Scene(issuer(introspection=said, jwks_uri=KEYS))
        scene.tells[ENDPOINT] = _answer()
        scene.replies[KEYS] = JWKS
        return scene

    @pytest.mark.parametrize("policy", ["opaque", "always", "only"])
    def test_they_are_fetched_once(self, policy: str) -> None:
        scene = self.scene(policy)
        scene.validate("one")
        scene.validate("two")
        assert scene.asked == [ENDPOINT, KEYS, ENDPOINT]

    def test_out_of_reach_they_are_503(self) -> None:
        scene = self.scene()
        scene.replies[KEYS] = 500
        refused = scene.unavailable()
        assert refused.reason is Reason.KEYS_UNAVAILABLE
        assert scene.asked == [ENDPOINT, KEYS]
        scene.replies[KEYS] = JWKS
        scene.tick = 60
        scene.tells[ENDPOINT] = _answer(_payload(iat=NOW + 60))
        scene.validate()

    def test_a_rotation_is_picked_up(self) -> None:
        scene = self.scene()
        scene.replies[KEYS] = {"keys": GOOD_KEYS[1:]}
        scene.unavailable("one")
        scene.replies[KEYS] = JWKS
        scene.tick = 15
        scene.validate("two")

    @pytest.mark.parametrize("remembered", [True, False])
    @pytest.mark.parametrize(
        ("published", "outcome"),
        [
            ((), "unknown_key"),
            ((public_jwk(RSA_PSS, kid="rs"),), "bad_signature"),
            ((public_jwk(RSA, kid="rs", use="sig", alg="RS256"),), "accept"),  # the same, and more is said of it
        ],
    )
    def test_one_that_is_withdrawn_while_the_issuer_is_asked_proves_no_more(
        self, published: tuple[dict[str, Any], ...], outcome: str, *, remembered: bool
    ) -> None:
        scene = self.scene("always", **({} if remembered else {"lifetime": 0}))
        scene.replies[KEYS] = {"keys": [public_jwk(RSA, kid="rs")]}

        def rotate(_: str) -> bytes:
            scene.replies[KEYS] = {"keys": [public_jwk(P256, kid="es"), *published]}
            return _answer(by="ES256")

        scene.tells[ENDPOINT] = rotate
        assert scene.outcome(JWT) == outcome
        assert scene.asked[:3] == [KEYS, ENDPOINT, KEYS]
        assert scene.asked[3:] == ([] if remembered or outcome != "accept" else [ENDPOINT])
        assert scene.outcome(JWT) == outcome

    def test_while_they_are_fetched_an_answer_grows_old(self) -> None:
        scene = self.scene()
        miss = scene.start()
        heard = scene.fly(miss.fetch)
        upcoming = miss.resume(heard, scene.now, scene.tick)
        scene.tick = 120
        fetch = upcoming.fetch  # type: ignore[union-attr]
        with pytest.raises(Unavailable):
            upcoming.resume(scene.fly(fetch), scene.now, scene.tick)  # type: ignore[union-attr]

    def test_a_key_of_the_same_name_by_another_is_none(self) -> None:
        scene = self.scene()
        scene.replies[KEYS] = {"keys": [public_jwk(RSA_PSS, kid="rs")]}
        assert "does not hold" in scene.unavailable().detail

    def test_a_new_key_under_the_same_kid_is_picked_up(self) -> None:
        # X03
        scene = self.scene()
        scene.replies[KEYS] = {"keys": [public_jwk(RSA_PSS, kid="rs")]}
        load = scene.core.trust.named[ISSUER].keys.load(scene.tick)
        assert load is not None
        scene.run(load)
        scene.replies[KEYS] = JWKS
        scene.validate("one")
        assert scene.asked == [KEYS, ENDPOINT, KEYS]

    def test_answers_that_never_hold_cost_few_fetches(self) -> None:
        scene = self.scene()
        scene.replies[KEYS] = {"keys": [public_jwk(RSA_PSS, kid="rs")]}
        for number in range(10):
            assert "does not hold" in scene.unavailable(f"token-{number}").detail
        assert scene.asked.count(KEYS) == 2  # for want of any, and in doubt


def test_nothing_that_is_not_signed_to_the_letter_passes() -> None:
    """A hundred thousand changes of a good answer, and none of them says anything."""
    scene = Scene(issuer(introspection=asked(signed_response=True, client_id="api")))
    scene.tells[ENDPOINT] = good = _answer(_payload(active(sub=DROP, iat=DROP)), by="RS256")
    scene.validate()
    introspector = scene.introspector()
    chosen = random.Random(9701)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~"
    tried = 0

    def judge(body: bytes) -> None:
        nonlocal tried
        tried += 1
        try:
            introspector._members(body, NOW, 0.0, 2)
        except Unavailable:
            return
        raise AssertionError(body)

    for at in range(len(good)):  # each place, by each of a few
        for letter in chosen.sample(letters, 40):
            if letter != good[at]:
                judge(good[:at] + bytes([letter]) + good[at + 1 :])
        judge(good[:at] + good[at + 1 :])
        judge(good[:at] + bytes([chosen.choice(letters)]) + good[at:])
        judge(good[:at])
    while tried < 100_000:
        one, other = sorted(chosen.sample(range(len(good)), 2))
        swapped = good[:one] + good[other : other + 1] + good[one + 1 : other] + good[one : one + 1] + good[other + 1 :]
        shift = chosen.choice([good[:one] + good[other:], good[:other] + good[one:], good[:one] + good[one:other] * 2])
        bits = bytearray(good)
        bits[one] ^= 1 << chosen.randrange(8)
        bits[other] ^= 1 << chosen.randrange(8)
        for body in (swapped, shift, bytes(bits)):
            if body.strip() != good:
                judge(body)
    assert introspector._members(good, NOW, 0.0, 2)


def test_what_is_an_answer_is_taken_as_one_only_by_whoever_asked() -> None:
    here, there = _scene(), Scene(issuer(introspection=asked(signed_response=True, client_id="another-api")))
    here.validate()
    there.tells[ENDPOINT] = _answer()
    assert "not our client_id" in there.unavailable().detail
    assert isinstance(here.answer(ENDPOINT), Answer)
