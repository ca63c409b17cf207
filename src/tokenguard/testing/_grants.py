"""What a client asks of the token endpoint, and may have."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ._answers import Refusal
from ._clients import Client
from ._forms import Form

REPEATABLE = frozenset({"resource", "audience"})  # RFC 8707 s2, RFC 8693 s2.1
LIFETIME = 300  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The token to be issued: its scopes and audiences, None where the request leaves them to the issuer."""

    scope: str | None
    audience: str | list[str] | None


def client_credentials(form: Form, client: Client) -> Grant:
    """RFC 6749 s4.4, with RFC 8707's `resource` and the `audience` that many servers know.

    Raises:
        Refusal: `invalid_request`, `unsupported_grant_type`, `invalid_scope`, `invalid_target`.
    """
    if form.require("grant_type") != "client_credentials":
        raise Refusal("unsupported_grant_type")
    resources = form.all("resource")
    if not all(map(_is_resource, resources)):
        raise Refusal("invalid_target")
    audience = list(dict.fromkeys(resources + form.all("audience")))
    return Grant(scope=_scope(form, client), audience=audience if len(audience) > 1 else next(iter(audience), None))


def _scope(form: Form, client: Client) -> str | None:
    asked = form.get("scope")
    if asked is None:
        return " ".join(client.scopes or ()) or None
    scopes = list(dict.fromkeys(asked.split(" ")))
    if not client.may_have(scopes):
        raise Refusal("invalid_scope")
    return " ".join(scopes)


def _is_resource(text: str) -> bool:
    """RFC 8707 s2: an absolute URI without a fragment."""
    try:
        return bool(urlsplit(text).scheme) and "#" not in text
    except ValueError:
        return False
