"""Reads a page: its records, the pages behind them, and the next page of its list, as a rule says. Pure."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.css_selectors import BLOCK
from extraction.domain.extraction_rule import ADDRESSES, OUTER_HTML, TEXT, ExtractionRule, RecordField
from extraction.domain.findings import Findings, found_columns, has_value
from extraction.domain.next_pages import next_addresses
from extraction.domain.page_addresses import BaseAddress, absolute_address, fetchable_address, page_key
from extraction.domain.page_blocks import blocks_of, nodes_by_block
from extraction.domain.paginator import NEXT
from extraction.domain.text_filters import TextFilter, apply_filters, concatenate, split_at_concatenation
from extraction.domain.visible_text import lines_of, text_of

HTML = "html"  # the attribute that is the element's content with its tags
UNFILTERED = ADDRESSES | {HTML, OUTER_HTML}

Record = dict[str, Any]


@dataclass(frozen=True)
class DetailsLink:
    """A link of a record to a page of details, with that page's key and the number of its rule."""

    key: bytes
    rule: int
    url: str


@dataclass
class PageReading:
    """What was read of a page: its records, the pages behind them, and the addresses that may be the next page of its
    list, the likeliest first.

    In a record, the name under which details nest holds the keys of their pages, in hexadecimal. `shown` is compared
    with the pages before, since a list may end by repeating them; where it is None, the records are compared.
    """

    records: list[Record] = dataclasses.field(default_factory=list)
    links: list[DetailsLink] = dataclasses.field(default_factory=list)
    next: list[str] = dataclasses.field(default_factory=list)
    shown: list[Record] | None = None
    findings: Findings | None = None


def read_page(html: str | bytes, url: str, rule: ExtractionRule, *, rendered: bool = False) -> PageReading:
    """Reads one page. `html` is a text, or bytes in UTF-8; `url` is where it came from, after redirects.

    A page that was `rendered` although its rule does not say so may lead to others by fragments, as its scripts do.
    """
    page = LexborHTMLParser(html)
    base = BaseAddress(_base_address(page, url))
    reading = PageReading()
    seen: set[str] = set()
    matches = [page.css(field.selector) if field.selector != BLOCK else [] for field in rule.fields]
    blocks = blocks_of(page, rule.parent, matches)
    for record, links in _records(blocks, matches, base, rule, rendered):
        if rule.path:
            _drop_seen(record, seen)
        if any(map(has_value, record.values())):
            reading.records.append(record)
            reading.links += links
    reading.links = list({link.key: link for link in reading.links}.values())
    found = [bool(nodes) for nodes in matches]
    if rule.parent:
        found.append(bool(blocks))
    if rule.paginator and rule.paginator.type == NEXT:
        pager = page.css(rule.paginator.selector)
        found.append(bool(pager))
        reading.next = next_addresses(pager, rule.paginator.attr, base, url, rendered=rendered or rule.is_rendered)
    selectors = sum(1 << place for place, one in enumerate(found) if one)
    reading.findings = Findings(selectors, found_columns(reading.records, rule))
    return reading


def read_all(texts: Sequence[str], url: str, rule: ExtractionRule, *, rendered: bool = False) -> PageReading:
    """Reads a page whose list goes on in the page itself, once for each of its texts, until records repeat."""
    reading = read_page(texts[0], url, rule, rendered=rendered)
    before = reading.records
    for text in texts[1:]:
        part = read_page(text, url, rule, rendered=rendered)
        if part.records == before:
            break
        before = part.records
        reading.records = reading.records + part.records
        reading.links = list({link.key: link for link in reading.links + part.links}.values())
        reading.next = part.next
        if reading.findings and part.findings:
            reading.findings |= part.findings
    return reading


def _drop_seen(record: Record, seen: set[str]) -> None:
    """Drops links that were seen before: on a path, a page is followed once, however often it is linked to."""
    for nest, keys in record.items():
        record[nest] = [key for key in keys if key not in seen]
        seen.update(keys)


