"""Does the actions of a payload in a page that a browser shows."""

import asyncio
import re
from typing import Any

from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import BOTTOM, BrowserAction, Pagination
from extraction.fetch.page_view import ACTION_SECONDS, PageView, leads_elsewhere
from extraction.fetch.shown_list import ShownList

WORDS_MAX = 200  # characters of an error's own words
_CALL = re.compile(r"^(?:Page|Frame|Locator|Keyboard)\.\w+: (?:Error: (?=Element ))?")

_AIMS = {"select": "{0.selector} to select {1} in", "press": "{0.selector} to press {0.value} in"}


class PageActions:
    """Does actions in one page. `keyboard` is that of its window."""

    def __init__(self, view: PageView, keyboard: Any) -> None:
        self.view, self._keyboard = view, keyboard

    async def act(self, action: BrowserAction) -> None:
        """Does one action of the payload. Raises `PageFailure` where its element does not show in time."""
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        view = await self.view.frame(action.frame) if action.frame else self.view
        limit = min(self.view.deadline.left, ACTION_SECONDS) * 1000
        view.requests.forget()
        try:
            await self._do(action, view, limit)
        except PlaywrightTimeout:
            aim = _AIMS.get(action.kind, "{0.selector} to {0.kind}").format(action, ", ".join(action.choices))
            raise PageFailure(f"The page shows no {aim}, or not soon enough.") from None
        except Error as error:
            words = _words_of(error)
            if _is_of_browser(words) or leads_elsewhere(error):
                raise
            what = f"{action.kind} {action.selector}".strip()
            raise PageFailure(f"The action {what} fails: {words[:WORDS_MAX]}") from None
        if action.kind not in {"wait", "pause"}:
            await self.view.wait_for_answers()

    async def _do(self, action: BrowserAction, view: PageView, limit: float) -> None:
        element: Any = view.first(action.selector) if action.selector else None
        match action.kind:
            case "wait":
                await element.wait_for(state="attached", timeout=limit)
            case "pause":
                await asyncio.sleep(min(action.seconds, view.deadline.left))
            case "click":
                await element.click(timeout=limit)
            case "hover":
                await element.hover(timeout=limit)
            case "fill":
                await element.fill(action.value, timeout=limit)
            case "select":
                await element.select_option(list(action.choices), timeout=limit)
            case "press" if element:
                await element.press(action.value, timeout=limit)
            case "press":
                async with asyncio.timeout(limit / 1000):
                    await self._keyboard.press(action.value)
            case "script":
                await self._run_script(action.value, view, limit / 1000)
            case "scroll" if action.times:
                kind = "more" if action.selector else "infinite"
                pagination = Pagination(kind, action.selector or action.box, pages=action.times + 1)
                await ShownList(view, pagination).grow()
            case "scroll" if element:
                await element.scroll_into_view_if_needed(timeout=limit)
            case _:
                await self._scroll(view, action.pixels, to_bottom=action.value == BOTTOM)

    async def _run_script(self, script: str, view: PageView, seconds: float) -> None:
        """Runs the user's script, as the body of an asynchronous function. Its page may lead to another meanwhile."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(seconds):
                await view.scope.evaluate(f"async () => {{{script}\n}}")
        except TimeoutError:
            raise PageFailure(f"The script of an action took longer than {seconds:.3g} seconds.") from None
        except Error as error:
            words = _words_of(error)
            if _is_of_browser(words):
                raise
            if not leads_elsewhere(error):
                raise PageFailure(f"The script of an action fails: {words[:WORDS_MAX]}") from None

    async def _scroll(self, view: PageView, pixels: int, *, to_bottom: bool) -> None:
        target = "document.documentElement.scrollHeight" if to_bottom else "window.scrollY + pixels"
        await view.run(f"pixels => window.scrollTo(0, {target})", pixels)


def _words_of(error: Exception) -> str:
    """The words of an error of Playwright's, without the name of its own call."""
    return _CALL.sub("", str(error).partition("\n")[0])


def _is_of_browser(words: str) -> bool:
    """Whether an error is the browser's, which is closed or has crashed."""
    return words.startswith("Target ")
