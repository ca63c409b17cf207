"""Which client is asking: RFC 6749 s2.3, RFC 7523 s2.2, RFC 7662 s2.1."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Collection
from urllib.parse import unquote_plus

from ._answers import Refusal, Request
from ._assertions import ASSERTION_TYPE, Assertions
from ._clients import Client, Clients
from ._forms import Form

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")

_BASIC = 'Basic realm="LocalIssuer"'
_BEARER = 'Bearer realm="LocalIssuer", error="invalid_token"'
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


class ClientAuthentication:
    """Tells the client of a request, or refuses it.

    Args:
        clients: those known.
        clock: seconds since the epoch, for assertions.
    """

    def __init__(self, clients: Clients, *, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._assertions = Assertions(clients, clock=clock)

    def authenticate(self, request: Request, form: Form, *, audiences: Collection[str], bearer: bool = False) -> Client:
        """The client.

        Args:
            request: for its headers.
            form: its parameters.
            audiences: whom an assertion may be meant for.
            bearer: whether a bearer token will do.

        Raises:
            Refusal: `invalid_client` for wrong credentials or none; `invalid_request` for two at once.
        """
        authorization = request.headers.get_all("Authorization", [])
        secret, assertion = form.get("client_secret"), form.get("client_assertion")
        if len(authorization) + (secret is not None) + (assertion is not None) > 1:
            raise Refusal("invalid_request", "more than one way of client authentication")  # RFC 6749 s2.3
        challenge, client = _BASIC, None
        if authorization:
            scheme, _, credentials = authorization[0].partition(" ")
            if scheme.lower() == "basic":
                client = self._by_basic(credentials)
            elif scheme.lower() == "bearer" and bearer:
                challenge, client = _BEARER, self._clients.with_bearer(credentials)
        elif secret is not None:
            client = self._clients.with_secret(form.get("client_id") or "", secret)
        elif assertion is not None and form.get("client_assertion_type") == ASSERTION_TYPE:
            client = self._assertions.client_of(assertion, audiences)
        if client is None or form.get("client_id") not in (None, client.client_id):
            # RFC 6749 s5.2 wants the challenge after an Authorization header, RFC 9110 s15.5.2 with every 401.
            raise Refusal("invalid_client", status=401, headers={"WWW-Authenticate": challenge})
        return client

    def _by_basic(self, credentials: str) -> Client | None:
        try:
            client_id, _, secret = b64decode(credentials, validate=True).decode("utf-8").partition(":")
            return self._clients.with_secret(_form_decoded(client_id), _form_decoded(secret))
        except ValueError:
            return None


def _form_decoded(text: str) -> str:
    """RFC 6749 s2.3.1 has both halves form-encoded; a `%` that escapes nothing shows that they were not."""
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("not form-encoded")
    return unquote_plus(text, errors="strict")
