"""Shows more of the list of a page in the page itself: by clicks, or by scrolling it or a box in it.

Some lists have only so many elements as can be seen, and use these again for others while they are scrolled. Such a one
is read from its beginning, after each step that is a little less than what can be seen of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from extraction.domain.render_job import Pagination
from extraction.fetch.page_view import CHANGE_SECONDS, PageView

STEP = 0.8  # of what can be seen of a list, that it is scrolled by

_HREF = "(element, name) => element.getAttribute(name) || ''"
_IS_BOX = """const isBox = element => element.scrollHeight > element.clientHeight + 1 && element.clientHeight > 0
    && /auto|scroll|overlay/.test(getComputedStyle(element).overflowY);"""
# What is scrolled: the box around an element; else the page; where that has no more than can be seen, the largest box.
_BOX = f"""element => {{
    {_IS_BOX}
    for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) if (isBox(one)) return one;
    const page = document.scrollingElement ?? document.documentElement;
    if (page.scrollHeight > innerHeight + 1) return page;
    const boxes = [];
    const roots = [document];
    for (const root of roots)
        for (const one of root.querySelectorAll('*')) {{
            if (one.shadowRoot) roots.push(one.shadowRoot);
            if (isBox(one)) boxes.push(one);
        }}
    const area = one => one.clientWidth * one.clientHeight;
    let best = boxes[0] ?? page;
    for (const one of boxes) if (area(one) > area(best)) best = one;
    return best;
}}"""
_TO = "(box, bottom) => box.scrollTo({top: bottom ? box.scrollHeight : 0, behavior: 'instant'})"
_ON = """(box, part) => {
    const before = box.scrollTop;
    box.scrollTo({top: before + Math.max(1, box.clientHeight * part), behavior: 'instant'});
    return box.scrollTop > before;
}"""
# Some of its innermost elements, with what they show; and whether a part of them shows something else by now.
_SHOWN = """box => {
    const leaves = [...box.querySelectorAll('*')].filter(one => !one.childElementCount);
    const every = Math.ceil(leaves.length / 200);
    const content = one => one.textContent + (one.src ?? '') + (one.href ?? '');
    return leaves.filter((one, place) => place % every == 0 && content(one)).map(one => [one, content(one)]);
}"""
_LOST = """shown => {
    const content = one => one.textContent + (one.src ?? '') + (one.href ?? '');
    const lost = shown.filter(([one, before]) => !one.isConnected || content(one) !== before).length;
    return lost > 1 && lost > shown.length / 5;
}"""


class ShownList:
    """The list of a page, which goes on in the page itself as `pagination` says."""

    def __init__(self, view: PageView, pagination: Pagination) -> None:
        self.view, self.pagination = view, pagination

    async def show_next(self) -> bool:
        """Clicks on what shows the next page of the list in the same place; False where nothing does."""
        if self.view.deadline.is_over or not await self._is_button():
            return False
        before = await self.view.size()
        if not await self._click():
            return False
        await self.view.wait_for_change(before)
        return True

    async def _is_button(self) -> bool:
        """Whether there is a next page that a click shows here; a link to another address is followed elsewhere."""
        element = self.view.first(self.pagination.selector)
        if not await element.count():
            return False
        href = await element.evaluate(_HREF, self.pagination.attr)
        return not href or href.startswith("#") or href.lower().startswith("javascript:")

    async def grow(self, read: Callable[[], Awaitable[None]] | None = None) -> bool:
        """Has the page append to its list, by clicks or at its end, until it appends nothing more.

        False where it has used its elements again: then `read` was called for each part of the list.
        """
        if self.pagination.kind == "more":
            await self._click_for_more()
            return True
        return await self._scroll_for_more(read)

    async def _click_for_more(self) -> None:
        for _ in range(self.pagination.pages - 1):
            if self.view.deadline.is_over:
                return
            before = await self.view.size()
            if not await self._click() or not await self.view.wait_for_change(before):
                return

    async def _scroll_for_more(self, read: Callable[[], Awaitable[None]] | None) -> bool:
        box = await self._box()
        shown = await box.evaluate_handle(_SHOWN)
        for done in range(self.pagination.pages - 1):
            if self.view.deadline.is_over:
                return True
            before = await self.view.size()
            await box.evaluate(_TO, True)
            has_changed = await self.view.wait_for_change(before)
            if read and await shown.evaluate(_LOST):
                await self._read_in_steps(box, self.pagination.pages - 1 - done, read)
                return False
            if not has_changed:
                return True
        return True

    async def _box(self) -> Any:
        """What is scrolled, as a handle of Playwright's."""
        selector = self.pagination.selector
        element = self.view.first(selector) if selector else None
        async with asyncio.timeout(min(self.view.deadline.left, CHANGE_SECONDS)):
            if element and await element.count():
                return await element.evaluate_handle(_BOX)
            return await self.view.scope.evaluate_handle(_BOX)

    async def _read_in_steps(self, box: Any, steps: int, read: Callable[[], Awaitable[None]]) -> None:
        await box.evaluate(_TO, False)
        await self.view.wait_for_quiet()
        await read()

        async def go_on() -> bool:
            return bool(await box.evaluate(_ON, STEP))

        for _ in range(steps):
            if self.view.deadline.is_over or not await self.view.wait_until(go_on):
                return
            await self.view.wait_for_quiet()
            await read()

    async def _click(self) -> bool:
        """Clicks on an element; False where there is none that can be clicked."""
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        element = self.view.first(self.pagination.selector)
        try:
            if not await element.count() or not await element.is_visible() or not await element.is_enabled():
                return False
            await element.click(timeout=min(self.view.deadline.left, CHANGE_SECONDS) * 1000)
        except PlaywrightTimeout:
            return False
        return True
