"""A profile of one's own: what its fields do, and what they refuse when it is built."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from tests.forge import claims, forge, header, validator
from tokenguard import AccessToken, ConfigurationError, InvalidToken, Profile, Reason, profiles
from tokenguard.profiles import OUR_AUDIENCE

JWT = frozenset({"", "jwt"})


def own(**fields: Any) -> Profile:
    return Profile(**{"name": "own", "types": JWT, **fields})


def read(profile: Profile, **changes: object) -> AccessToken:
    return validator(profile).validate(forge(claims(**changes)))


def refused(profile: Profile, **changes: object) -> Reason:
    with pytest.raises(InvalidToken) as caught:
        read(profile, **changes)
    return caught.value.reason


class TestScopes:
    def test_any_claim_can_name_them(self) -> None:
        profile = own(scopes=("permissions", "grants"))
        assert read(profile, permissions=["a", "b"]).scopes == {"a", "b"}
        assert read(profile, grants="a b", scope="c").scopes == {"a", "b"}

    def test_all_that_a_token_has_must_agree(self) -> None:
        profile = own(scopes=("x", "y", "z"))
        assert read(profile, x="a b", z=["b", "a"]).scopes == {"a", "b"}
        assert refused(profile, x="a b", y="a b", z="a") is Reason.MALFORMED_CLAIM
        assert refused(profile, y="", z="a") is Reason.MALFORMED_CLAIM

    def test_long_texts_of_any_claim_are_read_alike(self) -> None:
        long = " ".join(f"scope:{n}" for n in range(100))
        assert read(own(scopes=("grants",)), grants=long).scopes == set(long.split())
        assert refused(own(scopes=("grants",)), grants=long + "\t") is Reason.MALFORMED_CLAIM

    def test_without_a_claim_there_are_none_ever(self) -> None:
        assert read(own(scopes=()), scope="a", scp=["b"]).scopes == frozenset()


class TestClient:
    def test_any_claim_can_name_it(self) -> None:
        assert read(own(client=("azp",)), azp="c", client_id="d").client_id == "c"
        assert read(own(client=("azp",)), client_id="d").client_id is None

    def test_all_that_a_token_has_must_agree(self) -> None:
        profile = own(client=("client_id", "azp"))
        assert read(profile, azp="c").client_id == "c"
        assert read(profile, client_id="c", azp="c").client_id == "c"
        assert read(profile).client_id is None
        assert refused(profile, client_id="c", azp="d") is Reason.MALFORMED_CLAIM
        assert refused(profile, client_id="c", azp=None) is Reason.MALFORMED_CLAIM
        assert refused(profile, client_id=1, azp=1) is Reason.MALFORMED_CLAIM

    def test_without_a_claim_there_is_none_ever(self) -> None:
        assert read(own(client=()), client_id=["odd"]).client_id is None


class TestRoles:
    def test_a_name_is_taken_as_it_stands(self) -> None:
        assert read(own(roles=("https://example.com/roles",)), **{"https://example.com/roles": ["a"]}).roles == {"a"}
        assert read(own(roles=("a.b",)), a={"b": ["no"]}, **{"a.b": ["yes"]}).roles == {"yes"}

    def test_a_path_leads_inwards(self) -> None:
        profile = own(roles=(("a", "b", "c"), "roles"))
        assert read(profile, a={"b": {"c": ["x"]}}, roles=["y", "x"]).roles == {"x", "y"}
        assert read(profile, a={"b": {}}).roles == frozenset()
        for odd in (None, "x", 1, True, [], ["c"], {"b": None}, {"b": "c"}, {"b": {"c": "x"}}, {"b": {"c": [["x"]]}}):
            assert refused(profile, a=odd) is Reason.MALFORMED_CLAIM, odd

    def test_our_audience_may_stand_anywhere_in_it(self) -> None:
        profile = own(roles=((OUR_AUDIENCE, OUR_AUDIENCE),))
        checking = validator(profile, audience=("api", "web"))
        token = forge(claims(aud="api", api={"web": ["a"], "x": ["no"]}, web={"web": ["b"]}, x={"api": ["no"]}))
        assert checking.validate(token).roles == {"a", "b"}

    def test_no_other_profile_reads_any(self) -> None:
        assert read(profiles.BASE, roles=["admin"], groups=["admin"]).roles == frozenset()


class TestRequired:
    def test_one_of_several_suffices(self) -> None:
        profile = own(required=(("a", "b"), "c"))
        assert read(profile, b=1, c=2).subject == "user-1"
        assert refused(profile, c=2) is Reason.MISSING_CLAIM
        assert refused(profile, a=1) is Reason.MISSING_CLAIM


class TestKind:
    def test_values_are_compared_to_the_letter(self) -> None:
        profile = own(kind={"use": ("access", "api"), "ver": ("", "2")})
        assert read(profile, use="api").claims["use"] == "api"
        assert read(profile, use="access", ver="2").claims["ver"] == "2"
        for use in ("Access", "", " api", "id"):
            assert refused(profile, use=use) is Reason.WRONG_TOKEN_KIND, use
        assert refused(profile, use="api", ver="1") is Reason.WRONG_TOKEN_KIND
        assert refused(profile, use="api", ver="") is Reason.WRONG_TOKEN_KIND
        assert refused(profile, use="api", ver=2) is Reason.MALFORMED_CLAIM
        assert refused(profile) is Reason.MISSING_CLAIM

    def test_what_marks_other_tokens_is_refused_whatever_the_profile_says(self) -> None:
        assert refused(own(kind={"typ": ("ID",)}), typ="ID") is Reason.WRONG_TOKEN_KIND


class TestAudience:
    profile = own(audience=("aud", "resource", "api"))

    def read(self, **changes: object) -> AccessToken:
        return validator(self.profile, audience=("ours", "also")).validate(forge(claims(**changes)))

    def test_the_first_that_is_there_decides(self) -> None:
        without = {name: value for name, value in claims().items() if name != "aud"}
        ours = validator(self.profile, audience=("ours", "also"))
        assert ours.validate(forge({**without, "api": ["other", "also"]})).audience == ("other", "also")
        assert self.read(aud="ours", resource="other").audience == ("ours",)
        for changes in ({"resource": "other", "api": "ours"}, {"aud": "other", "resource": "ours"}, {}):
            with pytest.raises(InvalidToken) as caught:
                ours.validate(forge({**without, **changes}))
            assert caught.value.reason is Reason.WRONG_AUDIENCE


def test_any_claim_can_be_the_tokens_id() -> None:
    assert read(own(token_id="uti"), uti="t-1", jti="t-2").token_id == "t-1"
    assert read(own(token_id="uti"), jti="t-2").token_id is None
    assert refused(own(token_id="uti"), uti=None) is Reason.MALFORMED_CLAIM


def test_a_profile_can_be_copied_hashed_and_changed_only_as_a_copy() -> None:
    for profile in (own(kind={"use": ["a"]}, required=[["a", "b"]], roles=[["a", OUR_AUDIENCE]]), profiles.KEYCLOAK):
        assert pickle.loads(pickle.dumps(profile)) == profile == replace(profile)
        assert len({profile, replace(profile)}) == 1
        assert replace(profile, name="other") != profile
        with pytest.raises(FrozenInstanceError):
            profile.scopes = ()  # type: ignore[misc]


def test_lists_become_tuples_so_that_nobody_changes_them_later() -> None:
    scopes, values = ["scope"], ["a"]
    profile = own(scopes=scopes, kind={"use": values})
    scopes.append("permissions")
    values.append("b")
    assert profile.scopes == ("scope",)
    assert profile.kind == (("use", frozenset({"a"})),)


def test_the_pair_of_old_profiles_reads_as_ever() -> None:
    for profile in (profiles.BASE, profiles.RFC9068):
        assert (profile.scopes, profile.client, profile.audience) == (("scope", "scp"), ("client_id",), ("aud",))
        assert (profile.roles, profile.kind, profile.token_id, profile.issuer_aliases) == ((), (), "jti", ())
    token = validator(profiles.RFC9068).validate(forge(claims(client_id="c", jti="j", scope="a"), header(typ="at+jwt")))
    assert (token.client_id, token.token_id) == ("c", "j")
    assert (token.scopes, token.roles) == (frozenset({"a"}), frozenset())


WRONG: Mapping[str, tuple[Callable[[], object], str]] = {
    "no name": (lambda: own(name=""), "Profile.name is ''"),
    "name is None": (lambda: own(name=None), "Profile.name is None"),
    "no types": (lambda: own(types=frozenset()), "every token refused"),
    "types as a string": (lambda: own(types="jwt"), "Profile.types is 'jwt'"),
    "a number for a type": (lambda: own(types={1}), "Profile.types is"),
    "scopes as a string": (lambda: own(scopes="scope"), "Profile.scopes is 'scope': a tuple of strings"),
    "a nested scope": (lambda: own(scopes=(("a", "b"),)), "Profile.scopes is"),
    "an empty name": (lambda: own(scopes=("",)), "Profile.scopes is"),
    "client as a string": (lambda: own(client="azp"), "Profile.client is 'azp'"),
    "client as None": (lambda: own(client=None), "Profile.client is None"),
    "bytes": (lambda: own(client=b"azp"), "Profile.client is b'azp'"),
    "required with an empty tuple": (lambda: own(required=((),)), "one of these"),
    "required with a number in a tuple": (lambda: own(required=(("a", 1),)), "one of these"),
    "required with an empty name": (lambda: own(required=("",)), "one of these"),
    "roles as a string": (lambda: own(roles="roles"), "Profile.roles is 'roles': a tuple of names and of paths"),
    "roles as one path": (lambda: own(roles=(1, "roles")), "names and of paths"),
    "an empty path": (lambda: own(roles=((),)), "names and of paths"),
    "an empty name in a path": (lambda: own(roles=(("a", ""),)), "names and of paths"),
    "OUR_AUDIENCE as a whole path": (lambda: own(roles=(OUR_AUDIENCE,)), "names and of paths"),
    "kind as a string": (lambda: own(kind="token_use"), "Profile.kind is 'token_use': claims with their accepted"),
    "kind as names": (lambda: own(kind=("token_use",)), "claims with their accepted"),
    "kind without values": (lambda: own(kind={"token_use": ()}), "claims with their accepted"),
    "kind with a string for values": (lambda: own(kind={"token_use": "access"}), "claims with their accepted"),
    "kind with a number": (lambda: own(kind={"ver": (1,)}), "claims with their accepted"),
    "kind of no claim": (lambda: own(kind={"": ("a",)}), "claims with their accepted"),
    "kind with odd pairs": (lambda: own(kind=(("a", ("b",), "c"),)), "claims with their accepted"),
    "no audience": (lambda: own(audience=()), 'write "aud" first'),
    "audience without aud": (lambda: own(audience=("client_id",)), 'write "aud" first'),
    "audience with aud behind": (lambda: own(audience=("client_id", "aud")), 'write "aud" first'),
    "audience as a string": (lambda: own(audience="aud"), "Profile.audience is 'aud'"),
    "no token id": (lambda: own(token_id=""), "Profile.token_id is ''"),
    "an alias as a string": (lambda: own(issuer_aliases="accounts.google.com"), "Profile.issuer_aliases is"),
    "an empty alias": (lambda: own(issuer_aliases=("",)), "Profile.issuer_aliases is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_never_hold_is_refused_at_once(name: str) -> None:
    build, words = WRONG[name]
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert words in str(caught.value)


def test_aliases_are_kept_to_the_letter() -> None:
    assert own(issuer_aliases=["accounts.google.com"]).issuer_aliases == ("accounts.google.com",)


def test_our_audience_shows_as_it_is_written() -> None:
    assert repr(OUR_AUDIENCE) == "OUR_AUDIENCE"
