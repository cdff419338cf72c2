"""What fires when: the days of a calendar, with the planned fires of schedules and what came of the past ones.

It takes a bounded time, however many schedules, due times and runs there are: of each schedule a day tells of some.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F, QuerySet

from taskhub.errors import Rejected
from taskhub.runs.domain import State
from taskhub.runs.models import Schedule
from taskhub.runs.scheduler.beat_schedules import begin, timetable_of, within_end
from taskhub.runs.scheduler.cron import instant
from taskhub.runs.scheduler.schedule_when import when_of

DAYS_MAX = 42  # six weeks
SCHEDULES_MAX = 100
RUNS_MAX, DUE_TIMES_MAX = 20_000, 2_000  # that are read, and reckoned, for a whole calendar; but one for each cell
CELL_MAX = 100  # runs and due times of a schedule on one day
OUTCOMES = {"Skipped": "skipped", "Missed": "missed"}  # by the type of a record's error; all else ran

# Each day of each schedule by the index of due times, the newest first.
_RUNS = """
SELECT schedule.id, day.number, run.id, run.due_at, run.state, run.error_type
FROM unnest(%s::bigint[]) AS schedule (id)
CROSS JOIN unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS day (since, until, number)
CROSS JOIN LATERAL (
    SELECT id, due_at, state, error ->> 'type' AS error_type FROM runs_run
    WHERE schedule_id = schedule.id AND due_at IS NOT NULL AND due_at >= day.since AND due_at < day.until
    ORDER BY due_at DESC LIMIT %s
) AS run
"""


class PastFire(NamedTuple):
    """The run of a due time. `outcome` is `run`, `skipped` or `missed`."""

    run: UUID
    due_at: datetime
    state: str
    outcome: str


@dataclass(frozen=True)
class CalendarEntry:
    """A schedule on one day: its due times to come, the first ones; and its fires, the last ones. `has_more` of either
    says that there are more than these."""

    schedule: Schedule
    planned: Sequence[datetime]
    fires: Sequence[PastFire]
    has_more_planned: bool = False
    has_more_fires: bool = False

    @property
    def times(self) -> list[datetime]:
        return sorted([*(fire.due_at for fire in self.fires), *self.planned])

    @property
    def outcomes(self) -> dict[str, int]:
        """How many of its fires came out how: by what left them out, or by the state of their runs."""
        words = (fire.state if fire.outcome == "run" else fire.outcome for fire in self.fires)
        return dict(Counter(words).most_common())


class CalendarDay(NamedTuple):
    """A day with the schedules that fire on it, in the order of their first times."""

    date: date
    entries: list[CalendarEntry]


class _Span(NamedTuple):
    since: datetime
    until: datetime


def read_calendar(
    schedules: QuerySet[Schedule], *, first: date, days: int, zone: ZoneInfo, now: datetime
) -> tuple[list[CalendarDay], bool]:
    """The days from `first` on, up to `DAYS_MAX`, as they begin and end in a zone; and whether schedules are left out.

    Of more than `SCHEDULES_MAX` schedules those are in it that fire next.
    """
    rows = list(schedules.order_by(F("due_at").asc(nulls_last=True), "pk")[: SCHEDULES_MAX + 1])
    shown, dates = rows[:SCHEDULES_MAX], [first + timedelta(days=number) for number in range(min(days, DAYS_MAX))]
    spans = [_Span(midnight_of(day, zone), midnight_of(day + timedelta(days=1), zone)) for day in dates]
    cells = max(1, len(shown) * len(spans))
    fires = _read_fires([row.pk for row in shown], spans, now, _share(RUNS_MAX, cells))
    limit = _share(DUE_TIMES_MAX, cells)
    entries: dict[int, list[CalendarEntry]] = defaultdict(list)
    for schedule in shown:
        planned = _plan(schedule, spans, now, limit)
        for number in range(len(spans)):
            past, cut = fires.get((schedule.pk, number), ([], False))
            times = planned.get(number, [])
            if past or times:
                entries[number].append(CalendarEntry(schedule, times[:limit], past, len(times) > limit, cut))
    calendar = [
        CalendarDay(day, sorted(entries[number], key=lambda entry: entry.times[0])) for number, day in enumerate(dates)
    ]
    return calendar, len(rows) > len(shown)


def _share(whole: int, cells: int) -> int:
    return max(1, min(CELL_MAX, whole // cells))


def midnight_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant when a day begins in a zone."""
    return instant(datetime.combine(day, time()), zone)


def _read_fires(
    ids: list[int], spans: Sequence[_Span], now: datetime, limit: int
) -> dict[tuple[int, int], tuple[list[PastFire], bool]]:
    """By schedule and number of the day the last fires, up to `limit`, and whether there are more."""
    past = [span for span in spans if span.since <= now]
    if not ids or not past:
        return {}
    found: dict[tuple[int, int], list[PastFire]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, [ids, [span.since for span in past], [span.until for span in past], limit + 1])
        for schedule_id, number, run_id, due_at, state, error_type in cursor.fetchall():
            fire = PastFire(run_id, due_at, state, outcome_of(state, error_type))
            found[schedule_id, number - 1].append(fire)
    return {place: (fires[:limit], len(fires) > limit) for place, fires in found.items()}


def outcome_of(state: str, error_type: str | None) -> str:
    """`run` of a fire whose run began or will; else what it was left out as."""
    return OUTCOMES.get(error_type or "", "run") if state == State.REVOKED else "run"


def _plan(schedule: Schedule, spans: Sequence[_Span], now: datetime, limit: int) -> Mapping[int, list[datetime]]:
    """By number of the day the due times to come, one more than `limit` where there are more."""
    periodic, planned = schedule.periodic, defaultdict[int, list[datetime]](list)
    if schedule.due_at is None or not periodic.enabled or spans[-1].until <= now:
        return planned
    try:
        timetable = timetable_of(periodic, schedule.due_at)
    except Rejected:  # its fault says why
        return planned

    def following(moment: datetime) -> datetime | None:
        return within_end(periodic, timetable.next_fire(begin(periodic, moment), spans[-1].until))

    due = following(max(now, spans[0].since - timedelta(microseconds=1)))
    for number, span in enumerate(spans):
        while due is not None and due < span.until and len(planned[number]) <= limit:
            planned[number].append(due)
            due = None if periodic.one_off else following(due)
        if due is not None and due < span.until:
            due = following(span.until - timedelta(microseconds=1))
    return planned


def describe_times(schedule: Schedule) -> str:
    """When a schedule fires, in a few words: `every 5 minutes`, its crontab, an event of the sun."""
    when: Any = when_of(schedule.periodic) or {}
    if interval := when.get("interval"):
        unit = str(interval["period"])
        return f"every {unit.removesuffix('s')}" if interval["every"] == 1 else f"every {interval['every']} {unit}"
    if solar := when.get("solar"):
        return str(solar["event"]).replace("_", " ")
    return str(when.get("crontab", "once" if when else ""))


def week_of(day: date) -> date:
    """The Monday of its week."""
    return day - timedelta(days=day.weekday())


def month_span(day: date) -> tuple[date, int]:
    """The first day and the number of days of the whole weeks in which its month lies."""
    first = week_of(day.replace(day=1))
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    days = (following - first).days
    return first, days + -days % 7
