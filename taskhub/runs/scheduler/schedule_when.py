"""When a schedule fires, as `/schedules` says it: `{"interval" | "crontab" | "solar" | "clocked": ...}`."""

from collections.abc import Mapping
from typing import Any

from django_celery_beat.models import PeriodicTask

from taskhub.errors import invalid
from taskhub.jsontools.field_types import format_timestamp, parse_timestamp
from taskhub.runs.scheduler.beat_schedules import KINDS
from taskhub.runs.scheduler.cron_fields import CRON_FIELDS
from taskhub.runs.scheduler.schedule_spec import read_times, spec_of

FIELD_ORDER = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")  # as crontab(5) has them
SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
WHEN_SCHEMA = {
    "type": "object",
    "title": "ScheduleWhen",
    "description": (
        "One of `interval`, `crontab` (with a `timezone`, or in UTC), `solar` and `clocked`. A crontab is a text of "
        "five fields, a shorthand such as `@daily`, or an object of the fields."
    ),
    "properties": {
        "interval": {
            "type": "object",
            "properties": {
                "every": {"type": "integer", "minimum": 1},
                "period": {"type": "string", "enum": ["seconds", "minutes", "hours", "days"]},
            },
        },
        "crontab": {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {name: {"type": ["string", "integer"]} for name in FIELD_ORDER}},
            ]
        },
        "timezone": {"type": "string"},
        "solar": {
            "type": "object",
            "properties": {
                "event": {"type": "string"},
                "latitude": {"type": "number", "minimum": -90, "maximum": 90},
                "longitude": {"type": "number", "minimum": -180, "maximum": 180},
            },
            "required": ["event", "latitude", "longitude"],
        },
        "clocked": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": False,
    "minProperties": 1,
}


def set_times(periodic: PeriodicTask, when: Any) -> None:
    """Sets the times of a periodic task, in place of those that it had.

    Raises `Rejected` with pointers below `/when`.
    """
    if not isinstance(when, Mapping):
        raise invalid("/when", "Must be an object.")
    if unknown := when.keys() - {*KINDS, "timezone"}:
        raise invalid(f"/when/{min(unknown)[:100]}", "There is no such name here.")
    chosen = [kind for kind in KINDS if when.get(kind) is not None]
    if len(chosen) != 1:
        raise invalid("/when", "Must have one of interval, crontab, solar and clocked.")
    [kind] = chosen
    conf = _conf_of(kind, when[kind])
    if when.get("timezone") is not None:
        if kind != "crontab":
            raise invalid("/when/timezone", "Only a crontab has a time zone.")
        conf["timezone"] = when["timezone"]
    times = read_times("cron" if kind == "crontab" else kind, conf, at=f"/when/{kind}", zone_at="/when/timezone")
    for name in KINDS:
        setattr(periodic, name, times if name == kind else None)


def when_of(periodic: PeriodicTask) -> dict[str, Any] | None:
    """The times of a periodic task, as `set_times` reads them; None for one that has none."""
    spec = spec_of(periodic)
    conf = spec["conf"]
    match spec["type"]:
        case "cron":
            fields = [str(conf[name]).replace(" ", "") for name in FIELD_ORDER]
            return {"crontab": " ".join(fields), "timezone": conf["timezone"]}
        case "clocked":
            return {"clocked": conf["clocked_time"]}
        case "unknown":
            return None
    return {spec["type"]: conf}


def _conf_of(kind: str, value: Any) -> dict[str, Any]:
    """The fields of the times, as schedule specs have them."""
    if kind == "clocked":
        return {"clocked_time": _clocked(value)}
    if kind == "crontab" and isinstance(value, str):
        return _crontab(value)
    if not isinstance(value, Mapping):
        words = "an object, or a text of five fields" if kind == "crontab" else "an object"
        raise invalid(f"/when/{kind}", f"Must be {words}.")
    return dict(value)


def _clocked(value: Any) -> str:
    try:
        return format_timestamp(parse_timestamp(value if isinstance(value, str) else ""))
    except ValueError as error:
        raise invalid("/when/clocked", f"It cannot be read: {error}.") from None


def _crontab(text: str) -> dict[str, Any]:
    parts = SHORTHANDS.get(text.strip().lower(), text).split()
    if len(parts) != len(FIELD_ORDER):
        words = ", ".join(CRON_FIELDS[name].title for name in FIELD_ORDER)
        raise invalid("/when/crontab", f"Must have five fields: {words}; or be one of {', '.join(SHORTHANDS)}.")
    return dict(zip(FIELD_ORDER, parts, strict=True))
