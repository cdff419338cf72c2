"""Lines of an upload, and the documents in them: newline-delimited JSON, one document a line (RFC 8259).

Their JSON Schema is of draft 2020-12 or draft 7, compiled; patterns take linear time, and nothing is fetched.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, NoReturn, cast

import jsonschema_rs
import orjson

from crawlers.domain.schema_cost import TooCostly, schema_cost
from taskhub.errors import Problem, Rejected, TooLarge
from taskhub.jsontools.strict_json import NESTING_MAX, check_storable, parse_json

KEY_MAX = 1000  # bytes; of a longer id the digest is the key, as entries of an index have a limit
DIGITS_MAX = 1000  # of a number
LARGE_LINE, VALUES_MAX = 1024 * 1024, 200_000  # a line of so many bytes may hold so many values
CHECKS_MAX = 20_000_000  # values of a line times the cost of their schema: about half a second
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_MANY_DIGITS = re.compile(rb"\d{1000}")
_MORE_THAN_A_DOUBLE = re.compile(rb"\d{16}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REASON_MAX = 300  # characters
DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
}
_DEFAULT_DRAFT = next(iter(DRAFTS))
_PATTERN_OPTIONS = jsonschema_rs.RegexOptions(size_limit=1 << 20)
_TYPE_NAMES = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class LineSplitter:
    """Splits a body that arrives in pieces at `\\n`, `\\r\\n` and `\\r`; a byte order mark is left out.

    `lines_before` is how many lines came before those that the last call gave. Raises `TooLarge` for a line of more
    than `limit` bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._last_count = 0
        self.lines_before = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete with this piece."""
        self.lines_before += self._last_count
        if b"\n" not in data and b"\r" not in data and not self._rest.endswith(b"\r"):
            # It is not looked at again with each piece of a long line: pieces may be small.
            self._rest += data
            lines = []
        else:
            data = bytes(self._rest) + data if self._rest else data
            lines = data.splitlines(keepends=False)
            # A carriage return at the end may be followed by its line feed in the next piece.
            complete = data.endswith(b"\n")
            rest = b"" if complete or not lines else lines.pop() + (b"\r" if data.endswith(b"\r") else b"")
            self._rest = bytearray(rest)
        if len(self._rest) > self._limit or (lines and max(map(len, lines)) > self._limit):
            self._refuse([*lines, bytes(self._rest)])
        if self.lines_before == 0 and lines:
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        self._last_count = len(lines)
        return lines

    def finish(self) -> list[bytes]:
        """The last line, if the body does not end with a line break."""
        self.lines_before += self._last_count
        rest, self._rest, self._last_count = bytes(self._rest), bytearray(), 0
        if not rest:
            return []
        line = rest.rstrip(b"\r")
        return [line.removeprefix(_BYTE_ORDER_MARK) if self.lines_before == 0 else line]

    def _refuse(self, lines: list[bytes]) -> NoReturn:
        sizes = enumerate(map(len, lines), self.lines_before + 1)
        line, size = next((line, size) for line, size in sizes if size > self._limit)
        detail = f"Line {line} has {size} bytes or more; {self._limit} are allowed."
        raise TooLarge(detail, errors=[{"line": line, "detail": detail}], limit=self._limit)


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


class InvalidSchema(Exception):
    """A JSON Schema that cannot be used; its text says why."""


class DocumentSchema:
    """A compiled JSON Schema. Raises `InvalidSchema` for one that cannot be used."""

    is_valid: Callable[[Any], bool]
    """Whether a document matches: the compiled validator's own method, as it is called for each line of an upload."""
    cost: int
    """How many subschemas a value may be checked against; see `schema_cost`."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        draft = schema.get("$schema", _DEFAULT_DRAFT) if isinstance(schema, Mapping) else _DEFAULT_DRAFT
        validator_class = DRAFTS.get(str(draft).rstrip("#"))
        if validator_class is None:
            raise InvalidSchema(f"$schema must be one of {', '.join(DRAFTS)}.")
        try:
            self._validator: Any = validator_class(
                cast(Any, schema), pattern_options=_PATTERN_OPTIONS, retriever=_refuse_to_fetch
            )
        except jsonschema_rs.ValidationError as error:
            raise InvalidSchema(_reason(error)) from None
        except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
            raise InvalidSchema(str(error)[:REASON_MAX]) from None
        try:
            self.cost = schema_cost(schema)
        except TooCostly as error:
            raise InvalidSchema(str(error)) from None
        self.is_valid = self._validator.is_valid

    def explain(self, document: Any) -> str:
        """Why a document does not match: the pointer of the first mismatch, and what is wrong there."""
        return _reason(next(iter(self._validator.iter_errors(document))))


class DocumentReader:
    """Checks documents and finds their keys. `id_field` is the member that holds the id; empty: the content is it."""

    def __init__(self, schema: DocumentSchema | None, id_field: str) -> None:
        self._schema = schema
        self._id_field = id_field

    def read_key(self, line: bytes, number: int) -> bytes:
        """The key of the document in a line: its id as JSON, so that 1 and "1" differ; or a digest behind `#` or `~`.

        `number` is the line's, for errors. Raises `Rejected` for what is no JSON, `TooLarge` for what is nested too
        deep, and `InvalidDocument`.
        """
        # A million lines a minute come through here: each check first asks a question that bytes can answer, and looks
        # closer only where the answer is suspicious.
        if len(line) > LARGE_LINE:
            _refuse_many_values(line, number)
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise _broken_json(error, line, number) from None
        if type(document) is not dict:
            raise InvalidDocument(f"Must be an object, not {_TYPE_NAMES.get(type(document), 'a number')}.")
        objects = line.count(b"{")
        members = len(document) if objects == 1 else _count_members(document)
        # Where a member stands twice the text has more colons than the value has members.
        if line.count(b'":') != members or b" :" in line or b"\t:" in line:
            _refuse_duplicate_members(line, number)
        if objects + line.count(b"[") > NESTING_MAX:
            _refuse_depth(document, number)
        if b"\\u0000" in line:
            _refuse_nul(document)
        if len(line) > DIGITS_MAX and _MANY_DIGITS.search(line):
            _refuse_digits(line)
        if (schema := self._schema) is not None:
            if len(line) * schema.cost > CHECKS_MAX and _count_commas(line) * schema.cost > CHECKS_MAX:
                raise InvalidDocument(f"Has too many values for a schema that checks each up to {schema.cost} times.")
            if not schema.is_valid(document):
                raise InvalidDocument(partial(schema.explain, document))
        return self._key(document, line)

    def _key(self, document: dict[str, Any], line: bytes) -> bytes:
        value = document.get(self._id_field) if self._id_field else None
        if type(value) is str or type(value) is int:
            key = orjson.dumps(value)
        elif value is None:
            return b"#" + _content_digest(document, line)
        else:
            exact = json.loads(line)[self._id_field]
            key = json.dumps(exact, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        return key if len(key) <= KEY_MAX else b"~" + sha256(key).hexdigest().encode()


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"Schemas are not fetched: {address[:100]}")


def _reason(error: Any) -> str:
    pointer = "".join(f"/{step}" for step in error.instance_path)
    return f"{pointer or '/'}: {error.message}"[:REASON_MAX]


def _refuse_many_values(line: bytes, number: int) -> None:
    """A million small values take a hundred times the memory of their text."""
    if line.count(b",") >= VALUES_MAX and _count_commas(line) >= VALUES_MAX:
        detail = f"Has more than {VALUES_MAX} values."
        raise TooLarge(f"Line {number}: {detail}", errors=[{"line": number, "detail": detail}], limit=VALUES_MAX)


def _count_commas(line: bytes) -> int:
    """How many commas stand between values; those in texts are not counted."""
    return line.count(b",") - sum(line.count(b",", *text.span()) for text in _STRINGS.finditer(line))


def _content_digest(document: dict[str, Any], line: bytes) -> bytes:
    """The digest of a document's content, whatever the order of its members and its white space."""
    exact = _MORE_THAN_A_DOUBLE.search(line) is None  # longer numbers lose digits when they are read
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS) if exact else line
    return sha256(canonical).hexdigest().encode()


