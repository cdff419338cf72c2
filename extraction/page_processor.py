"""What becomes of one page: asked for or rendered, read, and put into words for the ledger."""

import asyncio
from functools import partial

import orjson
from django.conf import settings

from extraction import parse_guard
from extraction.db_thread import Books
from extraction.domain.page_reader import Reading, read_all
from extraction.domain.page_urls import digest, page_key
from extraction.domain.payload import Payload, Rule
from extraction.domain.process_status import Failure, PageState, backoff
from extraction.domain.search_parser import Search
from extraction.fetch.browser import missing
from extraction.fetch.host_limits import Later
from extraction.fetch.page_fetcher import Fetched, Pages
from extraction.models import Process
from extraction.services import credits, process_lifecycle
from extraction.services.page_ledger import Claimed, Found, Outcome


class Purse:
    """Credits that a turn has at hand."""

    def __init__(self) -> None:
        self.left = 0

    def take(self, amount: int) -> bool:
        """False where there are not as many."""
        if self.left < amount:
            return False
        self.left -= amount
        return True

    def give(self, amount: int) -> None:
        self.left += amount


class PageWork:
    """Of the pages of one process. `renders` is what it learns: of which rules pages show records only in Chromium."""

    def __init__(self, process: Process, payload: Payload, pages: Pages, purse: Purse) -> None:
        self.process, self.payload, self.pages, self.purse = process, payload, pages, purse
        self.rules = payload.rules()
        self.places = payload.search.chains() if payload.search else {}
        self.renders: dict[str, bool] = dict(process.renders)
        self.trial = asyncio.Lock()

    async def outcome(self, page: Claimed, *, first: bool) -> Outcome:
        """The page, as it comes or rendered, and read. Raises `Failure` and `Later`."""
        rule, extra = self.rules[page.rule], 0
        if rule.chrome:
            fetched, cost = await self.pages.render(page.url, rule, first=first), credits.price(chrome=True)
        else:
            fetched, cost = await self.pages.fetch(page.url, first=first), credits.price()
        if self.payload.single:
            made = fetched.data or "".join(fetched.texts).encode()
            return Outcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost, records=made)
        if self.payload.search:
            reading = self._results(page, fetched, self.payload.search)
            return self._outcome_of(page, fetched, reading, cost)
        reading = await self._read(fetched, rule)
        if reading.records:
            self.renders.setdefault(str(rule.number), False)
        elif not rule.chrome and (better := await self._rendered(page, first)):
            fetched, reading = better
            extra = credits.price(chrome=True)
        return self._outcome_of(page, fetched, reading, cost, extra)

    def _results(self, page: Claimed, fetched: Fetched, search: Search) -> Reading:
        try:
            return search.read(fetched.texts[-1], fetched.url, self.places[page.chain], page.ordinal)
        except Failure as failure:
            failure.status = fetched.status
            raise

    async def _rendered(self, page: Claimed, first: bool) -> tuple[Fetched, Reading] | None:
        """A page that shows no record is rendered, unless pages of its kind show some, or that was no help to one."""
        kind = str(page.rule)
        if self.renders.get(kind):
            return await self._try(page, first)
        async with self.trial:
            return await self._try(page, first) if self.renders.get(kind) is not False else None

    async def _try(self, page: Claimed, first: bool) -> tuple[Fetched, Reading] | None:
        price, rule = credits.price(chrome=True), self.rules[page.rule]
        if missing() or not self.purse.take(price):
            return None
        try:
            fetched = await self.pages.render(page.url, rule, first=first)
            reading = await self._read(fetched, rule)
        except (Failure, Later) as failure:
            self.purse.give(price)
            await self._tell(page, False, str(failure))
            return None
        await self._tell(page, bool(reading.records), f"{len(reading.records)} records")
        return fetched, reading

    async def _tell(self, page: Claimed, helped: bool, words: str) -> None:
        """Of the first page of its kind."""
        if str(page.rule) not in self.renders:
            self.renders[str(page.rule)] = helped
            text = f"no record in {page.url}, so it was rendered: {words}"
            await Books.do(lambda: process_lifecycle.rendered(process=self.process, renders=self.renders, text=text))

    async def _read(self, fetched: Fetched, rule: Rule) -> Reading:
        trial = partial(read_all, fetched.texts, fetched.url, rule)
        in_time = partial(parse_guard.ends_in_time, trial)
        suspicious = any(map(parse_guard.suspicious, fetched.texts))
        if suspicious and not await asyncio.get_running_loop().run_in_executor(None, in_time):
            raise Failure("The page takes too long to read.", status=fetched.status)
        return trial()

    def _outcome_of(self, page: Claimed, fetched: Fetched, reading: Reading, cost: int, extra: int = 0) -> Outcome:
        rule = self.rules[page.rule]
        records = orjson.dumps(reading.records) if reading.records else b""
        outcome = Outcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost + extra, extra=extra)
        shown = b""
        if records and (rule.next or reading.shown):
            shown = digest(orjson.dumps(reading.shown) if reading.shown else records)
        if shown and shown == page.before:
            outcome.state = PageState.REPEATED
            return outcome
        outcome.records, outcome.count = records, len(reading.records)
        outcome.found = _found(page, rule, reading, shown)
        return outcome


def _found(page: Claimed, rule: Rule, reading: Reading, shown: bytes) -> list[Found]:
    found = [Found(Claimed(link.key, link.key, b"", 0, link.rule, link.url), mine=False) for link in reading.links]
    if reading.next and (rule.next is None or not rule.next.pages or page.ordinal + 1 < rule.next.pages):
        key = page_key(rule.number, reading.next, page.chain)
        following = Claimed(key, page.chain, shown, page.ordinal + 1, rule.number, reading.next)
        found.insert(0, Found(following, mine=False))
    return found


def failed(page: Claimed, failure: Failure) -> Outcome:
    """What is written down of a page that gave nothing."""
    again = failure.again and page.attempt < settings.EXTRACTION_PAGE_ATTEMPTS
    return Outcome(
        page,
        PageState.READY if again else PageState.FAILED,
        status=failure.status,
        error=failure.reason,
        wait=backoff(page.attempt, failure.after) if again else None,
    )
