"""OAuth 2.0 access tokens for Python APIs: may this request proceed, and as whom?

    validator = TokenValidator("https://as.example.com", audience="https://api.example.com")
    token = validator.validate(raw)                # sync
    token = await validator.validate_async(raw)    # async: same object, same caches

Adapters are in `tokenguard.integrations`, a local issuer for tests in `tokenguard.testing`.
"""

from . import profiles
from .challenge import Challenge
from .config import ANY_AUDIENCE, Issuer, KeyPolicy, TokenCache
from .denylist import Denylist
from .errors import (
    AccessDenied,
    ConfigurationError,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    RequestRefused,
    TokenGuardError,
    Unavailable,
)
from .introspection import Introspection
from .profiles import Profile
from .requirements import require_issuer
from .tenants import TenantIssuers
from .token import AccessToken
from .validator import TokenValidator

__all__ = [
    "ANY_AUDIENCE",
    "AccessDenied",
    "AccessToken",
    "Challenge",
    "ConfigurationError",
    "Denylist",
    "InsufficientAuthentication",
    "InsufficientScope",
    "Introspection",
    "InvalidRequest",
    "InvalidToken",
    "Issuer",
    "KeyPolicy",
    "MissingToken",
    "Profile",
    "Reason",
    "RequestRefused",
    "TenantIssuers",
    "TokenCache",
    "TokenGuardError",
    "TokenValidator",
    "Unavailable",
    "profiles",
    "require_issuer",
]
