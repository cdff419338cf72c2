"""`/console/schedules/calendar`: what fires on which day of a month or a week, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from taskhub.console.console_view import ConsoleView, entries_of, without_empty
from taskhub.errors import Problem
from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.scheduler.schedule_spec import zone_names
from taskhub.runs.schedules.calendar_api import ZonedFilters, checked_day, narrowed_by
from taskhub.runs.schedules.fire_calendar import (
    CalendarDay,
    CalendarEntry,
    describe_times,
    midnight_of,
    month_span,
    read_calendar,
    week_of,
)
from taskhub.runs.schedules.serializers import KINDS
from taskhub.runs.schedules.services import narrow_schedules, schedules_visible_to
from taskhub.web.problems import as_problem
from taskhub.web.query_values import query_values

MONTH, WEEK = "month", "week"
SHOWN = {MONTH: 5, WEEK: 40}  # schedules of a day
TIMES_MAX = 3  # of a schedule on a day; more are told in words


class CalendarQuery(ZonedFilters):
    """Which days are shown, and of which schedules."""

    view = serializers.ChoiceField(choices=[MONTH, WEEK], required=False)
    day = serializers.DateField(required=False)

    def validate_day(self, day: date) -> date:
        return checked_day(day)


@dataclass(frozen=True)
class ShownEntry:
    """A schedule on one day of the calendar: when it fires, in words, and what came of it."""

    entry: CalendarEntry
    day: date
    zone: ZoneInfo

    @property
    def words(self) -> str:
        """Its times, where they are a few."""
        times = [moment.astimezone(self.zone) for moment in self.entry.times]
        is_whole = not (self.entry.has_more_planned or self.entry.has_more_fires)
        if is_whole and len(times) <= TIMES_MAX:
            return ", ".join(f"{moment:%H:%M}" for moment in times)
        count = f"{len(times)} times, " if is_whole else ""
        return f"{count}{describe_times(self.entry.schedule)}"

    @property
    def outcomes(self) -> Iterator[tuple[str, str, str]]:
        """How often it came out how: a state, the words, and the address of the run, or of its runs on this day."""
        for outcome, count in self.entry.outcomes.items():
            more = "+" if self.entry.has_more_fires else ""
            words = outcome.lower() if count == 1 and not more else f"{count}{more} {outcome.lower()}"
            yield outcome if outcome.isupper() else "REVOKED", words, self._address(outcome, count)

    def _address(self, outcome: str, count: int) -> str:
        if count == 1:
            word = {fire.run: fire.state if fire.outcome == "run" else fire.outcome for fire in self.entry.fires}
            return reverse("console:runs-run", args=[next(run for run, one in word.items() if one == outcome)])
        query = {
            "schedule": self.entry.schedule.name,
            "state": outcome if outcome.isupper() else "REVOKED",
            "since": format_timestamp(midnight_of(self.day, self.zone)),
            "until": format_timestamp(midnight_of(self.day + timedelta(days=2), self.zone)),  # a fire may be late
        }
        return f"{reverse('console:runs')}?{urlencode(query)}"


def is_often(entry: CalendarEntry) -> bool:
    """Whether it fires so often on a day that its times to come are told once, and not each day."""
    return entry.has_more_planned or len(entry.planned) > TIMES_MAX


@dataclass(frozen=True)
class ShownDay:
    date: date
    entries: list[ShownEntry]
    left_out: int  # schedules that fire on it, too
    is_today: bool
    is_beside: bool  # of another month than the one that is shown


class ScheduleCalendarView(ConsoleView):
    """A month or a week as a table."""

    def get(self, request: HttpRequest) -> HttpResponse:
        values, faults = without_empty(request.GET), list[str]()
        query = CalendarQuery(data=query_values(values, {"kind"}))
        try:
            query.is_valid(raise_exception=True)
        except (Problem, ValidationError) as error:
            faults = entries_of(as_problem(error))
        asked: dict[str, Any] = {} if faults else dict(query.validated_data)
        return render(request, "console/schedule_calendar.html", _context(request, values, asked) | {"faults": faults})


def _context(request: HttpRequest, values: Any, asked: dict[str, Any]) -> dict[str, Any]:
    zone, now = ZoneInfo(asked.get("timezone", "UTC")), timezone.now()
    today = now.astimezone(zone).date()
    day, view = asked.get("day", today), asked.get("view", MONTH)
    first, count = month_span(day) if view == MONTH else (week_of(day), 7)
    rows = schedules_visible_to(request.user)
    rows = narrow_schedules(rows, **narrowed_by(asked))
    days, is_cut = read_calendar(rows.defer("written", "run_options"), first=first, days=count, zone=zone, now=now)
    often = {entry.schedule.pk: entry.schedule for one in days for entry in one.entries if is_often(entry)}
    shown = [_shown(one, view, zone, today, day) for one in days]
    return {
        "weeks": [shown[number : number + 7] for number in range(0, len(shown), 7)],
        "often": [(schedule, describe_times(schedule)) for schedule in often.values()],
        "is_cut": is_cut,
        "is_empty": not often and not any(one.entries for one in shown),
        "has_schedules": rows.exists(),
        "view": view,
        "views": [(name, _address(values, view=name, day=day)) for name in (MONTH, WEEK)],
        "title": f"{day:%B %Y}" if view == MONTH else f"{first:%d %B} to {first + timedelta(days=6):%d %B %Y}",
        "before": _address(
            values, day=first - timedelta(days=1) if view == WEEK else day.replace(day=1) - timedelta(1)
        ),
        "after": _address(
            values, day=first + timedelta(days=7) if view == WEEK else (day.replace(day=28) + timedelta(4))
        ),
        "now": _address(values, day=today),
        "week_query": _address(values, view=WEEK, day=None),
        "query": values,
        "day": day,
        "kinds": KINDS,
        "zones": zone_names(),
        "zone": str(zone),
    }


def _shown(one: CalendarDay, view: str, zone: ZoneInfo, today: date, day: date) -> ShownDay:
    told = [entry for entry in one.entries if entry.fires or not is_often(entry)]
    entries = [ShownEntry(entry, one.date, zone) for entry in told[: SHOWN[view]]]
    is_beside = view == MONTH and (one.date.year, one.date.month) != (day.year, day.month)
    return ShownDay(one.date, entries, len(told) - len(entries), one.date == today, is_beside)


def _address(values: Any, **changed: Any) -> str:
    """The query of the same calendar with something else in it; None leaves it out."""
    query = {**values.dict(), **changed}
    return urlencode({name: value for name, value in query.items() if value is not None})
