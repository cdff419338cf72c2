"""What crawlers need of the ledger: tasks as runs, notices, the removal of documents, and what schedules may start."""

from django.urls import reverse

from crawlers.models import CrawlerTask
from crawlers.services.crawler_schedules import KIND, SCHEDULED, work_of_schedule
from crawlers.services.document_removal import PURGE
from crawlers.services.status_updates import NOTICE, run_ended
from crawlers.services.task_runs import check_arguments, run_copied
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import Kind, Schedulable

QUEUE = "crawlers"
EXAMPLE = """{
    // Which crawler is to begin a task; its parameters are its own.
    "crawler": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
}
"""


def _pages(run: Run) -> list[tuple[str, str]]:
    return [
        ("task", reverse("admin:crawlers_crawlertask_change", args=[pk]))
        for pk in CrawlerTask.objects.filter(run=run).values_list("pk", flat=True)
    ]


KINDS = [
    Kind(KIND, SCHEDULED, QUEUE, check=check_arguments, copied=run_copied, ended=run_ended, pages=_pages),
    Kind(NOTICE, "crawlers.tasks.notice", QUEUE),
    Kind(PURGE, "crawlers.tasks.purge", QUEUE),
]
SCHEDULED_CRAWLER = Schedulable(KIND, "ScheduledCrawler", (SCHEDULED,), EXAMPLE, work_of_schedule)
