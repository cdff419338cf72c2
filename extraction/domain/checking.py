"""A payload as it was sent, checked completely before anything is fetched. Pure.

Faults are collected, each with its place (a JSON pointer), and raised together.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from extraction.domain.addresses import followable
from extraction.domain.filters import NAMES, REGEX, pattern
from extraction.domain.formats import JSON, format_named
from extraction.domain.payload import BLOCK, IMAGE, LINK, TEXT, Field, Filter, Next, Payload, Request, Rule
from extraction.domain.values import CONTROL, TEXT_MAX, Reader

FIELDS_MAX = 200
DEPTH_MAX = 8
NAME_MAX, SELECTOR_MAX = 200, 1_000  # characters
HAS_MAX = 1  # each inside another multiplies the time by the size of the page

WHOLE = frozenset(
    [
        "name",
        "request",
        "fields",
        "commonParent",
        "paginator",
        "path",
        "format",
        "gzip",
        "ignoreRobots",
        "delay",
        "maxPages",
        "maxCredits",
    ]
)
NESTED = frozenset(["name", "request", "fields", "commonParent", "paginator", "path", "format"])
REQUEST = frozenset(["url", "type", "proxy", "headers", "cookies", "method", "form"])
FIELD = frozenset(["name", "selector", "attrs", "type", "filters", "details"])
TYPES = {0: TEXT, 1: TEXT, 2: LINK, 3: IMAGE, TEXT: TEXT, LINK: LINK, IMAGE: IMAGE}
ATTRS = {TEXT: (TEXT,), LINK: ("href", TEXT), IMAGE: ("src", "alt")}  # where a field names none
NO_CHROME = "Pages are rendered by the extra `chrome`, which is not installed here; use base."

_ATTR = re.compile(r"[A-Za-z_:][A-Za-z0-9_.:-]{0,99}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_EMPTY = LexborHTMLParser("")


class Checker(Reader):
    """Reads a payload."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()

    def selector(self, values: Mapping[str, Any], name: str, at: str) -> str:
        value = self.text(values, name, at, SELECTOR_MAX).strip()
        if value and value != BLOCK and (detail := css_fault(value)):
            self.fault(f"{at}/{name}", detail)
        return value

    def payload(self, value: Any, at: str = "") -> Payload:
        given = self.mapping(value, at, WHOLE)
        return Payload(
            name=self.text(given, "name", at, NAME_MAX),
            request=self.request(given, at),
            rule=self.rule(given, at, 1),
            format=self.format(given, at),
            gzip=self.flag(given, "gzip", at),
            robots=not self.flag(given, "ignoreRobots", at),
            delay=self.delay(given, at),
            pages=self.number(given, "maxPages", at),
            credits=self.number(given, "maxCredits", at),
            raw=given,
        )

    def delay(self, given: Mapping[str, Any], at: str) -> float:
        value = given.get("delay")
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
            self.fault(f"{at}/delay", "Must be a number of seconds from 0 to 3600.")
            return 0.0
        return float(value)

    def format(self, given: Mapping[str, Any], at: str) -> str:
        name = self.text(given, "format", at, NAME_MAX)
        if not name:
            return JSON
        if (known := format_named(name)) is None:
            self.fault(f"{at}/format", "Must be CSV, XLSX, JSON, JSONL or XML.")
        return known or JSON

    def request(self, given: Mapping[str, Any], at: str) -> Request:
        at += "/request"
        if given.get("request") is None:
            self.fault(at, "This is required.")
            return Request("")
        values = self.mapping(given["request"], at, REQUEST)
        self.kind(values, at)
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
        )

    def kind(self, values: Mapping[str, Any], at: str) -> None:
        kind = self.text(values, "type", at).lower()
        if kind == "chrome":
            self.fault(f"{at}/type", NO_CHROME)
        elif kind not in {"", "base"}:
            self.fault(f"{at}/type", "Must be base or chrome.")

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

    def rule(self, given: Mapping[str, Any], at: str, depth: int) -> Rule:
        number = next(self._numbers)
        parent = self.selector(given, "commonParent", at)
        if parent == BLOCK:
            parent = ""
        items = self.items(given, "fields", at, FIELDS_MAX)
        if given.get("fields") in (None, []):
            self.fault(f"{at}/fields", "At least one field is required.")
        fields = tuple(self.field(item, f"{at}/fields/{place}", depth) for place, item in enumerate(items))
        path = self.flag(given, "path", at)
        self.names(fields, f"{at}/fields", path)
        if fields and not parent and all(one.selector == BLOCK for one in fields):
            self.fault(f"{at}/commonParent", 'Where every selector is ".", this is required.')
        if path and not any(one.details for one in fields):
            self.fault(f"{at}/path", "A path leads to details; no field has any.")
        return Rule(number, fields, parent, self.paginator(given, at), path)

    def names(self, fields: Iterable[Field], at: str, path: bool) -> None:
        """Names under which values are stored must differ."""
        taken: set[str] = set()
        for place, one in enumerate(fields):
            names = [name for _, name in one.columns] if not path else []
            for name in [*names, *([one.nest] if one.details else [])]:
                if name in taken:
                    self.fault(f"{at}/{place}/name", f"Another field is stored under {name!r}, too.")
                taken.add(name)

    def field(self, item: Any, at: str, depth: int) -> Field:
        given = self.mapping(item, at, FIELD)
        name = self.text(given, "name", at, NAME_MAX).strip()
        if not name and not given.get("name"):
            self.fault(f"{at}/name", "This is required.")
        selector = self.selector(given, "selector", at)
        if not selector and not given.get("selector"):
            self.fault(f"{at}/selector", "This is required.")
        return Field(
            name=name,
            selector=selector or BLOCK,
            attrs=self.attrs(given, at),
            filters=tuple(
                self.filter(one, f"{at}/filters/{n}") for n, one in enumerate(self.items(given, "filters", at, 20))
            ),
            details=self.details(given, at, depth),
        )

    def attrs(self, given: Mapping[str, Any], at: str) -> tuple[str, ...]:
        kind = given.get("type")
        usual: tuple[str, ...] = (TEXT,)
        if kind is not None:
            word = kind.lower() if isinstance(kind, str) else kind
            known = not isinstance(word, bool | list | dict) and word in TYPES
            if known:
                usual = ATTRS[TYPES[word]]
            else:
                self.fault(f"{at}/type", "Must be text, link or image (1, 2 or 3).")
        attrs = self.items(given, "attrs", at, 20)
        for place, attr in enumerate(attrs):
            if not isinstance(attr, str) or not _ATTR.fullmatch(attr):
                self.fault(f"{at}/attrs/{place}", "This is no attribute.")
            elif attr in attrs[:place]:
                self.fault(f"{at}/attrs/{place}", "It is named twice.")
        return tuple(str(attr).lower() for attr in attrs) or usual

    def filter(self, item: Any, at: str) -> Filter:
        if isinstance(item, str):
            item = {"name": item}
        given = self.mapping(item, at, frozenset({"name", "param"}))
        name, param = self.text(given, "name", at).lower(), self.text(given, "param", at)
        if name not in NAMES:
            self.fault(f"{at}/name", f"Must be one of {', '.join(NAMES)}.")
        elif name == REGEX:
            self.regex(param, f"{at}/param")
        elif param:
            self.fault(f"{at}/param", f"The filter {name} has none.")
        return Filter(name, param)

    def regex(self, source: str, at: str) -> None:
        try:
            pattern(source)
        except ValueError as error:
            self.fault(at, f"This is no pattern: {error}.")
        else:
            if not source:
                self.fault(at, "This is required.")

    def details(self, given: Mapping[str, Any], at: str, depth: int) -> Rule | None:
        value = given.get("details")
        if value is None or value == {}:
            return None
        at += "/details"
        if depth >= DEPTH_MAX:
            self.fault(at, f"Details nest at most {DEPTH_MAX} deep.")
            return None
        inner = self.mapping(value, at, NESTED)
        self.format(inner, at)
        request = self.mapping(inner.get("request") or {}, f"{at}/request", frozenset({"url", "type"}))
        self.kind(request, f"{at}/request")
        if self.text(request, "url", f"{at}/request"):
            self.fault(f"{at}/request/url", "Details are behind the field's links; leave it empty.")
        return self.rule(inner, at, depth + 1)

    def paginator(self, given: Mapping[str, Any], at: str) -> Next | None:
        value = given.get("paginator")
        if value is None or value in ("", {}):
            return None
        if isinstance(value, str):
            selector = self.selector(given, "paginator", at)
            return Next(selector) if selector else None
        at += "/paginator"
        known = frozenset({"nextPageSelector", "pageNum", "type", "selector", "attr", "maxPages"})
        values = self.mapping(value, at, known)
        kind = self.text(values, "type", at).lower()
        if kind in {"more", "infinite"}:
            self.fault(f"{at}/type", NO_CHROME)
        elif kind not in {"", "next"}:
            self.fault(f"{at}/type", "Must be next, more or infinite.")
        name = "nextPageSelector" if "nextPageSelector" in values else "selector"
        selector = self.selector(values, name, at)
        if not selector and not values.get(name):
            self.fault(f"{at}/{name}", "This is required.")
        attr = self.text(values, "attr", at, NAME_MAX) or "href"
        pages = self.number(values, "pageNum" if "pageNum" in values else "maxPages", at)
        return Next(selector, attr.lower(), pages)


def css_fault(selector: str) -> str | None:
    """What is wrong with a CSS selector, if anything is."""
    if selector.lower().count(":has(") > HAS_MAX:
        return f"Must have at most {HAS_MAX} :has()."
    try:
        _EMPTY.css(selector)
    except (SelectolaxError, ValueError):
        return "This is no CSS selector that is known."
    return None


def parse_payload(value: Any, at: str = "") -> Payload:
    """The payload that `value`, from JSON, describes. Raises `Rejected` with every fault's place."""
    checker = Checker()
    payload = checker.payload(value, at)
    checker.finish()
    return payload
