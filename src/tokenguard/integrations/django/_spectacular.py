"""What drf-spectacular is told about `TokenAuthentication`."""

from __future__ import annotations


def describe() -> None:
    """Register a bearer scheme. Importing drf-spectacular needs settings, so that this can be no module's own code."""
    from drf_spectacular.extensions import OpenApiAuthenticationExtension

    class _Scheme(OpenApiAuthenticationExtension):  # being defined registers it
        target_class = "tokenguard.integrations.rest_framework.TokenAuthentication"
        match_subclasses = True
        name = "bearerAuth"

        def get_security_definition(self, auto_schema: object) -> dict[str, str]:
            return {"type": "http", "scheme": "bearer"}
