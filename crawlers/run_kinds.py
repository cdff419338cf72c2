"""The kinds of runs of crawlers: tasks, notices to crawlers, and the removal of documents."""

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from crawlers.domain.kind_names import CRAWLER_TASK, DOCUMENT_REMOVAL, NOTICE, SCHEDULED_TASK
from crawlers.models import Crawler, CrawlerTask
from crawlers.services.crawler_schedules import planned_run
from crawlers.services.document_retention import queue_retentions
from crawlers.services.status_updates import TIMED_OUT, end_task_of_run
from crawlers.services.task_retention import prune_tasks
from crawlers.services.task_runs import check_arguments, retry_task_of_run, retry_with_params
from crawlers.services.tombstones import prune_tombstones
from taskhub.accounts.roles import reaches_all
from taskhub.errors import Forbidden
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.domain import NotificationEvent
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget
from taskhub.security.scopes import KeyScope

QUEUE = "crawlers"
EXAMPLE = """{
    // The crawler that starts a task, with the parameters it has.
    "crawler": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
}
"""


_RETRIED = ObjectSchema("RetriedCrawl", {"params": (dict[str, Any], {})})


class CrawlerTaskKind(RunKind):
    """Tasks, from the request that starts one at its crawler to the status that ends it."""

    name = CRAWLER_TASK
    task = SCHEDULED_TASK
    queue = QUEUE

    def check(self, arguments: Mapping[str, Any]) -> None:
        check_arguments(arguments)

    def check_owner(self, arguments: Mapping[str, Any], owner: Any) -> None:
        others = Crawler.objects.filter(fid=arguments["crawler"]).exclude(owner=owner)
        if not reaches_all(owner, KeyScope.RUN) and others.exists():
            raise Forbidden("The run's crawler is another user's.")

    def on_retry(self, old: Run, new: Run) -> None:
        retry_task_of_run(old, new)

    def retry_with(self, run: Run, arguments: Mapping[str, Any]) -> Run:
        """A new task of the crawler, with other `params` over the crawler's own."""
        return retry_with_params(run=run, params=_RETRIED.check(arguments).get("params", {}))

    def on_end(self, run: Run) -> None:
        end_task_of_run(run)

    def failure_event(self, error: Mapping[str, Any]) -> str | None:
        return NotificationEvent.CRAWLER_TIMEOUT if error.get("type") == TIMED_OUT else None

    def prune(self) -> int:
        return prune_tasks()

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [
            ("task", reverse("admin:crawlers_crawlertask_change", args=[pk]))
            for pk in CrawlerTask.objects.filter(run=run).values_list("pk", flat=True)
        ]


class CrawlerNoticeKind(RunKind):
    """Requests that tell a crawler of a change of its task's status."""

    name = NOTICE
    task = "crawlers.tasks.notice"
    queue = QUEUE
    is_secondary = True


class DocumentRemovalKind(RunKind):
    """Removals of the documents of deleted tasks and streams."""

    name = DOCUMENT_REMOVAL
    task = "crawlers.tasks.purge"
    queue = "removal"  # a large one must not hold up the calls to crawlers
    is_secondary = True

    def prune(self) -> int:
        return prune_tombstones() + queue_retentions()


class CrawlerTarget(ScheduleTarget):
    kind = CRAWLER_TASK
    title = "ScheduledCrawler"
    tasks = (SCHEDULED_TASK,)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        return planned_run(arguments, owner, schedule)


KINDS = (CrawlerTaskKind, CrawlerNoticeKind, DocumentRemovalKind)
