"""A compact JWS, taken apart and verified; strictly, as its exact text is what can be revoked."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._signing import PublicKey, segment, verifies


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """Header and claims, not to be believed before `signed_by` says so."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the holder of `key` signed it, by the algorithm in the header, which has to be one for such keys."""
        # We understand no extension, and whoever writes `crit` insists on one (RFC 7515 s4.1.11).
        return "crit" not in self.header and verifies(self.header.get("alg"), key, self.signed, self.signature)

    def text(self, name: str) -> str:
        """A claim that is text.

        Raises:
            ValueError: it is not.
        """
        value = self.claims.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is not text")
        return value

    def time(self, name: str) -> float | None:
        """A claim that is a time (NumericDate, RFC 7519 s2), or None without it.

        Raises:
            ValueError: it is there, and is none.
        """
        value = self.claims.get(name)
        if name in self.claims and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} is not a number")
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} is endless")
        return value


def parse(token: str) -> Jws:
    """Take a compact JWS apart.

    Raises:
        ValueError: it is none, or its header or payload is not a JSON object.
    """
    signed, _, signature = token.rpartition(".")
    header, payload = signed.split(".")
    return Jws(
        header=_members(_decoded(header)),
        claims=_members(_decoded(payload)),
        signed=signed.encode("ascii"),
        signature=_decoded(signature),
    )


def _decoded(text: str) -> bytes:
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Python skips over what is not base64: many texts would be one token.
    if segment(data) != text.encode("ascii"):
        raise ValueError("not canonical base64url")
    return data


def _members(data: bytes) -> dict[str, Any]:
    try:
        members = json.loads(data, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
