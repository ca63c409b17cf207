"""Tokens: good ones by default, and every kind of bad one on demand."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ._keys import KeyRing
from ._signing import ASYMMETRIC, SIGNING, PrivateKey, compact


class Mint(KeyRing, ABC):
    """Signs tokens in the name of `url`.

    Args:
        algorithms: JWS names, at least one; the first is the default.
        audience: the `aud` of tokens that are given no other.
        clock: seconds since the epoch.
    """

    def __init__(self, *, algorithms: Sequence[str], audience: str, clock: Callable[[], float]) -> None:
        super().__init__(algorithms)
        self.audience = audience
        self._clock = clock

    @property
    @abstractmethod
    def url(self) -> str:
        """The issuer identifier, `iss`."""

    def mint(
        self,
        claims: Mapping[str, Any] | None = None,
        /,
        *,
        alg: str | None = None,
        header: Mapping[str, Any] | None = None,
        omit: Iterable[str] = (),
        omit_header: Iterable[str] = (),
        scope: str | None = None,
        audience: str | Sequence[str] | None = None,
        subject: str = "user-1",
        client_id: str = "client-1",
        expires_in: float = 300,
        kid: str | None = None,
        key: PrivateKey | bytes | None = None,
    ) -> str:
        """Mint a JWT access token (RFC 9068): a good one, unless told otherwise.

        Args:
            claims: merged over the defaults `iss sub aud client_id iat exp jti`, as they are: None becomes null.
            alg: how to sign; by default as the key's algorithm says. `none` leaves the signature empty; `HS256`,
                `HS384` and `HS512` want `key`.
            header: merged over `{"alg", "typ": "at+jwt", "kid"}`; changes what the header says, not how it is signed.
            omit: claims to leave out.
            omit_header: header members to leave out.
            scope: the `scope` claim, separated by spaces; none by default.
            audience: the `aud` claim; by default the issuer's `audience`.
            subject: the `sub` claim.
            client_id: the `client_id` claim.
            expires_in: seconds from now to `exp`; negative for a token that has expired.
            kid: which of the issuer's keys signs, by default the current one for `alg`. With `key`, any text.
            key: sign with this key in place of the issuer's, under the issuer's `kid`: a forgery.

        Returns:
            The compact token.

        Raises:
            ValueError: an algorithm the issuer has no key for, a key that cannot serve it, an unknown `kid`, or a
                name to leave out that is not there (misspelt, it would make a test that checks nothing).
            RuntimeError: the issuer has not been started.

        >>> from tokenguard.testing import LocalIssuer
        >>> with LocalIssuer(algorithms=("ES256",)) as issuer:
        ...     good = issuer.mint(scope="orders:read")
        ...     expired = issuer.mint(expires_in=-60)
        ...     elsewhere = issuer.mint(audience="https://other.example.com")
        ...     unsigned = issuer.mint(alg="none")
        ...     confused = issuer.mint(alg="HS256", key=issuer.public_pem())
        >>> unsigned.endswith(".")
        True
        """
        defaults = self._claims(
            now=int(self._clock()),
            scope=scope,
            audience=audience,
            subject=subject,
            client_id=client_id,
            expires_in=expires_in,
        )
        defaults["jti"] = str(uuid.uuid4())
        alg, kid, key = self._signer(alg, kid, key)
        names = {"alg": alg, "typ": "at+jwt", "kid": kid}
        return compact(
            _json(without({**names, **(header or {})}, omit_header)),
            _json(without({**defaults, **(claims or {})}, omit)),
            alg=alg,
            key=key,
        )

    def sign(
        self,
        header: Mapping[str, Any] | bytes,
        payload: bytes,
        *,
        alg: str | None = None,
        key: PrivateKey | bytes | None = None,
        kid: str | None = None,
    ) -> str:
        """Sign exactly these bytes, for tokens that no JSON library would write.

        Args:
            header: its bytes, or a mapping to be written as JSON. Nothing is added.
            payload: its bytes.
            alg: how to sign; by default as a mapping says, or the key's algorithm.
            key: sign with this key in place of the issuer's.
            kid: which of the issuer's keys signs; by default as a mapping says, or the current one for `alg`.

        Returns:
            The compact token.

        Raises:
            ValueError: an algorithm the issuer has no key for, a key that cannot serve it, or an unknown `kid`.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer(algorithms=("ES256",))
        >>> twice = issuer.sign({"alg": "ES256", "kid": issuer.kid()}, b'{"sub":"alice","sub":"bob"}')
        """
        if not isinstance(header, bytes):
            # A test about the payload must not fail on a signature that its own header did not ask for.
            said_alg, said_kid = header.get("alg"), header.get("kid")
            if alg is None and isinstance(said_alg, str) and said_alg in SIGNING:
                alg = said_alg
            if kid is None and isinstance(said_kid, str) and said_kid in self._keys:
                kid = said_kid
            header = _json(header)
        alg, _, key = self._signer(alg, kid, key)
        return compact(header, payload, alg=alg, key=key)

    def _claims(
        self,
        *,
        now: int,
        scope: str | None,
        audience: str | Sequence[str] | None,
        subject: str,
        client_id: str,
        expires_in: float,
    ) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": subject,
            "aud": self.audience if audience is None else audience,
            "client_id": client_id,
            "iat": now,
            "exp": now + expires_in,
        }
        return claims if scope is None else {**claims, "scope": scope}

    def _signer(
        self, alg: str | None, kid: str | None, key: PrivateKey | bytes | None
    ) -> tuple[str, str, PrivateKey | bytes | None]:
        if kid is None:
            # What no key of the issuer's signs still goes under a kid that it has published.
            ours = alg is None or self._serves(alg) or (key is None and alg in ASYMMETRIC)
            kid = self.kid(alg if ours else None)
        if key is None and alg not in SIGNING - ASYMMETRIC:
            own = self._key(kid)
            return alg or own.alg, kid, own.private
        published = self._keys.get(kid)
        return alg or (published.alg if published else self.algorithms[0]), kid, key


def without(members: dict[str, Any], omit: Iterable[str]) -> dict[str, Any]:
    """The members but for those named.

    Raises:
        ValueError: one of the names is not there.
    """
    names = set(omit)
    if missing := names - set(members):
        raise ValueError(f"nothing to leave out under {', '.join(sorted(missing))}")
    return {name: value for name, value in members.items() if name not in names}


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(members), separators=(",", ":")).encode("ascii")
