"""Django REST framework: its authentication, and a permission that asks for scopes.

class Users(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [HasScopes("read:users")]

    def get(self, request):
        token = request.auth
"""

from __future__ import annotations

from ._answers import exception_handler
from ._authentication import TokenAuthentication
from ._permissions import HasScopes
from ._user import TokenUser

__all__ = ["HasScopes", "TokenAuthentication", "TokenUser", "exception_handler"]
