"""Celery's edge of notifications."""

from typing import Any

from celery import shared_task

from taskhub.runs.notifications.email_delivery import perform_email
from taskhub.runs.queue.notification_events import EMAIL
from taskhub.runs.queue.worker_process import work


@shared_task(name="taskhub.runs.notifications.tasks.send", bind=True)
def send(self: Any, /, run_id: str) -> int:
    """Sends whatever waits, fairest first, whichever run it was notified of; returns how many."""
    return work(EMAIL, perform_email, node=self.request.hostname)
