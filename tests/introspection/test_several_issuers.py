"""Several issuers: a JWT goes to the one it names, an opaque token to those that `select` names, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.forge import DROP, ISSUER, JWKS, NOW, claims, forge, header
from tests.introspection.stage import (
    ENDPOINT,
    INACTIVE,
    JWE,
    JWT,
    JWT_BROKEN,
    JWT_OF_NOBODY,
    OPAQUE,
    OTHER,
    OTHER_ENDPOINT,
    Scene,
    active,
    asked,
    issuer,
    reading,
)
from tests.steps import Reply
from tokenguard import ConfigurationError, InvalidToken, Issuer, Reason, TenantIssuers, Unavailable

FIRST, SECOND = f"{ENDPOINT} {OPAQUE}", f"{OTHER_ENDPOINT} {OPAQUE}"
WRONG_AUDIENCE = reading(aud="https://theirs.example.com")


def _two(select: Any, policy: str = "opaque", other_policy: str = "opaque") -> Scene:
    scene = Scene(
        issuer(introspection=asked(policy=policy)),
        issuer(OTHER, asked(policy=other_policy, endpoint=OTHER_ENDPOINT)),
        select=select,
    )
    scene.tells = {ENDPOINT: reading(), OTHER_ENDPOINT: reading()}
    return scene


def _both(_: str) -> list[str]:
    return [ISSUER, OTHER]


@pytest.mark.parametrize(
    ("named", "said", "of"),
    [
        (ISSUER, [FIRST], ISSUER),
        (OTHER, [SECOND], OTHER),
        ([ISSUER, OTHER], [FIRST], ISSUER),
        ((OTHER, ISSUER), [SECOND], OTHER),
        ({OTHER: 1}, [SECOND], OTHER),
        (issuer(), [FIRST], ISSUER),
        ([issuer(OTHER)], [SECOND], OTHER),
        ([ISSUER, ISSUER], [FIRST], ISSUER),
    ],
)
def test_a_token_is_shown_to_those_that_are_named_in_their_order(named: Any, said: list[str], of: str) -> None:
    scene = _two(lambda _: named)
    assert scene.validate().issuer == of
    assert scene.said == said


def test_what_it_gets_is_the_text() -> None:
    seen: list[str] = []

    def select(token: str) -> str:
        seen.append(token)
        return ISSUER

    scene = _two(select)
    scene.validate(OPAQUE.encode())
    scene.validate(JWT)
    assert seen == [OPAQUE]  # a JWT says itself whose it is


def test_junk_is_not_shown_to_it() -> None:
    scene = _two(lambda _: pytest.fail("asked"))
    for junk in ("a b", "\u00fc", "a" * 20_000, JWE, JWT_BROKEN, JWT_OF_NOBODY):
        scene.refused(junk)
    assert scene.requests == []


def test_it_may_be_an_iterator() -> None:
    def select(_: str) -> Iterator[str]:
        yield OTHER
        yield ISSUER

    scene = _two(select)
    scene.validate()
    assert scene.said == [SECOND]


@pytest.mark.parametrize("nobody", [(), [], set(), {}, iter(())])
def test_nobody_is_a_refusal(nobody: Any) -> None:
    scene = _two(lambda _: nobody)
    assert scene.refused().status == 401
    assert scene.requests == []


async def _later() -> str:
    return ISSUER


WRONG: list[Any] = [
    None,
    True,
    7,
    _later,
    [None],
    [7],
    [[ISSUER]],
    b"https://as.example.com",
    "https://nobody.example.com",
    ISSUER + "/",
    ["", ISSUER],
    [ISSUER, "https://nobody.example.com"],
    "https://plain.example.com",  # one of ours, and without introspection
    [ISSUER] * 9,
]


@pytest.mark.parametrize("wrong", WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_whatever_names_no_issuer_that_can_be_asked_is_a_mistake_of_ours(wrong: Any) -> None:
    said: Any = _later if wrong is _later else lambda: wrong
    scene = Scene(
        issuer(),
        issuer(OTHER, asked(endpoint=OTHER_ENDPOINT)),
        Issuer("https://plain.example.com", jwks=JWKS),
        select=lambda _: said(),
    )
    with pytest.raises(ConfigurationError, match="select"):
        scene.validate()
    assert scene.requests == []


@pytest.mark.parametrize("echo", [OPAQUE, OPAQUE[:12], f"https://{OPAQUE}/", [ISSUER, OPAQUE]])
def test_a_token_that_it_names_by_mistake_is_not_shown(echo: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _two(lambda _: echo).validate()
    assert OPAQUE[:12] not in str(caught.value)
    assert "no URL" in str(caught.value)


def test_what_it_raises_is_the_applications() -> None:
    def broken(_: str) -> str:
        raise ZeroDivisionError

    scene = _two(broken)
    with pytest.raises(ZeroDivisionError):
        scene.validate()
    assert scene.requests == []


def test_one_issuer_may_have_one_too() -> None:
    scene = Scene(issuer(), select=lambda token: ISSUER if token.startswith("ours-") else ())
    scene.validate("ours-1")
    assert scene.refused("theirs-1").status == 401
    assert scene.said == [f"{ENDPOINT} ours-1"]


# Active at one wins. Trouble at one without an active elsewhere is 503. Else the more telling refusal.
OUTCOMES: list[tuple[Reply, Reply, str, int]] = [
    (reading(), reading(), "accept", 1),
    (reading(), 500, "accept", 1),
    (INACTIVE, reading(), "accept", 2),
    (500, reading(), "accept", 2),
    (401, reading(), "accept", 2),
    (b"junk", reading(), "accept", 2),
    (WRONG_AUDIENCE, reading(), "accept", 2),
    (INACTIVE, INACTIVE, "inactive", 2),
    (INACTIVE, 500, "introspection_unavailable", 2),
    (500, INACTIVE, "introspection_unavailable", 2),
    (500, 500, "introspection_unavailable", 2),
    (INACTIVE, 401, "introspection_credentials_rejected", 2),
    (401, WRONG_AUDIENCE, "introspection_credentials_rejected", 2),
    (WRONG_AUDIENCE, 500, "introspection_unavailable", 2),
    (500, WRONG_AUDIENCE, "introspection_unavailable", 2),
    (500, 401, "introspection_unavailable", 2),
    (WRONG_AUDIENCE, INACTIVE, "wrong_audience", 2),
    (INACTIVE, WRONG_AUDIENCE, "wrong_audience", 2),
    (reading(exp=NOW - 1000), WRONG_AUDIENCE, "expired", 2),
    (reading(iss=OTHER), INACTIVE, "wrong_issuer", 2),
]


@pytest.mark.parametrize(("first", "second", "outcome", "calls"), OUTCOMES)
def test_what_two_say_and_what_follows(first: Reply, second: Reply, outcome: str, calls: int) -> None:
    scene = _two(_both)
    scene.tells = {ENDPOINT: first, OTHER_ENDPOINT: second}
    assert scene.outcome(OPAQUE) == outcome
    assert scene.said == [FIRST, SECOND][:calls]
    # From memory, and with what is not remembered, it is the same.
    assert scene.outcome(OPAQUE) == outcome


def test_three_are_asked_until_one_knows_it() -> None:
    third, endpoint = "https://third.example.com", "https://third.example.com/introspect"
    scene = Scene(
        issuer(),
        issuer(OTHER, asked(endpoint=OTHER_ENDPOINT)),
        issuer(third, asked(endpoint=endpoint)),
        select=lambda _: [third, OTHER, ISSUER],
    )
    scene.tells = {endpoint: INACTIVE, OTHER_ENDPOINT: 500, ENDPOINT: active()}
    assert scene.validate().issuer == ISSUER
    assert [text.split()[0] for text in scene.said] == [endpoint, OTHER_ENDPOINT, ENDPOINT]
    scene.validate()
    assert len(scene.said) == 4  # the inactive one is remembered, trouble never
    scene.tells[ENDPOINT] = INACTIVE
    with pytest.raises(Unavailable):
        scene.validate("another")


def test_a_refusal_hangs_on_no_other() -> None:
    scene = _two(_both)
    scene.tells = {ENDPOINT: INACTIVE, OTHER_ENDPOINT: WRONG_AUDIENCE}
    refused = scene.refused()
    assert (refused.issuer, refused.reason) == (OTHER, Reason.WRONG_AUDIENCE)
    assert refused.__context__ is None
    assert refused.__cause__ is None


@pytest.mark.parametrize(
    ("policy", "other_policy", "token", "outcome", "said"),
    [
        # A JWT is routed by its exact iss.
        ("opaque", "opaque", JWT, "accept", []),
        ("always", "opaque", JWT, "accept", [ENDPOINT]),
        ("only", "opaque", JWT, "accept", [ENDPOINT]),
        ("opaque", "only", JWT, "accept", []),
        ("opaque", "always", JWT, "accept", []),
        ("only", "only", JWT, "accept", [ENDPOINT]),
        ("opaque", "only", forge(claims(iss=OTHER)), "accept", [OTHER_ENDPOINT]),
        ("only", "only", forge(claims(iss=OTHER)), "accept", [OTHER_ENDPOINT]),
        ("only", "only", JWT_OF_NOBODY, "wrong_issuer", []),
        ("only", "only", forge(claims(iss=ISSUER + "/")), "wrong_issuer", []),
        # One that names none is for those that are asked about all, as far as select names them.
        ("only", "only", forge(claims(iss=DROP)), "accept", [ENDPOINT]),
        ("opaque", "only", forge(claims(iss=DROP)), "accept", [OTHER_ENDPOINT]),
        ("always", "opaque", forge(claims(iss=DROP)), "wrong_issuer", []),
        ("opaque", "only", JWT_BROKEN, "accept", [OTHER_ENDPOINT]),
        ("opaque", "opaque", JWT_BROKEN, "malformed", []),
        # So is a JWE.
        ("only", "opaque", JWE, "accept", [ENDPOINT]),
        ("opaque", "only", JWE, "accept", [OTHER_ENDPOINT]),
        ("always", "opaque", JWE, "encrypted", []),
        # An opaque one is for all.
        ("always", "only", OPAQUE, "accept", [ENDPOINT]),
    ],
)
def test_policies_side_by_side(policy: str, other_policy: str, token: str, outcome: str, said: list[str]) -> None:
    scene = _two(_both, policy, other_policy)
    assert scene.outcome(token) == outcome
    assert [text.split()[0] for text in scene.said] == said


def test_a_jwt_of_an_issuer_that_is_asked_nothing_is_judged_here() -> None:
    scene = Scene(issuer(introspection=asked(policy="only")), Issuer(OTHER, jwks=JWKS))
    scene.validate(forge(claims(iss=OTHER)))
    assert scene.refused(forge(claims(iss=OTHER), header(), by="evil RS256")).reason is Reason.BAD_SIGNATURE
    assert scene.requests == []


class TestTenants:
    def scene(self, **options: Any) -> Scene:
        self.allowed = {"acme", "globex"}
        tenants = TenantIssuers(
            "https://{tenant}.example.com",
            allowed=lambda tenant: tenant in self.allowed,
            introspection=asked(endpoint="https://{tenant}.example.com/introspect", **options),
        )
        scene = Scene(tenants, select=lambda token: f"https://{token.partition('.')[0]}.example.com")
        for tenant in ("acme", "globex", "evil"):
            scene.tells[f"https://{tenant}.example.com/introspect"] = reading(sub=tenant)
        return scene

    def test_each_is_asked_about_its_own(self) -> None:
        scene = self.scene()
        assert scene.validate("acme.1").subject == "acme"
        token = scene.validate("globex.1")
        assert (token.subject, token.issuer) == ("globex", "https://globex.example.com")
        assert [text.split()[0] for text in scene.said] == [
            "https://acme.example.com/introspect",
            "https://globex.example.com/introspect",
        ]

    def test_one_that_is_none_of_ours_is_no_mistake_of_ours(self) -> None:
        # The application names it from the token's text, which anybody can make up.
        scene = self.scene()
        assert scene.refused("evil.1").status == 401
        assert scene.requests == []

    def test_one_that_leaves_is_out_at_once(self) -> None:
        scene = self.scene()
        scene.validate("acme.1")
        self.allowed.remove("acme")
        assert scene.refused("acme.1").status == 401
        assert scene.calls == 1

    def test_one_that_leaves_while_it_is_asked_is_out_too(self) -> None:
        scene = self.scene()
        miss = scene.start("acme.1")
        heard = scene.fly(miss.fetch)
        self.allowed.clear()
        with pytest.raises(InvalidToken) as caught:
            miss.resume(heard, scene.now, scene.tick)
        assert caught.value.reason is Reason.WRONG_ISSUER

    def test_a_jwt_is_routed_by_its_iss(self) -> None:
        scene = self.scene(policy="only")
        assert scene.validate(forge(claims(iss="https://globex.example.com"))).subject == "globex"
        assert scene.refused(forge(claims(iss="https://evil.example.com"))).reason is Reason.WRONG_ISSUER
        assert scene.calls == 1