def _count_members(value: Any) -> int:
    """How many members all objects in a value have together."""
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            count += len(value)
            value = value.values()
        waiting.extend(inner for inner in value if type(inner) is dict or type(inner) is list)
    return count


def _refuse_duplicate_members(line: bytes, number: int) -> None:
    """Of two members with one name each reader would take another one."""
    try:
        parse_json(line)
    except Rejected as problem:
        detail = str(problem.errors[0]["detail"]) if problem.errors else problem.detail
        if "stands twice" in detail:
            raise _broken_line(detail, number, 1) from None


def _refuse_depth(document: dict[str, Any], number: int) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        detail = str(problem.errors[0]["detail"])
        if "levels" in detail:
            raise _too_deep(detail, number) from None


def _refuse_nul(document: dict[str, Any]) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        raise InvalidDocument(str(problem.errors[0]["detail"])) from None


def _refuse_digits(line: bytes) -> None:
    """Numbers that PostgreSQL's jsonb does not take are refused. Digits in texts are no numbers."""

    def check(number: str) -> int:
        if len(number) > DIGITS_MAX:
            raise InvalidDocument(f"A number has more than {DIGITS_MAX} digits.")
        return 0

    json.loads(line, parse_int=check, parse_float=check)


def _broken_json(error: orjson.JSONDecodeError, line: bytes, number: int) -> Problem:
    """The column counts from 1, in characters; in bytes where the line is not UTF-8."""
    if "depth" in error.msg:
        return _too_deep(f"nested deeper than {NESTING_MAX} levels", number)
    return _broken_line(error.msg, number, min(error.pos, len(line)) + 1)


def _too_deep(detail: str, number: int) -> TooLarge:
    errors = [{"line": number, "detail": detail}]
    return TooLarge(f"Line {number} is {detail}.", errors=errors, limit=NESTING_MAX)


def _broken_line(detail: str, number: int, column: int) -> Rejected:
    message = f"Line {number}, column {column}: {detail}."
    return Rejected(message, errors=[{"line": number, "column": column, "detail": detail}], type="broken-upload")
