"""`/console/schedules`: schedules, when they fire, what came of it, and what is done with them."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from taskhub.console.console_view import ConsoleView, list_position
from taskhub.console.json_tree import JsonView
from taskhub.errors import Conflict, Rejected, invalid
from taskhub.runs.models import Run, Schedule
from taskhub.runs.scheduler.schedules import enable_schedule, run_schedule_now
from taskhub.runs.schedules.serializers import serialize_schedule
from taskhub.runs.schedules.services import schedules_visible_to, visible_schedule
from taskhub.web.cursor_pagination import read_page

PAGE_ROWS = 50
FIRES = 20


class ScheduleListView(ConsoleView):
    """The list, newest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = schedules_visible_to(request.user).select_related("periodic", "owner", "last_run")
        rows = rows.defer("last_run__arguments", "last_run__result", "written", "run_options")
        page = read_page(rows, "-pk", PAGE_ROWS, after=list_position(request))
        return render(
            request,
            "console/schedules.html",
            {"schedules": page.rows, "last": page.rows[-1].pk if page.has_next else None},
        )


class SchedulePageView(ConsoleView):
    def get(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule = visible_schedule(schedule_id=schedule_id, user=request.user)
        shown = serialize_schedule(schedule, request.user)
        fires = Run.objects.filter(schedule_id=schedule.pk).brief().order_by("-id")
        context = {
            "schedule": schedule,
            "shown": shown,
            "next_fires": [parse_datetime(moment) for moment in shown["next_fires"]],
            "fires": list(fires[:FIRES]),
            "values": [JsonView("When", shown["when"]), JsonView("Arguments", shown["arguments"])],
        }
        return render(request, "console/schedule.html", context)


def _pause(schedule: Schedule) -> str:
    enable_schedule(schedule=schedule, enabled=False)
    return "The schedule is paused. What it started goes on."


def _resume(schedule: Schedule) -> str:
    enable_schedule(schedule=schedule, enabled=True)
    return "The schedule goes on."


def _run(schedule: Schedule) -> str:
    run_schedule_now(schedule=schedule)
    return "A run is started."


SCHEDULE_ACTIONS: dict[str, Callable[[Schedule], str]] = {"pause": _pause, "resume": _resume, "run": _run}


class ScheduleActionView(ConsoleView):
    """Pauses or resumes a schedule, or runs it now."""

    def post(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule: Any = visible_schedule(schedule_id=schedule_id, user=request.user)
        act = SCHEDULE_ACTIONS.get(request.POST.get("action", ""))
        if act is None:
            raise invalid("/action", "There is no such action.")
        try:
            messages.success(request, act(schedule))
        except (Conflict, Rejected) as refusal:
            messages.error(request, refusal.detail)
        return HttpResponseRedirect(reverse("console:schedules-schedule", args=[schedule_id]))
