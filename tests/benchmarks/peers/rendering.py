"""A bare Playwright script, four pages at once: `rendering.py <site> <pages> <program>` says seconds, and no MiB."""

import asyncio
import sys
import time
from contextlib import suppress

from playwright.async_api import Browser, TimeoutError, async_playwright

AT_ONCE = 4


async def show(browser: Browser, url: str) -> str:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(url)
    with suppress(TimeoutError):
        await page.wait_for_load_state("networkidle", timeout=2000)
    text = await page.content()
    await context.close()
    return text


async def main(site: str, pages: int, program: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        await show(browser, f"{site}/made/0")
        began, places = time.perf_counter(), asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with places:
                assert "<h1>" in await show(browser, f"{site}/made/{number}")

        await asyncio.gather(*(one(number) for number in range(pages)))
        print(time.perf_counter() - began, 0)
        await browser.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
