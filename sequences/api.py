"""`/sequences`, for staff: sequences checked, run, and read step by step."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sequences.models import SequenceStep
from sequences.services.sequence_runs import KIND, check, sequence_run, submit_sequence
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.serializers import AnyField, ErrorField, RunFilters
from taskhub.runs.waits import answer_when_ended
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.rest_policies import JsoncParser

STEPS_MAX = 1000
EXAMPLE_ID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
EXAMPLE_SEQUENCE = {
    "persistence": {"base": "http://localhost:8000"},
    "requests": [{"method": "GET", "url": "{{#.base}}/healthz", "save_to": "health"}],
}
EXAMPLE_STEP = {
    "path": "requests[0]",
    "method": "GET",
    "url": "http://localhost:8000/healthz",
    "status": 200,
    "duration_ms": 4,
    "error": "",
    "note": "",
    "again": False,
}
EXAMPLE_RUN = {
    "id": EXAMPLE_ID,
    "state": "SUCCESS",
    "error": None,
    "started_at": "2026-01-31T12:00:00.004000Z",
    "finished_at": "2026-01-31T12:00:00.019000Z",
    "periodic_task": None,
}
EXAMPLE_WHOLE = EXAMPLE_RUN | {
    "result": {"base": "http://localhost:8000", "health": {"status": "ok"}},
    "steps": [EXAMPLE_STEP],
}


class SequenceParser(JsoncParser):
    """A sequence as the documents print it, whatever its content type."""

    media_type = "*/*"


class StepSerializer(serializers.ModelSerializer[SequenceStep]):
    """A step, without what was sent and answered."""

    class Meta:
        model = SequenceStep
        fields: ClassVar = list(EXAMPLE_STEP)
        extra_kwargs: ClassVar = {
            "status": {"min_value": 100, "max_value": 599},
            "duration_ms": {"min_value": 0, "max_value": None},
        }


class WholeStepSerializer(StepSerializer):
    """`sent` and `answer` are JSON as text: secrets masked, cut at a limit."""

    class Meta(StepSerializer.Meta):
        fields: ClassVar = ["number", *EXAMPLE_STEP, "sent", "answer"]
        extra_kwargs: ClassVar = StepSerializer.Meta.extra_kwargs | {"number": {"min_value": 1, "max_value": None}}


class SequenceRunSerializer(serializers.ModelSerializer[Run]):
    state = serializers.ChoiceField(choices=[str(state) for state in State])
    error = ErrorField(help_text="Why it stopped; the message begins with the step's path.")
    periodic_task = serializers.SerializerMethodField(help_text="The schedule's name, or null.")

    class Meta:
        model = Run
        fields: ClassVar = list(EXAMPLE_RUN)

    def get_periodic_task(self, run: Run) -> str | None:
        return run.schedule or None


class WholeSequenceRunSerializer(SequenceRunSerializer):
    """With its result, which is its persistence, and its first 1,000 steps."""

    result = AnyField(help_text="What was saved; when it stopped, so far.")
    steps = serializers.SerializerMethodField()

    class Meta(SequenceRunSerializer.Meta):
        fields: ClassVar = ["id", "state", "result", "error", "started_at", "finished_at", "periodic_task", "steps"]

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, run: Run) -> Any:
        steps = SequenceStep.objects.filter(run=run).order_by("number").defer("sent", "answer")
        return StepSerializer(steps[:STEPS_MAX], many=True).data


class WaitSerializer(serializers.Serializer[Any]):
    wait = serializers.FloatField(
        default=0, min_value=0, max_value=300, help_text="Seconds to wait for the end, at most."
    )
    webhook = serializers.CharField(
        default="", allow_blank=True, max_length=2_000, help_text="An address that is told of the end."
    )


class SequenceFilters(RunFilters):
    """The filters of `GET /sequences/runs`."""

    kind = name = parent = retry_of = schedule = None  # type: ignore[assignment]
    periodic_task = serializers.CharField(
        required=False, source="schedule", max_length=200, help_text="Only what this schedule started, by name"
    )


ID = OpenApiParameter(
    "id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The run's id.",
    examples=[OpenApiExample("A run", EXAMPLE_ID, parameter_only=("id", OpenApiParameter.PATH))],
)
BODY_SCHEMA = {
    "type": "object",
    "description": "As docs/sequences.md says. The text may have comments and trailing commas.",
    "required": ["requests"],
    "properties": {
        "persistence": {"type": ["object", "null"]},
        "container": {"type": ["object", "null"]},
        "requests": {"type": "array", "items": {"type": "object"}},
    },
    "additionalProperties": False,
}
SENT_EXAMPLE = OpenApiExample("A sequence", EXAMPLE_SEQUENCE, request_only=True)
FAULTS = {400: "The sequence cannot run; `errors` names each fault's `path`, or `line` and `column`."}


class StaffView(APIView):
    permission_classes = [IsAdminUser]


class SequenceValidationView(StaffView):
    parser_classes = [SequenceParser]
    throttle_scope = "read"

    @extend_schema(
        operation_id="sequences_validate",
        request={"application/json": BODY_SCHEMA},
        responses={
            200: OpenApiResponse({"type": "object", "properties": {"valid": {"const": True}}, "required": ["valid"]}),
            **problems(because=FAULTS),
        },
        examples=[
            SENT_EXAMPLE,
            OpenApiExample("It can run", {"valid": True}, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Check a sequence.

        Nothing is sent. Every fault is named, not only the first.
        """
        check(cast(Mapping[str, Any], request.data))  # what it is instead is a fault, too
        return Response({"valid": True})