def _base_address(page: LexborHTMLParser, url: str) -> str:
    """Where relative addresses of a page start from: its `<base>`, where that is an address of the web, or its own."""
    element = page.css_first("base[href]")
    address = absolute_address(url, element.attributes.get("href") or "") if element else url
    return address if fetchable_address(address) else url


def _records(
    blocks: Sequence[LexborNode],
    matches: Sequence[list[LexborNode]],
    base: BaseAddress,
    rule: ExtractionRule,
    rendered: bool,
) -> Iterator[tuple[Record, list[DetailsLink]]]:
    """The record of each block of a page, and the links to its details."""
    places = {node.mem_id: place for place, node in enumerate(blocks)}
    matches_by_block = [nodes_by_block(nodes, places) for nodes in matches]
    are_blocks = [field.selector == BLOCK for field in rule.fields]
    plans = [_FieldPlan.of(field, rule, rendered) for field in rule.fields]
    for place, block in enumerate(blocks):
        nodes = [
            [block] if is_block else parts[place] for is_block, parts in zip(are_blocks, matches_by_block, strict=True)
        ]
        yield _record(plans, nodes, base)


class _FieldPlan(NamedTuple):
    """A field as a tuple, for speed: attributes of a model take ten times as long to read."""

    columns: tuple[tuple[str, str], ...]
    filters: tuple[TextFilter, ...]
    read: Callable[[LexborNode], str]
    joined: tuple[TextFilter, ...] | None  # of a list that is joined to one text
    nest: str
    details: tuple[int, bool] | None  # the number of their rule, and whether fragments lead to pages of it

    @classmethod
    def of(cls, field: RecordField, rule: ExtractionRule, rendered: bool) -> "_FieldPlan":
        columns = () if rule.path else field.columns
        filters, joined = split_at_concatenation(field.filters)
        read = lines_of if field.reads_lines else text_of
        details = (field.details.number, rendered or field.details.is_rendered) if field.details else None
        return cls(columns, filters, read, joined, field.nest, details)


def _record(
    plans: Sequence[_FieldPlan], matches: Sequence[Sequence[LexborNode]], base: BaseAddress
) -> tuple[Record, list[DetailsLink]]:
    """One record, of what each field found in a block, and the links to its details."""
    record: Record = {}
    links: list[DetailsLink] = []
    for (columns, filters, read, joined, nest, details), nodes in zip(plans, matches, strict=True):
        for attr, name in columns:
            if attr == TEXT:
                texts = [read(node) for node in nodes]
                values = [apply_filters(text, filters) for text in texts] if filters else texts
            else:
                values = [_attribute(node, attr, filters, base) for node in nodes]
            if joined is not None and attr not in UNFILTERED:
                record[name] = concatenate(values, joined)
            else:
                record[name] = values[0] if len(values) == 1 else values or None
        if details is not None:
            details_links = _links(nodes, *details, base)
            record[nest] = [link.key.hex() for link in details_links]
            links += details_links
    return record, links


def _attribute(node: LexborNode, attr: str, filters: tuple[TextFilter, ...], base: BaseAddress) -> str | None:
    """The value of an attribute of an element, or its HTML; None where it has none."""
    if attr == HTML:
        return node.inner_html
    if attr == OUTER_HTML:
        return node.html
    attributes = node.attributes
    if attr not in attributes:  # within SVG, names of attributes have capitals
        attr = next((name for name in attributes if name.lower() == attr), "")
        if not attr:
            return None
    value = attributes[attr] or ""
    return base.absolute(value) if attr in ADDRESSES else apply_filters(value, filters)


def _links(nodes: Sequence[LexborNode], rule: int, rendered: bool, base: BaseAddress) -> list[DetailsLink]:
    """The pages that elements lead to: by their own address, or that of the first link in them."""
    links: dict[bytes, DetailsLink] = {}
    for node in nodes:
        anchor = node if "href" in node.attributes else node.css_first("a[href]")
        address = base.absolute(anchor.attributes["href"] or "") if anchor is not None else ""
        if url := fetchable_address(address, rendered=rendered):
            key = page_key(rule, url)
            links[key] = DetailsLink(key, rule, url)
    return list(links.values())
