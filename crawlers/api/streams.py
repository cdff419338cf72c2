"""Streams: listed, made, shown, changed, deleted."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api import request_models
from crawlers.api.serializers import retention_of, serialize_stream, serialize_streams
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
from crawlers.models import Stream
from crawlers.services import definitions
from crawlers.services.stream_statistics import describe_stream
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.openapi.schemas import response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match


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
        parameters=[KEY_PARAMETER, ETAG, response_header("Location", "The stream's address.", 201)],
        request=json_body(request_models.STREAM),
        responses={201: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM)},
        examples=[OpenApiExample("A stream", {"meta": {"name": "shoes"}}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a stream."""
        values = self.check_body(request, request_models.STREAM)

        def produce() -> Response:
            retention = values.get("retention")
            stream = definitions.create_stream(owner=request.user, meta=_meta(values), retention=retention)
            return created_response(stream, serialize_stream(stream, None, None), "streams")

        return answer_once(request, values, produce)


class StreamView(EnvelopeView):
    @extend_schema(
        operation_id="streams_retrieve",
        parameters=[ETAG],
        responses={200: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a stream.

        With its crawler, its latest task and that task's status.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        return versioned_response(stream, serialize_streams([stream])[0])

    @extend_schema(
        operation_id="streams_change",
        parameters=[IF_MATCH, ETAG],
        request=json_body(request_models.STREAM),
        responses={200: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM), **IS_VERSIONED},
        examples=[OpenApiExample("A change", {"meta": {"name": "boots"}}, request_only=True)],
    )
    def patch(self, request: Request, fid: UUID) -> Response:
        """Change a stream's name, meta and retention.

        Merged recursively into what stands: null takes a member away, lists are replaced (RFC 7396).
        """
        sent = self.read_object(request)
        values = request_models.STREAM.check(sent)
        with locked_row(request, Stream.objects, fid) as stream:
            if "retention" in sent:
                retention = values["retention"]
                definitions.set_retention(stream, {} if retention is None else retention_of(stream) | retention)
            return self._save(stream, merge_patch(stream.meta, _meta(values)))

    @extend_schema(
        operation_id="streams_replace",
        parameters=[IF_MATCH, ETAG],
        request=json_body(request_models.STREAM),
        responses={200: payload_response("The stream", shown.STREAM_SCHEMA, shown.STREAM), **IS_VERSIONED},
        examples=[OpenApiExample("A stream", {"meta": {"name": "shoes"}}, request_only=True)],
    )
    def put(self, request: Request, fid: UUID) -> Response:
        """Replace a stream's name, meta and retention.

        Its crawler, tasks and documents stay.
        """
        values = self.check_body(request, request_models.STREAM)
        with locked_row(request, Stream.objects, fid) as stream:
            definitions.set_retention(stream, values.get("retention") or {})
            return self._save(stream, _meta(values))

    @staticmethod
    def _save(stream: Stream, meta: dict[str, Any]) -> Response:
        definitions.change_meta(row=stream, meta=meta)
        return versioned_response(stream, serialize_streams([stream])[0])

    @extend_schema(operation_id="streams_delete", parameters=[IF_MATCH], responses=DELETED)
    def delete(self, request: Request, fid: UUID) -> Response:
        """Delete a stream.

        With its crawler, its tasks and its documents; a running task is stopped.
        """
        stream = Stream.objects.get_visible(request.user, fid)
        check_if_match(request, stream.version)
        definitions.delete_stream(stream=stream)
        return enveloped(None, stream.version + 1)


class StreamStatisticsView(EnvelopeView):
    @extend_schema(
        operation_id="streams_stats",
        responses={200: payload_response("Statistics", shown.STATISTICS_SCHEMA, shown.STATISTICS, version=0)},
    )
    def get(self, request: Request, fid: UUID) -> Response:
        """Show statistics of a stream.

        Its fields, from a sample of up to 1,000 documents that is spread over the stream: in how many each is, with
        which types, how often it is null, and examples. And how many documents uploads inserted and updated on each of
        the last 90 days with any, in UTC.
        """
        self.check_query(request)
        return enveloped(describe_stream(stream=Stream.objects.get_visible(request.user, fid)))
