"""Renders a page in Chromium, acts in it, and reads it. Runs in the browser's thread (see `browser`)."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import HTML, RenderedPage, RenderJob
from extraction.domain.selectors import frame_steps
from extraction.fetch.browser import browser_thread
from extraction.fetch.page_actions import PageActions
from extraction.fetch.page_products import make_product, size_window
from extraction.fetch.page_view import OpenRequests, PageDeadline, PageView
from extraction.fetch.request_interception import intercept
from extraction.fetch.shown_list import ShownList
from taskhub.outbound import Policy, TooMuch
from taskhub.outbound.client import GateResponse
from taskhub.outbound.cookie_store import cookie_changes
from taskhub.outbound.proxy import MARK, GateProxy

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0  # for which a page that has loaded may load more
CLOSING_SECONDS = 5.0  # past the page's time; then it is abandoned
DATA_BYTES = 10 * 1024 * 1024  # what comes before the page's own limit counts, such as pictures
LIST_PAGES = 10  # whose sizes the texts of a list in one page may have together

_COOKIE = ("domain", "path", "name", "value", "expires", "secure", "httpOnly", "sameSite")

AnswerCheck = Callable[[GateResponse], None]


async def render(job: RenderJob, policy: Policy, check_answer: AnswerCheck) -> RenderedPage:
    """Renders a page, as it is after its actions. Raises `PageFailure`, and what `check_answer` raises."""
    try:
        limit = max(DATA_BYTES, 4 * job.max_bytes)
        async with (
            browser_thread.get().window(
                policy,
                owner=job.owner,
                upstream=job.proxy,
                max_bytes=limit,
                device_scale=job.options.get("device_scale", 1.0),
            ) as window,
            asyncio.timeout(job.seconds + CLOSING_SECONDS),
        ):
            return await PageRenderer(*window, job, check_answer).render()
    except TimeoutError:
        raise PageFailure(f"The page took longer than {job.seconds:g} seconds to render.", retry=True) from None


class PageRenderer:
    """Renders one page in a browser window of its own."""

    def __init__(self, context: Any, proxy: GateProxy, job: RenderJob, check_answer: AnswerCheck) -> None:
        self.context, self.proxy, self.job, self.check_answer = context, proxy, job, check_answer
        self.deadline = PageDeadline(job.seconds)
        self.crashed = self.downloads = False
        self.main_response: Any = None  # the last answer that the page is made of

    async def render(self) -> RenderedPage:
        from playwright.async_api import Error

        await self._open_page()
        try:
            await self._load()
            for action in self.job.actions:
                await self.actions.act(action)
            await self._check_last()
            view = await self._view_to_read()
            texts = await self._texts(view)
            data = b"" if self.job.product == HTML else await self._product()
        except Error as error:
            raise self._failure(error) from None
        self._check_refused()
        changes = cookie_changes(self.given_cookies, await self._cookies())
        url = view.url if view.url.startswith("http") else self.page.url
        status = int(self.main_response.status)
        return RenderedPage(url, status, texts, self.proxy.received, data, changes)

    async def _open_page(self) -> None:
        job = self.job
        await self._give_cookies()
        self.page = await self.context.new_page()
        self.view = PageView(self.page, self.deadline, OpenRequests(self.page))
        self.actions = PageActions(self.view, self.page.keyboard)
        self.page.on("crash", self._note_crash)
        self.page.on("response", self._note_response)
        self.page.on("download", self._note_download)
        self.context.on("page", lambda page: asyncio.ensure_future(_close(page)))  # windows that the page opens
        await size_window(self.page, job.options)
        await intercept(self.context, self.page, job)

    async def _give_cookies(self) -> None:
        """Gives the browser the cookies of the process; those that it does not take are left out."""
        from playwright.async_api import Error

        try:
            if self.job.cookies:
                await self.context.add_cookies([dict(cookie) for cookie in self.job.cookies])
        except Error:  # it takes all of them or none
            for cookie in self.job.cookies:
                with suppress(Error):
                    await self.context.add_cookies([dict(cookie)])
        self.given_cookies = await self._cookies() if self.job.cookies else []  # as the browser writes them

    def _note_crash(self, *_: Any) -> None:
        self.crashed = True

    def _note_response(self, response: Any) -> None:
        """Notes the answer that the page is made of, also when its script leads it to another address."""
        if response.request.is_navigation_request() and response.frame == self.page.main_frame:
            self.main_response = response

    def _note_download(self, *_: Any) -> None:
        self.downloads = True

    async def _load(self) -> None:
        response = await self.page.goto(self.job.url, wait_until="commit", timeout=self.deadline.left * 1000)
        if response is None:
            raise PageFailure("The server gives no page.")
        self.checked = response
        await self._check(response)
        await self._settle()
        await self._check_last()

    async def _check_last(self) -> None:
        """Checks the answer that the page is made of by now, where its scripts or actions have led to another."""
        if self.main_response is not self.checked:
            self.checked = self.main_response
            await self._check(self.main_response)

    async def _view_to_read(self) -> PageView:
        """The page, or what is in a frame of it."""
        frame = self.job.frame
        if not frame or not (self.job.needs_frame or await self.view.first(frame_steps(frame)[0]).count()):
            return self.view
        return await self.view.frame(frame)

    async def _check(self, response: Any) -> None:
        headers = {name.title(): value for name, value in (await response.all_headers()).items()}
        if headers.get(MARK[0]) == MARK[1] and self.proxy.refused:
            raise PageFailure(self.proxy.refused[-1].detail, retry=not self.proxy.refused[-1].permanent)
        self.check_answer(GateResponse(response.status, response.url, headers))

    async def _settle(self) -> None:
        """Waits until the page has loaded and requests nothing more, but not for ever."""
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        with suppress(PlaywrightTimeout):
            await self.page.wait_for_load_state("load", timeout=min(self.deadline.left, self.job.seconds / 2) * 1000)
        with suppress(PlaywrightTimeout):
            await self.page.wait_for_load_state("networkidle", timeout=min(self.deadline.left, SETTLE_SECONDS) * 1000)
        await asyncio.sleep(min(self.deadline.left, self.job.settle or 0))

    async def _texts(self, view: PageView) -> list[str]:
        """The texts of a page: several where its list goes on in the same place."""
        pagination = self.job.pagination
        if pagination is None:
            return [await view.text(self.job.max_bytes)] if self.job.product == HTML else []
        shown_list = ShownList(view, pagination)
        texts: list[str] = []

        async def read() -> None:
            texts.append(await view.text(self.job.max_bytes))
            if sum(map(len, texts)) > LIST_PAGES * self.job.max_bytes:
                raise PageFailure(f"The list of the page has more than {LIST_PAGES * self.job.max_bytes} characters.")

        if pagination.kind != "next":
            if await shown_list.grow(read):
                await read()
            return texts
        await read()
        while len(texts) < pagination.pages and await shown_list.show_next():
            await read()
            if texts[-1] == texts[-2]:
                texts.pop()
                break
        return texts

    async def _product(self) -> bytes:
        data = await make_product(self.page, self.job, self.deadline.left)
        if len(data) > self.job.max_bytes:
            raise PageFailure(f"What is made of the page has more than {self.job.max_bytes} bytes.")
        return data

    async def _cookies(self) -> list[dict[str, Any]]:
        return [{name: cookie[name] for name in _COOKIE if name in cookie} for cookie in await self.context.cookies()]

    def _check_refused(self) -> None:
        for problem in self.proxy.refused:
            if isinstance(problem, TooMuch):
                raise PageFailure(problem.detail)

    def _failure(self, error: Exception) -> PageFailure:
        """The failure that an error of Playwright's stands for, without the words of the page."""
        text = str(error)
        if self.crashed or "crashed" in text:
            return PageFailure("The page took more memory than it may, or broke the browser.")
        if self.downloads or "Download is starting" in text:
            return PageFailure("It is no page, but a download.")
        if self.proxy.refused:
            problem = self.proxy.refused[0]
            return PageFailure(problem.detail, retry=not problem.permanent)
        if "Timeout" in type(error).__name__ or "Timeout" in text:
            return PageFailure(f"The page took longer than {self.job.seconds:g} seconds to render.", retry=True)
        if "ERR_TOO_MANY_REDIRECTS" in text:
            return PageFailure("The server redirects in a circle.")
        if "has been closed" in text:
            return PageFailure("The browser crashed.", retry=True)
        log.info("A page cannot be rendered: %s", text.partition("\n")[0])
        return PageFailure("The server did not answer as it should, or broke off.", retry=True)


async def _close(page: Any) -> None:
    with suppress(Exception):
        await page.close()
