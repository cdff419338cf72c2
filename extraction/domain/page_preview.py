"""What a payload finds in its first page: records, counts for each field, and warnings. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from extraction.domain.extraction_rule import ExtractionRule, RecordField
from extraction.domain.findings import (
    LEFT_OUT,
    NOT_USED,
    NOTHING_FOUND,
    ExtractionWarning,
    find_warnings,
    has_value,
)
from extraction.domain.found_nodes import FoundNodes, find_nodes, open_source
from extraction.domain.page_addresses import page_key
from extraction.domain.page_reader import PageReading, Record, read_nodes
from extraction.domain.page_sources import PageContent, PageSource
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.paginator import NEXT
from extraction.domain.result_formats import CSV as CSV_FORMAT
from extraction.domain.result_formats import XLSX, XML
from extraction.domain.search_payload import SearchPayload
from extraction.domain.tables import TableLosses, cell_of

RECORDS_MAX = 20
EXAMPLES_MAX = 3  # of a field
EXAMPLE_CHARACTERS = 200
SAMPLE_BYTES = 4 * 1024 * 1024  # of records: the call answers with all of them at once
ONE_BLOCK, NEXT_LEADS_NOWHERE, PAGE_NOT_TAKEN = "one-block", "next-leads-nowhere", "page-not-taken"
THE_PAGE = "the page"
_TABLES = frozenset({CSV_FORMAT, XLSX, XML})

Preview = dict[str, Any]


def preview_page(content: PageContent, payload: PagesPayload | SearchPayload) -> tuple[Preview, int]:
    """Previews the first page of a payload; also gives how many records it has. Raises `PageFailure`.

    The preview is `{records, count, fields, next, warnings, rendered, url}`.
    """
    rule = payload.rule
    rendered = content.rendered or rule.is_rendered
    if isinstance(payload, SearchPayload):
        chain = page_key(0, payload.first_addresses()[0])
        reading = payload.read(content, rule=rule, chain=chain, ordinal=0)
        counts = [sum(has_value(record[field.name]) for record in reading.records) for field in rule.fields]
        warnings: list[ExtractionWarning] = []
    else:
        source = open_source(content.texts[-1], rule, content.media_type)
        found = find_nodes(source, rule)
        reading = read_nodes(found, source, content.url, rule, fetched_at=content.fetched_at, rendered=content.rendered)
        counts = [sum(map(len, by_block)) for by_block in found.by_block]
        warnings = list(_warnings(payload, content, reading, found, source))
    onward = _next_address(reading, rule, content.url)
    addresses = {link.key.hex(): link.url for link in reading.links}
    records = [_with_addresses(record, rule, addresses) for record in reading.records]
    warnings += _warnings_of_file(records, rule, payload.format)
    preview = {
        "records": records[:RECORDS_MAX],
        "count": len(records),
        "fields": [
            {"name": field.name, "matched": count, **_values_of(field, records, rule)}
            for field, count in zip(rule.fields, counts, strict=True)
        ],
        "next": onward,
        "warnings": [
            {"code": code, "pointer": place, "detail": detail} for code, place, detail in dict.fromkeys(warnings)
        ],
        "rendered": rendered,
        "url": content.url,
    }
    return preview, len(records)


def dump_sample(sample: dict[str, Any], lists: Sequence[list[Record]]) -> bytes:
    """A preview, or suggestions, as JSON. Where that is too much, it has fewer records: `lists` are those in it."""
    while len(data := orjson.dumps(sample)) > SAMPLE_BYTES and any(lists):
        for records in lists:
            del records[len(records) // 2 :]
    return data


def _with_addresses(record: Record, rule: ExtractionRule, addresses: Mapping[str, str]) -> Record:
    """A record with the addresses of the pages behind it in place of their records, which are not asked for."""
    return {name: [addresses[key] for key in value] if name in rule.nests else value for name, value in record.items()}


def _values_of(field: RecordField, records: Sequence[Record], rule: ExtractionRule) -> dict[str, Any]:
    """How many records have no value of a field, and its first different values."""
    names = [] if rule.path else [name for _, name in field.columns]
    names += [field.nest] if field.details and rule.path else []
    nulls = 0
    examples: dict[str, Any] = {}
    for record in records:
        values = {name: record[name] for name in names}
        if not any(map(has_value, values.values())):
            nulls += 1
        elif len(examples) < EXAMPLES_MAX:
            value = _shortened(values if len(values) > 1 else next(iter(values.values())))
            examples.setdefault(repr(value), value)
    return {"nulls": nulls, "examples": list(examples.values())}


def _shortened(value: Any) -> Any:
    """A value of a record, as long as an example needs."""
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value[:EXAMPLES_MAX]]
    is_long = isinstance(value, str) and len(value) > EXAMPLE_CHARACTERS
    return f"{value[:EXAMPLE_CHARACTERS]}..." if is_long else value


def _next_address(reading: PageReading, rule: ExtractionRule, url: str) -> str | None:
    """The address of the list's next page; None where there is none, or where it is the page itself."""
    here = page_key(rule.number, url)
    return next((address for address in reading.next if page_key(rule.number, address) != here), None)


