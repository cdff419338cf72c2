"""A real browser: Playwright drives the system's Chromium, so that nothing is downloaded for the tests."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.chromium import required

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
        self.page.on("requestfailed", lambda request: self.troubles.append(f"{request.url}: {request.failure}"))
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))

    def strange_urls(self, own: str) -> list[str]:
        """What was asked of others than the server at `own`; data: and blob: are in the page itself."""
        return [url for url in self.urls if not url.startswith((f"{own}/", "data:", "blob:"))]

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.url}: {response.status}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):  # browsers ask unasked
            self.troubles.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module only: it runs an event loop in the thread, in which Django then refuses its database."""
    program = required()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    yield Visit(context.new_page())
    context.close()
