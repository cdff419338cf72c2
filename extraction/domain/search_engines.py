"""Search engines as data: where results are asked for, and where they stand in the page. Checked when loaded. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from extraction.domain.page_urls import followable
from extraction.domain.payload import TEXT
from extraction.domain.request_parser import KINDS, RequestReader
from taskhub.errors import Rejected

PARTS = ("organic", "ads", "news", "images", "videos")
KEYWORD, OFFSET, PAGE, REGION = "keyword", "offset", "page", "region"
GIVEN = frozenset({KEYWORD, OFFSET, PAGE, REGION})
_PLACE = re.compile(r"\{([a-z_]+)\}")
_NAME = re.compile(r"[a-z][a-z_]{0,39}")


@dataclass(frozen=True)
class Taken:
    """One value of a result. `unwrap` is the parameter of a redirecting address that holds the true one."""

    name: str
    selector: str
    attr: str = TEXT
    unwrap: str = ""
    packed: str = ""  # what stands before the true address where that is in base64


@dataclass(frozen=True)
class Part:
    """One sort of results: a block each, and what is taken from it."""

    kind: str
    block: str
    fields: tuple[Taken, ...]


@dataclass(frozen=True)
class Signs:
    """By which a page is known."""

    addresses: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Engine:
    """`settings` are names of a user's own, each with the pattern that its value must match as a whole."""

    name: str
    url: str
    query: Mapping[str, str]
    parts: tuple[Part, ...]
    chrome: bool = False
    scrolls: bool = False
    first: int = 0
    step: int = 10
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    regions: str = "[a-z]{2}"
    blocked: Signs = Signs()
    empty: Signs = Signs()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what is taken, in the order of the parts."""
        return tuple(dict.fromkeys(one.name for part in self.parts for one in part.fields))

    def address(self, keyword: str, page: int, region: str, settings: Mapping[str, str]) -> str:
        """Of one page of results, from 0. Parameters without a value are left out."""
        values = {**self.defaults, **settings, KEYWORD: keyword, REGION: region}
        values |= {OFFSET: str(self.first + page * self.step), PAGE: str(page + 1)}
        filled = {name: _filled(text, values) for name, text in self.query.items()}
        return f"{_filled(self.url, values)}?{urlencode({name: text for name, text in filled.items() if text})}"


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: values.get(found[1], ""), text)


def unwrapped(address: str, one: Taken) -> str:
    """Where a redirecting address of the engine's leads, as far as it says so."""
    values = parse_qs(urlsplit(address).query).get(one.unwrap)
    if not values:
        return address
    value = values[0]
    if one.packed:
        if not value.startswith(one.packed):
            return address
        try:
            padded = value.removeprefix(one.packed) + "=" * (-len(value.removeprefix(one.packed)) % 4)
            value = base64.urlsafe_b64decode(padded).decode()
        except (binascii.Error, UnicodeDecodeError):
            return address
    return followable(value) or address


