"""A worker process claims waiting runs, and performs one after the other in its main thread; see `worker_threads` for
the other sort of workers."""

import os
import socket
import time

from taskhub.db.process_local import ProcessLocal
from taskhub.runs.models import Run
from taskhub.runs.queue import broker, worker_threads
from taskhub.runs.queue.attempts import NOBODY, Perform, attempt, claim_next
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.lease_keeper import LeaseKeeper
from taskhub.runs.queue.leases import claim_this
from taskhub.runs.run_kinds import kind_of

SHIFT_SECONDS = 5.0  # then the worker asks Celery for its next task, so that a warm shutdown waits no longer than this


class WorkerProcess:
    """This process as a worker: its name, and who keeps its leases."""

    def __init__(self, node: str) -> None:
        self.name = f"{node}:{os.getpid()}"
        self.keeper = LeaseKeeper(self.name)
        self.last_owner = NOBODY  # of the run that was claimed last: the next one goes to another, if one waits


_worker_process = ProcessLocal(WorkerProcess)


def work(kind: str, perform: Perform, *, node: str) -> int:
    """Performs waiting runs of `kind`, fairest first, until none waits or the shift is over; returns how many.

    Celery tasks call it. `perform(execution)` does the work and ends it with `execution.succeed` or `.fail` in the
    transaction of its effect. In a worker with threads it only has one of them look for work.
    """
    if threads := worker_threads.opened():
        threads.notify(kind, perform)
        return 0
    process, performed, until = _worker_process.get(node), 0, time.monotonic() + SHIFT_SECONDS
    while run := _claim_next(kind, process):
        attempt(Execution(run), perform, process.keeper)
        performed += 1
        if time.monotonic() > until:
            broker.send(kind_of(kind), run.pk)
            break
    return performed


def run_now(run: Run, perform: Perform) -> Run:
    """Performs this one run in the calling thread, where no worker would come for it."""
    process = _worker_process.get(f"web@{socket.gethostname()}")
    if claimed := claim_this(run_id=run.pk, worker=process.name):
        attempt(Execution(claimed), perform, process.keeper)
    run.refresh_from_db()
    return run


def _claim_next(kind: str, process: WorkerProcess) -> Run | None:
    run = claim_next(kind, process.name, process.last_owner)
    process.last_owner = run.owner_id if run else NOBODY
    return run
