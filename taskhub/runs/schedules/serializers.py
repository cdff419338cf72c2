"""Schedules, their due times and their fires on the wire."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.utils import timezone
from pydantic import Field, WithJsonSchema
from rest_framework import serializers

from taskhub.errors import Rejected
from taskhub.jsontools.field_types import Text, Timestamp, format_timestamp
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.models import Run, Schedule
from taskhub.runs.run_kinds import target_of
from taskhub.runs.run_options import LASTING_FIELDS, shown_options
from taskhub.runs.scheduler.schedule_arguments import arguments_of
from taskhub.runs.scheduler.schedule_preview import DueTime, next_due_times
from taskhub.runs.scheduler.schedule_when import WHEN_SCHEMA, when_of
from taskhub.runs.scheduler.schedules import JITTER_MAX
from taskhub.runs.schedules.fire_calendar import OUTCOMES, outcome_of
from taskhub.security.masking import mask_all, masked_address, secrets_of
from taskhub.web.openapi.schemas import object_of
from taskhub.web.query_values import FlagFilter, ListFilter
from taskhub.web.views import QuerySerializer

SHOWN_DUE_TIMES = 10
HORIZON = timedelta(days=730)  # of the due times in a list: a rare date is not looked for in each row
PREVIEW_MAX = 1000
KINDS = ("walker", "sequence", "crawler", "extraction")

TIME = "2026-01-31T12:00:00Z"
EXAMPLE_WHEN = {"crontab": "30 6 * * 1-5", "timezone": "Europe/Warsaw"}
EXAMPLE_SENT = {
    "name": "morning report",
    "kind": "walker",
    "arguments": {"name": "echo", "ctx": {"value": "good morning"}},
    "when": EXAMPLE_WHEN,
}
EXAMPLE = {
    "id": 7,
    "name": "morning report",
    "owner": "d6851f2a-e4a1-4fca-b582-9db5e146af59",
    "kind": "walker",
    "arguments": EXAMPLE_SENT["arguments"],
    "when": EXAMPLE_WHEN,
    "start": None,
    "end": None,
    "one_off": False,
    "overlap": "skip",
    "missed": "latest",
    "jitter": 0,
    "webhook": "",
    "tags": [],
    "metadata": {},
    "priority": None,
    "concurrency": None,
    "enabled": True,
    "next_fires": ["2026-02-02T05:30:00Z"],
    "last_run": None,
    "fault": "",
}
EXAMPLE_FIRE = {
    "due_at": TIME,
    "fired_at": "2026-01-31T12:00:00.412000Z",
    "lag": 0.412,
    "outcome": "run",
    "run": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
}
EXAMPLE_DUE_TIME = {"utc": "2026-03-29T01:00:00Z", "local": "2026-03-29T03:00:00+02:00", "mark": "gap"}
EXAMPLE_PREVIEW = {"fires": [EXAMPLE_DUE_TIME]}

_NULLABLE_TIME = {"type": ["string", "null"], "format": "date-time"}
SCHEDULE = object_of(
    "StoredSchedule",
    EXAMPLE,
    owner={"type": ["string", "null"], "format": "uuid", "description": "null: it came with a database of elsewhere."},
    kind={"type": ["string", "null"], "description": "null: its task is none that schedules can start."},
    arguments={"description": "Others than its owner see secrets masked."},
    when={"anyOf": [WHEN_SCHEMA, {"type": "null"}]},
    metadata={"type": "object", "description": "Of its runs; secrets masked."},
    tags={"type": "array", "items": {"type": "string"}},
    priority={"type": ["integer", "null"]},
    concurrency={"type": ["object", "null"]},
    start=_NULLABLE_TIME,
    end=_NULLABLE_TIME,
    last_run={"type": ["string", "null"], "format": "uuid"},
    fault={"type": "string", "description": "Why it cannot fire; empty where it can."},
)
FIRE = object_of(
    "ScheduleFire",
    EXAMPLE_FIRE,
    lag={"type": "number", "description": "Seconds from the due time until it was acted upon."},
    outcome={"type": "string", "enum": ["run", *OUTCOMES.values()]},
)
PREVIEW = object_of(
    "SchedulePreview",
    EXAMPLE_PREVIEW,
    fires={
        "type": "array",
        "items": object_of("DueTime", EXAMPLE_DUE_TIME, mark={"enum": ["gap", "fold", None]}),
    },
)

_WHEN = Annotated[dict[str, Any], WithJsonSchema(WHEN_SCHEMA)]
_ARGUMENTS = Annotated[
    dict[str, Any] | str,
    Field(description="Those of the scheduled task of the kind, as an object or as a text with comments."),
]
_NAME = Annotated[Text, Field(min_length=1, max_length=200, description="The owner's own; runs carry it.")]
_KIND = Literal["walker", "sequence", "crawler", "extraction"]
_JITTER = Annotated[
    int, Field(ge=0, le=JITTER_MAX, description="Seconds, up to which a run begins after its due time, by chance.")
]
_TERMS: dict[str, Any] = {
    "start": (Annotated[Timestamp, Field(description="No fire before it; intervals count from it.")], None),
    "end": (Annotated[Timestamp, Field(description="No fire after it.")], None),
    "one_off": (bool, False),
    "overlap": (Literal["skip", "wait", "beside", "cancel"], "skip"),
    "missed": (Literal["latest", "none", "all"], "latest"),
    "jitter": (_JITTER, 0),
    "webhook": (Annotated[Text, Field(max_length=2_000, description="Is told of each run's end.")], ""),
    **LASTING_FIELDS,
    "enabled": (bool, True),
}
SENT = ObjectSchema(
    "ScheduleSent",
    {
        "name": (_NAME, REQUIRED),
        "kind": (_KIND, REQUIRED),
        "arguments": (_ARGUMENTS, {}),
        "when": (_WHEN, REQUIRED),
        **_TERMS,
    },
)
# What is not sent stays as it is, so nothing has a default.
CHANGES = ObjectSchema(
    "ScheduleChanges",
    {
        name: (kind, Field(default=None))
        for name, kind in {
            "name": _NAME,
            "kind": _KIND,
            "arguments": _ARGUMENTS,
            "when": _WHEN,
            **{name: kind for name, (kind, _) in _TERMS.items()},
        }.items()
    },
)
_CHANGES = CHANGES.schema()
CHANGES_SCHEMA = _CHANGES | {
    "properties": {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in _CHANGES["properties"].items()
    }
}
PREVIEWED = ObjectSchema(
    "SchedulePreviewed",
    {
        "when": (_WHEN, REQUIRED),
        **{name: _TERMS[name] for name in ("start", "end", "one_off")},
        "count": (Annotated[int, Field(ge=1, le=PREVIEW_MAX)], SHOWN_DUE_TIMES),
    },
)


class ScheduleFilters(QuerySerializer):
    """The filters of `GET /schedules`."""

    name = serializers.CharField(required=False, max_length=200, help_text="This name only")
    kind = ListFilter(
        child=serializers.ChoiceField(choices=KINDS),
        required=False,
        help_text="What starts such runs only; several are repeated, or separated by commas",
    )
    enabled = FlagFilter(required=False, help_text="Only those that are enabled, or that are paused")


def serialize_schedule(schedule: Schedule, viewer: Any, until: datetime | None = None) -> dict[str, Any]:
    """A schedule with its next due times, none later than `until`; others than its owner see secrets masked."""
    periodic, own = schedule.periodic, schedule.owner_id == viewer.pk
    target = target_of(periodic.task)
    try:
        arguments = arguments_of(periodic)
    except Rejected:
        arguments = periodic.kwargs
    return {
        "id": schedule.pk,
        "name": schedule.name,
        "owner": str(schedule.owner_id) if schedule.owner_id else None,
        "kind": target.kind if target else None,
        "arguments": arguments if own else mask_all(arguments, secrets_of(arguments)),
        "when": when_of(periodic),
        "start": _time(periodic.start_time),
        "end": _time(periodic.expires),
        "one_off": periodic.one_off,
        "overlap": schedule.overlap,
        "missed": schedule.missed,
        "jitter": schedule.jitter,
        "webhook": schedule.webhook if own else masked_address(schedule.webhook),
        **shown_options(schedule.run_options),
        "enabled": periodic.enabled,
        "next_fires": _next_fires(schedule, until),
        "last_run": str(schedule.last_run_id) if schedule.last_run_id else None,
        "fault": schedule.fault,
    }


def _next_fires(schedule: Schedule, until: datetime | None) -> list[str]:
    if schedule.due_at is None:
        return []
    now = timezone.now()
    try:
        due_times = next_due_times(
            periodic=schedule.periodic, after=now, count=SHOWN_DUE_TIMES, anchor=schedule.due_at, until=until
        )
    except Rejected:  # its fault says why
        return []
    moments = [due_time.utc for due_time in due_times] or [schedule.due_at]
    return [format_timestamp(moment) for moment in moments]


def serialize_fires(runs: Iterable[Run]) -> list[dict[str, Any]]:
    return [_fire_of(run, run.due_at) for run in runs if run.due_at]


def _fire_of(run: Run, due_at: datetime) -> dict[str, Any]:
    return {
        "due_at": format_timestamp(due_at),
        "fired_at": format_timestamp(run.created_at),
        "lag": round((run.created_at - due_at).total_seconds(), 3),
        "outcome": outcome_of(run.state, (run.error or {}).get("type")),
        "run": str(run.pk),
    }


def serialize_preview(due_times: Iterable[DueTime]) -> dict[str, Any]:
    return {
        "fires": [
            {"utc": format_timestamp(moment.utc), "local": moment.local.isoformat(), "mark": moment.mark}
            for moment in due_times
        ]
    }


def _time(moment: datetime | None) -> str | None:
    return format_timestamp(moment) if moment else None
