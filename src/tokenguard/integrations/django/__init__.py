"""Django: an app with a middleware, and what views ask for.

INSTALLED_APPS = [..., "tokenguard.integrations.django"]
MIDDLEWARE = [..., "tokenguard.integrations.django.TokenGuardMiddleware"]
TOKENGUARD = {"VALIDATOR": "project.auth.validator"}

@require_scopes("read:users")
def users(request):
    token = get_token(request)
"""

from __future__ import annotations

from ._decorators import get_token, public, require_scopes, require_token
from ._middleware import TokenGuardMiddleware

__all__ = ["TokenGuardMiddleware", "get_token", "public", "require_scopes", "require_token"]
