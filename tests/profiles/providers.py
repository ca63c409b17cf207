"""Tokens as providers send them: recorded in their documentation, with other ids, and times of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.forge import ALGORITHMS, DROP, JWKS, NOW, forge, header
from tokenguard import Issuer, Profile, TokenValidator, profiles


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A profile, an issuer that has it, and its tokens.

    Attributes:
        access: the claims of an access token, without its times.
        id: those of an ID token of the same issuer and login, likewise.
        read: what is to be read from the access token.
    """

    profile: Profile
    url: str
    audience: str
    head: Mapping[str, object]
    access: Mapping[str, object]
    id: Mapping[str, object]
    read: Mapping[str, object] = field(default_factory=dict)

    def claims(self, **changes: object) -> dict[str, object]:
        """The claims of the access token, with some changed, added or dropped."""
        return _dated(self.access, changes)

    def token(self, *, head: Mapping[str, object] | None = None, **changes: object) -> str:
        return forge(self.claims(**changes), header(**{**self.head, **(head or {})}))

    def id_token(self, **changes: object) -> str:
        return forge(_dated(self.id, changes), header(**self.head))

    def validator(self, *, audience: Any = None, profile: Profile | None = None) -> TokenValidator:
        issuer = Issuer(self.url, jwks=JWKS, algorithms=ALGORITHMS, profile=profile or self.profile)
        return TokenValidator(issuer, audience=audience or self.audience, clock=lambda: NOW, monotonic=lambda: 0.0)


