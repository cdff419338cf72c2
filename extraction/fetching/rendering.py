"""Pages as a browser shows them: rendered, acted on, gone on with. In the browser's thread; see `browser`."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from extraction.domain.rendering import BOTTOM, HTML, PDF, Action, Going, Job, Rendered
from extraction.domain.status import Failure
from extraction.fetching.altering import alter_requests
from extraction.fetching.browser import Browsers
from taskhub.outbound import Policy, TooMuch
from taskhub.outbound.client import Answer
from taskhub.outbound.proxy import MARK, GateProxy

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.3  # without a change, after a click or a scroll
SETTLE_SECONDS = 2.0  # for which a page that has loaded may go on asking
CHANGE_SECONDS = 3.0  # for which a change is waited for
ACTION_SECONDS = 15.0
CLOSING_SECONDS = 5.0  # past its time: then the page is left as it is
DATA_BYTES = 10 * 1024 * 1024  # what comes before the page's own limit counts, such as pictures

_CHANGED = """quiet => new Promise(done => {
    let timer = setTimeout(() => done(true), quiet);
    new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(() => done(true), quiet); })
        .observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
})"""
_EXTENT = "() => [document.getElementsByTagName('*').length, document.documentElement.outerHTML.length]"
_HREF = "(element, name) => element.getAttribute(name) || ''"

Judge = Callable[[Answer], None]


async def render(job: Job, policy: Policy, judge: Judge) -> Rendered:
    """Raises `Failure`, and what `judge` raises of the answer."""
    try:
        limit = max(DATA_BYTES, 4 * job.max_bytes)
        async with (
            Browsers.context(policy, upstream=job.proxy, max_bytes=limit) as window,
            asyncio.timeout(job.seconds + CLOSING_SECONDS),
        ):
            return await _Window(*window, job, judge).show()
    except TimeoutError:
        raise Failure(f"The page took longer than {job.seconds:g} seconds to render.", again=True) from None


class _Window:
    """One page of one browser, on its way."""

    def __init__(self, context: Any, proxy: GateProxy, job: Job, judge: Judge) -> None:
        self.context, self.proxy, self.job, self.judge = context, proxy, job, judge
        self.until = asyncio.get_running_loop().time() + job.seconds
        self.crashed = self.downloads = False
        self.shown: Any = None  # the last answer that the page was made of

    @property
    def left(self) -> float:
        """Seconds; Playwright takes 0 for no limit at all."""
        return max(0.05, self.until - asyncio.get_running_loop().time())

    @property
    def over(self) -> bool:
        return self.left <= 0.05

    async def show(self) -> Rendered:
        from playwright.async_api import Error

        await self._prepare()
        try:
            status = await self._go()
            for action in self.job.actions:
                await self._act(action)
            texts = await self._texts()
            data = b"" if self.job.product == HTML else await self._product()
        except Error as error:
            raise self._failure(error) from None
        self._check_refused()
        return Rendered(self.page.url, status, texts, self.proxy.taken, data, await self._cookies())

    async def _prepare(self) -> None:
        job = self.job
        if job.cookies:
            await self.context.add_cookies(
                [{"domain": d, "path": p, "name": n, "value": v} for d, p, n, v in job.cookies]
            )
        self.page = await self.context.new_page()
        self.page.on("crash", self._note_crash)
        self.page.on("response", self._note_response)
        self.page.on("download", self._note_download)
        self.context.on("page", lambda page: asyncio.ensure_future(_shut(page)))  # what it opens beside itself
        if width := job.options.get("width"):
            await self.page.set_viewport_size({"width": width, "height": job.options.get("height") or 800})
        if job.headers or job.method != "GET":
            await alter_requests(self.context, self.page, job)

    def _note_crash(self, *_: Any) -> None:
        self.crashed = True

    def _note_response(self, response: Any) -> None:
        """Also where the page itself goes somewhere else."""
        if response.request.is_navigation_request() and response.frame == self.page.main_frame:
            self.shown = response

    def _note_download(self, *_: Any) -> None:
        self.downloads = True

    async def _go(self) -> int:
        response = await self.page.goto(self.job.url, wait_until="commit", timeout=self.left * 1000)
        if response is None:
            raise Failure("The server gives no page.")
        await self._check(response)
        await self._settle()
        if self.shown is not response:
            await self._check(self.shown)
        return int(self.shown.status)

    async def _check(self, response: Any) -> None:
        headers = {name.title(): value for name, value in (await response.all_headers()).items()}
        if headers.get(MARK[0]) == MARK[1] and self.proxy.refused:
            raise Failure(self.proxy.refused[-1].detail, again=not self.proxy.refused[-1].permanent)
        self.judge(Answer(response.status, response.url, headers))

    async def _settle(self) -> None:
        """Until it has loaded, and asks for nothing more, as far as it ever does; then it is taken as it is."""
        from playwright.async_api import TimeoutError as Late

        with suppress(Late):
            await self.page.wait_for_load_state("load", timeout=min(self.left, self.job.seconds / 2) * 1000)
        with suppress(Late):
            await self.page.wait_for_load_state("networkidle", timeout=min(self.left, SETTLE_SECONDS) * 1000)
        await asyncio.sleep(min(self.left, self.job.settle or 0))

    async def _act(self, action: Action) -> None:
        from playwright.async_api import TimeoutError as Late

        limit = min(self.left, ACTION_SECONDS) * 1000
        try:
            await self._do(action, limit)
        except Late:
            raise Failure(f"The page shows no {action.selector} to {action.kind}, or not soon enough.") from None
        if action.kind != "wait":
            await self._calm()

    async def _do(self, action: Action, limit: float) -> None:
        place: Any = self.page.locator(action.selector).first if action.selector else None
        match action.kind:
            case "wait":
                await place.wait_for(state="attached", timeout=limit)
            case "click":
                await place.click(timeout=limit)
            case "fill":
                await place.fill(action.value, timeout=limit)
            case "scroll" if place:
                await place.scroll_into_view_if_needed(timeout=limit)
            case _:
                await self._scroll(action.pixels, to_bottom=action.value == BOTTOM)

    async def _scroll(self, pixels: int, *, to_bottom: bool) -> None:
        where = "document.documentElement.scrollHeight" if to_bottom else "window.scrollY + pixels"
        await self._run(f"pixels => window.scrollTo(0, {where})", pixels)

    async def _calm(self) -> None:
        """Until nothing has changed for a moment, or that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self.left, CHANGE_SECONDS)):
                await self.page.evaluate(_CHANGED, QUIET_SECONDS * 1000)

    async def _run(self, script: str, value: Any = None) -> Any:
        async with asyncio.timeout(self.left):
            return await self.page.evaluate(script, value)

    async def _texts(self) -> list[str]:
        going = self.job.going
        if going is None:
            return [await self._text()] if self.job.product == HTML else []
        if going.kind == "next":
            return await self._turned(going)
        await self._grown(going)
        return [await self._text()]

    async def _turned(self, going: Going) -> list[str]:
        """A list whose next page a click shows, in the same place; where it is a link, that is followed elsewhere."""
        texts = [await self._text()]
        while len(texts) < going.pages and not self.over and await self._clicks(going):
            before = await self._extent()
            if not await self._clicked(going.selector):
                break
            await self._changed(before)
            text = await self._text()
            if text == texts[-1]:
                break
            texts.append(text)
        return texts

    async def _clicks(self, going: Going) -> bool:
        place = self.page.locator(going.selector).first
        if not await place.count():
            return False
        href = await place.evaluate(_HREF, going.attr)
        return not href or href.startswith("#") or href.lower().startswith("javascript:")

    async def _grown(self, going: Going) -> None:
        """What is appended, by a click or at the bottom, is waited for, until nothing comes any more."""
        for _ in range(going.pages - 1):
            if self.over:
                return
            before = await self._extent()
            if going.kind == "more":
                if not await self._clicked(going.selector):
                    return
            else:
                await self._scroll(0, to_bottom=True)
            if not await self._changed(before):
                return

    async def _clicked(self, selector: str) -> bool:
        """False where there is nothing to click, or no more."""
        from playwright.async_api import TimeoutError as Late

        place = self.page.locator(selector).first
        try:
            if not await place.count() or not await place.is_visible() or not await place.is_enabled():
                return False
            await place.click(timeout=min(self.left, CHANGE_SECONDS) * 1000)
        except Late:
            return False
        return True

    async def _extent(self) -> Any:
        return await self._run(_EXTENT)

    async def _changed(self, before: Any) -> bool:
        """Whether the page is another than before, after it was given the time to be."""
        end = asyncio.get_running_loop().time() + min(self.left, CHANGE_SECONDS)
        while asyncio.get_running_loop().time() < end:
            await self._calm()
            if await self._extent() != before:
                return True
        return False

    async def _text(self) -> str:
        _, size = await self._extent()
        if size > self.job.max_bytes:
            raise Failure(f"The page has more than {self.job.max_bytes} characters when it is rendered.")
        async with asyncio.timeout(self.left):
            return str(await self.page.content())

    async def _product(self) -> bytes:
        options = {name: value for name, value in self.job.options.items() if name not in {"width", "height"}}
        if self.job.product == PDF:
            async with asyncio.timeout(self.left):
                data = await self.page.pdf(**options)
        elif selector := options.pop("selector", ""):
            data = await self.page.locator(selector).first.screenshot(timeout=self.left * 1000, **options)
        else:
            data = await self.page.screenshot(timeout=self.left * 1000, **options)
        if len(data) > self.job.max_bytes:
            raise Failure(f"What is made of the page has more than {self.job.max_bytes} bytes.")
        return bytes(data)

    async def _cookies(self) -> list[list[str]]:
        return [[one["domain"], one["path"], one["name"], one["value"]] for one in await self.context.cookies()]

    def _check_refused(self) -> None:
        for problem in self.proxy.refused:
            if isinstance(problem, TooMuch):
                raise Failure(problem.detail)

    def _failure(self, error: Exception) -> Failure:
        """In words of ours, without those of a page."""
        words = str(error)
        if self.crashed or "crashed" in words:
            return Failure("The page took more memory than it may, or broke the browser.")
        if self.downloads or "Download is starting" in words:
            return Failure("It is no page, but a download.")
        if self.proxy.refused:
            problem = self.proxy.refused[0]
            return Failure(problem.detail, again=not problem.permanent)
        if "Timeout" in type(error).__name__ or "Timeout" in words:
            return Failure(f"The page took longer than {self.job.seconds:g} seconds to render.", again=True)
        if "ERR_TOO_MANY_REDIRECTS" in words:
            return Failure("The server redirects in a circle.")
        if "has been closed" in words:
            return Failure("The browser fell.", again=True)
        log.info("A page cannot be rendered: %s", words.partition("\n")[0])
        return Failure("The server did not answer as it should, or broke off.", again=True)


async def _shut(page: Any) -> None:
    with suppress(Exception):
        await page.close()
