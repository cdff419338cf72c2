"""Processes one page: fetches or renders it, reads it, and decides what became of it, for the page table."""

import asyncio
import os
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.conf import settings

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_addresses import digest, page_key
from extraction.domain.page_reader import PageReading
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, PageState, page_backoff
from extraction.fetch.browser import why_no_browser
from extraction.fetch.host_limits import HostBusy
from extraction.fetch.page_fetcher import FetchedPage, PageFetcher
from extraction.models import Process
from extraction.page_supply import CreditAllowance
from extraction.services import process_lifecycle
from extraction.services.credits import page_price
from extraction.services.page_table import ClaimedPage, FoundPage, PageOutcome

# A page that may be made to take long is first read in an OS process of its own.
TRIAL_SECONDS = 1  # of computing
DEPTH_MAX = 1_000
LARGE = 2 * 1024 * 1024  # characters
_PART = 4096  # characters


class PageProcessor:
    """Processes pages of one process. `renders` says by rule whether pages show records only when they are rendered."""

    def __init__(self, process: Process, payload: Payload, fetcher: PageFetcher, credits: CreditAllowance) -> None:
        self.process, self.payload, self.fetcher, self.credits = process, payload, fetcher, credits
        self.rules = {rule.number: rule for rule in payload.rule.walk()}
        self.renders: dict[str, bool] = dict(process.renders)
        self._trial = asyncio.Lock()

    async def process_page(self, page: ClaimedPage, *, first: bool) -> PageOutcome:
        """Fetches or renders a page and reads it; what became of it. Raises `PageFailure` and `HostBusy`."""
        rule, extra = self.rules[page.rule], 0
        if rule.is_rendered:
            fetched, cost = await self.fetcher.render(page.url, rule, first=first), page_price(chrome=True)
        else:
            fetched, cost = await self.fetcher.fetch(page.url, first=first), page_price()
        if not self.payload.MAKES_RECORDS:
            product = fetched.data or "".join(fetched.texts).encode()
            return PageOutcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost, records=product)
        reading = await self._read(page, fetched)
        if not self.payload.RENDERS_EMPTY_PAGES:
            return self._outcome_of(page, fetched, reading, cost)
        if reading.records:
            self.renders.setdefault(str(rule.number), False)
        elif not rule.is_rendered and (rendered := await self._render_if_it_helps(page, first)):
            fetched, reading = rendered
            extra = page_price(chrome=True)
        return self._outcome_of(page, fetched, reading, cost, extra)

    async def _render_if_it_helps(self, page: ClaimedPage, first: bool) -> tuple[FetchedPage, PageReading] | None:
        """Renders a page without records, unless pages of its rule show some, or rendering one of them did not help."""
        rule = str(page.rule)
        if self.renders.get(rule):
            return await self._render(page, first)
        async with self._trial:  # one page is tried; the others of its rule wait for its result
            return await self._render(page, first) if self.renders.get(rule) is not False else None

    async def _render(self, page: ClaimedPage, first: bool) -> tuple[FetchedPage, PageReading] | None:
        price, rule = page_price(chrome=True), self.rules[page.rule]
        if why_no_browser() or not self.credits.take(price):
            return None
        try:
            fetched = await self.fetcher.render(page.url, rule, first=first)
            reading = await self._read(page, fetched)
        except (PageFailure, HostBusy) as failure:
            self.credits.give(price)
            await self._save_renders(page, False, str(failure))
            return None
        await self._save_renders(page, bool(reading.records), f"{len(reading.records)} records")
        return fetched, reading

    async def _save_renders(self, page: ClaimedPage, helped: bool, result: str) -> None:
        """Stores whether rendering a rule's first page helped, which holds for all pages of the rule."""
        if str(page.rule) not in self.renders:
            self.renders[str(page.rule)] = helped
            text = f"no record in {page.url}, so it was rendered: {result}"
            save = sync_to_async(process_lifecycle.save_renders)
            await save(process=self.process, renders=self.renders, text=text)

    async def _read(self, page: ClaimedPage, fetched: FetchedPage) -> PageReading:
        rule = self.rules[page.rule]
        read = partial(self.payload.read, fetched.texts, fetched.url, rule=rule, chain=page.chain, ordinal=page.ordinal)
        if any(map(is_suspicious, fetched.texts)) and not await asyncio.to_thread(ends_in_time, read):
            raise PageFailure("The page takes too long to read.", status=fetched.status)
        try:
            return read()
        except PageFailure as failure:
            failure.status = fetched.status
            raise

    def _outcome_of(
        self, page: ClaimedPage, fetched: FetchedPage, reading: PageReading, cost: int, extra: int = 0
    ) -> PageOutcome:
        rule = self.rules[page.rule]
        records = orjson.dumps(reading.records) if reading.records else b""
        outcome = PageOutcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost + extra, extra=extra)
        shown_digest = b""
        if records and (rule.paginator or reading.shown):
            shown_digest = digest(orjson.dumps(reading.shown) if reading.shown else records)
        if shown_digest and shown_digest == page.before:
            outcome.state = PageState.REPEATED  # the list has ended: it shows the same page again and again
            return outcome
        outcome.records, outcome.count = records, len(reading.records)
        outcome.found = _found_pages(page, rule, reading, shown_digest)
        return outcome


def _found_pages(page: ClaimedPage, rule: ExtractionRule, reading: PageReading, shown_digest: bytes) -> list[FoundPage]:
    """The next page of the list, and the pages behind records."""
    pages = [ClaimedPage(link.key, link.key, b"", 0, link.rule, link.url) for link in reading.links]
    if reading.next and (rule.paginator is None or not rule.paginator.pages or page.ordinal + 1 < rule.paginator.pages):
        key = page_key(rule.number, reading.next, page.chain)
        pages.insert(0, ClaimedPage(key, page.chain, shown_digest, page.ordinal + 1, rule.number, reading.next))
    return [FoundPage(found, mine=False) for found in pages]


def failed_outcome(page: ClaimedPage, failure: PageFailure) -> PageOutcome:
    """The outcome of a page that failed; it is tried again later where that may help."""
    retry = failure.retry and page.attempt < settings.EXTRACTION_PAGE_ATTEMPTS
    return PageOutcome(
        page,
        PageState.READY if retry else PageState.FAILED,
        status=failure.status,
        error=failure.reason,
        wait=page_backoff(page.attempt, failure.retry_after) if retry else None,
    )


def is_suspicious(text: str) -> bool:
    """Whether a page is large, or may nest so deep that parsing takes time with the square of the depth.

    Elements that never end count as if they nested, so a page that is not suspicious is not deep.
    """
    if len(text) > LARGE:
        return True
    if text.count("<") - text.count("</") < DEPTH_MAX and text.count("</") < DEPTH_MAX:
        return False
    depth = 0
    for start in range(0, len(text), _PART):
        ends = text.count("</", start, start + _PART)
        starts = text.count("<", start, start + _PART) - ends
        if depth + starts > DEPTH_MAX:
            return True
        depth = max(0, depth + starts - ends)
    return False


def ends_in_time(work: Callable[[], Any]) -> bool:
    """Whether `work` ends within a second of computing, tried in an OS process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_SECONDS, TRIAL_SECONDS))
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFEXITED(status)
