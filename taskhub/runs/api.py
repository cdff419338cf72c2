"""`/runs`: every kind of run, listed, shown, followed, cancelled and tried again."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import Field
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.errors import Forbidden
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.queue import cancel, retry, retry_with, visible_run
from taskhub.runs.queue.wait_reasons import waits_of
from taskhub.runs.run_filter import RunFilters
from taskhub.runs.run_kinds import kind_or_default
from taskhub.runs.run_pages import RunPagination
from taskhub.runs.serializers import EXAMPLE, EXAMPLE_WHOLE, ID, RunSerializer, WholeRunSerializer
from taskhub.runs.waits import stream_of_events
from taskhub.security.scopes import KeyScope, require_scopes
from taskhub.web.front.responses import EventStreamResponse
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.views import CheckedView

_OTHER_ARGUMENTS = Annotated[dict[str, Any] | None, Field(description="Others than before; what they leave out stays.")]
_RETRY = ObjectSchema("RetrySent", {"arguments": (_OTHER_ARGUMENTS, None)})


class EventStreamRenderer(BaseRenderer):
    media_type = "text/event-stream"
    format = "events"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # only problems come this way; the stream renders itself


EVENT_EXAMPLE = OpenApiExample(
    "The end of a run",
    f"id: 3\nevent: run\ndata: {json.dumps(EXAMPLE)}\n\n",
    media_type="text/event-stream",
    status_codes=["200"],
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", str, OpenApiParameter.HEADER, description="The id of the last event that was seen."
)


class RunListView(CheckedView, GenericAPIView[Run]):
    serializer_class = RunSerializer
    pagination_class = RunPagination
    list_parameters = frozenset({"state", "kind", "name", "owner", "tag", "error"})

    @extend_schema(
        operation_id="runs_list",
        parameters=[RunFilters],
        responses={200: RunSerializer(many=True)},
        examples=[OpenApiExample("A run", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List runs.

        Newest first: your own runs; for staff everybody's. All that is said must be fulfilled. Where few of many runs
        fulfil it, a page may be short or even empty before the end: go on while there is a `next`.
        """
        filters = self.read_query(request, RunFilters).filter
        filters.check_viewer(request.user)
        runs = filters.narrow(Run.objects.visible_to(request.user).brief())
        page = self.paginate_queryset(runs) or []
        return self.get_paginated_response(RunSerializer(page, many=True, context={"waits": waits_of(page)}).data)


class RunDetailView(CheckedView):
    @extend_schema(
        operation_id="runs_retrieve",
        parameters=[ID],
        responses={200: WholeRunSerializer},
        examples=[OpenApiExample("A run", EXAMPLE_WHOLE, response_only=True)],
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        """Show a run.

        Everything about one run: its arguments (secrets masked), progress, result and error. Staff see the secrets of
        others' results masked, too.
        """
        run = visible_run(run_id=run_id, user=request.user)
        return Response(WholeRunSerializer(run, context={"viewer": request.user}).data)


class CancelRunView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="runs_cancel",
        parameters=[ID],
        responses={200: RunSerializer, **problems(409)},
        examples=[OpenApiExample("A run", EXAMPLE | {"state": "REVOKED"}, response_only=True)],
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Cancel a run.

        A waiting run never starts; a running one is REVOKED at once and has no effect. A worker stops its work within 5
        s; work that is made at once, for want of a worker, ends after its step or at its next progress.
        """
        run = cancel(run=visible_run(run_id=run_id, user=request.user))
        return Response(RunSerializer(run).data)


class RetryRunView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="runs_retry",
        parameters=[ID, KEY_PARAMETER, response_header("Location", "The new run's address.", 202)],
        request={"application/json": _RETRY.schema()},
        responses={202: RunSerializer},
        examples=[
            OpenApiExample("As it was", {}, request_only=True),
            OpenApiExample("A walker with another ctx", {"arguments": {"ctx": {"value": "hi"}}}, request_only=True),
            OpenApiExample("A run", EXAMPLE | {"state": "PENDING"}, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        """Try a run again.

        A new run with the same work; its `retry_of` is the old one, which must have ended. What its owner needed to
        start it is asked again. `arguments`, which its owner alone may give, are others: of a walker `ctx`, `nd` or
        `snt`; a sequence, or of a stored one `inputs` or `version`; of an extraction `payload`, which is merged into
        the old one, or `maxCredits`, for a new process; of a crawler `params`, for a new task. They are checked as
        those of a new call.
        """
        arguments = self.check_body(request, _RETRY).get("arguments")

        def produce() -> Response:
            run = visible_run(run_id=run_id, user=request.user)
            return _accepted_again(request, run, arguments)

        return answer_once(request, {} if arguments is None else {"arguments": arguments}, produce)


def _accepted_again(request: Request, run: Run, arguments: Mapping[str, Any] | None) -> Response:
    require_scopes(request.auth, kind_or_default(run.kind).key_scopes(run.arguments))
    if arguments is None:
        run = retry(run=run)
    elif run.owner_id != request.user.pk:
        raise Forbidden("Only its owner gives a run other arguments.")
    else:
        with transaction.atomic():  # which scopes it needs is known when they have been read
            run = retry_with(run=run, arguments=arguments)
            require_scopes(request.auth, kind_or_default(run.kind).key_scopes(run.arguments))
    return Response(RunSerializer(run).data, 202, headers={"Location": f"/runs/{run.pk}"})


class EventsView(CheckedView):
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(
        operation_id="runs_events",
        parameters=[ID, LAST_EVENT_ID],
        responses={
            (200, "text/event-stream"): OpenApiResponse(str, "The events", [EVENT_EXAMPLE]),
            204: OpenApiResponse(None, "`Last-Event-ID` is that of the end: there is nothing more to say."),
        },
    )
    def get(self, request: Request, run_id: UUID) -> EventStreamResponse | Response:
        """Follow a run.

        Server-sent events (HTML standard, section 9.2) named `run`, one each time the run moves, whose data is the run
        (the schema `Run`) and whose id is its revision. The first shows the run as it is, also after a resumption with
        `Last-Event-ID`; the last shows its end.
        """
        return stream_of_events(request, run_id=run_id)


urlpatterns = [
    path("runs", RunListView.as_view()),
    path("runs/<uuid:run_id>", RunDetailView.as_view()),
    path("runs/<uuid:run_id>/cancel", CancelRunView.as_view()),
    path("runs/<uuid:run_id>/retry", RetryRunView.as_view()),
    path("runs/<uuid:run_id>/events", EventsView.as_view()),
]
