"""The Celery task of sequences."""

from typing import Any

from celery import shared_task

from sequences.run_kinds import OLDER_NAMES, TASK
from sequences.services.sequence_execution import perform_sequence
from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work


def sequence_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Performs the runs that wait, fairest first, and returns how many; `run_id` is the one it was sent for."""
    if not run_id:
        raise Rejected("A sequence is started by a schedule of the hub, or by POST /sequences/runs.")
    return work("sequence", perform_sequence, node=self.request.hostname)


for name in (TASK, *OLDER_NAMES):
    shared_task(name=name, bind=True)(sequence_run)
