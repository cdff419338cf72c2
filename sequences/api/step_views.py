"""`/sequences/runs/{id}/steps` and `/tree`: what a run did, in time, live, and in the order of the program."""

import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sequences.api.run_views import ID, SequenceView
from sequences.models import SequenceStep
from sequences.serializers import (
    EXAMPLE_STEP,
    NumberedStepSerializer,
    StepTreeSerializer,
    WholeStepSerializer,
)
from sequences.services.sequence_runs import sequence_run
from sequences.services.step_recorder import steps_topic
from sequences.services.step_trees import StepTreePage, read_step_tree
from taskhub.runs.api import LAST_EVENT_ID, EventStreamRenderer
from taskhub.runs.waits import stream_of_rows
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.ndjson import STRICT, StrictNegotiation
from taskhub.web.query_values import FlagFilter
from taskhub.web.views import QuerySerializer

EVENTS = "text/event-stream"
EXAMPLE_NUMBERED = {"number": 1, **EXAMPLE_STEP}
EXAMPLE_TREE = {
    "results": [{"path": "requests[0]", "name": "requests[0]", "records": [EXAMPLE_NUMBERED], "children": []}],
    "next": None,
}
EVENT_EXAMPLE = OpenApiExample(
    "A step, and the end of the run",
    f'id: 1\nevent: step\ndata: {json.dumps(EXAMPLE_NUMBERED)}\n\nid: 1\nevent: end\ndata: {{"state": "SUCCESS"}}\n\n',
    media_type=EVENTS,
    status_codes=["200"],
)


class StepPagination(NewestFirstPagination):
    ordering = "number"


class StepFilters(QuerySerializer):
    """The query of `GET /sequences/runs/{id}/steps`."""

    follow = FlagFilter(required=False, help_text="Server-sent events: steps as they end, until the run ends")


class StepTreeFilters(QuerySerializer):
    """The query of `GET /sequences/runs/{id}/tree`."""

    under = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=10_000,
        help_text="Only what belongs to this path, such as requests[1].__def_loop__[3]",
    )
    after = serializers.IntegerField(
        default=None, min_value=1, max_value=2**31 - 1, help_text="The number of the last step that was shown"
    )
    limit = serializers.IntegerField(default=100, min_value=1, max_value=1000, help_text="Of steps on a page")


class SequenceStepsView(SequenceView, GenericAPIView[SequenceStep]):
    serializer_class = WholeStepSerializer
    pagination_class = StepPagination
    renderer_classes = (JSONRenderer, EventStreamRenderer)
    content_negotiation_class = StrictNegotiation

    @extend_schema(
        operation_id="sequences_runs_steps",
        parameters=[ID, StepFilters, LAST_EVENT_ID],
        responses={
            200: WholeStepSerializer(many=True),
            (200, EVENTS): OpenApiResponse(str, "The events", [EVENT_EXAMPLE]),
            204: OpenApiResponse(None, "`Last-Event-ID` is that of the end: there is nothing more to say."),
            **STRICT,
        },
        examples=[
            OpenApiExample(
                "A step",
                {**EXAMPLE_NUMBERED, "sent": '{"headers": {}, "body": null}', "answer": '{"status": "ok"}'},
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        """List the steps of a run.

        In the order in which they ended, each with what was sent and answered: secrets masked, long texts cut. With
        `follow`, or `Accept: text/event-stream`, server-sent events named `step`, without what was exchanged, whose id
        is the step's number, and one named `end`.
        """
        query = self.check_query(request, StepFilters)
        run = sequence_run(run_id=id, user=request.user)
        steps = SequenceStep.objects.filter(run=run)
        if not (query.get("follow") or isinstance(request.accepted_renderer, EventStreamRenderer)):
            return self.get_paginated_response(WholeStepSerializer(self.paginate_queryset(steps), many=True).data)

        def steps_after(position: int, most: int) -> list[tuple[int, Any]]:
            new = steps.filter(number__gt=position).order_by("number").defer("sent", "answer")[:most]
            return [(step.number, NumberedStepSerializer(step).data) for step in new]

        return stream_of_rows(request, run_id=id, topic=steps_topic(id), name="step", rows_after=steps_after)


class SequenceTreeView(SequenceView):
    @extend_schema(
        operation_id="sequences_runs_tree",
        parameters=[ID, StepTreeFilters],
        responses={200: StepTreeSerializer},
        examples=[OpenApiExample("A tree of one step", EXAMPLE_TREE, response_only=True)],
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show the steps of a run as a tree.

        In the order of the program: a step's `records` are its attempts and pages, its `children` the items of its
        loop, its branches, the steps of the sequence that it called, and those of its `catch`. On a later page the
        nodes that go on come again, without the records of pages before.
        """
        query = self.check_query(request, StepTreeFilters)
        page = read_step_tree(run=sequence_run(run_id=id, user=request.user), **query)
        return Response({"results": _as_json(page), "next": _next_link(page, id, query)})


def _as_json(page: StepTreePage) -> list[dict[str, Any]]:
    """The nodes with their children, made without recursion: steps of sequences that call each other stand deep."""
    roots: list[dict[str, Any]] = []
    open_lists = [roots]  # those of the nodes in which the present one stands
    for node in page.walk():
        records = NumberedStepSerializer(node.records, many=True).data
        children: list[dict[str, Any]] = []
        del open_lists[node.depth + 1 :]
        open_lists[-1].append({"path": node.path, "name": node.name, "records": records, "children": children})
        open_lists.append(children)
    return roots


def _next_link(page: StepTreePage, run_id: UUID, query: dict[str, Any]) -> str | None:
    if page.last is None:
        return None
    asked = {name: value for name, value in {**query, "after": page.last}.items() if value}
    return f"{settings.PUBLIC_URL}/sequences/runs/{run_id}/tree?{urlencode(asked)}"


urlpatterns = [
    path("sequences/runs/<uuid:id>/steps", SequenceStepsView.as_view()),
    path("sequences/runs/<uuid:id>/tree", SequenceTreeView.as_view()),
]
