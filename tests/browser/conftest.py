"""A real browser: Playwright drives the system's Chromium, so that nothing is downloaded for the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from tests import crawler_client
from tests.chromium import required
from tests.extraction_sites import bundled_site

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


expect.set_options(timeout=60_000)  # ms; on a busy machine Playwright's own five seconds are not enough


@dataclass
class Visit:
    """A page of one test, and what it did: `urls` asked for, and `troubles`: refused loads, errors of its scripts."""

    page: Page
    urls: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.on("websocket", lambda socket: self.urls.append(socket.url))
        self.page.on("response", self._answered)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))

    def strange_urls(self, own: str) -> list[str]:
        """What was asked of others than the server at `own`; data: and blob: are in the page itself."""
        return [url for url in self.urls if not url.startswith((f"{own}/", "data:", "blob:"))]

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that is left no longer waits for its pictures and events
            self.troubles.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.url}: {response.status}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):  # browsers ask unasked
            self.troubles.append(message.text)


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser. It runs an event loop in the thread, in which Django then refuses its database."""
    program = required()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for all tests of this folder, of which none has a database in its own process; each test has a window."""
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    yield Visit(context.new_page())
    context.close()


@pytest.fixture(scope="package")
def shop() -> Iterator[str]:
    """The bundled site, which keeps nothing of its visitors."""
    with bundled_site() as address:
        yield address


@pytest.fixture(scope="package")
def crawler() -> Iterator[str]:
    """The endpoint of the bundled crawler, which keeps nothing of its tasks once they have ended."""
    with crawler_client.example_crawler() as endpoint:
        yield endpoint
