"""`/console/schedules`: schedules, when they fire, what came of it, and what is done with them."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from taskhub.console.console_view import ConsoleView, list_position, uuid_position
from taskhub.console.json_tree import JsonView
from taskhub.console.list_query import read_list
from taskhub.errors import Conflict, Rejected, invalid
from taskhub.runs.models import Schedule
from taskhub.runs.scheduler.schedules import enable_schedule, run_schedule_now
from taskhub.runs.schedules.serializers import KINDS, ScheduleFilters, serialize_fires, serialize_schedule
from taskhub.runs.schedules.services import fires_of, narrow_schedules, schedules_visible_to, visible_schedule
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import RowPage, read_page

PAGE_ROWS = 50
FIRES = 20


class ScheduleListView(ConsoleView):
    """The list, newest first, filtered as `GET /schedules` is."""

    def get(self, request: HttpRequest) -> HttpResponse:
        def read(filters: ScheduleFilters) -> RowPage:
            rows = schedules_visible_to(request.user).select_related("periodic", "owner", "last_run")
            rows = rows.defer("last_run__arguments", "last_run__result", "written", "run_options")
            narrowed = narrow_schedules(rows, **filters.validated_data)
            return read_page(narrowed, "-pk", PAGE_ROWS, after=list_position(request))

        listed = read_list(request, ScheduleFilters, {"kind"}, read)
        return render(request, "console/schedules.html", {"listed": listed, "kinds": KINDS})


class SchedulePageView(ConsoleView):
    """One schedule, with the history of its fires in pages."""

    def get(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule = visible_schedule(schedule_id=schedule_id, user=request.user)
        shown = serialize_schedule(schedule, request.user)
        after = uuid_position(request)
        page = read_page(fires_of(schedule), "-id", FIRES, after=after)
        context = {
            "schedule": schedule,
            "shown": shown,
            "next_fires": [parse_datetime(moment) for moment in shown["next_fires"]],
            "fires": list(zip(page.rows, serialize_fires(page.rows), strict=True)),
            "is_first": after is None,
            "older": page.rows[-1].pk if page.has_next else None,
            "values": [JsonView("When", shown["when"]), JsonView("Arguments", shown["arguments"])],
        }
        return render(request, "console/schedule.html", context)


def _pause(schedule: Schedule) -> tuple[str, str]:
    enable_schedule(schedule=schedule, enabled=False)
    return "The schedule is paused. What it started goes on.", ""


def _resume(schedule: Schedule) -> tuple[str, str]:
    enable_schedule(schedule=schedule, enabled=True)
    return "The schedule goes on.", ""


def _run(schedule: Schedule) -> tuple[str, str]:
    run = run_schedule_now(schedule=schedule)
    return "A run is started: this is it.", reverse("console:runs-run", args=[run.pk])


# What is done, and where it leads; back to the schedule where that is empty.
SCHEDULE_ACTIONS: dict[str, Callable[[Schedule], tuple[str, str]]] = {"pause": _pause, "resume": _resume, "run": _run}


class ScheduleActionView(ConsoleView):
    """Pauses or resumes a schedule, or runs it now."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule: Any = visible_schedule(schedule_id=schedule_id, user=request.user)
        act = SCHEDULE_ACTIONS.get(request.POST.get("action", ""))
        if act is None:
            raise invalid("/action", "There is no such action.")
        address = ""
        try:
            words, address = act(schedule)
            messages.success(request, words)
        except (Conflict, Rejected) as refusal:
            messages.error(request, refusal.detail)
        return HttpResponseRedirect(address or reverse("console:schedules-schedule", args=[schedule_id]))
