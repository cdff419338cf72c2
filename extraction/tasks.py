"""Celery's edge of extraction."""

from typing import Any

from celery import shared_task

from extraction.services.deliveries import DELIVERY, deliver_once
from extraction.services.process_lifecycle import begin
from extraction.services.processes import KIND
from extraction.services.retention import PURGE, purge
from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work


@shared_task(name="extraction.tasks.ScheduledExtraction", bind=True)
def extraction_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Begins whatever waits and takes turns at what goes on, whichever run it was notified of; returns how many."""
    if not run_id:
        raise Rejected("An extraction is started by a schedule of the hub, or by POST /v1/task/{id}/run.")
    # Here, for the workers of other queues know this task, too, and what it takes to fetch pages takes time to load.
    from extraction.worker_loop import take_turns

    began = work(KIND, begin, node=self.request.hostname)
    return began + take_turns(node=self.request.hostname)


@shared_task(name="extraction.tasks.delivery", bind=True)
def delivery(self: Any, /, run_id: str) -> int:
    return work(DELIVERY, deliver_once, node=self.request.hostname)


@shared_task(name="extraction.tasks.purge", bind=True)
def removal(self: Any, /, run_id: str) -> int:
    return work(PURGE, purge, node=self.request.hostname)
