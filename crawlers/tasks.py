"""The Celery tasks of crawlers. A message says only that a run waits: each task works on whatever waits."""

from typing import Any

from celery import shared_task

from crawlers.services.crawler_calls import run_task, send_notice
from crawlers.services.crawler_schedules import KIND, SCHEDULED
from crawlers.services.document_removal import PURGE, purge
from crawlers.services.status_updates import NOTICE
from taskhub.errors import Rejected
from taskhub.runs.queue.execution import work


@shared_task(name=SCHEDULED, bind=True)
def crawler_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Works on runs of crawlers until none waits, fairest first; returns how many."""
    if not run_id:
        raise Rejected("A crawler is started by a schedule of the hub, or by POST /actions/crawlers/{fid}/task.")
    return work(KIND, run_task, node=self.request.hostname)


@shared_task(name="crawlers.tasks.notice", bind=True)
def notice(self: Any, /, run_id: str) -> int:
    return work(NOTICE, send_notice, node=self.request.hostname)


@shared_task(name="crawlers.tasks.purge", bind=True)
def purge_documents(self: Any, /, run_id: str) -> int:
    return work(PURGE, purge, node=self.request.hostname)
