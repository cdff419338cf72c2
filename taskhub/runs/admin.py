"""Runs, workers and the leader in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django_celery_results.admin import TaskResultAdmin
from django_celery_results.models import GroupResult, TaskResult

from taskhub.runs.bulk.admin_actions import change_chosen
from taskhub.runs.bulk.services import Action
from taskhub.runs.models import Leadership, Run, Worker
from taskhub.runs.run_kinds import all_kinds, kind_or_default
from taskhub.runs.scheduler import beat_admin  # noqa: F401  (registers its pages)
from taskhub.runs.scheduler.admin import seconds_between
from taskhub.security.masking import hide, mask
from taskhub.web.admin import ReadOnlyAdmin, json_block, list_link, row_action, row_link, unbroken

LINKS_MAX = 20


class KindFilter(admin.SimpleListFilter):
    """Filters by registered kinds, without reading from the table which it holds."""

    title = parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.name, kind.name) for kind in all_kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "name", "owner", "state", "bar", "duration", "attempt", "whole_id")
    list_filter = ("state", KindFilter)
    list_select_related = ("owner",)
    search_ids = ("id",)
    linked_by = ("parent__id__exact",)
    console_page = ("runs-run", "pk")
    search_fields = ("name__exact", "owner__email__exact")
    search_help_text = "A run's id, its whole name, or its owner's whole e-mail address"
    ordering = ("-id",)
    unlisted = ("arguments", "result")
    actions = ("cancel_runs", "retry_runs")
    fieldsets = (
        (None, {"fields": ("id", "kind", "name", "owner", "state", "bar", "shown_error")}),
        (
            "Options",
            {"fields": ("tags", "shown_metadata", "priority", "expires_at", "concurrency_key", "concurrency_limit")},
        ),
        (
            "Lineage",
            {"fields": ("shown_parent", "shown_children", "shown_retry_of", "shown_retries", "schedule")},
        ),
        ("Work", {"fields": ("shown_arguments", "shown_result", "more")}),
        ("Times", {"fields": ("created_at", "due_at", "not_before", "started_at", "finished_at", "duration")}),
        (
            "Claim",
            {
                "fields": (
                    *("ready", "blocked", "worker", "attempt", "attempts", "failures", "losses"),
                    *("time_limit", "lease_until", "request_id", "traceparent", "revision"),
                )
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Run | None = None) -> list[str]:
        return [str(name) for _, options in self.fieldsets for name in options["fields"]]

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    @admin.display(description="id")
    def whole_id(self, run: Run) -> SafeString:
        return unbroken(run.pk)

    @admin.display(description="progress")
    def bar(self, run: Run) -> str | SafeString:
        progress = run.progress or {}
        done, total, message = progress.get("done"), progress.get("total"), _hidden(progress.get("message", ""), run)
        if not total:
            return message or ("" if done is None else f"{done}")
        return format_html('<progress value="{}" max="{}"></progress> {}/{} {}', done, total, done, total, message)

    @admin.display(description="duration")
    def duration(self, run: Run) -> str:
        return seconds_between(run.started_at, run.finished_at)

    @admin.display(description="error")
    def shown_error(self, run: Run) -> str:
        return _hidden(f"{run.error['type']}: {run.error['message']}", run) if run.error else ""

    @admin.display(description="arguments")
    def shown_arguments(self, run: Run) -> SafeString:
        return json_block(run.arguments)

    @admin.display(description="metadata")
    def shown_metadata(self, run: Run) -> SafeString:
        return json_block(run.metadata)

    @admin.display(description="result")
    def shown_result(self, run: Run) -> SafeString:
        return json_block(run.result, run.secrets)

    @admin.display(description="more")
    def more(self, run: Run) -> SafeString:
        pages = kind_or_default(run.kind).admin_links(run)
        return format_html_join(", ", '<a href="{1}">{0}</a>', pages)

    @admin.display(description="started by")
    def shown_parent(self, run: Run) -> SafeString:
        return _links(Run.objects.filter(children=run))

    @admin.display(description="started")
    def shown_children(self, run: Run) -> SafeString:
        return _links(run.children.all(), more={"parent__id__exact": run.pk})

    @admin.display(description="tries again")
    def shown_retry_of(self, run: Run) -> SafeString:
        return _links(Run.objects.filter(retries=run))

    @admin.display(description="tried again by")
    def shown_retries(self, run: Run) -> SafeString:
        return _links(run.retries.all())

    @row_action("Cancel the selected runs", "runs.change_run")
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        change_chosen(self, request, Action.CANCEL, queryset.values_list("pk", flat=True), "runs cancelled")

    @row_action("Try the selected runs again", "runs.add_run", asks=True)
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        change_chosen(self, request, Action.RETRY, queryset.values_list("pk", flat=True), "runs accepted again")


def _hidden(text: str, run: Run) -> str:
    """A text without the run's secrets. They stand in its arguments, which a list reads only where there is a text."""
    return mask(hide(text, run.secrets)) if text else ""


def _links(runs: QuerySet[Run], more: dict[str, Any] | None = None) -> SafeString:
    first = list(runs.defer("arguments", "result")[: LINKS_MAX + 1])
    lines = [(row_link("runs_run", run.pk, run), run.state) for run in first[:LINKS_MAX]]
    if len(first) > LINKS_MAX and more:
        lines.append((list_link("runs_run", "all of them", **more), ""))
    return format_html_join(mark_safe("<br>"), "{} {}", lines)


admin.site.unregister([TaskResult, GroupResult])  # groups are not used


@admin.register(TaskResult)
class ProjectedResultAdmin(ReadOnlyAdmin, TaskResultAdmin):
    """Ended runs as django-celery-results shows them, without the filters that read the whole table."""

    date_hierarchy: ClassVar[Any] = None
    list_filter: ClassVar[Any] = ("status",)
    search_fields: ClassVar[Any] = ("task_id__exact", "task_name__exact")
    ordering = ("-id",)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "queues", "processes", "pid", "seen_at")


@admin.register(Leadership)
class LeadershipAdmin(WorkerAdmin):
    list_display = ("name", "holder", "until")  # type: ignore[assignment]
