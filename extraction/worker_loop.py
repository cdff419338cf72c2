"""Works on slices: of one process after the other, until nothing waits or the worker's shift is over.

A slice fetches pages of a process, or writes the result of one whose pages have all ended to its file.
"""

import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.functions import Now

from extraction import fetch_loop
from extraction.domain.process_status import ProcessStatus
from extraction.models import Process, Slice
from extraction.services import process_lifecycle, slices
from extraction.services.payloads import allowed_payload
from extraction.services.results import ResultExport, delete_result, file_name, store_result
from extraction.services.slices import SliceLost, add_note
from taskhub.errors import Problem
from taskhub.runs import queue as runs
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

SHIFT_SECONDS = 5.0  # then the worker asks to be notified again, so that a warm shutdown waits no longer than a slice
RENEWED_EVERY = 20  # pieces of a result
STORAGE_RETRY = timedelta(seconds=30)


def work_on_slices(*, node: str) -> int:
    """Works on slices for one shift; returns on how many."""
    worker, ends_at, count = f"{node}:{os.getpid()}", time.monotonic() + SHIFT_SECONDS, 0
    while claimed := _claim_slice(worker):
        slice, process = claimed
        _work_on_slice(slice, process)
        count += 1
        if time.monotonic() > ends_at:
            if process.run:
                runs.notify_worker(process.run)
            break
    return count


def _claim_slice(worker: str) -> tuple[Slice, Process] | None:
    try:
        return slices.claim_slice(worker=worker)
    except (DatabaseError, InterfaceError):
        connection.close()  # it may have died since the last slice: once more with a new one
        return slices.claim_slice(worker=worker)


def _work_on_slice(slice: Slice, process: Process) -> None:
    """Fetches pages of a slice, or writes the result of its process; a slice that is lost, or fails, harms no other."""
    try:
        with hiding(process.payload):
            if process.status == ProcessStatus.RUNNING and not process.unwritten:
                fetch_loop.fetch_slice(slice, process, allowed_payload(process))
            else:
                write_results(slice=slice, process=process)
    except SliceLost:
        log.info("Process %s was stopped, or another worker has its pages", process.id)
    except (DatabaseError, InterfaceError) as error:
        log.warning("A slice of %s lost the database: %s", process.id, error)
        connection.close()
    except Problem as problem:  # what the owner may no longer ask for, as when limits were lowered meanwhile
        process_lifecycle.end_slice(slice=slice)
        if process.run_id and problem.permanent:
            reason = {"type": type(problem).__name__, "message": problem.detail}
            process_lifecycle.fail_process(process=process, error=reason)


def write_results(*, slice: Slice, process: Process) -> bool:
    """Writes the result of a process to its file, and ends the slice; False where it failed, or the process goes on."""
    name = file_name(process.id, process.format, gzip=process.gzip)
    pieces = ResultExport(process).pieces(process.format, gzip=process.gzip)
    try:
        size = store_result(name, _renewing_lease(slice, pieces))
    except OSError as error:
        _retry_later(slice, process, error)
        return False
    finished = process_lifecycle.finish_process(process=process, results=name, size=size)
    if not finished:
        delete_result(name)  # the process goes on, or was deleted meanwhile
    process_lifecycle.end_slice(slice=slice)
    return finished


def _renewing_lease(slice: Slice, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Passes pieces on, and renews the slice's lease meanwhile. Raises `SliceLost`."""
    for number, piece in enumerate(pieces):
        if number % RENEWED_EVERY == 0:
            slices.renew(slice=slice)
        yield piece


def _retry_later(slice: Slice, process: Process, error: OSError) -> None:
    """Releases the slice, so that the result is written again some time later."""
    log.error("The result of %s could not be written: %s", process.id, error)
    with transaction.atomic():
        if row := slices.lock_process(process.pk):
            add_note(row, f"the result could not be written: {error.strerror or error}")
            Process.objects.filter(pk=row.pk).update(rest_until=Now() + STORAGE_RETRY)
            slices.release(slice=slice, process=row, lost=False)
