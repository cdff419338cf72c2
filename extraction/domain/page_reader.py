"""From a page to its records: a pure function of the page and the rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.page_urls import Base, absolute, followable, page_key
from extraction.domain.payload import ADDRESSES, BLOCK, NEXT, TEXT, Filter, Next, Rule
from extraction.domain.record_blocks import blocks_of, by_block
from extraction.domain.text_filters import filtered

HTML = "html"  # the attribute that is the element's content with its tags

Record = dict[str, Any]


@dataclass(frozen=True)
class Link:
    """A page behind a record."""

    key: bytes
    rule: int
    url: str


@dataclass
class Reading:
    """What a page gives: its records, the pages behind them, and the address of the next page of its list.

    In a record, the name under which details nest holds the keys of their pages, in hexadecimal.
    """

    records: list[Record] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    next: str | None = None
    shown: Any = None  # what tells whether another page shows the same; by default the records


def read(html: str | bytes, url: str, rule: Rule) -> Reading:
    """`html` is a text, or bytes in UTF-8; `url` is where it came from, after redirects."""
    page = LexborHTMLParser(html)
    base = Base(_base(page, url))
    reading = Reading()
    seen: set[str] = set()
    for record, links in _blocks(page, base, rule):
        if rule.path:
            _leave_out(record, seen)
        if any(value not in (None, []) for value in record.values()):
            reading.records.append(record)
            reading.links += links
    reading.links = list({link.key: link for link in reading.links}.values())
    reading.next = _next(page, base, rule.next) if rule.next and rule.next.kind == NEXT else None
    return reading


def read_all(texts: Sequence[str], url: str, rule: Rule) -> Reading:
    """Of a page that was read several times, as its list went on in it; the same records once again end it."""
    whole = read(texts[0], url, rule)
    before = whole.records
    for text in texts[1:]:
        part = read(text, url, rule)
        if part.records == before:
            break
        before = part.records
        whole.records = whole.records + part.records
        whole.links = list({link.key: link for link in whole.links + part.links}.values())
        whole.next = part.next
    return whole


def _leave_out(record: Record, seen: set[str]) -> None:
    """On a path a page is followed once, however often this one links to it."""
    for nest, keys in record.items():
        record[nest] = [key for key in keys if key not in seen]
        seen.update(keys)


def _base(page: LexborHTMLParser, url: str) -> str:
    element = page.css_first("base[href]")
    return absolute(url, element.attributes.get("href") or "") if element else url


def _blocks(page: LexborHTMLParser, base: Base, rule: Rule) -> Iterator[tuple[Record, list[Link]]]:
    found = [page.css(one.selector) if one.selector != BLOCK else [] for one in rule.fields]
    blocks = blocks_of(page, rule.parent, found)
    if len(blocks) == 1 and not rule.parent:
        parts: list[list[list[LexborNode]]] = [[nodes] for nodes in found]
    else:
        places = {node.mem_id: place for place, node in enumerate(blocks)}
        parts = [by_block(nodes, places) for nodes in found]
    own = [one.selector == BLOCK for one in rule.fields]
    for place, block in enumerate(blocks):
        nodes = [[block] if whole else part[place] for whole, part in zip(own, parts, strict=True)]
        yield _record(rule, nodes, base)


def _record(rule: Rule, found: Sequence[Sequence[LexborNode]], base: Base) -> tuple[Record, list[Link]]:
    record: Record = {}
    links: list[Link] = []
    for one, nodes in zip(rule.fields, found, strict=True):
        if not rule.path:
            for attr, name in one.columns:
                record[name] = _alone([_value(node, attr, one.filters, base) for node in nodes])
        if one.details:
            behind = _links(nodes, one.details, base)
            record[one.nest] = [link.key.hex() for link in behind]
            links += behind
    return record, links


def _alone(values: list[str | None]) -> Any:
    """One value, or a list of several; None where there is none."""
    if len(values) == 1:
        return values[0]
    there = [value for value in values if value is not None]
    return there if len(there) > 1 else there[0] if there else None


def _value(node: LexborNode, attr: str, filters: tuple[Filter, ...], base: Base) -> str | None:
    if attr == TEXT:
        text = node.text()
        return filtered(text, filters) if filters else text
    if attr == HTML:
        return node.inner_html
    attributes = node.attributes
    if attr not in attributes:
        return None
    value = attributes[attr] or ""
    return base.absolute(value) if attr in ADDRESSES else filtered(value, filters)


def _links(nodes: Sequence[LexborNode], rule: Rule, base: Base) -> list[Link]:
    """The pages behind elements: where they lead themselves, or else the first link inside."""
    found: dict[bytes, Link] = {}
    for node in nodes:
        holder = node if "href" in node.attributes else node.css_first("a[href]")
        if holder is not None and (url := followable(base.absolute(holder.attributes["href"] or ""))):
            key = page_key(rule.number, url)
            found[key] = Link(key, rule.number, url)
    return list(found.values())


def _next(page: LexborHTMLParser, base: Base, rule: Next) -> str | None:
    node = page.css_first(rule.selector)
    value = node.attributes.get(rule.attr) if node else None
    return followable(base.absolute(value)) if value else None
