"""From a page to its records and links: a pure function of the page and the rule.

First how addresses are read, as browsers read them; then the page and its records; then which elements of a page are
its repeating blocks, each of which gives a record.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode
from w3lib.url import safe_url_string

from extraction.domain.css_selectors import BLOCK
from extraction.domain.extraction_rule import ADDRESSES, NEXT, TEXT, ExtractionRule, Paginator, RecordField
from extraction.domain.text_filters import TextFilter, apply_filters

HTML = "html"  # the attribute that is the element's content with its tags
URL_MAX = 8_000  # characters
_PLAIN = re.compile(r"/(?!.*/\.)(?:[A-Za-z0-9_~%-][A-Za-z0-9_.~%/-]*(?<!\.)(?:\?[A-Za-z0-9_.~%/=&+-]+)?)?", re.ASCII)

Record = dict[str, Any]
Matches = Sequence[Sequence[LexborNode]]  # of each field, what its selector finds in the whole page


def absolute(base: str, reference: str) -> str:
    """What a link on a page leads to; as it stands, where that cannot be told."""
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return reference


class BaseAddress:
    """Where a page's links start from."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    def absolute(self, reference: str) -> str:
        """As `absolute`, in a tenth of its time where the path is absolute and plain, as most are."""
        if _PLAIN.fullmatch(reference):
            return self._origin + reference
        return absolute(self._url, reference)


def followable(address: str) -> str | None:
    """How it is asked for, without its fragment; None for what is no page of the web (`mailto:`, `javascript:`)."""
    if len(address) > URL_MAX or address[:4].lower() != "http":
        return None
    try:
        url = urldefrag(safe_url_string(address)).url
        parts = urlsplit(url)
        return url if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def page_key(rule: int, address: str, chain: bytes = b"") -> bytes:
    """16 bytes that stand for a page of a process.

    The page behind a link is one page, however many links lead to it; a page of a list is one in that `chain`, which
    is the key of the list's first page.
    """
    first = digest(b"%d\0%b" % (rule, address.encode()))
    return first if chain in (b"", first) else digest(b"%d\0%b%b" % (rule, chain, address.encode()))


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@dataclass(frozen=True)
class DetailsLink:
    """A page behind a record."""

    key: bytes
    rule: int
    url: str


@dataclass
class PageReading:
    """What a page gives: its records, the pages behind them, and the address of the next page of its list.

    In a record, the name under which details nest holds the keys of their pages, in hexadecimal. `shown` tells whether
    another page shows the same; where it is None, the records tell.
    """

    records: list[Record] = dataclasses.field(default_factory=list)
    links: list[DetailsLink] = dataclasses.field(default_factory=list)
    next: str | None = None
    shown: Any = None


def read_page(html: str | bytes, url: str, rule: ExtractionRule) -> PageReading:
    """Reads one page. `html` is a text, or bytes in UTF-8; `url` is where it came from, after redirects."""
    page = LexborHTMLParser(html)
    base = BaseAddress(_base_of(page, url))
    reading = PageReading()
    seen: set[str] = set()
    for record, links in _records(page, base, rule):
        if rule.path:
            _drop_seen(record, seen)
        if any(value not in (None, []) for value in record.values()):
            reading.records.append(record)
            reading.links += links
    reading.links = list({link.key: link for link in reading.links}.values())
    if rule.paginator and rule.paginator.type == NEXT:
        reading.next = _next_address(page, base, rule.paginator)
    return reading


def read_all(texts: Sequence[str], url: str, rule: ExtractionRule) -> PageReading:
    """Reads a page whose list went on in it, once for each text of it; the same records once again end it."""
    whole = read_page(texts[0], url, rule)
    before = whole.records
    for text in texts[1:]:
        part = read_page(text, url, rule)
        if part.records == before:
            break
        before = part.records
        whole.records = whole.records + part.records
        whole.links = list({link.key: link for link in whole.links + part.links}.values())
        whole.next = part.next
    return whole


def _drop_seen(record: Record, seen: set[str]) -> None:
    """On a path a page is followed once, however often this one links to it."""
    for nest, keys in record.items():
        record[nest] = [key for key in keys if key not in seen]
        seen.update(keys)


def _base_of(page: LexborHTMLParser, url: str) -> str:
    element = page.css_first("base[href]")
    return absolute(url, element.attributes.get("href") or "") if element else url


def _records(
    page: LexborHTMLParser, base: BaseAddress, rule: ExtractionRule
) -> Iterator[tuple[Record, list[DetailsLink]]]:
    """The record of each block, and the pages behind it."""
    matches = [page.css(field.selector) if field.selector != BLOCK else [] for field in rule.fields]
    blocks = blocks_of(page, rule.parent, matches)
    if len(blocks) == 1 and not rule.parent:
        matches_by_block: list[list[list[LexborNode]]] = [[nodes] for nodes in matches]
    else:
        places = {node.mem_id: place for place, node in enumerate(blocks)}
        matches_by_block = [by_block(nodes, places) for nodes in matches]
    are_blocks = [field.selector == BLOCK for field in rule.fields]
    plans = [_FieldPlan.of(field, rule) for field in rule.fields]
    for place, block in enumerate(blocks):
        nodes = [
            [block] if is_block else parts[place] for is_block, parts in zip(are_blocks, matches_by_block, strict=True)
        ]
        yield _record(plans, nodes, base)


class _FieldPlan(NamedTuple):
    """What is needed of a field for each record: attributes of a model take ten times as long to read."""

    columns: tuple[tuple[str, str], ...]
    filters: tuple[TextFilter, ...]
    nest: str
    details: int | None  # the number of their rule

    @classmethod
    def of(cls, field: RecordField, rule: ExtractionRule) -> "_FieldPlan":
        columns = () if rule.path else field.columns
        return cls(columns, field.filters, field.nest, field.details.number if field.details else None)


