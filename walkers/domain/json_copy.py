"""Copies of values as strict JSON: what a walker reports, and the contexts of nodes and edges."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from taskhub.jsontools.strict_json import NESTING_MAX

INTEGER_BITS_MAX = 1024  # what a double can still hold; far above what other languages read exactly


class NotJson(ValueError):
    """A value that JSON cannot hold. `place` says where it is, such as `[2].price`."""

    def __init__(self, place: str, detail: str) -> None:
        super().__init__(f"{place}: {detail}" if place else detail)
        self.place = place
        self.detail = detail


def json_copy(value: Any, *, room: int) -> tuple[Any, int]:
    """A copy of `value` made of JSON's types only, and about how many characters it takes.

    UUIDs, dates, times and decimals become text, enumerations their values; pydantic's models and anything with an
    `as_json()` method become objects. Raises `NotJson` for all else, for NaN and infinities, for what PostgreSQL
    cannot hold (U+0000, lone surrogates), for nesting deeper than 100, and for more than `room` characters.
    """
    copier = _Copier(room)
    return copier.copy(value, "", 0), room - copier.room


class _Copier:
    def __init__(self, room: int) -> None:
        self.room = room

    def copy(self, value: Any, place: str, depth: int) -> Any:
        if depth > NESTING_MAX:
            raise NotJson(place[:200], f"nested deeper than {NESTING_MAX} levels")
        self._spend(2, place)
        match value:
            case None | bool():
                return value
            case Enum():
                return self.copy(value.value, place, depth)
            case str():
                return self._text(value, place)
            case int():
                return self._integer(value, place)
            case float():
                return self._float(value, place)
            case UUID() | Decimal():
                return self._text(str(value), place)
            case datetime() | date() | time():
                return self._text(value.isoformat(), place)
            case Mapping():
                return {
                    self._key(key, place): self.copy(inner, f"{place}.{key}", depth + 1) for key, inner in value.items()
                }
            case list() | tuple():
                return [self.copy(inner, f"{place}[{index}]", depth + 1) for index, inner in enumerate(value)]
            case BaseModel():
                return self.copy(value.model_dump(), place, depth)
        if callable(getattr(value, "as_json", None)):
            return self.copy(value.as_json(), place, depth)
        raise NotJson(place, _reason(value))

    def _key(self, key: Any, place: str) -> str:
        if isinstance(key, bool) or not isinstance(key, str | int | UUID | date):
            raise NotJson(place, f"a key of an object is text, not {type(key).__name__}")
        text: str = self.copy(key, place, 0) if not isinstance(key, int) else str(self._integer(key, place))
        self._spend(len(text), place)
        return text

    def _text(self, text: str, place: str) -> str:
        self._spend(len(text), place)
        if "\x00" in text:
            raise NotJson(place, "text with U+0000 cannot be stored")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotJson(place, "a lone surrogate is not text") from None
        return str(text)

    def _integer(self, number: int, place: str) -> int:
        if number.bit_length() > INTEGER_BITS_MAX:
            raise NotJson(place, f"a whole number of more than {INTEGER_BITS_MAX} bits")
        self._spend(number.bit_length() // 3, place)
        return int(number)

    def _float(self, number: float, place: str) -> float:
        if not math.isfinite(number):
            raise NotJson(place, f"{number} is not JSON")
        self._spend(16, place)
        return float(number)

    def _spend(self, size: int, place: str) -> None:
        self.room -= size
        if self.room < 0:
            raise NotJson(place[:200], "with this it is larger than is allowed")


def _reason(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, set | frozenset):
        return f"a {name} has no order and is not JSON; make it a list"
    if isinstance(value, bytes | bytearray):
        return f"{name} are not JSON; decode them"
    return f"a value of type {name} is not JSON"
