"""Makes a picture or a document of a page that a browser shows. Runs in the browser's thread (see `browser`)."""

import asyncio
from collections.abc import Mapping
from typing import Any

from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import PDF, WINDOW, RenderJob

PICTURE_PIXELS_MAX = 100_000_000  # of a picture in memory, four bytes each

_PAGE_SIZE = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
_ZOOM = "factor => { document.body.style.zoom = factor }"  # on the root, it would change the paper's margins, too


async def size_window(page: Any, options: Mapping[str, Any]) -> None:
    """Gives the page's window the size of the options, if they have one."""
    if options.keys() & {"width", "height"}:
        size = {"width": options.get("width") or WINDOW[0], "height": options.get("height") or WINDOW[1]}
        await page.set_viewport_size(size)


async def make_product(page: Any, job: RenderJob, seconds: float) -> bytes:
    """Makes what the job says of a page, within some seconds. Raises `PageFailure`, and Playwright's errors."""
    options = {name: value for name, value in job.options.items() if name not in {"width", "height", "device_scale"}}
    async with asyncio.timeout(seconds):
        if job.product == PDF:
            if zoom := options.pop("zoom", None):
                await page.evaluate(_ZOOM, zoom)
            return bytes(await page.pdf(**options))
        return await _take_picture(page, options, job.options.get("device_scale", 1.0), seconds * 1000)


async def _take_picture(page: Any, options: dict[str, Any], scale: float, milliseconds: float) -> bytes:
    selector, offset = options.pop("selector", ""), options.pop("offset", None)
    if selector:
        element = page.locator(selector).first
        box = await element.bounding_box(timeout=milliseconds) or {"width": 0, "height": 0}  # of what is not visible
        _check_size(box, scale)
        return bytes(await element.screenshot(timeout=milliseconds, **options))
    area = dict(page.viewport_size)
    if offset or options.get("full_page"):
        width, height = await page.evaluate(_PAGE_SIZE)
        area = _rectangle(offset, area, width, height) if offset else {"width": width, "height": height}
    _check_size(area, scale)
    if offset:
        options = {**options, "full_page": True, "clip": area}
    return bytes(await page.screenshot(timeout=milliseconds, **options))


def _rectangle(offset: tuple[int, int], window: Mapping[str, int], width: int, height: int) -> dict[str, int]:
    """The part of a page of some size, from an offset to the window's right edge, and as high as the window."""
    x, y = offset
    right, bottom = min(window["width"], width), min(y + window["height"], height)
    if right <= x or bottom <= y:
        raise PageFailure(f"The page has {width} x {height} pixels; nothing is at the offset {x}, {y}.")
    return {"x": x, "y": y, "width": right - x, "height": bottom - y}


def _check_size(area: Mapping[str, float], scale: float) -> None:
    if area["width"] * area["height"] * scale * scale > PICTURE_PIXELS_MAX:
        raise PageFailure(f"The picture would have more than {PICTURE_PIXELS_MAX} pixels.")
