"""Lines of JSON, as an export gives them, in other formats: with some fields only, a JSON array, CSV, XLSX.

Each takes pieces of bytes, wherever they are cut, and gives pieces; none collects the documents.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import orjson
from rustpy_xlsxwriter import write_worksheets

from crawlers.domain.field_paths import (
    cell_value,
    check_columns,
    columns_of_documents,
    find_field,
    project_line,
    read_line,
)
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Conflict, not_stored
from taskhub.table_cells import COLUMNS_MAX, ROWS_MAX, cut_cell, escape_formula, replace_controls

PIECE = 64 * 1024
LOOKED_AT = 1_000  # documents whose fields are the columns, where nothing else says which
WHOLE_MAX = 10**15  # whole numbers that a spreadsheet, which has doubles of 15 digits, shows as they are

_spreadsheets = FairSemaphore(2, "Too many spreadsheets are being written.")


def project(pieces: Iterable[bytes], fields: Sequence[str]) -> Iterator[bytes]:
    """The same lines, of each document those fields."""
    return join_lines(project_line(line, fields) for line in split_lines(pieces))


def array_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One JSON array, a document a line."""
    before = b"[\n"
    for piece in filter(None, pieces):
        # The line break at the end of a piece may be the last one: then no comma belongs there.
        yield before + piece.removesuffix(b"\n").replace(b"\n", b",\n")
        before = b",\n" if piece.endswith(b"\n") else b""
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def csv_of(pieces: Iterable[bytes], columns: Sequence[str]) -> Iterator[bytes]:
    """CSV (RFC 4180) in UTF-8: a row of names, a row a document. Without `columns` they are the first documents'."""
    documents, columns = _with_columns(pieces, columns)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([escape_formula(column) for column in columns])
    for document in documents:
        writer.writerow([_csv_cell(find_field(document, column)) for column in columns])
        if buffer.tell() > PIECE:
            yield _taken(buffer)
    yield _taken(buffer)


def _csv_cell(value: Any) -> str:
    shown = cell_value(value)
    if isinstance(shown, str):
        return escape_formula(shown)
    return "" if shown is None else orjson.dumps(shown).decode()


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def xlsx_of(pieces: Iterable[bytes], columns: Sequence[str], *, owner_id: UUID, count: int) -> Iterator[bytes]:
    """XLSX: a row of names, a row a document. It is written whole before its first piece comes.

    Documents beyond `ROWS_MAX` go on in further sheets, as many as `count` documents need. Raises `Conflict` if there
    are more by now, and `Unavailable` where too many are written at once.
    """
    with TemporaryDirectory(prefix="taskhub") as folder:
        path = f"{folder}/documents.xlsx"
        with _spreadsheets.acquire(owner_id):
            _write_sheets(path, *_with_columns(pieces, columns), max(1, -(-count // ROWS_MAX)))
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece


def _write_sheets(path: str, documents: Iterator[dict[str, Any]], columns: Sequence[str], count: int) -> None:
    rows = ({column: _xlsx_cell(find_field(document, column)) for column in columns} for document in documents)
    first = next(rows, dict.fromkeys(columns))  # without a row there would be no names
    rows_of_sheets = [chain([first], islice(rows, ROWS_MAX - 1)), *(islice(rows, ROWS_MAX) for _ in range(count - 1))]
    sheets: list[Any] = [(f"documents {number}", some) for number, some in enumerate(rows_of_sheets, 1)]
    try:
        write_worksheets(sheets, path)
    except OSError as error:
        raise not_stored(error) from None
    if next(rows, None) is not None:
        raise Conflict("More documents came meanwhile than the sheets have rows; ask again.")


def _xlsx_cell(value: Any) -> str | float | bool | None:
    shown = cell_value(value)
    if isinstance(shown, str):
        return cut_cell(replace_controls(shown)[0])
    return str(shown) if isinstance(shown, int) and abs(shown) >= WHOLE_MAX else shown


def _with_columns(pieces: Iterable[bytes], columns: Sequence[str]) -> tuple[Iterator[dict[str, Any]], Sequence[str]]:
    documents: Iterator[dict[str, Any]] = map(read_line, split_lines(pieces))
    if not columns:
        first = list(islice(documents, LOOKED_AT))
        documents, columns = chain(first, documents), columns_of_documents(first)
    check_columns(columns, COLUMNS_MAX)
    return documents, columns


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in pieces, without their ends."""
    rest: list[bytes] = []  # of a line that goes on in the next piece
    for piece in pieces:
        head, *lines = piece.split(b"\n")
        rest.append(head)
        if lines:
            yield b"".join(rest)
            yield from lines[:-1]
            rest = [lines[-1]]
    if last := b"".join(rest):
        yield last


def join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of about `PIECE` bytes."""
    joined: list[bytes] = []
    size = 0
    for line in lines:
        joined.append(line)
        size += len(line)
        if size > PIECE:
            yield b"".join(joined)
            joined.clear()
            size = 0
    if joined:
        yield b"".join(joined)
