"""The middleware for any ASGI application. It needs no framework.

async def app(scope, receive, send):
    token = scope["tokenguard.token"]

app = TokenGuardMiddleware(app, validator)
"""

from __future__ import annotations

from ._middleware import TokenGuardMiddleware
from ._types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ASGIApp", "Message", "Receive", "Scope", "Send", "TokenGuardMiddleware"]
