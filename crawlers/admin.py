"""The operator's pages of externals, streams, crawlers, tasks, documents and rejected lines."""

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from crawlers.domain.parameters import hide_secret_defaults
from crawlers.models import Crawler, CrawlerTask, Document, External, RejectedLine, Stream
from crawlers.services import definitions, status_updates, task_runs
from crawlers.services.crawler_calls import time_out
from crawlers.services.crawler_schedules import schedule_of
from taskhub.errors import Conflict
from taskhub.security.masking import MASK, mask
from taskhub.web.admin import WatchedAdmin, json_block, list_link, row_action, row_link, text_block, unbroken


def _link(row: Any, text: str = "") -> SafeString:
    """A link to the page of a crawlers' row; without a text its name is shown, or its fid."""
    return row_link(f"crawlers_{row._meta.model_name}", row.pk, text or row.name or row.fid)


class CrawlersAdmin(WatchedAdmin):
    search_ids = ("fid",)
    search_help_text = "A fid"


@admin.register(External)
class ExternalAdmin(CrawlersAdmin):
    console_page = ("crawlers-external", "fid")
    list_display = ("name", "shown_endpoint", "credential", "owner", "version", "created_at")
    list_select_related = ("owner",)
    unlisted = ("parameters", "schema", "headers")
    fields: ClassVar[Any] = (
        *("fid", "owner", "meta", "shown_endpoint", "credential", "shown_parameters", "shown_schema", "id_field"),
        *("shown_headers", "timeout", "version", "created_at", "crawlers_of"),
    )
    actions: Any = ["delete_externals"]

    @admin.display(description="endpoint")
    def shown_endpoint(self, external: External) -> str:
        return mask(external.endpoint)

    @admin.display(description="parameters")
    def shown_parameters(self, external: External) -> SafeString:
        return json_block(hide_secret_defaults(external.parameters))

    @admin.display(description="schema")
    def shown_schema(self, external: External) -> SafeString:
        return json_block(external.schema)

    @admin.display(description="headers")
    def shown_headers(self, external: External) -> SafeString:
        return json_block(external.headers)

    @admin.display(description="crawlers")
    def crawlers_of(self, external: External) -> SafeString:
        return list_link("crawlers_crawler", "its crawlers", external__id__exact=external.pk)

    @row_action("Delete the selected externals", "crawlers.delete_external", asks=True)
    def delete_externals(self, request: HttpRequest, queryset: QuerySet[External]) -> None:
        self.each(request, queryset, lambda row: definitions.delete_external(external=row), "externals deleted")


@admin.register(Stream)
class StreamAdmin(CrawlersAdmin):
    console_page = ("streams-stream", "fid")
    list_display = ("name", "fid", "documents", "owner", "created_at")
    list_select_related = ("owner",)
    fields: ClassVar[Any] = (
        *("fid", "owner", "meta", "documents", "retention_days", "retention_documents", "version", "created_at"),
        "more",
    )
    actions: Any = ["delete_streams"]

    @admin.display(description="more")
    def more(self, stream: Stream) -> SafeString:
        pages = [(list_link(f"crawlers_{name}", text, stream__id__exact=stream.pk),) for name, text in _PAGES_OF_STREAM]
        return format_html_join(", ", "{}", pages)

    @row_action("Delete the selected streams with their documents", "crawlers.delete_stream", asks=True)
    def delete_streams(self, request: HttpRequest, queryset: QuerySet[Stream]) -> None:
        self.each(request, queryset, lambda row: definitions.delete_stream(stream=row), "streams deleted")


_PAGES_OF_STREAM = (("crawler", "its crawler"), ("crawlertask", "its tasks"), ("document", "its documents"))


