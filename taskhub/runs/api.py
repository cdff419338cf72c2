"""`/runs`: every kind of run, listed, shown, followed, cancelled and tried again; and `/healthz`."""

import json
from collections.abc import Generator, Iterator
from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.openapi import PAGE, problems, response_header
from taskhub.runs.domain import State, oldest_id
from taskhub.runs.health import OK, parts
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.services import cancel, changes, enqueue, retry, visible_run
from taskhub.secrets import mask_value

EVENTS_SECONDS = 3600
KEEP_ALIVE_SECONDS = 15
OF_EVERY_LIST = {"limit", "cursor", "api_key"}

EXAMPLE = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
    "kind": "walker",
    "name": "echo",
    "owner": "d6851f2a-e4a1-4fca-b582-9db5e146af59",
    "state": "SUCCESS",
    "progress": None,
    "error": None,
    "attempt": 1,
    "parent": None,
    "retry_of": None,
    "schedule": "",
    "due_at": None,
    "not_before": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "started_at": "2026-01-31T12:00:00.004000Z",
    "finished_at": "2026-01-31T12:00:00.009000Z",
    "revision": 3,
}
EXAMPLE_WHOLE = EXAMPLE | {
    "arguments": {"ctx": {"value": "hello"}},
    "webhook": "",
    "result": {"success": True, "report": ["hello"]},
}


@extend_schema_field(
    {
        "type": ["object", "null"],
        "properties": {
            "done": {"type": "number"},
            "total": {"type": ["number", "null"]},
            "message": {"type": "string"},
        },
        "required": ["done", "total", "message"],
        "additionalProperties": False,
    }
)
class ProgressField(serializers.JSONField):
    pass


@extend_schema_field(
    {
        "type": ["object", "null"],
        "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        "required": ["type", "message"],
        "additionalProperties": False,
    }
)
class ErrorField(serializers.JSONField):
    pass


@extend_schema_field({})
class AnyField(serializers.JSONField):
    pass


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run without its arguments and result, which may be large."""

    owner = serializers.UUIDField(source="owner_id")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    retry_of = serializers.UUIDField(source="retry_of_id", allow_null=True)
    state = serializers.ChoiceField(choices=[str(state) for state in State])
    progress = ProgressField(help_text="When the work tells it.")
    error = ErrorField(help_text="Of the last attempt that failed.")

    class Meta:
        model = Run
        fields: ClassVar = list(EXAMPLE)


class WholeRunSerializer(RunSerializer):
    """A run with its arguments, secrets masked, and its result, which only its owner and staff can ask for."""

    arguments = serializers.SerializerMethodField()
    result = AnyField(help_text="What the work gave, any JSON; null when it gave nothing, or not yet.")

    class Meta(RunSerializer.Meta):
        fields: ClassVar = list(EXAMPLE_WHOLE)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_arguments(self, run: Run) -> Any:
        return mask_value(run.arguments)


class EventStreamRenderer(BaseRenderer):
    media_type = "text/event-stream"
    format = "events"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return json.dumps(data).encode()  # only problems come this way; the stream renders itself


EVENT = {  # each event, as OpenAPI 3.2 describes it
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"const": "run"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Run"},
        },
    },
    "required": ["id", "event", "data"],
}
EVENT_EXAMPLE = OpenApiExample(
    "The end of a run",
    {"id": "3", "event": "run", "data": json.dumps(EXAMPLE)},
    media_type="text/event-stream",
    status_codes=["200"],
)


class RunFilters(serializers.Serializer[Any]):
    """What `GET /runs` can be asked for."""

    kind = serializers.CharField(required=False, max_length=40, help_text="This kind only, such as `walker`")
    state = serializers.CharField(required=False, help_text="This state only; or several, separated by commas")
    name = serializers.CharField(required=False, max_length=200, help_text="This name only, such as a walker's")
    parent = serializers.UUIDField(required=False, help_text="Only what this run started")  # type: ignore[assignment]
    retry_of = serializers.UUIDField(required=False, help_text="Only what tried this run again")
    schedule = serializers.CharField(
        required=False, max_length=200, help_text="Only what this schedule started, by name"
    )
    since = serializers.DateTimeField(required=False, help_text="Accepted at this time or later (RFC 3339)")
    until = serializers.DateTimeField(required=False, help_text="Accepted before this time (RFC 3339)")

    def to_internal_value(self, data: Any) -> Any:
        """A misspelt filter that is left out would show, or have somebody work on, what was not asked for."""
        if unknown := [name for name in data if name not in OF_EVERY_LIST and name not in self.fields]:
            raise serializers.ValidationError({name[:100]: ["There is no such name here."] for name in unknown[:100]})
        return super().to_internal_value(data)

    def validate_state(self, text: str) -> list[str]:
        states = [state.strip().upper() for state in text.split(",")]
        if unknown := [state for state in states if state not in set(State)]:
            raise serializers.ValidationError(f"{unknown[0]!r} is no state; there are {', '.join(State)}.")
        return states

    @property
    def conditions(self) -> dict[str, Any]:
        """As keyword arguments of a queryset's filter; ids sort by time, so times are ids."""
        looks = {"state": "state__in", "since": "id__gte", "until": "id__lt"}
        values = {name: oldest_id(v) if name in {"since", "until"} else v for name, v in self.validated_data.items()}
        return {looks.get(name, name): value for name, value in values.items()}


