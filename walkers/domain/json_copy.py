"""Copies of values as strict JSON: what a walker reports, and the contexts of nodes and edges."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from taskhub.error_texts import storable
from taskhub.jsontools.strict_json import NESTING_MAX

INTEGER_BITS_MAX = 1024  # what a double can still hold; far above what other languages read exactly


class NotJson(ValueError):
    """A value that JSON cannot hold. `path` says where it is, such as `[2].price`."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.path = path
        self.detail = detail


def json_copy(value: Any, *, room: int, mend: bool = False) -> tuple[Any, int]:
    """A copy of `value` made of JSON's types only, and about how many characters it takes.

    UUIDs, dates, times and decimals become text, enumerations their values; pydantic's models and anything with an
    `as_json()` method become objects. Raises `NotJson` for all else, for NaN and infinities, for what PostgreSQL
    cannot hold (U+0000, lone surrogates), for nesting deeper than 100, and for more than `room` characters. With `mend`
    texts that cannot be held have U+FFFD in these places instead.
    """
    copier = _Copier(room, mend)
    return copier.copy(value, "", 0), room - copier.room


class _Copier:
    def __init__(self, room: int, mend: bool) -> None:
        self.room = room
        self._mend = mend

    def copy(self, value: Any, path: str, depth: int) -> Any:
        if depth > NESTING_MAX:
            raise NotJson(path[:200], f"nested deeper than {NESTING_MAX} levels")
        self._spend(2, path)
        match value:
            case None | bool():
                return value
            case Enum():
                return self.copy(value.value, path, depth)
            case str():
                return self._text(value, path)
            case int():
                return self._integer(value, path)
            case float():
                return self._float(value, path)
            case UUID() | Decimal():
                return self._text(str(value), path)
            case datetime() | date() | time():
                return self._text(value.isoformat(), path)
            case Mapping():
                return {
                    self._key(key, path): self.copy(inner, f"{path}.{key}", depth + 1) for key, inner in value.items()
                }
            case list() | tuple():
                return [self.copy(inner, f"{path}[{index}]", depth + 1) for index, inner in enumerate(value)]
            case BaseModel():
                return self.copy(value.model_dump(), path, depth)
        if callable(getattr(value, "as_json", None)):
            return self.copy(value.as_json(), path, depth)
        raise NotJson(path, _reason(value))

    def _key(self, key: Any, path: str) -> str:
        if isinstance(key, bool) or not isinstance(key, str | int | UUID | date):
            raise NotJson(path, f"a key of an object is text, not {type(key).__name__}")
        text: str = self.copy(key, path, 0) if not isinstance(key, int) else str(self._integer(key, path))
        self._spend(len(text), path)
        return text

    def _text(self, text: str, path: str) -> str:
        self._spend(len(text), path)
        text = str.__str__(text)  # of a subclass it is a copy; its own `__str__` may say anything
        if self._mend:
            return storable(text)
        if "\x00" in text:
            raise NotJson(path, "text with U+0000 cannot be stored")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotJson(path, "a lone surrogate is not text") from None
        return text

    def _integer(self, number: int, path: str) -> int:
        if number.bit_length() > INTEGER_BITS_MAX:
            raise NotJson(path, f"a whole number of more than {INTEGER_BITS_MAX} bits")
        self._spend(number.bit_length() // 3, path)
        return int(number)

    def _float(self, number: float, path: str) -> float:
        if not math.isfinite(number):
            raise NotJson(path, f"{number} is not JSON")
        self._spend(16, path)
        return float(number)

    def _spend(self, size: int, path: str) -> None:
        self.room -= size
        if self.room < 0:
            raise NotJson(path[:200], "with this it is larger than is allowed")


def _reason(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, set | frozenset):
        return f"a {name} has no order and is not JSON; make it a list"
    if isinstance(value, bytes | bytearray):
        return f"{name} are not JSON; decode them"
    return f"a value of type {name} is not JSON"
