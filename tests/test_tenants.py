"""Issuers by the dozen: who is asked before anything is fetched, what is kept, and whose a shared key is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.forge import AUDIENCE, JWKS, NOW, P256, RSA, RSA_PSS, claims, forge, header, public_jwk
from tests.introspection.stage import SECRET, Scene, asked
from tests.introspection.stage import reading as answer
from tokenguard import (
    ANY_AUDIENCE,
    AccessToken,
    ConfigurationError,
    InvalidToken,
    Issuer,
    KeyPolicy,
    Reason,
    RequestRefused,
    TenantIssuers,
    TokenValidator,
    profiles,
)
from tokenguard._fetch import Fetch
from tokenguard._keys.remote import RemoteKeys
from tokenguard.profiles import Profile

HOSTS = "https://{tenant}.example.com"
PATHS = "https://login.example.com/{tenant}/v2.0"
ACME, GLOBEX = "https://acme.example.com", "https://globex.example.com"
SHARED = "https://login.example.com/common/keys"


def _document(url: str) -> dict[str, str]:
    return {"issuer": url, "jwks_uri": f"{url}/keys"}


def _token(tenant: str = "acme", template: str = HOSTS, **changes: Any) -> str:
    return forge(claims(iss=template.replace("{tenant}", tenant), **changes))


class Town(Scene):
    """Tenants that have keys of their own, at their own addresses."""

    def __init__(self, *tenants: str, **options: Any) -> None:
        self.ours = {"acme", "globex", *tenants}
        self.consulted: list[str] = []
        super().__init__(TenantIssuers(HOSTS, **{"allowed": self.allowed, **options}))
        for tenant in (*self.ours, "evil"):
            url = HOSTS.replace("{tenant}", tenant)
            self.replies[f"{url}/.well-known/oauth-authorization-server"] = _document(url)
            self.replies[f"{url}/keys"] = JWKS

    def allowed(self, tenant: str) -> bool:
        self.consulted.append(tenant)
        return tenant in self.ours


class TestWhoIsAsked:
    def test_the_predicate_says_yes_before_anything_is_fetched(self) -> None:
        town = Town()
        assert town.outcome(_token("evil")) == "wrong_issuer"
        assert (town.consulted, town.requests) == (["evil"], [])
        assert town.core.trust.known() == {}

    def test_then_the_tenants_own_metadata_and_keys(self) -> None:
        town = Town()
        token = town.validate(_token())
        assert token.issuer == ACME
        assert town.asked == [f"{ACME}/.well-known/oauth-authorization-server", f"{ACME}/keys"]
        town.validate(_token(jti="2"))
        assert len(town.requests) == 2

    def test_a_tenant_that_leaves_is_out_at_once(self) -> None:
        town = Town()
        token = _token()
        town.validate(token)
        town.ours.remove("acme")
        assert town.outcome(token) == "wrong_issuer"  # one that was proven before
        assert town.outcome(_token(jti="2")) == "wrong_issuer"
        town.ours.add("acme")
        town.validate(token)
        assert len(town.requests) == 2

    def test_a_tenant_is_no_other(self) -> None:
        town = Town()
        town.replies[f"{ACME}/keys"] = {"keys": [public_jwk(RSA, kid="rs")]}
        town.replies[f"{GLOBEX}/keys"] = {"keys": [public_jwk(RSA_PSS, kid="rs")]}
        town.validate(_token("acme"))
        assert town.outcome(_token("globex")) == "bad_signature"  # signed with acme's key

    def test_a_metadata_document_of_another_tenant_is_none(self) -> None:
        # M01
        town = Town()
        town.replies[f"{ACME}/.well-known/oauth-authorization-server"] = _document(GLOBEX)
        assert town.outcome(_token()) == "keys_unavailable"

    @pytest.mark.parametrize(
        "iss",
        [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://acme.example.com/",
            "https://acme.example.com.evil.com",
            "https://evil.com/.example.com",
            "https://evil.com#.example.com",
            "https://evil.com?.example.com",
            "https://acme@evil.example.com",
            "https://acme:443.example.com",
            "https://-acme.example.com",
            "https://acme-.example.com",
            "https://acme_1.example.com",
            "https://acme%2e.example.com",
            "https://acme\n.example.com",
            "https://acme.example.com\n",
            "https://{tenant}.example.com",
            "https://\u00e4cme.example.com",
            "https://acme\u212a.example.com",
            "http://acme.example.com",
            "HTTPS://acme.example.com",
            "https://acme.EXAMPLE.com",
            "https://acmeXexample.com",
            "https://" + "a" * 64 + ".example.com",
            "",
        ],
    )
    def test_what_is_no_label_is_no_tenant_and_not_even_asked_about(self, iss: str) -> None:
        town = Town(allowed=lambda _: pytest.fail("asked"))
        assert town.outcome(forge(claims(iss=iss))) == "wrong_issuer"
        assert town.requests == []

    @pytest.mark.parametrize("label", ["a", "7", "acme", "ac-me", "ac--me", "ACME", "a" * 63, "xn--cme-0ra"])
    def test_labels(self, label: str) -> None:
        tenants = TenantIssuers(HOSTS, allowed=lambda _: True)
        assert tenants.tenant(tenants.url(label)) == label

    @pytest.mark.parametrize("segment", ["a", "7", "a.b", "a_b", "72f988bf-86f1-41af-91ab-2d7cd011db47", "a" * 128])
    def test_segments(self, segment: str) -> None:
        tenants = TenantIssuers(PATHS, allowed=lambda _: True)
        assert tenants.tenant(tenants.url(segment)) == segment

    @pytest.mark.parametrize("segment", ["", ".", "..", "a/b", "a/../b", "%2e%2e", ".a", "a.", "-a", "a b", "a" * 129])
    def test_no_segments(self, segment: str) -> None:
        assert TenantIssuers(PATHS, allowed=lambda _: True).tenant(PATHS.replace("{tenant}", segment)) is None

    def test_a_case_of_its_own(self) -> None:
        town = Town()
        assert town.outcome(_token("ACME")) == "wrong_issuer"
        assert town.consulted == ["ACME"]

    def test_an_endless_iss_costs_nothing(self) -> None:
        tenants = TenantIssuers(HOSTS, allowed=lambda _: True)
        assert tenants.tenant("https://" + "a-" * 8000 + ".example.com") is None


class TestPredicates:
    @pytest.mark.parametrize("verdict", [None, 1, "yes", {"acme"}, 0, ""])
    def test_what_is_neither_true_nor_false_lets_nobody_in(self, verdict: Any) -> None:
        town = Town(allowed=lambda _: verdict)
        with pytest.raises(ConfigurationError, match="allowed returned"):
            town.validate(_token())
        assert town.requests == []

    def test_nor_does_one_that_would_have_to_be_awaited(self) -> None:
        async def later(_: str) -> bool:
            return True

        def not_now(tenant: str) -> Any:
            return later(tenant)

        town = Town(allowed=not_now)
        with pytest.raises(ConfigurationError, match="coroutine"):
            town.validate(_token())
        with pytest.raises(ConfigurationError, match="plain function"):
            TenantIssuers(HOSTS, allowed=later)  # type: ignore[arg-type]

    def test_what_it_raises_is_the_applications(self) -> None:
        def broken(_: str) -> bool:
            raise ZeroDivisionError

        town = Town(allowed=broken)
        with pytest.raises(ZeroDivisionError):
            town.validate(_token())
        assert town.requests == []

    def test_it_may_ask_the_validator_itself(self) -> None:
        # No lock is held while it is asked.
        town = Town()
        town.validate(_token("globex"))

        def allowed(_: str) -> bool:
            return len(town.core.trust.known()) < 100

        other = Town(allowed=allowed)
        town = other
        town.validate(_token())


class TestWhatIsKept:
    def test_the_latest_are(self) -> None:
        town = Town("initech", most=2)
        for tenant in ("acme", "globex"):
            town.validate(_token(tenant))
        town.validate(_token("acme", jti="2"))  # in use again
        town.validate(_token("initech"))
        assert set(town.core.trust.known()) == {ACME, "https://initech.example.com"}
        requests = len(town.requests)
        town.validate(_token("acme", jti="3"))
        assert len(town.requests) == requests
        town.validate(_token("globex", jti="2"))  # fetched anew
        assert len(town.requests) == requests + 2

    def test_no_more_than_that(self) -> None:
        town = Town(*(f"t{number}" for number in range(200)), most=10)
        for number in range(200):
            town.validate(_token(f"t{number}"))
        assert len(town.core.trust.known()) == 10

    def test_a_proven_token_of_one_that_was_let_go_is_judged_all_the_same(self) -> None:
        town = Town(most=1)
        token = _token("acme")
        town.validate(token)
        town.validate(_token("globex"))
        town.validate(token)

    def test_threads_see_one_store_per_tenant(self) -> None:
        town = Town()
        together = threading.Barrier(8)

        def find(_: int) -> int:
            together.wait()
            return id(town.core.trust.find(ACME))

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(find, range(8)))) == 1

    def test_after_a_fork_no_lock_is_held(self) -> None:
        town = Town()
        town.validate(_token())
        (tenants,) = town.core.trust.tenants
        with tenants._lock:
            town.core.after_fork()
            town.validate(_token(jti="2"))
        assert len(town.requests) == 2


class TestSharedKeys:
    """One key set for all tenants, as at Entra ID."""

    def scene(self, *keys: dict[str, Any], **options: Any) -> Scene:
        tenants = TenantIssuers(
            PATHS, allowed={"acme", "globex"}.__contains__, jwks_uri=SHARED, algorithms=("RS256", "ES256"), **options
        )
        scene = Scene(tenants)
        scene.replies[SHARED] = {"keys": list(keys)}
        return scene

    def test_it_is_fetched_once_for_all(self) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs"))
        assert scene.validate(_token("acme", PATHS)).issuer == "https://login.example.com/acme/v2.0"
        assert scene.validate(_token("globex", PATHS)).issuer == "https://login.example.com/globex/v2.0"
        assert scene.asked == [SHARED]

    @pytest.mark.parametrize(
        ("issuer", "acme", "globex"),
        [
            ("https://login.example.com/acme/v2.0", "accept", "unknown_key"),
            ("https://login.example.com/globex/v2.0", "unknown_key", "accept"),
            ("https://login.example.com/{tenantid}/v2.0", "accept", "accept"),
            ("https://login.example.com/acme/v2.0/", "unknown_key", "unknown_key"),
            ("https://login.example.com/ACME/v2.0", "unknown_key", "unknown_key"),
            ("https://evil.example.com/{tenantid}", "unknown_key", "unknown_key"),
            ("{tenantid}", "unknown_key", "unknown_key"),
            ("", "unknown_key", "unknown_key"),
        ],
    )
    def test_a_key_that_names_its_issuer_is_good_for_that_one(self, issuer: str, acme: str, globex: str) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs", issuer=issuer))
        assert scene.outcome(_token("acme", PATHS)) == acme
        assert scene.outcome(_token("globex", PATHS)) == globex

    def test_it_may_name_it_otherwise_than_its_tokens_do(self) -> None:
        scene = self.scene(
            public_jwk(RSA, kid="rs", issuer="https://sts.example.com/{tenantid}/"),
            key_issuer="https://sts.example.com/{tenant}/",
        )
        scene.validate(_token("acme", PATHS))
        assert scene.outcome(forge(claims(iss="https://sts.example.com/acme/"))) == "wrong_issuer"

    @pytest.mark.parametrize("issuer", [None, 7, ["https://login.example.com/acme/v2.0"]])
    def test_a_malformed_one_is_no_key(self, issuer: Any) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs", issuer=issuer), public_jwk(P256, kid="es"))
        assert scene.outcome(_token("acme", PATHS)) == "unknown_key"

    def test_an_alias_names_it_too(self) -> None:
        profile = Profile(name="p", types=frozenset({""}), issuer_aliases=("https://sts.example.com/{tenant}/",))
        scene = self.scene(public_jwk(RSA, kid="rs", issuer="https://sts.example.com/{tenantid}/"), profile=profile)
        token = scene.validate(forge(claims(iss="https://sts.example.com/acme/")))
        assert token.issuer == "https://login.example.com/acme/v2.0"
        assert scene.outcome(forge(claims(iss="https://sts.example.com/evil/"))) == "wrong_issuer"

    def test_what_forces_a_fetch_is_counted_for_all_together(self) -> None:
        # D01: unknown kids of many tenants are no way around the cooldown.
        scene = self.scene(public_jwk(RSA, kid="rs"))
        scene.validate(_token("acme", PATHS))
        for tenant in ("acme", "globex") * 50:
            unknown = forge(
                claims(iss=PATHS.replace("{tenant}", tenant)), header(kid=f"k{len(scene.requests)}{tenant}")
            )
            assert scene.outcome(unknown) == "unknown_key"
        assert len(scene.requests) <= 3

    def test_a_withdrawn_key_counts_no_more_for_any(self) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs"), public_jwk(P256, kid="es"))
        token = _token("acme", PATHS)
        scene.validate(token)
        scene.replies[SHARED] = {"keys": [public_jwk(P256, kid="es")]}
        scene.tick = 250
        scene.validate(_token("globex", PATHS))
        assert scene.run_due() >= 1
        assert scene.outcome(token) == "unknown_key"

    def test_after_a_fork_the_set_is_told_once_however_many_tenants_are_known(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[RemoteKeys] = []

        def after_fork(keys: RemoteKeys) -> None:
            told.append(keys)

        monkeypatch.setattr(RemoteKeys, "after_fork", after_fork)
        scene = self.scene(public_jwk(RSA, kid="rs"))
        (tenants,) = scene.core.trust.tenants
        for known in ((), ("acme",), ("acme", "globex")):
            for tenant in known:
                scene.validate(_token(tenant, PATHS))
            told.clear()
            scene.core.after_fork()
            assert told == [tenants.shared]

    def test_the_set_is_refreshed_ahead_whoever_comes(self) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs"))
        token = _token("acme", PATHS)
        scene.validate(token)
        scene.tick = 239
        scene.core.decide(token, NOW + 1, 59.0)
        assert scene.run_due() == 0
        scene.core.decide(token, NOW + 1, 250.0)
        assert scene.run_due() >= 1

    def test_its_state_shows_for_each_tenant_in_use(self) -> None:
        scene = self.scene(public_jwk(RSA, kid="rs"))
        scene.validate(_token("acme", PATHS))
        (trusted,) = scene.core.trust.known().values()
        assert trusted.keys.health(0)["state"] == "fresh"
        assert trusted.keys.doubt(0) is None or isinstance(trusted.keys.doubt(0), Fetch)
        assert trusted.keys.load(0) is None
        scene.core.after_fork()

    def test_where_every_token_is_asked_about_it_is_never_fetched(self) -> None:
        tenants = TenantIssuers(
            PATHS,
            allowed=lambda _: True,
            jwks_uri=SHARED,
            introspection=asked(policy="only", endpoint="https://login.example.com/introspect"),
        )
        scene = Scene(tenants, select=lambda _: "https://login.example.com/acme/v2.0")
        scene.tells["https://login.example.com/introspect"] = answer()
        scene.validate("opaque")
        (trusted,) = scene.core.trust.known().values()
        assert trusted.keys.health(0)["state"] == "unused"


class TestOptions:
    CONTRADICTIONS: tuple[tuple[Any, dict[str, Any], str], ...] = (
        ("https://as.example.com", {}, "template"),
        ("https://{tenant}.example.com/{tenant}", {}, "template"),
        (7, {}, "template"),
        (None, {}, "template"),
        ("http://{tenant}.example.com", {}, "http"),
        ("{tenant}", {}, "url"),
        (HOSTS, {"allowed": None}, "allowed"),
        (HOSTS, {"allowed": {"acme"}}, "allowed"),
        (HOSTS, {"most": 0}, "most"),
        (HOSTS, {"most": True}, "most"),
        (HOSTS, {"most": 1.5}, "most"),
        (HOSTS, {"metadata_url": "https://example.com/meta"}, "metadata_url"),
        (HOSTS, {"jwks_uri": "http://example.com/keys"}, "jwks_uri"),
        (HOSTS, {"key_issuer": "https://{tenant}.example.com"}, "key_issuer"),
        (HOSTS, {"jwks_uri": SHARED, "key_issuer": "https://example.com"}, "key_issuer"),
        (HOSTS, {"jwks_uri": SHARED, "metadata_url": "https://{tenant}.example.com/m"}, "one place"),
        (HOSTS, {"algorithms": ("HS256",)}, "HS256"),
        (HOSTS, {"leeway": 301}, "leeway"),
        (HOSTS, {"profile": "entra"}, "profile"),
        (HOSTS, {"keys": {}}, "KeyPolicy"),
        (HOSTS, {"audience": ""}, "audience"),
        (HOSTS, {"introspection": "yes"}, "Introspection"),
        (HOSTS, {"introspection": asked(endpoint="http://{tenant}.example.com/i")}, "endpoint"),
    )

    @pytest.mark.parametrize(
        ("template", "options", "says"), CONTRADICTIONS, ids=[str(number) for number in range(len(CONTRADICTIONS))]
    )
    def test_contradictions_fail_at_once(self, template: Any, options: dict[str, Any], says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            TenantIssuers(template, **{"allowed": lambda _: True, **options})

    def test_each_tenant_has_all_of_them(self) -> None:
        tenants = TenantIssuers(
            HOSTS,
            allowed=lambda _: True,
            metadata_url="https://meta.example.com/{tenant}",
            audience="urn:x",
            algorithms=["ES256"],  # type: ignore[arg-type]
            profile=profiles.RFC9068,
            leeway=5,
            max_token_age=600,
            introspection=asked(endpoint="https://{tenant}.example.com/introspect"),
            keys=KeyPolicy(lifetime=120),
        )
        issuer = tenants.issuer("acme")
        assert issuer == Issuer(
            ACME,
            metadata_url="https://meta.example.com/acme",
            audience="urn:x",
            algorithms=("ES256",),
            profile=profiles.RFC9068,
            leeway=5,
            max_token_age=600,
            introspection=asked(endpoint=f"{ACME}/introspect"),
            keys=KeyPolicy(lifetime=120),
        )
        assert tenants.algorithms == ("ES256",)
        assert SECRET not in repr(tenants)
        assert not tenants.shares_keys
        assert hash(tenants)

    def test_http_takes_a_word(self) -> None:
        TenantIssuers("http://{tenant}.local", allowed=lambda _: True, allow_insecure_http=True)

    def test_their_own_audience_replaces_ours(self) -> None:
        town = Town(audience="urn:tenants")
        assert town.outcome(_token()) == "wrong_audience"
        assert town.outcome(_token(aud="urn:tenants")) == "accept"
        assert Town(audience=ANY_AUDIENCE).outcome(_token(aud="whatever")) == "accept"


class TestBesideOthers:
    def test_an_issuer_that_is_named_comes_first(self) -> None:
        named = Issuer(ACME, jwks=JWKS)
        scene = Scene(named, TenantIssuers(HOSTS, allowed=lambda _: pytest.fail("asked")))
        assert scene.validate(_token("acme")).issuer == ACME
        assert scene.validate(_token("acme")).issuer == ACME
        assert scene.requests == []

    def test_several_services_are_tried_in_turn(self) -> None:
        scene = Scene(
            TenantIssuers(PATHS, allowed=lambda _: False),
            TenantIssuers(HOSTS, allowed=lambda _: True, jwks_uri=SHARED),
        )
        scene.replies[SHARED] = JWKS
        scene.validate(_token("acme"))
        assert scene.outcome(_token("acme", PATHS)) == "wrong_issuer"

    def test_an_alias_with_a_placeholder_is_nobodys_name(self) -> None:
        profile = Profile(name="p", types=frozenset({""}), issuer_aliases=("https://{tenant}.example.net", "other"))
        scene = Scene(Issuer(ACME, jwks=JWKS, profile=profile))
        assert scene.outcome(forge(claims(iss="https://{tenant}.example.net"))) == "wrong_issuer"
        assert scene.outcome(forge(claims(iss="other"))) == "accept"

    def test_two_issuers_of_one_name_are_a_contradiction(self) -> None:
        profile = Profile(name="p", types=frozenset({""}), issuer_aliases=(GLOBEX,))
        with pytest.raises(ConfigurationError, match="names both"):
            Scene(Issuer(ACME, jwks=JWKS, profile=profile), Issuer(GLOBEX, jwks=JWKS))

    def test_static_keys_of_no_use_fail_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match="it needs a public key"):
            Scene(Issuer(ACME, jwks={"keys": []}))


class TestValidators:
    def test_one_has_them_in_its_health_as_they_come(self) -> None:
        validator = TokenValidator(TenantIssuers(HOSTS, allowed=lambda _: True), audience=AUDIENCE)
        assert (validator.health(), validator.ready) == ({}, True)

    def test_a_connection_held_open_ends_with_its_tenant(self) -> None:
        ours = {"acme"}
        tenants = TenantIssuers(HOSTS, allowed=lambda tenant: tenant in ours, jwks_uri=SHARED)
        validator = TokenValidator(tenants, audience=AUDIENCE, clock=lambda: NOW)
        token = AccessToken(issuer=ACME, expires_at=NOW + 60)
        assert validator.seconds_left(token) == 90
        ours.clear()
        assert validator.seconds_left(token) == 0

    def test_a_refusal_of_a_tenant_names_it(self) -> None:
        town = Town()
        with pytest.raises(InvalidToken) as caught:
            town.validate(_token(exp=NOW - 1000))
        assert (caught.value.issuer, caught.value.reason) == (ACME, Reason.EXPIRED)

    def test_a_refusal_of_the_recheck_names_it_too(self) -> None:
        town = Town()
        token = _token()
        town.validate(token)
        town.ours.clear()
        with pytest.raises(RequestRefused) as caught:
            town.validate(token)
        assert caught.value.issuer == ACME


class TestWhatAnybodyCanMakeUp:
    """A token that nobody signed names a tenant: that must change nothing for others."""

    MADE_UP = forge(claims(iss=ACME, aud="whatever"), header(), by="evil RS256")

    def test_it_does_not_make_us_unready(self) -> None:
        tenants = TenantIssuers(HOSTS, allowed={"acme"}.__contains__)
        validator = TokenValidator(tenants, audience=AUDIENCE)
        assert validator.ready
        with pytest.raises(InvalidToken):
            validator.validate(self.MADE_UP)
        assert validator.ready

    def test_it_evicts_no_keys_in_use(self) -> None:
        town = Town(*(f"t{number}" for number in range(9)), most=3)
        town.validate(_token("acme"))
        for number in range(9):
            town.refused(forge(claims(iss=f"https://t{number}.example.com", aud="whatever")))
        requests = len(town.requests)
        town.validate(_token("acme", jti="2"))
        assert len(town.requests) == requests
