"""What an introspection endpoint may say of a token, and what follows: RFC 7662 s2.2, CONFORMANCE C32 and C50."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.forge import AUDIENCE, DROP, ISSUER, LEEWAY, NOW
from tests.introspection.stage import ENDPOINT, JWT, OPAQUE, Scene, active, asked, issuer
from tests.ways import WAYS, Way, by
from tokenguard import ANY_AUDIENCE, InvalidToken, Reason, profiles
from tokenguard.profiles import Profile

ACCEPT, UNAVAILABLE = "accept", "introspection_unavailable"
ALIASED = Profile(name="aliased", types=frozenset({""}), issuer_aliases=("as.example.com",))


def _text(text: str) -> bytes:
    return text.encode("utf-8")


def _with(extra: str) -> bytes:
    """A good answer with one more member, as JSON text."""
    return _text(json.dumps(active())[:-1] + f", {extra}}}")


def _nested(depth: int) -> bytes:
    return _with('"x": ' + "[" * depth + "]" * depth)


# name -> (the answer, the outcome)
ANSWERS: dict[str, tuple[Any, str]] = {
    "all members": (active(), ACCEPT),
    "all that is needed": ({"active": True, "aud": AUDIENCE, "exp": NOW + 600}, ACCEPT),
    "unknown members": (active(username="jo", ext={"a": [1, None, True]}, nonce="n"), ACCEPT),
    # active: RFC 7662 s2.2 "Boolean indicator"; I01, I02
    "active false": ({"active": False}, "inactive"),
    "active false with all the rest": (active(active=False), "inactive"),
    "active missing": (active(active=DROP), "inactive"),
    "an empty object": ({}, "inactive"),
    "active 'true'": (active(active="true"), "inactive"),
    "active 'True'": (active(active="True"), "inactive"),
    "active 1": (active(active=1), "inactive"),
    "active 1.0": (active(active=1.0), "inactive"),
    "active null": (active(active=None), "inactive"),
    "active [true]": (active(active=[True]), "inactive"),
    "active {}": (active(active={}), "inactive"),
    "active {'active': true}": (active(active={"active": True}), "inactive"),
    "Active": (active(active=DROP, Active=True), "inactive"),
    "an error with status 200": ({"error": "invalid_client"}, "inactive"),
    # No JSON object, or one that two readers read differently: nothing was said
    "nothing": (b"", UNAVAILABLE),
    "HTML": (b"<html>login</html>", UNAVAILABLE),
    "form": (b"active=true", UNAVAILABLE),
    "true": (b"true", UNAVAILABLE),
    "null": (b"null", UNAVAILABLE),
    "a string": (b'"active"', UNAVAILABLE),
    "an array of answers": (_text(json.dumps([active()])), UNAVAILABLE),
    "cut short": (_text(json.dumps(active())[:-1]), UNAVAILABLE),
    "more after it": (_text(json.dumps(active()) + "{}"), UNAVAILABLE),
    "a BOM": (b"\xef\xbb\xbf" + _text(json.dumps(active())), UNAVAILABLE),
    "UTF-16": (json.dumps(active()).encode("utf-16"), UNAVAILABLE),
    "invalid UTF-8": (_text(json.dumps(active())).replace(b"user-1", b"user-\xff"), UNAVAILABLE),
    "active twice, the last false": (_with('"active": false'), UNAVAILABLE),
    "active twice, the first false": (b'{"active": false, ' + _text(json.dumps(active())[1:]), UNAVAILABLE),
    "active twice, once escaped": (_with('"\\u0061ctive": true'), UNAVAILABLE),
    "aud twice": (_with('"aud": "https://other"'), UNAVAILABLE),
    "exp twice": (_with(f'"exp": {NOW + 9999}'), UNAVAILABLE),
    "a name twice further in": (_with('"x": {"y": 1, "y": 2}'), UNAVAILABLE),
    "NaN somewhere": (_with('"x": NaN'), UNAVAILABLE),
    "Infinity somewhere": (_with('"x": -Infinity'), UNAVAILABLE),
    "1e999 somewhere": (_with('"x": 1e999'), UNAVAILABLE),
    "a lone surrogate": (_with('"x": "\\ud800"'), UNAVAILABLE),
    "nested as deep as may be": (_nested(31), ACCEPT),
    "nested 33 deep": (_nested(32), UNAVAILABLE),
    "nested 40 deep": (_nested(40), UNAVAILABLE),
    "nested 30,000 deep": (_nested(30_000), UNAVAILABLE),
    "too many values": (_with(f'"x": [{"0," * 60_000}0]'), UNAVAILABLE),
    "JSON of single quotes": (b"{'active': true}", UNAVAILABLE),
    # exp: RFC 7519 s2 NumericDate; I03
    "exp ahead": (active(exp=NOW + 1), ACCEPT),
    "exp a fraction": (active(exp=NOW + 0.5), ACCEPT),
    "exp past, within leeway": (active(exp=NOW - LEEWAY + 1), ACCEPT),
    "exp past by the leeway": (active(exp=NOW - LEEWAY), "expired"),
    "exp past": (active(exp=NOW - 3600), "expired"),
    "exp 0": (active(exp=0), "expired"),
    "exp negative": (active(exp=-1), "expired"),
    "exp missing": (active(exp=DROP), "missing_claim"),
    "exp null": (active(exp=None), "malformed_claim"),
    "exp a string": (active(exp=str(NOW + 600)), "malformed_claim"),
    "exp a date": (active(exp="2027-01-01T00:00:00Z"), "malformed_claim"),
    "exp true": (active(exp=True), "malformed_claim"),
    "exp a list": (active(exp=[NOW + 600]), "malformed_claim"),
    "exp an object": (active(exp={}), "malformed_claim"),
    "exp NaN": (_text(json.dumps(active(exp=DROP))[:-1] + ', "exp": NaN}'), UNAVAILABLE),
    "exp in milliseconds": (active(exp=(NOW + 600) * 1000), "time_in_milliseconds"),
    "exp 1e300": (active(exp=1e300), "time_in_milliseconds"),
    "exp of 100 digits": (active(exp=10**100), "time_in_milliseconds"),
    "exp of 5,000 digits": (_text(json.dumps(active(exp=DROP))[:-1] + f', "exp": {"9" * 5000}}}'), UNAVAILABLE),
    # nbf and iat
    "nbf past": (active(nbf=NOW - 10), ACCEPT),
    "nbf ahead, within leeway": (active(nbf=NOW + LEEWAY), ACCEPT),
    "nbf ahead": (active(nbf=NOW + LEEWAY + 1), "not_yet_valid"),
    "nbf a string": (active(nbf="0"), "malformed_claim"),
    "nbf null": (active(nbf=None), "malformed_claim"),
    "nbf false": (active(nbf=False), "malformed_claim"),
    "nbf in milliseconds": (active(nbf=NOW * 1000), "time_in_milliseconds"),
    "iat missing": (active(iat=DROP), ACCEPT),
    "iat of ten years ago": (active(iat=NOW - 315_360_000), ACCEPT),
    "iat ahead": (active(iat=NOW + LEEWAY + 1), "issued_in_future"),
    "iat a string": (active(iat="x"), "malformed_claim"),
    "iat a list": (active(iat=[]), "malformed_claim"),
    "iat null": (active(iat=None), "malformed_claim"),
    "iat in milliseconds": (active(iat=NOW * 1000), "time_in_milliseconds"),
    # aud: I04, C13
    "aud a list of us": (active(aud=[AUDIENCE]), ACCEPT),
    "aud with us last": (active(aud=["a", "b", AUDIENCE]), ACCEPT),
    "aud of another API": (active(aud="https://other.example.com"), "wrong_audience"),
    "aud others": (active(aud=["a", "b"]), "wrong_audience"),
    "aud a prefix of ours": (active(aud=AUDIENCE[:-1]), "wrong_audience"),
    "aud with a slash more": (active(aud=AUDIENCE + "/"), "wrong_audience"),
    "aud in capitals": (active(aud=AUDIENCE.upper()), "wrong_audience"),
    "aud two in a string": (active(aud=f"{AUDIENCE} other"), "wrong_audience"),
    "aud empty": (active(aud=""), "wrong_audience"),
    "aud none of them": (active(aud=[]), "wrong_audience"),
    "aud missing": (active(aud=DROP), "wrong_audience"),
    "aud null": (active(aud=None), "malformed_claim"),
    "aud a number": (active(aud=1), "malformed_claim"),
    "aud with a number": (active(aud=[AUDIENCE, 1]), "malformed_claim"),
    "aud in a list in a list": (active(aud=[[AUDIENCE]]), "malformed_claim"),
    "aud an object": (active(aud={AUDIENCE: True}), "malformed_claim"),
    # scope: RFC 7662 s2.2 a string; I05
    "scope missing": (active(scope=DROP), ACCEPT),
    "scope empty": (active(scope=""), ACCEPT),
    "scope a list": (active(scope=["read"]), ACCEPT),
    "scope null": (active(scope=None), "malformed_claim"),
    "scope a number": (active(scope=1), "malformed_claim"),
    "scope true": (active(scope=True), "malformed_claim"),
    "scope an object": (active(scope={"read": True}), "malformed_claim"),
    "scope a list in a list": (active(scope=[["read"]]), "malformed_claim"),
    "scope with a tab": (active(scope="read\twrite"), "malformed_claim"),
    "scope with a quote": (active(scope='read "write'), "malformed_claim"),
    "scp of a provider's JWTs": (active(scp=1), ACCEPT),
    # token_type
    "token_type missing": (active(token_type=DROP), ACCEPT),
    "token_type bearer": (active(token_type="bearer"), ACCEPT),
    "token_type BEARER": (active(token_type="BEARER"), ACCEPT),
    "token_type access_token": (active(token_type="access_token"), ACCEPT),
    "token_type Access_Token": (active(token_type="Access_Token"), ACCEPT),
    "token_type with a KELVIN SIGN": (active(token_type="access_to\u212aen"), "wrong_token_kind"),
    "token_type refresh_token": (active(token_type="refresh_token"), "wrong_token_kind"),
    "token_type id_token": (active(token_type="id_token"), "wrong_token_kind"),
    "token_type DPoP": (active(token_type="DPoP"), "wrong_token_kind"),
    "token_type mac": (active(token_type="mac"), "wrong_token_kind"),
    "token_type N_A": (active(token_type="N_A"), "wrong_token_kind"),
    "token_type empty": (active(token_type=""), "wrong_token_kind"),
    "token_type with a space": (active(token_type="Bearer "), "wrong_token_kind"),
    "token_type null": (active(token_type=None), "malformed_claim"),
    "token_type a list": (active(token_type=["Bearer"]), "malformed_claim"),
    "token_type a number": (active(token_type=1), "malformed_claim"),
    # iss: exact where it is present; C12, C13
    "iss missing": (active(iss=DROP), ACCEPT),
    "iss of another": (active(iss="https://evil.example.com"), "wrong_issuer"),
    "iss with a slash more": (active(iss=ISSUER + "/"), "wrong_issuer"),
    "iss a prefix": (active(iss=ISSUER[:-1]), "wrong_issuer"),
    "iss in capitals": (active(iss=ISSUER.upper()), "wrong_issuer"),
    "iss empty": (active(iss=""), "wrong_issuer"),
    "iss null": (active(iss=None), "wrong_issuer"),
    "iss a list": (active(iss=[ISSUER]), "wrong_issuer"),
    "iss an alias of nobody": (active(iss="as.example.com"), "wrong_issuer"),
    # sub, client_id, jti: optional, strings where present
    "sub missing": (active(sub=DROP), ACCEPT),
    "sub a number": (active(sub=7), "malformed_claim"),
    "sub null": (active(sub=None), "malformed_claim"),
    "sub a list": (active(sub=["user-1"]), "malformed_claim"),
    "sub false": (active(sub=False), "malformed_claim"),
    "client_id missing": (active(client_id=DROP), ACCEPT),
    "client_id a number": (active(client_id=7), "malformed_claim"),
    "client_id null": (active(client_id=None), "malformed_claim"),
    "jti a string": (active(jti="t"), ACCEPT),
    "jti a number": (active(jti=7), "malformed_claim"),
    # Bound to a key: refused as in a JWT (C45, C50, RFC 8705 s3.2, RFC 9449 s6.2)
    "cnf with jkt": (active(cnf={"jkt": "x"}), "bound_token"),
    "cnf with a certificate": (active(cnf={"x5t#S256": "x"}), "bound_token"),
    "cnf empty": (active(cnf={}), "bound_token"),
    "cnf null": (active(cnf=None), "bound_token"),
    # Tokens of another kind: C27
    "at_hash": (active(at_hash="x"), "wrong_token_kind"),
    "c_hash": (active(c_hash="x"), "wrong_token_kind"),
    "events": (active(events={}), "wrong_token_kind"),
    "typ Bearer": (active(typ="Bearer"), ACCEPT),
    "typ ID": (active(typ="ID"), "wrong_token_kind"),
    "typ Refresh": (active(typ="Refresh"), "wrong_token_kind"),
    "typ Offline": (active(typ="Offline"), "wrong_token_kind"),
    "typ Logout": (active(typ="Logout"), "wrong_token_kind"),
    "typ a number": (active(typ=1), "malformed_claim"),
    "token_use id": (active(token_use="id"), "wrong_token_kind"),
    "token_use access": (active(token_use="access"), ACCEPT),
    # Ory Hydra and HubSpot; Lightwave. Of a refresh token that has our aud they say so there and nowhere else.
    "token_use access_token": (active(token_use="access_token"), ACCEPT),
    "token_use refresh_token": (active(token_use="refresh_token"), "wrong_token_kind"),
    "token_use refresh_token and no token_type": (
        active(token_use="refresh_token", token_type=DROP),
        "wrong_token_kind",
    ),
    "token_class access_token": (active(token_class="access_token"), ACCEPT),
    "token_class refresh_token": (active(token_class="refresh_token", token_type=DROP), "wrong_token_kind"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_and_what_follows(name: str, way: Way) -> None:
    said, outcome = ANSWERS[name]
    scene = Scene(issuer(leeway=LEEWAY))
    scene.tells[ENDPOINT] = said
    with by(way):
        assert scene.outcome(OPAQUE) == outcome
        assert scene.outcome(OPAQUE) == outcome  # from whatever is remembered, too
    if outcome == UNAVAILABLE:
        assert scene.calls == 2
        assert scene.introspector().health(0)["state"] == "ready"  # a caller's token may have caused it
    elif "within leeway" in name and "exp" in name:
        assert scene.calls == 2  # C33: nothing is remembered beyond exp
    else:
        assert scene.calls == 1


def test_the_table_is_long_enough() -> None:
    assert len(ANSWERS) >= 80


def test_what_it_says_is_what_the_application_sees() -> None:
    scene = Scene()
    scene.tells[ENDPOINT] = active(aud=["x", AUDIENCE], jti="t-1", nbf=NOW - 5, org={"ids": [1]}, username="jo")
    token = scene.validate()
    assert (token.issuer, token.subject, token.client_id) == (ISSUER, "user-1", "client-1")
    assert (token.audience, token.token_id) == (("x", AUDIENCE), "t-1")
    assert token.scopes == {"read", "write"}
    assert (token.expires_at, token.issued_at, token.not_before) == (NOW + 600, NOW - 10, NOW - 5)
    assert token.claims["org"]["ids"] == (1,)
    assert token.claims["username"] == "jo"
    assert "active" not in token.claims  # it says nothing of the token that being here does not say


def test_a_refusal_tells_the_client_nothing_finer() -> None:
    scene = Scene()
    scene.tells[ENDPOINT] = {"active": False}
    refused = scene.refused()
    assert (refused.status, refused.error, refused.reason) == (401, "invalid_token", Reason.INACTIVE)
    assert refused.description == "The access token is invalid"
    assert refused.issuer == ISSUER


def test_an_alias_of_the_issuer_is_the_issuer() -> None:
    scene = Scene(issuer(profile=ALIASED))
    scene.tells[ENDPOINT] = active(iss="as.example.com")
    assert scene.validate().issuer == ISSUER


def test_what_a_profile_asks_of_jwts_is_not_asked_of_answers() -> None:
    # RFC 7662's members, whatever the provider's JWTs are like: jti and client_id are RFC 9068's demands.
    scene = Scene(issuer(profile=profiles.RFC9068))
    scene.tells[ENDPOINT] = active(client_id=DROP, iat=DROP)
    assert scene.validate().subject == "user-1"


class TestWithoutAud:
    """An operator whose server never sends `aud` says so; then a missing `token_type` is refused too."""

    @pytest.mark.parametrize(
        ("said", "outcome"),
        [
            (active(aud=DROP), ACCEPT),
            (active(), ACCEPT),
            (active(aud="https://other.example.com"), "wrong_audience"),  # where it speaks, it counts
            (active(aud=""), "wrong_audience"),
            (active(aud=[]), ACCEPT),  # Ory Hydra, of a token without an audience
            (active(aud=[], token_type=DROP), "wrong_token_kind"),
            (active(aud=[], token_use="refresh_token"), "wrong_token_kind"),
            (active(aud=None), "malformed_claim"),
            (active(aud=DROP, token_type=DROP), "wrong_token_kind"),
            (active(token_type=DROP), "wrong_token_kind"),
            (active(aud=DROP, token_type="refresh_token"), "wrong_token_kind"),
            (active(aud=DROP, token_type=None), "malformed_claim"),
            (active(aud=DROP, token_type="bearer"), ACCEPT),
        ],
    )
    def test_one_switch(self, said: Any, outcome: str) -> None:
        scene = Scene(issuer(introspection=asked(allow_missing_aud=True)))
        scene.tells[ENDPOINT] = said
        assert scene.outcome(OPAQUE) == outcome

    @pytest.mark.parametrize(
        ("said", "outcome"),
        [
            (active(aud=DROP, token_type=DROP), ACCEPT),
            (active(aud=DROP, token_type="refresh_token"), "wrong_token_kind"),
            (active(aud=DROP, token_type=""), "wrong_token_kind"),
            (active(aud="https://other.example.com", token_type=DROP), "wrong_audience"),
        ],
    )
    def test_two_switches(self, said: Any, outcome: str) -> None:
        scene = Scene(issuer(introspection=asked(allow_missing_aud=True, allow_missing_token_type=True)))
        scene.tells[ENDPOINT] = said
        assert scene.outcome(OPAQUE) == outcome

    def test_an_audience_is_none_then(self) -> None:
        scene = Scene(issuer(introspection=asked(allow_missing_aud=True)))
        scene.tells[ENDPOINT] = active(aud=DROP)
        assert scene.validate().audience == ()

    def test_any_audience_takes_all(self) -> None:
        scene = Scene(issuer(audience=ANY_AUDIENCE))
        scene.tells[ENDPOINT] = active(aud=DROP)
        assert scene.validate().audience == ()
        scene.tells[ENDPOINT] = active(aud=7)
        assert scene.outcome("another") == "malformed_claim"

    @pytest.mark.parametrize(("switch", "outcome"), [(False, "wrong_token_kind"), (True, ACCEPT)])
    def test_where_any_audience_will_do_it_takes_the_second_switch_too(self, switch: bool, outcome: str) -> None:
        scene = Scene(issuer(audience=ANY_AUDIENCE, introspection=asked(allow_missing_token_type=switch)))
        scene.tells[ENDPOINT] = active(token_type=DROP)
        assert scene.outcome(OPAQUE) == outcome

    @pytest.mark.parametrize("policy", ["opaque", "always", "only"])
    @pytest.mark.parametrize(("switch", "outcome"), [(None, ACCEPT), (True, ACCEPT), (False, "wrong_token_kind")])
    def test_a_server_that_always_sends_token_type_can_be_held_to_it(
        self, switch: bool | None, outcome: str, policy: str
    ) -> None:
        # idpyoidc leaves it out of refresh tokens alone, and those have the aud of the access tokens.
        scene = Scene(issuer(introspection=asked(allow_missing_token_type=switch, policy=policy)))
        scene.tells[ENDPOINT] = active(token_type=DROP)
        assert scene.outcome(JWT if policy == "always" else OPAQUE) == outcome
        assert scene.calls == 1

    def test_an_issuers_own_audience_replaces_ours(self) -> None:
        scene = Scene(issuer(audience="urn:mine"))
        assert scene.outcome(OPAQUE) == "wrong_audience"
        scene.tells[ENDPOINT] = active(aud="urn:mine")
        assert scene.outcome("another") == ACCEPT


class TestWithoutExp:
    def test_it_takes_a_switch_and_is_never_cached(self) -> None:
        scene = Scene(issuer(introspection=asked(allow_missing_exp=True)))
        scene.tells[ENDPOINT] = active(exp=DROP)
        assert scene.validate().expires_at == float("inf")
        scene.validate()
        assert scene.calls == 2
        scene.tells[ENDPOINT] = {"active": False}
        assert scene.refused().reason is Reason.INACTIVE

    @pytest.mark.parametrize("exp", [None, "never", True, [], -1])
    def test_malformed_is_not_missing(self, exp: object) -> None:
        scene = Scene(issuer(introspection=asked(allow_missing_exp=True)))
        scene.tells[ENDPOINT] = active(exp=exp)
        assert scene.refused().reason in (Reason.MALFORMED_CLAIM, Reason.EXPIRED)


def test_an_age_at_most_holds_for_opaque_tokens_too() -> None:
    scene = Scene(issuer(max_token_age=300))
    scene.validate()
    scene.tick = 321
    scene.tells[ENDPOINT] = active(iat=NOW - 10, exp=NOW + 6000)
    assert scene.outcome("another") == "too_old"
    scene.tells[ENDPOINT] = active(iat=DROP)
    assert scene.outcome("a third") == "malformed"  # a space: no token
    assert scene.outcome("third") == "missing_claim"


def test_a_refusal_is_an_invalid_token_whatever_its_reason() -> None:
    scene = Scene()
    for number, (said, outcome) in enumerate(ANSWERS.values()):
        scene.tells[ENDPOINT] = said
        if outcome not in (ACCEPT, UNAVAILABLE):
            with pytest.raises(InvalidToken) as caught:
                scene.validate(f"token-{number}")
            assert caught.value.status == 401
            assert caught.value.issuer == ISSUER
