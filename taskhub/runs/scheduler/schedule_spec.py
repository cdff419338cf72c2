"""Schedule specs: when a schedule fires, as calls say it: `{type, conf, one_off?}`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from taskhub.errors import invalid
from taskhub.jsontools.field_types import Text, Timestamp, format_timestamp
from taskhub.jsontools.schema import REQUIRED, ObjectSchema


class ScheduleSpec(TypedDict):
    """A schedule's times as JSON; `conf` has the fields of the type, see `add_scheduled_walker`."""

    type: str
    conf: dict[str, Any]
    one_off: bool


_Part = Annotated[Text, Field(max_length=240)]
_CRON = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_CONFS = {
    "interval": ObjectSchema(
        "Interval",
        {
            "every": (Annotated[int, Field(ge=1, le=2**31 - 1)], REQUIRED),
            "period": (Literal["seconds", "minutes", "hours", "days"], REQUIRED),
        },
    ),
    "cron": ObjectSchema("Cron", {**dict.fromkeys(_CRON, (_Part, "*")), "timezone": (Text, "UTC")}),
    "solar": ObjectSchema(
        "Solar",
        {
            "event": (Text, REQUIRED),
            "latitude": (Annotated[float, Field(ge=-90, le=90)], REQUIRED),
            "longitude": (Annotated[float, Field(ge=-180, le=180)], REQUIRED),
        },
    ),
    "clocked": ObjectSchema("Clocked", {"clocked_time": (Timestamp, REQUIRED)}),
}
_SPEC = ObjectSchema(
    "When",
    {"type": (Literal["interval", "cron", "solar", "clocked"], REQUIRED), "conf": (dict[str, Any], REQUIRED)}
    | {"one_off": (bool, False)},
)
_FIELDS = {"cron": "crontab"}  # of a periodic task, where it has another name

ScheduleSpecField = Annotated[
    dict[str, Any],
    Field(
        description=(
            "`type` and its `conf`: `interval` {every, period: seconds, minutes, hours or days}, `cron` {minute, hour, "
            "day_of_week, day_of_month, month_of_year, timezone}, `solar` {event, latitude, longitude}, `clocked` "
            "{clocked_time}; with `one_off` it fires once, as `clocked` always does."
        )
    ),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": list(_CONFS)},
                "conf": {"type": "object"},
                "one_off": {"type": "boolean"},
            },
            "required": ["type", "conf"],
            "additionalProperties": False,
        }
    ),
]


def build_periodic_task(name: str, task: str, spec: Mapping[str, Any]) -> PeriodicTask:
    """Builds a periodic task of a schedule spec, not stored yet. Raises `Rejected` with pointers below `/schedule`."""
    checked = _SPEC.check(spec, at="/schedule")
    kind = checked["type"]
    conf = _CONFS[kind].check(checked["conf"], at="/schedule/conf")
    once = checked.get("one_off", False) or kind == "clocked"
    return PeriodicTask(name=name, task=task, one_off=once, **{_FIELDS.get(kind, kind): _times(kind, conf)})


def spec_of(periodic: Any) -> ScheduleSpec:
    """The schedule spec of a periodic task, as it is shown."""
    conf: dict[str, Any] = {}
    kind = "unknown"
    if times := periodic.interval:
        kind, conf = "interval", {"every": times.every, "period": times.period}
    elif times := periodic.crontab:
        kind, conf = "cron", {name: getattr(times, name) for name in _CRON} | {"timezone": str(times.timezone)}
    elif times := periodic.solar:
        coordinates = {name: float(getattr(times, name)) for name in ("latitude", "longitude")}
        kind, conf = "solar", {"event": times.event, **coordinates}
    elif times := periodic.clocked:
        kind, conf = "clocked", {"clocked_time": format_timestamp(times.clocked_time)}
    return {"type": kind, "conf": conf, "one_off": periodic.one_off}


def _times(kind: str, conf: dict[str, Any]) -> Any:
    """The row of django-celery-beat for these times, made where there is none; equal times share one."""
    match kind:
        case "interval":
            return _row(IntervalSchedule, **conf)
        case "cron":
            zone = conf.get("timezone", "UTC")
            if zone not in available_timezones():
                raise invalid("/schedule/conf/timezone", f"There is no zone {zone[:100]!r}, such as Europe/Warsaw.")
            return _row(CrontabSchedule, **{**dict.fromkeys(_CRON, "*"), **conf, "timezone": zone})
        case "solar":
            coordinates = {name: Decimal(str(conf[name])) for name in ("latitude", "longitude")}
            return _row(SolarSchedule, event=conf["event"], **coordinates)
    clocked_time: datetime | None = conf["clocked_time"]
    if clocked_time is None:
        raise invalid("/schedule/conf/clocked_time", "This is required.")
    return _row(ClockedSchedule, clocked_time=clocked_time)


def _row(model: Any, **fields: Any) -> Any:
    try:
        model(**fields).clean_fields(exclude=["id"])
    except ValidationError as error:
        name, (detail, *_) = next(iter(error.message_dict.items()))
        raise invalid(f"/schedule/conf/{name}", detail) from None
    return model.objects.filter(**fields).first() or model.objects.create(**fields)
