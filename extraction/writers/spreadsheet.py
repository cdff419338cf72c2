"""Writes XLSX, row by row."""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any

from rustpy_xlsxwriter import write_worksheets

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.tables import TableLosses, columns_of, has_types, rows_of, typed_rows_of
from taskhub.table_cells import CELL_MAX, ROWS_MAX

_PROPERTIES = "docProps/core.xml"
_NO_PROPERTIES = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<cp:coreProperties xmlns:cp='
    '"http://schemas.openxmlformats.org/package/2006/metadata/core-properties"></cp:coreProperties>'
)
_PIECE = 64 * 1024


def xlsx_of(records: Iterable[Record], rule: ExtractionRule, max_records: int, losses: TableLosses) -> Iterator[bytes]:
    """XLSX: a row of names and one row a record; a cell is a text, unless its field has another type.

    Records beyond `ROWS_MAX` go on in further sheets, which is why `max_records` must be known.
    """
    rows = _rows(records, rule, losses)
    with tempfile.TemporaryDirectory(prefix="taskhub") as folder:
        path = f"{folder}/whole.xlsx"
        count = max(1, -(-max_records // ROWS_MAX))
        sheets: list[Any] = [(f"records {number}", islice(rows, ROWS_MAX)) for number in range(1, count + 1)]
        write_worksheets(sheets, path)
        losses.rows_left_out = sum(1 for _ in rows)  # details that repeat may be more than there were
        with open(path, "rb") as file:
            yield from without_time(file)


def _rows(records: Iterable[Record], rule: ExtractionRule, losses: TableLosses) -> Iterator[Mapping[str, Any]]:
    typed = has_types(rule)
    for row in (typed_rows_of if typed else rows_of)(records, rule, losses):
        losses.rows += 1
        texts = [cell for cell in row.values() if isinstance(cell, str)] if typed else row.values()
        if len(max(texts, key=len, default="")) > CELL_MAX // 2:
            row = {name: losses.cut_cell(name, cell) if isinstance(cell, str) else cell for name, cell in row.items()}
        yield row
    if not losses.rows:
        yield dict.fromkeys(columns_of(rule))  # for its names


def without_time(file: IO[bytes]) -> Iterator[bytes]:
    """Copies an archive, without unpacking it, and without the time when it was made: same rows, same bytes."""
    drain = _Drain()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(drain, "w") as new:
        ends = [*(info.header_offset for info in old.infolist()[1:]), old.start_dir]
        for info, end in zip(old.infolist(), ends, strict=True):
            if info.filename == _PROPERTIES:
                new.writestr(zipfile.ZipInfo(_PROPERTIES), _NO_PROPERTIES)
            else:
                yield from _copy(file, info, end, new, drain)
            yield drain.take()
    yield drain.take()


def _copy(file: IO[bytes], info: zipfile.ZipInfo, end: int, new: zipfile.ZipFile, drain: "_Drain") -> Iterator[bytes]:
    file.seek(info.header_offset)
    info.header_offset, left = drain.tell(), end - info.header_offset
    while left:
        piece = file.read(min(_PIECE, left))
        left -= len(piece)
        drain.write(piece)
        yield drain.take()
    new.filelist.append(info)
    new.NameToInfo[info.filename] = info
    new.start_dir = drain.tell()


class _Drain(io.RawIOBase):
    """A file in which bytes are written, and from which they are taken at once; it is not read."""

    def __init__(self) -> None:
        self._place, self._buffer = 0, bytearray()

    def write(self, data: "bytes") -> int:  # type: ignore[override]
        self._buffer += data
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def take(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data
