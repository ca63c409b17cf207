"""The guard of an app, which is the dependency of its routes too."""

# No `from __future__ import annotations`: FastAPI reads the annotations of `__call__`, and older ones without globals.

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.security import OAuth2, SecurityScopes
from starlette.requests import HTTPConnection
from starlette.routing import Router

from ...errors import ConfigurationError, RequestRefused
from ...requirements import ANY_TOKEN, Requirement, require
from ...token import AccessToken
from ...validator import TokenValidator
from .. import asgi
from .._verdict import VERDICT_KEY, admit, require_verdict
from ..starlette import TokenGuardMiddleware
from ._handlers import answer_refusals
from ._openapi import describe, scheme

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
        self.model = scheme(dict(scopes or {}), token_url, authorization_url, openid_connect_url)
        self._options: dict[str, Any] = {"required": required, "public": public, "issuer_of": issuer_of}
        TokenGuardMiddleware(Router(), validator, **self._options)  # what is wrong with them is said now
        self._declared = require(scopes, ()).scope if scopes else None
        self._requirements: dict[tuple[tuple[str, ...], tuple[str, ...]], Requirement] = {}
        self._apps: WeakSet[FastAPI] = WeakSet()
        self._variants: dict[tuple[str, ...], _Variant] = {}
        self.optional = _Variant(self, f"{scheme_name}.optional", None)

    async def __call__(  # type: ignore[override]
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> AccessToken:
        return cast(AccessToken, self._admit(connection, scopes))

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
        answer_refusals(app)
        self._apps.add(app)
        make = app.openapi
        described: dict[str, Any] | None = None

        def openapi() -> dict[str, Any]:
            nonlocal described
            document = make()
            if document is not described:  # FastAPI keeps the one that it made
                described = describe(document, self.scheme_name, self._asked_by())
            return document

        app.openapi = openapi  # type: ignore[method-assign] # as FastAPI has it, "Extending OpenAPI"

    def _admit(
        self, connection: HTTPConnection, scopes: SecurityScopes, any_of: tuple[str, ...] | None = ()
    ) -> AccessToken | None:
        found = connection.scope.get(VERDICT_KEY)
        if connection.app not in self._apps or require_verdict(found).validator is not self.validator:
            raise ConfigurationError(
                f"{connection.url.path} asks for an access token, and this guard is not installed on its app: "
                "guard.install(app), on an app that is mounted too"
            )
        if any_of is None and require_verdict(found).token is None:
            return None
        requirement = self._requirement(tuple(scopes.scopes), any_of or ())
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

    def _asked_by(self) -> dict[str, tuple[str, ...] | None]:
        """What our dependencies ask for besides, by the names of their schemes."""
        variants = (self.optional, *self._variants.values())
        return {self.scheme_name: (), **{it.scheme_name: it.any_of for it in variants}}

    def _check(self, requirement: Requirement) -> None:
        unknown = [scope for scope in requirement.scope if self._declared and scope not in self._declared]
        if unknown:
            raise ConfigurationError(
                f"a route asks for {unknown}: misspelt, missing in TokenGuard(scopes={{...}}), or one text in place of "
                'a list, scopes=["read"]'  # of the former FastAPI makes a list of letters
            )


class _Variant(OAuth2):
    """The guard as a dependency that asks otherwise: for one of several scopes, or for a token only if there is one."""

    def __init__(self, guard: TokenGuard, scheme_name: str, any_of: tuple[str, ...] | None) -> None:
        self.model = guard.model
        self.scheme_name = scheme_name  # of its own, until `describe` has seen it
        self.any_of = any_of  # None: a token is not even needed
        self._guard = guard

    async def __call__(  # type: ignore[override]
        self, connection: HTTPConnection, scopes: SecurityScopes
    ) -> AccessToken | None:
        return self._guard._admit(connection, scopes, self.any_of)
