"""The timetables of django-celery-beat's periodic tasks."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from celery.schedules import solar
from django.db.models import Model
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from taskhub.errors import Rejected
from taskhub.runs.scheduler.cron import Crontab, Interval, Once, Timetable
from taskhub.runs.scheduler.cron_fields import CRON_FIELDS

KINDS = ("interval", "crontab", "solar", "clocked")
WITH_TIMES = [f"periodic__{kind}" for kind in KINDS]  # for select_related
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=36_525)
YEAR_DAYS = 366
TIMETABLES = (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule)
UNUSED_SECONDS, UNUSED_MAX = 3600.0, 1000


@dataclass(frozen=True)
class Solar:
    """An event of the sun at a place. Where there is none for months (polar night), it is the first one after them."""

    event: str
    latitude: float
    longitude: float

    def next_fire(self, after: datetime, until: datetime | None = None) -> datetime | None:
        try:
            return self._next_event(after, until)
        except OverflowError:  # there are no dates after the year 9999
            return None

    def _next_event(self, after: datetime, until: datetime | None) -> datetime | None:
        calculator: Any = solar(cast(Any, self.event), self.latitude, self.longitude)
        options = {"use_center": True} if calculator.use_center else {}
        for day in range(YEAR_DAYS):
            start = after.astimezone(UTC) + timedelta(days=day)
            if until is not None and start > until:
                return None
            calculator.cal.date = start
            try:
                rising = getattr(calculator.cal, calculator.method)(calculator.ephem.Sun(), start=start, **options)
            except calculator.ephem.CircumpolarError:
                continue
            moment: datetime = rising.datetime().replace(tzinfo=UTC)
            if moment > after:
                return moment
        return None


def timetable_of(periodic: Any, anchor: datetime) -> Timetable:
    """The timetable of a periodic task, whose intervals count from `anchor` unless they have a start.

    Raises `Rejected` that names the field.
    """
    chosen = [kind for kind in KINDS if getattr(periodic, f"{kind}_id")]
    if len(chosen) != 1:
        raise _invalid("interval", "Choose one of interval, crontab, solar and clocked.")
    times = getattr(periodic, chosen[0])
    match chosen[0]:
        case "interval":
            return _interval(times, periodic.start_time or anchor)
        case "crontab":
            return _crontab(times)
        case "solar":
            return _solar(times)
    return Once(times.clocked_time)


def zone_of(periodic: Any) -> ZoneInfo:
    """The time zone in which a person thinks of its fires: that of its crontab, else UTC."""
    return ZoneInfo(str(periodic.crontab.timezone)) if periodic.crontab_id else ZoneInfo("UTC")


class UnusedTimetables:
    """Rows of timetables that no periodic task has: each is deleted when it has been seen without one for an hour.

    Not at once, for a form makes the row before the periodic task.
    """

    def __init__(self) -> None:
        self._seen: dict[type[Model], set[int]] = {}
        self._look_at = 0.0  # of time.monotonic

    def prune(self) -> int:
        """Looks for them once an hour; returns how many were deleted."""
        if time.monotonic() < self._look_at:
            return 0
        self._look_at = time.monotonic() + UNUSED_SECONDS
        deleted = 0
        for model in TIMETABLES:
            unused = model._default_manager.filter(periodictask__isnull=True)
            found = set(unused.values_list("pk", flat=True)[:UNUSED_MAX])
            deleted += unused.filter(pk__in=found & self._seen.get(model, set())).delete()[0]
            self._seen[model] = found
        return deleted


def begin(periodic: Any, after: datetime) -> datetime:
    """The time after which it may fire: `after`, or just before its start where that comes later."""
    start: datetime | None = periodic.start_time
    return after if start is None or start <= after else start - timedelta(microseconds=1)


def within_end(periodic: Any, fire: datetime | None) -> datetime | None:
    return None if fire and periodic.expires and fire > periodic.expires else fire


def find_fault_of_end(periodic: Any, fire: datetime | None, now: datetime) -> str:
    """Why the end of a periodic task lets it not fire; an empty text where it does."""
    if fire is None or within_end(periodic, fire):
        return ""
    if periodic.start_time and periodic.expires < periodic.start_time:
        return "Its end is before its start."
    return "Its end is past." if periodic.expires <= now else "Its end is before it fires."


def _interval(times: Any, anchor: datetime) -> Interval:
    try:
        every = timedelta(**{times.period: times.every}) if times.every > 0 else timedelta()
    except OverflowError:
        every = timedelta.max
    if every < SHORTEST:
        raise _invalid("interval", "An interval is at least one second.")
    if every > LONGEST:
        raise _invalid("interval", "An interval is at most 100 years.")
    return Interval(anchor, every)


def _crontab(times: Any) -> Crontab:
    try:
        numbers = {name: field.numbers(getattr(times, name)) for name, field in CRON_FIELDS.items()}
        zone = ZoneInfo(str(times.timezone))
    except (ValueError, KeyError) as error:
        raise _invalid("crontab", f"The crontab cannot be read: {error}") from None
    return Crontab(
        minutes=numbers["minute"],
        hours=numbers["hour"],
        days=numbers["day_of_month"],
        months=numbers["month_of_year"],
        weekdays=numbers["day_of_week"],
        zone=zone,
        flows=any(str(getattr(times, name)).strip().startswith("*") for name in ("minute", "hour")),
    )


def _solar(times: Any) -> Solar:
    try:
        solar(times.event, float(times.latitude), float(times.longitude))
    except ValueError as error:
        raise _invalid("solar", f"The event cannot be read: {error}") from None
    return Solar(times.event, float(times.latitude), float(times.longitude))


def _invalid(field: str, detail: str) -> Rejected:
    return Rejected(detail, errors=[{"field": field, "detail": detail}])
