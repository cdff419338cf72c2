"""What the selectors of a rule find in a page: its blocks, and the nodes of each field in each of them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from extraction.domain.extraction_rule import ExtractionRule, RecordField
from extraction.domain.html_source import HtmlSource, MirroredHtmlSource
from extraction.domain.page_blocks import blocks_of, nodes_of_blocks, places_of
from extraction.domain.page_sources import HTML, JSON, JSON_LD, XML, PageSource, source_kind
from extraction.domain.selectors import BLOCK

WHOLE = "$"  # the whole of a page of JSON


class FoundNodes(NamedTuple):
    """What the selectors of a rule found in a page: `matches` of each field in the whole page, the blocks, and
    `by_block`, of each field a list for each block."""

    matches: list[list[Any]]
    blocks: list[Any]
    by_block: list[list[list[Any]]]


def find_nodes(source: PageSource, rule: ExtractionRule) -> FoundNodes:
    """What the selectors of a rule find in a page."""
    matches = [[] if field.selector == BLOCK else _matches(source, field, rule) for field in rule.fields]
    blocks = _blocks(source, rule, matches)
    places = places_of(blocks, following=rule.goes_on)
    by_block = [
        _nodes_by_block(source, field, found, blocks, places, rule)
        for field, found in zip(rule.fields, matches, strict=True)
    ]
    return FoundNodes(matches, blocks, by_block)


def open_source(text: str | bytes, rule: ExtractionRule, media_type: str = "") -> PageSource:
    """The page as its rule says that it is read, or as its media type says. Raises `PageFailure`."""
    kind = source_kind(rule.kind, media_type)
    if kind == HTML:
        return MirroredHtmlSource(text) if rule.needs_lxml else HtmlSource(text)
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if kind == XML:
        from extraction.domain.xml_source import XmlSource

        return XmlSource(text)
    from extraction.domain import json_source

    if kind == JSON:
        return json_source.parse_answer(text)
    return json_source.find_linked_data(text) if kind == JSON_LD else json_source.find_data(text, rule.script)


def _matches(source: PageSource, field: RecordField, rule: ExtractionRule) -> list[Any]:
    """What a field's selector finds in the page; nothing where it starts from blocks that are known otherwise."""
    if rule.parent and not field.is_of_page and source.is_relative(field.selector):
        return []
    return source.select(field.selector)


def _blocks(source: PageSource, rule: ExtractionRule, matches: Sequence[list[Any]]) -> list[Any]:
    """The blocks of a page. Where each field is the page's, it is one block."""
    if rule.parent:
        return source.select(rule.parent)
    in_blocks = [found for field, found in zip(rule.fields, matches, strict=True) if not field.is_of_page]
    if blocks := blocks_of(in_blocks):
        return blocks
    if any(matches) and all(field.is_of_page for field in rule.fields):
        return [source.root]
    return source.select(WHOLE) if rule.reads_json and all(field.selector == BLOCK for field in rule.fields) else []


def _nodes_by_block(
    source: PageSource,
    field: RecordField,
    matches: list[Any],
    blocks: list[Any],
    places: Mapping[int, int],
    rule: ExtractionRule,
) -> list[list[Any]]:
    """What a field takes from each block."""
    if field.is_of_page:
        nodes_by_block = [matches] * len(blocks)
    elif field.selector == BLOCK:
        nodes_by_block = [[block] for block in blocks]
    elif rule.parent and source.is_relative(field.selector):
        nodes_by_block = [source.select_within(field.selector, block) for block in blocks]
    else:
        nodes_by_block = nodes_of_blocks(matches, places, len(blocks))
    return [nodes[:1] for nodes in nodes_by_block] if field.first else nodes_by_block