ID = OpenApiParameter(
    "run_id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The run's id.",
    examples=[OpenApiExample("A run", EXAMPLE["id"], parameter_only=("run_id", OpenApiParameter.PATH))],
)
STATES = OpenApiParameter(
    "state",
    {"type": "array", "minItems": 1, "items": {"type": "string", "enum": [str(state) for state in State]}},
    description="These states only, separated by commas.",
    explode=False,
)


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "unavailable"])
    checks = serializers.DictField(
        child=serializers.CharField(), help_text="Each part by its name: `ok`, or what is wrong"
    )


WELL = {"database": OK, "broker": OK, "worker:walkers": OK, "beat": OK}


class HealthView(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()  # whoever watches the hub asks every few seconds

    @extend_schema(
        operation_id="healthz",
        summary="Ask whether the hub is whole",
        description="The database, the broker, a worker for each queue, and beat. Needs no credentials.",
        responses={
            200: HealthSerializer,
            503: OpenApiResponse(HealthSerializer, "Something is missing; `checks` names it."),
        },
        examples=[
            OpenApiExample("All is well", {"status": OK, "checks": WELL}, response_only=True, status_codes=["200"]),
            OpenApiExample(
                "No beat",
                {"status": "unavailable", "checks": WELL | {"beat": "no leader"}},
                response_only=True,
                status_codes=["503"],
            ),
        ],
        tags=["operating"],
    )
    def get(self, request: Request) -> Response:
        checks = parts()
        well = all(state == OK for state in checks.values())
        return Response({"status": OK if well else "unavailable", "checks": checks}, 200 if well else 503)


class RunsView(GenericAPIView[Run]):
    serializer_class = RunSerializer

    @extend_schema(
        operation_id="runs_list",
        summary="List runs",
        description="Newest first: your own runs; for staff everybody's.",
        parameters=[RunFilters, STATES, *PAGE],
        responses={200: RunSerializer(many=True), **problems(400, 401)},
        examples=[OpenApiExample("A run", EXAMPLE, response_only=True)],
        tags=["runs"],
    )
    def get(self, request: Request) -> Response:
        filters = RunFilters(data=request.query_params.dict())
        filters.is_valid(raise_exception=True)
        runs = Run.objects.visible_to(request.user).brief().filter(**filters.conditions)
        return self.get_paginated_response(RunSerializer(self.paginate_queryset(runs), many=True).data)


class RunView(APIView):
    @extend_schema(
        operation_id="runs_retrieve",
        summary="Show a run",
        description="Everything about one run: its arguments (secrets masked), progress, result and error.",
        parameters=[ID],
        responses={200: WholeRunSerializer, **problems(401, 404)},
        examples=[OpenApiExample("A run", EXAMPLE_WHOLE, response_only=True)],
        tags=["runs"],
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        return Response(WholeRunSerializer(visible_run(run_id=run_id, user=request.user)).data)


class CancelView(APIView):
    @extend_schema(
        operation_id="runs_cancel",
        summary="Cancel a run",
        description=(
            "A waiting run never starts; a running one is REVOKED at once and has no effect. A worker stops its work "
            "within 5 s; work that is made at once, for want of a worker, ends after its step or at its next progress."
        ),
        parameters=[ID],
        request=None,
        responses={200: RunSerializer, **problems(401, 403, 404, 409)},
        examples=[OpenApiExample("A run", EXAMPLE | {"state": "REVOKED"}, response_only=True)],
        tags=["runs"],
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        run = cancel(run=visible_run(run_id=run_id, user=request.user))
        return Response(RunSerializer(run).data)


class RetryView(APIView):
    @extend_schema(
        operation_id="runs_retry",
        summary="Try a run again",
        description="A new run with the same work; its `retry_of` is the old one, which must have ended.",
        parameters=[ID, KEY_PARAMETER, response_header("Location", "The new run's address.", 202)],
        request=None,
        responses={202: RunSerializer, **problems(400, 401, 403, 404, 409, 422)},
        examples=[OpenApiExample("A run", EXAMPLE | {"state": "PENDING"}, response_only=True, status_codes=["202"])],
        tags=["runs"],
    )
    def post(self, request: Request, run_id: UUID) -> Response:
        fresh: list[Run] = []
        response = answer_once(request, {}, lambda: self._accept(request, run_id, fresh))
        for run in fresh:
            enqueue(run)
        return response

    @staticmethod
    def _accept(request: Request, run_id: UUID, fresh: list[Run]) -> Response:
        fresh.append(retry(run=visible_run(run_id=run_id, user=request.user)))
        return Response(RunSerializer(fresh[0]).data, 202, headers={"Location": f"/runs/{fresh[0].pk}"})


class EventStream(StreamingHttpResponse):
    """Server-sent events of a run; its place among the open waits is free as soon as the client has left."""

    def __init__(self, first: Run, moves: Generator[Run, None, None]) -> None:
        super().__init__(_events(first, moves), content_type="text/event-stream")
        self["Cache-Control"], self["X-Accel-Buffering"] = "no-store", "no"
        self._moves = moves

    def close(self) -> None:
        super().close()
        self._moves.close()


class EventsView(APIView):
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(
        operation_id="runs_events",
        summary="Follow a run",
        description=(
            "Server-sent events (HTML standard, section 9.2) named `run`, one each time the run moves, whose data is "
            "the run and whose id is its revision. The first shows the run as it is, also after a resumption with "
            "`Last-Event-ID`; the last shows its end."
        ),
        parameters=[ID],
        responses={(200, "text/event-stream"): OpenApiResponse(EVENT, examples=[EVENT_EXAMPLE]), **problems(401, 404)},
        tags=["runs"],
    )
    def get(self, request: Request, run_id: UUID) -> EventStream:
        moves = changes(run_id=run_id, user=request.user, seconds=EVENTS_SECONDS, pulse=KEEP_ALIVE_SECONDS)
        first = next(moves)  # what refuses the call does so before the stream begins
        return EventStream(first, moves)


def _events(run: Run, moves: Iterator[Run]) -> Iterator[bytes]:
    told = 0
    while True:
        if run.revision != told:
            told = run.revision
            data = JSONRenderer().render(RunSerializer(run).data).decode()
            yield f"id: {told}\nevent: run\ndata: {data}\n\n".encode()
        else:
            yield b": still here\n\n"
        if run.ended or (following := next(moves, None)) is None:
            return
        run = following


urlpatterns = [
    path("healthz", HealthView.as_view()),
    path("runs", RunsView.as_view()),
    path("runs/<uuid:run_id>", RunView.as_view()),
    path("runs/<uuid:run_id>/cancel", CancelView.as_view()),
    path("runs/<uuid:run_id>/retry", RetryView.as_view()),
    path("runs/<uuid:run_id>/events", EventsView.as_view()),
]
