"""What is wrong with a line of an upload, where, and what to send instead."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import NoReturn

import orjson

from taskhub.errors import Problem, Rejected, TooLarge
from taskhub.jsontools.jsonc import LOST_LINE_ENDS
from taskhub.jsontools.strict_json import NESTING_MAX, find_duplicate_key

NDJSON = "An upload is newline-delimited JSON: one object a line, with nothing around them and no commas between them."
_OTHER_FORMATS = {  # by their first bytes
    b"[": "a JSON array",
    b"--": "multipart; send the documents as the body itself",
    b"<": "XML or HTML",
    b"\x1e": "a JSON text sequence",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "gzip; say so by Content-Encoding",
    b"\x28\xb5\x2f\xfd": "Zstandard; say so by Content-Encoding",
    b"PK\x03\x04": "a ZIP archive",
}
# What the parser says of JSON that follows the grammar, and that neither a double nor UTF-8 can hold.
_UNKEEPABLE = {"infinity": "A number is out of range.", "surrogate in string": "A lone surrogate is not text."}


class InvalidDocument(Exception):
    """A line that is JSON, but no document of the stream: answered with 406, or kept as a rejected line.

    Its text says why. To explain a mismatch takes longer than to find it, and of many lines only the first are told:
    so the explanation is made when it is asked for.
    """

    def __init__(self, explanation: str | Callable[[], str]) -> None:
        super().__init__(explanation)
        self._explanation = explanation

    def __str__(self) -> str:
        return self._explanation if isinstance(self._explanation, str) else self._explanation()


def refuse_other_formats(first: bytes, number: int) -> None:
    """Raises `Rejected` that explains the format, where the first line begins a body of another one."""
    name = next((name for start, name in _OTHER_FORMATS.items() if first.startswith(start)), None)
    if name is None or (first.startswith(b"[") and _is_list_of_values(first)):
        return
    detail = f"The body is {name}. {NDJSON}"
    raise Rejected(detail, errors=[{"line": number, "column": 1, "detail": detail}], type="broken-upload")


def _is_list_of_values(line: bytes) -> bool:
    """Whether a line is a whole list, and not one of objects: a line that is no document, rather than an array."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return not value or not all(isinstance(item, dict) for item in value)


def fault_of_refused_line(error: orjson.JSONDecodeError, line: bytes, number: int) -> Problem | InvalidDocument:
    """What to raise for a line that the parser refuses. Columns count characters, from 1."""
    if "depth" in error.msg:
        return too_deep(f"nested deeper than {NESTING_MAX} levels", number)
    if line.startswith(BOM_UTF8):
        return broken_line("a byte order mark stands in front of the line; only a body may begin with one", number, 1)
    if "UTF-8" in error.msg:
        return _not_utf8(line, number)
    reason = next((reason for words, reason in _UNKEEPABLE.items() if words in error.msg), None)
    if reason is not None:  # the parser stopped there: is the rest JSON?
        return _syntax_fault(line, number) or duplicate_key_fault(line, number) or InvalidDocument(reason)
    words = error.msg
    if number == 1 and line[error.pos :].startswith(b"{"):
        words = f"{words} ({NDJSON.rstrip('.')}; {LOST_LINE_ENDS.rstrip('.')})"
    elif line[error.pos :].startswith(b"{") or line.endswith((b"{", b"[", b",")):
        words = f"{words} ({NDJSON.rstrip('.')})"
    return broken_line(words, number, min(error.pos, len(line)) + 1)


def _syntax_fault(line: bytes, number: int) -> Problem | None:
    def refuse_constant(name: str) -> NoReturn:
        raise json.JSONDecodeError(f"{name} is not JSON", line.decode(), line.decode().index(name))

    try:
        json.loads(line, parse_int=str, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        return broken_line(error.msg, number, error.pos + 1)
    except RecursionError:
        return too_deep(f"nested deeper than {NESTING_MAX} levels", number)
    return None


def _not_utf8(line: bytes, number: int) -> Rejected:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode()) + 1
        return broken_line(f"the byte 0x{line[error.start]:02x} is not UTF-8", number, column)
    raise AssertionError("The parser refused UTF-8.")


def duplicate_key_fault(line: bytes, number: int) -> Rejected | None:
    """What to raise for a line in which one object has a key twice."""
    if found := find_duplicate_key(line.decode()):
        position, key = found
        return broken_line(f"the key {key[:100]!r} stands twice in one object", number, position + 1)
    return None


def too_deep(detail: str, number: int) -> TooLarge:
    errors = [{"line": number, "detail": detail}]
    return TooLarge(f"Line {number} is {detail}.", errors=errors, limit=NESTING_MAX)


def broken_line(detail: str, number: int, column: int) -> Rejected:
    message = f"Line {number}, column {column}: {detail}."
    return Rejected(message, errors=[{"line": number, "column": column, "detail": detail}], type="broken-upload")
