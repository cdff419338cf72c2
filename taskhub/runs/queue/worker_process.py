"""A worker process claims waiting runs, performs one after the other, and writes down how each attempt ended."""

import logging
import os
import socket
import time
from collections.abc import Callable
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from taskhub.db.process_local import ProcessLocal
from taskhub.errors import Problem
from taskhub.runs.domain import Interrupted, LeaseLost, Overdue, State, error_of
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.lease_keeper import LeaseKeeper
from taskhub.runs.queue.leases import claim, claim_this
from taskhub.runs.run_kinds import kind_of
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

SHIFT_SECONDS = 5.0  # then the worker asks Celery for its next task, so that a warm shutdown waits no longer than this
NOBODY = UUID(int=0)

Perform = Callable[[Execution], None]


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
    transaction of its effect.
    """
    process, performed, until = _worker_process.get(node), 0, time.monotonic() + SHIFT_SECONDS
    while run := _claim_next(kind, process):
        _perform(run, perform, process.keeper)
        performed += 1
        if time.monotonic() > until:
            broker.send(kind_of(kind), run.pk)
            break
    return performed


def run_now(run: Run, perform: Perform) -> Run:
    """Performs this one run in the calling thread, where no worker would come for it."""
    process = _worker_process.get(f"web@{socket.gethostname()}")
    if claimed := claim_this(run_id=run.pk, worker=process.name):
        _perform(claimed, perform, process.keeper)
    run.refresh_from_db()
    return run


def _claim_next(kind: str, process: WorkerProcess) -> Run | None:
    try:
        run = claim(kind=kind, worker=process.name, after=process.last_owner)
    except (OperationalError, InterfaceError):
        # The connection may have died since the last run: once more with a new one.
        connection.close()
        run = claim(kind=kind, worker=process.name, after=process.last_owner)
    process.last_owner = run.owner_id if run else NOBODY
    return run


def _perform(run: Run, perform: Perform, keeper: LeaseKeeper) -> None:
    execution = Execution(run)
    with hiding(run.arguments):
        try:
            with keeper.keep(execution):
                perform(execution)
        except Interrupted as stop:
            execution.drop_connection()
            if stop is not execution.stop:
                raise  # it is meant for a run around this one
            if isinstance(stop, Overdue):
                execution.end_overdue()
            log.info("Run %s stopped: %s", run.pk, stop)
        except LeaseLost:
            log.info("Run %s had already ended otherwise", run.pk)
            execution.drop_connection()
        except (OperationalError, InterfaceError) as error:
            # A deadlock, a time-out, or the database is away: then nothing can be written down, and the lease runs out.
            log.warning("Run %s lost the database: %s", run.pk, error)
            execution.drop_connection()
            execution.end_attempt(error_of(error), retry=True)
        except Exception as error:
            permanent = not isinstance(error, Problem) or error.permanent
            log.info("Run %s failed: %s", run.pk, error, exc_info=permanent and not isinstance(error, Problem))
            execution.end_attempt(error_of(error), retry=not permanent)
        else:
            if not execution.detached and run.state not in {State.SUCCESS, State.FAILURE}:
                error_without_ending = {"type": "NoEnding", "message": "The work did not say how it ended."}
                execution.end_attempt(error_without_ending, retry=False)