def _dated(members: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    dated = {"iat": NOW - 10, "exp": NOW + 3590, **members, **changes}
    return {name: value for name, value in dated.items() if value is not DROP}


_AUTH0 = Provider(
    profile=profiles.AUTH0,
    url="https://example.eu.auth0.com/",
    audience="https://health.example.com/api",
    head={"typ": "JWT"},
    access={
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|6553da60a54af58e29493000",
        "aud": ["https://health.example.com/api", "https://example.eu.auth0.com/userinfo"],
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQ00",
        "scope": "openid profile read:patients",
        "gty": "password",
        "org_id": "org_9ybsU1dN2dKfDk00",
        "permissions": ["create:bar", "read:patients"],
    },
    id={
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|6553da60a54af58e29493000",
        "aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQ00",
        "nonce": "crypto-value",
        "name": "Jane Doe",
        "sid": "s-1",
    },
    read={
        "subject": "auth0|6553da60a54af58e29493000",
        "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQ00",
        "scopes": {"openid", "profile", "read:patients"},
        "roles": set(),
        "token_id": None,
    },
)
_TENANT = "6fd70000-0000-4000-8000-00000000d1aa"
_API = "11112222-bbbb-3333-cccc-4444dddd5555"
_CLIENT = "00001111-aaaa-2222-bbbb-3333cccc4444"
_ENTRA_COMMON = {
    "nbf": NOW - 10,
    "aio": "AXQAi/8TAAAA",
    "name": "Abe Lincoln",
    "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
    "rh": "I",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": _TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
}
_ENTRA_READ = {
    "subject": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "client_id": _CLIENT,
    "scopes": {"access_as_user", "Files.Read"},
    "roles": {"Approver"},
    "token_id": "fqiBqXLPj0eQa82S-IYFAA",
}

PROVIDERS: dict[str, Provider] = {
    "auth0": _AUTH0,
    "auth0_permissions": Provider(
        profile=profiles.AUTH0_PERMISSIONS,
        url=_AUTH0.url,
        audience=_AUTH0.audience,
        head=_AUTH0.head,
        access=_AUTH0.access,
        id=_AUTH0.id,
        read={**_AUTH0.read, "scopes": {"create:bar", "read:patients"}},
    ),
    "auth0_rfc9068": Provider(
        profile=profiles.AUTH0_RFC9068,
        url=_AUTH0.url,
        audience=_AUTH0.audience,
        head={"typ": "at+jwt"},
        access={
            **{name: value for name, value in _AUTH0.access.items() if name not in {"azp", "gty"}},
            "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQ00",
            "jti": "73WakrfVbNJBaAmhQtEe00",
        },
        id=_AUTH0.id,
        read={**_AUTH0.read, "token_id": "73WakrfVbNJBaAmhQtEe00"},
    ),
    "entra_v1": Provider(
        profile=profiles.ENTRA_V1,
        url=f"https://sts.windows.net/{_TENANT}/",
        audience=f"api://{_API}",
        head={"typ": "JWT", "x5t": "i6lGk3FZzxRcUb2C3nEQ7syHJlY"},
        access={
            **_ENTRA_COMMON,
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "aud": f"api://{_API}",
            "acr": "1",
            "amr": ["pwd"],
            "appid": _CLIENT,
            "appidacr": "0",
            "ipaddr": "192.0.2.1",
            "roles": ["Approver"],
            "scp": "access_as_user Files.Read",
            "unique_name": "abeli@example.com",
            "ver": "1.0",
        },
        id={
            **_ENTRA_COMMON,
            "iss": f"https://sts.windows.net/{_TENANT}/",
            "aud": f"api://{_API}",  # the API has itself logged in
            "roles": ["Approver"],
            "ver": "1.0",
        },
        read=_ENTRA_READ,
    ),
    "entra_v2": Provider(
        profile=profiles.ENTRA_V2,
        url=f"https://login.microsoftonline.com/{_TENANT}/v2.0",
        audience=_API,
        head={"typ": "JWT"},
        access={
            **_ENTRA_COMMON,
            "iss": f"https://login.microsoftonline.com/{_TENANT}/v2.0",
            "aud": _API,
            "azp": _CLIENT,
            "azpacr": "0",
            "preferred_username": "abeli@example.com",
            "roles": ["Approver"],
            "scp": "access_as_user Files.Read",
            "ver": "2.0",
        },
        id={
            **_ENTRA_COMMON,
            "iss": f"https://login.microsoftonline.com/{_TENANT}/v2.0",
            "aud": _API,  # the API has itself logged in
            "nonce": "123523",
            "roles": ["Approver"],
            "ver": "2.0",
        },
        read=_ENTRA_READ,
    ),
    "okta": Provider(
        profile=profiles.OKTA,
        url="https://example.okta.com/oauth2/0oacqf8qaJw56czJi000",
        audience="https://api.example.com",
        head={},
        access={
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX3900",
            "iss": "https://example.okta.com/oauth2/0oacqf8qaJw56czJi000",
            "aud": "https://api.example.com",
            "sub": "jane@example.com",
            "cid": "nmdP1fcyvdVO11AL7000",
            "uid": "00ujmkLgagxeRrAg2000",
            "scp": ["openid", "email", "flights", "custom"],
            "groups": ["Everyone", "Pilots"],
            "custom_claim": "CustomValue",
        },
        id={
            "ver": 1,
            "sub": "00ujmkLgagxeRrAg2000",
            "iss": "https://example.okta.com/oauth2/0oacqf8qaJw56czJi000",
            "aud": "https://api.example.com",
            "amr": ["pwd"],
            "jti": "ID.4eAWJOCMB3SX8XewD000",
            "groups": ["Everyone"],
        },
        read={
            "subject": "jane@example.com",
            "client_id": "nmdP1fcyvdVO11AL7000",
            "scopes": {"openid", "email", "flights", "custom"},
            "roles": {"Everyone", "Pilots"},
            "token_id": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX3900",
        },
    ),
    "cognito": Provider(
        profile=profiles.COGNITO,
        url="https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
        audience="57cbishk4j24pabc1234567890",
        head={},
        access={
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["admin"],
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": NOW - 10,
            "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
            "origin_jti": "aaaaaaaa-0000-cccc-dddd-eeeeeeeeeeee",
            "jti": "aaaaaaaa-1111-cccc-dddd-eeeeeeeeeeee",
            "client_id": "57cbishk4j24pabc1234567890",
            "username": "janedoe@example.com",
        },
        id={
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["admin"],
            "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
            "aud": "57cbishk4j24pabc1234567890",
            "token_use": "id",
            "cognito:username": "janedoe",
        },
        read={
            "subject": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "client_id": "57cbishk4j24pabc1234567890",
            "audience": ("57cbishk4j24pabc1234567890",),
            "scopes": {"aws.cognito.signin.user.admin"},
            "roles": {"admin"},
            "token_id": "aaaaaaaa-1111-cccc-dddd-eeeeeeeeeeee",
        },
    ),
    "keycloak": Provider(
        profile=profiles.KEYCLOAK,
        url="https://sso.example.com/realms/shop",
        audience="orders-api",
        head={"typ": "JWT"},
        access={
            "auth_time": NOW - 100,
            "jti": "e1ac2e55-a655-464b-9039-000000000000",
            "iss": "https://sso.example.com/realms/shop",
            "aud": ["orders-api", "account"],
            "sub": "fd8fc3d3-0a39-41f7-9468-000000000000",
            "typ": "Bearer",
            "azp": "web-shop",
            "sid": "c09af47f-db7c-4013-bff6-000000000000",
            "acr": "1",
            "allowed-origins": ["https://shop.example.com"],
            "realm_access": {"roles": ["offline_access", "staff"]},
            "resource_access": {
                "orders-api": {"roles": ["refund"]},
                "account": {"roles": ["manage-account", "view-profile"]},
            },
            "scope": "openid profile email",
            "preferred_username": "jane",
        },
        id={
            "jti": "0a39-41f7",
            "iss": "https://sso.example.com/realms/shop",
            "aud": "orders-api",
            "sub": "fd8fc3d3-0a39-41f7-9468-000000000000",
            "typ": "ID",
            "azp": "orders-api",
            "preferred_username": "jane",
        },
        read={
            "subject": "fd8fc3d3-0a39-41f7-9468-000000000000",
            "client_id": "web-shop",
            "audience": ("orders-api", "account"),
            "scopes": {"openid", "profile", "email"},
            "roles": {"offline_access", "staff", "refund"},
            "token_id": "e1ac2e55-a655-464b-9039-000000000000",
        },
    ),
    "fusionauth": Provider(
        profile=profiles.FUSIONAUTH,
        url="acme.com",
        audience="e9fdb985-9173-4e01-9d73-000000000000",
        head={"typ": "JWT", "gty": ["authorization_code"]},
        access={
            "aud": "e9fdb985-9173-4e01-9d73-000000000000",
            "iss": "acme.com",
            "sub": "00000000-0000-0000-0000-111111111111",
            "jti": "2e2271d7-3057-4bfd-99ab-000000000000",
            "authenticationType": "PASSWORD",
            "email": "richard@example.com",
            "email_verified": True,
            "applicationId": "e9fdb985-9173-4e01-9d73-000000000000",
            "scope": "offline_access profile openid",
            "roles": ["manager"],
            "sid": "0abe7139-0bd0-4fd0-a450-000000000000",
            "auth_time": NOW - 10,
            "tid": "d7d09513-a3f5-401c-9685-000000000000",
            "tty": "at",
        },
        id={
            "aud": "e9fdb985-9173-4e01-9d73-000000000000",
            "iss": "acme.com",
            "sub": "00000000-0000-0000-0000-111111111111",
            "at_hash": "LDktKdoQak3Pk0cnXxCltA",
            "scope": "offline_access profile openid",
        },
        read={
            "subject": "00000000-0000-0000-0000-111111111111",
            "client_id": "e9fdb985-9173-4e01-9d73-000000000000",
            "scopes": {"offline_access", "profile", "openid"},
            "roles": {"manager"},
            "token_id": "2e2271d7-3057-4bfd-99ab-000000000000",
        },
    ),
}
