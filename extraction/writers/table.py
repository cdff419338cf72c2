"""Writes CSV (RFC 4180), in UTF-8."""

import csv
import io
from collections.abc import Iterable, Iterator

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.result_formats import CsvOptions
from extraction.domain.tables import TableLosses, columns_of, rows_of
from taskhub.table_cells import escape_formula


def csv_of(
    records: Iterable[Record], rule: ExtractionRule, max_records: int, losses: TableLosses, options: CsvOptions
) -> Iterator[bytes]:
    """CSV: a row of names, then one row a record. All fields are quoted: what separates them is plain."""
    buffer = io.StringIO(newline="")
    if options.bom:
        buffer.write("\ufeff")
    writer = csv.writer(buffer, delimiter=options.separator, quoting=csv.QUOTE_ALL)
    writer.writerow([escape_formula(name) for name in columns_of(rule)])
    yield _take(buffer)
    for row in rows_of(records, rule, losses):
        writer.writerow([escape_formula(cell) for cell in row.values()])
        yield _take(buffer)


def _take(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
