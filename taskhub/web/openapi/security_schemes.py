"""How a caller is known, in the OpenAPI document."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from taskhub.security.scopes import scope_of


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: token <token>` (or `Bearer`, in any case). `POST /user/token/` gives one.",
        }


class HeaderSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.HeaderSession"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.ApiKeyAuthentication"
    name = ["apiKeyHeader", "apiKeyQuery"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, str]]:
        said = "`POST /user/apikey` gives one. It needs the scope that a call names as its role."
        return [
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": said},
            {"type": "apiKey", "in": "query", "name": "api_key", "description": said},
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        """Either, not both; the scope stands as a role, as OpenAPI 3.1 has it for what is not OAuth."""
        scope = scope_of(auto_schema.view, auto_schema.method)
        return [{name: [str(scope)]} for name in self.name]
