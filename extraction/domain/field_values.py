"""Reads what a field takes from the nodes that its selector found: texts, attributes, or values of its type. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from selectolax.lexbor import LexborHTMLParser

from extraction.domain.extraction_rule import ExtractionRule, RecordField
from extraction.domain.page_addresses import BaseAddress
from extraction.domain.page_sources import PageSource, ValueNode
from extraction.domain.record_field import (
    ADDRESS,
    ADDRESSES,
    AS_MARKDOWN,
    BOOLEAN,
    CONVERTED,
    DATE,
    INNER_HTML,
    INTEGER,
    NUMBER,
    OUTER_HTML,
    TEXT,
    URL,
)
from extraction.domain.text_filters import TextFilter, apply_filters, concatenate, split_at_concatenation
from extraction.domain.typed_values import INTEGER_MAX, parse_boolean, parse_date, parse_integer, parse_number

MADE = frozenset({INNER_HTML, OUTER_HTML, ADDRESS, AS_MARKDOWN})  # of an element, which has no such attributes
UNFILTERED = ADDRESSES | MADE
# The attributes in which elements say for machines what their text says for people (HTML standard).
MACHINE_ATTRS = {"time": "datetime", "data": "value", "meter": "value", "progress": "value", "meta": "content"}

Take = Callable[[Any], Any]  # the value of a node
Convert = Callable[[Any], Any]


class ColumnPlan(NamedTuple):
    """A name in a record. `take` gives the value of one node, and `combine` one of those of all nodes, as a list."""

    name: str
    take: Take
    combine: Callable[[list[Any]], Any] | None


class FieldPlan(NamedTuple):
    """A field as a tuple, for speed: attributes of a model take ten times as long to read."""

    columns: tuple[ColumnPlan, ...]
    nest: str
    details: tuple[int, bool] | None  # the number of their rule, and whether fragments lead to pages of it
    file: str  # the name of the value, where it is a file to download

    @classmethod
    def of(
        cls, field: RecordField, rule: ExtractionRule, source: PageSource, base: BaseAddress, *, rendered: bool
    ) -> "FieldPlan":
        columns = () if rule.path else tuple(_column_plan(*column, field, source, base) for column in field.columns)
        details = (field.details.number, rendered or field.details.is_rendered) if field.details else None
        return cls(columns, field.nest, details, field.name if field.download and columns else "")


def _column_plan(attr: str, name: str, field: RecordField, source: PageSource, base: BaseAddress) -> ColumnPlan:
    filters, joined = split_at_concatenation(field.filters)
    is_converted = field.type in CONVERTED and not field.download
    if attr == TEXT:
        take: Take = source.lines if field.reads_lines else source.text if filters else source.value
        if is_converted and field.type != URL:
            take = partial(_machine_text, take)
        if filters:
            take = partial(_filtered, take, filters)
    else:
        take = partial(_attribute, attr=attr, filters=filters, source=source, base=base)
    if is_converted and attr not in UNFILTERED:
        take = partial(_converted, take, _conversion(field.type, source, base))
    combine: Callable[[list[Any]], Any] | None = None
    if joined is not None and attr not in UNFILTERED:
        combine = partial(concatenate, filters=joined)
    elif field.join is not None:
        combine = partial(_join, separator=field.join)
    return ColumnPlan(name, take, combine)


def add_values(record: dict[str, Any], columns: Sequence[ColumnPlan], nodes: Sequence[Any]) -> None:
    """Adds the values of a field's columns to a record; of several nodes, lists that pair."""
    for name, take, combine in columns:
        if combine is not None:
            record[name] = combine([take(node) for node in nodes])
        else:
            record[name] = take(nodes[0]) if len(nodes) == 1 else [take(node) for node in nodes] or None


def _filtered(take: Take, filters: tuple[TextFilter, ...], node: Any) -> str | None:
    return apply_filters(take(node), filters)


def _converted(take: Take, convert: Convert, node: Any) -> Any:
    return convert(take(node))


def _join(values: Sequence[Any], separator: str) -> Any:
    """A list as one text; a value alone stays what it is."""
    present = [value for value in values if value is not None]
    if len(present) < 2:
        return present[0] if present else None
    return separator.join(str(value).lower() if isinstance(value, bool) else str(value) for value in present)


def _machine_text(read: Callable[[Any], Any], node: Any) -> Any:
    """The value that an element has for machines, or else its text."""
    name = MACHINE_ATTRS.get(node.tag)
    return (node.attributes.get(name) if name else None) or read(node)


def _conversion(type: str, source: PageSource, base: BaseAddress) -> Convert:
    """Makes values of a type: of texts, and of values that JSON has."""
    parsers: dict[str, Callable[[str], Any]] = {
        NUMBER: parse_number,
        INTEGER: parse_integer,
        BOOLEAN: parse_boolean,
        DATE: partial(parse_date, language=source.language),
        URL: lambda text: base.absolute(text) if text.strip() else None,
    }
    parse = parsers[type]

    def convert(value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if value is None or isinstance(value, bool):
            return value if type == BOOLEAN else None
        if type == NUMBER or (type == INTEGER and float(value).is_integer() and abs(value) <= INTEGER_MAX):
            return value if type == NUMBER else int(value)
        return parse(f"{value:g}" if isinstance(value, float) else str(value)) if type in {BOOLEAN, DATE} else None

    return convert


def _attribute(
    node: Any, attr: str, filters: tuple[TextFilter, ...], source: PageSource, base: BaseAddress
) -> str | None:
    """The value of an attribute of an element, or its HTML; None where it has none."""
    if attr in MADE:
        if attr == ADDRESS:
            return _address(node, source, base)
        if attr == AS_MARKDOWN:
            markup = node.value if isinstance(node, ValueNode) else source.markup(node)
            return markdown_of(markup, base) if markup else None
        html: str | None = node.value if isinstance(node, ValueNode) else source.html(node, outer=attr != INNER_HTML)
        return html
    value = source.attribute(node, attr)
    if value is None:
        return None
    return base.absolute(value) if attr in ADDRESSES else apply_filters(value, filters)


def _address(node: Any, source: PageSource, base: BaseAddress) -> str | None:
    """The address that a node leads to or shows, or that it has as its text."""
    for written in (source.link(node), source.attribute(node, "src"), source.text(node)):
        if written and written.strip():
            return base.absolute(written.strip())
    return None


def markdown_of(html: str, base: BaseAddress) -> str | None:
    """HTML as Markdown, with absolute addresses; None where nothing is left of it."""
    from html_to_markdown import convert

    page = LexborHTMLParser(html)
    for node in page.css("[href], [src]"):
        for name in ADDRESSES & node.attributes.keys():
            node.attrs[name] = base.absolute(node.attributes[name] or "")
    return (convert(page.html or "").content or "").strip() or None
