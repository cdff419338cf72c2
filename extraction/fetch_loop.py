"""A worker's turn at a process: pages are asked for, read, and written down in batches."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.utils import timezone

from extraction.db_thread import Books
from extraction.domain.payload import Payload
from extraction.domain.process_status import Failure, PageState, ProcessStatus
from extraction.fetch.host_limits import Hosts, Later
from extraction.fetch.page_fetcher import Pages, cookies_in, jar_with
from extraction.models import Process, Slice
from extraction.page_processor import PageWork, Purse, failed
from extraction.services import credits, page_ledger, process_lifecycle, slices
from extraction.services.credits import Limits
from extraction.services.page_ledger import Claimed, Outcome
from extraction.services.slices import SliceLost
from taskhub.outbound import Policy, configured_policy
from taskhub.outbound.client import Client
from taskhub.runs import queue as runs

log = logging.getLogger(__name__)

LOOP: Any = import_module("uvloop").new_event_loop if find_spec("uvloop") else None  # it has no wheels for Windows

WRITE_SECONDS = 0.3  # between two batches
BATCH = 100  # outcomes that are written at once
BATCHES_MAX = 5  # that may wait to be written
LOOK_SECONDS = 0.1  # until the ledger is asked again, after it had nothing
STOCK = 96  # pages that a turn has at hand; others may have the rest
LOW = 48  # pages, or credits for them, at hand: then it is time for more
CHUNK = 300  # pages whose credits are reserved at once
PUT_OFF_MAX = 32  # pages whose hosts are to be asked later, one after the other: then the turn is over
CLOSING_SECONDS = 15.0  # past what a page may take that is under way when the turn is over


class Spider:
    """One slice. Ends when its time is over, when nothing is left to do, or when the slice is lost.

    Some coroutines ask for pages and read them; the supplier sees to it that pages and credits are at hand before the
    last are gone; the clerk writes down what came of them.
    """

    def __init__(self, slice: Slice, process: Process, payload: Payload) -> None:
        self.slice, self.process, self.payload = slice, process, payload
        limits = Limits.of(credits.account_of(process.owner_id))
        self.policy = _policy(limits)
        self.most = min(limits.pages, payload.pages or limits.pages)
        self.price = process.price
        self.purse = Purse()
        self.main = bytes(process.main or b"")
        self.ends_at = time.monotonic() + settings.EXTRACTION_SLICE_SECONDS
        self.queue: deque[Claimed] = deque()
        self.seen: set[bytes] = set()
        self.outcomes: list[Outcome] = []
        self.room = self.most - process.pages
        self.put_off: list[float] = []  # seconds that hosts want, since the last page that was asked for
        self.busy = 0
        self.closing = self.broke = self.dry = self.invited = False
        self.need, self.full = asyncio.Event(), asyncio.Event()
        self.idle: deque[asyncio.Future[None]] = deque()
        self.desk = asyncio.Lock()

    async def run(self) -> None:
        """Raises `SliceLost`."""
        jar = jar_with(self.payload, self.process.cookies)
        before = cookies_in(jar)
        hosts = Hosts(f"slice{self.slice.pk}")
        async with Client(self.policy, limit=0, jar=jar) as client:
            self.work = PageWork(self.process, self.payload, Pages(client, hosts, self.payload), self.purse)
            try:
                await self._work()
            finally:
                await hosts.close()
        await self._write()
        if (after := cookies_in(jar)) != before or self.work.renders != self.process.renders:
            learnt = {"cookies": after, "renders": self.work.renders}
            await Books.do(lambda: Process.objects.filter(pk=self.process.pk).update(**learnt))

    async def _work(self) -> None:
        workers = [asyncio.ensure_future(self._serve()) for _ in range(settings.EXTRACTION_CONCURRENCY)]
        helpers = [asyncio.ensure_future(one) for one in (self._keep_supplied(), self._keep_writing())]
        try:
            await self._all_done(workers, helpers)
        finally:
            for one in (*workers, *helpers):
                one.cancel()
            await asyncio.gather(*workers, *helpers, return_exceptions=True)

    async def _all_done(
        self, workers: Sequence["asyncio.Future[None]"], helpers: Sequence["asyncio.Future[None]"]
    ) -> None:
        """Until the workers have ended, or the time for what is under way is over. Raises what one of them raised."""
        waiting: set[asyncio.Future[None]] = {*workers, *helpers}
        deadline = self.ends_at + self.policy.total_timeout + CLOSING_SECONDS
        while waiting - {*helpers} and (left := deadline - time.monotonic()) > 0:
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()

    # What came of pages

    async def _keep_writing(self) -> None:
        """Also where nothing happened: the lease is renewed, and a lost slice is noticed."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS):
                    await self.full.wait()
            await self._write()

    async def _write(self) -> None:
        async with self.desk:
            outcomes, self.outcomes = self.outcomes, []
            self.full.clear()
            room = self.room
            process = await Books.do(lambda: self._written(outcomes))
            self.room += self.most - process.pages - room  # some were known already
            self.closing |= not process.open
            self._call()
            if not self.queue:
                self.need.set()
            if not self.invited and process.open > self.busy + len(self.queue):
                self.invited = True
                await Books.do(lambda: process.run and runs.notify_worker(process.run))

    def _written(self, outcomes: list[Outcome]) -> Process:
        process = page_ledger.write(slice=self.slice, outcomes=outcomes, most=self.most)
        if outcomes and self.process.run:
            process_lifecycle.tell(process=process, run=self.process.run)
        if outcomes and not process.open:
            process_lifecycle.fetched_all(process=process)
        process.run = self.process.run
        return process

    # What is at hand

    async def _keep_supplied(self) -> None:
        """Claims pages and reserves credits.

        What others lost is claimed by a look that is `alone`: while nothing else is at hand. Where that finds nothing,
        nothing is left for this turn.
        """
        while True:
            alone = not (self.queue or self.busy or self.outcomes)
            pages, granted = await Books.do(partial(self._supply, alone))
            self.purse.give(granted or 0)
            self.broke = granted == 0
            self.queue.extend(pages)
            self.seen.update(page.key for page in pages)
            self.dry = alone and not pages
            self._call()
            self.need.clear()
            if not pages:
                await asyncio.sleep(LOOK_SECONDS)
            await self.need.wait()

    def _supply(self, alone: bool) -> tuple[list[Claimed], int | None]:
        """Pages, and credits where they were asked for."""
        granted = None
        if self.purse.left < self.price * LOW:
            granted = slices.reserve(slice=self.slice, wanted=self.price * CHUNK)
        pages = page_ledger.claim_pages(slice=self.slice, limit=STOCK, alone=alone) if len(self.queue) < LOW else []
        return pages, granted

    async def _next(self) -> Claimed | None:
        """The next page, paid for; None when the turn is over."""
        while True:
            if self.closing or time.monotonic() > self.ends_at:
                self.closing = True
                return None
            if len(self.queue) < LOW or self.purse.left < self.price * LOW:
                self.need.set()
            if self.queue and self.purse.take(self.price):
                self.busy += 1
                return self.queue.popleft()
            called = asyncio.get_running_loop().create_future()
            self.idle.append(called)
            if self._is_over():
                self._call()
            await called

    def _call(self) -> None:
        """Calls as many who wait as there are pages; all of them when the turn is over."""
        self.closing |= self._is_over()
        for _ in range(len(self.idle) if self.closing else min(len(self.idle), len(self.queue))):
            called = self.idle.popleft()
            if not called.done():
                called.set_result(None)

    def _is_over(self) -> bool:
        """Nothing is under way that could lead to more, and nothing more can be had."""
        return not self.busy and (self.broke if self.queue else self.dry)

    async def _serve(self) -> None:
        while (page := await self._next()) is not None:
            try:
                outcome = await self._outcome(page)
            finally:
                self.busy -= 1
            self.purse.give(self.price + outcome.extra - outcome.cost)
            self.outcomes.append(outcome)
            self._keep(outcome)
            self._call()
            idle = not (self.busy or self.queue)
            if len(self.outcomes) >= BATCH or idle:
                self.full.set()
                if len(self.outcomes) >= BATCHES_MAX * BATCH:
                    await self._write()

    def _keep(self, outcome: Outcome) -> None:
        """Goes on with pages that were found, as far as there is room."""
        kept = []
        for found in outcome.found:
            if found.page.key not in self.seen:
                self.seen.add(found.page.key)
                self.room -= 1
                found.mine = self.room >= 0 and len(self.queue) < STOCK and not self.closing
                if found.mine:
                    self.queue.append(found.page)
                kept.append(found)
        outcome.found = kept

    async def _outcome(self, page: Claimed) -> Outcome:
        began = time.monotonic()
        try:
            outcome = await self.work.outcome(page, first=page.key == self.main)
        except Later as later:
            self.put_off.append(later.seconds)
            self.closing |= len(self.put_off) > PUT_OFF_MAX
            return Outcome(page, PageState.READY, requests=0, wait=later.seconds)
        except Failure as failure:
            outcome = failed(page, failure)
        except Exception as error:  # one page must not take the others with it
            log.exception("A page of %s cannot be asked for or read", self.process.id)
            outcome = failed(page, Failure(f"It cannot be asked for or read: {type(error).__name__}."))
        self.put_off.clear()
        outcome.duration_ms = int((time.monotonic() - began) * 1000)
        return outcome


