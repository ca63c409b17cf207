"""A user that is no row of any table."""

from __future__ import annotations

from collections.abc import Collection

from ...token import AccessToken


class TokenUser:
    """`request.user` of a request with a token, unless `TOKENGUARD["USER"]` gives another. It is no row of a table.

    Attributes:
        token: all that is known of it.
        pk: issuer and subject: two issuers may have the same subject. Throttling counts by it.
    """

    is_authenticated = True
    is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, token: AccessToken) -> None:
        self.token = token
        self.pk = self.id = f"{token.issuer}#{token.subject or token.client_id or ''}"

    def __str__(self) -> str:
        return self.get_username()

    def get_username(self) -> str:
        return self.token.subject or self.token.client_id or ""

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's permissions are granted to rows of its tables, and so never to a token."""
        return False

    def has_perms(self, perm_list: Collection[str], obj: object = None) -> bool:
        return not perm_list
