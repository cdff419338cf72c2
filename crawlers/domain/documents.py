"""Uploads, line by line: newline-delimited JSON, one document a line (contract, section 5; RFC 8259)."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NoReturn

import orjson

from taskhub.errors import Problem, Rejected, TooLarge
from taskhub.jsontools.strict_json import NESTING_MAX, check_storable, parse_json

KEY_MAX = 1000  # bytes; a longer one is kept as its digest, for an index has its limits
DIGITS_MAX = 1000  # of a number
LARGE, VALUES_MAX = 1024 * 1024, 200_000  # a line of so many bytes may hold so many values
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_MANY_DIGITS = re.compile(rb"\d{1000}")
_MORE_THAN_A_DOUBLE = re.compile(rb"\d{16}")
_BOM = b"\xef\xbb\xbf"

Validate = Callable[[Mapping[str, Any]], str]
"""Why a document does not match the schema; empty when it does."""


class Lines:
    """Cuts what arrives at `\\n`, `\\r\\n` and `\\r`. Raises `TooLarge` for a line of more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self.number = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now; those before them were counted in `number` by the caller."""
        data = self._rest + data if self._rest else data
        lines = data.splitlines(keepends=False)
        # What ends in a carriage return may be followed by its line feed.
        ended = data.endswith(b"\n")
        self._rest = b"" if ended or not lines else lines.pop() + (b"\r" if data.endswith(b"\r") else b"")
        if len(self._rest) > self._limit or (lines and max(map(len, lines)) > self._limit):
            self._refuse([*lines, self._rest])
        return lines

    def finish(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest.rstrip(b"\r")] if rest else []

    def _refuse(self, lines: list[bytes]) -> NoReturn:
        line, size = next((n, len(line)) for n, line in enumerate(lines, self.number + 1) if len(line) > self._limit)
        detail = f"Line {line} has {size} bytes or more; {self._limit} are allowed."
        raise TooLarge(detail, errors=[{"line": line, "detail": detail}], limit=self._limit)


class Invalid(Exception):
    """No document of this stream, though it is JSON: what is answered with 406, or put aside."""


class Reader:
    """Makes documents of lines. `id_field` is the name of the member that holds the id; empty: the content is it."""

    def __init__(self, validate: Validate | None, id_field: str) -> None:
        self._validate = validate
        self._id_field = id_field

    def read(self, line: bytes, number: int) -> bytes:
        """The document's key: its id as JSON, so that 1 and "1" differ; or a digest, which no JSON looks like.

        Raises `Rejected` for what is no JSON, `TooLarge` for what is nested too deep, and `Invalid`.
        """
        if len(line) > LARGE:
            _refuse_crowds(line, number)
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise _broken(error, line, number) from None
        if type(document) is not dict:
            raise Invalid(f"Must be an object, not {_kind(document)}.")
        objects = line.count(b"{")
        members = len(document) if objects == 1 else _members_in(document)
        if line.count(b'":') != members or b" :" in line or b"\t:" in line:
            _refuse_twice(line, number)
        if objects + line.count(b"[") > NESTING_MAX:
            _refuse_depth(document, number)
        if b"\\u0000" in line:
            _refuse_nul(document)
        if len(line) > DIGITS_MAX and _MANY_DIGITS.search(line):
            _refuse_digits(line)
        if self._validate is not None and (why := self._validate(document)):
            raise Invalid(why)
        return self._key(document, line)

    def _key(self, document: dict[str, Any], line: bytes) -> bytes:
        value = document.get(self._id_field) if self._id_field else None
        if type(value) is str or type(value) is int:
            key = orjson.dumps(value)
        elif value is None:
            return b"#" + _digest_of(document, line)
        else:
            exact = json.loads(line)[self._id_field]
            key = json.dumps(exact, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        return key if len(key) <= KEY_MAX else b"~" + sha256(key).hexdigest().encode()


def _refuse_crowds(line: bytes, number: int) -> None:
    """A million small values take a hundred times the room of their text."""
    commas = line.count(b",")
    if commas < VALUES_MAX:
        return
    if commas - sum(line.count(b",", *text.span()) for text in _STRINGS.finditer(line)) >= VALUES_MAX:
        detail = f"Has more than {VALUES_MAX} values."
        raise TooLarge(f"Line {number}: {detail}", errors=[{"line": number, "detail": detail}], limit=VALUES_MAX)


def first_line(line: bytes) -> bytes:
    """Without the mark that some editors write before the first character."""
    return line.removeprefix(_BOM)


def _digest_of(document: dict[str, Any], line: bytes) -> bytes:
    """Of the content, whatever the order of its members and its white space."""
    exact = _MORE_THAN_A_DOUBLE.search(line) is None  # longer numbers lose digits when they are read
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS) if exact else line
    return sha256(canonical).hexdigest().encode()


def _members_in(value: Any) -> int:
    """How many members all objects in a value have."""
    found, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            found += len(value)
            value = value.values()
        waiting.extend(inner for inner in value if type(inner) is dict or type(inner) is list)
    return found


def _refuse_twice(line: bytes, number: int) -> None:
    """A member that stands twice: each reader would take another one of them."""
    try:
        parse_json(line)
    except Rejected as problem:
        detail = str(problem.errors[0]["detail"]) if problem.errors else problem.detail
        if "stands twice" in detail:
            raise _refused(detail, number, 1) from None


def _refuse_depth(document: dict[str, Any], number: int) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        detail = str(problem.errors[0]["detail"])
        if "levels" in detail:
            raise TooLarge(
                f"Line {number} is {detail}.", errors=[{"line": number, "detail": detail}], limit=NESTING_MAX
            ) from None


def _refuse_nul(document: dict[str, Any]) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        raise Invalid(str(problem.errors[0]["detail"])) from None


def _refuse_digits(line: bytes) -> None:
    """Numbers that PostgreSQL's jsonb does not take. Digits in texts are no numbers."""

    def check(text: str) -> int:
        if len(text) > DIGITS_MAX:
            raise Invalid(f"A number has more than {DIGITS_MAX} digits.")
        return 0

    json.loads(line, parse_int=check, parse_float=check)


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _broken(error: orjson.JSONDecodeError, line: bytes, number: int) -> Problem:
    if "depth" in error.msg:
        detail = f"nested deeper than {NESTING_MAX} levels"
        return TooLarge(f"Line {number} is {detail}.", errors=[{"line": number, "detail": detail}], limit=NESTING_MAX)
    return _refused(error.msg, number, _column(error, line))


def _column(error: orjson.JSONDecodeError, line: bytes) -> int:
    """From 1, in characters; in bytes where the line is not UTF-8."""
    return min(error.pos, len(line)) + 1


def _refused(detail: str, number: int, column: int) -> Rejected:
    words = f"Line {number}, column {column}: {detail}."
    return Rejected(words, errors=[{"line": number, "column": column, "detail": detail}], type="broken-upload")
