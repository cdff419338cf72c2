"""The admin's pages of extraction: tasks, processes and their pages, credits."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from extraction.domain.process_status import STATES_BY_WORD, PageState
from extraction.models import CreditAccount, CreditEntry, ExtractionPage, ExtractionTask, Process
from extraction.services import credits, deliveries, process_lifecycle, processes, retention, suspension
from extraction.services.process_log import line_of_note
from extraction.services.process_warnings import warnings_of
from extraction.services.result_export import ResultExport
from extraction.services.signed_links import LOG, link_to
from taskhub.errors import Problem
from taskhub.security.masking import mask, masked_address
from taskhub.web.admin import SHOWN_MAX, BigTableAdmin, WatchedAdmin, json_block, list_link, row_action, row_link

PREVIEW = 50


class ExtractionAdmin(WatchedAdmin):
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Finds a task or a process by its whole id, for which there is an index."""
        if not search_term:
            return queryset, False
        return (queryset.filter(id=search_term.strip()) if self.search_fields else queryset.none()), False


@admin.register(ExtractionTask)
class ExtractionTaskAdmin(ExtractionAdmin):
    list_display = ("__str__", "owner", "processes_of", "created_at")
    list_select_related = ("owner",)
    search_fields = ("=id",)
    search_help_text = "An id"
    unlisted = ("payload", "delivery")
    fields: ClassVar[Any] = (
        *("id", "owner", "name", "description", "shown_webhook", "shown_delivery", "shown_payload", "created_at"),
        "processes_of",
    )
    actions: Any = ["run_tasks", "test_deliveries", "delete_tasks"]

    @admin.display(description="payload")
    def shown_payload(self, task: ExtractionTask) -> SafeString:
        return json_block(task.payload)

    @admin.display(description="webhook")
    def shown_webhook(self, task: ExtractionTask) -> str:
        return masked_address(task.webhook)

    @admin.display(description="delivery")
    def shown_delivery(self, task: ExtractionTask) -> SafeString | str:
        return json_block(task.delivery) if task.delivery else "-"

    @admin.display(description="processes")
    def processes_of(self, task: ExtractionTask) -> SafeString:
        return list_link("extraction_process", "its processes", task__seq__exact=task.pk)

    @row_action("Run the selected tasks", "extraction.add_process", asks=True)
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[ExtractionTask]) -> None:
        self.each(
            request, queryset.select_related("owner"), lambda task: processes.run_task(task=task), "processes started"
        )

    @row_action(
        "Test the delivery of the selected tasks", "accounts.operate_all", "extraction.change_extractiontask", asks=True
    )
    def test_deliveries(self, request: HttpRequest, queryset: QuerySet[ExtractionTask]) -> None:
        tasks = queryset.select_related("owner")
        self.each(request, tasks, lambda task: deliveries.queue_test_deliveries(task=task), "tasks: see their runs")

    @row_action(
        "Delete the selected tasks with their processes and files", "extraction.delete_extractiontask", asks=True
    )
    def delete_tasks(self, request: HttpRequest, queryset: QuerySet[ExtractionTask]) -> None:
        self.each(request, queryset, lambda task: retention.delete_task(task=task), "tasks deleted")


