"""JSON as it comes from strangers: RFC 8259, and only what PostgreSQL's jsonb can hold again."""

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from taskhub.errors import Rejected

NESTING_MAX = 100


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises `Rejected`, naming the place, for: broken syntax, invalid UTF-8, duplicate keys, NaN and infinities, numbers
    out of range, lone surrogates, U+0000 and nesting deeper than 100.
    """
    text = _decoded(text)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise _broken(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _broken(f"nested deeper than {NESTING_MAX} levels") from None
    except ValueError:
        raise _broken("a number has too many digits") from None
    if text.count("[") + text.count("{") > NESTING_MAX or "\\u" in text:
        check_storable(value)
    return value


def check_storable(value: Any) -> None:
    """Raises `Rejected` with the place of the first text or nesting in `value` that jsonb cannot hold."""
    for pointer, text, depth in _walk(value):
        if depth > NESTING_MAX:
            raise _broken(f"nested deeper than {NESTING_MAX} levels")
        if "\x00" in text:
            raise _broken("U+0000 cannot be stored", pointer)
        if not _is_unicode(text):
            raise _broken("a lone surrogate is not text", pointer)


def escape_pointer(key: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _decoded(text: bytes | str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(f"byte {error.start} is not UTF-8") from None


def _walk(value: Any) -> Iterator[tuple[str, str, int]]:
    """Every text in `value`, keys included, with its pointer and depth; containers as empty texts."""
    waiting = [("", value, 0)]
    while waiting:
        pointer, item, depth = waiting.pop()
        if isinstance(item, str):
            yield pointer, item, depth
        elif isinstance(item, dict | list):
            yield pointer, "", depth + 1
            if depth >= NESTING_MAX:
                continue
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
            for key, inner in pairs:
                if isinstance(key, str):
                    yield pointer, key, depth
                waiting.append((f"{pointer}/{escape_pointer(str(key))}", inner, depth + 1))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _broken(f"the key {twice[:100]!r} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise _broken(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _broken("a number is out of range")
    return number


def _broken(detail: str, pointer: str = "") -> Rejected:
    pointer = pointer.encode("utf-8", "replace").decode()
    return Rejected("The JSON cannot be read.", errors=[{"pointer": pointer, "detail": detail}], type="broken-json")
