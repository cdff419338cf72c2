"""Texts in the cells of tables: what spreadsheets cannot hold, and what they would run. Pure."""

import re

CELL_MAX = 32_767  # characters, of spreadsheets
ROWS_MAX = 1_048_575  # of one sheet of a spreadsheet, below the names
COLUMNS_MAX = 16_384  # of one sheet
CUT_MARK = " ... [cut]"
REPLACEMENT = "\ufffd"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?\d[\d\s.,]*%?")
# What is a separator to somebody else's spreadsheet begins a cell of its own; numbers stay numbers there, too.
_BEHIND_SEPARATOR = re.compile(r"""([;,\t|]["']?)(?=[=@]|[+-](?!\d[\d\s.,]*%?(?:[;,\t|"']|\Z)))""")
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def replace_controls(text: str) -> tuple[str, int]:
    """The text, with U+FFFD in place of characters that XML, and so XLSX, cannot hold; and how many these are."""
    return _CONTROL.subn(REPLACEMENT, text)


def cut_cell(text: str) -> str:
    """The text of a cell, cut with `CUT_MARK` where it is longer than a spreadsheet takes, which counts UTF-16."""
    if len(text) <= CELL_MAX // 2 or len(encoded := text.encode("utf-16-le")) <= 2 * CELL_MAX:
        return text
    return encoded[: 2 * (CELL_MAX - len(CUT_MARK))].decode("utf-16-le", "ignore") + CUT_MARK


def escape_formula(text: str) -> str:
    """The text of a cell, with an apostrophe before what a spreadsheet would run as a formula; numbers stay numbers."""
    if text.startswith(_STARTS_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return _BEHIND_SEPARATOR.sub(r"\1'", text)
