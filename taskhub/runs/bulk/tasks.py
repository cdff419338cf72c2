"""Celery's edge of bulk changes."""

from typing import Any

from celery import shared_task

from taskhub.runs.bulk.services import KIND, perform_bulk_change
from taskhub.runs.queue.worker_process import work


@shared_task(name="taskhub.runs.bulk.tasks.change", bind=True)
def change(self: Any, /, run_id: str) -> int:
    """Performs the bulk changes that wait, fairest first, whichever it was notified of; returns how many."""
    return work(KIND, perform_bulk_change, node=self.request.hostname)
