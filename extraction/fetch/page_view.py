"""A document that a browser shows, a page or what is in a frame of it: whether it rests, how large it is, its text."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from extraction.domain.process_status import PageFailure
from extraction.domain.selectors import frame_steps

QUIET_SECONDS = 0.3  # without a change, after a click or a scroll
CHANGE_SECONDS = 3.0  # for which a change is waited for
ACTION_SECONDS = 15.0
LEAST_SECONDS = 0.05  # Playwright takes 0 for no limit

# Scripts go without `Array.prototype.reduce`, which old libraries replace by something else.

# The document and all open shadow roots in it.
_ROOTS = """const roots = [document];
for (const root of roots)
    for (const element of root.querySelectorAll('*')) if (element.shadowRoot) roots.push(element.shadowRoot);"""
_CHANGED = f"""quiet => new Promise(done => {{
    {_ROOTS}
    const end = () => {{ observer.disconnect(); done(true) }};
    let timer = setTimeout(end, quiet);
    const observer = new MutationObserver(() => {{ clearTimeout(timer); timer = setTimeout(end, quiet) }});
    for (const root of roots)
        observer.observe(root, {{subtree: true, childList: true, characterData: true, attributes: true}});
}})"""
_SIZE = f"""() => {{
    {_ROOTS}
    let elements = 0, characters = 0;
    for (const root of roots) {{
        elements += root.querySelectorAll('*').length;
        characters += (root === document ? document.documentElement?.outerHTML : root.innerHTML)?.length ?? 0;
    }}
    return [elements, characters];
}}"""
# The text of a document with open shadow roots, as it is shown: what is in them in place of what they hide, and what
# is slotted in its slot. It is null where there are none. The copy is one that nothing is loaded or run for.
_COMPOSED = """() => {
    if (![...document.querySelectorAll('*')].some(element => element.shadowRoot)) return null;
    const target = document.implementation.createHTMLDocument('');
    const shown = node => {
        if (node.shadowRoot)
            return [...node.shadowRoot.childNodes, ...[...node.childNodes].filter(child => !child.assignedSlot)];
        if (node.localName === 'slot' && node.assignedNodes().length) return node.assignedNodes();
        return node.childNodes;
    };
    const copy = node => {
        if (node.nodeType !== Node.ELEMENT_NODE || node.localName === 'template') return target.importNode(node, true);
        const made = target.importNode(node, false);
        made.append(...[...shown(node)].map(copy));
        return made;
    };
    try { return '<!DOCTYPE html>' + copy(document.documentElement).outerHTML } catch { return null }
}"""


class PageDeadline:
    """The time by which a page must be rendered."""

    def __init__(self, seconds: float) -> None:
        self._now = asyncio.get_running_loop().time
        self.seconds = seconds
        self._ends_at = self._now() + seconds

    @property
    def left(self) -> float:
        """Seconds until it."""
        return max(LEAST_SECONDS, self._ends_at - self._now())

    @property
    def is_over(self) -> bool:
        return self.left <= LEAST_SECONDS


class PageView:
    """A page, or what is in a frame of it: Playwright's `Page` or `Frame`. `requests` are those of the whole page."""

    def __init__(self, scope: Any, deadline: PageDeadline, requests: "OpenRequests") -> None:
        self.scope, self.deadline, self.requests = scope, deadline, requests

    @property
    def url(self) -> str:
        return str(self.scope.url)

    def first(self, selector: str) -> Any:
        """The first element that a selector finds, also within open shadow roots."""
        return self.scope.locator(selector).first

    async def run(self, script: str, value: Any = None) -> Any:
        """What a function of JavaScript gives in the page. Raises `TimeoutError` at the page's deadline."""
        async with asyncio.timeout(self.deadline.left):
            return await self.scope.evaluate(script, value)

    async def size(self) -> Any:
        """Its size: [elements, characters of its HTML]."""
        return await self.run(_SIZE)

    async def text(self, max_bytes: int) -> str:
        """Its HTML, with what is in open shadow roots. Raises `PageFailure` where nothing came, or too much."""
        elements, size = await self.size()
        if not elements:
            seconds = self.deadline.seconds
            raise PageFailure(f"Nothing of the page came: it took longer than {seconds:g} seconds.", retry=True)
        if size <= max_bytes:
            async with asyncio.timeout(self.deadline.left):
                text = await self.scope.evaluate(_COMPOSED) or await self.scope.content()
            size = len(text)
        if size > max_bytes:
            raise PageFailure(f"The page has more than {max_bytes} characters when it is rendered.")
        return str(text)

    async def frame(self, path: str) -> "PageView":
        """What is in a frame of it, or in a frame in that. Raises `PageFailure` where it has no such frame."""
        view = self
        for selector in frame_steps(path):
            view = await view._own_frame(selector)
        return view

    async def _own_frame(self, selector: str) -> "PageView":
        from playwright.async_api import TimeoutError as PlaywrightTimeout

        limit = min(self.deadline.left, ACTION_SECONDS) * 1000
        element = self.first(selector)
        try:
            await element.wait_for(state="attached", timeout=limit)
            frame = await (await element.element_handle(timeout=limit)).content_frame()
            if frame is None:
                raise PageFailure(f"In the page, {selector} is no frame.")
            await frame.wait_for_load_state("load", timeout=limit)
        except PlaywrightTimeout:
            raise PageFailure(f"The page shows no frame {selector}, or not soon enough.") from None
        return PageView(frame, self.deadline, self.requests)

    async def wait_for_quiet(self) -> None:
        """Waits until the page has not changed for `QUIET_SECONDS`, or that takes too long.

        It may lead to another page meanwhile: then that is waited for.
        """
        from playwright.async_api import Error

        with suppress(TimeoutError):
            async with asyncio.timeout(min(self.deadline.left, CHANGE_SECONDS)):
                while True:
                    try:
                        await self.scope.evaluate(_CHANGED, QUIET_SECONDS * 1000)
                        return
                    except Error as error:
                        if not leads_elsewhere(error):
                            raise
                        await self.scope.wait_for_load_state("load", timeout=self.deadline.left * 1000)

    async def wait_for_answers(self) -> None:
        """The same, once what the page asked for has come: another page for as long as an action may take."""
        await self.wait_for_quiet()
        if self.requests.are_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self.deadline.left, ACTION_SECONDS)):
                    await self.requests.wait()
            await self.wait_for_quiet()

    async def wait_for_change(self, before: Any) -> bool:
        """Waits until it is larger or smaller than before; False if it is not within `CHANGE_SECONDS`."""

        async def has_changed() -> bool:
            return bool(await self.size() != before)

        return await self.wait_until(has_changed)

    async def wait_until(self, is_so: Callable[[], Any]) -> bool:
        """Waits until something is so, which is asked whenever the page is quiet; False where that takes too long."""
        now = asyncio.get_running_loop().time
        end = now() + min(self.deadline.left, CHANGE_SECONDS)
        while now() < end:
            await self.wait_for_quiet()
            if await is_so():
                return True
        return False


