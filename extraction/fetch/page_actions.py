"""Acts in a page that a browser shows: the payload's actions, and clicks and scrolls that show more of its list."""

import asyncio
from contextlib import suppress
from typing import Any

from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import BOTTOM, BrowserAction, Pagination

QUIET_SECONDS = 0.3  # without a change, after a click or a scroll
CHANGE_SECONDS = 3.0  # for which a change is waited for
ACTION_SECONDS = 15.0
LEAST_SECONDS = 0.05  # Playwright takes 0 for no limit

_CHANGED = """quiet => new Promise(done => {
    const end = () => { observer.disconnect(); done(true) };
    let timer = setTimeout(end, quiet);
    const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(end, quiet) });
    observer.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
})"""
_SIZE = "() => [document.getElementsByTagName('*').length, (document.documentElement?.outerHTML ?? '').length]"
_HREF = "(element, name) => element.getAttribute(name) || ''"


class PageDeadline:
    """The time by which a page must be rendered."""

    def __init__(self, seconds: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._ends_at = self._now() + seconds

    @property
    def left(self) -> float:
        """Seconds until it."""
        return max(LEAST_SECONDS, self._ends_at - self._now())

    @property
    def is_over(self) -> bool:
        return self.left <= LEAST_SECONDS


class PageActions:
    """Clicks, fills and scrolls in one page."""

    def __init__(self, page: Any, deadline: PageDeadline) -> None:
        self.page, self.deadline = page, deadline

    async def act(self, action: BrowserAction) -> None:
        """Does one action of the payload. Raises `PageFailure` where its element does not show in time."""
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        limit = min(self.deadline.left, ACTION_SECONDS) * 1000
        try:
            await self._do(action, limit)
        except PlaywrightTimeout:
            raise PageFailure(f"The page shows no {action.selector} to {action.kind}, or not soon enough.") from None
        if action.kind != "wait":
            await self._wait_for_quiet()

    async def _do(self, action: BrowserAction, limit: float) -> None:
        element: Any = self.page.locator(action.selector).first if action.selector else None
        match action.kind:
            case "wait":
                await element.wait_for(state="attached", timeout=limit)
            case "click":
                await element.click(timeout=limit)
            case "fill":
                await element.fill(action.value, timeout=limit)
            case "scroll" if action.times:
                kind = "more" if action.selector else "infinite"
                await self.grow(Pagination(kind, action.selector, pages=action.times + 1))
            case "scroll" if element:
                await element.scroll_into_view_if_needed(timeout=limit)
            case _:
                await self._scroll(action.pixels, to_bottom=action.value == BOTTOM)

    async def _scroll(self, pixels: int, *, to_bottom: bool) -> None:
        target = "document.documentElement.scrollHeight" if to_bottom else "window.scrollY + pixels"
        await self._run(f"pixels => window.scrollTo(0, {target})", pixels)

    async def _wait_for_quiet(self) -> None:
        """Waits until the page has not changed for `QUIET_SECONDS`, or that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(self.deadline.left, CHANGE_SECONDS)):
                await self.page.evaluate(_CHANGED, QUIET_SECONDS * 1000)

    async def _run(self, script: str, value: Any = None) -> Any:
        async with asyncio.timeout(self.deadline.left):
            return await self.page.evaluate(script, value)

    async def show_next(self, pagination: Pagination) -> bool:
        """Clicks on what shows the next page of the list in the same place; False where nothing does."""
        if self.deadline.is_over or not await self._is_button(pagination):
            return False
        before = await self.size()
        if not await self._click(pagination.selector):
            return False
        await self._wait_for_change(before)
        return True

    async def _is_button(self, pagination: Pagination) -> bool:
        """Whether there is a next page that a click shows here; a link to another address is followed elsewhere."""
        element = self.page.locator(pagination.selector).first
        if not await element.count():
            return False
        href = await element.evaluate(_HREF, pagination.attr)
        return not href or href.startswith("#") or href.lower().startswith("javascript:")

    async def grow(self, pagination: Pagination) -> None:
        """Has the page append to its list, by clicks or at its bottom, until it appends nothing more."""
        for _ in range(pagination.pages - 1):
            if self.deadline.is_over:
                return
            before = await self.size()
            if pagination.kind == "more":
                if not await self._click(pagination.selector):
                    return
            else:
                await self._scroll(0, to_bottom=True)
            if not await self._wait_for_change(before):
                return

    async def _click(self, selector: str) -> bool:
        """Clicks on an element; False where there is none that can be clicked."""
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        element = self.page.locator(selector).first
        try:
            if not await element.count() or not await element.is_visible() or not await element.is_enabled():
                return False
            await element.click(timeout=min(self.deadline.left, CHANGE_SECONDS) * 1000)
        except PlaywrightTimeout:
            return False
        return True

    async def size(self) -> Any:
        """The page's size: [elements, characters of its HTML]."""
        return await self._run(_SIZE)

    async def _wait_for_change(self, before: Any) -> bool:
        """Waits until the page changes in size; False if it does not within `CHANGE_SECONDS`."""
        end = asyncio.get_running_loop().time() + min(self.deadline.left, CHANGE_SECONDS)
        while asyncio.get_running_loop().time() < end:
            await self._wait_for_quiet()
            if await self.size() != before:
                return True
        return False
