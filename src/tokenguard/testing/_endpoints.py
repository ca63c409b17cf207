"""What clients ask of the issuer: the token, introspection and revocation endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ._answers import NO_STORE, Answer, Request, to_json
from ._client_auth import METHODS, ClientAuthentication
from ._clients import Client, Clients
from ._forms import Form
from ._grants import LIFETIME, REPEATABLE, client_credentials
from ._ledger import SIGNED_INTROSPECTION
from ._publisher import Publisher
from ._signing import ASYMMETRIC
from ._site import Route

_SIGNED = f"application/{SIGNED_INTROSPECTION}"
_NOT_WANTED = re.compile(r";\s*q=0(\.0*)?\s*(;|$)", re.IGNORECASE)  # RFC 9110 s12.4.2


class Endpoints(Publisher):
    """A publisher that serves clients, each of which has to say who it is."""

    def __init__(
        self,
        *,
        algorithms: Sequence[str],
        path: str,
        audience: str,
        clients: Collection[Client],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(algorithms=algorithms, path=path, audience=audience, clock=clock)
        self.clients = tuple(clients)
        self._client_auth = ClientAuthentication(Clients(self.clients), clock=clock)

    @property
    def token_endpoint(self) -> str:
        """Where a client gets a token of its own: RFC 6749 s4.4, `grant_type=client_credentials`.

        Raises:
            RuntimeError: not started yet.

        >>> import httpx
        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer() as issuer:
        ...     form = {"grant_type": "client_credentials", "scope": "orders:read"}
        ...     httpx.post(issuer.token_endpoint, data=form, auth=("api", "api-secret")).json()["scope"]
        'orders:read'
        """
        return f"{self._origin}{self._base}/token"

    @property
    def introspection_endpoint(self) -> str:
        """Where an API asks what a token means: RFC 7662, and signed as RFC 9701 has it for those who accept that.

        Raises:
            RuntimeError: not started yet.

        >>> import httpx
        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer() as issuer:
        ...     form = {"token": issuer.mint_opaque()}
        ...     httpx.post(issuer.introspection_endpoint, data=form, auth=("api", "api-secret")).json()["active"]
        True
        """
        return f"{self._origin}{self._base}/introspect"

    @property
    def revocation_endpoint(self) -> str:
        """Where a client gives a token up: RFC 7009; but any client, any token, so that tests need no other.

        Raises:
            RuntimeError: not started yet.

        >>> import httpx
        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer() as issuer:
        ...     form = {"token": issuer.mint_opaque()}
        ...     httpx.post(issuer.revocation_endpoint, data=form, auth=("api", "api-secret")).status_code
        200
        """
        return f"{self._origin}{self._base}/revoke"

    def _routes(self) -> Mapping[str, Route]:
        return {
            **super()._routes(),
            f"{self._base}/token": Route(kind="token", method="POST", endpoint=self._give_token, cross_origin=True),
            f"{self._base}/introspect": Route(kind="introspection", method="POST", endpoint=self._tell_of_token),
            f"{self._base}/revoke": Route(kind="revocation", method="POST", endpoint=self._take_token_back),
        }

    def _members(self) -> dict[str, Any]:
        members = super()._members()
        for name, url in (
            ("token_endpoint", self.token_endpoint),
            ("introspection_endpoint", self.introspection_endpoint),
            ("revocation_endpoint", self.revocation_endpoint),
        ):
            members[name] = url
            members[f"{name}_auth_methods_supported"] = list(METHODS)
            members[f"{name}_auth_signing_alg_values_supported"] = sorted(ASYMMETRIC)
        members["introspection_endpoint_auth_methods_supported"].append("Bearer")  # RFC 8414 s2
        members["introspection_signing_alg_values_supported"] = list(self.algorithms)  # RFC 9701 s7
        return members

    def _give_token(self, request: Request) -> Answer:
        form = Form(request, repeatable=REPEATABLE)
        client = self._client_of(request, form)
        grant = client_credentials(form, client)
        token = (self.mint_opaque if client.opaque else self.mint)(
            scope=grant.scope,
            audience=grant.audience,
            subject=client.client_id,  # RFC 9068 s2.2: no resource owner takes part
            client_id=client.client_id,
            expires_in=LIFETIME,
        )
        document: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME}
        if grant.scope is not None:
            document["scope"] = grant.scope
        return Answer(document=document, headers=NO_STORE)

    def _tell_of_token(self, request: Request) -> Answer:
        form = Form(request)
        client = self._client_of(request, form, bearer=True)
        document = self.introspect(form.require("token"))
        if not _wants_signed(request):
            return Answer(document=document, headers=NO_STORE)
        headers = {**NO_STORE, "Content-Type": _SIGNED}
        return Answer(document=document, headers=headers, write=partial(self._signed, client))

    def _take_token_back(self, request: Request) -> Answer:
        form = Form(request)
        self._client_of(request, form)
        self.revoke(form.require("token"))  # an unknown one too: RFC 7009 s2.2
        return Answer(document={}, headers=NO_STORE)

    def _client_of(self, request: Request, form: Form, *, bearer: bool = False) -> Client:
        audiences = (self.url, self.token_endpoint, self.introspection_endpoint, self.revocation_endpoint)
        return self._client_auth.authenticate(request, form, audiences=audiences, bearer=bearer)

    def _signed(self, client: Client, document: Mapping[str, Any]) -> bytes:
        """RFC 9701 s5: made out to the client that asks, so that it is of no use to another."""
        kid = self.kid()
        claims = {
            "iss": self.url,
            "aud": client.client_id,
            "iat": int(self._clock()),
            "token_introspection": document,
        }
        header = {"alg": self._key(kid).alg, "typ": SIGNED_INTROSPECTION, "kid": kid}
        return self.sign(header, to_json(claims)).encode("ascii")


def _wants_signed(request: Request) -> bool:
    ranges = ",".join(request.headers.get_all("Accept", [])).split(",")
    signed = [one for one in ranges if one.partition(";")[0].strip().lower() == _SIGNED]
    return any(not _NOT_WANTED.search(one) for one in signed)
