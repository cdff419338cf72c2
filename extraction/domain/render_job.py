"""Jobs of a browser: pages to render, and what was rendered. Values only: Chromium is in `extraction.fetch`."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

HTML, SCREENSHOT, PDF = "html", "screenshot", "pdf"
BOTTOM = "bottom"
WINDOW = (1280, 800)  # pixels, of which the size of one side may be given


@dataclass(frozen=True)
class BrowserAction:
    """`wait` for a selector, `click` it, `hover` over it, `fill` it with a value, `select` choices in it, `press` a key
    in it, `scroll` to it (or to the bottom, or by pixels); `pause` for some seconds, or run a `script`.

    A `scroll` of several `times` is for more of a list: to the bottom of the page or of a `box` in it, or as clicks on
    what the selector finds. `frame` is the selector of the frame in which it is done.
    """

    kind: str
    selector: str = ""
    value: str = ""
    pixels: int = 0
    times: int = 0
    seconds: float = 0.0
    choices: tuple[str, ...] = ()
    box: str = ""
    frame: str = ""

    @property
    def repeats(self) -> bool:
        """Whether it is done in each page of a list, and not in the first alone."""
        return self.kind in {"wait", "pause", "scroll"}


@dataclass(frozen=True)
class Pagination:
    """How a list goes on in the page itself: `more` is clicked, `infinite` scrolled, `next` clicked and read anew.

    The selector of what is scrolled is that of the box that is, or of something in it.
    """

    kind: str
    selector: str = ""
    attr: str = "href"
    pages: int = 0


@dataclass(frozen=True)
class RenderJob:
    """One page to render. `body` is sent with the first request, unless its method is GET.

    `headers` go to the origin of `home` alone, `cookies` are those of the process. `settle` is how many seconds to wait
    once it has loaded. What is in a `frame` is read in place of the page; without `needs_frame`, if there is one.
    Owners share the windows of a browser.
    """

    url: str
    seconds: float
    max_bytes: int
    method: str = "GET"
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    home: str = ""
    cookies: tuple[Mapping[str, Any], ...] = ()
    proxy: str = ""
    actions: tuple[BrowserAction, ...] = ()
    pagination: Pagination | None = None
    frame: str = ""
    needs_frame: bool = True
    product: str = HTML
    options: Mapping[str, Any] = field(default_factory=dict)
    settle: float | None = None
    owner: Hashable = None


@dataclass
class RenderedPage:
    """A page that was rendered: its text, once for each time that it was read, or a picture or document of it.

    `cookies` are the changes that it made to those that it was given (see `taskhub.outbound.cookie_store`).
    """

    url: str
    status: int
    texts: list[str]
    wire: int = 0
    data: bytes = b""
    cookies: dict[Any, Any] = field(default_factory=dict)
