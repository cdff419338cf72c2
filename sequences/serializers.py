"""Runs of sequences and their steps on the wire."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sequences.models import SequenceStep
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.run_filter import RunFilters
from taskhub.runs.run_options import RunOptionsQuery
from taskhub.runs.serializers import ErrorField
from taskhub.web.views import QuerySerializer

STEPS_MAX = 1000
EXAMPLE_ID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
EXAMPLE_SEQUENCE = {
    "persistence": {"base": "http://localhost:8000"},
    "requests": [{"method": "GET", "url": "{{#.base}}/healthz", "save_to": "health"}],
}
EXAMPLE_STEP = {
    "path": "requests[0]",
    "title": "",
    "method": "GET",
    "url": "http://localhost:8000/healthz",
    "status": 200,
    "duration_ms": 4,
    "error": "",
    "note": "",
    "attempt": 1,
    "skipped": False,
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


class StepSerializer(serializers.ModelSerializer[SequenceStep]):
    """A step, without what was sent and answered."""

    class Meta:
        model = SequenceStep
        fields: ClassVar = list(EXAMPLE_STEP)
        extra_kwargs: ClassVar = {
            "status": {"min_value": 100, "max_value": 599},
            "duration_ms": {"min_value": 0, "max_value": None},
            "attempt": {"min_value": 1, "max_value": None},
        }


class NumberedStepSerializer(StepSerializer):
    class Meta(StepSerializer.Meta):
        fields: ClassVar = ["number", *EXAMPLE_STEP]
        extra_kwargs: ClassVar = StepSerializer.Meta.extra_kwargs | {"number": {"min_value": 1, "max_value": None}}


class WholeStepSerializer(NumberedStepSerializer):
    """`sent` and `answer` are JSON as text: secrets masked, cut at a limit."""

    class Meta(NumberedStepSerializer.Meta):
        fields: ClassVar = [*NumberedStepSerializer.Meta.fields, "sent", "answer"]


class StepNodeSerializer(serializers.Serializer[Any]):
    """A step, an item or a branch, with what belongs to it."""

    path = serializers.CharField()
    name = serializers.CharField(help_text="Its path within its parent")
    records = NumberedStepSerializer(many=True)

    def get_fields(self) -> Any:
        return {**super().get_fields(), "children": StepNodeSerializer(many=True)}


class StepTreeSerializer(serializers.Serializer[Any]):
    """A page of the tree of a run's steps."""

    results = StepNodeSerializer(many=True)
    next = serializers.URLField(allow_null=True)


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
    """With its result, which is its persistence, and its first 1,000 steps. The context's `viewer` is who asks."""

    result = serializers.SerializerMethodField(
        help_text="What was saved; when it stopped, so far. Its secrets are masked for others than its owner."
    )
    steps = serializers.SerializerMethodField()

    class Meta(SequenceRunSerializer.Meta):
        fields: ClassVar = ["id", "state", "result", "error", "started_at", "finished_at", "periodic_task", "steps"]

    @extend_schema_field({})
    def get_result(self, run: Run) -> Any:
        return run.result_for(self.context["viewer"])

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, run: Run) -> Any:
        steps = SequenceStep.objects.filter(run=run).order_by("number").defer("sent", "answer")
        return StepSerializer(steps[:STEPS_MAX], many=True).data


class WaitSerializer(QuerySerializer):
    wait = serializers.FloatField(
        default=0, min_value=0, max_value=300, help_text="Seconds to wait for the end, at most."
    )


class SubmissionSerializer(WaitSerializer, RunOptionsQuery):
    """The query of a call that runs a sequence."""


class SequenceFilters(RunFilters):
    """The filters of `GET /sequences/runs`."""

    kind = name = owner = tag = error = parent = retry_of = schedule = None  # type: ignore[assignment]
    finished_since = finished_until = q = None  # type: ignore[assignment]
    takes_metadata = False
    periodic_task = serializers.CharField(
        required=False, source="schedule", max_length=200, help_text="Only what this schedule started, by name"
    )
