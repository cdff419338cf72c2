"""What becomes of one page: it is fetched or rendered, read, and made an outcome for the ledger."""

import asyncio
from functools import partial

import orjson
from django.conf import settings

from extraction import parse_guard
from extraction.db_thread import DatabaseThread
from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import PageReading
from extraction.domain.page_urls import digest, page_key
from extraction.domain.payload import Payload, rules_by_number
from extraction.domain.process_status import PageFailure, PageState, page_backoff
from extraction.fetch.browser import missing
from extraction.fetch.host_limits import HostBusy
from extraction.fetch.page_fetcher import FetchedPage, PageFetcher
from extraction.models import Process
from extraction.services import process_lifecycle
from extraction.services.credits import page_price
from extraction.services.page_ledger import ClaimedPage, FoundPage, PageOutcome


class CreditAllowance:
    """Credits that a turn reserved and has not used. It waits for more without taking them from others."""

    def __init__(self) -> None:
        self.left = 0
        self._changed = asyncio.Event()

    def take(self, amount: int) -> bool:
        """False where there are not as many."""
        if self.left < amount:
            return False
        self.left -= amount
        return True

    def give(self, amount: int) -> None:
        self.left += amount
        if amount > 0:
            self.wake()

    async def wait(self) -> None:
        """Until there are more, or `wake` is called."""
        self._changed.clear()
        await self._changed.wait()

    def wake(self) -> None:
        self._changed.set()


class PageProcessor:
    """For the pages of one process. `renders` tells by rule whether pages show records only when they are rendered."""

    def __init__(self, process: Process, payload: Payload, fetcher: PageFetcher, credits: CreditAllowance) -> None:
        self.process, self.payload, self.fetcher, self.credits = process, payload, fetcher, credits
        self.rules = rules_by_number(payload)
        self.renders: dict[str, bool] = dict(process.renders)
        self._trial = asyncio.Lock()

    async def process_page(self, page: ClaimedPage, *, first: bool) -> PageOutcome:
        """The outcome of a page that is fetched, or rendered, and read. Raises `Failure` and `HostBusy`."""
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
        async with self._trial:  # one page finds out; the others of its rule wait for what it learns
            return await self._render(page, first) if self.renders.get(rule) is not False else None

    async def _render(self, page: ClaimedPage, first: bool) -> tuple[FetchedPage, PageReading] | None:
        price, rule = page_price(chrome=True), self.rules[page.rule]
        if missing() or not self.credits.take(price):
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
        """What the first rendered page of a rule showed holds for all of them."""
        if str(page.rule) not in self.renders:
            self.renders[str(page.rule)] = helped
            text = f"no record in {page.url}, so it was rendered: {result}"
            save = partial(process_lifecycle.save_renders, process=self.process, renders=self.renders, text=text)
            await DatabaseThread.run(save)

    async def _read(self, page: ClaimedPage, fetched: FetchedPage) -> PageReading:
        rule = self.rules[page.rule]
        read = partial(self.payload.read, fetched.texts, fetched.url, rule=rule, chain=page.chain, ordinal=page.ordinal)
        if any(map(parse_guard.is_suspicious, fetched.texts)):
            ends_in_time = partial(parse_guard.ends_in_time, read)
            if not await asyncio.get_running_loop().run_in_executor(None, ends_in_time):
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
        shown = b""
        if records and (rule.paginator or reading.shown):
            shown = digest(orjson.dumps(reading.shown) if reading.shown else records)
        if shown and shown == page.before:
            outcome.state = PageState.REPEATED  # the list has ended: it shows the same page again and again
            return outcome
        outcome.records, outcome.count = records, len(reading.records)
        outcome.found = _found_pages(page, rule, reading, shown)
        return outcome


def _found_pages(page: ClaimedPage, rule: ExtractionRule, reading: PageReading, shown: bytes) -> list[FoundPage]:
    """The next page of the list, and the pages behind records."""
    pages = [ClaimedPage(link.key, link.key, b"", 0, link.rule, link.url) for link in reading.links]
    if reading.next and (rule.paginator is None or not rule.paginator.pages or page.ordinal + 1 < rule.paginator.pages):
        key = page_key(rule.number, reading.next, page.chain)
        pages.insert(0, ClaimedPage(key, page.chain, shown, page.ordinal + 1, rule.number, reading.next))
    return [FoundPage(found, mine=False) for found in pages]


def failed_outcome(page: ClaimedPage, failure: PageFailure) -> PageOutcome:
    """The outcome of a page that gave nothing; it is tried again later where that may help."""
    again = failure.again and page.attempt < settings.EXTRACTION_PAGE_ATTEMPTS
    return PageOutcome(
        page,
        PageState.READY if again else PageState.FAILED,
        status=failure.status,
        error=failure.reason,
        wait=page_backoff(page.attempt, failure.after) if again else None,
    )
