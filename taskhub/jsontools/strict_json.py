"""JSON as it comes from strangers: RFC 8259, and only what PostgreSQL's jsonb can hold again."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from taskhub.errors import NotAcceptable, Rejected
from taskhub.jsontools.byte_order_marks import in_utf8
from taskhub.jsontools.json_numbers import number_fault, underflows

NESTING_MAX = 100
_SHORT_NUMBER = 1_000  # characters; what a double holds of such a number, jsonb holds as well
_SYMBOLS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:]', re.DOTALL)

# The path of a value: the path of what holds it, and its key there. It becomes a pointer only when it is told:
# with a text for every item, a long key with many children would fill the memory.
_Path = tuple[Any, ...]


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises `Rejected`, with the place, for: broken syntax, invalid UTF-8, duplicate keys, NaN and infinities, lone
    surrogates, U+0000 and nesting deeper than 100; and `NotAcceptable` for a number that cannot be kept.
    """
    text = _decoded(text)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_float=parse_double)
    except json.JSONDecodeError as error:
        raise _broken(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _broken(f"nested deeper than {NESTING_MAX} levels") from None
    except _DuplicateKey:
        raise _twice(text) from None
    except ValueError:
        raise _unkeepable("a number has too many digits") from None
    # Only these can bring in what is looked for below: most texts are spared the walk.
    if text.count("[") + text.count("{") > NESTING_MAX or "\\u" in text or not _is_unicode(text):
        check_storable(value)
    return value


def check_storable(value: Any) -> None:
    """Raises `Rejected` with the pointer of the first text or nesting in `value` that jsonb cannot hold."""
    for path, text in _walk(value):
        if "\x00" in text:
            raise _broken("U+0000 cannot be stored", _pointer(path))
        if not _is_unicode(text):
            raise _broken("a lone surrogate is not text", _pointer(path))


def find_duplicate_key(text: str) -> tuple[int, str] | None:
    """Where a key stands for the second time in one object, and the key, in a text of valid JSON."""
    objects: list[set[str]] = []
    last = None
    for symbol in _SYMBOLS.finditer(text):
        match symbol[0]:
            case "{" | "[":
                objects.append(set())
            case "}" | "]":
                objects.pop()
            case ":" if last is not None:
                key: str = json.loads(last[0])
                if key in objects[-1]:
                    return last.start(), key
                objects[-1].add(key)
            case _:
                last = symbol
    return None


def escape_pointer(key: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _decoded(text: bytes | str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")  # a byte order mark, as in a text of a form
    try:
        return in_utf8(text).decode()
    except UnicodeDecodeError as error:
        raise _broken(f"byte {error.start} is not UTF-8") from None


def _walk(value: Any) -> Iterator[tuple[_Path, str]]:
    """Every text in `value`, keys included, with its path; depth first, so that it needs the memory of one branch."""
    branch: list[tuple[_Path, Iterator[tuple[Any, Any]]]] = [((), enumerate([value]))]
    while branch:
        if len(branch) > NESTING_MAX + 1:
            raise _broken(f"nested deeper than {NESTING_MAX} levels")
        path, children = branch[-1]
        for key, item in children:
            if isinstance(key, str):
                yield path, key
            if isinstance(item, str):
                yield (path, key), item
            elif isinstance(item, dict | list):
                branch.append(((path, key), iter(item.items() if isinstance(item, dict) else enumerate(item))))
                break
        else:
            branch.pop()


def _pointer(path: _Path) -> str:
    steps = []
    while path:
        path, key = path
        steps.append(escape_pointer(str(key)))
    return "".join(f"/{step}" for step in reversed(steps[:-1]))  # the last is the whole value's own


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _DuplicateKey(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _twice(text: str) -> Rejected:
    position, key = find_duplicate_key(text) or (0, "")
    place = json.JSONDecodeError("", text, position)
    return _broken(f"the key {key[:100]!r} stands twice in one object at line {place.lineno}, column {place.colno}")


def _constant(name: str) -> NoReturn:
    raise _broken(f"{name} is not JSON")


def parse_double(text: str) -> float:
    """The value of a number with a point or an exponent. Raises `NotAcceptable` for one that cannot be kept."""
    number = float(text)
    if not number or math.isinf(number) or len(text) > _SHORT_NUMBER:
        if fault := number_fault(text):
            raise _unkeepable(fault)
        if underflows(text):
            raise _unkeepable("a number is too small")
    return number


def _unkeepable(detail: str) -> NotAcceptable:
    return NotAcceptable("The JSON cannot be kept.", errors=[{"pointer": "", "detail": detail}])


def _broken(detail: str, pointer: str = "") -> Rejected:
    pointer = pointer.encode("utf-8", "replace").decode()
    return Rejected("The JSON cannot be read.", errors=[{"pointer": pointer, "detail": detail}], type="broken-json")
