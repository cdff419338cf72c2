"""JSON as the documents print it: with `//` and `/* */` comments and trailing commas, and otherwise strict."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskhub.errors import Rejected
from taskhub.jsontools.strict_json import NESTING_MAX, parse_json

_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENTS = re.compile(rf"{_STRING}|(?P<comment>//[^\n\r]*|/\*.*?\*/)|(?P<open>/\*|\")", re.DOTALL)
_TOKENS = re.compile(rf"{_STRING}|\.\.\.|[\[\]{{}}:,]|[^\s\[\]{{}}:,\"]+", re.DOTALL)
_NOT_BLANK = re.compile(r"[^\n\r]")
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS_MAX = 4300  # what Python reads without being asked to
LENGTH_MAX = 2_000_000  # characters; half of them comments, for the largest sequence


def read(text: str) -> Any:
    """The value of a text.

    Raises `Rejected` of type `broken-json`, its error with `line`, `column` (from 1) and `detail`, for all that
    `parse_json` refuses, and for the documents' `...`, which stands for something left out.
    """
    if len(text) > LENGTH_MAX:
        raise _refused(1, 1, f"A sequence's text has at most {LENGTH_MAX} characters.")
    plain = _without_commas(text, _without_comments(text))
    try:
        return parse_json(plain)
    except Rejected as refusal:
        detail = refusal.errors[0]["detail"]
        place = re.search(r" at line (\d+), column (\d+)$", detail)
        if not place:
            raise _broken(text, 0, detail) from None
        raise _refused(int(place[1]), int(place[2]), detail[: place.start()].removesuffix(" at")) from None


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
    reading = _Reading()
    before, earlier = "", ""
    comma = 0
    for found in _TOKENS.finditer(plain):
        sign = found[0]
        if detail := _fault(sign) or reading.meet(sign, before):
            raise _broken(text, found.start(), detail)
        if sign in ("]", "}") and before == "," and earlier not in ("", "[", "{", ",", ":"):
            yield comma
        if sign == ",":
            comma = found.start()
        before, earlier = sign, before


def _fault(sign: str) -> str | None:
    """What is wrong with a sign that Python would read, or would tell without its place."""
    if sign == "...":
        return "'...' stands for something left out: write it, or take it out."
    if sign in _CONSTANTS:
        return f"{sign} is not JSON."
    if sign[0] == '"':
        return _fault_of_string(sign) if "\\u" in sign or "\x00" in sign or not sign.isascii() else None
    return _fault_of_number(sign) if _NUMBER.fullmatch(sign) else None


def _fault_of_number(sign: str) -> str | None:
    if sign.lstrip("-").isdigit():
        return "A number has too many digits." if len(sign) > _DIGITS_MAX else None
    return "A number is out of range." if math.isinf(float(sign)) else None


def _fault_of_string(sign: str) -> str | None:
    value = _string(sign)
    if "\x00" in value:
        return "U+0000 cannot be stored."
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "A lone surrogate is not text."
    return None


def _string(sign: str) -> str:
    try:
        value: str = json.loads(sign)
    except ValueError:
        return ""  # the reader of the whole says what is wrong with it
    return value


@dataclass
class _Reading:
    """The objects and lists that are open: the keys of each object, None for a list."""

    open: list[set[str] | None] = field(default_factory=list)

    def meet(self, sign: str, before: str) -> str | None:
        if sign in ("{", "["):
            self.open.append(set() if sign == "{" else None)
            return f"Nested deeper than {NESTING_MAX} levels." if len(self.open) > NESTING_MAX else None
        if sign in ("}", "]") and self.open:
            self.open.pop()
        if sign == ":" and before.startswith('"') and self.open:
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


def _broken(text: str, at: int, detail: str) -> Rejected:
    return _refused(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), detail)


def _refused(line: int, column: int, detail: str) -> Rejected:
    words = f"The JSON cannot be read: line {line}, column {column}: {detail}"
    return Rejected(words, errors=[{"line": line, "column": column, "detail": detail}], type="broken-json")
