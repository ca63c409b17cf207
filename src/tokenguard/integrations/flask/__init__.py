"""Flask: the extension, and what views ask for.

TokenGuard(app, validator)

@app.get("/users")
@require_scopes("read:users")
def users():
    return {"caller": current_token.subject}
"""

from ._extension import TokenGuard
from ._views import current_token, get_token, public, require_scopes, require_token

__all__ = ["TokenGuard", "current_token", "get_token", "public", "require_scopes", "require_token"]