class EngineReader(RequestReader):
    """Reads an engine's file."""

    NAMES = frozenset(
        ["title", "type", "url", "query", "paging", "settings", "defaults", "regions", "blocked", "empty", "parts"]
    )

    def engine(self, name: str, value: Any) -> Engine:
        given = self.mapping(value, "", self.NAMES)
        if not _NAME.fullmatch(name):
            self.fault("", "The file's name must be small letters and underscores.")
        kind = self.text(given, "type", "") or "base"
        if kind not in KINDS:
            self.fault("/type", "Must be base or chrome.")
        paging = self.mapping(given.get("paging") or {}, "/paging", frozenset(["first", "step", "scroll"]))
        settings = self.texts(given, "settings", "", self.regex)
        engine = Engine(
            name=name,
            url=self.template_url(given),
            query=self.texts(given, "query", "", lambda *_: None),
            parts=tuple(self.parts(given)),
            chrome=kind == "chrome",
            scrolls=self.flag(paging, "scroll", "/paging"),
            first=self.number(paging, "first", "/paging", 0) or 0,
            step=self.number(paging, "step", "/paging") or 10,
            settings=settings,
            defaults=self.texts(given, "defaults", "", lambda *_: None),
            regions=self.text(given, "regions", "") or Engine.regions,
            blocked=self.signs(given, "blocked"),
            empty=self.signs(given, "empty"),
        )
        self.regex("regions", engine.regions, "/regions")
        self.places(engine)
        if engine.scrolls and not engine.chrome:
            self.fault("/paging/scroll", "Needs type chrome.")
        return engine

    def template_url(self, given: Mapping[str, Any]) -> str:
        text = self.text(given, "url", "")
        if not text or "?" in text or followable(_PLACE.sub("a.example", text)) is None:
            self.fault("/url", "Must be an http or https address without a query.")
        return text

    def regex(self, name: str, value: str, at: str) -> None:
        if not _NAME.fullmatch(name):
            self.fault(at, "Must be named with small letters and underscores.")
        try:
            re.compile(value)
        except re.error as error:
            self.fault(at, f"This is no pattern: {error}.")

    def places(self, engine: Engine) -> None:
        """What stands in braces is given, or a setting."""
        texts = {"/url": engine.url, **{f"/query/{name}": text for name, text in engine.query.items()}}
        known = GIVEN | engine.settings.keys()
        for at, text in texts.items():
            for name in _PLACE.findall(text):
                if name not in known:
                    self.fault(at, f"{{{name}}} is neither given nor one of the settings.")
        if not any(KEYWORD in _PLACE.findall(text) for text in texts.values()):
            self.fault("/query", "Nothing holds the {keyword}.")

    def signs(self, given: Mapping[str, Any], name: str) -> Signs:
        at = f"/{name}"
        values = self.mapping(given.get(name) or {}, at, frozenset(["addresses", "selectors", "texts"]))
        found = {}
        for kind in ("addresses", "selectors", "texts"):
            items = self.items(values, kind, at, 50)
            found[kind] = tuple(item for item in items if isinstance(item, str) and item)
            if len(found[kind]) < len(items):
                self.fault(f"{at}/{kind}", "Must be texts.")
        for place, selector in enumerate(found["selectors"]):
            self.selector({"selector": selector}, "selector", f"{at}/selectors/{place}")
        return Signs(**found)

    def parts(self, given: Mapping[str, Any]) -> Iterator[Part]:
        parts = self.mapping(given.get("parts") or {}, "/parts", frozenset(PARTS))
        if not parts:
            self.fault("/parts", "This is required.")
        for kind, value in parts.items():
            at = f"/parts/{kind}"
            part = self.mapping(value, at, frozenset(["block", "fields"]))
            fields = part.get("fields")
            if not isinstance(fields, Mapping) or not fields:
                self.fault(f"{at}/fields", "Must be an object, with an entry for each value.")
                fields = {}
            taken = tuple(self.taken(name, one, f"{at}/fields/{name}") for name, one in fields.items())
            yield Part(kind, self.needed(part, "block", at), taken)

    def taken(self, name: str, value: Any, at: str) -> Taken:
        if not _NAME.fullmatch(name):
            self.fault(at, "Must be named with small letters and underscores.")
        given = self.mapping(value, at, frozenset(["selector", "attr", "unwrap", "packed"]))
        return Taken(
            name,
            self.needed(given, "selector", at),
            self.text(given, "attr", at) or TEXT,
            self.text(given, "unwrap", at),
            self.text(given, "packed", at),
        )


def parse_engine(name: str, value: Any) -> Engine:
    """Raises `ValueError` that names each place that is wrong."""
    reader = EngineReader()
    engine = reader.engine(name, value)
    try:
        reader.finish()
    except Rejected as problem:
        raise ValueError("; ".join(f"{one['pointer'] or '/'}: {one['detail']}" for one in problem.errors)) from None
    return engine
