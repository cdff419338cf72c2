"""Fetches pages, as they come or rendered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from django.conf import settings

from extraction.domain.browser_actions import PageAction
from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.logins import LoginRequest
from extraction.domain.page_sources import JSON
from extraction.domain.payload import Payload
from extraction.domain.process_status import PageFailure, page_backoff
from extraction.domain.render_job import Pagination, RenderJob
from extraction.domain.request_addresses import origin_of
from extraction.domain.sitemaps import SITEMAP_RULE
from extraction.fetch.browser import browser_thread
from extraction.fetch.host_limits import HostLimits
from extraction.fetch.page_answers import (
    ANYTHING,
    PAGES,
    SITEMAP_BYTES,
    check_answer,
    check_body,
    kinds_of,
    refresh_address,
    unpack_sitemap,
)
from extraction.fetch.page_renderer import render
from extraction.fetch.page_text import decode_page, media_type
from extraction.fetch.politeness import HostSlot
from extraction.fetch.proxy_turns import ProxyTurns
from extraction.fetch.robots import RobotsRules
from extraction.models import Process
from taskhub.outbound import Refused, TooMuch, Unreachable, check_url
from taskhub.outbound.client import GateClient, GateRequest, GateResponse, Judge
from taskhub.security.masking import is_secret

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.1"
JSON_ACCEPT = "application/json,*/*;q=0.1"
REFRESHES_MAX = 5


@dataclass
class FetchedPage:
    """A page that was fetched. `wire` is how many bytes were sent.

    `texts` are several where its list goes on in the page itself; `data` is a picture or document of it. `media_type`
    is what its server says of a page that is not rendered.
    """

    texts: list[str]
    url: str
    status: int
    wire: int
    data: bytes = b""
    media_type: str = ""


class PageFetcher:
    """Fetches the pages of one process.

    The payload's method and body are those of its first pages alone.
    """

    def __init__(self, client: GateClient, hosts: HostLimits, payload: Payload, process: Process) -> None:
        self._client, self._hosts, self._payload, self._owner = client, hosts, payload, process.owner_id
        self._proxies = ProxyTurns(payload.first_request.proxies, process.pk, hosts)
        self._robots = RobotsRules(client, hosts, self._proxies) if not payload.ignore_robots else None
        self._origins, self._home = payload.first_request.origins, payload.first_request.url
        self._headers = dict(payload.first_request.headers)
        self._asks_for_pages = not any(name.lower() == "accept" for name in self._headers)
        if self._asks_for_pages:
            self._headers["Accept"] = ACCEPT
        self._secret = frozenset(name.lower() for name in payload.first_request.headers if is_secret(name))

    async def __aenter__(self) -> Self:
        await self._proxies.load()
        return self

    async def __aexit__(self, *_: Any) -> None:
        if self._robots:
            await self._robots.close()

    async def fetch(self, url: str, rule: ExtractionRule, *, first: bool) -> FetchedPage:
        """Fetches a page as it comes. Raises `PageFailure`, and `HostBusy` when the host is to be asked later."""
        async with self._slot_for(url) as slot:
            answer, text = await self._follow_refreshes(url, rule, first, slot)
        return _fetched([text], answer)

    async def download(self, url: str, sink: Callable[[bytes], object], max_bytes: int) -> FetchedPage:
        """Fetches a file of any type, which `sink` gets piece by piece. Raises what `fetch` raises."""
        headers = self._headers | {"Accept": "*/*"} if self._asks_for_pages else self._headers
        call = self._request(url, headers=headers, sink=sink, max_bytes=max_bytes)
        async with self._slot_for(url) as slot:
            answer = await self._call_by_turn(call, slot, partial(check_answer, kinds=ANYTHING))
        return _fetched([], answer)

    @asynccontextmanager
    async def _slot_for(self, url: str) -> AsyncIterator[HostSlot]:
        """A slot at an address's host, acquired before a call, whose time has not begun while it waits.

        Problems of the call are raised as `PageFailure`s. A host that is overloaded is left alone for a while.
        """
        slot = HostSlot(self._hosts, self._robots, self._payload.delay)
        try:
            await slot.acquire(url)
            yield slot
        except (Refused, TooMuch) as problem:
            raise PageFailure(problem.detail) from None
        except Unreachable as problem:
            raise PageFailure(problem.detail, retry=True) from None
        except PageFailure as failure:
            await self._pause_host(slot.host, failure)
            raise
        finally:
            slot.release()

    async def _follow_refreshes(
        self, url: str, rule: ExtractionRule, first: bool, slot: HostSlot
    ) -> tuple[GateResponse, str]:
        """The answer that a browser stays at, and its text: pages may lead on to another at once."""
        seconds = self._client.policy.total_timeout
        judge = partial(check_answer, kinds=kinds_of(rule) if self._payload.reads_data else PAGES)
        call = self._call(url, rule, first)
        try:
            async with asyncio.timeout(seconds):
                for _ in range(REFRESHES_MAX + 1):
                    answer = await self._call_by_turn(call, slot, judge)
                    if rule.number == SITEMAP_RULE:
                        answer.body = unpack_sitemap(answer.body)
                    check_body(answer)
                    text = decode_page(answer.body, answer.headers.get("Content-Type"))
                    if (target := refresh_address(answer, text)) is None:
                        return answer, text
                    await slot.acquire(target)
                    call = self._call(target, rule, False)
        except TimeoutError:
            raise PageFailure(f"The page took longer than {seconds:.3g} seconds.", retry=True) from None
        raise PageFailure(f"The page leads to another more than {REFRESHES_MAX} times.")

    async def _call_by_turn(self, call: GateRequest, slot: HostSlot, judge: Judge) -> GateResponse:
        """Makes a call; where it comes to nothing, its proxy rests."""
        try:
            return await self._client.call(call, permit=slot.permit, judge=judge)
        except Unreachable:
            await self._proxies.rest(call.proxy)
            raise

    async def submit(self, filled: LoginRequest, page_url: str) -> FetchedPage:
        """Sends a form that was filled, as that of the page at `page_url`. Raises what `fetch` raises."""
        headers = {**self._headers, "Referer": page_url}
        if filled.method == "POST":
            headers["Content-Type"] = filled.content_type
        body = filled.body.encode() if filled.method == "POST" else None
        call = self._request(filled.url, method=filled.method, headers=headers, body=body)
        async with self._slot_for(filled.url) as slot:
            answer = await self._call_by_turn(call, slot, partial(check_answer, kinds=ANYTHING))
        return _fetched([], answer)

    async def render(
        self, url: str, rule: ExtractionRule, *, first: bool, actions: Sequence[PageAction] = ()
    ) -> FetchedPage:
        """Renders a page in a browser. Raises what `fetch` raises."""
        policy = self._client.policy
        async with self._slot_for(url):
            check_url(url, policy)  # the browser's own calls are checked, too; this spares starting it
            job = self._job(url, rule, first, actions)
            try:
                rendered = await browser_thread.get().run(render(job, policy, check_answer))
            except PageFailure as failure:
                if failure.retry and failure.status is None:
                    await self._proxies.rest(job.proxy)
                raise
        if self._robots and not await self._robots.allows(rendered.url):
            raise PageFailure("The site's robots.txt forbids where the page leads.")
        self._client.cookies.apply(rendered.cookies)
        return FetchedPage(rendered.texts, rendered.url, rendered.status, rendered.wire, rendered.data)

    def _job(self, url: str, rule: ExtractionRule, first: bool, actions: Sequence[PageAction]) -> RenderJob:
        request, payload = self._payload.first_request, self._payload
        body = request.body if first and not rule.number else None
        return RenderJob(
            url,
            seconds=settings.EXTRACTION_PAGE_SECONDS,
            max_bytes=self._client.policy.max_bytes,
            method=request.method if first and not rule.number else "GET",
            body=body.data if body else b"",
            content_type=body.content_type if body else "",
            headers=request.headers,
            home=self._home_of(url),
            cookies=tuple(self._client.cookies.cookies()),
            proxy=self._proxies.take(),
            actions=tuple(action.browser_action() for action in actions)
            if rule.number
            else tuple(action for action in request.actions if first or action.repeats),
            pagination=_pagination(rule),
            frame=rule.frame,
            needs_frame=first or rule.number != 0,
            product=payload.product,
            options=payload.options,
            settle=payload.settle,
            owner=self._owner,
        )

    def _call(self, url: str, rule: ExtractionRule, first: bool) -> GateRequest:
        request = self._payload.first_request
        body = request.body if first else None
        headers = self._headers_for(rule)
        if body and not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "Content-Type": body.content_type}
        return self._request(
            url,
            method=request.method if first else "GET",
            headers=headers,
            body=body.data if body else None,
            max_bytes=SITEMAP_BYTES if rule.number == SITEMAP_RULE else None,
        )

    def _request(self, url: str, **terms: Any) -> GateRequest:
        """A request by the proxy whose turn it is, whose credentials go to their own origin alone."""
        return GateRequest(url, proxy=self._proxies.take(), secret=self._secret, home=self._home_of(url), **terms)

    def _headers_for(self, rule: ExtractionRule) -> Mapping[str, str]:
        return self._headers | {"Accept": JSON_ACCEPT} if rule.kind == JSON and self._asks_for_pages else self._headers

    def _home_of(self, url: str) -> str:
        """The address to whose origin credentials are sent: a page's own, where the payload names its origin."""
        return url if len(self._origins) > 1 and origin_of(url) in self._origins else self._home

    async def _pause_host(self, host: str, failure: PageFailure) -> None:
        """Keeps all workers from a host for a while, if its answer says that it is overloaded."""
        if failure.status == 429 or (failure.status == 503 and failure.retry_after):
            await self._hosts.pause(host, page_backoff(1, failure.retry_after))


def _fetched(texts: list[str], answer: GateResponse) -> FetchedPage:
    kind = media_type(answer.headers.get("Content-Type", ""))
    return FetchedPage(texts, answer.url, answer.status, answer.wire, media_type=kind)


def _pagination(rule: ExtractionRule) -> Pagination | None:
    """How the list of a page is shown further in the page itself, within the limit of steps."""
    if rule.paginator is None:
        return None
    max_steps = settings.EXTRACTION_CHROME_STEPS
    paginator = rule.paginator
    return Pagination(paginator.type, paginator.selector, paginator.attr, min(max_steps, paginator.pages or max_steps))
