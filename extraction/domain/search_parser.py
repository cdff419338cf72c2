"""Search results: keywords times pages of one engine, as a payload (contract, 6.1), and from a page to its results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.page_reader import Reading, Record
from extraction.domain.page_urls import Base, page_key
from extraction.domain.payload import ADDRESSES, BLOCK, INFINITE, TEXT, Field, Next, Payload, Request, Rule
from extraction.domain.payload_parser import Checker
from extraction.domain.process_status import Failure
from extraction.domain.request_parser import KINDS
from extraction.domain.search_engines import Engine, Part, Signs, Taken, unwrapped

ENGINE = "search_engine"  # by this name a payload is known as a search
KEYWORDS_MAX, KEYWORD_MAX, PAGES_MAX = 10_000, 500, 100
OWN = ("keyword", "page", "kind", "position")  # columns before those of the engine
NAMES = frozenset(
    [
        *("name", ENGINE, "keywords", "num_pages", "region", "google_settings", "settings", "type", "proxy"),
        *("format", "gzip", "ignoreRobots", "delay", "maxPages", "maxCredits"),
    ]
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Search:
    """What is searched for, where, and how far."""

    engine: Engine
    keywords: tuple[str, ...]
    pages: int
    region: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def address(self, place: int, page: int) -> str:
        return self.engine.address(self.keywords[place], page, self.region, self.settings)

    def chains(self) -> dict[bytes, int]:
        """The lists of results, by the key of the first page of each, in their order, with the keyword's place."""
        return {page_key(0, self.address(place, 0)): place for place in range(len(self.keywords))}

    def read(self, html: str, url: str, place: int, page: int) -> Reading:
        """The results of one page, from 0. Raises `Failure` for a captcha, and for a page that does not fit."""
        tree = LexborHTMLParser(html)
        if _shows(tree, html, url, self.engine.blocked):
            raise Failure(
                f"{self.engine.name} answers with a captcha: it takes the hub for a robot. Ask for less at a time "
                "(`delay`), through a proxy, or another engine."
            )
        results = [result for part in self.engine.parts for result in _results(tree, url, part)]
        if not results and not _shows(tree, html, url, self.engine.empty):
            raise Failure(
                f"The page of {self.engine.name} no longer fits what is known of it: there are no results in it, and "
                "nothing says that there are none. An operator can mend the engine's file."
            )
        whole = dict.fromkeys(self.engine.columns)
        head = {"keyword": self.keywords[place], "page": page + 1}
        reading = Reading([{**head, "kind": kind, "position": n, **whole, **one} for kind, n, one in results])
        reading.shown = results
        if results and page + 1 < self.pages and not self.engine.scrolls:
            reading.next = self.address(place, page + 1)
        return reading


def _shows(tree: LexborHTMLParser, html: str, url: str, signs: Signs) -> bool:
    return (
        any(part in url for part in signs.addresses)
        or any(tree.css_first(selector) is not None for selector in signs.selectors)
        or any(text in html for text in signs.texts)
    )


def _results(tree: LexborHTMLParser, url: str, part: Part) -> list[tuple[str, int, Record]]:
    base, found = Base(url), []
    for block in {node.mem_id: node for node in tree.css(part.block)}.values():  # one that two selectors find is one
        record = {one.name: value for one in part.fields if (value := _value(block, one, base))}
        if record:
            found.append(record)
    return [(part.kind, number, record) for number, record in enumerate(found, 1)]


def _value(block: LexborNode, one: Taken, base: Base) -> str | None:
    node = block if one.selector == BLOCK else block.css_first(one.selector)
    if node is None:
        return None
    if one.attr == TEXT:
        return _SPACE.sub(" ", node.text(separator=" ")).strip()
    value = node.attributes.get(one.attr)
    if not value:
        return None
    if one.attr in ADDRESSES:
        value = base.absolute(value)
        return unwrapped(value, one) if one.unwrap else value
    return value.strip()


