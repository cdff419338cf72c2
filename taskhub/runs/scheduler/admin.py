"""The operator's schedules: django-celery-beat's periodic tasks, with arguments as the documents print them."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from django_celery_beat.models import PeriodicTask

from taskhub.errors import Forbidden, Problem, Rejected
from taskhub.runs.models import Run, Schedule
from taskhub.runs.scheduler.beat_schedules import KINDS
from taskhub.runs.scheduler.schedule_form import PREVIEW, ScheduleForm, schedule_of, shown_arguments
from taskhub.runs.scheduler.schedule_preview import next_due_times
from taskhub.runs.scheduler.schedules import (
    delete_schedule,
    enable_schedule,
    run_schedule_now,
    save_schedule,
    take_over,
)
from taskhub.security.masking import masked_address
from taskhub.web.admin import BigTableAdmin, row_action, row_link, text_block

RUNS_SHOWN = 10
FIRES_SHOWN = 5
MAY_OPERATE = ("django_celery_beat.change_periodictask", "accounts.operate_all")  # each lets pause and start them
_MARKS = {
    None: "",
    "gap": "the clock leaves its time out: it fires at the end of the gap",
    "fold": "the clock shows this time twice",
}
_TIME = "%Y-%m-%d %H:%M:%S %Z"


admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BigTableAdmin):
    recorded_as = None
    console_page = ("schedules-schedule", "pk")
    form = ScheduleForm
    change_form_template = "admin/runs/schedule_form.html"
    list_display = ("name", "enabled", "last_state", "next_fire", "fault", "times", "owner", "task")
    list_filter = ("enabled",)
    list_select_related = ("schedule_row__owner", "schedule_row__last_run", *KINDS)
    search_fields = ("name", "task", "schedule_row__owner__email")
    ordering = ("name",)
    unlisted = (
        *("kwargs", "schedule_row__written"),
        *("schedule_row__last_run__arguments", "schedule_row__last_run__result"),
    )
    actions = ("enable", "disable", "take_over", "run_now")
    autocomplete_fields = KINDS  # there may be thousands of each
    readonly_fields = ("owner", "fault", "following", "latest")
    fieldsets = (
        (None, {"fields": ("name", "description", "enabled", "owner", "fault")}),
        ("What", {"fields": ("task", "arguments", "webhook")}),
        (
            "When",
            {"fields": (*KINDS, "start_time", "expires", "one_off", "missed", "overlap", "jitter", "following")},
        ),
        ("Runs", {"fields": ("latest",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type("ScheduleFormOf", (form,), {"user": request.user})

    def get_urls(self) -> list[Any]:
        run = self.admin_site.admin_view(require_POST(self.run_view))
        return [path("<int:object_id>/run/", run, name="django_celery_beat_periodictask_run"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> HttpResponse:
        context["previewed"] = PREVIEW in request.POST and not context.get("errors")
        context["may_run"] = bool(context.get("original")) and any(map(request.user.has_perm, MAY_OPERATE))
        return super().render_change_form(request, context, *args, **options)

    # Writing

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: Any, change: bool) -> None:
        save_schedule(periodic=obj, owner=form.owner, written=form.written, **form.options)

    def delete_model(self, request: HttpRequest, obj: PeriodicTask) -> None:
        delete_schedule(periodic=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        for row in queryset:
            delete_schedule(periodic=row)

    def run_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Asks, starts the schedule, and leads to the run."""
        if not any(map(request.user.has_perm, MAY_OPERATE)):
            raise Forbidden("You may not start schedules.")
        schedule = Schedule.objects.select_related("periodic", "owner").filter(pk=object_id).first()
        page = reverse("admin:django_celery_beat_periodictask_change", args=[object_id])
        if schedule and "post" not in request.POST:
            rows = PeriodicTask.objects.filter(pk=object_id)
            return self.ask(request, rows, "Run the schedule now", [], back=page)
        try:
            if schedule is None:
                raise Rejected("Save it first.")
            run = run_schedule_now(schedule=schedule)
        except Problem as problem:
            self.message_user(request, f"It was not started: {problem.detail}", messages.ERROR)
            return HttpResponseRedirect(page)
        self.message_user(request, "It is started.")
        return HttpResponseRedirect(reverse("admin:runs_run_change", args=[run.pk]))

    @row_action("Enable the selected schedules", *MAY_OPERATE)
    def enable(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._each(request, queryset, lambda schedule: enable_schedule(schedule=schedule, enabled=True), "enabled")

    @row_action("Disable the selected schedules", *MAY_OPERATE)
    def disable(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._each(request, queryset, lambda schedule: enable_schedule(schedule=schedule, enabled=False), "disabled")

    @row_action("Take over the selected schedules that nobody owns", "django_celery_beat.change_periodictask")
    def take_over(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._each(request, queryset, lambda schedule: take_over(schedule=schedule, owner=request.user), "taken over")

    @row_action("Run the selected schedules now", *MAY_OPERATE, asks=True)
    def run_now(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._each(request, queryset, lambda schedule: run_schedule_now(schedule=schedule), "started")

    def _each(self, request: HttpRequest, queryset: QuerySet[PeriodicTask], act: Any, done: str) -> None:
        chosen = Schedule.objects.select_related("periodic", "owner").filter(pk__in=queryset.values("pk"))
        self.each(request, chosen, act, f"schedules {done}")

    # Showing

    @admin.display(description="when")
    def times(self, row: PeriodicTask) -> str:
        return str(next((getattr(row, kind) for kind in KINDS if getattr(row, f"{kind}_id")), "never"))

    @admin.display(description="owner")
    def owner(self, row: PeriodicTask) -> str:
        schedule = schedule_of(row)
        return str(schedule.owner or "nobody") if schedule else ""

    # What the form shows, for those who only look

    def arguments(self, row: PeriodicTask) -> SafeString:
        return text_block(shown_arguments(row, None))

    def missed(self, row: PeriodicTask) -> str:
        schedule = schedule_of(row)
        return str(schedule.get_missed_display()) if schedule else ""

    def overlap(self, row: PeriodicTask) -> str:
        schedule = schedule_of(row)
        return str(schedule.get_overlap_display()) if schedule else ""

    def jitter(self, row: PeriodicTask) -> str:
        schedule = schedule_of(row)
        return f"{schedule.jitter} s" if schedule else ""

    def webhook(self, row: PeriodicTask) -> str:
        schedule = schedule_of(row)
        return masked_address(schedule.webhook) if schedule else ""

    @admin.display(description="next fire", ordering="schedule_row__due_at")
    def next_fire(self, row: PeriodicTask) -> datetime | None:
        schedule = schedule_of(row)
        moment: datetime | None = schedule.due_at if schedule else None
        return moment

    @admin.display(description="last run")
    def last_state(self, row: PeriodicTask) -> str | SafeString:
        run = getattr(schedule_of(row), "last_run", None)
        return row_link("runs_run", run.pk, run.state) if run else ""

    @admin.display(description="fault")
    def fault(self, row: PeriodicTask) -> str | SafeString:
        schedule = schedule_of(row)
        fault = schedule.fault if schedule else ""
        return format_html('<strong class="fault-text">{}</strong>', fault) if fault else ""

    @admin.display(description="next fires")
    def following(self, row: PeriodicTask) -> str | SafeString:
        if not any(getattr(row, f"{kind}_id") for kind in KINDS) or not row.enabled:
            return "It is disabled." if row.pk else ""
        try:
            anchor = getattr(schedule_of(row), "due_at", None)
            due_times = next_due_times(periodic=row, after=timezone.now(), count=FIRES_SHOWN, anchor=anchor)
        except Exception as error:  # whatever a row holds, its page opens
            return f"They cannot be told: {error}"
        lines = [(fire.local.strftime(_TIME), fire.utc.strftime(_TIME), _MARKS[fire.mark]) for fire in due_times]
        return format_html_join("", "<div>{} &nbsp; ({}) {}</div>", lines) or "There are none."

    @admin.display(description="last runs")
    def latest(self, row: PeriodicTask) -> str | SafeString:
        runs = list(Run.objects.filter(schedule_id=row.pk).brief()[:RUNS_SHOWN]) if row.pk else []
        cells = [
            (row_link("runs_run", run.pk), run.state, seconds_between(run.started_at, run.finished_at), _lag(run))
            for run in runs
        ]
        rows = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", cells)
        table = "<table><tr><th>run</th><th>state</th><th>duration</th><th>lag</th></tr>{}</table>"
        return format_html(table, rows) if cells else "There are none yet."


def seconds_between(first: datetime | None, last: datetime | None) -> str:
    return "" if first is None or last is None else f"{(last - first).total_seconds():.3f} s"


def _lag(run: Run) -> str:
    """How long after its due time a run began."""
    return seconds_between(run.due_at, run.started_at) if run.due_at else "by hand"
