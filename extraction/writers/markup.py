"""Writes XML: `<records><record>...`, one element a value."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.tables import TableLosses, text_of_cell

_NAME = re.compile(r"(?!xml)[A-Za-z_][A-Za-z0-9_.-]*", re.IGNORECASE)


def xml_of(records: Iterable[Record], rule: ExtractionRule, max_records: int, losses: TableLosses) -> Iterator[bytes]:
    """XML: a value whose name cannot be that of an element is an element `field`, with the attribute `name`."""
    yield b'<?xml version="1.0" encoding="UTF-8"?>\n<records>\n'
    for record in records:
        yield f"{_record(record, losses)}\n".encode()
    yield b"</records>\n"


def _record(record: Record, losses: TableLosses) -> str:
    return f"<record>{''.join(_elements(record, losses))}</record>"


def _elements(record: Record, losses: TableLosses) -> Iterator[str]:
    for name, value in record.items():
        start, end = _tags(name, losses)
        for item in value if isinstance(value, list) else [value]:
            yield f"{start}{_content(item, losses)}{end}"


def _tags(name: str, losses: TableLosses) -> tuple[str, str]:
    if _NAME.fullmatch(name):
        return f"<{name}>", f"</{name}>"
    return f"<field name={quoteattr(losses.clean(name))}>", "</field>"


def _content(value: Any, losses: TableLosses) -> str:
    if value is None:
        return ""
    return _record(value, losses) if isinstance(value, dict) else escape(losses.clean(text_of_cell(value)))
