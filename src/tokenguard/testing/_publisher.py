"""What an issuer publishes: its discovery documents and its key set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from ._answers import Answer, Request
from ._ledger import Ledger
from ._site import Route

Discovery: TypeAlias = Literal["both", "oauth", "openid", "none"]

_PATH = re.compile(r"(/[A-Za-z0-9._~%-]+)*/?")


class Publisher(Ledger):
    """A ledger that has an address. Further endpoints go into `_routes`, what is to be said of them into `_members`."""

    def __init__(self, *, algorithms: Sequence[str], path: str, audience: str, clock: Callable[[], float]) -> None:
        super().__init__(algorithms=algorithms, audience=audience, clock=clock)
        if not _PATH.fullmatch(path):
            raise ValueError(f"path is empty or like /tenant/a, not {path!r}")
        self.cache_control: str | None = None
        self.etag = True
        self.metadata: dict[str, Any] = {}
        self._discovery: Discovery = "both"
        self._path = path
        self._port: int | None = None

    @property
    def url(self) -> str:
        """The issuer identifier, such as `http://127.0.0.1:40123/tenant/a`; known once started, and kept when closed.

        Raises:
            RuntimeError: not started yet.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer(path="/tenant/a") as issuer:
        ...     issuer.url.endswith("/tenant/a")
        True
        """
        return self._origin + self._path

    @property
    def jwks_uri(self) -> str:
        """Where the key set is.

        Raises:
            RuntimeError: not started yet.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer(path="/tenant/a") as issuer:
        ...     issuer.jwks_uri == issuer.url + "/jwks"
        True
        """
        return f"{self._origin}{self._base}/jwks"

    @property
    def discovery(self) -> Discovery:
        """Which metadata documents are there: `both`, `oauth` (RFC 8414), `openid` or `none`; others answer 404.

        Raises:
            ValueError: set to anything else.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer()
        >>> issuer.discovery = "oauth"
        """
        return self._discovery

    @discovery.setter
    def discovery(self, value: Discovery) -> None:
        if value not in get_args(Discovery):
            raise ValueError(f"discovery is one of {get_args(Discovery)}, not {value!r}")
        self._discovery = value

    @property
    def _origin(self) -> str:
        if self._port is None:
            raise RuntimeError("the issuer has no address yet: start it, best by `with`")
        return f"http://127.0.0.1:{self._port}"

    @property
    def _base(self) -> str:
        return self._path.rstrip("/")  # RFC 8414 s3.1 and OpenID Connect Discovery s4.1 both drop a final slash

    def _routes(self) -> Mapping[str, Route]:
        base = self._base
        routes = {f"{base}/jwks": Route(kind="jwks", endpoint=self._key_set)}
        document = Route(kind="metadata", endpoint=self._document, cross_origin=True)
        if self._discovery in ("both", "oauth"):
            routes[f"/.well-known/oauth-authorization-server{base}"] = document
        if self._discovery in ("both", "openid"):
            routes[f"{base}/.well-known/openid-configuration"] = document
        return routes

    def _key_set(self, request: Request) -> Answer:
        headers = {} if self.cache_control is None else {"Cache-Control": self.cache_control}
        return Answer(document=self.jwks(), headers=headers, etag=self.etag)

    def _document(self, request: Request) -> Answer:
        document = {**self._members(), **self.metadata}
        return Answer(document={name: value for name, value in document.items() if value is not ...})

    def _members(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            # RFC 8414 s2 wants response types. There is no authorization endpoint, so none but `none` is true.
            "response_types_supported": ["none"],
            "grant_types_supported": ["client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(self.algorithms),
        }
