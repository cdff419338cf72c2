"""The Celery tasks of crawlers. A message says only that a run waits: each task works on whatever waits."""

from typing import Any

from celery import shared_task

from crawlers.domain.kind_names import CRAWLER_TASK, DOCUMENT_REMOVAL, NOTICE, SCHEDULED_TASK
from crawlers.services.crawler_calls import perform_notice, perform_task
from crawlers.services.document_retention import perform_removal_run
from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work


@shared_task(name=SCHEDULED_TASK, bind=True)
def crawler_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Works on runs of crawlers until none waits, fairest first; returns how many."""
    if not run_id:
        raise Rejected("A crawler is started by a schedule of the hub, or by POST /actions/crawlers/{fid}/task.")
    return work(CRAWLER_TASK, perform_task, node=self.request.hostname)


@shared_task(name="crawlers.tasks.notice", bind=True)
def notice(self: Any, /, run_id: str) -> int:
    return work(NOTICE, perform_notice, node=self.request.hostname)


@shared_task(name="crawlers.tasks.purge", bind=True)
def document_removal(self: Any, /, run_id: str) -> int:
    return work(DOCUMENT_REMOVAL, perform_removal_run, node=self.request.hostname)
