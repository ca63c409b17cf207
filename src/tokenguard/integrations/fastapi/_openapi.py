"""What FastAPI's OpenAPI document says of a guard: where tokens come from, what each route asks for, how it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from fastapi.openapi import models

from ...errors import ConfigurationError


def scheme(
    scopes: dict[str, str], token_url: str | None, authorization_url: str | None, openid_connect_url: str | None
) -> models.SecurityBase:
    """The security scheme (OpenAPI 3.1 s4.8.27).

    Raises:
        ConfigurationError: the addresses do not go together.
    """
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


def describe(document: dict[str, Any], name: str, asked_by: Mapping[str, tuple[str, ...] | None]) -> dict[str, Any]:
    """Say of each route what it asks for, one object for each way in (OpenAPI 3.1 s4.8.30), and how it refuses.

    Args:
        document: as FastAPI made it, with a scheme for each of our dependencies; it is changed.
        name: of the one scheme that is to stand for them.
        asked_by: by the name of its scheme, the scopes of which a dependency needs one; None: not even a token.
    """
    for operation in _operations(document):
        asked = [(ask, scopes) for way in operation.get("security", ()) for ask, scopes in way.items()]
        alternatives = [asked_by[ask] for ask, _ in asked if ask in asked_by]
        if not alternatives:
            continue
        all_of = [scope for ask, scopes in asked if ask in asked_by for scope in scopes]
        ways = [{name: list(dict.fromkeys((*all_of, *chosen)))} for chosen in product(*filter(None, alternatives))]
        others = [{ask: scopes} for ask, scopes in asked if ask not in asked_by]
        nothing: list[dict[str, list[str]]] = [{}] if all(any_of is None for any_of in alternatives) else []
        operation["security"] = [*others, *ways, *nothing]
        responses = operation.setdefault("responses", {})
        for status, description in _REFUSALS.items():
            responses.setdefault(status, {"description": description, "content": _BODY})
    schemes = document.get("components", {}).get("securitySchemes", {})
    for ours in asked_by.keys() & schemes.keys():
        schemes[name] = schemes.pop(ours)
    return document


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
    for paths in ("paths", "webhooks"):
        for path in document.get(paths, {}).values():
            yield from (path[method] for method in path.keys() & _METHODS)
