"""Works on slices: turns at one process after the other, until nothing waits or the worker's shift is over.

A slice fetches pages of a process, or writes the result of one whose pages have all ended to its file. All slices of a
worker process go on on one event loop, in a thread that lives as long as the process. So

- slices of each sort have their turns beside those of the others: pages as they come never wait for a browser;
- a slice whose turn is over goes on beside the next one until its last pages have come, and nobody waits for these;
- a worker that is asked for something else meanwhile can do it.

Owners share the slices that go on at once (see `FairShare`).
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from extraction import fetch_loop
from extraction.domain.kind_names import EXTRACTION
from extraction.domain.result_formats import file_name
from extraction.domain.tables import TableLosses
from extraction.models import Process, Slice
from extraction.services import process_endings, process_lifecycle, slices
from extraction.services.process_notes import add_note
from extraction.services.result_export import ResultExport
from extraction.services.result_files import delete_result, store_result
from extraction.services.slices import SliceLost, SliceSort, slice_heartbeat
from taskhub.db.process_local import ProcessLocal
from taskhub.errors import Problem
from taskhub.fair_share import FairShare
from taskhub.runs import queue as runs
from taskhub.runs.queue.worker_process import work
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

# uvloop has no wheels for Windows.
LOOP_FACTORY: Any = import_module("uvloop").new_event_loop if find_spec("uvloop") else asyncio.new_event_loop

SHIFT_SECONDS = 5.0  # then the worker asks to be notified again, so that a warm shutdown waits no longer than a turn
SLICES_MAX = 8  # of one sort that go on at once; the turns of most are over
LOOK_SECONDS = 0.5  # between two looks for work while slices go on
BEAT_SECONDS = 0.5
STOP_SECONDS = 15.0  # for results that are being written when the worker ends
RENEWED_EVERY = 20  # pieces of a result
STORAGE_RETRY = timedelta(seconds=30)


def work_on_slices(*, node: str) -> int:
    """Works on slices for one shift; returns on how many."""
    thread = slice_thread.get(node)
    return asyncio.run_coroutine_threadsafe(thread.work_shift(), thread.loop).result()


class SliceThread:
    """The thread of a worker process in which its slices go on, with its event loop."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.worker = f"{node}:{os.getpid()}"
        self.loop = LOOP_FACTORY()
        self._slices: dict[asyncio.Task[None], SliceSort] = {}
        self._shares = {sort: FairShare(SLICES_MAX) for sort in SliceSort}
        self._shifts = 0
        threading.Thread(target=self.loop.run_forever, name="slices", daemon=True).start()
        self._beating = asyncio.run_coroutine_threadsafe(self._beat(), self.loop)

    async def work_shift(self) -> int:
        ends_at = time.monotonic() + SHIFT_SECONDS
        self._shifts += 1
        try:
            return sum(await asyncio.gather(*(self._take_turns(sort, ends_at) for sort in SliceSort)))
        finally:
            self._shifts -= 1

    async def _take_turns(self, sort: SliceSort, ends_at: float) -> int:
        """Gives slices of one sort their turns, one after the other; returns to how many."""
        count = 0
        while time.monotonic() < ends_at:
            claimed = await sync_to_async(self._claim)(sort) if self._shares[sort].is_open else None
            if claimed:
                count += 1
                await self._begin(sort, *claimed).wait()
            elif self._slices:  # what goes on may lead to more work, of another sort, too
                await asyncio.wait(list(self._slices), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            else:
                return count
        if count and claimed and (run := claimed[1].run):
            await sync_to_async(runs.notify_worker)(run)
        return count

    def _claim(self, sort: SliceSort) -> tuple[Slice, Process] | None:
        """Claims a slice, after processes that wait for it have begun."""
        try:
            return self._try_to_claim(sort)
        except (DatabaseError, InterfaceError):
            connection.close()  # it may have died since the last slice: once more with a new one
            return self._try_to_claim(sort)

    def _try_to_claim(self, sort: SliceSort) -> tuple[Slice, Process] | None:
        if self._slices:  # else the shift began with it
            work(EXTRACTION, process_lifecycle.perform_extraction, node=self.node)
        return slices.claim_slice(worker=self.worker, sorts=[sort], shut_out=self._shares[sort].shut_out())

    def _begin(self, sort: SliceSort, slice: Slice, process: Process) -> asyncio.Event:
        """Begins to work on a slice; gives the event of the end of its turn."""
        over = asyncio.Event()
        task = self.loop.create_task(self._go_on(sort, slice, process, over))
        self._slices[task] = sort
        task.add_done_callback(self._slices.pop)
        if sort == SliceSort.RESULT:  # a slice of pages says by itself when its turn is over
            self.loop.call_later(settings.EXTRACTION_SLICE_SECONDS, over.set)
        return over

    async def _go_on(self, sort: SliceSort, slice: Slice, process: Process, over: asyncio.Event) -> None:
        """Works on a slice to its end. Where that comes after the shift, another one may find more to do."""
        self._shares[sort].take(process.owner_id)
        slice_heartbeat.set_performing(True)
        try:
            await self._work_on(sort, slice, process, over)
        finally:
            self._shares[sort].give_back(process.owner_id)
            slice_heartbeat.set_performing(len(self._slices) > 1)
            over.set()
        if not self._shifts and process.run:
            await sync_to_async(runs.notify_worker)(process.run)

    async def _work_on(self, sort: SliceSort, slice: Slice, process: Process, over: asyncio.Event) -> None:
        """Fetches pages of a slice, or writes the result of its process; a slice that is lost, or fails, harms none."""
        try:
            with hiding(process.payload):
                if sort == SliceSort.RESULT:
                    await asyncio.to_thread(_write_results_in_thread, slice, process)
                else:
                    await fetch_loop.fetch_slice(slice, process, over)
        except SliceLost:
            log.info("Process %s was stopped, or another worker has its pages", process.id)
        except (OperationalError, InterfaceError) as error:
            log.warning("A slice of %s lost the database: %s", process.id, error)
            await sync_to_async(connection.close)()
        except asyncio.CancelledError:  # the worker ends
            with suppress(DatabaseError, InterfaceError):
                await sync_to_async(process_lifecycle.end_slice)(slice=slice)
            raise
        except Exception as error:
            if not isinstance(error, Problem):
                log.exception("A slice of %s failed", process.id)
            with suppress(DatabaseError, InterfaceError):  # then it lapses, which counts as well
                await sync_to_async(process_endings.fail_turn)(slice=slice, error=error)

    async def _beat(self) -> None:
        """Shows that the loop turns: the watchdog ends a process whose loop does not, when its slices are lost."""
        while True:
            slice_heartbeat.beat()
            await asyncio.sleep(BEAT_SECONDS)

    def stop(self) -> None:
        """Gives back the pages that are under way, and waits a little for results that are being written."""
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(STOP_SECONDS)

    async def _stop(self) -> None:
        for task, sort in self._slices.items():
            if sort != SliceSort.RESULT:
                task.cancel()
        if self._slices:
            await asyncio.wait(list(self._slices))


slice_thread = ProcessLocal(SliceThread)


def stop_slices() -> None:
    """Stops the slices of this process, which ends."""
    if thread := slice_thread.peek():
        thread.stop()


def _write_results_in_thread(slice: Slice, process: Process) -> None:
    try:
        write_results(slice=slice, process=process)
    finally:
        connection.close()


def write_results(*, slice: Slice, process: Process) -> bool:
    """Writes the result of a process to its file, and ends the slice; False where it failed, or the process goes on."""
    name = file_name(process.id, process.format, gzip=process.gzip)
    losses = TableLosses()
    export = ResultExport(process_lifecycle.choose_comparison(process=process))
    pieces = export.pieces(process.format, gzip=process.gzip, losses=losses)
    try:
        size = store_result(name, _renewing_lease(slice, pieces))
    except OSError as error:
        _retry_later(slice, process, error)
        return False
    finished = process_lifecycle.finish_process(
        process=process, results=name, size=size, warnings=losses.warnings(), changes=export.changes
    )
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
