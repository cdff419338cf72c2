"""Processes one page: fetches or renders it, reads it, and decides what became of it, for the page table."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import orjson
from asgiref.sync import sync_to_async
from django.conf import settings

from extraction.domain.downloads import DOWNLOAD_RULE, describe_file, stored_name
from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.findings import ExtractionWarning
from extraction.domain.first_records import keep_first
from extraction.domain.list_history import shown_by, without_columns
from extraction.domain.logins import LOGIN_RULE, LoginRequest
from extraction.domain.main_content import TRAFILATURA
from extraction.domain.page_addresses import page_key
from extraction.domain.page_libraries import DATES, libraries_of, load_libraries
from extraction.domain.page_sources import PageContent
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, PageState, page_backoff
from extraction.domain.sitemaps import SITEMAP_RULE
from extraction.fetch.browser import why_no_browser
from extraction.fetch.host_limits import HostBusy
from extraction.fetch.page_fetcher import FetchedPage, PageFetcher
from extraction.forked_reader import ReadPage
from extraction.models import Process
from extraction.page_supply import CreditAllowance
from extraction.reader_process import ReaderProcess
from extraction.services import process_lifecycle
from extraction.services.credits import page_price
from extraction.services.downloaded_files import delete_if_removed, store_file, storing
from extraction.services.page_table import ClaimedPage, FoundPage, PageOutcome
from taskhub.telemetry.spans import Span, span

SLOW_SECONDS = 4.0  # more, for main contents, and for dates in words, each of which takes milliseconds

LOGINS = ExtractionRule.fixed((), rendered=False, number=LOGIN_RULE)
SITEMAPS = ExtractionRule.fixed((), rendered=False, number=SITEMAP_RULE)

LIST_REPEATS = ExtractionWarning(
    "list-repeats",
    "/paginator",
    "A list was ended where its pages began to show again what earlier ones had shown; these pages are `repeated`.",
)


class PageProcessor:
    """Processes pages of one process. `renders` says by rule whether pages show records only when they are rendered."""

    def __init__(self, process: Process, payload: Payload, fetcher: PageFetcher, credits: CreditAllowance) -> None:
        self.process, self.payload, self.fetcher, self.credits = process, payload, fetcher, credits
        self.rules = {rule.number: rule for rule in (LOGINS, SITEMAPS, *payload.rule.walk())}
        self.renders: dict[str, bool] = dict(process.renders)
        self._trial = asyncio.Lock()
        libraries = {name for rule in self.rules.values() for name in libraries_of(rule)} | {*payload.libraries}
        self._reader = ReaderProcess(
            self._read_here,
            prepare=partial(load_libraries, libraries) if libraries else None,
            extra_seconds=SLOW_SECONDS if libraries & {DATES, TRAFILATURA} else 0.0,
        )

    def close(self) -> None:
        self._reader.close()

    @property
    def renders_now(self) -> bool:
        """Whether rendering helped with some pages, which shall be rendered from then on."""
        return any(self.renders.values())

    async def process_page(self, page: ClaimedPage, *, first: bool, most: int | None = None) -> PageOutcome:
        """Fetches or renders a page and reads it, in a span of its own; what became of it.

        `most` is how many of its records are wanted. Raises `PageFailure` and `HostBusy`.
        """
        with span("page", "CLIENT") as page_span:
            if page_span.is_recorded:
                page_span.describe(server__address=urlsplit(page.url).hostname or "")
            try:
                outcome = await self._process_page(page, first, most)
            except PageFailure as failure:
                _describe_status(page_span, failure.status)
                raise
            _describe_status(page_span, outcome.status)
            return outcome

    async def _process_page(self, page: ClaimedPage, first: bool, most: int | None) -> PageOutcome:
        if page.rule == LOGIN_RULE:
            return await self._log_in(page)
        if page.rule == DOWNLOAD_RULE:
            return await self._download(page)
        rule, extra = self.rules[page.rule], 0
        if rule.is_rendered:
            fetched, cost = await self.fetcher.render(page.url, rule, first=first), page_price(chrome=True)
        else:
            fetched, cost = await self.fetcher.fetch(page.url, rule, first=first), page_price()
        if not self.payload.is_read:
            product = fetched.data or "".join(fetched.texts).encode()
            return PageOutcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost, records=product)
        reading = await self._read(page, fetched, most)
        if not (self.payload.renders_empty_pages and self.gives_records(page)):
            return self._outcome_of(page, fetched, reading, cost)
        if reading.count:
            self.renders.setdefault(str(rule.number), False)
        elif not rule.is_rendered and (rendered := await self._render_if_it_helps(page, first, most)):
            fetched, reading = rendered
            extra = page_price(chrome=True)
        return self._outcome_of(page, fetched, reading, cost, extra)

    async def _log_in(self, page: ClaimedPage) -> PageOutcome:
        """Logs in, and leads to the first pages: its cookies are the process's when they are written together."""
        login = self.payload.login
        if login and login.actions:
            fetched = await self.fetcher.render(page.url, LOGINS, first=True, actions=login.actions)
        else:
            fetched = await self.fetcher.fetch(page.url, LOGINS, first=False)
            reading = await self._read(page, fetched)
            [filled] = orjson.loads(reading.records)
            fetched = await self.fetcher.submit(LoginRequest(**filled), page.url)
        price = page_price(chrome=bool(login and login.actions))
        outcome = PageOutcome(page, PageState.DONE, fetched.status, fetched.wire, cost=price, requests=1)
        rule = self.payload.first_rule
        keys = {page_key(rule, url): url for url in self.payload.first_addresses()}
        pages = (ClaimedPage(key, key, b"", 0, rule, url) for key, url in keys.items())
        outcome.found = [FoundPage(found, mine=False) for found in pages]
        return outcome

    async def _download(self, page: ClaimedPage) -> PageOutcome:
        """Downloads a file and stores it, for the records that show a link to it. Raises `PageFailure`."""
        if self.process.bytes >= settings.EXTRACTION_FILES_MAX_BYTES:
            raise PageFailure(f"The process has fetched {settings.EXTRACTION_FILES_MAX_BYTES} bytes: no more files.")
        name = stored_name(self.process.id, page.key)
        with TemporaryFile() as file:

            def keep(piece: bytes) -> None:
                with storing():
                    file.write(piece)

            fetched = await self.fetcher.download(page.url, keep, settings.EXTRACTION_FILE_MAX_BYTES)
            size, sha256 = await asyncio.to_thread(store_file, name, file)
        await sync_to_async(delete_if_removed)(self.process, name)
        description = describe_file(name, page.url, fetched.media_type, size, sha256)
        # It counts as large as it is here: a packed one may be a thousand times what was sent.
        counted = max(fetched.wire, size)
        outcome = PageOutcome(page, PageState.DONE, fetched.status, counted, cost=page_price())
        outcome.records = orjson.dumps(description)
        return outcome

    def gives_records(self, page: ClaimedPage) -> bool:
        """Whether records are taken from a page, and not only the pages that it leads to."""
        return page.rule > 0 or (page.rule == 0 and self.payload.takes_records_of(page.url))

    async def _render_if_it_helps(
        self, page: ClaimedPage, first: bool, most: int | None
    ) -> tuple[FetchedPage, ReadPage] | None:
        """Renders a page without records, unless pages of its rule show some, or rendering one of them did not help."""
        rule = str(page.rule)
        if self.renders.get(rule):
            return await self._render(page, first, most)
        async with self._trial:  # one page is tried; the others of its rule wait for its result
            return await self._render(page, first, most) if self.renders.get(rule) is not False else None

    async def _render(self, page: ClaimedPage, first: bool, most: int | None) -> tuple[FetchedPage, ReadPage] | None:
        price, rule = page_price(chrome=True), self.rules[page.rule]
        # That of the only first page has its fragment, which may be what scripts show.
        url = self.payload.first_request.url if page.key == self.payload.main else page.url
        if why_no_browser() or not self.credits.take(price):
            return None
        try:
            fetched = await self.fetcher.render(url, rule, first=first)
            reading = await self._read(page, fetched, most, rendered=True)
        except (PageFailure, HostBusy) as failure:
            self.credits.give(price)
            await self._save_renders(page, False, str(failure))
            return None
        await self._save_renders(page, bool(reading.count), f"{reading.count} records")
        return fetched, reading

    async def _save_renders(self, page: ClaimedPage, helped: bool, result: str) -> None:
        """Stores whether rendering a rule's first page helped, which holds for all pages of the rule."""
        if str(page.rule) not in self.renders:
            self.renders[str(page.rule)] = helped
            text = f"no record in {page.url}, so it was rendered: {result}"
            save = sync_to_async(process_lifecycle.save_renders)
            await save(process=self.process, renders=self.renders, text=text)

    async def _read(
        self, page: ClaimedPage, fetched: FetchedPage, most: int | None = None, *, rendered: bool = False
    ) -> ReadPage:
        place = (page.rule, page.chain.hex(), page.ordinal, most)
        try:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return await self._reader.read(fetched.texts, fetched.url, fetched.media_type, now, rendered, *place)
        except PageFailure as failure:
            failure.status = fetched.status
            raise

    def _read_here(
        self,
        texts: Sequence[str],
        url: str,
        media_type: str,
        fetched_at: str,
        rendered: bool,
        number: int,
        chain: str,
        ordinal: int,
        most: int | None,
    ) -> ReadPage:
        """Reads a page in this process, for as long as it takes."""
        rule, content = self.rules[number], PageContent(tuple(texts), url, media_type, fetched_at, rendered)
        reading = self.payload.read(content, rule=rule, chain=bytes.fromhex(chain), ordinal=ordinal)
        if most is not None:
            keep_first(reading, most, rule)
        records = reading.product or (orjson.dumps(reading.records) if reading.records else b"")
        shown = b""
        if rule.paginator or reading.shown:
            shown_records = reading.shown or without_columns(reading.records, rule.meta_columns)
            shown = shown_by(
                shown_records, records if shown_records is reading.records else orjson.dumps(shown_records)
            )
        findings = reading.findings.encode() if reading.findings else ""
        return ReadPage(records, len(reading.records), reading.links, reading.next, shown, findings, reading.left_out)

    def _outcome_of(
        self, page: ClaimedPage, fetched: FetchedPage, reading: ReadPage, cost: int, extra: int = 0
    ) -> PageOutcome:
        outcome = PageOutcome(page, PageState.DONE, fetched.status, fetched.wire, cost=cost + extra, extra=extra)
        if not self.gives_records(page):
            links = [link for link in reading.links if link.rule in {0, SITEMAP_RULE}]
            reading = ReadPage(links=links, next=reading.next, shown=reading.shown)
        outcome.findings = reading.findings
        if reading.shown and page.history.has_shown(reading.shown):
            outcome.state = PageState.REPEATED  # the list has ended: it shows the same again and again
            outcome.warnings = [] if reading.shown == page.before else [LIST_REPEATS]
            return outcome
        page.history.add(reading.shown)
        outcome.records, outcome.count, outcome.left_out = reading.records, reading.count, reading.left_out
        page.history.keys.add(page.key)
        if fetched.url != page.url:
            page.history.keys.add(page_key(page.rule, fetched.url, page.chain))
        outcome.found = _found_pages(page, self.rules[page.rule], reading, self.payload.hops)
        return outcome


def _describe_status(page_span: Span, status: int | None) -> None:
    if status is not None:
        page_span.describe(http__response__status_code=status)


def _found_pages(page: ClaimedPage, rule: ExtractionRule, reading: ReadPage, hops_max: int) -> list[FoundPage]:
    """The next page of the list, the pages behind records, and those that links are followed to."""
    pages = []
    for link in reading.links:
        hops = page.hops + (page.rule == link.rule == 0)
        if hops <= hops_max or link.rule:
            pages.append(ClaimedPage(link.key, link.key, b"", 0, link.rule, link.url, hops=hops))
    if rule.paginator is None or not rule.paginator.pages or page.ordinal + 1 < rule.paginator.pages:
        keys = ((page_key(rule.number, url, page.chain), url) for url in reading.next)
        unread = ((key, url) for key, url in keys if key not in page.history.keys)
        if following := next(unread, None):
            key, url = following
            onward = ClaimedPage(key, page.chain, reading.shown, page.ordinal + 1, rule.number, url)
            pages.insert(0, replace(onward, history=page.history))
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
