"""`django-oauth-toolkit` as a child process: an authorization server that says little when asked about a token."""

from __future__ import annotations

import importlib.util
import sys
from typing import NamedTuple

from tests.interop.authorization_server import LIFETIME, AuthorizationServer, new_app, new_basic
from tests.interop.child import Child
from tests.interop.clients import Client

SCOPES = ("orders:read", "orders:write", "introspection")
USER = {"username": "user-1", "password": "the user's own"}


class Grant(NamedTuple):
    """What a user's client is given."""

    access_token: str
    refresh_token: str


def is_installed() -> bool:
    """Whether the toolkit is here, and with it Django."""
    return importlib.util.find_spec("oauth2_provider") is not None


class DotProvider(AuthorizationServer):
    """A running django-oauth-toolkit. Its clients may authenticate either way, by header or form."""

    def __init__(self) -> None:
        app, basic = new_app(), new_basic()
        # A client has one grant here.
        self._users_app = Client(client_id="users-app", client_secret="its own", method="client_secret_basic")
        grants = {app: "client-credentials", basic: "client-credentials", self._users_app: "password"}
        child = Child(
            [sys.executable, "-m", "tests.interop.dot_server"],
            clients=[
                {
                    "client_id": client.client_id,
                    "client_secret": client.client_secret,
                    "authorization_grant_type": grant,
                }
                for client, grant in grants.items()
            ],
            scopes={scope: scope for scope in SCOPES},
            token_lifetime=LIFETIME,
            user=USER,
        )
        super().__init__(child, app=app, basic=basic)

    def grant(self, resource: str, scope: str = "orders:read") -> Grant:
        """What the client `users-app` gets for a user's password (RFC 6749 s4.3)."""
        form = {"grant_type": "password", **USER, "resource": resource, "scope": scope}
        answer = self.post_as(self._users_app, self.token_endpoint, form)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        return Grant(said["access_token"], said["refresh_token"])
