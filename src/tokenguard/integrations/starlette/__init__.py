"""Starlette: the middleware, and what routes ask for.

app = Starlette(routes=[...], middleware=[Middleware(TokenGuardMiddleware, validator=validator)])

@require_scopes("read:users")
async def users(request: Request) -> Response:
    token = get_token(request)
"""

from __future__ import annotations

from ._decorators import get_token, require_scopes, require_token
from ._middleware import TokenGuardMiddleware, TokenUser

__all__ = ["TokenGuardMiddleware", "TokenUser", "get_token", "require_scopes", "require_token"]
