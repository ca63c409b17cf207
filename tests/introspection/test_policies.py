"""Which tokens are asked about, and what follows: `opaque`, `always`, `only` (I11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.forge import AUDIENCE, DROP, ISSUER, JWKS, NOW, as_bytes, b64, claims, forge, header
from tests.introspection.stage import (
    ENDPOINT,
    INACTIVE,
    JWE,
    JWT,
    JWT_BAD_SIGNATURE,
    JWT_BROKEN,
    JWT_EXPIRED,
    JWT_NONE,
    JWT_NONE_SIGNED,
    JWT_OF_NOBODY,
    OPAQUE,
    Scene,
    active,
    asked,
    form,
    issuer,
)
from tokenguard import InvalidToken, Issuer, Reason, profiles

ALG_TWICE = b64(b'{"alg":"RS256","alg":"none"}')
TOKENS = {
    "opaque": OPAQUE,
    "JWT": JWT,
    "JWE": JWE,
    "JWT, bad signature": JWT_BAD_SIGNATURE,
    "JWT, expired": JWT_EXPIRED,
    "JWT for another API": forge(claims(aud="https://other.example.com")),
    "JWT, ID token": forge(claims(at_hash="x")),
    "JWT, bound": forge(claims(cnf={"jkt": "x"})),
    "JWT, alg none": JWT_NONE,
    "JWT, alg none, with a signature": JWT_NONE_SIGNED,
    "JWT, alg HS256": forge(by="HS256"),
    "JWT, unknown kid": forge(head=header(kid="nobody's")),
    "JWT, wrong typ": forge(head=header(typ="logout+jwt")),
    "JWT, crit": forge(head=header(crit=["x"])),
    "JWT of nobody": JWT_OF_NOBODY,
    "JWT without iss": forge(claims(iss=DROP)),
    "JWT, broken payload": JWT_BROKEN,
    "JWT, broken header": f"{ALG_TWICE}.{JWT.partition('.')[2]}",
    "JWT, iss twice": forge(b'{"iss":"https://evil.example.com",' + as_bytes(claims())[1:]),
}

# What a server says of all of them: active, and good for us. So whatever is refused was refused here.
OPAQUE_POLICY = {"opaque": ("accept", 1), "JWT": ("accept", 0)}
ALWAYS_POLICY = {"opaque": ("accept", 1), "JWT": ("accept", 1)}
REFUSED_HERE = {
    "JWE": "encrypted",
    "JWT, bad signature": "bad_signature",
    "JWT, expired": "expired",
    "JWT for another API": "wrong_audience",
    "JWT, ID token": "wrong_token_kind",
    "JWT, bound": "bound_token",
    "JWT, alg none": "malformed",
    "JWT, alg none, with a signature": "wrong_algorithm",
    "JWT, alg HS256": "wrong_algorithm",
    "JWT, unknown kid": "unknown_key",
    "JWT, wrong typ": "wrong_type",
    "JWT, crit": "unsupported_header",
    "JWT of nobody": "wrong_issuer",
    "JWT without iss": "wrong_issuer",
    "JWT, broken payload": "malformed",
    "JWT, broken header": "malformed",
    "JWT, iss twice": "malformed",
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(("policy", "passes"), [("opaque", OPAQUE_POLICY), ("always", ALWAYS_POLICY)])
def test_a_jwt_is_judged_here_and_one_that_fails_is_not_asked_about(
    policy: str, passes: dict[str, tuple[str, int]], name: str
) -> None:
    scene = Scene(issuer(introspection=asked(policy=policy)))
    outcome, calls = passes.get(name) or (REFUSED_HERE[name], 0)
    assert scene.outcome(TOKENS[name]) == outcome
    assert len(scene.requests) == scene.calls == calls


@pytest.mark.parametrize("name", TOKENS)
def test_only_asks_about_every_token_and_fetches_no_keys(name: str) -> None:
    scene = Scene(issuer(introspection=asked(policy="only")))
    if name == "JWT of nobody":  # it says itself that it is none of theirs
        assert scene.outcome(TOKENS[name]) == "wrong_issuer"
        assert scene.requests == []
        return
    assert scene.outcome(TOKENS[name]) == "accept"
    assert scene.asked == [ENDPOINT]
    assert form(scene.requests[0])["token"] == TOKENS[name]
    scene.tells[ENDPOINT] = INACTIVE
    scene.tick = 60
    assert scene.outcome(TOKENS[name]) == "inactive"
    assert set(scene.asked) == {ENDPOINT}


def test_under_only_what_the_issuer_says_counts_and_not_what_a_jwt_says_of_itself() -> None:
    scene = Scene(issuer(introspection=asked(policy="only")))
    scene.tells[ENDPOINT] = active(sub="somebody-else", scope="read")
    token = scene.validate(forge(claims(sub="admin", scope="admin"), header(), by="evil RS256"))
    assert token.subject == "somebody-else"
    assert token.scopes == {"read"}
    scene.tells[ENDPOINT] = active(aud="https://other.example.com")
    assert scene.outcome(forge(claims(jti="2"))) == "wrong_audience"


def test_under_only_no_key_is_known_or_wanted() -> None:
    of = Issuer(ISSUER, introspection=asked(policy="only"))
    scene = Scene(of)
    keys = scene.core.trust.named[ISSUER].keys
    assert (keys.load(0), keys.doubt(0), keys.attend(0)) == (None, None, True)
    assert keys.health(0) == {
        "state": "unused",
        "key_ids": [],
        "age": None,
        "next_refresh": None,
        "last_error": None,
    }
    # Text that no bearer token can be, but our parser could read, would come here: it finds no key.
    scene.core.after_fork()
    with pytest.raises(InvalidToken) as caught:
        keys.find("rs", "RS256", 0, attempt=0)
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_a_jwt_of_an_alias_is_routed_like_the_issuers_own() -> None:
    profile = replace(profiles.BASE, issuer_aliases=("as.example.com",))
    scene = Scene(issuer(profile=profile, introspection=asked(policy="only")))
    scene.validate(forge(claims(iss="as.example.com")))
    assert scene.calls == 1


class TestAlways:
    """The JWT says who it is; the issuer, whether it still stands to it."""

    def outcome(self, said: Any, token: str = JWT, **options: Any) -> str:
        scene = Scene(issuer(introspection=asked(policy="always"), **options))
        scene.tells[ENDPOINT] = said
        return scene.outcome(token)

    @pytest.mark.parametrize(
        ("said", "outcome"),
        [
            (active(), "accept"),
            ({"active": True}, "accept"),  # exp and aud are known from the JWT
            (INACTIVE, "inactive"),
            (active(active="true"), "inactive"),
            (active(sub="other"), "inactive"),
            (active(client_id="other"), "inactive"),
            (active(jti="other"), "inactive"),
            (active(sub=DROP, client_id=DROP, jti=DROP), "accept"),
            (active(sub=7), "malformed_claim"),
            (active(aud="https://other.example.com"), "wrong_audience"),
            (active(aud=[]), "wrong_audience"),
            (active(iss="https://other.example.com"), "wrong_issuer"),
            (active(exp=NOW - 3600), "expired"),
            (active(exp=None), "malformed_claim"),
            (active(nbf=NOW + 3600), "not_yet_valid"),
            (active(cnf={"jkt": "x"}), "bound_token"),
            (active(token_type="refresh_token"), "wrong_token_kind"),
            (active(scope=7), "malformed_claim"),
        ],
    )
    def test_what_the_issuer_says_and_what_follows(self, said: Any, outcome: str) -> None:
        assert self.outcome(said) == outcome

    @pytest.mark.parametrize(
        ("of_jwt", "of_issuer", "granted"),
        [
            ("read write", "read write", {"read", "write"}),
            ("read write", "read", {"read"}),  # narrowed meanwhile
            ("read write", "", set()),
            ("read write", "delete", set()),
            ("read", "read write delete", {"read"}),  # never widened
            (DROP, "admin", set()),
            ("read write", DROP, {"read", "write"}),
            ("read write", ["write"], {"write"}),
        ],
    )
    def test_narrowed_scopes_count_and_wider_ones_do_not(self, of_jwt: Any, of_issuer: Any, granted: set[str]) -> None:
        scene = Scene(issuer(introspection=asked(policy="always")))
        scene.tells[ENDPOINT] = active(scope=of_issuer)
        token = forge(claims(scope=of_jwt))
        assert scene.validate(token).scopes == granted
        assert scene.validate(token).scopes == granted  # remembered

    def test_all_else_is_as_the_jwt_says(self) -> None:
        scene = Scene(issuer(introspection=asked(policy="always")))
        scene.tells[ENDPOINT] = active(exp=NOW + 99, username="jo", aud=["x", AUDIENCE])
        token = scene.validate(forge(claims(org=7)))
        assert (token.expires_at, token.audience, token.claims["org"]) == (NOW + 600, (AUDIENCE,), 7)
        assert "username" not in token.claims

    def test_what_a_jwt_does_not_say_is_no_contradiction(self) -> None:
        # Keycloak's JWTs have azp, its answers client_id.
        assert self.outcome(active(client_id="app", jti="7"), forge(claims(azp="app"))) == "accept"

    def test_its_age_is_in_the_jwt(self) -> None:
        assert self.outcome(active(iat=DROP), max_token_age=300) == "accept"
        assert self.outcome(active(iat=DROP), forge(claims(iat=NOW - 1000)), max_token_age=300) == "too_old"
        assert self.outcome(active(iat=NOW - 1000), max_token_age=300) == "too_old"

    def test_a_refusal_names_the_issuer(self) -> None:
        scene = Scene(issuer(introspection=asked(policy="always")))
        scene.tells[ENDPOINT] = active(sub="other")
        for _ in range(2):
            refused = scene.refused(JWT)
            assert (refused.issuer, refused.status) == (ISSUER, 401)
        assert scene.calls == 1

    def test_one_that_expires_while_the_issuer_is_asked_does_not_pass(self) -> None:
        scene = Scene(issuer(leeway=0, introspection=asked(policy="always")))
        scene.takes = 3.0
        assert scene.outcome(forge(claims(exp=NOW + 2))) == "expired"

    def test_keys_first_and_then_the_issuer(self) -> None:
        keys = "https://as.example.com/jwks"
        scene = Scene(issuer(jwks_uri=keys, introspection=asked(policy="always")))
        scene.replies[keys] = JWKS
        scene.validate(JWT)
        assert scene.asked == [keys, ENDPOINT]
        scene.tells[ENDPOINT] = 500
        scene.tick = 60
        assert scene.unavailable(JWT).reason is Reason.INTROSPECTION_UNAVAILABLE
        scene.replies[keys] = 500

    def test_without_keys_it_is_not_asked_about(self) -> None:
        keys = "https://as.example.com/jwks"
        scene = Scene(issuer(jwks_uri=keys, introspection=asked(policy="always")))
        scene.replies[keys] = 500
        assert scene.unavailable(JWT).reason is Reason.KEYS_UNAVAILABLE
        assert scene.questions == []

    def test_it_is_no_refresh_token_whatever_the_answer_leaves_out(self) -> None:
        scene = Scene(issuer(introspection=asked(policy="always", allow_missing_aud=True)))
        scene.tells[ENDPOINT] = active(aud=DROP, token_type=DROP)
        assert scene.outcome(JWT) == "accept"
        assert scene.outcome(OPAQUE) == "wrong_token_kind"


def test_without_introspection_an_opaque_token_is_malformed() -> None:
    scene = Scene(Issuer(ISSUER, jwks=JWKS))
    assert scene.outcome(OPAQUE) == "malformed"
    assert scene.outcome(JWT) == "accept"
    assert scene.requests == []


def test_an_introspection_answer_is_no_access_token() -> None:
    # C36, RFC 9701 s8.1
    signed = forge(claims(token_introspection=active()), header(typ="token-introspection+jwt"))
    for policy in ("opaque", "always"):
        scene = Scene(issuer(introspection=asked(policy=policy)))
        assert scene.outcome(signed) == "wrong_type"
        assert scene.requests == []
