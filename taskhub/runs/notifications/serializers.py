"""Notification rules and their messages on the wire, and as the document shows them."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from rest_framework import serializers
from typing_extensions import TypedDict

from taskhub.jsontools.field_types import NO_CONTROLS, Text, format_timestamp
from taskhub.jsontools.schema import REQUIRED, ObjectSchema, invalid_value
from taskhub.runs.domain import NotificationEvent, State
from taskhub.runs.models import NotificationMessage, NotificationRule
from taskhub.runs.models.notification import EMAIL_MAX, LATE_AFTER_DEFAULT
from taskhub.runs.models.run import TAG_MAX
from taskhub.runs.queue.webhook_events import address_of
from taskhub.runs.serializers import ERROR_SCHEMA
from taskhub.runs.webhooks.models import DeliveryAttempt
from taskhub.runs.webhooks.serializers import ATTEMPT, EXAMPLE_ATTEMPT, attempt_of
from taskhub.runs.webhooks.services import attempts_of
from taskhub.security.masking import masked_address
from taskhub.web.openapi.schemas import object_of
from taskhub.web.query_values import FlagFilter, ListFilter
from taskhub.web.views import QuerySerializer

EVENTS = [str(event) for event in NotificationEvent]
EMAILS_MAX = 10
QUIET_MAX = 7 * 24 * 60  # minutes
SLOW_AFTER_MAX = 30 * 24 * 3600  # seconds
LATE_AFTER_MAX = 7 * 24 * 60  # minutes
_FILTER_LENGTHS = {"kind": 40, "name": 200, "tag": TAG_MAX, "schedule": 200}

TIME = "2026-01-31T12:00:00.000000Z"
EXAMPLE_SENT = {
    "name": "nightly",
    "on": ["run.failed", "run.recovered"],
    "filter": {"tag": "nightly"},
    "to": {"webhook": "https://example.com/hook"},
    "quiet": 30,
}
EXAMPLE: dict[str, Any] = {
    "id": 7,
    "name": "nightly",
    "owner": "d6851f2a-e4a1-4fca-b582-9db5e146af59",
    "on": EXAMPLE_SENT["on"],
    "filter": EXAMPLE_SENT["filter"],
    "all_owners": False,
    "to": EXAMPLE_SENT["to"],
    "quiet": 30,
    "slow_after": None,
    "late_after": LATE_AFTER_DEFAULT,
    "enabled": True,
    "created_at": TIME,
}
EXAMPLE_MESSAGE = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e73",
    "event": "run.failed",
    "title": "walker echo failed: ValueError: no tea",
    "to": "https://example.com/hook",
    "run": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
    "held_back": 0,
    "state": "SUCCESS",
    "attempt": 1,
    "error": None,
    "next_attempt_at": None,
    "created_at": TIME,
    "finished_at": TIME,
    "attempts": [EXAMPLE_ATTEMPT],
}

_TEXT_OF_FILTER = {
    name: {"type": "string", "minLength": 1, "maxLength": length, "pattern": NO_CONTROLS}
    for name, length in _FILTER_LENGTHS.items()
}
_FILTER_SCHEMA = {
    "title": "NotificationFilter",
    "type": "object",
    "description": "Which runs count; a schedule by its name. Without it all do.",
    "properties": _TEXT_OF_FILTER,
    "additionalProperties": False,
}
_EMAIL_SCHEMA = {"type": "string", "minLength": 3, "maxLength": EMAIL_MAX, "pattern": NO_CONTROLS}
_WEBHOOK_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 2_000, "pattern": NO_CONTROLS}
_TARGET_SCHEMA = {
    "title": "NotificationTarget",
    "type": "object",
    "description": "A webhook, of which others than the rule's owner see no path; or addresses of e-mail.",
    "properties": {
        "webhook": _WEBHOOK_SCHEMA,
        "email": {"type": "array", "items": _EMAIL_SCHEMA, "minItems": 1, "maxItems": EMAILS_MAX},
    },
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}


class NotificationFilter(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # as pydantic documents it

    kind: NotRequired[Annotated[Text, Field(min_length=1, max_length=_FILTER_LENGTHS["kind"])]]
    name: NotRequired[Annotated[Text, Field(min_length=1, max_length=_FILTER_LENGTHS["name"])]]
    tag: NotRequired[Annotated[Text, Field(min_length=1, max_length=_FILTER_LENGTHS["tag"])]]
    schedule: NotRequired[Annotated[Text, Field(min_length=1, max_length=_FILTER_LENGTHS["schedule"])]]


class NotificationTarget(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # as pydantic documents it

    webhook: NotRequired[Annotated[Text, Field(min_length=1, max_length=2_000)]]
    email: NotRequired[
        Annotated[
            list[Annotated[Text, Field(min_length=3, max_length=EMAIL_MAX)]],
            Field(min_length=1, max_length=EMAILS_MAX),
        ]
    ]


def _known_event(name: str) -> str:
    if name not in EVENTS:
        raise invalid_value(f"There is no such event; there are {', '.join(EVENTS)}.")
    return name


EventName = Annotated[str, AfterValidator(_known_event), WithJsonSchema({"type": "string", "enum": EVENTS})]


def _one_target(target: NotificationTarget) -> NotificationTarget:
    if len(target) != 1:
        raise invalid_value("Must have either webhook or email.")
    return target


_FIELDS: dict[str, tuple[Any, Any]] = {
    "name": (Annotated[Text, Field(min_length=1, max_length=200, description="The owner's own.")], REQUIRED),
    "on": (
        Annotated[
            list[EventName],
            Field(min_length=1, max_length=len(EVENTS), description="`worker.lost` and `queue.late` are for staff."),
        ],
        REQUIRED,
    ),
    "filter": (Annotated[NotificationFilter, WithJsonSchema(_FILTER_SCHEMA)], {}),
    "to": (Annotated[NotificationTarget, AfterValidator(_one_target), WithJsonSchema(_TARGET_SCHEMA)], REQUIRED),
    "quiet": (
        Annotated[
            int,
            Field(ge=0, le=QUIET_MAX, description="Minutes after a message in which no other of the same subject is."),
        ],
        0,
    ),
    "slow_after": (
        Annotated[
            int | None, Field(ge=1, le=SLOW_AFTER_MAX, description="Seconds after which a run is slow; for `run.slow`.")
        ],
        None,
    ),
    "late_after": (
        Annotated[
            int,
            Field(ge=1, le=LATE_AFTER_MAX, description="Minutes that the oldest of a queue waits until it is late."),
        ],
        LATE_AFTER_DEFAULT,
    ),
    "all_owners": (Annotated[bool, Field(description="Everybody's runs, not the owner's alone; for staff.")], False),
    "enabled": (bool, True),
}
SENT = ObjectSchema("NotificationRuleSent", _FIELDS)
# What is not sent stays as it is, so nothing has a default.
CHANGES = ObjectSchema(
    "NotificationRuleChanges", {name: (kind, Field(default=None)) for name, (kind, _) in _FIELDS.items()}
)
_CHANGES = CHANGES.schema()
CHANGES_SCHEMA = _CHANGES | {
    "properties": {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in _CHANGES["properties"].items()
    }
}

_NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
_NULLABLE_TIME = _NULLABLE | {"format": "date-time"}
RULE = object_of(
    "NotificationRule",
    EXAMPLE,
    on={"type": "array", "items": {"type": "string", "enum": EVENTS}},
    filter=_FILTER_SCHEMA,
    to=_TARGET_SCHEMA,
    slow_after={"type": ["integer", "null"]},
)
MESSAGE = object_of(
    "NotificationMessage",
    EXAMPLE_MESSAGE,
    to={"type": "string", "description": "The webhook, or an address of e-mail."},
    run=_NULLABLE | {"format": "uuid", "description": "The run that it tells of."},
    held_back={"type": "integer", "description": "Events before it that were not told by themselves."},
    state={"type": "string", "enum": [str(state) for state in State]},
    error=ERROR_SCHEMA,
    next_attempt_at=_NULLABLE_TIME,
    finished_at=_NULLABLE_TIME,
    attempts={"type": "array", "items": ATTEMPT},
)


class RuleFilters(QuerySerializer):
    """The filters of `GET /notifications`."""

    on = ListFilter(
        child=serializers.ChoiceField(choices=EVENTS),
        required=False,
        help_text="That tell of one of these events only: repeated, or separated by commas",
    )
    enabled = FlagFilter(required=False, help_text="Only those that are enabled, or that are not")


def serialize_rule(rule: NotificationRule, viewer: Any) -> dict[str, Any]:
    """A rule; others than its owner see its webhook without its path."""
    values = {"kind": rule.kind, "name": rule.run_name, "tag": rule.tag, "schedule": rule.schedule}
    webhook = rule.webhook if rule.owner_id == viewer.pk else masked_address(rule.webhook)
    return {
        "id": rule.pk,
        "name": rule.name,
        "owner": str(rule.owner_id),
        "on": rule.events,
        "filter": {name: value for name, value in values.items() if value},
        "all_owners": rule.all_owners,
        "to": {"webhook": webhook} if rule.webhook else {"email": rule.emails},
        "quiet": rule.quiet,
        "slow_after": rule.slow_after,
        "late_after": rule.late_after,
        "enabled": rule.enabled,
        "created_at": format_timestamp(rule.created_at),
    }


def serialize_messages(messages: Sequence[NotificationMessage], viewer: Any) -> list[dict[str, Any]]:
    attempts = attempts_of(message.delivery_id for message in messages)
    return [_message_of(message, viewer, attempts.get(message.delivery_id, [])) for message in messages]


def _message_of(message: NotificationMessage, viewer: Any, attempts: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    run = message.delivery
    waits_until = run.not_before if run.state == State.RETRY else None
    return {
        "id": str(run.pk),
        "event": message.event,
        "title": run.arguments["data"]["title"],
        "to": address_of(run) if run.owner_id == viewer.pk else masked_address(address_of(run)),
        "run": str(run.parent_id) if run.parent_id else None,
        "held_back": message.held_back,
        "state": run.state,
        "attempt": run.attempt,
        "error": run.error,
        "next_attempt_at": waits_until and format_timestamp(waits_until),
        "created_at": format_timestamp(run.created_at),
        "finished_at": run.finished_at and format_timestamp(run.finished_at),
        "attempts": [attempt_of(attempt) for attempt in attempts],
    }
