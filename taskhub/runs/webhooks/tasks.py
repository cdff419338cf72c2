"""Celery's edge of webhooks."""

from typing import Any

from celery import shared_task

from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.services import perform_delivery


@shared_task(name="taskhub.runs.webhooks.tasks.deliver", bind=True)
def deliver(self: Any, /, run_id: str) -> int:
    """Sends whatever waits, fairest first, whichever run it was notified of; returns how many."""
    return work(WEBHOOK, perform_delivery, node=self.request.hostname)
