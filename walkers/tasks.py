"""The Celery tasks of walkers."""

from typing import Any

from celery import shared_task

from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work
from walkers.run_kinds import OLDER_NAMES, TASK, WalkerKind
from walkers.walks.walk_execution import perform_walk


def walker_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Performs the runs that wait, fairest first, and returns how many; `run_id` is the one it was sent for."""
    if not run_id:
        raise Rejected("A walk is started by a schedule of the hub, or by walker_run.")
    return work("walker", perform_walk, node=self.request.hostname)


# Schedules select a walk by the other names, which other tools list.
for name in (WalkerKind.task, TASK, *OLDER_NAMES):
    shared_task(name=name, bind=True)(walker_run)
