"""Records as rows of a table: columns that follow from the rule alone, and one text a cell. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record, has_value

SEPARATOR = "; "  # joins several values in one cell
CELL_MAX = 32_767  # characters, of spreadsheets
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?\d[\d\s.,]*%?")
# What is a separator to somebody else's spreadsheet begins a cell of its own; numbers stay numbers there, too.
_BEHIND_SEPARATOR = re.compile(r"""([;,\t|]["']?)(?=[=@]|[+-](?!\d[\d\s.,]*%?(?:[;,\t|"']|\Z)))""")
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def columns_of(rule: ExtractionRule) -> tuple[str, ...]:
    """Names of columns, in the order of the fields; those of details follow their field, under its name."""
    return tuple(dict.fromkeys(name for _, name in rule.columns()))


def rows_of(records: Iterable[Record], rule: ExtractionRule) -> Iterator[dict[str, str]]:
    """Rows with one text a column; several values, also those of several records of details, are joined."""
    names, deep = columns_of(rule), rule.depth() > 1
    for record in records:
        flat = _flatten(record, rule) if deep else record
        yield {name: cell_of(flat.get(name)) for name in names}


def cell_of(value: Any) -> str:
    """The text of a cell; several values are joined. Where one of them is null, nothing stands in its place."""
    if isinstance(value, str):
        return value if value.isprintable() else clean(value)
    if isinstance(value, int):
        return str(value)
    if not has_value(value):
        return ""
    return SEPARATOR.join(clean(text or "") for text in value)


def _flatten(record: Mapping[str, Any], rule: ExtractionRule) -> dict[str, list[str | None]]:
    """The values of a record and of its details, as lists by column."""
    cells: dict[str, list[str | None]] = {}
    nests = rule.nests
    for name, value in record.items():
        if inner := nests.get(name):
            for nested in value:
                for column, values in _flatten(nested, inner).items():
                    cells.setdefault(f"{name}_{column}", []).extend(values)
        else:
            cells[name] = value if isinstance(value, list) else [value]
    return cells


def clean(text: str) -> str:
    """The text without characters that XML, and so XLSX, cannot hold."""
    return _CONTROL.sub("", text)


def escape_formula(text: str) -> str:
    """The text of a cell, with an apostrophe before what a spreadsheet would run as a formula; numbers stay numbers."""
    if text.startswith(_STARTS_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return _BEHIND_SEPARATOR.sub(r"\1'", text)
