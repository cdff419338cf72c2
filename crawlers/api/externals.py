"""Externals: registered crawlers; listed, shown, changed, deleted."""

from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api.external_request import EXTERNAL
from crawlers.api.request_models import modern_names
from crawlers.api.serializers import external_body, serialize_external
from crawlers.api.views import (
    DELETED,
    IS_VERSIONED,
    EnvelopeListView,
    EnvelopeView,
    created_response,
    enveloped,
    json_body,
    list_response,
    locked_row,
    payload_response,
    versioned_response,
)
from crawlers.models import External
from crawlers.services import definitions
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match

SENT = OpenApiExample("An external", shown.SENT_EXTERNAL, request_only=True)


class ExternalsView(EnvelopeListView):
    @extend_schema(
        operation_id="externals_list",
        responses={200: list_response("Externals", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)},
    )
    def get(self, request: Request) -> Response:
        """List externals."""
        self.check_query(request)
        rows = External.objects.visible_to(request.user)
        return self.page(rows, lambda externals: [serialize_external(external, request.user) for external in externals])

    @extend_schema(
        operation_id="externals_create",
        parameters=[KEY_PARAMETER, ETAG, response_header("Location", "The external's address.", 201)],
        request=json_body(EXTERNAL),
        responses={201: payload_response("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)},
        examples=[SENT],
    )
    def post(self, request: Request) -> Response:
        """Register an external crawler.

        Older words are taken, too, and given back as they were sent: `req` for `required`, `display_name` for `label`,
        restrictions of `rule` and `target`, `credential` as `{"oauth": address}`.
        """
        values = EXTERNAL.check(modern_names(self.read_object(request)))

        def produce() -> Response:
            external = definitions.save_external(external=External(owner_id=cast(UUID, request.user.pk)), values=values)
            return created_response(external, serialize_external(external, request.user), "externals")

        return answer_once(request, values, produce)


class ExternalView(EnvelopeView):
    @extend_schema(
        operation_id="externals_retrieve",
        parameters=[ETAG],
        responses={200: payload_response("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show an external."""
        external = External.objects.get_visible(request.user, fid)
        return versioned_response(external, serialize_external(external, request.user))

    @extend_schema(
        operation_id="externals_change",
        parameters=[IF_MATCH, ETAG],
        request={"application/json": {"type": "object"}},
        responses={200: payload_response("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL), **IS_VERSIONED},
        examples=[OpenApiExample("A change", {"timeout": 60}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change an external.

        Merged recursively into what stands: null takes a member away, lists are replaced (RFC 7396). An `endpoint` of
        another origin does not get the headers of before: each is to be given again, or taken away by null. Nor does it
        get the secrets of crawlers, which are given again by `PATCH /crawlers/{fid}`.
        """
        change = modern_names(self.read_object(request))
        with locked_row(request, External.objects, fid) as external:
            return self._save(request, external, EXTERNAL.check(merge_patch(external_body(external), change)))

    @extend_schema(
        operation_id="externals_replace",
        parameters=[IF_MATCH, ETAG],
        request=json_body(EXTERNAL),
        responses={200: payload_response("The external", shown.EXTERNAL_SCHEMA, shown.EXTERNAL), **IS_VERSIONED},
        examples=[SENT],
    )
    def put(self, request: Request, fid: UUID) -> Response:
        """Replace an external."""
        values = EXTERNAL.check(modern_names(self.read_object(request)))
        with locked_row(request, External.objects, fid) as external:
            return self._save(request, external, values)

    @staticmethod
    def _save(request: Request, external: External, values: dict[str, Any]) -> Response:
        external = definitions.save_external(external=external, values=values)
        return versioned_response(external, serialize_external(external, request.user))

    @extend_schema(operation_id="externals_delete", parameters=[IF_MATCH], responses={**DELETED, **problems(409)})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete an external.

        409 while crawlers use it.
        """
        external = External.objects.get_visible(request.user, fid)
        check_if_match(request, external.version)
        definitions.delete_external(external=external)
        return enveloped(None, external.version + 1)