@admin.register(Process)
class ProcessAdmin(ExtractionAdmin):
    console_page = ("extraction-process", "id")
    linked_by = ("task__seq__exact",)
    list_display = ("id", "task_link", "status", "progress", "records", "failed_link", "cost", "owner", "created_at")
    list_select_related = ("owner", "task")
    list_filter = ("status",)
    unlisted = ("payload", "delivery", "cookies", "task__payload", "task__delivery")
    search_fields = ("=id",)
    search_help_text = "An id"
    fields: ClassVar[Any] = (
        *("id", "owner", "task_link", "run_link", "status", "progress", "error", "requests", "responses", "pages"),
        *("open", "failed_link", "warnings", "records", "bytes", "cost", "max_credits", "missing", "results", "size"),
        *("created_at", "started_at", "finished_at", "pages_of", "deliveries", "log", "shown_payload", "preview"),
    )
    actions: Any = ["cancel_processes", "retry_processes"]

    @admin.display(description="progress")
    def progress(self, process: Process) -> SafeString:
        done = process.pages - process.open
        return format_html(
            '<progress value="{}" max="{}"></progress> {} of {}', done, max(1, process.pages), done, process.pages
        )

    @admin.display(description="task")
    def task_link(self, process: Process) -> SafeString | str:
        return (
            row_link("extraction_extractiontask", process.task.pk, process.task.name or process.task.id)
            if process.task
            else "-"
        )

    @admin.display(description="run")
    def run_link(self, process: Process) -> SafeString | str:
        return row_link("runs_run", process.run_id) if process.run_id else "-"

    @admin.display(description="failed pages")
    def failed_link(self, process: Process) -> SafeString | str:
        if not process.failed:
            return "0"
        return list_link(
            "extraction_extractionpage",
            str(process.failed),
            process__seq__exact=process.pk,
            state__exact=PageState.FAILED,
        )

    @admin.display(description="all pages")
    def pages_of(self, process: Process) -> SafeString:
        states: dict[str, Any] = {"all": {}} | {word: {"state__exact": state} for word, state in STATES_BY_WORD.items()}
        of, page = {"process__seq__exact": process.pk}, "extraction_extractionpage"
        return format_html_join(", ", "{}", [(list_link(page, word, **of, **only),) for word, only in states.items()])

    @admin.display(description="warnings")
    def warnings(self, process: Process) -> SafeString | str:
        lines = [(line_of_note(note),) for note in warnings_of(process)]
        return format_html_join("", "<div>{}</div>", lines) or "-"

    @admin.display(description="deliveries")
    def deliveries(self, process: Process) -> SafeString | str:
        if not process.run_id:
            return "-"
        return list_link("runs_run", "its deliveries and webhooks", parent__id__exact=process.run_id)

    @admin.display(description="log")
    def log(self, process: Process) -> SafeString:
        return format_html('<a href="{}">open</a>', link_to(process=process, content=LOG))

    @admin.display(description="payload")
    def shown_payload(self, process: Process) -> SafeString:
        return json_block(process.payload)

    @admin.display(description=f"first {PREVIEW} records")
    def preview(self, process: Process) -> SafeString:
        return format_html("<pre>{}</pre>", "\n".join(_lines(process))[:SHOWN_MAX])

    @row_action("Stop the selected processes", "extraction.change_process")
    def cancel_processes(self, request: HttpRequest, queryset: QuerySet[Process]) -> None:
        self.each(
            request,
            queryset.select_related("run"),
            lambda process: processes.cancel_process(process=process),
            "processes stopped",
        )

    @row_action("Ask again for failed pages of the selected processes", "extraction.change_process", asks=True)
    def retry_processes(self, request: HttpRequest, queryset: QuerySet[Process]) -> None:
        rows = queryset.select_related("run", "owner", "task")
        retry = process_lifecycle.retry_process
        self.each(request, rows, lambda process: retry(process=process), "processes retried")


def _lines(process: Process) -> Iterator[str]:
    """The first records of a process, as lines of JSON: what they contain comes from a site, and is text here."""
    if process.task is None:  # its result is a file, not records
        return
    for record in islice(ResultExport(process).records(), PREVIEW):
        yield json.dumps(record, ensure_ascii=False)


