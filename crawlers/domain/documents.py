"""Lines of an upload, and the documents in them: newline-delimited JSON, one document a line (RFC 8259)."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, NoReturn, TypeVar

import orjson

from crawlers.domain.line_faults import InvalidDocument, duplicate_key_fault, fault_of_refused_line, too_deep
from taskhub.errors import Problem, Rejected, TooLarge
from taskhub.jsontools.document_schemas import DocumentSchema
from taskhub.jsontools.field_types import format_timestamp
from taskhub.jsontools.json_numbers import canonical_json, canonical_member, number_fault
from taskhub.jsontools.strict_json import NESTING_MAX, check_storable

Value = TypeVar("Value")
DIGEST_MARKS = ("#", "~")  # before the digests of a content and of a long id
KEY_MAX = 1000  # bytes; of a longer id the digest is the key, as entries of an index have a limit
LARGE_LINE, VALUES_MAX = 1024 * 1024, 200_000  # a line of so many bytes may hold so many values
CHECKS_MAX = 20_000_000  # values of a line times the checks of their schema: about half a second
STATES_MAX = 200_000_000  # bytes of a line times the states of its schema's patterns: at most two seconds
QUICK = 1_000_000  # of both together: some milliseconds
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_LARGE_EXPONENT = re.compile(rb"\d[eE][+-]?\d{4}")
_LONG_FRACTION, _LONG_FRACTION_DIGITS = re.compile(rb"\.\d{15000}"), 15_000  # to which an exponent of 999 may add
# For each digit and the point 0, for E e: so a look for bytes finds what a pattern would, in a tenth of the time.
_NUMBERS = bytes.maketrans(b"0123456789.E", b"00000000000e")
_MORE_THAN_A_DOUBLE = b"0" * 17
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
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        self._last_count = len(lines)
        return lines

    def finish(self) -> list[bytes]:
        """The last line, if the body does not end with a line break."""
        self.lines_before += self._last_count
        rest, self._rest, self._last_count = bytes(self._rest), bytearray(), 0
        if not rest:
            return []
        line = rest.rstrip(b"\r")
        return [line.removeprefix(BOM_UTF8) if self.lines_before == 0 else line]

    def _refuse(self, lines: list[bytes]) -> NoReturn:
        sizes = enumerate(map(len, lines), self.lines_before + 1)
        line, size = next((line, size) for line, size in sizes if size > self._limit)
        detail = f"Line {line} has {size} bytes or more; {self._limit} are allowed."
        raise TooLarge(detail, errors=[{"line": line, "detail": detail}], limit=self._limit)


class DocumentReader:
    """Checks documents and finds their keys. `id_field` is the member that holds the id; empty: the content is it.

    The validator lets no other thread run. A document that may take long is checked within `slow_turn()`.
    """

    def __init__(
        self,
        schema: DocumentSchema | None,
        id_field: str,
        slow_turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._schema = schema
        self._id_field = id_field
        self._slow_turn = slow_turn
        self._quick_bytes = QUICK // (schema.cost.checks + schema.cost.states) if schema else 0

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
            raise fault_of_refused_line(error, line, number) from None
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
        # What jsonb does not take, and a double does, has a large exponent behind a minus or a 0, or a long fraction.
        if b"e-" in line or b"E-" in line or b"0e" in line or b"0E" in line or len(line) > _LONG_FRACTION_DIGITS:
            _refuse_numbers(line)
        if (schema := self._schema) is not None:
            if len(line) <= self._quick_bytes:
                if not schema.is_valid(document):
                    raise InvalidDocument(partial(schema.explain, document))
            else:
                _refuse_much_work(line, schema)
                if not self._in_slow_turn(schema.is_valid, document):
                    raise InvalidDocument(partial(self._in_slow_turn, schema.explain, document))
        return self._key(document, line)

    def _in_slow_turn(self, function: Callable[[Any], Value], document: Any) -> Value:
        with self._slow_turn():
            return function(document)

    def _key(self, document: dict[str, Any], line: bytes) -> bytes:
        value = document.get(self._id_field) if self._id_field else None
        if type(value) is str or type(value) is int:
            key = orjson.dumps(value)
        elif value is None:
            return b"#" + sha256(_canonical_content(document, line)).hexdigest().encode()
        else:
            key = canonical_member(line, self._id_field)
        return key if len(key) <= KEY_MAX else b"~" + sha256(key).hexdigest().encode()


def keys_of_id(text: str) -> list[str]:
    """The keys that a document may have whose id is written as a text, such as in an address, the likeliest first.

    The id as JSON says exactly which it is: `1` is a number and `"1"` a text. Any other text stands for itself.
    """
    keys = [text] if text[:1] in DIGEST_MARKS else []
    reader = DocumentReader(None, "id")
    for written in (text, json.dumps(text)):
        with suppress(orjson.JSONDecodeError, Problem, InvalidDocument, UnicodeEncodeError):
            if orjson.loads(written) is not None:
                keys.append(reader.read_key(f'{{"id":{written}}}'.encode(), 1).decode())
    return [key for key in keys if "\x00" not in key]


def id_of_key(key: str) -> str:
    """The id of a document as JSON: that of one without an id is its digest."""
    return json.dumps(key) if key[:1] in DIGEST_MARKS else key


def wrapped_document(key: str, task: str, at: datetime, body: str) -> str:
    """JSON of a document with its id, the task that wrote it and the time when it did."""
    return f'{{"id":{id_of_key(key)},"task":"{task}","at":"{format_timestamp(at)}","doc":{body}}}'


def _refuse_many_values(line: bytes, number: int) -> None:
    """A million small values take a hundred times the memory of their text."""
    if line.count(b",") >= VALUES_MAX and _count_commas(line) >= VALUES_MAX:
        detail = f"Has more than {VALUES_MAX} values."
        raise TooLarge(f"Line {number}: {detail}", errors=[{"line": number, "detail": detail}], limit=VALUES_MAX)


def _refuse_much_work(line: bytes, schema: DocumentSchema) -> None:
    checks, states = schema.cost.checks, schema.cost.states
    if len(line) * checks > CHECKS_MAX and _count_commas(line) * checks > CHECKS_MAX:
        raise InvalidDocument(f"Has too many values for a schema that checks each up to {checks} times.")
    if len(line) * states > STATES_MAX:
        raise InvalidDocument(f"Is too large for a schema whose patterns have {states} states for one text.")


def _count_commas(line: bytes) -> int:
    """How many commas stand between values; those in texts are not counted."""
    return line.count(b",") - sum(line.count(b",", *text.span()) for text in _STRINGS.finditer(line))


def _canonical_content(document: dict[str, Any], line: bytes) -> bytes:
    """A document's content, whatever the order of its members, its white space and how its numbers are written."""
    shape = line.translate(_NUMBERS)
    # A number that is whole or small and written with a point, one with an exponent, one of more digits than are read.
    if b".0" in line or b"0e" in shape or _MORE_THAN_A_DOUBLE in shape:
        return canonical_json(line)
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


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
    if fault := duplicate_key_fault(line, number):
        raise fault


def _refuse_depth(document: dict[str, Any], number: int) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        detail = str(problem.errors[0]["detail"])
        if "levels" in detail:
            raise too_deep(detail, number) from None


def _refuse_nul(document: dict[str, Any]) -> None:
    try:
        check_storable(document)
    except Rejected as problem:
        raise InvalidDocument(str(problem.errors[0]["detail"])) from None


def _refuse_numbers(line: bytes) -> None:
    """Refuses numbers that PostgreSQL's jsonb does not take. Digits in texts are no numbers."""

    def check(number: str) -> int:
        if fault := number_fault(number):
            raise InvalidDocument(f"{fault[0].upper()}{fault[1:]}.")
        return 0

    if _LARGE_EXPONENT.search(line) or _LONG_FRACTION.search(line):
        json.loads(line, parse_int=check, parse_float=check)
