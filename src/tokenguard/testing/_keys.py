"""The signing keys of an issuer: which there are, which one signs, which are published."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ._signing import ASYMMETRIC, PrivateKey, family, generate, public_jwk


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and the names it goes by."""

    kid: str
    alg: str
    private: PrivateKey

    def jwk(self) -> dict[str, Any]:
        """The public JWK, as it is published."""
        return {**public_jwk(self.private), "kid": self.kid, "alg": self.alg, "use": "sig"}


class KeyRing:
    """Signing keys by algorithm, made when first needed: an RSA key takes about 0.1 s.

    Args:
        algorithms: JWS names, at least one; the first is the default. `EdDSA` and `Ed25519` share a key.

    Raises:
        ValueError: no algorithm, or one for which no key can be published.
    """

    def __init__(self, algorithms: Sequence[str]) -> None:
        unknown = set(algorithms) - ASYMMETRIC
        if unknown or not algorithms:
            raise ValueError(f"algorithms is a sequence of names out of {', '.join(sorted(ASYMMETRIC))}")
        self.algorithms = tuple(dict.fromkeys(algorithms))
        self._default: dict[str, str] = {}  # slot, an algorithm's family -> the name under which its keys are published
        for alg in self.algorithms:
            self._default.setdefault(family(alg), alg)
        self._keys: dict[str, SigningKey] = {}
        self._current: dict[str, str] = {}
        self._withdrawn: set[str] = set()
        self._foreign: list[dict[str, Any]] = []
        self._keys_lock = threading.RLock()  # held while a key is made, so that two callers do not make two

    def kid(self, alg: str | None = None) -> str:
        """The `kid` of the key that signs now.

        Args:
            alg: one of the issuer's algorithms; the first by default.

        Raises:
            ValueError: not one of the issuer's algorithms.

        >>> from tokenguard.testing import LocalIssuer
        >>> LocalIssuer(algorithms=("ES256",)).kid().startswith("es256-")
        True
        """
        slot = self._slot_of(alg)
        with self._keys_lock:
            return self._current[slot] if slot in self._current else self.rotate(alg)

    def rotate(self, alg: str | None = None) -> str:
        """Make a new key and sign with it from now on; older ones stay published.

        Args:
            alg: one of the issuer's algorithms; the first by default.

        Returns:
            The new key's `kid`.

        Raises:
            ValueError: not one of the issuer's algorithms.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer(algorithms=("EdDSA",))
        >>> old, new = issuer.kid(), issuer.rotate()
        >>> [key["kid"] for key in issuer.jwks()["keys"]] == [old, new]
        True
        """
        slot = self._slot_of(alg)
        name = self._default[slot]
        with self._keys_lock:
            key = SigningKey(kid=f"{name.lower()}-{secrets.token_hex(8)}", alg=name, private=generate(name))
            self._keys[key.kid] = key
            self._current[slot] = key.kid
        return key.kid

    def withdraw(self, kid: str) -> None:
        """Stop publishing a key. It still signs: by `kid=`, or because it is the current one.

        Args:
            kid: of one of the issuer's keys, or of one given to `publish`.

        Raises:
            ValueError: no key has this `kid`.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer(algorithms=("EdDSA",))
        >>> issuer.withdraw(issuer.kid())
        >>> issuer.jwks()
        {'keys': []}
        """
        with self._keys_lock:
            remaining = [jwk for jwk in self._foreign if jwk.get("kid") != kid]
            if len(remaining) == len(self._foreign):
                self._key(kid)
            self._foreign = remaining
            self._withdrawn.add(kid)

    def replace(self, kid: str) -> None:
        """Put a new key under an old `kid`, as servers with a fixed `kid` do when they rotate.

        Args:
            kid: of one of the issuer's keys. Tokens minted with it before fit no published key any more.

        Raises:
            ValueError: none of the issuer's keys has this `kid`.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer(algorithms=("EdDSA",))
        >>> before = issuer.jwks()
        >>> issuer.replace(issuer.kid())
        >>> issuer.jwks()["keys"][0]["x"] == before["keys"][0]["x"]
        False
        """
        with self._keys_lock:
            old = self._key(kid)
            self._keys[kid] = SigningKey(kid=kid, alg=old.alg, private=generate(old.alg))

    def publish(self, jwk: Mapping[str, Any]) -> None:
        """Add a JWK to the served set as it is: of an unknown kind, weak, malformed, or somebody else's.

        Args:
            jwk: anything that JSON can hold.

        >>> from tokenguard.testing import LocalIssuer
        >>> issuer = LocalIssuer(algorithms=("EdDSA",))
        >>> issuer.publish({"kty": "AKP", "kid": "later"})
        >>> issuer.jwks()["keys"][-1]
        {'kty': 'AKP', 'kid': 'later'}
        """
        with self._keys_lock:
            self._foreign.append(copy.deepcopy(dict(jwk)))

    def jwks(self) -> dict[str, Any]:
        """The published key set (RFC 7517 s5), a copy: the issuer's keys, oldest first, then what `publish` added.

        >>> from tokenguard.testing import LocalIssuer
        >>> sorted(LocalIssuer(algorithms=("ES256",)).jwks()["keys"][0])
        ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']
        """
        with self._keys_lock:
            for alg in self.algorithms:
                self.kid(alg)
            own = [key.jwk() for kid, key in self._keys.items() if kid not in self._withdrawn]
            return {"keys": own + copy.deepcopy(self._foreign)}

    def public_pem(self, name: str | None = None) -> bytes:
        """A public key as PEM (SubjectPublicKeyInfo), for static configuration or for algorithm confusion.

        Args:
            name: a `kid`, or an algorithm for its current key; the first algorithm by default.

        Raises:
            ValueError: neither a `kid` of the issuer's nor one of its algorithms.

        >>> from tokenguard.testing import LocalIssuer
        >>> LocalIssuer(algorithms=("EdDSA",)).public_pem().splitlines()[0]
        b'-----BEGIN PUBLIC KEY-----'
        """
        with self._keys_lock:
            key = self._key(self.kid(name) if name is None or name in ASYMMETRIC else name)
        return key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def _key(self, kid: str) -> SigningKey:
        with self._keys_lock:
            if kid in self._keys:
                return self._keys[kid]
        raise ValueError(f"none of the issuer's keys has the kid {kid!r}")

    def _serves(self, alg: str) -> bool:
        return family(alg) in self._default

    def _slot_of(self, alg: str | None) -> str:
        if alg is None:
            alg = self.algorithms[0]
        if not self._serves(alg):
            raise ValueError(f"the issuer has no key for {alg}: name it in algorithms={self.algorithms!r}")
        return family(alg)
