"""The clients of these tests, and requests in their names."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tokenguard.testing import Client, LocalIssuer

NOW = 1_700_000_000
FORM = "application/x-www-form-urlencoded"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
UNAUTHENTICATED = {"error": "invalid_client"}

KEYS = LocalIssuer(algorithms=("ES256",))  # never started: only its keys are of use, as those of a client

ORDERS = Client(client_id="orders api", secret="p+:% ä", scopes=("orders:read", "orders:write"))
OPAQUE = Client(client_id="opaque", secret="s", opaque=True)
READER = Client(client_id="reader", bearer="r-e.a_d~e+r/==")
SIGNER = Client(client_id="signer", jwk=KEYS.jwks()["keys"][0])

BASIC = httpx.BasicAuth("orders+api", "p%2B%3A%25+%C3%A4")  # form-encoded, as RFC 6749 s2.3.1 wants it


def introspect(http: httpx.Client, issuer: LocalIssuer, token: str, **more: Any) -> httpx.Response:
    return http.post(issuer.introspection_endpoint, data={"token": token}, **{"auth": BASIC, **more})


def grant(
    http: httpx.Client, issuer: LocalIssuer, form: Mapping[str, Any] | None = None, **more: Any
) -> httpx.Response:
    data = {"grant_type": "client_credentials", **(form or {})}
    return http.post(issuer.token_endpoint, data=data, **{"auth": BASIC, **more})


def assertion(
    issuer: LocalIssuer,
    claims: Mapping[str, Any] | None = None,
    *,
    header: Mapping[str, Any] | None = None,
    signer: LocalIssuer = KEYS,
    **how: Any,
) -> dict[str, str]:
    """The form of a private_key_jwt; a claim or header member of `...` is left out."""
    members = {
        "iss": "signer",
        "sub": "signer",
        "aud": issuer.url,
        "exp": NOW + 60,
        "jti": str(uuid.uuid4()),
        **(claims or {}),
    }
    names = {"alg": "ES256", "kid": signer.kid(), **(header or {})}
    token = signer.sign(
        {name: value for name, value in names.items() if value is not ...},
        json.dumps({name: value for name, value in members.items() if value is not ...}).encode(),
        **how,
    )
    return {"client_assertion_type": JWT_BEARER, "client_assertion": token}
