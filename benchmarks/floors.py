"""Parts of the job that nobody can do without: what the whole is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import perf_counter
from typing import Any

from tokenguard.testing import LocalIssuer

from .measuring import Timed
from .peers import Batch

VERIFY = "bare signature check"
HASH = "SHA-256 of the token"
PARSE = "json.loads of the payload"
SUM = "SHA-256, json.loads and signature check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A part of the job that nobody can do without, with everything it needs at hand.

    Attributes:
        name: as in the tables.
        prepare: a token, as `loop` wants it.
        loop: does its part for each of them, and nothing else.
    """

    name: str
    prepare: Callable[[str], Any]
    loop: Callable[[Sequence[Any]], None]

    def run(self, batch: Batch) -> Timed:
        prepared = [self.prepare(token) for token in batch.tokens]
        began = perf_counter()
        for _ in range(batch.passes):
            self.loop(prepared)
        return Timed(batch.count, perf_counter() - began)


def verify_floor(keys: LocalIssuer, alg: str) -> Floor:
    """cryptography's `public_key.verify`, signing input and decoded signature being ready."""
    verify, arguments = _verification(keys, alg)

    def loop(prepared: Sequence[tuple[Any, ...]]) -> None:
        for ready in prepared:
            verify(*ready)

    return Floor(name=VERIFY, prepare=arguments, loop=loop)


def hash_floor() -> Floor:
    def loop(prepared: Sequence[bytes]) -> None:
        for text in prepared:
            sha256(text).digest()

    return Floor(name=HASH, prepare=str.encode, loop=loop)


def parse_floor() -> Floor:
    def loop(prepared: Sequence[bytes]) -> None:
        for payload in prepared:
            json.loads(payload)

    return Floor(name=PARSE, prepare=_payload, loop=loop)


def sum_floor(keys: LocalIssuer, alg: str) -> Floor:
    """All three: what a large token is measured against, as its size makes the other two count."""
    verify, arguments = _verification(keys, alg)

    def prepare(token: str) -> tuple[bytes, bytes, tuple[Any, ...]]:
        return token.encode(), _payload(token), arguments(token)

    def loop(prepared: Sequence[tuple[bytes, bytes, tuple[Any, ...]]]) -> None:
        for text, payload, ready in prepared:
            sha256(text).digest()
            json.loads(payload)
            verify(*ready)

    return Floor(name=SUM, prepare=prepare, loop=loop)


def _verification(keys: LocalIssuer, alg: str) -> tuple[Callable[..., None], Callable[[str], tuple[Any, ...]]]:
    """`verify` of the public key, and its arguments for a token."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256
    from jwt import PyJWK

    sha = SHA256()
    more: dict[str, tuple[Any, ...]] = {
        "RS256": (padding.PKCS1v15(), sha),
        "PS256": (padding.PSS(padding.MGF1(sha), 32), sha),
        "ES256": (ec.ECDSA(sha),),
        "EdDSA": (),
    }

    def arguments(token: str) -> tuple[Any, ...]:
        signed, _, signature = token.encode().rpartition(b".")
        raw = _decoded(signature)
        if alg == "ES256":
            raw = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        return raw, signed, *more[alg]

    public: Any = PyJWK(next(jwk for jwk in keys.jwks()["keys"] if jwk["alg"] == alg)).key
    return public.verify, arguments


def _payload(token: str) -> bytes:
    return _decoded(token.encode().split(b".")[1])


def _decoded(segment: bytes) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
