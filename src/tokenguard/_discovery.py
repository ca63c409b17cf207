"""Finding an issuer's endpoints: its metadata (RFC 8414, OpenID Connect Discovery). No I/O."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from ._fetch import Answer, FetchFailed, Request, get_json
from ._text import for_log
from ._urls import parse_url
from .config import Issuer


def well_known(issuer_url: str) -> tuple[str, str]:
    """Where the metadata of an issuer may be: RFC 8414 s3.1 inserts, OpenID Connect Discovery s4 appends.

    >>> well_known("https://as.example.com/tenant/")
    ('https://as.example.com/.well-known/oauth-authorization-server/tenant', \
'https://as.example.com/tenant/.well-known/openid-configuration')
    """
    url = parse_url(issuer_url, allow_insecure_http=True)  # whether http will do was settled by Issuer
    path = url.path.removesuffix("/")
    return (
        f"{url.origin}/.well-known/oauth-authorization-server{path}",
        f"{url.origin}{path}/.well-known/openid-configuration",
    )


class Discovery:
    """Knows where an issuer's key set and endpoints are, or how to learn it."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._addresses = (issuer.metadata_url,) if issuer.metadata_url is not None else well_known(issuer.url)
        self._document: dict[str, Any] = {}
        self._address = ""  # of the document
        self._fresh_until = -math.inf
        self._stale_until = -math.inf
        self.trouble = ""

    def forget(self) -> None:
        """Look anew next time."""
        self._fresh_until = -math.inf

    def find(self, member: str, tick: float) -> Generator[Request, Answer, str]:
        """The URL that the metadata has under this name.

        The last good document serves on while the metadata is out of reach, as keys do.

        Raises:
            FetchFailed: no metadata, none that is this issuer's, or none with such a URL.
        """
        if tick >= self._fresh_until:
            policy = self._issuer.keys
            try:
                self._document, self._address, at = yield from self._discover(member)
            except FetchFailed as failure:
                if failure.impostor or tick >= self._stale_until:
                    raise
                self.trouble = str(failure)
            else:
                self.trouble = ""
                self._fresh_until = at + policy.metadata_lifetime
                self._stale_until = self._fresh_until + policy.stale_window
        return self._url(self._document, self._address, member, tick)

    def _discover(self, member: str) -> Generator[Request, Answer, tuple[dict[str, Any], str, float]]:
        failures: list[FetchFailed] = []
        for address in self._addresses:
            try:
                document, answer = yield from get_json(self._issuer.keys.request(address))
                read = document or {}
                self._require_own(read, address, answer.at)
                self._url(read, address, member, answer.at)
            except FetchFailed as failure:
                if not failure.elsewhere:
                    raise
                failures.append(failure)
            else:
                return read, address, answer.at
        raise FetchFailed("; ".join(map(str, failures)), at=failures[-1].at)

    def _require_own(self, document: dict[str, Any], address: str, at: float) -> None:
        if "issuer" not in document:
            raise FetchFailed(f"{address}: no metadata, issuer is missing", at=at, elsewhere=True)
        # RFC 8414 s3.3: identical, or it MUST NOT be used. Trying elsewhere would give an impostor a second chance.
        if document["issuer"] != self._issuer.url:
            named = for_log(document["issuer"])
            raise FetchFailed(
                f"{address}: metadata of another issuer, {named}, not {self._issuer.url}", at=at, impostor=True
            )

    def _url(self, document: dict[str, Any], address: str, member: str, at: float) -> str:
        text = document.get(member)
        try:
            if type(text) is not str:
                raise ValueError("is missing")
            url = parse_url(text, allow_insecure_http=self._issuer.allow_insecure_http)
            if url.scheme == "http" and (address.startswith("https:") or self._issuer.url.startswith("https:")):
                raise ValueError("is plain http, though the issuer or its metadata is https")
        except ValueError as error:
            trouble = str(error)
        else:
            return text
        raise FetchFailed(f"{address}: {member} {for_log(text)} {trouble}", at=at)
