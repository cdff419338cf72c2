"""The functions of expressions, which stand behind `|`: a closed list. Each gets a value, and its arguments.

Where a function takes text, null is empty text and any other value its compact JSON. What a function cannot take is a
`StepFailure` that names the function.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from sequences.domain.json_values import as_text, kind, weigh
from sequences.domain.scope import Scope
from sequences.domain.validation_errors import InvalidSyntax, StepFailure
from taskhub.errors import Problem
from taskhub.jsontools.strict_json import parse_json

FORMAT_MAX = 200  # characters of a format of dates
_SHIFT = re.compile(r"([+-]?)((?:[0-9]{1,9}[smhdw])+)")
_PART = re.compile(r"([0-9]+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DIRECTIVES = re.compile(r"%[aAbBdHIjmMpSUwWyYzZfGuV%]|[^%]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ].*)?")
ISO = "%Y-%m-%dT%H:%M:%SZ"

Compute = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class TextFunction:
    """`compute(scope, value, *arguments)`, with how many arguments. `rewrites`: its value tells what it is of, in
    another form.

    `check(*arguments)` raises `InvalidSyntax` for arguments that stand in the sequence as they are.
    """

    compute: Compute
    least: int = 0
    most: int = 0
    rewrites: bool = True
    check: Callable[..., None] = lambda *arguments: None


def _text(scope: Scope, value: Any) -> str:
    return scope.count_text(as_text(value))


def _default(scope: Scope, value: Any, other: Any) -> Any:
    return other if value is None else value


def _json(scope: Scope, value: Any) -> str:
    weigh(value, scope.text_room, "A text")
    return scope.count_text(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def _parse_json(scope: Scope, value: Any) -> Any:
    try:
        return parse_json(_text(scope, value))
    except Problem as refusal:
        raise StepFailure(f"parse_json: {refusal.detail}") from None


def _base64(scope: Scope, value: Any) -> str:
    return scope.count_text(base64.b64encode(_text(scope, value).encode()).decode())


def _unbase64(scope: Scope, value: Any) -> str:
    text = re.sub(r"\s", "", _text(scope, value)).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = "\x00"
    if "\x00" in decoded:
        raise StepFailure("unbase64: this is no text in Base64.")
    return decoded


def _urlencode(scope: Scope, value: Any) -> str:
    """Text percent-encoded (RFC 3986); of an object the query that says it, lists repeated and null left out."""
    if isinstance(value, dict):
        return scope.count_text(encode_query(value))
    return scope.count_text(quote(_text(scope, value), safe=""))


def encode_query(fields: dict[str, Any]) -> str:
    """Names and values as in a query or a form: lists repeat their name, null is left out."""
    pairs = [
        (name, as_text(item))
        for name, value in fields.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    return urlencode(pairs)


def _length(scope: Scope, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str | list | dict):
        return len(value)
    raise StepFailure(f"length: {kind(value)} has none.")


def _join(scope: Scope, value: Any, separator: Any = ",") -> str:
    if not isinstance(value, list):
        raise StepFailure(f"join: this is an array, not {kind(value)}.")
    scope.visit(len(value))
    glue = as_text(separator)
    scope.text_room -= len(glue) * len(value)
    return glue.join([_text(scope, item) for item in value])


def _split(scope: Scope, value: Any, separator: Any = ",") -> list[str]:
    glue = as_text(separator)
    if not glue:
        raise StepFailure("split: the separator is empty.")
    parts = _text(scope, value).split(glue)
    scope.visit(len(parts))
    return parts


def _end(index: int) -> Compute:
    def compute(scope: Scope, value: Any) -> Any:
        if not isinstance(value, list | str):
            return None if value is None else _refuse("first and last", value)
        return value[index] if value else None

    return compute


def _refuse(name: str, value: Any) -> Any:
    raise StepFailure(f"{name}: this cannot be {kind(value)}.")


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", value) else float(value)
        except ValueError:
            raise StepFailure(f"{name}: {value[:40]!r} is no number.") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StepFailure(f"{name}: this is a number, not {kind(value)}.")
    return _finite(name, value)


def _finite(name: str, value: int | float) -> int | float:
    if value != value or value in (float("inf"), float("-inf")):  # NaN is not equal to itself
        raise StepFailure(f"{name}: the number is out of range.")
    return value


def _int(scope: Scope, value: Any) -> int:
    return int(_number("int", value))


def _float(scope: Scope, value: Any) -> float:
    try:
        return float(_number("float", value))
    except OverflowError:
        raise StepFailure("float: the number is out of range.") from None


def _round(scope: Scope, value: Any, digits: Any = 0) -> int | float:
    number, places = _number("round", value), _int(scope, digits)
    if not -300 <= places <= 300:
        raise StepFailure("round: digits are from -300 to 300.")
    return round(number) if places == 0 else round(number, places)


def _add(scope: Scope, value: Any, other: Any) -> int | float:
    try:
        return _finite("add", _number("add", value) + _number("add", other))
    except OverflowError:
        raise StepFailure("add: the number is out of range.") from None


def _sha256(scope: Scope, value: Any) -> str:
    return hashlib.sha256(_text(scope, value).encode()).hexdigest()


def _hmac_sha256(scope: Scope, value: Any, key: Any) -> str:
    return hmac.new(_text(scope, key).encode(), _text(scope, value).encode(), "sha256").hexdigest()


def _date(scope: Scope, value: Any, format_: Any = ISO, shift: Any = None) -> str:
    try:
        _check_date(format_, shift)
        moment = _moment(value) + _shift(shift)
    except (InvalidSyntax, ValueError, OverflowError, OSError) as error:
        raise StepFailure(f"date: {error}") from None
    return scope.count_text(moment.strftime(format_))


def _check_date(format_: Any = ISO, shift: Any = None) -> None:
    if not isinstance(format_, str) or len(format_) > FORMAT_MAX or _DIRECTIVES.sub("", format_):
        raise InvalidSyntax(f"{format_!r:.100} is no format of a date, such as %Y-%m-%d.")
    if shift is not None and not (isinstance(shift, str) and _SHIFT.fullmatch(shift)):
        raise InvalidSyntax(f"{shift!r:.100} is no shift of a date, such as -1d or 2h30m.")


def _moment(value: Any) -> datetime:
    """A time as in RFC 3339 (without a zone it is UTC), a day, or seconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("this is no time, such as 2026-01-31T12:00:00Z.")
    moment = datetime.fromisoformat(value.upper())
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shift(shift: Any) -> timedelta:
    whole = _SHIFT.fullmatch(shift or "0s")
    assert whole
    parts = [timedelta(**{_UNITS[unit]: int(count)}) for count, unit in _PART.findall(whole[2])]
    return sum(parts, timedelta()) * (-1 if whole[1] == "-" else 1)


