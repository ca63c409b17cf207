"""Profiles: which claims of an issuer's tokens mean what, and which a token has to carry.

A provider needs no code, only a profile: take a ready one, or write your own (`docs/profiles.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, Literal

from .errors import ConfigurationError


class _OurAudience(Enum):
    OUR_AUDIENCE = "OUR_AUDIENCE"

    def __repr__(self) -> str:
        return "OUR_AUDIENCE"


OUR_AUDIENCE: Final = _OurAudience.OUR_AUDIENCE
"""In a path of `Profile.roles`: any of our audiences. Keycloak keeps the roles at each API under that API's name."""

RolePath = tuple[str | Literal[_OurAudience.OUR_AUDIENCE], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Which claims mean what, and what is asked of a token besides the checks that all tokens undergo.

    A claim of the wrong type is malformed and refuses the token; it is never taken for an absent one. Claims that no
    field names are not looked at, nor is the type of those that stand in `required` alone.

    Args:
        name: for people.
        types: accepted values of the header's `typ`, in lower case and without `application/`; "" accepts its absence.
        required: claims that must be present, beyond `iss`, `exp` and (unless any audience will do) `aud`. A tuple in
            it stands for at least one of its claims.
        kind: claims that tell an access token from the issuer's other tokens, each with its accepted values; ""
            accepts the claim's absence. A mapping, such as `{"token_use": ("access",)}`.
        scopes: claims that name scopes: a text with spaces between them, or a list. If a token has several of these
            claims they must agree. (): its tokens grant no scopes, and routes that require some refuse them all.
        client: claims that name the client; if a token has several they must agree. (): its tokens name no client.
        roles: claims that name roles, each a list of texts: their names, or the paths to them, as a tuple
            (`("realm_access", "roles")`). A name is taken as it stands, with its dots. A token has the roles of all
            of them together.
        audience: claims that say for whom the token is. `aud` comes first, and where it is present it decides; the
            others stand in for it where it is absent, in this order. With others `ANY_AUDIENCE` is refused: that
            would be no check at all.
        token_id: the claim that names this one token.
        issuer_aliases: other values of `iss`, to the letter, under which tokens of the same issuer come, signed with
            the same keys (`accounts.google.com` beside `https://accounts.google.com`). `AccessToken.issuer` is the
            configured URL for all of them.

    Raises:
        ConfigurationError: a field is of the wrong form, or says what can never hold.

    >>> BASE.types == {"", "jwt", "at+jwt"}
    True
    >>> ours = Profile(name="ours", types=frozenset({"at+jwt"}), client=("azp",), roles=(("realm_access", "roles"),))
    """

    name: str
    types: frozenset[str]
    required: tuple[str | tuple[str, ...], ...] = ()
    kind: Mapping[str, Collection[str]] | tuple[tuple[str, frozenset[str]], ...] = ()
    scopes: tuple[str, ...] = ("scope", "scp")
    client: tuple[str, ...] = ("client_id",)
    roles: tuple[str | RolePath, ...] = ()
    audience: tuple[str, ...] = ("aud",)
    token_id: str = "jti"
    issuer_aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "token_id"):
            if not _is_name(getattr(self, field)):
                raise ConfigurationError(f"Profile.{field} is {getattr(self, field)!r}: a text, and not an empty one")
        self._make("types", frozenset, "a frozenset of strings", _is_text)
        self._make("required", tuple, "a tuple of strings (or of tuples of them: one of these)", _is_name_or_tuple)
        for field in ("scopes", "client", "audience", "issuer_aliases"):
            self._make(field, tuple, "a tuple of strings", _is_name)
        self._make("roles", tuple, 'a tuple of names and of paths: ("roles", ("realm_access", "roles"))', _is_path)
        self._make_kind()
        for typ in self.types:
            if typ != typ.lower().removeprefix("application/"):
                raise ConfigurationError(f"Profile.types has {typ!r}: write it in lower case, without application/")
        if not self.types:
            raise ConfigurationError('Profile.types is empty, and every token refused: name its typ; "" is its absence')
        if self.audience[:1] != ("aud",):
            raise ConfigurationError(
                f'Profile.audience is {self.audience!r}: write "aud" first; others only stand in where it is absent'
            )

    def _make(self, field: str, make: Callable[[Any], Any], wanted: str, legal: Callable[[Any], bool]) -> None:
        said = getattr(self, field)
        if not _is_collection(said) or not all(map(legal, said)):
            raise ConfigurationError(f"Profile.{field} is {said!r}: {wanted}")
        object.__setattr__(self, field, make(x if type(x) is not list else tuple(x) for x in said))

    def _make_kind(self) -> None:
        said: Any = self.kind
        pairs = tuple(said.items() if isinstance(said, Mapping) else said) if _is_collection(said) else (None,)
        if not all(map(_is_kind, pairs)):
            raise ConfigurationError(
                f'Profile.kind is {said!r}: claims with their accepted values, such as {{"token_use": ("access",)}}'
            )
        object.__setattr__(self, "kind", tuple((claim, frozenset(values)) for claim, values in pairs))


def _is_text(said: object) -> bool:
    return type(said) is str


def _is_name(said: object) -> bool:
    return type(said) is str and said != ""


def _is_collection(said: object) -> bool:
    return isinstance(said, Collection) and not isinstance(said, (str, bytes))


def _is_name_or_tuple(said: object) -> bool:
    return _is_name(said) or (isinstance(said, (tuple, list)) and len(said) > 0 and all(map(_is_name, said)))


def _is_path(said: object) -> bool:
    if isinstance(said, (tuple, list)):
        return len(said) > 0 and all(name is OUR_AUDIENCE or _is_name(name) for name in said)
    return _is_name(said)


def _is_kind(said: object) -> bool:
    return (
        isinstance(said, tuple)
        and len(said) == 2
        and _is_name(said[0])
        and _is_collection(said[1])
        and len(said[1]) > 0
        and all(map(_is_text, said[1]))
    )


BASE = Profile(name="base", types=frozenset({"", "jwt", "at+jwt"}))
"""What most servers send today: `typ` absent, `JWT` or `at+jwt`, few claims required."""

RFC9068 = Profile(
    name="rfc9068",
    types=frozenset({"at+jwt"}),
    required=("iss", "exp", "aud", "sub", "client_id", "iat", "jti"),
)
"""The JWT profile for access tokens, to the letter: RFC 9068 s2.1 (typ) and s2.2 (claims)."""

AUTH0 = Profile(
    name="auth0",
    types=frozenset({"jwt"}),
    required=("sub", "iat", "azp"),
    scopes=("scope",),
    client=("azp",),
)
"""Auth0, with its default token profile. The issuer is `https://TENANT.REGION.auth0.com/`, with the slash at the end.

Scopes are what the client was granted. `permissions` (RBAC) is what the user may do, whoever asks, and is left alone:
see `AUTH0_PERMISSIONS`. Auth0 has no claim of its own for roles; where an Action adds one, say
`replace(AUTH0, roles=("https://example.com/roles",))`.

Source: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
"""

AUTH0_PERMISSIONS = replace(
    AUTH0, name="auth0_permissions", required=(*AUTH0.required, "permissions"), scopes=("permissions",)
)
"""Auth0 with RBAC and "Add Permissions in the Access Token" switched on: `permissions` are the scopes.

These are the permissions that the roles of the user (or the grant of the client) give; `scope` is not looked at. A
client to which the user granted little then still has all that the user may do.

Source: https://auth0.com/docs/get-started/apis/enable-role-based-access-control-for-apis
"""

AUTH0_RFC9068 = replace(RFC9068, name="auth0_rfc9068", scopes=("scope",))
"""Auth0, with an API that is set to the RFC 9068 token profile. As for `AUTH0`, `permissions` are no scopes.

Source: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
"""

ENTRA_V1 = Profile(
    name="entra_v1",
    types=frozenset({"jwt"}),
    required=("sub", "iat", "tid", "appid", ("scp", "roles")),
    kind={"ver": ("1.0",)},
    scopes=("scp",),
    client=("appid",),
    roles=("roles",),
    token_id="uti",
)
"""Microsoft Entra ID, access tokens of version 1.0: those of an API whose manifest does not ask for version 2.

The issuer is `https://sts.windows.net/TENANT-ID/`, with the slash at the end; the audience is the API's client id or
its application ID URI. A token with neither `scp` (on behalf of a user) nor `roles` (an application by itself) grants
nothing and is refused. `subject` is another one in each application; `claims["oid"]` is the same in all of a tenant.

For several tenants the claims are the same; which tenants are trusted is the issuer's matter, not the profile's.

Source: https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
"""

ENTRA_V2 = replace(
    ENTRA_V1,
    name="entra_v2",
    required=("sub", "iat", "tid", "azp", ("scp", "roles")),
    kind={"ver": ("2.0",)},
    client=("azp",),
)
"""Microsoft Entra ID, access tokens of version 2.0 (`"requestedAccessTokenVersion": 2` in the API's manifest).

The issuer is `https://login.microsoftonline.com/TENANT-ID/v2.0`; the audience is the API's client id, a GUID. The rest
is as for `ENTRA_V1`.

Source: https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
"""

OKTA = Profile(
    name="okta",
    types=frozenset({"", "jwt"}),
    required=("sub", "iat", "jti", "cid"),
    scopes=("scp",),
    client=("cid",),
    roles=("groups",),
)
"""Okta, tokens of a custom authorization server. The issuer is `https://DOMAIN/oauth2/SERVER-ID`, or `/oauth2/default`.

Roles are the groups, where the server has a claim `groups` configured; for one of another name say
`replace(OKTA, roles=("...",))`. Tokens of the org authorization server (the issuer is the bare domain) are for Okta
itself: nobody else can validate them.

Source: https://developer.okta.com/docs/reference/api/oidc/#access-token and
https://developer.okta.com/docs/guides/validate-access-tokens/
"""

COGNITO = Profile(
    name="cognito",
    types=frozenset({"", "jwt"}),
    required=("sub", "iat", "client_id"),
    kind={"token_use": ("access",)},
    scopes=("scope",),
    roles=("cognito:groups",),
    audience=("aud", "client_id"),
)
"""Amazon Cognito user pools. The issuer is `https://cognito-idp.REGION.amazonaws.com/POOL-ID`.

`audience` is the ids of the app clients that may call: Cognito's access tokens have no `aud`, unless the client asked
for a resource, and then that has to be yours. Roles are the groups.

Source: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
and https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
"""

KEYCLOAK = Profile(
    name="keycloak",
    types=frozenset({"jwt", "at+jwt"}),
    required=("iat", "azp"),
    kind={"typ": ("Bearer",)},
    scopes=("scope",),
    client=("azp",),
    roles=(("realm_access", "roles"), ("resource_access", OUR_AUDIENCE, "roles")),
)
"""Keycloak. The issuer is `https://HOST/realms/REALM`; the audience is the client id of the API, as Keycloak knows it.

Keycloak names the API in `aud` only if a client role of it is in the token, or an audience mapper adds it. Roles are
those of the realm and those at this API, in one set: name them apart, or leave one out with `replace(KEYCLOAK,
roles=(...))`. `sub` is not required: lightweight tokens, and clients without the scope `basic`, have none.

Source: https://www.keycloak.org/docs/latest/server_admin/index.html#audience-support and
https://www.keycloak.org/docs/latest/server_admin/index.html#_oidc_token_role_mappings
"""

FUSIONAUTH = Profile(
    name="fusionauth",
    types=frozenset({"jwt"}),
    required=("sub", "iat"),
    kind={"tty": ("", "at")},
    scopes=("scope",),
    client=("applicationId",),
    roles=("roles",),
)
"""FusionAuth. The issuer is what the tenant has under "Issuer": often a bare name (`acme.com`), so set `metadata_url`
or `jwks_uri`. The audience is the application's id; for client credentials, the target entity's.

Sign with an RSA or EC key: FusionAuth's default is HMAC, which only it could check. `permissions` of an entity are no
scopes; for those say `replace(FUSIONAUTH, scopes=("permissions",))`. Versions without the claim `tty` mark an ID token
that comes without an access token in no way (`response_type=id_token`): don't use that flow with them.

Source: https://fusionauth.io/docs/lifecycle/authenticate-users/oauth/tokens
"""