def _record(
    plans: Sequence[_FieldPlan], matches: Sequence[Sequence[LexborNode]], base: BaseAddress
) -> tuple[Record, list[DetailsLink]]:
    record: Record = {}
    links: list[DetailsLink] = []
    for (columns, filters, nest, details), nodes in zip(plans, matches, strict=True):
        for attr, name in columns:
            record[name] = _unlisted([_value(node, attr, filters, base) for node in nodes])
        if details is not None:
            behind = _links(nodes, details, base)
            record[nest] = [link.key.hex() for link in behind]
            links += behind
    return record, links


def _unlisted(values: list[str | None]) -> Any:
    """One value, or a list of several; None where there is none."""
    if len(values) == 1:
        return values[0]
    present = [value for value in values if value is not None]
    return present if len(present) > 1 else present[0] if present else None


def _value(node: LexborNode, attr: str, filters: tuple[TextFilter, ...], base: BaseAddress) -> str | None:
    if attr == TEXT:
        text = node.text()
        return apply_filters(text, filters) if filters else text
    if attr == HTML:
        return node.inner_html
    attributes = node.attributes
    if attr not in attributes:
        return None
    value = attributes[attr] or ""
    return base.absolute(value) if attr in ADDRESSES else apply_filters(value, filters)


def _links(nodes: Sequence[LexborNode], rule: int, base: BaseAddress) -> list[DetailsLink]:
    """The pages behind elements: where they lead themselves, or else the first link inside."""
    links: dict[bytes, DetailsLink] = {}
    for node in nodes:
        anchor = node if "href" in node.attributes else node.css_first("a[href]")
        if anchor is not None and (url := followable(base.absolute(anchor.attributes["href"] or ""))):
            key = page_key(rule, url)
            links[key] = DetailsLink(key, rule, url)
    return list(links.values())


def _next_address(page: LexborHTMLParser, base: BaseAddress, paginator: Paginator) -> str | None:
    node = page.css_first(paginator.selector)
    value = node.attributes.get(paginator.attr) if node else None
    return followable(base.absolute(value)) if value else None


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """The node itself and what is around it, from the inside out."""
    current: LexborNode | None = node
    while current is not None:
        yield current
        current = current.parent


def blocks_of(page: LexborHTMLParser, parent: str, found: Matches) -> list[LexborNode]:
    """The elements of which each gives one record, in the order of the page.

    Those of the selector `parent`; else the nearest common ancestors of all fields that found something, of the sort
    that repeats. Where none repeats it is one block.
    """
    if parent:
        return page.css(parent)
    matches = [nodes for nodes in found if nodes]
    if len(matches) == 1:
        return list(matches[0])
    return _repeating(matches) if matches else []


def _repeating(matches: Matches) -> list[LexborNode]:
    """Among the smallest elements that hold something of every field, those of the path that occurs most often; with
    them the elements of the same path in which some fields are missing."""
    common = _common_ancestors(matches)
    smallest = {node.mem_id: node for nodes in matches for match in nodes if (node := _nearest(match, common))}
    if len(smallest) == 1:
        return list(smallest.values())  # everything that was found is in it
    paths = {path_of(node) for node in smallest.values()}
    repeated = {path: _elements_with_path(matches, path) for path in paths}
    best = max(repeated, key=lambda path: (len(repeated[path]), len(path)))
    if len(repeated[best]) == 1:
        best = min(repeated, key=len)
    return in_order(repeated[best])


def _common_ancestors(matches: Matches) -> set[int]:
    around: list[set[int]] = []
    for nodes in matches:
        seen: set[int] = set()
        for node in nodes:
            current: LexborNode | None = node
            while current is not None and current.mem_id not in seen:
                seen.add(current.mem_id)
                current = current.parent
        around.append(seen)
    return set.intersection(*around)


def _nearest(node: LexborNode, wanted: set[int]) -> LexborNode | None:
    current: LexborNode | None = node
    while current is not None and current.mem_id not in wanted:
        current = current.parent
    return current


def path_of(node: LexborNode) -> tuple[str, ...]:
    """The tag names of a node and of the elements around it, from the inside out."""
    return tuple(element.tag or "" for element in ancestors(node))


def _elements_with_path(matches: Matches, path: tuple[str, ...]) -> list[LexborNode]:
    elements: dict[int, LexborNode] = {}
    others: set[int] = set()
    for nodes in matches:
        for match in nodes:
            chain = list(ancestors(match))
            if len(chain) < len(path):
                continue
            node = chain[-len(path)]
            if node.mem_id not in elements and node.mem_id not in others:
                if path_of(node) == path:
                    elements[node.mem_id] = node
                else:
                    others.add(node.mem_id)
    return list(elements.values())


def in_order(nodes: Iterable[LexborNode]) -> list[LexborNode]:
    """The nodes in the order of the page."""
    listed = list(nodes)
    if len(listed) < 2:
        return listed
    wanted = {node.mem_id: node for node in listed}
    root = list(ancestors(listed[0]))[-1]
    return [wanted[node.mem_id] for node in root.traverse() if node.mem_id in wanted]


def by_block(nodes: Iterable[LexborNode], places: Mapping[int, int]) -> list[list[LexborNode]]:
    """The nodes in each block, by the block's place; of nested blocks the innermost has a node."""
    parts: list[list[LexborNode]] = [[] for _ in places]
    for node in nodes:
        current: LexborNode | None = node
        while current is not None:
            place = places.get(current.mem_id)
            if place is not None:
                parts[place].append(node)
                break
            current = current.parent
    return parts
