"""How long a response may be used, and how to ask whether it still holds (RFC 9111, RFC 9110 s13)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECONDS = re.compile(r"[0-9]{1,10}")


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


def revalidation(headers: Mapping[str, str]) -> dict[str, str]:
    """What to send along in order to be told 304 if nothing has changed."""
    asked = {}
    if "etag" in headers:
        asked["If-None-Match"] = headers["etag"]
    if "last-modified" in headers:
        asked["If-Modified-Since"] = headers["last-modified"]
    return asked


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait; 0 where it says nothing, or names a date."""
    value = headers.get("retry-after", "").strip()
    return float(value) if _SECONDS.fullmatch(value) else 0.0
