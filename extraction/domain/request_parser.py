"""Selectors and requests of a payload, read and checked. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from extraction.domain.json_reader import CONTROL, TEXT_MAX, Reader
from extraction.domain.page_urls import followable
from extraction.domain.payload import BLOCK, Request
from extraction.domain.render_job import BOTTOM, Action

SELECTOR_MAX = 1_000  # characters
HAS_MAX = 1  # each inside another multiplies the time by the size of the page
BASE, CHROME = "base", "chrome"
KINDS = (BASE, CHROME)
ACTIONS_MAX = 50
PIXELS_MAX = 1_000_000
REQUEST = frozenset(["url", "type", "proxy", "headers", "cookies", "method", "form", "actions"])
ONLY_CHROME = "Needs a page that is rendered: request.type chrome."

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_EMPTY = LexborHTMLParser("")


class RequestReader(Reader):
    """Reads what is asked for, and what is done with the page that comes."""

    def selector(self, values: Mapping[str, Any], name: str, at: str) -> str:
        value = self.text(values, name, at, SELECTOR_MAX).strip()
        if value and value != BLOCK and (detail := css_fault(value)):
            self.fault(f"{at}/{name}", detail)
        return value

    def request(self, given: Mapping[str, Any], at: str) -> Request:
        at += "/request"
        if given.get("request") is None:
            self.fault(at, "This is required.")
            return Request("")
        return self.request_of(self.mapping(given["request"], at, REQUEST), at)

    def request_of(self, values: Mapping[str, Any], at: str) -> Request:
        method = (self.text(values, "method", at) or ("POST" if values.get("form") else "GET")).upper()
        if method not in {"GET", "POST"}:
            self.fault(f"{at}/method", "Must be GET or POST.")
        return Request(
            url=self.url(values, "url", at),
            method=method,
            proxy=self.url(values, "proxy", at, optional=True),
            headers=self.texts(values, "headers", at, self.header),
            cookies=self.cookies(values, at),
            form=self.texts(values, "form", at, lambda *_: None),
            actions=self.actions(values, at),
        )

    def kind(self, given: Mapping[str, Any], at: str, usual: str = BASE) -> bool:
        """Whether the page is rendered."""
        values = given.get("request")
        return self.kind_of(values if isinstance(values, Mapping) else {}, f"{at}/request", usual)

    def kind_of(self, values: Mapping[str, Any], at: str, usual: str = BASE) -> bool:
        kind = values.get("type")
        if kind is None or kind == "":
            return usual == CHROME
        if not isinstance(kind, str) or kind.lower() not in KINDS:
            self.fault(f"{at}/type", "Must be base or chrome.")
            return False
        return kind.lower() == CHROME

    def actions(self, values: Mapping[str, Any], at: str) -> tuple[Action, ...]:
        given = self.items(values, "actions", at, ACTIONS_MAX)
        if given and str(values.get("type", "")).lower() != CHROME:
            self.fault(f"{at}/actions", ONLY_CHROME)
        return tuple(self.action(item, f"{at}/actions/{place}") for place, item in enumerate(given))

    def action(self, item: Any, at: str) -> Action:
        """`{"waitFor": selector}`, `{"click": selector}`, `{"fill": {selector, value}}` or `{"scroll": where}`."""
        given = self.mapping(item, at, frozenset({"waitFor", "click", "fill", "scroll"}))
        if len(given) != 1:
            self.fault(at, "Must have one of waitFor, click, fill and scroll.")
            return Action("")
        [(kind, value)] = given.items()
        if kind == "scroll":
            return self.scroll(value, f"{at}/scroll")
        if kind == "fill":
            inner = self.mapping(value, f"{at}/fill", frozenset({"selector", "value"}))
            return Action("fill", self.needed(inner, "selector", f"{at}/fill"), self.text(inner, "value", f"{at}/fill"))
        return Action("wait" if kind == "waitFor" else kind, self.needed(given, kind, at))

    def scroll(self, value: Any, at: str) -> Action:
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) > PIXELS_MAX:
                self.fault(at, f"Must be at most {PIXELS_MAX} pixels.")
            return Action("scroll", pixels=value)
        if value == BOTTOM:
            return Action("scroll", value=BOTTOM)
        return Action("scroll", self.needed({"scroll": value}, "scroll", at.removesuffix("/scroll")))

    def needed(self, values: Mapping[str, Any], name: str, at: str) -> str:
        selector = self.selector(values, name, at)
        if not selector and not values.get(name):
            self.fault(f"{at}/{name}", "This is required.")
        return selector

    def url(self, values: Mapping[str, Any], name: str, at: str, *, optional: bool = False) -> str:
        value = self.text(values, name, at).strip()
        if not value:
            if not (optional or values.get(name)):
                self.fault(f"{at}/{name}", "This is required.")
            return ""
        if (url := followable(value)) is None:
            self.fault(f"{at}/{name}", "Must be an http or https address.")
        return (value if optional else url) or ""

    def header(self, name: str, value: str, at: str) -> None:
        if not _HEADER.fullmatch(name):
            self.fault(at, "This is no name of a header.")
        elif name.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
            self.fault(at, "This header is the hub's own.")
        elif CONTROL.search(value) or len(value) > TEXT_MAX or not value.isascii():
            self.fault(at, "This is no value of a header.")

    def cookies(self, values: Mapping[str, Any], at: str) -> dict[str, str]:
        """An object, or a text as the header Cookie has it."""
        if isinstance(text := values.get("cookies"), str):
            pairs = (part.partition("=") for part in self.text(values, "cookies", at).split(";") if part.strip())
            return self.texts({"cookies": {k.strip(): v.strip() for k, _, v in pairs}}, "cookies", at, self.cookie)
        del text
        return self.texts(values, "cookies", at, self.cookie)

    def cookie(self, name: str, value: str, at: str) -> None:
        if not _HEADER.fullmatch(name) or not value.isascii() or re.search(r"[\x00-\x20\x7f;,\"\\]", value):
            self.fault(at, "This is no cookie (RFC 6265).")


def css_fault(selector: str) -> str | None:
    """What is wrong with a CSS selector, if anything is."""
    if selector.lower().count(":has(") > HAS_MAX:
        return f"Must have at most {HAS_MAX} :has()."
    try:
        _EMPTY.css(selector)
    except (SelectolaxError, ValueError):
        return "This is no CSS selector that is known."
    return None
