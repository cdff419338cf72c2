"""Streams: listed, made, shown, changed, deleted."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import serialize_stream, serialize_streams
from crawlers.api.views import (
    DELETED,
    EnvelopeListView,
    EnvelopeView,
    created_response,
    enveloped,
    json_body,
    list_response,
    payload_response,
)
from crawlers.models import Stream
from crawlers.services import definitions
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.web.openapi.problem_responses import problems


def _meta(values: dict[str, Any]) -> dict[str, Any]:
    """The `meta` of a body. Its `name` may stand beside `meta`, too."""
    meta = dict(values.get("meta") or {})
    return meta | ({"name": values["name"]} if values.get("name") else {})


class StreamsView(EnvelopeListView):
    @extend_schema(
        operation_id="streams_list", responses={200: list_response("Streams", shown.STREAM_SCHEMA, shown.STREAM)}
    )
    def get(self, request: Request) -> Response:
        """List streams."""
        self.check_query(request)
        return self.page(Stream.objects.visible_to(request.user), serialize_streams)

    @extend_schema(
        operation_id="streams_create",
        request=json_body(request_models.STREAM),
        responses={201: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM)},
        examples=[OpenApiExample("A stream", {"meta": {"name": "shoes"}}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a stream."""
        meta = _meta(self.check_body(request, request_models.STREAM))
        stream = definitions.create_stream(owner=request.user, meta=meta)
        return created_response(stream, serialize_stream(stream, None, None), "streams")


class StreamView(EnvelopeView):
    @extend_schema(
        operation_id="streams_retrieve",
        responses={200: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a stream.

        With its crawler, its latest task and that task's status.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        return enveloped(serialize_streams([stream])[0], stream.version)

    @extend_schema(
        operation_id="streams_change",
        request=json_body(request_models.STREAM),
        responses={200: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM), **problems(409)},
        examples=[OpenApiExample("A change", {"meta": {"name": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a stream's name and meta."""
        stream = Stream.objects.get_visible(request.user, fid)
        change = _meta(self.check_body(request, request_models.STREAM))
        definitions.change_meta(row=stream, meta=merge_patch(stream.meta, change))
        return enveloped(serialize_streams([stream])[0], stream.version)

    @extend_schema(operation_id="streams_delete", responses={200: DELETED})
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a stream.

        With its crawler, its tasks and its documents; a running task is stopped.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        definitions.delete_stream(stream=stream)
        return enveloped(None, stream.version + 1)
