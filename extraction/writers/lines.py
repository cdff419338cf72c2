"""JSON, and JSON Lines."""

from collections.abc import Iterable, Iterator

import orjson

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record


def jsonl_of(records: Iterable[Record], rule: ExtractionRule, most: int) -> Iterator[bytes]:
    """One record a line."""
    for record in records:
        yield orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def json_of(records: Iterable[Record], rule: ExtractionRule, most: int) -> Iterator[bytes]:
    """One array of records, each on a line of its own."""
    yield b"["
    before = b"\n"
    for record in records:
        yield before + orjson.dumps(record)
        before = b",\n"
    yield b"\n]\n"