class SequenceRunsView(StaffView, GenericAPIView[Run]):
    parser_classes = [SequenceParser]
    serializer_class = SequenceRunSerializer

    @extend_schema(
        operation_id="sequences_runs_list",
        parameters=[SequenceFilters],
        responses={200: SequenceRunSerializer(many=True)},
        examples=[OpenApiExample("A run", EXAMPLE_RUN, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List runs of sequences.

        Newest first, everybody's.
        """
        filters = SequenceFilters(data=request.query_params.dict())
        filters.is_valid(raise_exception=True)
        found = Run.objects.filter(kind=KIND, **filters.conditions).brief()
        return self.get_paginated_response(SequenceRunSerializer(self.paginate_queryset(found), many=True).data)

    @extend_schema(
        operation_id="sequences_run",
        parameters=[WaitSerializer, KEY_PARAMETER, response_header("Location", "The run's address.", 200, 202)],
        request={"application/json": BODY_SCHEMA},
        responses={
            200: OpenApiResponse(WholeSequenceRunSerializer, "It has ended."),
            202: OpenApiResponse(WholeSequenceRunSerializer, "It is accepted."),
            **problems(because=FAULTS),
        },
        examples=[
            SENT_EXAMPLE,
            OpenApiExample("It has ended", EXAMPLE_WHOLE, response_only=True, status_codes=["200"]),
            OpenApiExample(
                "It is accepted",
                EXAMPLE_WHOLE
                | {"state": "PENDING", "result": None, "started_at": None, "finished_at": None, "steps": []},
                response_only=True,
                status_codes=["202"],
            ),
        ],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Run a sequence.

        It is accepted as a run, 202; with `wait` it is answered when the run has ended, 200, or as it is when the time
        is up, 202.
        """
        query = WaitSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        arguments = cast(Mapping[str, Any], request.data)
        seconds, webhook = query.validated_data["wait"], query.validated_data["webhook"]

        def produce() -> Response:
            return _run_response(submit_sequence(arguments=arguments, owner=request.user, webhook=webhook))

        def finish(response: Response) -> HttpResponseBase:
            run_id = UUID(response.data["id"])

            def respond() -> Response:
                return _run_response(runs.visible_run(run_id=run_id, user=request.user))

            return answer_when_ended(request, run_ids=[run_id], seconds=seconds, respond=respond)

        fields = {"arguments": arguments, **query.validated_data}
        return answer_once(request, fields, produce, finish if seconds else None)


class SequenceRunView(StaffView):
    @extend_schema(
        operation_id="sequences_runs_retrieve",
        parameters=[ID],
        responses={200: WholeSequenceRunSerializer},
        examples=[OpenApiExample("A run", EXAMPLE_WHOLE, response_only=True)],
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show a run of a sequence.

        Its result, its error, and its first 1,000 steps; all of them are at `steps`.
        """
        return Response(WholeSequenceRunSerializer(sequence_run(run_id=id, user=request.user)).data)


class StepPagination(NewestFirstPagination):
    ordering = "number"


class SequenceStepsView(StaffView, GenericAPIView[SequenceStep]):
    serializer_class = WholeStepSerializer
    pagination_class = StepPagination

    @extend_schema(
        operation_id="sequences_runs_steps",
        parameters=[ID],
        responses={200: WholeStepSerializer(many=True)},
        examples=[
            OpenApiExample(
                "A step",
                {"number": 1, **EXAMPLE_STEP, "sent": '{"headers": {}, "body": null}', "answer": '{"status": "ok"}'},
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, id: UUID) -> Response:
        """List the steps of a run.

        In their order, each with what was sent and answered: secrets masked, long texts cut.
        """
        steps = SequenceStep.objects.filter(run=sequence_run(run_id=id, user=request.user))
        return self.get_paginated_response(WholeStepSerializer(self.paginate_queryset(steps), many=True).data)


def _run_response(run: Run) -> Response:
    body: Mapping[str, Any] = WholeSequenceRunSerializer(run).data
    location = f"{settings.PUBLIC_URL}/sequences/runs/{run.pk}"
    return Response(body, 200 if run.ended else 202, headers={"Location": location})


urlpatterns = [
    path("sequences/validate", SequenceValidationView.as_view()),
    path("sequences/runs", SequenceRunsView.as_view()),
    path("sequences/runs/<uuid:id>", SequenceRunView.as_view()),
    path("sequences/runs/<uuid:id>/steps", SequenceStepsView.as_view()),
]
