"""Externals: registered crawlers; listed, shown, changed, deleted."""

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import enveloped, external_of, external_values
from crawlers.api.views import (
    GONE,
    CrawlersList,
    CrawlersView,
    answer,
    body,
    created,
    found,
    listing,
)
from crawlers.models import External
from crawlers.services import definitions
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.web.openapi.problem_responses import problems

SENT = OpenApiExample("An external", shown.SENT_EXTERNAL, request_only=True)


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    """Of the model, from the checked values of the wire."""
    return {
        "meta": values["meta"],
        "endpoint": values["endpoint"],
        "credential": values.get("credential") or "none",
        "parameters": values.get("parameters", []),
        "schema": values.get("schema"),
        "id_field": values.get("docIdField") or "",
        "headers": values.get("headers", {}),
        "timeout": values.get("timeout", 3600),
    }


class ExternalsView(CrawlersList):
    @extend_schema(
        operation_id="externals_list", responses={200: listing("Externals", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)}
    )
    def get(self, request: Request) -> Response:
        """List externals."""
        self.check_query(request)
        rows = External.objects.visible_to(request.user)
        return self.listed(rows, lambda found: [external_of(one) for one in found])

    @extend_schema(
        operation_id="externals_create",
        request=body(request_models.EXTERNAL),
        responses={201: answer("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)},
        examples=[SENT],
    )
    def post(self, request: Request) -> Response:
        """Register an external crawler."""
        values = _fields(self.check_body(request, request_models.EXTERNAL))
        external = definitions.save_external(external=External(owner_id=cast(UUID, request.user.pk)), values=values)
        return created(external, external_of(external), "externals")


class ExternalView(CrawlersView):
    @extend_schema(
        operation_id="externals_retrieve",
        responses={200: answer("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show an external."""
        external = found(External, request.user, fid)
        return enveloped(external_of(external), external.version)

    @extend_schema(
        operation_id="externals_change",
        request={"application/json": {"type": "object"}},
        responses={200: answer("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL), **problems(409)},
        examples=[OpenApiExample("A change", {"timeout": 60}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change an external.

        Merged recursively into what stands: null takes a member away, lists are replaced (RFC 7396).
        """
        external = found(External, request.user, fid)
        change = self.read_object(request)
        return self._save(external, request_models.EXTERNAL.check(merge_patch(external_values(external), change)))

    @extend_schema(
        operation_id="externals_replace",
        request=body(request_models.EXTERNAL),
        responses={200: answer("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL), **problems(409)},
        examples=[SENT],
    )
    def put(self, request: Request, fid: UUID) -> Response:
        """Replace an external."""
        external = found(External, request.user, fid)
        return self._save(external, self.check_body(request, request_models.EXTERNAL))

    @staticmethod
    def _save(external: External, values: dict[str, Any]) -> Response:
        external = definitions.save_external(external=external, values=_fields(values))
        return enveloped(external_of(external), external.version)

    @extend_schema(operation_id="externals_delete", responses={200: GONE, **problems(409)})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete an external.

        409 while crawlers use it.
        """
        external = found(External, request.user, fid)
        definitions.delete_external(external=external)
        return enveloped(None, external.version + 1)