@admin.register(ExtractionPage)
class ExtractionPageAdmin(ExtractionAdmin):
    """Lists pages: those of one process, as a rule; those of all processes by their number alone."""

    linked_by = ("process__seq__exact",)
    list_display = ("id", "shown_url", "state", "status", "attempt", "found", "bytes", "duration_ms", "cost", "error")
    fields: ClassVar[Any] = (
        *("id", "process_link", "shown_url", "state", "status", "attempt", "lost", "rule", "ordinal", "found", "bytes"),
        *("duration_ms", "cost", "error", "not_before", "fetched_at"),
    )

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Filters pages of one process only: no index sorts the pages of all by state."""
        return (PageStateFilter, PageStatusFilter) if "process__seq__exact" in request.GET else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExtractionPage]:
        return super().get_queryset(request).defer("records")

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        return ["pk"] if "process__seq__exact" in request.GET else ["-pk"]

    @admin.display(description="url")
    def shown_url(self, page: ExtractionPage) -> str:
        return mask(page.url)

    @admin.display(description="process")
    def process_link(self, page: ExtractionPage) -> SafeString:
        return row_link("extraction_process", page.process.pk, page.process.id)


class PageStateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(state.value, word) for word, state in STATES_BY_WORD.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExtractionPage]) -> QuerySet[ExtractionPage]:
        return queryset.filter(state=self.value()) if self.value() else queryset


class PageStatusFilter(admin.SimpleListFilter):
    title, parameter_name = "status", "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(str(status), str(status)) for status in (200, 403, 404, 408, 429, 500, 502, 503, 504)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ExtractionPage]) -> QuerySet[ExtractionPage]:
        return queryset.filter(status=self.value()) if (self.value() or "").isdecimal() else queryset


class CreditAccountForm(forms.ModelForm):
    """An account's limits, and a top-up of its credits."""

    amount = forms.IntegerField(
        required=False,
        min_value=-credits.AMOUNT_MAX,
        max_value=credits.AMOUNT_MAX,
        help_text="Credits to add; less than nothing takes back",
    )
    note = forms.CharField(required=False, max_length=1000)

    class Meta:
        model = CreditAccount
        fields: ClassVar[Any] = ("max_pages", "max_depth", "max_seconds", "max_page_bytes")


@admin.register(CreditAccount)
class CreditAccountAdmin(BigTableAdmin):
    recorded_as = "credits"
    form = CreditAccountForm
    list_display = ("owner", "balance", "max_pages", "max_depth", "max_seconds", "max_page_bytes")
    list_select_related = ("owner",)
    ordering = ("pk",)
    search_fields = ("owner__email",)
    search_ids = ("pk",)
    fields: ClassVar[Any] = (
        *("owner", "balance", "amount", "note", "max_pages", "max_depth", "max_seconds", "max_page_bytes", "ledger"),
    )
    readonly_fields = ("owner", "balance", "ledger")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # each user gets one when it is first asked for

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="ledger")
    def ledger(self, account: CreditAccount) -> SafeString:
        return list_link("extraction_creditentry", "what changed the balance", account__pk__exact=account.pk)

    def save_model(self, request: HttpRequest, obj: CreditAccount, form: Any, change: bool) -> None:
        limits = CreditAccountForm.Meta.fields
        CreditAccount.objects.filter(pk=obj.pk).update(**{name: getattr(obj, name) for name in limits})
        amount = form.cleaned_data.get("amount")
        if not amount:
            return
        try:
            credits.top_up(owner_id=obj.pk, amount=amount, by=request.user, note=form.cleaned_data["note"])
        except Problem as problem:
            places = "; ".join(place["detail"] for place in problem.errors)
            self.message_user(request, f"{problem.detail} {places}", messages.ERROR)
            return
        count = suspension.resume_waiting(obj.pk)
        self.message_user(request, f"{amount:+} credits; {count} processes go on.")


@admin.register(CreditEntry)
class CreditEntryAdmin(ExtractionAdmin):
    linked_by = ("account__pk__exact",)
    list_display = ("id", "account", "kind", "amount", "balance", "process", "note", "by", "at")
    list_select_related = ("account__owner", "by")
    fields: ClassVar[Any] = ("id", "account", "kind", "amount", "balance", "process", "note", "by", "at")
