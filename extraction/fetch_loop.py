"""Fetches one slice of a process's pages, and reads them.

Three objects share the event loop. `PageSupply` claims pages and reserves credits before the last at hand are used up,
`FetchLoop` fetches several pages at once, and `BatchWriter` writes their outcomes. Claims and writes go through
asgiref's thread for Django (`sync_to_async`), one after the other, so the loop itself never waits for the database,
which sees one connection.

A slice has its turn for some seconds. Then it gives back the pages that it has not begun, and only waits for those that
are under way, however long these take: the next slice need not wait for them.
"""

import asyncio
import logging
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from extraction.batch_writer import WRITE_SECONDS, BatchWriter
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, PageState
from extraction.domain.record_changes import RecordLimit
from extraction.fetch.host_limits import HostBusy, HostLimits
from extraction.fetch.page_fetcher import PageFetcher
from extraction.models import Process, Slice
from extraction.page_processor import PageProcessor, failed_outcome
from extraction.page_supply import PageSupply
from extraction.services import credits, process_lifecycle, suspension
from extraction.services.page_table import ClaimedPage, PageOutcome
from extraction.services.payloads import allowed_payload
from taskhub.outbound import Policy, configured_policy
from taskhub.outbound.client import GateClient
from taskhub.outbound.cookie_store import CookieStore, cookie_changes, set_by_user
from taskhub.telemetry.spans import span

log = logging.getLogger(__name__)

BUSY_HOSTS_MAX = 32  # pages in a row whose hosts are to be asked later: then the slice is over
COOKIE_HOSTS_MAX = 100  # that get the cookies of a payload
CLOSING_SECONDS = 15.0  # past what a page may take that is under way when the slice is over


class FetchLoop:
    """Fetches pages of one slice, several at once, until none is left, its time is over or it is lost."""

    def __init__(self, slice: Slice, process: Process, payload: Payload) -> None:
        self.slice, self.process, self.payload = slice, process, payload
        limits = credits.AccountLimits.of(credits.credit_account(process.owner_id))
        self.policy = _policy(limits)
        max_pages = min(limits.pages, payload.max_pages or limits.pages)
        self.supply = PageSupply(slice, process, max_pages)
        self.cookies = _cookies_of(process, payload)
        self.writer = BatchWriter(slice, process, self.supply, self.cookies, max_pages, payload.record_limit)
        self._limit, self._listed = payload.record_limit, process.listed
        self._host_delays: list[float] = []  # seconds that busy hosts want, since the last page that was fetched

    @property
    def host_delay(self) -> float:
        """Seconds until one of the process's hosts can be asked again; 0 where the slice did not end for that."""
        return min(self._host_delays) if len(self._host_delays) > BUSY_HOSTS_MAX else 0.0

    async def run(self) -> None:
        """Fetches the slice. Raises `SliceLost`."""
        await sync_to_async(close_old_connections)()  # one that a slice before found dead
        async with (
            GateClient(self.policy, limit=0, cookies=self.cookies) as client,
            HostLimits(f"slice{self.slice.pk}") as hosts,
            PageFetcher(client, hosts, self.payload, self.process) as fetcher,
        ):
            self.processor = PageProcessor(self.process, self.payload, fetcher, self.supply.credits)
            with closing(self.processor):
                await self._fetch_until_over()
        if self.processor.renders != self.process.renders:
            await Process.objects.filter(pk=self.process.pk).aupdate(renders=self.processor.renders)

    async def _fetch_until_over(self) -> None:
        """Runs supply, fetching and writer together. Past its turn it waits for pages under way, but not for ever.

        Raises what one of its tasks raised.
        """
        limit = settings.EXTRACTION_SLICE_SECONDS + self.policy.total_timeout + CLOSING_SECONDS
        end_of_turn = asyncio.get_running_loop().call_later(settings.EXTRACTION_SLICE_SECONDS, self.supply.close)
        # A browser renders so many at once; more would be under way, and only wait for it, when the turn is over.
        at_once = settings.EXTRACTION_CONCURRENCY
        if self.process.rendered:
            at_once = min(at_once, settings.EXTRACTION_CHROME_CONCURRENCY)
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                supplying = group.create_task(self.supply.run(self.writer.outcomes.empty))
                group.create_task(self.writer.run())
                giving_back = group.create_task(self._give_back_when_over())
                await asyncio.wait([group.create_task(self._fetch()) for _ in range(at_once)])
                supplying.cancel()
                giving_back.cancel()
                self.writer.stop()
        except TimeoutError:
            await self.writer.write()  # pages under way are given up; they are free again when the slice ends
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # several say the same as a rule, such as that the slice is lost
        finally:
            end_of_turn.cancel()

    async def _give_back_when_over(self) -> None:
        """Gives pages back when the turn is over, also where each fetcher is busy with a page that takes long."""
        await self.supply.over.wait()
        while True:  # a claim may have been under way
            self.writer.give_back(self.supply.take_unbegun())
            await asyncio.sleep(WRITE_SECONDS)

    async def _fetch(self) -> None:
        while (page := await self.supply.take()) is not None:
            outcome = await self._outcome_of(page)
            if self._limit:
                self._keep_to_limit(outcome, self._limit)
            self.process.bytes += outcome.size
            self.supply.finish_page(outcome)
            await self.writer.add(outcome)
            if self.processor.renders_now and not self.process.rendered:
                self.supply.close()  # the process goes on in slices of the rendered sort

    def _keep_to_limit(self, outcome: PageOutcome, limit: RecordLimit) -> None:
        """Leads to no more records once there are as many as there may be: pages of them are not begun any more."""
        self._listed = max(self._listed, self.writer.listed)
        self._listed += outcome.count if outcome.page.rule in limit.listed else 0
        if self._listed >= limit.records:
            outcome.found = [found for found in outcome.found if found.page.rule not in limit.listing]
            self.writer.give_back(self.supply.take_pages(limit.listing))

    def _is_first(self, page: ClaimedPage) -> bool:
        """Whether a page is one that the payload names itself, which its method, its form and its actions are for."""
        return page.ordinal == page.hops == page.rule == self.payload.first_rule

    async def _outcome_of(self, page: ClaimedPage) -> PageOutcome:
        started = time.monotonic()
        most = self._limit.most_of(page.rule, max(self._listed, self.writer.listed)) if self._limit else None
        try:
            outcome = await self.processor.process_page(page, first=self._is_first(page), most=most)
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


