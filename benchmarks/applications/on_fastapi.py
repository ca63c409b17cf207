"""FastAPI: bare, behind tokenguard's middleware, with its guard, and with what others offer, as dependencies.

The others are set up as their documentation and most tutorials have it; where that leaves a choice, the faster one. All
answer the same route with the same JSON.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tokenguard import AccessToken
from tokenguard.integrations.fastapi import TokenGuard
from tokenguard.integrations.starlette import TokenGuardMiddleware, get_token

from . import PATH, SCOPE, Setting, by_hand, validator_for
from .by_hand import Claims

# No `from __future__ import annotations` here: FastAPI evaluates annotations, and those below name local variables.

Credentials = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def bare(setting: Setting) -> FastAPI:
    app = FastAPI()

    @app.get(PATH)
    async def things() -> dict[str, str]:
        return {"caller": "nobody"}

    return app


def guarded(setting: Setting) -> FastAPI:
    app = FastAPI()
    app.add_middleware(TokenGuardMiddleware, validator=validator_for(setting))

    @app.get(PATH)
    async def things(request: Request) -> dict[str, str]:
        return {"caller": get_token(request).subject or ""}

    return app


def guarded_with_scopes(setting: Setting) -> FastAPI:
    """With a dependency, as the others: what our documentation has for FastAPI."""
    app = FastAPI()
    guard = TokenGuard(validator_for(setting))
    guard.install(app)

    @app.get(PATH)
    async def things(token: Annotated[AccessToken, Security(guard, scopes=[SCOPE])]) -> dict[str, str]:
        return {"caller": token.subject or ""}

    return app


def with_pyjwt(setting: Setting) -> FastAPI:
    import jwt

    decode = by_hand.decoder(setting)

    async def claims(credentials: Credentials) -> Claims:
        try:
            return decode(credentials.credentials)
        except jwt.PyJWTError as error:
            raise _unauthorized() from error

    return _depending_on(claims)


def with_joserfc(setting: Setting) -> FastAPI:
    import httpx
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(httpx.get(setting.jwks_uri, trust_env=False).json())  # once: it has no client for keys
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": setting.issuer},
        aud={"essential": True, "value": setting.audience},
        exp={"essential": True},
    )

    async def claims(credentials: Credentials) -> Claims:
        try:
            token = jwt.decode(credentials.credentials, keys, algorithms=["RS256"])
            registry.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise _unauthorized() from error
        return token.claims

    return _depending_on(claims)


def with_azure_auth(setting: Setting) -> FastAPI:
    from fastapi_azure_auth import B2CMultiTenantAuthorizationCodeBearer
    from fastapi_azure_auth.user import User

    async def issuer_of(tid: str | None) -> str:
        return setting.issuer

    azure = B2CMultiTenantAuthorizationCodeBearer(
        app_client_id=setting.audience,
        openid_config_url=setting.metadata_url,  # its only class that lets one say where
        iss_callable=issuer_of,
    )

    async def claims(user: Annotated[User, Depends(azure)]) -> Claims:
        return user.claims

    return _depending_on(claims)


def with_auth0(setting: Setting) -> FastAPI:
    import httpx
    from fastapi_plugin import Auth0FastAPI

    async def fetch(url: str) -> Any:
        """Its `custom_fetch`: it knows https alone, and our issuer speaks http."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url if url == setting.jwks_uri else setting.metadata_url)
            return answer.raise_for_status().json()

    auth0 = Auth0FastAPI(domain=setting.issuer, audience=setting.audience, custom_fetch=fetch)
    return _depending_on(auth0.require_auth())


def _depending_on(claims_of: Callable[..., Awaitable[Claims]]) -> FastAPI:
    app = FastAPI()

    @app.get(PATH)
    async def things(claims: Annotated[dict[str, Any], Depends(claims_of)]) -> dict[str, str]:
        return {"caller": claims["sub"]}

    return app


def _unauthorized() -> HTTPException:
    return HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
