"""JSON as the documents print it: with `//` and `/* */` comments and trailing commas, and otherwise strict."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskhub.errors import NotAcceptable, Rejected
from taskhub.jsontools.byte_order_marks import in_utf8
from taskhub.jsontools.json_numbers import number_fault, underflows
from taskhub.jsontools.strict_json import NESTING_MAX, parse_json

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_COMMENTS = re.compile(rf"{_STRING}|(?P<comment>//[^\n\r]*|/\*.*?\*/)|(?P<open>/\*|\")", re.DOTALL)
_TOKENS = re.compile(rf"{_STRING}|\.\.\.|[\[\]{{}}:,]|[^\s\[\]{{}}:,\"]+", re.DOTALL)
_NOT_BLANK = re.compile(r"[^\n\r]")
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS_MAX = 4300  # what Python reads without being asked to
LENGTH_MAX = 2_000_000  # characters; half of them comments, for the largest sequence


def parse_jsonc(text: bytes | str) -> Any:
    """The value of a text.

    Raises `Rejected` of type `broken-json`, its error with `line`, `column` (from 1) and `detail`, for all that
    `parse_json` refuses, and for the documents' `...`, which stands for something left out.
    """
    text = _decoded(text)
    if len(text) > LENGTH_MAX:
        raise _refused(1, 1, f"The text has more than {LENGTH_MAX} characters.")
    try:
        return _parse(text)
    except Rejected:
        if (comment := _find_swallowing_comment(text)) is not None:
            raise _broken(text, comment, _SWALLOWED) from None
        raise


def _decoded(text: bytes | str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    body = in_utf8(text)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start].decode()
        raise _broken(f"{before}?", len(before), "This is not UTF-8.") from None


def _parse(text: str) -> Any:
    plain = _without_commas(text, _without_comments(text))
    try:
        return parse_json(plain)
    except Rejected as refusal:
        detail = refusal.errors[0]["detail"]
        place = re.search(r" at line (\d+), column (\d+)$", detail)
        if not place:
            raise _broken(text, 0, detail, type(refusal)) from None
        raise _refused(int(place[1]), int(place[2]), detail[: place.start()].removesuffix(" at")) from None


LOST_LINE_ENDS = "curl's -d takes line ends out, and --data-binary keeps them."
_SWALLOWED = (
    "This comment takes the rest, for the whole text is one line. Its line ends were lost on the way: " + LOST_LINE_ENDS
)


def _find_swallowing_comment(text: str) -> int | None:
    """Where a text without line ends has a `//` comment."""
    if "\n" in text or "\r" in text:
        return None
    for found in _COMMENTS.finditer(text):
        if found["open"]:
            return None  # it takes the rest; to look for its end from each later place would take for ever
        if (found["comment"] or "").startswith("//"):
            return found.start()
    return None


def member_text(text: bytes | str, name: str) -> str | None:
    """How a member of the outermost object is written, comments and all, in a text that `parse_jsonc` has read."""
    text = _decoded(text)
    depth, before, key, start = 0, "", "", 0
    for found in symbols_of(text):
        symbol = found[0]
        depth -= symbol in ("]", "}")
        if (symbol, depth) in ((",", 1), ("}", 0)) and key == name:
            return text[start : found.start()].strip()
        if (symbol, depth) == (":", 1):
            key, start = _string(before), found.end()
        depth += symbol in ("[", "{")
        before = symbol
    return None


def has_comments(text: bytes | str) -> bool:
    """Whether a text that `parse_jsonc` has read has comments."""
    return any(found["comment"] for found in _COMMENTS.finditer(_decoded(text)))


def symbols_of(text: str) -> Iterator[re.Match[str]]:
    """The symbols of a text that `parse_jsonc` has read: brackets, colons, commas, strings, numbers and words."""
    return _TOKENS.finditer(_without_comments(text))


def _without_comments(text: str) -> str:
    """The text with blanks for comments, so that all else stays where it was."""
    pieces = []
    end = 0
    for found in _COMMENTS.finditer(text):
        if found["open"]:
            raise _broken(text, found.start(), _UNCLOSED[found["open"]])
        if found["comment"]:
            pieces += [text[end : found.start()], _NOT_BLANK.sub(" ", found[0])]
            end = found.end()
    return "".join([*pieces, text[end:]])


_UNCLOSED = {"/*": "A comment is not closed.", '"': "A string is not closed."}


def _without_commas(text: str, plain: str) -> str:
    pieces = []
    end = 0
    for comma in _trailing_commas(text, plain):
        pieces += [plain[end:comma], " "]
        end = comma + 1
    return "".join([*pieces, plain[end:]])


def _trailing_commas(text: str, plain: str) -> Iterator[int]:
    """Where a comma follows a value and a bracket closes behind it. Raises for what is no JSON on the way."""
    brackets = _OpenBrackets()
    before, earlier = "", ""
    comma = 0
    for found in _TOKENS.finditer(plain):
        symbol = found[0]
        if detail := _fault(symbol) or brackets.meet(symbol, before):
            raise _broken(text, found.start(), detail, NotAcceptable if _NUMBER.fullmatch(symbol) else Rejected)
        if symbol in ("]", "}") and before == "," and earlier not in ("", "[", "{", ",", ":"):
            yield comma
        if symbol == ",":
            comma = found.start()
        before, earlier = symbol, before


def _fault(symbol: str) -> str | None:
    """What is wrong with a symbol that Python would read, or would tell without its place."""
    if symbol == "...":
        return "'...' stands for something left out: write it, or take it out."
    if symbol in _CONSTANTS:
        return f"{symbol} is not JSON."
    if symbol[0] == '"':
        return _fault_of_string(symbol) if "\\u" in symbol or "\x00" in symbol or not symbol.isascii() else None
    return _fault_of_number(symbol) if _NUMBER.fullmatch(symbol) else None


def _fault_of_number(symbol: str) -> str | None:
    if symbol.lstrip("-").isdigit():
        return "A number has too many digits." if len(symbol) > _DIGITS_MAX else None
    fault = number_fault(symbol) or ("a number is too small" if underflows(symbol) else None)
    return fault and f"{fault[0].upper()}{fault[1:]}."


def _fault_of_string(symbol: str) -> str | None:
    value = _string(symbol)
    if "\x00" in value:
        return "U+0000 cannot be stored."
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "A lone surrogate is not text."
    return None


def _string(symbol: str) -> str:
    try:
        value: str = json.loads(symbol)
    except ValueError:
        return ""  # the reader of the whole says what is wrong with it
    return value


@dataclass
class _OpenBrackets:
    """The objects and lists that are open: the keys of each object, None for a list."""

    open: list[set[str] | None] = field(default_factory=list)

    def meet(self, symbol: str, before: str) -> str | None:
        if symbol in ("{", "["):
            self.open.append(set() if symbol == "{" else None)
            return f"Nested deeper than {NESTING_MAX} levels." if len(self.open) > NESTING_MAX else None
        if symbol in ("}", "]") and self.open:
            self.open.pop()
        if symbol == ":" and before.startswith('"') and self.open:
            return self._key(_string(before))
        return None

    def _key(self, key: str) -> str | None:
        keys = self.open[-1]
        if keys is None:
            return None
        if key in keys:
            return f"The key {key[:100]!r} stands twice in one object."
        keys.add(key)
        return None


def _broken(text: str, at: int, detail: str, kind: type[Rejected] = Rejected) -> Rejected:
    return _refused(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), detail, kind)


def _refused(line: int, column: int, detail: str, kind: type[Rejected] = Rejected) -> Rejected:
    words = f"The JSON cannot be read: line {line}, column {column}: {detail}"
    return kind(words, errors=[{"line": line, "column": column, "detail": detail}], type="broken-json")