def _cookies_of(process: Process, payload: Payload) -> CookieStore:
    """The cookies of a process: the user's own at first, later those of its servers, too."""
    cookies, request = CookieStore(process.cookies), payload.first_request
    if not process.cookies:
        hosts = sorted({urlsplit(origin).hostname or "" for origin in request.origins})[:COOKIE_HOSTS_MAX]
        of_user = [cookie for host in hosts for cookie in set_by_user(request.cookies, host)]
        cookies.apply(cookie_changes((), of_user))
    return cookies


def _policy(limits: credits.AccountLimits) -> Policy:
    """The gate's policy, with the limits of a page."""
    policy, seconds = configured_policy(), settings.EXTRACTION_PAGE_SECONDS
    read_timeout = min(policy.read_timeout, seconds)
    return replace(policy, read_timeout=read_timeout, total_timeout=seconds, max_bytes=limits.page_bytes)


async def fetch_slice(slice: Slice, process: Process, over: asyncio.Event) -> None:
    """Fetches one slice of a process, ends it, and suspends the process where its credits ran out.

    `over` is set when its turn is. Raises `SliceLost` where the process was stopped, or another worker has its pages.
    """
    with span("slice", "CONSUMER", parent=process.run.traceparent if process.run else "") as slice_span:
        slice_span.describe(taskhub__run__id=str(process.run_id), taskhub__process__id=process.id)
        loop = await sync_to_async(_new_loop)(slice, process)
        loop.supply.over = over
        await loop.run()
        await sync_to_async(_end)(loop)


def _new_loop(slice: Slice, process: Process) -> FetchLoop:
    return FetchLoop(slice, process, allowed_payload(process))


def _end(loop: FetchLoop) -> None:
    rest_until = timezone.now() + timedelta(seconds=loop.host_delay) if loop.host_delay else None
    process_lifecycle.end_slice(slice=loop.slice, rest_until=rest_until)
    if loop.supply.out_of_credits:
        suspension.suspend_for_credits(process=loop.process)
