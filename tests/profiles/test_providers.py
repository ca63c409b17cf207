"""Each provider's tokens, as recorded: what is read from them, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.forge import DROP, NOW
from tests.profiles.providers import PROVIDERS, Provider
from tokenguard import ANY_AUDIENCE, ConfigurationError, InvalidToken, Profile, Reason, profiles

_MISSING, _MALFORMED, _KIND = Reason.MISSING_CLAIM, Reason.MALFORMED_CLAIM, Reason.WRONG_TOKEN_KIND
_TYPE, _AUD = Reason.WRONG_TYPE, Reason.WRONG_AUDIENCE

Refusals = dict[str, tuple[Mapping[str, Any], Reason]]
REFUSED: dict[str, Refusals] = {
    "auth0": {
        "no azp": ({"azp": DROP}, _MISSING),
        "azp is a list": ({"azp": ["c"]}, _MALFORMED),
        "azp is null": ({"azp": None}, _MALFORMED),
        "no sub": ({"sub": DROP}, _MISSING),
        "for userinfo alone": ({"aud": ["https://example.eu.auth0.com/userinfo"]}, _AUD),
        "the RFC 9068 profile's typ": ({"head": {"typ": "at+jwt"}}, _TYPE),
        "no typ": ({"head": {"typ": DROP}}, _TYPE),
        "issuer without its slash": ({"iss": "https://example.eu.auth0.com"}, Reason.WRONG_ISSUER),
    },
    "auth0_permissions": {
        "no permissions": ({"permissions": DROP}, _MISSING),
        "permission with a space": ({"permissions": ["read:bar create:bar"]}, _MALFORMED),
        "empty permission": ({"permissions": [""]}, _MALFORMED),
        "permission is a number": ({"permissions": [1]}, _MALFORMED),
        "permissions are null": ({"permissions": None}, _MALFORMED),
        "permissions are an object": ({"permissions": {"read:bar": True}}, _MALFORMED),
    },
    "auth0_rfc9068": {
        "the default profile's typ": ({"head": {"typ": "JWT"}}, _TYPE),
        "azp for client_id": ({"client_id": DROP, "azp": "c"}, _MISSING),
        "no jti": ({"jti": DROP}, _MISSING),
    },
    "entra_v1": {
        "of version 2": ({"ver": "2.0"}, _KIND),
        "version is a number": ({"ver": 1.0}, _MALFORMED),
        "no version": ({"ver": DROP}, _MISSING),
        "no appid": ({"appid": DROP, "azp": "c"}, _MISSING),
        "neither scp nor roles": ({"scp": DROP, "roles": DROP}, _MISSING),
        "scp is null": ({"scp": None}, _MALFORMED),
        "roles are null": ({"roles": None}, _MALFORMED),
        "no tid": ({"tid": DROP}, _MISSING),
        "uti is a number": ({"uti": 7}, _MALFORMED),
    },
    "entra_v2": {
        "of version 1": ({"ver": "1.0"}, _KIND),
        "no version": ({"ver": DROP}, _MISSING),
        "no azp": ({"azp": DROP, "appid": "c"}, _MISSING),
        "neither scp nor roles": ({"scp": DROP, "roles": DROP}, _MISSING),
        "roles are a string": ({"roles": "Approver"}, _MALFORMED),
        "roles hold a number": ({"roles": ["Approver", 1]}, _MALFORMED),
        "no tid": ({"tid": DROP}, _MISSING),
        "for Microsoft Graph": ({"aud": "00000003-0000-0000-c000-000000000000"}, _AUD),
        "no aud": ({"aud": DROP}, _AUD),
    },
    "okta": {
        "no cid": ({"cid": DROP}, _MISSING),
        "cid is null": ({"cid": None}, _MALFORMED),
        "no jti": ({"jti": DROP}, _MISSING),
        "scp holds null": ({"scp": ["email", None]}, _MALFORMED),
        "groups are an object": ({"groups": {"Everyone": True}}, _MALFORMED),
        "of the org server": ({"head": {"typ": "application/okta-internal-at+jwt"}}, _TYPE),
        "an aud of the org server": ({"aud": "https://example.okta.com"}, _AUD),
    },
    "cognito": {
        "token_use is id": ({"token_use": "id"}, _KIND),
        "token_use of another kind": ({"token_use": "refresh"}, _KIND),
        "token_use in capitals": ({"token_use": "Access"}, _KIND),
        "no token_use": ({"token_use": DROP}, _MISSING),
        "token_use is empty": ({"token_use": ""}, _KIND),
        "token_use is null": ({"token_use": None}, _MALFORMED),
        "another app client": ({"client_id": "other"}, _AUD),
        "no client_id": ({"client_id": DROP}, _MISSING),
        "client_id is null": ({"client_id": None}, _MALFORMED),
        "client_ids": ({"client_id": ["57cbishk4j24pabc1234567890"]}, _MALFORMED),
        "ours asked for another API": ({"aud": "https://other.example.com"}, _AUD),
        "aud is empty": ({"aud": []}, _AUD),
        "aud is an empty string": ({"aud": ""}, _AUD),
        "aud is null": ({"aud": None}, _MALFORMED),
        "groups are a string": ({"cognito:groups": "admin"}, _MALFORMED),
    },
    "keycloak": {
        "a refresh token": ({"typ": "Refresh"}, _KIND),
        "an offline token": ({"typ": "Offline"}, _KIND),
        "a logout token": ({"typ": "Logout"}, _KIND),
        "a kind unheard of": ({"typ": "Other"}, _KIND),
        "no typ claim": ({"typ": DROP}, _MISSING),
        "typ claim is null": ({"typ": None}, _MALFORMED),
        "no azp": ({"azp": DROP}, _MISSING),
        "no typ in the header": ({"head": {"typ": DROP}}, _TYPE),
        "for account alone": ({"aud": "account"}, _AUD),
        "no aud": ({"aud": DROP}, _AUD),
        "realm_access is a list": ({"realm_access": ["staff"]}, _MALFORMED),
        "realm_access is null": ({"realm_access": None}, _MALFORMED),
        "realm roles are a string": ({"realm_access": {"roles": "staff"}}, _MALFORMED),
        "realm roles hold null": ({"realm_access": {"roles": [None]}}, _MALFORMED),
        "resource_access is a string": ({"resource_access": "orders-api"}, _MALFORMED),
        "our resource is a list": ({"resource_access": {"orders-api": ["refund"]}}, _MALFORMED),
        "our roles are an object": ({"resource_access": {"orders-api": {"roles": {}}}}, _MALFORMED),
    },
    "fusionauth": {
        "an ID token by its tty": ({"tty": "id"}, _KIND),
        "tty is null": ({"tty": None}, _MALFORMED),
        "tty is empty": ({"tty": ""}, _KIND),
        "no sub": ({"sub": DROP}, _MISSING),
        "of another application": ({"aud": "other"}, _AUD),
        "roles are null": ({"roles": None}, _MALFORMED),
        "applicationId is a number": ({"applicationId": 1}, _MALFORMED),
    },
}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


def test_each_ready_profile_is_tested_here() -> None:
    ready = {profile.name for profile in vars(profiles).values() if isinstance(profile, Profile)}
    assert ready - {"base", "rfc9068"} == set(PROVIDERS) == set(REFUSED)
    assert all(provider.profile.name == name for name, provider in PROVIDERS.items())


def test_a_token_as_recorded_is_read(provider: Provider) -> None:
    token = provider.validator().validate(provider.token())
    assert {name: getattr(token, name) for name in provider.read} == provider.read
    assert (token.issuer, token.issued_at, token.expires_at) == (provider.url, NOW - 10, NOW + 3590)
    assert provider.audience in token.audience
    assert token.claims.to_dict() == provider.claims()


def test_an_id_token_of_the_same_login_is_refused(provider: Provider) -> None:
    with pytest.raises(InvalidToken):
        provider.validator(audience=(provider.audience, str(provider.id["aud"]))).validate(provider.id_token())


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(name, case, id=f"{name}: {case}") for name in REFUSED for case in REFUSED[name]]
)
def test_what_is_amiss_is_refused(name: str, case: str) -> None:
    changes, reason = REFUSED[name][case]
    with pytest.raises(InvalidToken) as refused:
        PROVIDERS[name].validator().validate(PROVIDERS[name].token(**changes))
    assert refused.value.reason is reason


def test_auth0_lets_a_machine_in() -> None:
    auth0 = PROVIDERS["auth0"]
    token = auth0.validator().validate(
        auth0.token(sub="K1AU@clients", azp="K1AU", aud=auth0.audience, gty="client-credentials", permissions=DROP)
    )
    assert (token.subject, token.client_id) == ("K1AU@clients", "K1AU")
    assert token.scopes == {"openid", "profile", "read:patients"}


def test_auth0_permissions_are_no_scopes_unless_one_says_so() -> None:
    auth0 = PROVIDERS["auth0"]
    assert "create:bar" not in auth0.validator().validate(auth0.token()).scopes
    assert auth0.validator().validate(auth0.token(scope=DROP)).scopes == frozenset()
    permissions = PROVIDERS["auth0_permissions"]
    assert permissions.validator().validate(permissions.token(permissions=[])).scopes == frozenset()
    assert "openid" not in permissions.validator().validate(permissions.token()).scopes


@pytest.mark.parametrize("name", ["entra_v1", "entra_v2"])
def test_entra_lets_an_application_and_a_plain_user_in(name: str) -> None:
    entra = PROVIDERS[name]
    application = entra.validator().validate(entra.token(scp=DROP, roles=["Files.Read.All"], idtyp="app"))
    assert (application.scopes, application.roles) == (frozenset(), frozenset({"Files.Read.All"}))
    user = entra.validator().validate(entra.token(roles=DROP))
    assert (user.scopes, user.roles) == (frozenset({"access_as_user", "Files.Read"}), frozenset())


def test_entra_tokens_of_one_version_are_none_of_the_other() -> None:
    for mine, other in (("entra_v1", "entra_v2"), ("entra_v2", "entra_v1")):
        with pytest.raises(InvalidToken):
            PROVIDERS[mine].validator(profile=PROVIDERS[other].profile).validate(PROVIDERS[mine].token())


def test_okta_sends_no_groups_unless_told_to() -> None:
    okta = PROVIDERS["okta"]
    assert okta.validator().validate(okta.token(groups=DROP, uid=DROP)).roles == frozenset()


class TestCognito:
    provider = PROVIDERS["cognito"]

    def test_aud_decides_where_there_is_one(self) -> None:
        validator = self.provider.validator(audience="https://api.example.com")
        bound: dict[str, Any] = {"aud": "https://api.example.com", "client_id": "any"}
        assert validator.validate(self.provider.token(**bound)).audience == ("https://api.example.com",)
        with pytest.raises(InvalidToken) as refused:
            validator.validate(self.provider.token())
        assert refused.value.reason is _AUD

    def test_another_client_is_named_in_the_log(self) -> None:
        with pytest.raises(InvalidToken, match=r"client_id is 'other'"):
            self.provider.validator().validate(self.provider.token(client_id="other"))

    def test_several_app_clients_may_call(self) -> None:
        validator = self.provider.validator(audience=("app-1", "app-2"))
        assert validator.validate(self.provider.token(client_id="app-2")).client_id == "app-2"

    def test_any_audience_would_be_no_check_at_all(self) -> None:
        with pytest.raises(ConfigurationError, match="ids of your app clients"):
            self.provider.validator(audience=ANY_AUDIENCE)


class TestKeycloak:
    provider = PROVIDERS["keycloak"]

    def roles(self, audience: object = None, **changes: Any) -> frozenset[str]:
        return self.provider.validator(audience=audience).validate(self.provider.token(**changes)).roles

    def test_roles_at_another_client_are_none_here(self) -> None:
        assert "manage-account" not in self.roles()

    def test_roles_at_each_name_of_ours_count(self) -> None:
        of_realm, of_account = {"offline_access", "staff"}, {"manage-account", "view-profile"}
        assert self.roles(audience=("orders-api", "account")) == {"refund"} | of_realm | of_account

    def test_without_roles_there_are_none(self) -> None:
        assert self.roles(realm_access=DROP, resource_access=DROP) == frozenset()
        assert self.roles(realm_access={}, resource_access={"account": {"roles": ["x"]}}) == frozenset()
        assert self.roles(realm_access={"roles": []}, resource_access={"orders-api": {}}) == frozenset()

    def test_the_header_may_say_at_jwt(self) -> None:
        assert "staff" in self.roles(head={"typ": "at+jwt"})

    def test_a_lightweight_token_is_good(self) -> None:
        light: dict[str, Any] = {"sub": DROP, "realm_access": DROP, "resource_access": DROP, "preferred_username": DROP}
        token = self.provider.validator().validate(self.provider.token(**light))
        assert (token.subject, token.client_id) == (None, "web-shop")

    def test_with_any_audience_nobody_knows_whose_roles_to_read(self) -> None:
        with pytest.raises(ConfigurationError, match="name it in audience, or leave that path out"):
            self.provider.validator(audience=ANY_AUDIENCE)
        realm_only = replace(profiles.KEYCLOAK, roles=(("realm_access", "roles"),))
        validator = self.provider.validator(audience=ANY_AUDIENCE, profile=realm_only)
        assert validator.validate(self.provider.token()).roles == {"offline_access", "staff"}


def test_fusionauth_before_tty_and_for_a_machine() -> None:
    fusionauth = PROVIDERS["fusionauth"]
    assert fusionauth.validator().validate(fusionauth.token(tty=DROP)).roles == {"manager"}
    entity = fusionauth.validator().validate(
        fusionauth.token(applicationId=DROP, roles=DROP, permissions=["read"], scope=DROP)
    )
    assert (entity.client_id, entity.scopes, entity.roles) == (None, frozenset(), frozenset())
