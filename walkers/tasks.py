"""Celery's edge of walks."""

from typing import Any

from celery import shared_task

from taskhub.runs.execution import work
from walkers.services.walking import perform


@shared_task(name="walkers.tasks.walker_run", bind=True)
def walker_run(self: Any, run_id: str) -> int:
    """Rung for one run; performs whatever waits, fairest first, and says how many."""
    return work("walker", perform, node=self.request.hostname)
