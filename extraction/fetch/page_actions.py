"""What a hand would do in a page that a browser shows: actions, and going on with its list."""

import asyncio
from contextlib import suppress
from typing import Any

from extraction.domain.process_status import Failure
from extraction.domain.render_job import BOTTOM, Action, Going

QUIET_SECONDS = 0.3  # without a change, after a click or a scroll
CHANGE_SECONDS = 3.0  # for which a change is waited for
ACTION_SECONDS = 15.0
MOMENT = 0.05  # seconds: Playwright takes 0 for no limit at all

_CHANGED = """quiet => new Promise(done => {
    const end = () => { observer.disconnect(); done(true) };
    let timer = setTimeout(end, quiet);
    const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(end, quiet) });
    observer.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
})"""
_EXTENT = "() => [document.getElementsByTagName('*').length, document.documentElement.outerHTML.length]"
_HREF = "(element, name) => element.getAttribute(name) || ''"


class Clock:
    """The time that a page has."""

    def __init__(self, seconds: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return max(MOMENT, self._until - self._now())

    @property
    def over(self) -> bool:
        return self.left <= MOMENT


class Hand:
    """In one page."""

    def __init__(self, page: Any, clock: Clock) -> None:
        self.page, self.clock = page, clock

    async def act(self, action: Action) -> None:
        from playwright.async_api import TimeoutError as Late

        limit = min(self.clock.left, ACTION_SECONDS) * 1000
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
            async with asyncio.timeout(min(self.clock.left, CHANGE_SECONDS)):
                await self.page.evaluate(_CHANGED, QUIET_SECONDS * 1000)

    async def _run(self, script: str, value: Any = None) -> Any:
        async with asyncio.timeout(self.clock.left):
            return await self.page.evaluate(script, value)

    async def turn(self, going: Going) -> bool:
        """Clicks on what shows the next page in the same place; False where there is nothing of the kind."""
        if self.clock.over or not await self._clicks(going):
            return False
        before = await self.extent()
        if not await self._clicked(going.selector):
            return False
        await self._changed(before)
        return True

    async def _clicks(self, going: Going) -> bool:
        place = self.page.locator(going.selector).first
        if not await place.count():
            return False
        href = await place.evaluate(_HREF, going.attr)
        return not href or href.startswith("#") or href.lower().startswith("javascript:")

    async def grow(self, going: Going) -> None:
        """What is appended, by a click or at the bottom, is waited for, until nothing comes any more."""
        for _ in range(going.pages - 1):
            if self.clock.over:
                return
            before = await self.extent()
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
            await place.click(timeout=min(self.clock.left, CHANGE_SECONDS) * 1000)
        except Late:
            return False
        return True

    async def extent(self) -> Any:
        """Elements, and characters of the page as HTML."""
        return await self._run(_EXTENT)

    async def _changed(self, before: Any) -> bool:
        """Whether the page is another than before, after it was given the time to be."""
        end = asyncio.get_running_loop().time() + min(self.clock.left, CHANGE_SECONDS)
        while asyncio.get_running_loop().time() < end:
            await self._calm()
            if await self.extent() != before:
                return True
        return False