class SearchReader(Checker):
    """Reads a payload that is a search."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        super().__init__()
        self._engines = engines

    def search(self, value: Any, at: str) -> Payload:
        given = self.mapping(value, at, NAMES)
        engine = self._engines.get(self.text(given, ENGINE, at).lower())
        if engine is None:
            self.fault(f"{at}/{ENGINE}", f"Must be one of {', '.join(sorted(self._engines))}.")
            engine = next(iter(self._engines.values()))
        search = Search(
            engine,
            self.keywords(given, at),
            self.pages(given, at),
            self.region(given, engine, at),
            self.own(given, engine, at),
        )
        chrome = self.kind_of(given, at, KINDS[engine.chrome])
        if engine.scrolls and not chrome:
            self.fault(f"{at}/type", f"{engine.name} needs chrome.")
        columns = (*OWN, *engine.columns)
        scroll = Next("", kind=INFINITE, pages=search.pages) if engine.scrolls else None
        return Payload(
            name=self.text(given, "name", at, 200),
            request=Request(
                search.address(0, 0) if search.keywords else "", proxy=self.url(given, "proxy", at, optional=True)
            ),
            rule=Rule(0, tuple(Field(name, BLOCK, (TEXT,)) for name in columns), next=scroll, chrome=chrome),
            search=search,
            **self.terms(given, at),
        )

    def keywords(self, given: Mapping[str, Any], at: str) -> tuple[str, ...]:
        """A list of texts, or a text with one a line."""
        value = given.get("keywords")
        items = value.splitlines() if isinstance(value, str) else self.items(given, "keywords", at, KEYWORDS_MAX)
        words = []
        for place, item in enumerate(items):
            if not isinstance(item, str) or len(item) > KEYWORD_MAX or "\x00" in item:
                self.fault(f"{at}/keywords/{place}", f"Must be a text of at most {KEYWORD_MAX} characters.")
            elif item.strip():
                words.append(item.strip())
        if not words:
            self.fault(f"{at}/keywords", "At least one is required.")
        return tuple(dict.fromkeys(words[:KEYWORDS_MAX]))

    def pages(self, given: Mapping[str, Any], at: str) -> int:
        number = self.number(given, "num_pages", at) or 1
        if number > PAGES_MAX:
            self.fault(f"{at}/num_pages", f"Must be at most {PAGES_MAX}.")
        return min(number, PAGES_MAX)

    def region(self, given: Mapping[str, Any], engine: Engine, at: str) -> str:
        region = self.text(given, "region", at, 20).lower()
        if region and not re.fullmatch(engine.regions, region):
            self.fault(f"{at}/region", f"Must be as {engine.name} writes regions: {engine.regions}.")
        return region

    def own(self, given: Mapping[str, Any], engine: Engine, at: str) -> dict[str, str]:
        """`google_settings`, or `settings` of any engine."""
        found: dict[str, str] = {}
        for name in ("google_settings", "settings"):
            if given.get(name) is None:
                continue
            if name == "google_settings" and not engine.name.startswith("google"):
                self.fault(f"{at}/{name}", "Goes with google, google_news and google_image.")
                continue
            known = self.mapping(given[name], f"{at}/{name}", frozenset(engine.settings))
            for key in known.keys() & engine.settings.keys():
                text = self.text(known, key, f"{at}/{name}", 200)
                if text and not re.fullmatch(engine.settings[key], text):
                    self.fault(f"{at}/{name}/{key}", f"Must match {engine.settings[key]}.")
                found[key] = text
        return found


def is_search(value: Any) -> bool:
    return isinstance(value, Mapping) and ENGINE in value


def parse_search(value: Any, engines: Mapping[str, Engine], at: str = "") -> Payload:
    """Raises `Rejected` with every fault's place."""
    reader = SearchReader(engines)
    payload = reader.search(value, at)
    reader.finish()
    return payload
