"""`oidc-provider` from npm, a certified authorization server, as a child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.interop import npm
from tests.interop.authorization_server import LIFETIME, AuthorizationServer, new_app, new_basic
from tests.interop.child import Child
from tests.interop.clients import AWKWARD, Client, new_private_key

OPAQUE = "https://opaque.example"
"""The `resource` whose tokens are opaque and have it as `aud`. Without any `resource` they have no `aud`."""

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")

SCOPES = ("orders:read", "orders:write")


def resource_of(alg: str) -> str:
    """The `resource` whose tokens are JWTs signed with this algorithm. It is their `aud`, too."""
    return f"https://jwt.example/{alg}"


class OidcProvider(AuthorizationServer):
    """A running oidc-provider.

    Args:
        path: of the issuer, such as `/tenant/one`.

    Attributes:
        basic, post, private_key_jwt: clients without grants, one for each way in which an API may authenticate.

    Raises:
        NotInstalled: there is no node or no npm here, or npm could not install.
    """

    def __init__(self, *, path: str = "") -> None:
        app, basic = new_app(), new_basic()
        self.post = Client(client_id="api-post", client_secret=AWKWARD, method="client_secret_post")
        self.private_key_jwt = Client(
            client_id="api-private-key-jwt", private_key=new_private_key(), method="private_key_jwt"
        )
        clients = (app, basic, self.post, self.private_key_jwt)
        child = Child(
            [npm.node(), str(Path(__file__).with_name("server.mjs"))],
            path=path,
            clients=[client.metadata() for client in clients],
            scopes=SCOPES,
            token_lifetime=LIFETIME,
        )
        super().__init__(child, app=app, basic=basic)
        self.jwks_uri: str = child.started["jwks_uri"]

    def user_token(
        self,
        resource: str | None = None,
        scope: str = "orders:read",
        subject: str = "user-1",
        bound_to: Mapping[str, str] | None = None,
    ) -> str:
        """An access token of a user, as `app` would get it for an authorization code.

        Args:
            resource, scope: as of `token`.
            subject: the user.
            bound_to: the key that it is bound to: `jkt` (RFC 9449) or `x5t#S256` (RFC 8705).
        """
        bound = dict(bound_to or {})
        return self._issue("AccessToken", subject=subject, scope=scope, resource=resource, bound_to=bound)

    def refresh_token(self, scope: str = "orders:read offline_access", subject: str = "user-1") -> str:
        """A refresh token of a user."""
        return self._issue("RefreshToken", subject=subject, scope=scope)

    def id_token(self, subject: str = "user-1", **claims: Any) -> str:
        """An ID token for `app`. `at_hash` and `c_hash` are hashed on the way."""
        return self._issue("IdToken", subject=subject, claims=claims)

    def rotate(self, *, keep_old: bool) -> list[str]:
        """Sign with new keys from now on.

        Args:
            keep_old: go on publishing the keys there were.

        Returns:
            The new ones' kids.
        """
        kids: list[str] = self.child.ask("rotate", keep_old=keep_old)
        return kids

    def shift_clock(self, seconds: float) -> None:
        """Set the server's clock so far ahead of ours; 0 sets it right."""
        self.child.ask("clock", ahead=seconds)

    def add_claims(self, **claims: Any) -> None:
        """Put these into all access tokens made from now on, in place of what was said before."""
        self.child.ask("claims", claims=claims)

    def wait_for_requests(self, address: str, count: int = 1) -> None:
        """Wait until an address was asked for so many times since the last `reset`.

        Raises:
            RuntimeError: it was not, for a long time.
        """
        self.child.ask("wait", path=urlsplit(address).path, count=count)

    def fail(
        self,
        address: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: str = "",
        delay: float = 0,
        hang: bool = False,
        reset: bool = False,
    ) -> None:
        """Fail where `address` is asked for, from now on and until `recover`.

        Args:
            address: a URL of the server or its path.
            status: answer with this in place of what is right; with `headers` and `body`.
            delay: seconds to wait first.
            hang: wait for `recover` first.
            reset: reset the connection in place of an answer.
        """
        fault = {"status": status, "headers": dict(headers or {}), "body": body, "delay": delay, "hang": hang}
        self.child.ask("fail", path=urlsplit(address).path, **fault, reset=reset)

    def recover(self) -> None:
        """End all faults; what hangs is answered."""
        self.child.ask("recover")

    def reset(self) -> None:
        """As it was started, but for its keys and tokens: no faults, no extra claims, the right time; count anew."""
        self.recover()
        self.add_claims()
        self.shift_clock(0)
        super().reset()

    def _issue(self, kind: str, **options: Any) -> str:
        token: str = self.child.ask("issue", kind=kind, client_id=self.app.client_id, **options)
        return token
