"""`/schedules/calendar`: what fires on which day, and what came of it."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.scheduler.schedule_spec import zone_names
from taskhub.runs.schedules.fire_calendar import DAYS_MAX, CalendarEntry, read_calendar
from taskhub.runs.schedules.serializers import ScheduleFilters
from taskhub.runs.schedules.services import narrow_schedules, schedules_visible_to
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import object_of
from taskhub.web.views import CheckedView

YEAR_MIN, YEAR_MAX = 1970, 2200
EXAMPLE_ENTRY = {
    "schedule": 7,
    "name": "morning report",
    "planned": ["2026-02-02T05:30:00Z"],
    "more_planned": False,
    "outcomes": {"SUCCESS": 1},
    "more_outcomes": False,
}
EXAMPLE_DAY = {"date": "2026-02-02", "entries": [EXAMPLE_ENTRY]}
EXAMPLE_CALENDAR = {"timezone": "Europe/Warsaw", "more_schedules": False, "days": [EXAMPLE_DAY]}
_ENTRY = object_of(
    "CalendarEntry",
    EXAMPLE_ENTRY,
    planned={"type": "array", "items": {"type": "string", "format": "date-time"}, "description": "Those to come."},
    more_planned={"type": "boolean", "description": "Whether there are more than these."},
    outcomes={
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "How many fires came out how: a state of their runs, `skipped` or `missed`.",
    },
    more_outcomes={"type": "boolean", "description": "Whether only the latest fires of the day are counted."},
)
_DAY = object_of(
    "ScheduleCalendarDay",
    EXAMPLE_DAY,
    date={"type": "string", "format": "date"},
    entries={"type": "array", "items": _ENTRY},
)
CALENDAR = object_of(
    "ScheduleCalendar",
    EXAMPLE_CALENDAR,
    more_schedules={"type": "boolean", "description": "Whether it has only those of the schedules that fire next."},
    days={"type": "array", "items": _DAY},
)


class ZonedFilters(ScheduleFilters):
    """The filters of `GET /schedules`, or one schedule, and the zone whose days are meant."""

    schedule = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="This schedule only, by its id"
    )
    timezone = serializers.CharField(required=False, max_length=100, help_text="Whose days are meant; UTC")

    def validate_timezone(self, name: str) -> str:
        if name not in zone_names():
            raise serializers.ValidationError("There is no such zone; Europe/Warsaw is one.")
        return name


class CalendarFilters(ZonedFilters):
    """The query of `GET /schedules/calendar`."""

    first = serializers.DateField(required=False, help_text="The first day; today")
    days = serializers.IntegerField(required=False, min_value=1, max_value=DAYS_MAX, help_text="How many; 7")

    def validate_first(self, day: date) -> date:
        return checked_day(day)


def checked_day(day: date) -> date:
    """Raises REST framework's `ValidationError` for one of a year that the calendar does not have."""
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise serializers.ValidationError(f"The calendar has the years {YEAR_MIN} to {YEAR_MAX}.")
    return day


class CalendarView(CheckedView):
    @extend_schema(
        operation_id="schedules_calendar",
        tags=["schedules"],
        parameters=[CalendarFilters],
        responses={
            200: OpenApiResponse(
                CALENDAR, "The days", examples=[OpenApiExample("The days", EXAMPLE_CALENDAR, response_only=True)]
            ),
            **problems(400),
        },
    )
    def get(self, request: Request) -> Response:
        """Show the calendar of schedules.

        For each day what fires, and how what has fired came out, of your own schedules; for staff of everybody's. It
        tells of up to 100 schedules, and of some fires of each on a day: whether there are more is said.
        """
        asked = self.check_query(request, CalendarFilters)
        zone, now = ZoneInfo(asked.get("timezone", "UTC")), timezone.now()
        rows = narrow_schedules(schedules_visible_to(request.user), **narrowed_by(asked))
        first = asked.get("first", now.astimezone(zone).date())
        days, is_cut = read_calendar(rows, first=first, days=asked.get("days", 7), zone=zone, now=now)
        shown = [
            {"date": day.date.isoformat(), "entries": [_serialize_entry(entry) for entry in day.entries]}
            for day in days
        ]
        return Response({"timezone": str(zone), "more_schedules": is_cut, "days": shown})


def narrowed_by(asked: dict[str, Any]) -> dict[str, Any]:
    """What of a validated query of a calendar says which schedules are meant, for `narrow_schedules`."""
    return {name: asked[name] for name in ("name", "kind", "enabled", "schedule") if name in asked}


def _serialize_entry(entry: CalendarEntry) -> dict[str, Any]:
    return {
        "schedule": entry.schedule.pk,
        "name": entry.schedule.name,
        "planned": [format_timestamp(moment) for moment in entry.planned],
        "more_planned": entry.has_more_planned,
        "outcomes": entry.outcomes,
        "more_outcomes": entry.has_more_fires,
    }
