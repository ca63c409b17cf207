"""FastAPI: the guard of an app, and the dependency by which its routes ask for a token.

guard = TokenGuard(validator, scopes={"read:users": "See who is there"})
guard.install(app)

@app.get("/users")
async def users(token: Annotated[AccessToken, Security(guard, scopes=["read:users"])]) -> list[str]: ...
"""

from __future__ import annotations

from ._guard import TokenGuard

__all__ = ["TokenGuard"]
