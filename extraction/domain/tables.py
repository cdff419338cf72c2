"""Records as rows of a table: columns that follow from the rule alone, and one text a cell. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from extraction.domain.downloads import LINK, SHA256
from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.findings import ExtractionWarning, has_value
from extraction.domain.page_reader import Record
from extraction.domain.record_field import BOOLEAN, DATE, INTEGER, NUMBER, digest_column
from taskhub.table_cells import CELL_MAX, ROWS_MAX, cut_cell, replace_controls

SEPARATOR = "; "  # joins several values in one cell
EXACT_MAX = 10**15  # the numbers of spreadsheets have so many digits
CELLS_CUT, CHARACTERS_REPLACED = "cells-cut", "characters-replaced"
SEVERAL_SHEETS, ROWS_LEFT_OUT = "several-sheets", "rows-left-out"
OF_TABLES = (CELLS_CUT, CHARACTERS_REPLACED, SEVERAL_SHEETS, ROWS_LEFT_OUT)
# Of the years that spreadsheets count from 1900; they know no zones.
_EXCEL_TIME = re.compile(r"(?:19|[2-9]\d)\d\d-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?", re.ASCII)
TYPES_OF_CELLS = frozenset({NUMBER, INTEGER, DATE, BOOLEAN})


def columns_of(rule: ExtractionRule) -> tuple[str, ...]:
    """Names of columns, in the order of the fields; those of details follow their field, under its name."""
    return tuple(dict.fromkeys(name for _, name in rule.columns()))


class TableLosses:
    """What a file cannot hold as it was found: `cut` cells by their column, characters that were `replaced`, rows."""

    def __init__(self) -> None:
        self.cut: Counter[str] = Counter()
        self.replaced = 0
        self.rows = 0  # of a spreadsheet
        self.rows_left_out = 0

    def clean(self, text: str) -> str:
        """The text, with U+FFFD in place of characters that XML, and so XLSX, cannot hold."""
        cleaned, count = replace_controls(text)
        self.replaced += count
        return cleaned

    def cut_cell(self, column: str, text: str) -> str:
        """The text of a cell, as long as a spreadsheet takes it; see `taskhub.table_cells.cut_cell`."""
        shown = cut_cell(text)
        if shown is not text:
            self.cut[column] += 1
        return shown

    def warnings(self) -> Iterator[ExtractionWarning]:
        """What is to be said of them, for whoever takes the file."""
        if self.cut:
            columns = ", ".join(sorted(self.cut)[:10])
            detail = f"{self.cut.total()} cells are cut at {CELL_MAX} characters, in {columns}; other formats have all."
            yield ExtractionWarning(CELLS_CUT, "/format", detail)
        if self.replaced:
            detail = f"{self.replaced} control characters, which the format cannot hold, are U+FFFD in the file."
            yield ExtractionWarning(CHARACTERS_REPLACED, "/format", detail)
        if self.rows > ROWS_MAX:
            detail = f"The records are in {-(-self.rows // ROWS_MAX)} sheets: one has {ROWS_MAX + 1} rows at most."
            yield ExtractionWarning(SEVERAL_SHEETS, "/format", detail)
        if self.rows_left_out:
            detail = f"{self.rows_left_out} records found no room in the sheets; other formats have all."
            yield ExtractionWarning(ROWS_LEFT_OUT, "/format", detail)


def rows_of(records: Iterable[Record], rule: ExtractionRule, losses: TableLosses) -> Iterator[dict[str, str]]:
    """Rows with one text a column; several values, also those of several records of details, are joined."""
    names, deep = columns_of(rule), rule.depth() > 1 or rule.downloads
    for record in records:
        flat = _flatten(record, rule) if deep else record
        yield {name: cell_of(flat.get(name), losses) for name in names}


def has_types(rule: ExtractionRule) -> bool:
    """Whether values of a rule may be other than texts."""
    return any(inner.reads_json or any(field.type in TYPES_OF_CELLS for field in inner.fields) for inner in rule.walk())


def typed_rows_of(records: Iterable[Record], rule: ExtractionRule, losses: TableLosses) -> Iterator[dict[str, Any]]:
    """The same, in which a single value keeps its type; so do dates and times that a spreadsheet knows."""
    names, deep = columns_of(rule), rule.depth() > 1 or rule.downloads
    dates = date_columns(rule)
    for record in records:
        flat = _flatten(record, rule) if deep else record
        yield {name: _typed_cell(flat.get(name), losses, is_date=name in dates) for name in names}


def date_columns(rule: ExtractionRule) -> frozenset[str]:
    """The columns of a table that hold dates."""
    names: set[str] = set()
    for field in rule.fields:
        if field.type == DATE and not rule.path:
            names |= {name for _, name in field.columns}
        if field.details:
            names |= {name if rule.path else f"{field.nest}_{name}" for name in date_columns(field.details)}
    return frozenset(names)


def _typed_cell(value: Any, losses: TableLosses, *, is_date: bool) -> Any:
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= EXACT_MAX):
        return value
    if is_date and isinstance(value, str) and _EXCEL_TIME.fullmatch(value):
        return datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
    return cell_of(value, losses)


def cell_of(value: Any, losses: TableLosses) -> str:
    """The text of a cell; several values are joined. Where one of them is null, nothing stands in its place."""
    if isinstance(value, str):
        return value if value.isprintable() else losses.clean(value)
    if isinstance(value, bool | int | float):
        return text_of_cell(value)
    if not has_value(value):
        return ""
    return SEPARATOR.join(losses.clean(text_of_cell(one)) for one in value)


def text_of_cell(value: Any) -> str:
    """A value of a record as a text; nothing for null."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flatten(record: Mapping[str, Any], rule: ExtractionRule) -> dict[str, list[str | None]]:
    """The values of a record and of its details, as lists by column."""
    cells: dict[str, list[str | None]] = {}
    nests = rule.nests
    for name, value in record.items():
        values = value if isinstance(value, list) else [value]
        if inner := nests.get(name):
            for nested in values:
                for column, inner_values in _flatten(nested, inner).items():
                    cells.setdefault(f"{name}_{column}", []).extend(inner_values)
        elif any(isinstance(one, dict) for one in values):  # files
            cells[name] = [one and one[LINK] for one in values]
            cells[digest_column(name)] = [one and one[SHA256] for one in values]
        else:
            cells[name] = values
    return cells
