"""From a page to its records: a pure function of the page and the rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.addresses import absolute, followable, page_key
from extraction.domain.blocks import blocks_of, by_block
from extraction.domain.filters import filtered
from extraction.domain.payload import ADDRESSES, BLOCK, TEXT, Field, Filter, Next, Rule

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


def read(html: str | bytes, url: str, rule: Rule) -> Reading:
    """`html` is a text, or bytes in UTF-8; `url` is where it came from, after redirects."""
    page = LexborHTMLParser(html)
    base = _base(page, url)
    reading = Reading()
    for record, links in _blocks(page, base, rule):
        if links or any(value not in (None, []) for value in record.values()):
            reading.records.append(record)
            reading.links += links
    reading.links = list({link.key: link for link in reading.links}.values())
    reading.next = _next(page, base, rule.next) if rule.next else None
    return reading


def _base(page: LexborHTMLParser, url: str) -> str:
    element = page.css_first("base[href]")
    return absolute(url, element.attributes.get("href") or "") if element else url


def _blocks(page: LexborHTMLParser, base: str, rule: Rule) -> Iterator[tuple[Record, list[Link]]]:
    found = [page.css(one.selector) if one.selector != BLOCK else [] for one in rule.fields]
    blocks = blocks_of(page, rule.parent, found)
    if len(blocks) == 1 and not rule.parent:
        yield _record(
            rule, [[blocks[0]] if one.selector == BLOCK else nodes for one, nodes in _with(rule, found)], base
        )
        return
    places = {node.mem_id: place for place, node in enumerate(blocks)}
    parts = [by_block(nodes, places) for nodes in found]
    for place, block in enumerate(blocks):
        yield _record(
            rule,
            [[block] if one.selector == BLOCK else part.get(place, []) for one, part in _with(rule, parts)],
            base,
        )


def _with(rule: Rule, parts: Sequence[Any]) -> Iterator[tuple[Field, Any]]:
    return zip(rule.fields, parts, strict=True)


def _record(rule: Rule, found: Sequence[Sequence[LexborNode]], base: str) -> tuple[Record, list[Link]]:
    record: Record = {}
    links: list[Link] = []
    for one, nodes in _with(rule, found):
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
    there = [value for value in values if value is not None]
    return there if len(there) > 1 else there[0] if there else None


def _value(node: LexborNode, attr: str, filters: tuple[Filter, ...], base: str) -> str | None:
    if attr == TEXT:
        return filtered(node.text(), filters)
    if attr == HTML:
        return node.inner_html
    attributes = node.attributes
    if attr not in attributes:
        return None
    value = attributes[attr] or ""
    return absolute(base, value) if attr in ADDRESSES else filtered(value, filters)


def _links(nodes: Sequence[LexborNode], rule: Rule, base: str) -> list[Link]:
    """The pages behind elements: where they lead themselves, or else the first link inside."""
    found: dict[bytes, Link] = {}
    for node in nodes:
        holder = node if "href" in node.attributes else node.css_first("a[href]")
        if holder is not None and (url := followable(absolute(base, holder.attributes["href"] or ""))):
            key = page_key(rule.number, url)
            found[key] = Link(key, rule.number, url)
    return list(found.values())


def _next(page: LexborHTMLParser, base: str, rule: Next) -> str | None:
    node = page.css_first(rule.selector)
    value = node.attributes.get(rule.attr) if node else None
    return followable(absolute(base, value)) if value else None
