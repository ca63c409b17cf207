"""Small applications, bare and protected, to be served and loaded; each module makes those of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokenguard import Issuer, TokenValidator

PATH: Final = "/things"
SCOPE: Final = "read:things"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Whose tokens an application takes, and where that issuer's documents are."""

    issuer: str
    audience: str
    jwks_uri: str
    metadata_url: str


def validator_for(setting: Setting) -> TokenValidator:
    """As documented, with the default cache."""
    return TokenValidator(Issuer(setting.issuer, jwks_uri=setting.jwks_uri), audience=setting.audience)
