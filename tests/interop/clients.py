"""OAuth clients, and how each proves to the authorization server who it is (RFC 6749 s2.3.1, RFC 7523 s2.2)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

Method = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]

# Basic credentials are form-encoded before they are joined by a colon. Most clients forget to, and get away with it
# until a secret has such characters as these. (ASCII alone: RFC 6749 appendix A.2.)
AWKWARD = "p:a s%&+/="


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to add to a request."""

    headers: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client and its credentials: a secret, or a private key as PEM."""

    client_id: str
    method: Method
    client_secret: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    grants: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()

    def metadata(self) -> dict[str, Any]:
        """How it is registered (RFC 7591 s2)."""
        metadata: dict[str, Any] = {
            "client_id": self.client_id,
            "token_endpoint_auth_method": self.method,
            "grant_types": self.grants,
            "response_types": ["code"] if "authorization_code" in self.grants else [],
            "redirect_uris": self.redirect_uris,
        }
        if self.client_secret:
            metadata["client_secret"] = self.client_secret
        if self.private_key:
            public = _load(self.private_key).public_key()
            jwk = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
            metadata["jwks"] = {"keys": [{**jwk, "use": "sig", "alg": "ES256"}]}
        return metadata

    def authenticate(self, audience: str, form: Mapping[str, str]) -> Request:
        """A form that this client sends, with its proof.

        Args:
            audience: of an assertion, the issuer or the endpoint.
            form: what else is sent.
        """
        match self.method:
            case "client_secret_basic":
                return Request(headers={"Authorization": basic(self.client_id, self.client_secret)}, form={**form})
            case "client_secret_post":
                return Request(form={**form, "client_id": self.client_id, "client_secret": self.client_secret})
            case "private_key_jwt":
                assertion = {
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion": self.assertion(audience),
                }
                return Request(form={**form, **assertion})

    def assertion(self, audience: str, **claims: Any) -> str:
        """A client assertion, good for a minute and one use; `claims` replace its own."""
        now = int(time.time())
        own = {"iss": self.client_id, "sub": self.client_id, "aud": audience, "jti": secrets.token_urlsafe()}
        return jwt.encode({**own, "iat": now, "exp": now + 60, **claims}, self.private_key, "ES256")


def basic(client_id: str, client_secret: str, *, encoded: bool = True) -> str:
    """A Basic `Authorization`, form-encoded as RFC 6749 s2.3.1 has it, or as many clients send it."""
    parts = [quote_plus(part) if encoded else part for part in (client_id, client_secret)]
    return "Basic " + base64.b64encode(":".join(parts).encode()).decode("ascii")


def new_private_key() -> str:
    """A private key for ES256, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode("ascii"), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
