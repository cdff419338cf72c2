"""Turns of a worker: at one process after the other, until nothing waits or its shift is over."""

import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.functions import Now

from extraction.domain.result_formats import file_name
from extraction.fetch_loop import is_fetching, take_turn
from extraction.models import Process, ProcessNote, Slice
from extraction.services import process_lifecycle, slices
from extraction.services.results import Export, removed, store
from extraction.services.slices import SliceLost
from extraction.services.tasks import payload_of
from taskhub.errors import Problem
from taskhub.runs import queue as runs
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

RENEWED_EVERY = 20  # batches of pages
TRY_AGAIN = timedelta(seconds=30)
SHIFT_SECONDS = 5.0  # then the worker asks for the next ring, so that a warm shutdown waits no longer than a turn


def take_turns(*, node: str) -> int:
    """How many turns it took."""
    worker, until, count = f"{node}:{os.getpid()}", time.monotonic() + SHIFT_SECONDS, 0
    while claimed := _claimed(worker):
        _take(*claimed)
        count += 1
        if time.monotonic() > until:
            if (run := claimed[1].run) is not None:
                runs.notify_worker(run)
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


def write_results(*, slice: Slice, process: Process) -> bool:
    """Writes the result of a process to its file, under the slice's lease, and says so; False when it could not."""
    name = file_name(process.id, process.format, gzip=process.gzip)
    try:
        size = store(name, _watched(slice, Export(process).pieces(process.format, gzip=process.gzip)))
    except OSError as error:
        _put_off(slice, process, error)
        return False
    done = process_lifecycle.settle(process=process, results=name, size=size)
    if not done:
        removed(name)  # it goes on, or was deleted meanwhile
    process_lifecycle.leave(slice=slice)
    return done


def _watched(slice: Slice, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Renews the lease meanwhile. Raises `SliceLost`."""
    for number, piece in enumerate(pieces):
        if number % RENEWED_EVERY == 0:
            slices.renew(slice=slice)
        yield piece


def _put_off(slice: Slice, process: Process, error: OSError) -> None:
    log.error("The result of %s could not be written: %s", process.id, error)
    with transaction.atomic():
        if row := slices.locked(process.pk):
            ProcessNote.objects.create(
                process=row, text=f"the result could not be written: {error.strerror or error}"[:500]
            )
            Process.objects.filter(pk=row.pk).update(rest_until=Now() + TRY_AGAIN)
            slices.release(slice=slice, process=row, lost=False)
