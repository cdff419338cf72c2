"""Schedule specs: when a schedule fires, as calls say it: `{type, conf, one_off?}`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
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
from pydantic import BeforeValidator, Field, WithJsonSchema
from typing_extensions import TypedDict

from taskhub.errors import invalid
from taskhub.jsontools.field_types import Text, Timestamp, format_timestamp
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.scheduler.cron_fields import CRON_FIELDS


class ScheduleSpec(TypedDict):
    """A schedule's times as JSON; `conf` has the fields of the type, see `add_scheduled_walker`."""

    type: str
    conf: dict[str, Any]
    one_off: bool


def _cron_text(value: Any) -> Any:
    """A field of a crontab as text: numbers may be numbers, and a list of them a list."""
    if isinstance(value, list):
        return ",".join(str(_cron_text(item)) for item in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Part = Annotated[Text, BeforeValidator(_cron_text), Field(max_length=240)]
_EVERY_MINUTE = {"every": 1, "period": "minutes"}
_CONFS = {
    "interval": ObjectSchema(
        "Interval",
        {
            "every": (Annotated[int, Field(ge=1, le=2**31 - 1)], _EVERY_MINUTE["every"]),
            "period": (Literal["seconds", "minutes", "hours", "days"], _EVERY_MINUTE["period"]),
        },
    ),
    "cron": ObjectSchema("Cron", {**dict.fromkeys(CRON_FIELDS, (_Part, "*")), "timezone": (Text, "UTC")}),
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
    {
        "type": (Literal["interval", "cron", "crontab", "solar", "clocked"], REQUIRED),
        "conf": (dict[str, Any] | None, None),
        "one_off": (bool, False),
    },
)
_FIELDS = {"cron": "crontab"}  # of a periodic task, where it has another name

ScheduleSpecField = Annotated[
    dict[str, Any],
    Field(
        description=(
            "`type` and its `conf`: `interval` {every, period: seconds, minutes, hours, days} or every minute; `cron` "
            "{minute, hour, day_of_week, day_of_month, month_of_year, timezone}; `solar` {event, latitude, longitude}; "
            "`clocked` {clocked_time}. With `one_off` it fires once, as `clocked` does. Without `conf` its fields "
            "may stand beside `type`."
        )
    ),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": list(_CONFS)},
                "conf": {"type": ["object", "null"]},
                "one_off": {"type": "boolean"},
            },
            "required": ["type"],
        }
    ),
]


@cache
def zone_names() -> tuple[str, ...]:
    """The names of all time zones, sorted; to read them from the disk takes a while."""
    return tuple(sorted(available_timezones()))


def build_periodic_task(name: str, task: str, spec: Mapping[str, Any]) -> PeriodicTask:
    """Builds a periodic task of a schedule spec, not stored yet. Raises `Rejected` with pointers below `/schedule`."""
    beside = {} if spec.get("conf") is not None else {key: spec[key] for key in spec.keys() - set(_SPEC.names)}
    checked = _SPEC.check({key: value for key, value in spec.items() if key not in beside}, at="/schedule")
    kind = "cron" if checked["type"] == "crontab" else checked["type"]
    given, at = (beside, "/schedule") if beside else (checked.get("conf") or {}, "/schedule/conf")
    once = checked.get("one_off", False) or kind == "clocked"
    return PeriodicTask(name=name, task=task, one_off=once, **{_FIELDS.get(kind, kind): read_times(kind, given, at=at)})


def place_in_call(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error of a periodic task's field as one with a pointer into a call that has a schedule spec."""
    if "field" not in error:
        return dict(error)
    return {"pointer": "/name" if error["field"] == "name" else "/schedule/conf", "detail": error["detail"]}


def spec_of(periodic: Any) -> ScheduleSpec:
    """The schedule spec of a periodic task, as it is shown."""
    conf: dict[str, Any] = {}
    kind = "unknown"
    if times := periodic.interval:
        kind, conf = "interval", {"every": times.every, "period": times.period}
    elif times := periodic.crontab:
        kind, conf = "cron", {name: getattr(times, name) for name in CRON_FIELDS} | {"timezone": str(times.timezone)}
    elif times := periodic.solar:
        coordinates = {name: float(getattr(times, name)) for name in ("latitude", "longitude")}
        kind, conf = "solar", {"event": times.event, **coordinates}
    elif times := periodic.clocked:
        kind, conf = "clocked", {"clocked_time": format_timestamp(times.clocked_time)}
    return {"type": kind, "conf": conf, "one_off": periodic.one_off}


def read_times(kind: str, conf: Mapping[str, Any], *, at: str, zone_at: str = "") -> Any:
    """The row of django-celery-beat for these times, made where there is none; equal times share one.

    `conf` has the fields of the kind. Raises `Rejected` with pointers below `at`; of a time zone it is `zone_at`, where
    that does not stand among the fields.
    """
    values = _CONFS[kind].check(conf, at=at)
    match kind:
        case "interval":
            return _row(at, IntervalSchedule, **{**_EVERY_MINUTE, **values})
        case "cron":
            zone = values.get("timezone", "UTC")
            if zone not in zone_names():
                raise invalid(zone_at or f"{at}/timezone", f"There is no zone {zone[:100]!r}, such as Europe/Warsaw.")
            return _row(at, CrontabSchedule, **{**dict.fromkeys(CRON_FIELDS, "*"), **values, "timezone": zone})
        case "solar":
            coordinates = {name: Decimal(str(values[name])) for name in ("latitude", "longitude")}
            return _row(at, SolarSchedule, event=values["event"], **coordinates)
    clocked_time: datetime | None = values["clocked_time"]
    if clocked_time is None:
        raise invalid(f"{at}/clocked_time", "This is required.")
    return _row(at, ClockedSchedule, clocked_time=clocked_time)


def _row(at: str, model: Any, **fields: Any) -> Any:
    try:
        clean_times(model(**fields))
    except ValidationError as error:
        name, (detail, *_) = next(iter(error.message_dict.items()))
        raise invalid(f"{at}/{name}", detail) from None
    return model.objects.filter(**fields).first() or model.objects.create(**fields)


def clean_times(times: Any) -> None:
    """Checks a row of django-celery-beat's times, the fields of a crontab as `cron_fields` reads them, which
    django-celery-beat itself does in part only. Raises `ValidationError` that names the fields.
    """
    cron = CRON_FIELDS if isinstance(times, CrontabSchedule) else {}
    faults: dict[str, Any] = {}
    try:
        times.clean_fields(exclude=["id", *cron])
    except ValidationError as error:
        faults = error.message_dict
    for name, field in cron.items():
        text, length = getattr(times, name), times._meta.get_field(name).max_length
        try:
            field.numbers(text)
        except ValueError as error:
            faults[name] = [str(error)]
        if len(text) > length:
            faults[name] = [f"This has at most {length} characters."]
    if faults:
        raise ValidationError(faults)
