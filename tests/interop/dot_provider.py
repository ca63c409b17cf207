"""`django-oauth-toolkit` as a child process: an authorization server that says little when asked about a token."""

from __future__ import annotations

import importlib.util
import sys

from tests.interop.authorization_server import LIFETIME, AuthorizationServer, new_app, new_basic
from tests.interop.child import Child

SCOPES = ("orders:read", "orders:write", "introspection")


def is_installed() -> bool:
    """Whether the toolkit is here, and with it Django."""
    return importlib.util.find_spec("oauth2_provider") is not None


class DotProvider(AuthorizationServer):
    """A running django-oauth-toolkit. Its clients may authenticate either way, by header or form."""

    def __init__(self) -> None:
        app, basic = new_app(), new_basic()
        child = Child(
            [sys.executable, "-m", "tests.interop.dot_server"],
            clients=[{"client_id": client.client_id, "client_secret": client.client_secret} for client in (app, basic)],
            scopes={scope: scope for scope in SCOPES},
            token_lifetime=LIFETIME,
        )
        super().__init__(child, app=app, basic=basic)