class OpenRequests:
    """The requests of a page for other pages, and for data, that are under way."""

    _KINDS = frozenset({"document", "xhr", "fetch"})
    DATA_SECONDS = 3.0  # for which data is waited for: some pages always wait for more

    def __init__(self, page: Any) -> None:
        self._open: dict[Any, bool] = {}  # whether it is for another page
        self._changed = asyncio.Event()
        page.on("request", self._add)
        page.on("requestfinished", self._remove)
        page.on("requestfailed", self._remove)

    def _add(self, request: Any) -> None:
        if request.resource_type in self._KINDS:
            self._open[request] = request.is_navigation_request() and request.frame.parent_frame is None

    def _remove(self, request: Any) -> None:
        self._open.pop(request, None)
        self._changed.set()

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def forget(self) -> None:
        """Forgets those that are under way by now."""
        self._open.clear()

    async def wait(self) -> None:
        """Waits until no page is under way, and for a while until no data is."""
        now = asyncio.get_running_loop().time
        end = now() + self.DATA_SECONDS
        while any(self._open.values()) or (self._open and now() < end):
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, end - now()) or None):
                    await self._changed.wait()


def leads_elsewhere(error: Exception) -> bool:
    """Whether a script was interrupted since the page led to another one."""
    text = str(error)
    return "context was destroyed" in text or "because of a navigation" in text