def _warnings(
    payload: PagesPayload, content: PageContent, reading: PageReading, found: FoundNodes, source: PageSource
) -> Iterator[ExtractionWarning]:
    rule = payload.rule
    for name, text in payload.request.warnings():
        yield ExtractionWarning(NOT_USED, f"/request/{name}", text)
    if reading.findings:
        yield from find_warnings(rule, {str(rule.number): reading.findings.encode()}, where=THE_PAGE)
    if reading.left_out:
        detail = f"{reading.left_out} records are left out: they lack a required value."
        yield ExtractionWarning(LEFT_OUT, "/fields", detail)
    yield from _warnings_of_blocks(rule, found)
    yield from _warnings_of_paginator(rule, content, reading, source)
    if payload.follow:
        if not payload.follow.fits(content.url):
            detail = "The page's own address does not fit, so a process takes no record of this page."
            yield ExtractionWarning(PAGE_NOT_TAKEN, "/follow", detail)
        if not any(link.rule == rule.number for link in reading.links):
            yield ExtractionWarning(NOTHING_FOUND, "/follow/match", "No link of the page is followed.")


def _warnings_of_blocks(rule: ExtractionRule, found: FoundNodes) -> Iterator[ExtractionWarning]:
    """Blocks that do not repeat, although the page seems to have a list."""
    if len(found.blocks) != 1:
        return
    if rule.parent:
        yield ExtractionWarning(ONE_BLOCK, "/commonParent", "The blocks are one element: it gives one record.")
    elif any(len(by_block[0]) > 1 for by_block in found.by_block):
        detail = "The page is one record with several values in it: no block that repeats has all fields."
        yield ExtractionWarning(ONE_BLOCK, "/commonParent", detail)


def _warnings_of_paginator(
    rule: ExtractionRule, content: PageContent, reading: PageReading, source: PageSource
) -> Iterator[ExtractionWarning]:
    """A next page that leads nowhere. In a rendered page an element that is no link is clicked, which is not tried."""
    paginator = rule.paginator
    if paginator is None or _next_address(reading, rule, content.url):
        return
    if not paginator.selector or not (nodes := source.select(paginator.selector)):
        if paginator.selector and paginator.type != NEXT:  # the others are told of by `find_warnings`
            yield ExtractionWarning(NOTHING_FOUND, "/paginator", f"The selector finds nothing on {THE_PAGE}.")
        return
    is_clicked = rule.is_rendered and (
        paginator.type != NEXT or not all(source.attribute(node, paginator.attr) for node in nodes)
    )
    if not is_clicked:
        detail = "What the selector finds leads to no other page."
        yield ExtractionWarning(NEXT_LEADS_NOWHERE, "/paginator", detail)


def _warnings_of_file(records: Sequence[Record], rule: ExtractionRule, format: str) -> Iterator[ExtractionWarning]:
    """What the result file could not hold of these records."""
    if format not in _TABLES:
        return
    losses = TableLosses()
    fields = [] if rule.path else [field for field in rule.fields if not field.download]
    names = [name for field in fields for _, name in field.columns]
    for record in records:
        for name in names:
            cell = cell_of(record[name], losses)
            if format == XLSX:
                losses.cut_cell(name, cell)
    yield from losses.warnings()
