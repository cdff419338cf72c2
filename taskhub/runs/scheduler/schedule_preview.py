"""When a schedule will fire: its next due times, and what changes of the clock do to them."""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from taskhub.errors import Rejected, invalid
from taskhub.runs.scheduler.beat_schedules import begin, timetable_of, within_end, zone_of
from taskhub.runs.scheduler.cron import Crontab, Timetable
from taskhub.runs.scheduler.schedule_when import set_times

ClockMark = Literal["gap", "fold"]
# Of a preview's due times: rare ones are looked for day by day, those of the sun with much computing.
HORIZONS = {"crontab": timedelta(days=100 * 366), "solar": timedelta(days=10 * 366)}


class DueTime(NamedTuple):
    """A due time in UTC and in the zone of its crontab.

    `mark` is `gap` where the local time does not exist, so that it fires at the gap's end; `fold` where the local time
    comes twice.
    """

    utc: datetime
    local: datetime
    mark: ClockMark | None


def preview(
    *, when: Any, start: datetime | None, end: datetime | None, one_off: bool, count: int, now: datetime | None = None
) -> list[DueTime]:
    """The next due times of a schedule that is not stored; intervals count from `now`, where there is no start.

    Raises `Rejected` with pointers for what cannot be read, and for what never fires.
    """
    after = now or timezone.now()
    periodic = PeriodicTask(start_time=start, expires=end)
    set_times(periodic, when)
    periodic.one_off = one_off or bool(periodic.clocked_id)
    try:
        due_times = next_due_times(
            periodic=periodic, after=after, count=count, anchor=after, until=_horizon(periodic, after)
        )
    except Rejected as error:
        raise invalid("/when", error.detail) from None
    if not due_times:
        ends = end is not None and timetable_of(periodic, after).next_fire(begin(periodic, after)) is not None
        raise invalid("/end" if ends else "/when", "It ends before it fires." if ends else "It never fires.")
    return due_times


def _horizon(periodic: PeriodicTask, after: datetime) -> datetime | None:
    """The time after which a preview tells of no due times; None where there is none, or the years end before."""
    horizon = next((horizon for kind, horizon in HORIZONS.items() if getattr(periodic, f"{kind}_id")), None)
    try:
        return None if horizon is None else begin(periodic, after) + horizon
    except OverflowError:
        return None


def next_due_times(
    *, periodic: Any, after: datetime, count: int, anchor: datetime | None = None, until: datetime | None = None
) -> list[DueTime]:
    """The next due times within start and end, none later than `until`; intervals count from `anchor`, such as a known
    due time. Raises `Rejected` for what cannot be read.
    """
    timetable, zone = timetable_of(periodic, anchor or after), zone_of(periodic)
    due_times: list[DueTime] = []
    moment: datetime | None = begin(periodic, after)
    while moment and len(due_times) < (1 if periodic.one_off else count):
        moment = within_end(periodic, timetable.next_fire(moment, until))
        if moment is None or (until is not None and moment > until):
            break
        due_times.append(DueTime(moment, moment.astimezone(zone), _mark_of(timetable, moment, zone)))
    return due_times


def _mark_of(timetable: Timetable, moment: datetime, zone: ZoneInfo) -> ClockMark | None:
    if not isinstance(timetable, Crontab):
        return None
    local = moment.astimezone(zone)
    if local.hour not in timetable.hours or local.minute not in timetable.minutes:
        return "gap"
    return "fold" if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset() else None
