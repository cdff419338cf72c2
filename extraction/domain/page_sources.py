"""What selectors are applied to: a page as HTML, XML or JSON, behind one interface. Pure.

Nodes have the names that selectolax gives to its own, so that HTML, which most pages are, needs nothing in between.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

HTML, XML, JSON, JSON_LD = "html", "xml", "json", "jsonld"
SCRIPT = "script"  # the data in a script of an HTML page

_JSON_TYPE = re.compile(r"(?:application|text)/(?:json|[\w.+-]+\+json|json-seq|x-json|ld\+json)")
_XML_TYPE = re.compile(r"(?:application|text)/(?:xml|(?!xhtml)[\w.-]+\+xml)")


class PageContent(NamedTuple):
    """The content of a page: `texts` are several where its list goes on in the page itself.

    `url` is where it came from, after redirects, `media_type` what its server says of it, and `fetched_at` the time in
    ISO 8601. A page may be `rendered` although its rule does not say so.
    """

    texts: tuple[str, ...]
    url: str
    media_type: str = ""
    fetched_at: str = ""
    rendered: bool = False


class SourceNode(Protocol):
    """A part of a page. `mem_id` tells it from others."""

    @property
    def mem_id(self) -> int: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, str | None]: ...
    @property
    def parent(self) -> Any: ...
    @property
    def next(self) -> Any:
        """The node behind it, in the same one; None behind the last."""

    def traverse(self) -> Iterable[Any]:
        """The node and what is in it, in the page's order."""


class PageSource(Protocol):
    """A page that selectors are applied to. What they find stands in the page's order."""

    @property
    def root(self) -> Any: ...

    @property
    def language(self) -> str:
        """The page's language, as BCP 47 writes it; empty where it is not told."""

    def base_address(self, url: str) -> str:
        """Where its relative addresses start from, as it says itself."""

    def select(self, selector: str) -> list[Any]: ...

    def select_within(self, selector: str, block: Any) -> list[Any]:
        """What a selector finds that starts from a block."""

    def is_relative(self, selector: str) -> bool:
        """Whether a selector starts from a block, where there is one."""

    def text(self, node: Any) -> str | None: ...
    def lines(self, node: Any) -> str | None: ...
    def html(self, node: Any, *, outer: bool) -> str | None: ...
    def markup(self, node: Any) -> str | None:
        """The HTML that Markdown is made of: of a feed or of JSON that is what a text says."""

    def attribute(self, node: Any, name: str) -> str | None: ...

    def value(self, node: Any) -> Any:
        """The value as it stands in the page, where the page has other ones than texts; else its text."""

    def hrefs(self) -> list[str]:
        """The addresses of all links of the page, as they are written."""

    def link(self, node: Any) -> str | None:
        """The address that a node leads to, as it is written; None where it leads nowhere."""


class ValueNode:
    """A value that a selector finds in a node, such as an attribute. It lives as long as its page is read."""

    tag = "-value"
    next = None
    attributes: Mapping[str, str | None] = {}

    def __init__(self, value: Any, parent: Any) -> None:
        self.value, self.parent, self.mem_id = value, parent, -id(self)

    def traverse(self) -> Iterator["ValueNode"]:
        yield self


def xpath_text(found: bool | float | str) -> str:
    """What XPath computes, as a text; empty for no number."""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return "" if found != found else f"{found:.15g}"
    return str(found)


def source_kind(declared: str, media_type: str) -> str:
    """As what a page is read whose rule declares a kind, or leaves it to the page's media type."""
    if declared:
        return declared
    if _JSON_TYPE.fullmatch(media_type):
        return JSON
    return XML if _XML_TYPE.fullmatch(media_type) else HTML


def is_json_type(media_type: str) -> bool:
    return _JSON_TYPE.fullmatch(media_type) is not None
