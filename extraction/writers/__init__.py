"""Writes records as a result file of some format, piece by piece, so that memory does not grow with their number."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import orjson

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.result_formats import CSV, JSON, JSONL, XLSX, XML, CsvOptions
from extraction.domain.tables import TableLosses
from extraction.writers import markup, spreadsheet, table

Writer = Callable[[Iterable[Record], ExtractionRule, int, TableLosses], Iterator[bytes]]


def jsonl_of(records: Iterable[Record], rule: ExtractionRule, max_records: int, losses: TableLosses) -> Iterator[bytes]:
    """JSON Lines: one record a line."""
    return map(partial(orjson.dumps, option=orjson.OPT_APPEND_NEWLINE), records)


def json_of(records: Iterable[Record], rule: ExtractionRule, max_records: int, losses: TableLosses) -> Iterator[bytes]:
    """JSON: one array of records, each on a line of its own."""
    yield b"["
    separator = b"\n"
    for record in records:
        yield separator + orjson.dumps(record)
        separator = b",\n"
    yield b"\n]\n"


WRITERS: dict[str, Writer] = {
    XLSX: spreadsheet.xlsx_of,
    JSON: json_of,
    JSONL: jsonl_of,
    XML: markup.xml_of,
}
PIECE = 64 * 1024


def write_records(
    records: Iterable[Record],
    rule: ExtractionRule,
    format: str,
    *,
    max_records: int = 0,
    gzip: bool = False,
    losses: TableLosses | None = None,
    csv: CsvOptions | None = None,
) -> Iterator[bytes]:
    """Writes `max_records` at most; yields pieces of about 64 KiB. The same records give the same bytes.

    `losses` has what the format could not hold, once all is written.
    """
    writer = partial(table.csv_of, options=csv or CsvOptions()) if format == CSV else WRITERS[format]
    pieces = _join_pieces(writer(records, rule, max_records, losses or TableLosses()))
    return _compress(pieces) if gzip else pieces


def _join_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= PIECE:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(6, wbits=31)  # a gzip header without a time
    for piece in pieces:
        if compressed := compressor.compress(piece):
            yield compressed
    yield compressor.flush()
