"""Writes what became of the pages of a slice to the page table, in batches."""

import asyncio
import logging
from contextlib import suppress

from asgiref.sync import sync_to_async

from extraction.domain.kind_names import EXTRACTION
from extraction.domain.record_changes import RecordLimit
from extraction.models import Process, Slice
from extraction.page_supply import PageSupply
from extraction.services import page_table, process_lifecycle
from extraction.services.page_table import ClaimedPage, PageOutcome
from extraction.services.page_totals import count_pages
from extraction.services.process_log import line_of_outcome
from taskhub.outbound.cookie_store import CookieChanges, CookieStore
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.run_log import RunLog

WRITE_SECONDS = 0.3  # between two batches
BATCH = 250  # outcomes that are written at once
BATCHES_MAX = 2  # that may wait to be written; then fetching waits, too


class BatchWriter:
    """Writes outcomes to the page table. A batch is one transaction, which fails when the slice is lost."""

    def __init__(
        self,
        slice: Slice,
        process: Process,
        supply: PageSupply,
        cookies: CookieStore,
        max_pages: int,
        limit: RecordLimit | None = None,
    ) -> None:
        self._slice, self._process, self._supply, self._max_pages = slice, process, supply, max_pages
        self._cookies, self._limit = cookies, limit
        self.listed = process.listed  # records, as far as they are written
        self._cookie_changes: CookieChanges = {}  # to be written
        self.outcomes: asyncio.Queue[PageOutcome] = asyncio.Queue(BATCHES_MAX * BATCH)
        self._batch: list[PageOutcome] = []  # being written
        self._unbegun: list[ClaimedPage] = []
        self._due = asyncio.Event()  # set: a batch is full, others can go on with it, or nothing else is to be done
        self._notified = self._stopping = False
        self._others_wait = False  # whether the table has pages that can be claimed
        self._run_log: RunLog | None = None

    async def add(self, outcome: PageOutcome) -> None:
        """Queues an outcome; waits while the database cannot keep up."""
        await self.outcomes.put(outcome)
        supply = self._supply
        leads_to_others = supply.room >= 0 and not all(found.mine for found in outcome.found)
        if self.outcomes.qsize() >= BATCH or supply.is_idle or (leads_to_others and not self._others_wait):
            self._due.set()

    def give_back(self, pages: list[ClaimedPage]) -> None:
        """Has pages given back that were claimed and not begun, also those that are yet to be written as claimed."""
        if pages:
            self._unbegun += pages
            self._due.set()

    async def run(self) -> None:
        """Writes until `stop`, and then what is left. Raises `SliceLost`.

        It also writes when there is no outcome: that renews the lease, and notices when the slice is lost.
        """
        while not (self._stopping and self.outcomes.empty()):
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._due.wait()
            await self.write()

    def stop(self) -> None:
        """Lets `run` write what is left, and end."""
        self._stopping = True
        self._due.set()

    async def write(self) -> None:
        """Writes all queued outcomes, in one transaction."""
        self._due.clear()
        # A batch whose writing is cancelled is kept for the last write. It may be written twice then, which changes
        # nothing: pages whose outcome is written are no longer the slice's.
        self._batch = [*self._batch, *(self.outcomes.get_nowait() for _ in range(self.outcomes.qsize()))]
        if self._batch:
            self._cookie_changes |= self._cookies.changes()
        supply, room = self._supply, self._supply.room
        process = await sync_to_async(self._write)(self._batch, self._cookie_changes)
        self._batch, self._cookie_changes = [], {}
        self.listed = process.listed
        self._process.bytes = max(self._process.bytes, process.bytes)
        self._cookies.adopt(process.cookies)  # other slices of the process may have got some meanwhile
        supply.room += self._max_pages - process.pages - room  # some of the pages found were in the table already
        if not process.open:
            supply.close()
        supply.close_if_over()
        supply.claim_when_empty()
        self._others_wait = process.open > supply.fetching + supply.at_hand
        if not (self._notified or supply.closed) and process.run and self._others_wait:
            self._notified = True  # there are pages for another worker, too
            await sync_to_async(runs.notify_worker)(process.run)

    def _write(self, batch: list[PageOutcome], cookies: CookieChanges) -> Process:
        process = page_table.write_batch(
            slice=self._slice, outcomes=batch, max_pages=self._max_pages, cookies=cookies, limit=self._limit
        )
        is_cut = False
        if self._unbegun:
            page_table.give_back(slice=self._slice, pages=self._unbegun)
            if self._limit and process.listed >= self._limit.records:
                process, is_cut = page_table.drop_unbegun(process=process, limit=self._limit), True
        count_pages(batch)
        process.run = self._process.run
        if batch and process.run:
            self._log_pages(process.run, batch)
            process_lifecycle.save_progress(process=process, run=process.run)
        if (batch or is_cut) and not process.open:
            process_lifecycle.mark_fetched(process=process)
        return process

    def _log_pages(self, run: Run, outcomes: list[PageOutcome]) -> None:
        """Writes what became of pages into the log of the run."""
        self._run_log = self._run_log or RunLog(run, goes_on=True)
        for outcome in outcomes:
            level = logging.WARNING if outcome.error else logging.INFO
            self._run_log.add(level, EXTRACTION, line_of_outcome(outcome))
