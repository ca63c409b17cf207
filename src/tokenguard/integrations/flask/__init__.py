"""Flask: the extension, and what views ask for.

TokenGuard(app, validator)

@app.get("/users")
@require_scopes("read:users")
def users():
    return {"caller": current_token.subject}
"""

from ._decorators import current_token, get_token, public, require_scopes, require_token
from ._extension import TokenGuard

__all__ = ["TokenGuard", "current_token", "get_token", "public", "require_scopes", "require_token"]
