"""Schedules are made, changed and deleted, with a preview of when they would fire."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.console.console_view import ConsoleView
from taskhub.console.json_editor import sent_text
from taskhub.console.saved_forms import save_forms, version_check
from taskhub.console.schedule_entry import ScheduleEntry, checked_editor, initial_entry
from taskhub.console.schedule_starts import read_starts, suggest_entry
from taskhub.console.times_form import NEEDED, TimesForm
from taskhub.runs.models import Schedule
from taskhub.runs.scheduler.schedule_spec import zone_names
from taskhub.runs.scheduler.schedules import delete_schedule, version_of
from taskhub.runs.schedules.serializers import CHANGES, SENT
from taskhub.runs.schedules.services import change_schedule, create_schedule, visible_schedule
from taskhub.security.scopes import KeyScope

SHARED_TIMES = ("timezone", "start", "end", "one_off")  # whatever the sort of times


class NewScheduleView(ConsoleView):
    """What may be started; once `kind`, and `of` of that kind, are chosen the form."""

    is_form = True

    def get(self, request: HttpRequest) -> HttpResponse:
        if "kind" not in request.GET:
            return render(request, "console/schedule_starts.html", {"starts": read_starts(request.user)})
        return _page(request, ScheduleEntry(initial=suggest_entry(request.user, request.GET.dict())))

    def post(self, request: HttpRequest) -> HttpResponse:
        entry = ScheduleEntry(request.POST)

        def create() -> Schedule:
            return create_schedule(owner=request.user, values=SENT.check(entry.values))

        return _save(request, entry, create, "The schedule is made.")


class ChangeScheduleView(ConsoleView):
    is_form = True

    def get(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule = visible_schedule(schedule_id=schedule_id, user=request.user)
        return _page(request, ScheduleEntry(initial=initial_entry(schedule, request.user)), schedule)

    def post(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule = visible_schedule(schedule_id=schedule_id, user=request.user)
        entry = ScheduleEntry(request.POST, initial=initial_entry(schedule, request.user))

        def change() -> Schedule:
            values = entry.changed_values
            checked = CHANGES.check(values)
            kept = {name: value for name, value in checked.items() if name in values}
            check = version_check(request)
            return change_schedule(schedule_id=schedule_id, user=request.user, values=kept, check_version=check)

        return _save(request, entry, change, "The schedule is changed.", schedule)


class DeleteScheduleView(ConsoleView):
    def post(self, request: HttpRequest, schedule_id: int) -> HttpResponse:
        schedule = visible_schedule(schedule_id=schedule_id, user=request.user)
        delete_schedule(periodic=schedule.periodic)
        messages.success(request, f"The schedule {schedule.name} is deleted. Its runs stay.")
        return HttpResponseRedirect(reverse("console:schedules"))


class SchedulePreviewView(ConsoleView):
    """The part of the form that says when the schedule would fire, or what is wrong with its times."""

    role_scope = KeyScope.READ
    throttle_scope = "read"

    def post(self, request: HttpRequest) -> HttpResponse:
        return render(request, "console/schedule_preview.html", _previewed(TimesForm(request.POST)))


class ScheduleCheckView(ConsoleView):
    """The faults of the arguments, while somebody writes them; of another's schedule as those of its owner."""

    role_scope = KeyScope.READ
    throttle_scope = "read"

    def post(self, request: HttpRequest) -> HttpResponse:
        owner: Any = request.user
        number = request.POST.get("schedule", "")
        if number.isascii() and number.isdecimal() and len(number) < 10:
            owner = visible_schedule(schedule_id=int(number), user=request.user).owner or owner
        editor = checked_editor(request.POST.get("kind", ""), sent_text(request.POST, "arguments"), owner)
        return render(request, "console/json_faults.html", {"editor": editor, "is_checked": True})


def _previewed(form: TimesForm) -> dict[str, Any]:
    return {"due_times": form.read_preview(), "form": form, "live": [form[name] for name in _live_names()]}


def _live_names() -> list[str]:
    """The fields whose faults a preview tells of."""
    return ["times", *(name for names in NEEDED.values() for name in names), *SHARED_TIMES]


def _save(
    request: HttpRequest,
    entry: ScheduleEntry,
    save: Callable[[], Schedule],
    done: str,
    schedule: Schedule | None = None,
) -> HttpResponse:
    """Stores what was entered and shows it; or shows the form again, with the preview where that is asked for."""
    if "preview" in request.POST:
        return _page(request, entry, schedule, **_previewed(TimesForm(request.POST)))
    return save_forms(
        request,
        [entry],
        save,
        add_problem=entry.add_problem,
        page=partial(_page, request, entry, schedule),
        address=lambda saved: reverse("console:schedules-schedule", args=[saved.pk]),
        done=done,
    )


def _page(
    request: HttpRequest,
    entry: ScheduleEntry,
    schedule: Schedule | None = None,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context = {
        "entry": entry,
        "schedule": schedule,
        "panels": [[entry[name] for name in names] for names in NEEDED.values()],
        "shared": [entry[name] for name in SHARED_TIMES],
        "first": [entry[name] for name in ("name", "kind")],
        "editor": entry.editor,
        "terms": [entry[name] for name in ("overlap", "missed", "jitter", "webhook", "enabled")],
        "zones": zone_names(),
        "version": request.POST.get("version") or (schedule and version_of(schedule)),
        **more,
    }
    return render(request, "console/schedule_form.html", context, status=status)
