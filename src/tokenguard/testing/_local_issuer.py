"""The issuer: what it serves, and how it starts, fails and ends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from socket import socket
from types import TracebackType
from typing import Literal, Self

from ._answers import Request
from ._clients import API, Client
from ._endpoints import Endpoints
from ._faults import Fault, Kind, Reply
from ._server import Server, bind
from ._site import RoutedSite


class LocalIssuer(Endpoints):
    """A small authorization server on an ephemeral loopback port: discovery, keys, tokens, introspection, and faults.

    It serves `/.well-known/oauth-authorization-server{path}` (RFC 8414 s3), `{path}/.well-known/openid-configuration`,
    `{path}/jwks`, `{path}/token` (RFC 6749 s4.4), `{path}/introspect` (RFC 7662, RFC 9701) and `{path}/revoke`
    (RFC 7009), on as many connections as there are. Every method may be called from any thread.

    Args:
        algorithms: JWS names to publish keys for, at least one; the first is the default. RS, PS and ES with 256, 384
            or 512, `EdDSA` and `Ed25519` (one key under two names). Keys are made when first needed.
        path: of the issuer identifier, such as `/tenant/a`; a `/` at its end is part of it.
        audience: the `aud` of tokens that are given no other.
        clients: who may use the last three; by default one, `api` with the secret `api-secret`, and any scope.
        clock: seconds since the epoch, for `iat` and `exp`.

    Attributes:
        audience: as given.
        clients: as given.
        cache_control: the `Cache-Control` of the key set; None, the default, for no such header.
        etag: whether the key set has an `ETag` and answers `If-None-Match` with 304; True by default.
        metadata: merged over the discovery document; a value of `...` removes a member.

    Raises:
        ValueError: an algorithm that is unknown or has no public key, a path that is none, or two clients
            of one name.

    >>> with LocalIssuer(algorithms=("ES256",), path="/tenant/a") as issuer:
    ...     issuer.metadata["service_documentation"] = "https://docs.example.com"
    ...     issuer.cache_control = "max-age=60"
    ...     issuer.url.endswith("/tenant/a"), issuer.jwks_uri.endswith("/tenant/a/jwks")
    (True, True)
    """

    def __init__(
        self,
        *,
        algorithms: Sequence[str] = ("RS256",),
        path: str = "",
        audience: str = "https://api.example.com",
        clients: Collection[Client] = (API,),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(algorithms=algorithms, path=path, audience=audience, clients=clients, clock=clock)
        self._site = RoutedSite(self._routes)
        self._lifecycle = threading.Lock()
        self._server: Server | None = None
        self._reserved: socket | None = None  # while down: holds the port, so that nobody else is given it

    def start(self) -> Self:
        """Begin to serve; `with` does this.

        Returns:
            The issuer itself.

        Raises:
            RuntimeError: it was started before.

        >>> issuer = LocalIssuer(algorithms=("ES256",)).start()
        >>> issuer.close()
        """
        with self._lifecycle:
            if self._port is not None:
                raise RuntimeError("an issuer starts once: make another LocalIssuer")
            bound = bind()
            self._port = bound.getsockname()[1]
            self._server = Server(self._site, bound)
        return self

    def close(self) -> None:
        """Stop for good, cutting off whatever is under way; no thread or socket remains. Again: nothing happens.

        >>> issuer = LocalIssuer(algorithms=("ES256",)).start()
        >>> issuer.close()
        >>> issuer.close()
        """
        with self._lifecycle:
            if self._server is not None:
                self._server.stop()
            if self._reserved is not None:
                self._reserved.close()
            self._server = self._reserved = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def down(self) -> None:
        """Go out of reach: connections are refused and open ones cut. Faults stay as they are.

        Raises:
            RuntimeError: not started, or closed.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.down()
        ...     issuer.up()
        """
        with self._lifecycle:
            if self._reserved is None:
                if self._server is None or self._port is None:
                    raise RuntimeError("the issuer is not running")
                self._server.stop()
                self._server = None
                self._reserved = bind(self._port)

    def up(self) -> None:
        """Come back after `down`, on the same port.

        Raises:
            RuntimeError: not started, or closed.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.up()  # it was not down: nothing happens
        """
        with self._lifecycle:
            if self._server is None:
                if self._reserved is None:
                    raise RuntimeError("the issuer is not running")
                self._server = Server(self._site, self._reserved)
                self._reserved = None

    def fail(self, fault: Fault | Reply, *, on: Kind | Literal["all"] = "all") -> None:
        """Fail in one way until `recover`, or until told another.

        Args:
            fault: the way, or the answer to be given.
            on: `jwks`, `metadata`, `token`, `introspection`, `revocation` or `all`; each has at most one at a time.

        Raises:
            ValueError: no such fault or endpoint.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.fail(Fault.SERVER_ERROR, on="jwks")
        ...     issuer.fail(Reply(body=b"", status=403), on="introspection")
        """
        self._site.faults.fail(fault, on)

    def recover(self) -> None:
        """End all faults: requests that hang are answered, those that drip are cut off.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.fail(Fault.HANG)
        ...     issuer.recover()
        """
        self._site.faults.recover()

    @property
    def requests(self) -> Counter[str]:
        """How many requests came for each path (without query), failed ones too; a copy.

        >>> with LocalIssuer(algorithms=("ES256",), path="/tenant/a") as issuer:
        ...     issuer.requests["/tenant/a/jwks"]
        0
        """
        return self._site.log.counts()

    def last_request(self, path: str) -> Request:
        """The last request for a path, headers and form, to see what a client sends.

        Args:
            path: as in `requests`.

        Raises:
            LookupError: there was none since the last reset.

        >>> import httpx
        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     answer = httpx.post(issuer.introspection_endpoint, data={"token": "t"}, auth=("api", "wrong"))
        ...     request = issuer.last_request("/introspect")
        >>> request.form(), request.headers["Content-Type"]
        ([('token', 't')], 'application/x-www-form-urlencoded')
        """
        return self._site.log.last(path)

    def reset_requests(self) -> None:
        """Count `requests` from zero, and forget the last ones.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.reset_requests()
        ...     issuer.requests.total()
        0
        """
        self._site.log.reset()

    def wait_for_requests(self, path: str, count: int = 1, *, timeout: float = 5.0) -> None:
        """Wait until a path was asked for, such as by a thread whose request is to hang.

        Args:
            path: as in `requests`.
            count: how often, since the last reset.
            timeout: seconds.

        Raises:
            TimeoutError: it was not.

        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     issuer.wait_for_requests("/jwks", timeout=0.01)
        Traceback (most recent call last):
        TimeoutError: 0 requests for /jwks in 0.01 s, not 1
        """
        self._site.log.wait(path, count, timeout)