@admin.register(Crawler)
class CrawlerAdmin(CrawlersAdmin):
    console_page = ("crawlers-crawler", "fid")
    linked_by = ("external__id__exact", "stream__id__exact")
    list_display = ("name", "fid", "external_link", "stream_link", "owner", "created_at")
    list_select_related = ("owner", "external", "stream")
    unlisted = ("params", "secrets", "external__parameters", "external__schema", "external__headers")
    fields: ClassVar[Any] = (
        *("fid", "owner", "meta", "external_link", "stream_link", "shown_params", "schedule", "version"),
        *("created_at", "tasks_of"),
    )
    actions: Any = ["start_tasks", "delete_crawlers"]

    @admin.display(description="external")
    def external_link(self, crawler: Crawler) -> SafeString:
        return _link(crawler.external)

    @admin.display(description="stream")
    def stream_link(self, crawler: Crawler) -> SafeString:
        return _link(crawler.stream)

    @admin.display(description="parameters")
    def shown_params(self, crawler: Crawler) -> SafeString:
        return json_block({**crawler.params, **dict.fromkeys(crawler.secrets.get("params", {}), MASK)})

    @admin.display(description="schedule")
    def schedule(self, crawler: Crawler) -> str | SafeString:
        if crawler.periodic is None:
            return "-"
        text = json.dumps(schedule_of(crawler))
        return row_link("django_celery_beat_periodictask", crawler.periodic.pk, text)

    @admin.display(description="tasks")
    def tasks_of(self, crawler: Crawler) -> SafeString:
        return list_link("crawlers_crawlertask", "its tasks", crawler__id__exact=crawler.pk)

    @row_action("Start a task of each selected crawler", "crawlers.add_crawlertask", asks=True)
    def start_tasks(self, request: HttpRequest, queryset: QuerySet[Crawler]) -> None:
        self.each(request, queryset, _start, "tasks started")

    @row_action("Delete the selected crawlers", "crawlers.delete_crawler", asks=True)
    def delete_crawlers(self, request: HttpRequest, queryset: QuerySet[Crawler]) -> None:
        self.each(request, queryset, lambda row: definitions.delete_crawler(crawler=row), "crawlers deleted")


def _start(crawler: Crawler) -> None:
    _refuse_running(*task_runs.start_task(crawler=crawler))


def _retry(task: CrawlerTask) -> None:
    _refuse_running(*task_runs.retry_task(task=task))


def _refuse_running(task: CrawlerTask, is_new: bool) -> None:
    if not is_new:
        raise Conflict(f"The task {task.fid} is running.")


def _lines(rows: Iterable[tuple[Any, ...]]) -> SafeString:
    """A line each: a time, and what happened then."""
    lines = [(f"{at:%Y-%m-%d %H:%M:%S}", mask(" ".join(map(str, parts)))) for at, *parts in rows]
    return format_html_join(mark_safe("<br>"), "{} {}", lines)


_PAGES_OF_TASK = (("document", "its documents"), ("rejectedline", "rejected lines"))


class RunningFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "running"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "running"), ("no", "ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CrawlerTask]) -> QuerySet[CrawlerTask]:
        return queryset.filter(ended_at__isnull=self.value() == "yes") if self.value() else queryset


@admin.register(CrawlerTask)
class CrawlerTaskAdmin(CrawlersAdmin):
    console_page = ("crawlers-task", "fid")
    linked_by = ("crawler__id__exact", "stream__id__exact")
    list_display = (
        *("whole_fid", "shown_status", "crawler_link", "attempt", "received", "inserted", "updated", "unchanged"),
        *("rejected", "created_at", "ended_at"),
    )
    list_select_related = ("crawler",)
    list_filter: ClassVar[Any] = (RunningFilter,)
    unlisted = ("params", "secrets", "detail", "crawler__params", "crawler__secrets")
    fields: ClassVar[Any] = (
        *("fid", "owner", "crawler_link", "stream_link", "run_link", "attempt", "shown_status", "message", "detail"),
        *("shown_params", "shown_callback", "timeout", "created_at", "started_at", "seen_at", "ended_at", "received"),
        *("inserted", "updated", "unchanged", "rejected", "bytes", "more", "requests", "history"),
    )
    actions: Any = ["retry_tasks", "stop_tasks", "time_out_tasks", "delete_tasks"]

    @admin.display(description="fid")
    def whole_fid(self, task: CrawlerTask) -> SafeString:
        return unbroken(task.fid)

    @admin.display(description="status", ordering="code")
    def shown_status(self, task: CrawlerTask) -> str:
        return f"{task.code} {task.message[:60]}"

    @admin.display(description="crawler")
    def crawler_link(self, task: CrawlerTask) -> SafeString | str:
        return _link(task.crawler) if task.crawler else "-"

    @admin.display(description="stream")
    def stream_link(self, task: CrawlerTask) -> SafeString:
        return _link(task.stream)

    @admin.display(description="run")
    def run_link(self, task: CrawlerTask) -> SafeString | str:
        return row_link("runs_run", task.run_id) if task.run_id else "-"

    @admin.display(description="parameters")
    def shown_params(self, task: CrawlerTask) -> SafeString:
        return json_block({**task.params, **dict.fromkeys(task.secrets.get("params", {}), MASK)})

    @admin.display(description="more")
    def more(self, task: CrawlerTask) -> SafeString:
        pages = [(list_link(f"crawlers_{name}", text, task__id__exact=task.pk),) for name, text in _PAGES_OF_TASK]
        return format_html_join(", ", "{}", pages)

    @admin.display(description="callback")
    def shown_callback(self, task: CrawlerTask) -> str:
        return mask(task.callback)

    @admin.display(description="requests to the crawler")
    def requests(self, task: CrawlerTask) -> SafeString:
        return _lines((c.at, c.method, c.url, c.status or "", c.error) for c in task.calls.order_by("-id")[:20])

    @admin.display(description="history")
    def history(self, task: CrawlerTask) -> SafeString:
        changes = task.history.order_by("-id")[:100]
        return _lines((c.at, f"attempt {c.attempt}", c.code, c.message, c.detail, f"({c.by})") for c in changes)

    @row_action("Try the selected tasks again", "crawlers.change_crawlertask", asks=True)
    def retry_tasks(self, request: HttpRequest, queryset: QuerySet[CrawlerTask]) -> None:
        self.each(request, queryset, _retry, "tasks started again")

    @row_action("Stop the selected tasks", "crawlers.change_crawlertask")
    def stop_tasks(self, request: HttpRequest, queryset: QuerySet[CrawlerTask]) -> None:
        self.each(
            request, queryset, lambda row: status_updates.stop_task(task=row, message="Stopped."), "tasks stopped"
        )

    @row_action("Time the selected tasks out", "crawlers.change_crawlertask")
    def time_out_tasks(self, request: HttpRequest, queryset: QuerySet[CrawlerTask]) -> None:
        self.each(request, queryset, lambda row: time_out(task=row), "tasks timed out")

    @row_action("Delete the selected tasks with their documents", "crawlers.delete_crawlertask", asks=True)
    def delete_tasks(self, request: HttpRequest, queryset: QuerySet[CrawlerTask]) -> None:
        self.each(request, queryset, lambda row: status_updates.delete_task(task=row), "tasks deleted")


@admin.register(Document)
class DocumentAdmin(CrawlersAdmin):
    linked_by = ("stream__id__exact", "task__id__exact")
    list_display = ("id", "key", "stream_id", "task_id", "at", "body_start")
    unlisted = ("body",)
    search_ids = ("id",)
    search_help_text = "A row's number"
    fields: ClassVar[Any] = ("id", "key", "stream_link", "task_link", "rank", "at", "shown_body")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Where a task is asked for, the rows between its first and its last: no index finds a task's rows."""
        rows: QuerySet[Any] = super().get_queryset(request).annotate(beginning=Left("body", 100))
        number = request.GET.get("task__id__exact", "")
        if number.isascii() and number.isdecimal() and len(number) < 19:
            task = CrawlerTask.objects.filter(pk=int(number), first_row__isnull=False).first()
            rows = rows.filter(pk__range=(task.first_row, task.last_row)) if task else rows.none()
        return rows

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """A stream's documents by their keys, as its index has them; all documents newest first."""
        return ["key"] if "stream__id__exact" in request.GET else ["-pk"]

    @admin.display(description="stream")
    def stream_link(self, document: Document) -> SafeString:
        return _link(document.stream)

    @admin.display(description="task")
    def task_link(self, document: Document) -> SafeString:
        return _link(document.task, str(document.task.fid))

    @admin.display(description="document")
    def body_start(self, document: Any) -> str:
        return str(document.beginning)

    @admin.display(description="document")
    def shown_body(self, document: Document) -> SafeString:
        return json_block(json.loads(document.body))


@admin.register(RejectedLine)
class RejectedLineAdmin(CrawlersAdmin):
    linked_by = ("task__id__exact",)
    list_display = ("id", "task_link", "line", "reason", "at")
    list_select_related = ("task",)
    unlisted = ("body", "task__params", "task__secrets", "task__detail")
    search_ids = ("id",)
    search_help_text = "A row's number"
    fields: ClassVar[Any] = ("task_link", "line", "reason", "shown_body", "at")

    @admin.display(description="line as it was sent")
    def shown_body(self, rejected: RejectedLine) -> SafeString:
        return text_block(rejected.body)

    @admin.display(description="task")
    def task_link(self, rejected: RejectedLine) -> SafeString:
        return _link(rejected.task, str(rejected.task.fid))
