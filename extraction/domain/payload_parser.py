"""A payload as it was sent, checked completely before anything is fetched. Pure.

Faults are collected, each with its place (a JSON pointer), and raised together.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from extraction.domain.payload import (
    BLOCK,
    IMAGE,
    INFINITE,
    LINK,
    MORE,
    NEXT,
    TEXT,
    Field,
    Filter,
    Next,
    Payload,
    Rule,
)
from extraction.domain.request_parser import BASE, CHROME, ONLY_CHROME, RequestReader
from extraction.domain.result_formats import JSON, format_named
from extraction.domain.text_filters import NAMES, REGEX, pattern

FIELDS_MAX = 200
DEPTH_MAX = 8
NAME_MAX = 200  # characters

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
FIELD = frozenset(["name", "selector", "attrs", "type", "filters", "details"])
TYPES = {0: TEXT, 1: TEXT, 2: LINK, 3: IMAGE, TEXT: TEXT, LINK: LINK, IMAGE: IMAGE}
ATTRS = {TEXT: (TEXT,), LINK: ("href", TEXT), IMAGE: ("src", "alt")}  # where a field names none

_ATTR = re.compile(r"[A-Za-z_:][A-Za-z0-9_.:-]{0,99}")


class Checker(RequestReader):
    """Reads a payload."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()

    def payload(self, value: Any, at: str = "") -> Payload:
        given = self.mapping(value, at, WHOLE)
        return Payload(
            name=self.text(given, "name", at, NAME_MAX),
            request=self.request(given, at),
            rule=self.rule(given, at, 1, self.kind(given, at)),
            **self.terms(given, at),
        )

    def terms(self, given: Mapping[str, Any], at: str) -> dict[str, Any]:
        """What payloads of all sorts say alike: of the file, of politeness, and of limits."""
        return {
            "format": self.format(given, at),
            "gzip": self.flag(given, "gzip", at),
            "robots": not self.flag(given, "ignoreRobots", at),
            "delay": self.delay(given, at),
            "pages": self.number(given, "maxPages", at),
            "credits": self.number(given, "maxCredits", at),
            "raw": given,
        }

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

    def rule(self, given: Mapping[str, Any], at: str, depth: int, chrome: bool) -> Rule:
        number = next(self._numbers)
        parent = self.selector(given, "commonParent", at)
        if parent == BLOCK:
            parent = ""
        items = self.items(given, "fields", at, FIELDS_MAX)
        if given.get("fields") in (None, []):
            self.fault(f"{at}/fields", "At least one field is required.")
        fields = tuple(self.field(item, f"{at}/fields/{place}", depth, chrome) for place, item in enumerate(items))
        path = self.flag(given, "path", at)
        self.names(fields, f"{at}/fields", path)
        if fields and not parent and all(one.selector == BLOCK for one in fields):
            self.fault(f"{at}/commonParent", 'Where every selector is ".", this is required.')
        if path and not any(one.details for one in fields):
            self.fault(f"{at}/path", "A path leads to details; no field has any.")
        return Rule(number, fields, parent, self.paginator(given, at, chrome), path, chrome)

    def names(self, fields: Iterable[Field], at: str, path: bool) -> None:
        """Names under which values are stored must differ."""
        taken: set[str] = set()
        for place, one in enumerate(fields):
            names = [name for _, name in one.columns] if not path else []
            for name in [*names, *([one.nest] if one.details else [])]:
                if name in taken:
                    self.fault(f"{at}/{place}/name", f"Another field is stored under {name!r}, too.")
                taken.add(name)

    def field(self, item: Any, at: str, depth: int, chrome: bool) -> Field:
        given = self.mapping(item, at, FIELD)
        name = self.text(given, "name", at, NAME_MAX).strip()
        if not name and not given.get("name"):
            self.fault(f"{at}/name", "This is required.")
        return Field(
            name=name,
            selector=self.needed(given, "selector", at) or BLOCK,
            attrs=self.attrs(given, at),
            filters=tuple(
                self.filter(one, f"{at}/filters/{n}") for n, one in enumerate(self.items(given, "filters", at, 20))
            ),
            details=self.details(given, at, depth, chrome),
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

    def details(self, given: Mapping[str, Any], at: str, depth: int, chrome: bool) -> Rule | None:
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
        rendered = self.kind(inner, at, CHROME if chrome else BASE)
        if self.text(request, "url", f"{at}/request"):
            self.fault(f"{at}/request/url", "Details are behind the field's links; leave it empty.")
        return self.rule(inner, at, depth + 1, rendered)

    def paginator(self, given: Mapping[str, Any], at: str, chrome: bool) -> Next | None:
        value = given.get("paginator")
        if value is None or value in ("", {}):
            return None
        if isinstance(value, str):
            selector = self.selector(given, "paginator", at)
            return Next(selector) if selector else None
        at += "/paginator"
        known = frozenset({"nextPageSelector", "pageNum", "type", "selector", "attr", "maxPages"})
        values = self.mapping(value, at, known)
        kind = self.text(values, "type", at).lower() or NEXT
        if kind not in {NEXT, MORE, INFINITE}:
            self.fault(f"{at}/type", "Must be next, more or infinite.")
        elif kind != NEXT and not chrome:
            self.fault(f"{at}/type", ONLY_CHROME)
        name = "nextPageSelector" if "nextPageSelector" in values else "selector"
        selector = self.selector(values, name, at) if kind == INFINITE else self.needed(values, name, at)
        attr = self.text(values, "attr", at, NAME_MAX) or "href"
        pages = self.number(values, "pageNum" if "pageNum" in values else "maxPages", at)
        return Next(selector, attr.lower(), pages, kind)


def parse_payload(value: Any, at: str = "") -> Payload:
    """The payload that `value`, from JSON, describes. Raises `Rejected` with every fault's place."""
    checker = Checker()
    payload = checker.payload(value, at)
    checker.finish()
    return payload