def _policy(limits: Limits) -> Policy:
    usual = configured_policy()
    return Policy(
        allow=usual.allow,
        connect_timeout=usual.connect_timeout,
        read_timeout=min(usual.read_timeout, settings.EXTRACTION_PAGE_SECONDS),
        total_timeout=settings.EXTRACTION_PAGE_SECONDS,
        max_bytes=limits.page_bytes,
        max_redirects=usual.max_redirects,
    )


def take_turn(slice: Slice, process: Process, payload: Payload) -> None:
    """Carries out one slice, and says what follows from it."""
    spider = Spider(slice, process, payload)
    try:
        with asyncio.Runner(loop_factory=LOOP) as runner:
            runner.run(spider.run())
    except SliceLost:
        log.info("Process %s was stopped, or another worker has its pages", process.id)
        return
    rest = min(spider.put_off) if spider.closing and len(spider.put_off) > PUT_OFF_MAX else 0
    process_lifecycle.leave(slice=slice, rest_until=timezone.now() + timedelta(seconds=rest) if rest else None)
    if spider.broke and spider.purse.left < spider.price:
        process_lifecycle.wait_for_credits(process=process)


def is_fetching(process: Process) -> bool:
    """Whether a turn at the process is one of fetching; else its result is to be written."""
    return process.status == ProcessStatus.RUNNING and not process.unwritten
