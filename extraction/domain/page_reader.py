"""Reads a page: its records, the pages behind them, and the next page of its list, as a rule says. Pure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from extraction.domain.downloads import DOWNLOAD_RULE, URL, file_at
from extraction.domain.extraction_rule import ADDRESS_COLUMN, TIME_COLUMN, ExtractionRule
from extraction.domain.field_values import FieldPlan, add_values
from extraction.domain.findings import Findings, found_columns, has_value
from extraction.domain.found_nodes import FoundNodes, find_nodes, open_source
from extraction.domain.next_pages import next_addresses
from extraction.domain.page_addresses import BaseAddress, fetchable_address, page_key
from extraction.domain.page_sources import PageContent, PageSource
from extraction.domain.paginator import INFINITE, NEXT

Record = dict[str, Any]


@dataclass(frozen=True)
class DetailsLink:
    """A link to a page of details, to one of the same sort, or to a file, with its key and the number of its rule."""

    key: bytes
    rule: int
    url: str


@dataclass
class PageReading:
    """What was read of a page: its records, the pages behind them, and the addresses that may be the next page of its
    list, the likeliest first.

    In a record, the name under which details nest holds the keys of their pages, in hexadecimal. `shown` is compared
    with the pages before, since a list may end by repeating them; where it is None, the records are compared.
    `product` is the file that is made of the page, where its payload makes one of it.
    """

    records: list[Record] = dataclasses.field(default_factory=list)
    links: list[DetailsLink] = dataclasses.field(default_factory=list)
    next: list[str] = dataclasses.field(default_factory=list)
    shown: list[Record] | None = None
    findings: Findings | None = None
    left_out: int = 0  # records without a required value
    product: bytes = b""


def read_page(
    text: str | bytes,
    url: str,
    rule: ExtractionRule,
    *,
    media_type: str = "",
    fetched_at: str = "",
    rendered: bool = False,
) -> PageReading:
    """Reads one page. `text` is a text, or bytes in UTF-8; see `PageContent` for the others.

    A page that was `rendered` although its rule does not say so may lead to others by fragments, as its scripts do.
    Raises `PageFailure` for what is not what the rule says.
    """
    source = open_source(text, rule, media_type)
    return read_nodes(find_nodes(source, rule), source, url, rule, fetched_at=fetched_at, rendered=rendered)


def read_nodes(
    found: FoundNodes,
    source: PageSource,
    url: str,
    rule: ExtractionRule,
    *,
    fetched_at: str = "",
    rendered: bool = False,
) -> PageReading:
    """Reads what the selectors of a rule found in a page, see `read_page`."""
    base = BaseAddress(source.base_address(url))
    reading = PageReading()
    matches, blocks, nodes_by_field = found
    plans = [FieldPlan.of(field, rule, source, base, rendered=rendered) for field in rule.fields]
    completion = RecordCompletion(rule, url, fetched_at)
    seen: set[str] = set()
    for nodes_of_block in zip(*nodes_by_field, strict=True):
        record, links = _record(plans, nodes_of_block, source, base)
        if rule.path:
            _drop_seen(record, seen)
        if not completion.has_own_value(record):
            continue
        if completion.complete(record):
            reading.records.append(record)
            reading.links += links
        else:
            reading.left_out += 1
    if rule.followed:
        rendered_links = rendered or rule.is_rendered
        followed = rule.followed.addresses(source.hrefs(), base, url, rendered=rendered_links)
        reading.links += [DetailsLink(page_key(rule.number, address), rule.number, address) for address in followed]
    reading.links = list({link.key: link for link in reading.links}.values())
    bits = [bool(nodes) or any(by_block) for nodes, by_block in zip(matches, nodes_by_field, strict=True)]
    if rule.parent:
        bits.append(bool(blocks))
    if rule.paginator and rule.paginator.type == NEXT:
        pager = source.select(rule.paginator.selector)
        bits.append(bool(pager))
        reading.next = next_addresses(
            pager, rule.paginator.attr, source, base, url, rendered=rendered or rule.is_rendered
        )
    selectors = sum(1 << place for place, one in enumerate(bits) if one)
    reading.findings = Findings(selectors, found_columns(reading.records, rule))
    return reading


def read_all(content: PageContent, rule: ExtractionRule) -> PageReading:
    """Reads a page whose list goes on in the page itself, once for each of its texts, until records repeat.

    Where it is scrolled, texts have what was in sight: records of the one before may be there once more.
    """
    first, *others = content.texts
    read = partial(
        read_page,
        url=content.url,
        rule=rule,
        media_type=content.media_type,
        fetched_at=content.fetched_at,
        rendered=content.rendered,
    )
    reading = read(first)
    before = reading.records
    for text in others:
        part = read(text)
        if part.records == before:
            break
        fresh = part.records
        if rule.paginator and rule.paginator.type == INFINITE:
            fresh = _unseen(before, part.records)
        before = part.records
        reading.records = reading.records + fresh
        reading.left_out += part.left_out
        reading.links = list({link.key: link for link in reading.links + part.links}.values())
        reading.next = part.next
        if reading.findings and part.findings:
            reading.findings |= part.findings
    return reading


def _unseen(before: Sequence[Record], records: Sequence[Record]) -> list[Record]:
    """The records that come after those before: what both have at the seam is the same.

    Elements that are used again may stand in another order than they are seen; then what is there once more is.
    """
    for size in range(min(len(before), len(records)), 0, -1):
        if list(before[-size:]) == list(records[:size]):
            return list(records[size:])
    left = list(before)
    fresh = []
    for record in records:
        if record in left:
            left.remove(record)
        else:
            fresh.append(record)
    return fresh


class RecordCompletion:
    """What a record gets beyond what its block holds: defaults, and where it is from; and what it may not lack."""

    def __init__(self, rule: ExtractionRule, url: str, fetched_at: str) -> None:
        fields = [] if rule.path else rule.fields
        self._of_page = {name for field in rule.fields if field.is_of_page for _, name in field.columns}
        if len(self._of_page) == sum(len(field.columns) for field in rule.fields):
            self._of_page = set()
        self._defaults = [
            (name, field.default) for field in fields if field.default is not None for _, name in field.columns
        ]
        self._required = [field.columns for field in fields if field.required]
        self._meta = {ADDRESS_COLUMN: url, TIME_COLUMN: fetched_at} if rule.meta_columns else {}
        self._is_needed = bool(self._defaults or self._required or self._meta)

    def has_own_value(self, record: Record) -> bool:
        """Whether a record has a value of its own block."""
        for name, value in record.items():  # as a rule the first one says it
            if value is not None and name not in self._of_page and has_value(value):
                return True
        return False

    def complete(self, record: Record) -> bool:
        """Completes a record; False where a required value is missing."""
        if not self._is_needed:
            return True
        for name, default in self._defaults:
            if not has_value(record[name]):
                record[name] = default
        record.update(self._meta)
        return all(any(has_value(record[name]) for _, name in columns) for columns in self._required)


def _drop_seen(record: Record, seen: set[str]) -> None:
    """Drops links that were seen before: on a path, a page is followed once, however often it is linked to."""
    for nest, keys in record.items():
        record[nest] = [key for key in keys if key not in seen]
        seen.update(keys)


def _record(
    plans: Sequence[FieldPlan], nodes_by_field: Sequence[Sequence[Any]], source: PageSource, base: BaseAddress
) -> tuple[Record, list[DetailsLink]]:
    """One record, of what each field found in a block, and the links to its details."""
    record: Record = {}
    links: list[DetailsLink] = []
    for plan, nodes in zip(plans, nodes_by_field, strict=True):
        add_values(record, plan.columns, nodes)
        if plan.file:
            links += _file_links(record, plan.file)
        if plan.details is not None:
            details_links = _details_links(nodes, *plan.details, source, base)
            record[plan.nest] = [link.key.hex() for link in details_links]
            links += details_links
    return record, links


def _file_links(record: Record, name: str) -> list[DetailsLink]:
    """Puts files in place of their addresses in a record; the links to them."""
    value = record[name]
    files = [file_at(address) for address in (value if isinstance(value, list) else [value])]
    record[name] = files if isinstance(value, list) else files[0]
    addresses = [file[URL] for file in files if file]
    return [DetailsLink(page_key(DOWNLOAD_RULE, url), DOWNLOAD_RULE, url) for url in addresses]


def _details_links(
    nodes: Sequence[Any], rule: int, rendered: bool, source: PageSource, base: BaseAddress
) -> list[DetailsLink]:
    """The pages that nodes lead to."""
    links: dict[bytes, DetailsLink] = {}
    for node in nodes:
        written = source.link(node)
        if url := fetchable_address(base.absolute(written), rendered=rendered) if written else None:
            key = page_key(rule, url)
            links[key] = DetailsLink(key, rule, url)
    return list(links.values())
