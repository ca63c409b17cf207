"""What drf-spectacular is told about `TokenAuthentication`."""

from __future__ import annotations

from typing import Any


def describe() -> None:
    """Register a bearer scheme. Importing drf-spectacular needs settings, so that this can be no module's own code."""
    from drf_spectacular.extensions import OpenApiAuthenticationExtension
    from drf_spectacular.settings import spectacular_settings

    class _Scheme(OpenApiAuthenticationExtension):  # being defined registers it
        target_class = "tokenguard.integrations.rest_framework.TokenAuthentication"
        match_subclasses = True
        name = "bearerAuth"

        def get_security_definition(self, auto_schema: object) -> dict[str, str]:
            return {"type": "http", "scheme": "bearer"}

        def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
            from ..rest_framework._authentication import scopes_of

            # OpenAPI 3.0 wants nothing named for a scheme of this type, 3.1 lets it.
            silent = spectacular_settings.OAS_VERSION.startswith("3.0")
            return {self.name: [] if silent else list(scopes_of(auto_schema.view.get_permissions()))}
