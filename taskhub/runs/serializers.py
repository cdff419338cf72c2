"""Runs on the wire: how one is shown, and its log."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers

from taskhub.runs.domain import ConcurrencyPolicy, State
from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue.wait_reasons import WaitReason, waits_of
from taskhub.runs.run_options import shown_concurrency
from taskhub.security.masking import mask_all, masked_address

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
    "expires_at": None,
    "tags": ["nightly"],
    "metadata": {"customer": "4711"},
    "priority": 5,
    "concurrency": None,
    "waiting_for": None,
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


ERROR_SCHEMA = {
    "title": "RunError",
    "type": ["object", "null"],
    "properties": {
        "type": {"type": "string"},
        "message": {"type": "string"},
        "where": {"type": "string", "description": "The line in a walker's code that failed."},
    },
    "required": ["type", "message"],
    "additionalProperties": False,
}


CONCURRENCY_SCHEMA = {
    "title": "RunConcurrency",
    "type": ["object", "null"],
    "properties": {
        "key": {"type": "string"},
        "limit": {"type": "integer"},
        "policy": {"type": "string", "enum": [str(policy) for policy in ConcurrencyPolicy]},
    },
    "required": ["key", "limit", "policy"],
    "additionalProperties": False,
}


WAIT_SCHEMA = {
    "title": "RunWait",
    "type": ["object", "null"],
    "properties": {
        "reason": {"type": "string", "enum": [str(reason) for reason in WaitReason]},
        "detail": {"type": "string"},
    },
    "required": ["reason", "detail"],
    "additionalProperties": False,
}


@extend_schema_field(
    {
        "title": "RunProgress",
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


@extend_schema_field(ERROR_SCHEMA)
class ErrorField(serializers.JSONField):
    pass


@extend_schema_field({})
class AnyField(serializers.JSONField):
    pass


class RunSerializer(serializers.ModelSerializer[Run]):
    """A run without its arguments and result, which may be large.

    The context's `waits` are what the runs of a list wait for (`waits_of`); without them it is asked for each run.
    """

    owner = serializers.UUIDField(source="owner_id")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    retry_of = serializers.UUIDField(source="retry_of_id", allow_null=True)
    state = serializers.ChoiceField(choices=[str(state) for state in State])
    progress = ProgressField(help_text="When the work tells it.")
    error = ErrorField(help_text="Of the last attempt that failed.")
    tags = serializers.ListField(child=serializers.CharField())
    metadata = serializers.SerializerMethodField(help_text="As its owner gave it, secrets masked.")
    concurrency = serializers.SerializerMethodField()
    waiting_for = serializers.SerializerMethodField(help_text="Why it waits; null when it does not.")

    class Meta:
        model = Run
        fields: ClassVar = list(EXAMPLE)

    @extend_schema_field({"type": "object"})
    def get_metadata(self, run: Run) -> Any:
        return mask_all(run.metadata) if run.metadata else {}

    @extend_schema_field(CONCURRENCY_SCHEMA)
    def get_concurrency(self, run: Run) -> Any:
        return shown_concurrency(run)

    @extend_schema_field(WAIT_SCHEMA)
    def get_waiting_for(self, run: Run) -> Any:
        waits = self.context["waits"] if "waits" in self.context else waits_of([run])
        return waits[run.pk]._asdict() if run.pk in waits else None


class WholeRunSerializer(RunSerializer):
    """A run with its arguments, secrets masked, and its result, which only its owner and staff can ask for.

    The context's `viewer` is who asks. Others than the owner see the secrets in the result and the webhook masked.
    """

    arguments = serializers.SerializerMethodField()
    result = serializers.SerializerMethodField(
        help_text="What the work gave, any JSON; null when it gave nothing, or not yet."
    )
    webhook = serializers.SerializerMethodField()

    class Meta(RunSerializer.Meta):
        fields: ClassVar = list(EXAMPLE_WHOLE)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_arguments(self, run: Run) -> Any:
        return mask_all(run.arguments, run.secrets)

    @extend_schema_field({})
    def get_result(self, run: Run) -> Any:
        return run.result_for(self.context["viewer"])

    def get_webhook(self, run: Run) -> str:
        return str(run.webhook) if run.owner_id == self.context["viewer"].pk else masked_address(run.webhook)


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_LINE_EXAMPLE: dict[str, Any] = {
    "at": "2026-01-31T12:00:00.004000Z",
    "level": "INFO",
    "logger": "shop.walkers",
    "message": "12 shelves are empty",
    "attempt": 1,
    "fields": {"shelves": 12},
}


class LogLineSerializer(serializers.ModelSerializer[LogLine]):
    """A line of a run's log."""

    level = serializers.SerializerMethodField()

    class Meta:
        model = LogLine
        fields: ClassVar = list(LOG_LINE_EXAMPLE)

    def get_fields(self) -> dict[str, Any]:
        """With `fields`, which cannot be declared: a serializer has its own of this name."""
        help_text = "What was logged with it by name, as by `extra` in Python."
        return {**super().get_fields(), "fields": serializers.DictField(help_text=help_text)}

    @extend_schema_field({"type": "string", "enum": list(LOG_LEVELS)})
    def get_level(self, line: LogLine) -> str:
        """The highest level that it reaches, as libraries may have levels of their own."""
        return LOG_LEVELS[min(max(line.level // 10, 1), len(LOG_LEVELS)) - 1]


ID = OpenApiParameter(
    "run_id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The run's id.",
    examples=[OpenApiExample("A run", EXAMPLE["id"], parameter_only=("run_id", OpenApiParameter.PATH))],
)
