"""JSON values: as text, their size, their type, and whether two are equal."""

import json
from typing import Any

from sequences.domain.validation_errors import StepFailure
from taskhub.jsontools.strict_json import NESTING_MAX

_FLOAT_SIZE = 20
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ValueTooLarge(StepFailure):
    pass


def as_text(value: Any) -> str:
    """Text inside a longer string: strings as they are, null is empty, all else as compact JSON.

    Raises `StepFailure` for what JSON cannot say.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return _compact(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise StepFailure(f"A value cannot be written as text: {error}") from None


def weigh(value: Any, room: int, subject: str) -> int:
    """About how many characters `value` takes as JSON.

    A part that stands in several places counts as often, as it would be written: so a small value that holds itself
    many times over cannot grow unseen. Raises `ValueTooLarge` past `room` characters and `StepFailure` past 100 levels
    of nesting, whose messages begin with `subject`.
    """
    size = 0
    level = [value]
    for _ in range(NESTING_MAX + 1):
        below: list[Any] = []
        for item in level:
            # Written out, not taken apart: this is most of what a step costs.
            if isinstance(item, str):
                size += len(item) + 2
            elif isinstance(item, dict):
                size += 4 * len(item) + sum(map(len, item)) + 2
                below += item.values()
            elif isinstance(item, list):
                size += len(item) + 2
                below += item
            elif item is None or isinstance(item, int):
                size += 5 + (item or 0).bit_length() // 3
            elif isinstance(item, float):
                size += _FLOAT_SIZE
            else:
                raise StepFailure(f"{subject} would hold a {type(item).__name__}, which is not JSON.")
            if size > room:
                raise ValueTooLarge(f"{subject} would be larger than {room} characters.")
        if not below:
            return size
        level = below
    raise StepFailure(f"{subject} would be nested deeper than {NESTING_MAX} levels.")


def kind(value: Any) -> str:
    """The name that JSON has for it; a boolean is no number."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true are not. Values nest at most as deep as JSON may."""
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return bool(left == right)