FUNCTIONS: dict[str, TextFunction] = {
    "default": TextFunction(_default, 1, 1, rewrites=False),
    "json": TextFunction(_json),
    "parse_json": TextFunction(_parse_json),
    "base64": TextFunction(_base64),
    "unbase64": TextFunction(_unbase64),
    "urlencode": TextFunction(_urlencode),
    "lower": TextFunction(lambda scope, value: _text(scope, value).lower()),
    "upper": TextFunction(lambda scope, value: _text(scope, value).upper()),
    "trim": TextFunction(lambda scope, value: _text(scope, value).strip()),
    "length": TextFunction(_length, rewrites=False),
    "join": TextFunction(_join, 0, 1),
    "split": TextFunction(_split, 0, 1),
    "first": TextFunction(_end(0), rewrites=False),
    "last": TextFunction(_end(-1), rewrites=False),
    "int": TextFunction(_int),
    "float": TextFunction(_float),
    "round": TextFunction(_round, 0, 1),
    "add": TextFunction(_add, 1, 1),
    "sha256": TextFunction(_sha256, rewrites=False),
    "hmac_sha256": TextFunction(_hmac_sha256, 1, 1, rewrites=False),
    "date": TextFunction(_date, 0, 2, check=_check_date),
}


def function(name: str, count: int) -> TextFunction:
    """The function of that name for so many arguments. Raises `InvalidSyntax`."""
    found = FUNCTIONS.get(name)
    if found is None:
        raise InvalidSyntax(f"There is no function {name[:40]!r}; there are {', '.join(FUNCTIONS)}.")
    if not found.least <= count <= found.most:
        wanted = str(found.least) if found.least == found.most else f"{found.least} to {found.most}"
        raise InvalidSyntax(f"The function {name} takes {wanted} arguments, not {count}.")
    return found
