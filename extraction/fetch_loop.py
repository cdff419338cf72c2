"""A worker's turn at a process: one slice of its pages is fetched, read, and written to the ledger in batches.

Three objects share the event loop. `PageSupply` claims pages and reserves credits before the last at hand are used up,
`FetchLoop` fetches several pages at once, and `BatchWriter` writes down what became of them. Claims and writes go
through asgiref's thread for Django (`sync_to_async`), one after the other, so the loop itself never waits for the
database, which sees one connection.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, PageState
from extraction.fetch.page_fetcher import PageFetcher, cookies_in, jar_with
from extraction.fetch.politeness import HostBusy, HostLimits
from extraction.models import Process, Slice
from extraction.page_processor import CreditAllowance, PageProcessor, failed_outcome
from extraction.services import credits, process_lifecycle, slices
from extraction.services.slices import ClaimedPage, PageOutcome
from taskhub.outbound import Policy, configured_policy
from taskhub.outbound.client import GateClient
from taskhub.runs import queue as runs

log = logging.getLogger(__name__)

# uvloop has no wheels for Windows.
LOOP_FACTORY: Any = import_module("uvloop").new_event_loop if find_spec("uvloop") else None

WRITE_SECONDS = 0.3  # between two batches
BATCH = 100  # outcomes that are written at once
BATCHES_MAX = 5  # that may wait to be written; then fetching waits, too
CLAIM_SECONDS = 0.1  # until the ledger is asked again, after it had no page
STOCK = 96  # pages that a turn has at hand; others may have the rest
LOW = 48  # pages, or credits for as many, at hand: then it is time for more
RESERVED_PAGES = 300  # whose credits are reserved at once
BUSY_HOSTS_MAX = 32  # pages in a row whose hosts are to be asked later: then the turn is over
CLOSING_SECONDS = 15.0  # past what a page may take that is under way when the turn is over


class PageSupply:
    """The pages and credits that a turn has at hand. It also decides when the turn is over: see `close_if_over`."""

    def __init__(self, slice: Slice, process: Process, max_pages: int) -> None:
        self._slice, self._price = slice, process.price
        self._ends_at = time.monotonic() + settings.EXTRACTION_SLICE_SECONDS
        self._pages: asyncio.Queue[ClaimedPage | None] = asyncio.Queue()  # None: the turn is over
        self._seen: set[bytes] = set()  # keys of pages that were claimed or found in this turn
        self._unpaid = 0  # pages that left the queue, and wait for credits
        self._more = asyncio.Event()  # set: it is time to claim and to reserve
        self._none_claimed = self._none_granted = False  # as the last look at the ledger found
        self.credits = CreditAllowance()
        self.room = max_pages - process.pages  # pages that the process may have beyond those that it has
        self.fetching = 0
        self.closed = False

    @property
    def at_hand(self) -> int:
        return self._pages.qsize() + self._unpaid

    @property
    def is_idle(self) -> bool:
        """Whether no page is under way, and none is at hand."""
        return not (self.fetching or self.at_hand)

    async def take(self) -> ClaimedPage | None:
        """The next page, paid for; None when the turn is over."""
        self._claim_when_low()
        self._close_when_late()
        page = await self._pages.get()
        self._close_when_late()
        if page is None:
            self._pages.put_nowait(None)  # for the others who wait
            return None
        self._unpaid += 1
        while not (self.closed or self.credits.take(self._price)):
            self._claim_when_low()
            self.close_if_over()
            await self.credits.wait()
        self._unpaid -= 1
        if self.closed:
            return None  # the page is free again when the slice ends, and no attempt at it is lost
        self.fetching += 1
        return page

    def put_back(self, outcome: PageOutcome) -> None:
        """After a page: gives back what it did not cost, and goes on with pages that it led to, while there is room.

        Takes those out of `outcome.found` that the turn has met already.
        """
        self.fetching -= 1
        self.credits.give(self._price + outcome.extra - outcome.cost)
        fresh = [found for found in outcome.found if found.page.key not in self._seen]
        for found in fresh:
            self._seen.add(found.page.key)
            self.room -= 1
            found.mine = self.room >= 0 and self._pages.qsize() < STOCK and not self.closed
            if found.mine:
                self._pages.put_nowait(found.page)
        outcome.found = fresh
        self.close_if_over()

    async def run(self, writer: "BatchWriter") -> None:
        """Claims pages and reserves credits whenever they run low. Raises `SliceLost`."""
        while True:
            # Pages that other workers lost may be why those died, so they are claimed with nothing else at stake. When
            # such a look finds nothing either, nothing is left for this turn.
            alone = self.is_idle and writer.outcomes.empty()
            pages, granted = await sync_to_async(self._claim)(alone)
            self._none_granted = granted == 0
            self.credits.give(granted or 0)
            for page in pages:
                self._seen.add(page.key)
                self._pages.put_nowait(page)
            self._none_claimed = alone and not pages
            self.close_if_over()
            self._more.clear()
            if not pages:
                await asyncio.sleep(CLAIM_SECONDS)
            await self._more.wait()

    def _claim(self, alone: bool) -> tuple[list[ClaimedPage], int | None]:
        """Pages, and how many credits; None where these suffice."""
        granted = None
        if self.credits.left < self._price * LOW:
            granted = slices.reserve(slice=self._slice, wanted=self._price * RESERVED_PAGES)
        pages = slices.claim_pages(slice=self._slice, limit=STOCK, alone=alone) if self.at_hand < LOW else []
        return pages, granted

    def _claim_when_low(self) -> None:
        if self.at_hand < LOW or self.credits.left < self._price * LOW:
            self._more.set()

    def claim_when_empty(self) -> None:
        if not self.at_hand:
            self._more.set()

    @property
    def out_of_credits(self) -> bool:
        return self._none_granted and self.credits.left < self._price

    def close_if_over(self) -> None:
        """Closes when no page is under way that could lead to more, and no more pages, or no credits, can be had."""
        if not self.fetching and (self.out_of_credits if self.at_hand else self._none_claimed):
            self.close()

    def _close_when_late(self) -> None:
        if time.monotonic() > self._ends_at:
            self.close()

    def close(self) -> None:
        """Ends the turn: pages under way are still finished, others are not begun."""
        if not self.closed:
            self.closed = True
            self._pages.put_nowait(None)
            self.credits.wake()


class BatchWriter:
    """Writes outcomes to the ledger: a batch is one transaction, fenced by the slice."""

    def __init__(self, slice: Slice, process: Process, supply: PageSupply, max_pages: int) -> None:
        self._slice, self._process, self._supply, self._max_pages = slice, process, supply, max_pages
        self.outcomes: asyncio.Queue[PageOutcome] = asyncio.Queue(BATCHES_MAX * BATCH)
        self._batch: list[PageOutcome] = []  # being written
        self._due = asyncio.Event()  # set: a batch is full, or nothing else is to be done
        self._notified = self._stopping = False

    async def add(self, outcome: PageOutcome) -> None:
        """Waits while the ledger cannot keep up."""
        await self.outcomes.put(outcome)
        if self.outcomes.qsize() >= BATCH or self._supply.is_idle:
            self._due.set()

    async def run(self) -> None:
        """Writes until `stop`, and then what is left. Raises `SliceLost`.

        Also while there is nothing to write: that renews the lease, and finds out whether the slice is lost.
        """
        while not (self._stopping and self.outcomes.empty()):
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._due.wait()
            await self.write()

    def stop(self) -> None:
        self._stopping = True
        self._due.set()

    async def write(self) -> None:
        """Writes all outcomes that there are, in one transaction."""
        self._due.clear()
        # A batch whose writing is cancelled is kept for the last write. It may be written twice then, which changes
        # nothing: pages whose outcome is written are no longer the slice's.
        self._batch = [*self._batch, *(self.outcomes.get_nowait() for _ in range(self.outcomes.qsize()))]
        supply, room = self._supply, self._supply.room
        process = await sync_to_async(self._write)(self._batch)
        self._batch = []
        supply.room += self._max_pages - process.pages - room  # some of the pages found were in the ledger already
        if not process.open:
            supply.close()
        supply.close_if_over()
        supply.claim_when_empty()
        if not (self._notified or supply.closed) and process.run and process.open > supply.fetching + supply.at_hand:
            self._notified = True  # there are pages for another worker, too
            await sync_to_async(runs.notify_worker)(process.run)

    def _write(self, batch: list[PageOutcome]) -> Process:
        process = slices.write_batch(slice=self._slice, outcomes=batch, max_pages=self._max_pages)
        process.run = self._process.run
        if batch and process.run:
            process_lifecycle.save_progress(process=process, run=process.run)
        if batch and not process.open:
            process_lifecycle.mark_fetched(process=process)
        return process


class FetchLoop:
    """One turn: fetches pages of a slice, several at once, until nothing is left, its time is over or it is lost."""

    def __init__(self, slice: Slice, process: Process, payload: Payload) -> None:
        self.slice, self.process, self.payload = slice, process, payload
        limits = credits.AccountLimits.of(credits.credit_account(process.owner_id))
        self.policy = _policy(limits)
        max_pages = min(limits.pages, payload.max_pages or limits.pages)
        self.supply = PageSupply(slice, process, max_pages)
        self.writer = BatchWriter(slice, process, self.supply, max_pages)
        self._main = bytes(process.main or b"")
        self._host_delays: list[float] = []  # seconds that busy hosts want, since the last page that was fetched

    @property
    def host_delay(self) -> float:
        """Seconds until one of the process's hosts can be asked again; 0 where the turn did not end for that."""
        return min(self._host_delays) if len(self._host_delays) > BUSY_HOSTS_MAX else 0.0

    async def run(self) -> None:
        """Raises `SliceLost`."""
        await sync_to_async(close_old_connections)()  # one that a turn before found dead
        jar = jar_with(self.payload, self.process.cookies)
        cookies = cookies_in(jar)
        async with (
            GateClient(self.policy, limit=0, jar=jar) as client,
            HostLimits(f"slice{self.slice.pk}") as hosts,
        ):
            fetcher = PageFetcher(client, hosts, self.payload)
            self.processor = PageProcessor(self.process, self.payload, fetcher, self.supply.credits)
            await self._fetch_until_over()
        changes = {"cookies": cookies_in(jar), "renders": self.processor.renders}
        if changes != {"cookies": cookies, "renders": self.process.renders}:
            await Process.objects.filter(pk=self.process.pk).aupdate(**changes)

    async def _fetch_until_over(self) -> None:
        """Past its time the turn waits for pages under way, but not for ever. Raises what one of its tasks raised."""
        limit = settings.EXTRACTION_SLICE_SECONDS + self.policy.total_timeout + CLOSING_SECONDS
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                supplying = group.create_task(self.supply.run(self.writer))
                group.create_task(self.writer.run())
                fetching = [group.create_task(self._fetch()) for _ in range(settings.EXTRACTION_CONCURRENCY)]
                await asyncio.wait(fetching)
                supplying.cancel()
                self.writer.stop()
        except TimeoutError:
            await self.writer.write()  # pages under way are given up; they are free again when the slice ends
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # several say the same as a rule, such as that the slice is lost

    async def _fetch(self) -> None:
        while (page := await self.supply.take()) is not None:
            outcome = await self._outcome_of(page)
            self.supply.put_back(outcome)
            await self.writer.add(outcome)

    async def _outcome_of(self, page: ClaimedPage) -> PageOutcome:
        started = time.monotonic()
        try:
            outcome = await self.processor.process_page(page, first=page.key == self._main)
        except HostBusy as busy:
            self._host_delays.append(busy.seconds)
            if self.host_delay:
                self.supply.close()
            return PageOutcome(page, PageState.READY, requests=0, wait=busy.seconds)
        except PageFailure as failure:
            outcome = failed_outcome(page, failure)
        except Exception as error:  # one page must not take the others with it
            log.exception("A page of %s cannot be fetched or read", self.process.id)
            outcome = failed_outcome(page, PageFailure(f"It cannot be asked for or read: {type(error).__name__}."))
        self._host_delays.clear()
        outcome.duration_ms = int((time.monotonic() - started) * 1000)
        return outcome


def _policy(limits: credits.AccountLimits) -> Policy:
    usual, seconds = configured_policy(), settings.EXTRACTION_PAGE_SECONDS
    read_timeout = min(usual.read_timeout, seconds)
    return replace(usual, read_timeout=read_timeout, total_timeout=seconds, max_bytes=limits.page_bytes)


def take_turn(slice: Slice, process: Process, payload: Payload) -> None:
    """Fetches pages of a process for one turn, ends the slice, and suspends the process where its credits ran out.

    Raises `SliceLost` where the process was stopped, or another worker has its pages.
    """
    loop = FetchLoop(slice, process, payload)
    with asyncio.Runner(loop_factory=LOOP_FACTORY) as runner:
        runner.run(loop.run())
    rest_until = timezone.now() + timedelta(seconds=loop.host_delay) if loop.host_delay else None
    process_lifecycle.end_slice(slice=slice, rest_until=rest_until)
    if loop.supply.out_of_credits:
        process_lifecycle.suspend_for_credits(process=process)
