"""Results in each format: records in, pieces of a file out, one after the other, whatever their number."""

import zlib
from collections.abc import Callable, Iterable, Iterator

import orjson

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.result_formats import CSV, JSON, JSONL, XLSX, XML
from extraction.writers import markup, spreadsheet, table

Writer = Callable[[Iterable[Record], ExtractionRule, int], Iterator[bytes]]


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


WRITERS: dict[str, Writer] = {
    CSV: table.csv_of,
    XLSX: spreadsheet.xlsx_of,
    JSON: json_of,
    JSONL: jsonl_of,
    XML: markup.xml_of,
}
PIECE = 64 * 1024


def written(
    records: Iterable[Record], rule: ExtractionRule, format: str, *, most: int = 0, gzip: bool = False
) -> Iterator[bytes]:
    """Pieces of about 64 KiB, of `most` records at most. The same records give the same bytes."""
    pieces = _gathered(WRITERS[format](records, rule, most))
    return _packed(pieces) if gzip else pieces


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= PIECE:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, wbits=31)  # a gzip header without a time
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
