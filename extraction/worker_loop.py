"""Turns of a worker: at one process after the other, until nothing waits or its shift is over."""

import logging
import os
import time

from django.db import DatabaseError, InterfaceError, connection

from extraction.fetch_loop import is_fetching, take_turn
from extraction.models import Process, Slice
from extraction.services import process_lifecycle, slices
from extraction.services.results import write_results
from extraction.services.slices import SliceLost
from extraction.services.tasks import payload_of
from taskhub.errors import Problem
from taskhub.runs import queue as runs
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

SHIFT_SECONDS = 5.0  # then the worker asks for the next ring, so that a warm shutdown waits no longer than a turn


def take_turns(*, node: str) -> int:
    """How many turns it took."""
    worker, until, count = f"{node}:{os.getpid()}", time.monotonic() + SHIFT_SECONDS, 0
    while claimed := _claimed(worker):
        _take(*claimed)
        count += 1
        if time.monotonic() > until:
            if (run := claimed[1].run) is not None:
                runs.invite(run)
            break
    return count


def _claimed(worker: str) -> tuple[Slice, Process] | None:
    try:
        return slices.claim_slice(worker=worker)
    except (DatabaseError, InterfaceError):
        connection.close()  # it may have died since the last turn: once more with a new one
        return slices.claim_slice(worker=worker)


def _take(slice: Slice, process: Process) -> None:
    try:
        with hiding(process.payload):
            if is_fetching(process):
                take_turn(slice, process, payload_of(process))
            else:
                write_results(slice=slice, process=process)
    except SliceLost:
        log.info("Process %s was stopped", process.id)
    except (DatabaseError, InterfaceError) as error:
        log.warning("A turn at %s lost the database: %s", process.id, error)
        connection.close()
    except Problem as problem:
        _refused(slice, process, problem)


def _refused(slice: Slice, process: Process, problem: Problem) -> None:
    """What its owner may no longer ask for, as when limits were lowered meanwhile."""
    process_lifecycle.leave(slice=slice)
    error = {"type": type(problem).__name__, "message": problem.detail}
    if process.run_id and problem.permanent:
        process_lifecycle.fail(process=process, error=error)
