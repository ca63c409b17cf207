"""Which URLs are ever fetched: https, or http where the operator said so or the host is this machine.

Parsers of URLs disagree (white space, backslashes, user info, "127.1"), and where a check and a client disagree there
is a hole. So only URLs of a plain form pass at all: one that both sides read the same way.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    r"(?P<query>\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """The parts of a URL that was found to be of the plain form."""

    scheme: str
    origin: str
    path: str
    query: str


def parse_url(text: str, *, allow_insecure_http: bool = False) -> Url:
    """Take a URL apart.

    Raises:
        ValueError: it is no plain http(s) URL, or its http leaves this machine and `allow_insecure_http` is not set.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("is not a plain https URL (no spaces, user info, fragment or unescaped characters)")
    port = match["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError("has an impossible port")
    if match["scheme"] == "http" and not (allow_insecure_http or is_this_machine(match["host"])):
        raise ValueError("is plain http: use https (http is for localhost only, unless allow_insecure_http=True)")
    return Url(
        scheme=match["scheme"],
        origin=text[: match.start("path")],
        path=match["path"],
        query=match["query"] or "",
    )


def is_this_machine(host: str) -> bool:
    """`localhost`, 127.0.0.0/8 in its four-part spelling, or `[::1]`: nothing that would need a name server."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")) in (_LOOPBACK_6 if host.startswith("[") else _LOOPBACK_4)
    except ValueError:
        return False


_LOOPBACK_4 = ipaddress.ip_network("127.0.0.0/8")
_LOOPBACK_6 = ipaddress.ip_network("::1/128")
