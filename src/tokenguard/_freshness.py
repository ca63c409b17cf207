"""How long a response may be used, and how to ask whether it still holds (RFC 9111, RFC 9110 s13)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECONDS = re.compile(r"[0-9]{1,10}")
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")
_VERSIONS = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
_KEPT = ("cache-control", "age", "etag", "last-modified")


def lifetime(headers: Mapping[str, str], *, default: float, least: float, most: float) -> float:
    """Seconds for which a response is fresh.

    `max-age` less `Age` counts, within `least` and `most`. `no-store` and `no-cache` mean the default: Keycloak sends
    them with its key set, and asking at each request is what nobody wants. So does whatever cannot be read.
    """
    directives: dict[str, str] = {}
    for directive in headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        directives.setdefault(name.strip(), value.strip().strip('"'))
    max_age = directives.get("max-age", "")
    if "no-store" in directives or "no-cache" in directives or not _SECONDS.fullmatch(max_age):
        return default
    age = headers.get("age", "").strip()
    seconds = int(max_age) - (int(age) if _SECONDS.fullmatch(age) else 0)
    return min(max(seconds, least), most)


def kept(headers: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """What is remembered of an answer; of one that confirms another, with what the other said (RFC 9111 s4.3.4)."""
    known = {name: before[name] for name in ("cache-control", "etag", "last-modified") if name in before}
    return known | {name: headers[name] for name in _KEPT if name in headers}


def revalidation(headers: Mapping[str, str]) -> dict[str, str]:
    """What to send along in order to be told 304 if nothing has changed.

    Only what every server takes back: an issuer's odd or endless ETag must not make our next request a bad one.
    """
    return {
        ours: headers[theirs]
        for ours, theirs in _VERSIONS
        if theirs in headers and _SENDABLE.fullmatch(headers[theirs])
    }


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait; 0 where it says nothing, or names a date."""
    value = headers.get("retry-after", "").strip()
    return float(value) if _SECONDS.fullmatch(value) else 0.0
