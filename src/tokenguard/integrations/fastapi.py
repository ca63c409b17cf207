"""FastAPI: the guard of an app, and the dependency by which its routes ask for a token.

guard = TokenGuard(validator, scopes={"read:users": "See who is there"})
guard.install(app)

@app.get("/users")
async def users(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> list[str]: ...
"""

# No `from __future__ import annotations`: FastAPI reads the annotations of `__call__`, and older ones without globals.

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import product
from typing import Any
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.openapi import models
from fastapi.security import OAuth2, SecurityScopes
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ..errors import ConfigurationError, RequestRefused
from ..requirements import ANY_TOKEN, Requirement, require
from ..token import AccessToken
from ..validator import TokenValidator
from . import asgi
from ._common import VERDICT_KEY, admit, require_verdict
from .starlette import TokenGuardMiddleware, respond

__all__ = ["TokenGuard"]

_ASKED = "tokenguard.asked"  # in the scope: which scopes the dependencies of this request have named so far


class TokenGuard(OAuth2):  # of another SecurityBase, older FastAPI puts no scopes into the document
    """The guard of FastAPI apps, and the dependency that gives a route its token: `Security(guard, scopes=[...])`.

    A route needs the scopes of all dependencies that it has: the app's, its routers' and its own.

    Args:
        validator: who decides.
        scopes: what routes may ask for, with descriptions; a route that asks for another is then an error.
        token_url: for the OpenAPI document: where clients get tokens, by client credentials if nothing else is said.
        authorization_url: for the document: where users sign in; the code is traded at `token_url`.
        openid_connect_url: for the document, instead of those: where the issuer's OpenID Connect metadata are.
        scheme_name: the name of the security scheme in the document.
        required: True refuses whatever comes without a token before its body is read, but for the `public` paths. By
            default only routes that ask are guarded. A token that is present and bad is refused in any case.
        public, issuer_of: as for `tokenguard.integrations.asgi.TokenGuardMiddleware`.

    Attributes:
        optional: the dependency of routes that do without a token too, and then get None. A bad one is refused.

    Raises:
        ConfigurationError: an argument is not usable. Also when a route is called whose app lacks `install`.
    """

    def __init__(
        self,
        validator: TokenValidator,
        *,
        scopes: Mapping[str, str] | None = None,
        token_url: str | None = None,
        authorization_url: str | None = None,
        openid_connect_url: str | None = None,
        scheme_name: str = "OAuth2",
        required: bool = False,
        public: Collection[str] = (),
        issuer_of: Callable[[asgi.Scope], str | None] | None = None,
    ) -> None:
        if scopes is not None and not isinstance(scopes, Mapping):
            raise ConfigurationError('scopes have descriptions: scopes={"read:users": "See who is there"}')
        self.validator = validator
        self.scheme_name = scheme_name
        self.model = _scheme(dict(scopes or {}), token_url, authorization_url, openid_connect_url)
        self._options: dict[str, Any] = {"required": required, "public": public, "issuer_of": issuer_of}
        TokenGuardMiddleware(FastAPI(), validator, **self._options)  # what is wrong with them is said now
        self._declared = require(scopes, ()).scope if scopes else None
        self._requirements: dict[tuple[tuple[str, ...], tuple[str, ...]], Requirement] = {}
        self._apps: WeakSet[FastAPI] = WeakSet()
        self._variants: dict[tuple[str, ...], _Variant] = {}
        self.optional = _Variant(self, f"{scheme_name}.optional")

    async def __call__(  # type: ignore[override]
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> AccessToken:
        token: AccessToken = self._admit(connection, scopes)
        return token

    def any_of(self, *scopes: str) -> "_Variant":
        """The dependency of routes that need one of these scopes, and all that `Security(..., scopes=[...])` names.

        The same scopes give the same object, so that tests can override it.
        """
        self._check(require((), scopes))
        return self._variants.setdefault(scopes, _Variant(self, f"{self.scheme_name}.{len(self._variants)}", scopes))

    def install(self, app: FastAPI) -> None:
        """Guard an app: the middleware, the answers to refusals, and their place in the OpenAPI document.

        An app that is mounted is guarded for itself. Middleware that is to see refused requests, such as CORS, is added
        after this.

        Raises:
            ConfigurationError: it is guarded already, or no FastAPI app.
        """
        if not isinstance(app, FastAPI):
            raise ConfigurationError(f"install(app) takes a FastAPI app, not {app!r}")
        if any(
            isinstance(it.cls, type) and issubclass(it.cls, asgi.TokenGuardMiddleware) for it in app.user_middleware
        ):
            raise ConfigurationError("this app has a TokenGuardMiddleware: it takes one, and install(app) adds it")
        app.add_middleware(TokenGuardMiddleware, validator=self.validator, **self._options)
        app.exception_handlers.setdefault(RequestRefused, _answer)
        self._apps.add(app)
        make = app.openapi

        def openapi() -> dict[str, Any]:
            made_before = app.openapi_schema is not None
            document = make()
            return document if made_before else self._describe(document)

        app.openapi = openapi  # type: ignore[method-assign] # as FastAPI has it, "Extending OpenAPI"

    def _admit(self, connection: HTTPConnection, scopes: SecurityScopes, variant: "_Variant | None" = None) -> Any:
        found = connection.scope.get(VERDICT_KEY)
        if connection.app not in self._apps or require_verdict(found).validator is not self.validator:
            raise ConfigurationError(
                f"{connection.url.path} asks for an access token, and this guard is not installed on its app: "
                "guard.install(app), on an app that is mounted too"
            )
        if variant is self.optional and require_verdict(found).token is None:
            return None
        requirement = self._requirement(tuple(scopes.scopes), variant.scopes if variant else ())
        asked: list[str] = connection.scope.setdefault(_ASKED, [])
        asked.extend(requirement.scope)
        try:
            return admit(found, requirement)
        except RequestRefused as refused:
            refused.scope = tuple(dict.fromkeys(asked))
            raise

    def _requirement(self, all_of: tuple[str, ...], any_of: tuple[str, ...]) -> Requirement:
        known = self._requirements.get((all_of, any_of))
        if known is None:
            known = require(all_of, any_of) if all_of or any_of else ANY_TOKEN
            self._check(known)
            self._requirements[all_of, any_of] = known
        return known

    def _check(self, requirement: Requirement) -> None:
        unknown = [scope for scope in requirement.scope if self._declared and scope not in self._declared]
        if unknown:
            raise ConfigurationError(f"a route asks for {unknown}: misspelt, or missing in TokenGuard(scopes={{...}})")

    def _describe(self, document: dict[str, Any]) -> dict[str, Any]:
        """Say of each route what it asks for, one object for each way in (OpenAPI 3.1 s4.8.30), and what it refuses."""
        ours: dict[str, _Variant | None] = {it.scheme_name: it for it in (self.optional, *self._variants.values())}
        ours[self.scheme_name] = None
        for operation in _operations(document):
            asked = [(name, scopes) for way in operation.get("security", ()) for name, scopes in way.items()]
            variants = [ours[name] for name, _ in asked if name in ours]
            if not variants:
                continue
            all_of = [scope for name, scopes in asked if name in ours for scope in scopes]
            groups = [variant.scopes for variant in variants if variant and variant.scopes]
            ways = [{self.scheme_name: list(dict.fromkeys((*all_of, *chosen)))} for chosen in product(*groups)]
            others = [{name: scopes} for name, scopes in asked if name not in ours]
            nothing: list[dict[str, list[str]]] = [{}] if all(variant is self.optional for variant in variants) else []
            operation["security"] = [*others, *ways, *nothing]
            for status, description in _REFUSALS.items():
                operation["responses"].setdefault(status, {"description": description, "content": _BODY})
        schemes = document.get("components", {}).get("securitySchemes", {})
        for name in ours.keys() & schemes.keys():
            schemes[self.scheme_name] = schemes.pop(name)
        return document


class _Variant(OAuth2):
    """The guard as a dependency that asks otherwise: for one of several scopes, or for a token only if there is one."""

    def __init__(self, guard: TokenGuard, scheme_name: str, scopes: tuple[str, ...] = ()) -> None:
        self.model = guard.model
        self.scheme_name = scheme_name  # of its own, until `_describe` has seen it
        self.scopes = scopes
        self._guard = guard

    async def __call__(  # type: ignore[override]
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> AccessToken | None:
        token: AccessToken | None = self._guard._admit(connection, scopes, self)
        return token


async def _answer(connection: HTTPConnection, refused: RequestRefused) -> Response:
    return respond(refused, connection)


def _scheme(
    scopes: dict[str, str], token_url: str | None, authorization_url: str | None, openid_connect_url: str | None
) -> models.SecurityBase:
    if openid_connect_url is not None:
        if token_url is not None or authorization_url is not None:
            raise ConfigurationError(
                "openid_connect_url says where token_url and authorization_url are: leave them out"
            )
        return models.OpenIdConnect(openIdConnectUrl=openid_connect_url)
    if authorization_url is not None:
        if token_url is None:
            raise ConfigurationError("authorization_url gives a code: say where it is traded, token_url=...")
        code = models.OAuthFlowAuthorizationCode(authorizationUrl=authorization_url, tokenUrl=token_url, scopes=scopes)
        return models.OAuth2(flows=models.OAuthFlows(authorizationCode=code))
    if token_url is not None:
        client = models.OAuthFlowClientCredentials(tokenUrl=token_url, scopes=scopes)
        return models.OAuth2(flows=models.OAuthFlows(clientCredentials=client))
    return models.HTTPBearer()


_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}  # OpenAPI 3.1 s4.8.9

_REFUSALS = {
    "400": "The Authorization header is malformed.",
    "401": "There is no access token, or it is not valid here. WWW-Authenticate says what is asked for.",
    "403": "The access token is valid and does not reach. WWW-Authenticate names the scopes, if it is for those.",
    "503": "The access token cannot be checked now: keep it, and come back after Retry-After seconds.",
}
_BODY = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
        }
    }
}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from (path[method] for method in path.keys() & _METHODS)
