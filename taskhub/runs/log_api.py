"""`/runs/{id}/logs`: what a run has logged, page by page, as lines of JSON, or followed while it goes on."""

import json
import logging
from uuid import UUID

from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from taskhub.runs.api import LAST_EVENT_ID, EventStreamRenderer
from taskhub.runs.models import LogLine
from taskhub.runs.queue import visible_run
from taskhub.runs.serializers import ID, LOG_LEVELS, LOG_LINE_EXAMPLE, LogLineSerializer
from taskhub.runs.waits import stream_of_log
from taskhub.web.cursor_pagination import OldestFirstPagination
from taskhub.web.ndjson import NDJSON, STRICT, NdjsonRenderer, StrictNegotiation, ndjson_example, stream_response
from taskhub.web.query_values import AnyCaseChoice, FlagFilter
from taskhub.web.views import CheckedView, QuerySerializer

EVENTS = "text/event-stream"
EVENT_EXAMPLE = OpenApiExample(
    "A line, and the end of the run",
    f'id: 7\nevent: log\ndata: {json.dumps(LOG_LINE_EXAMPLE)}\n\nid: 7\nevent: end\ndata: {{"state": "SUCCESS"}}\n\n',
    media_type=EVENTS,
    status_codes=["200"],
)
LINE_EXAMPLE = f"{json.dumps(LOG_LINE_EXAMPLE)}\n"


class LogFilters(QuerySerializer):
    """The query of `GET /runs/{id}/logs`."""

    level = AnyCaseChoice(list(LOG_LEVELS), required=False, help_text="Lines of this level, and of those above it")
    follow = FlagFilter(required=False, help_text="Server-sent events: lines as they come, until the run ends")
    moves = FlagFilter(
        required=False, help_text="Of events: those named `run` as well, as `/runs/{id}/events` sends them"
    )
    after = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**63 - 1,
        help_text="Lines behind the one with this id, as events have it",
    )


class RunLogView(CheckedView, GenericAPIView[LogLine]):
    serializer_class = LogLineSerializer
    pagination_class = OldestFirstPagination
    renderer_classes = (JSONRenderer, NdjsonRenderer, EventStreamRenderer)
    content_negotiation_class = StrictNegotiation
    queryset = LogLine.objects.none()

    @extend_schema(
        operation_id="runs_logs",
        tags=["runs"],
        parameters=[ID, LogFilters, LAST_EVENT_ID],
        responses={
            200: LogLineSerializer(many=True),
            (200, NDJSON): OpenApiResponse(str, "The lines", [ndjson_example("A line", LINE_EXAMPLE)]),
            (200, EVENTS): OpenApiResponse(str, "The events", [EVENT_EXAMPLE]),
            204: OpenApiResponse(None, "`Last-Event-ID` is that of the end: there is nothing more to say."),
            **STRICT,
        },
        examples=[OpenApiExample("A line", LOG_LINE_EXAMPLE, response_only=True, status_codes=["200"])],
    )
    def get(self, request: Request, run_id: UUID) -> HttpResponseBase:
        """Read the log of a run.

        What its work logged and printed, and the traceback of what failed, oldest first. Page by page; with `Accept:
        application/x-ndjson` all lines at once; with `follow`, or `Accept: text/event-stream`, server-sent events named
        `log`, whose id is the line's, and one named `end`; with `moves` those of the run, too. A log has up to 10,000
        lines or 5 MiB, without secrets, and is kept as long as its run.
        """
        query = self.check_query(request, LogFilters)
        level = logging.getLevelNamesMapping()[query["level"]] if "level" in query else 0
        run = visible_run(run_id=run_id, user=request.user)
        if query.get("follow") or isinstance(request.accepted_renderer, EventStreamRenderer):
            moves = bool(query.get("moves"))
            return stream_of_log(request, run_id=run.pk, level=level, after=query.get("after", 0), moves=moves)
        lines = LogLine.objects.filter(run=run, level__gte=level, pk__gt=query.get("after", 0))
        if isinstance(request.accepted_renderer, NdjsonRenderer):
            render = JSONRenderer().render
            pieces = [render(LogLineSerializer(line).data) + b"\n" for line in lines]
            return stream_response(request, iter([b"".join(pieces)]), f"run-{run.pk}")
        return self.get_paginated_response(LogLineSerializer(self.paginate_queryset(lines), many=True).data)


urlpatterns = [path("runs/<uuid:run_id>/logs", RunLogView.as_view())]
