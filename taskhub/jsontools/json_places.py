"""Places of values in the text of a JSON document, comments and all: where a fault with a path or a pointer stands."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from taskhub.jsontools.jsonc import symbols_of

Keys = tuple[str, ...]  # those that lead to a value; of a list's item the number as text

_PATH_STEP = re.compile(r'\[(\d+)\]|\[("(?:[^"\\]++|\\.)*+")\]|([^.\[]+)')


class TextPlace(NamedTuple):
    """`line` and `column` count from 1, `length` is in characters; a place ends on its line."""

    line: int
    column: int
    length: int


def keys_of_path(path: str) -> Keys:
    """The keys of a path such as `requests[1].body["a b"]`."""
    steps = _PATH_STEP.finditer(path)
    return tuple(step[1] or (json.loads(step[2]) if step[2] else step[3]) for step in steps)


def keys_of_pointer(pointer: str) -> Keys:
    """The keys of a JSON pointer (RFC 6901)."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])


def find_places(text: str, paths: Sequence[Keys]) -> list[TextPlace]:
    """Where each path leads in a text that `parse_jsonc` has read, all found in one pass.

    A member's place is its key, with its value where that is a text, a number or a word. A path to what is not there
    has the place of the innermost value that would hold it.
    """
    root = _Sought()
    for path in paths:
        node = root
        for key in path:
            node = node.children.setdefault(key, _Sought())
    _find(text, root)
    lines = _LineStarts(text)
    return [lines.place(*_innermost(root, path)) for path in paths]


@dataclass(slots=True)
class _Sought:
    """A value that is looked for, or that holds one; `span` is where it was found."""

    children: "dict[str, _Sought]" = field(default_factory=dict)
    span: tuple[int, int] | None = None


@dataclass(slots=True)
class _Open:
    """An object or a list that is open; `index` is that of a list's present item, None in an object."""

    sought: _Sought | None
    index: int | None

    def child(self, key: str) -> _Sought | None:
        return self.sought.children.get(key) if self.sought else None


def _find(text: str, root: _Sought) -> None:
    """Gives each node that there is its span."""
    open_values: list[_Open] = []
    sought: _Sought | None = root  # what the next value is for
    key: tuple[int, int] | None = None  # the span of its key
    expects_key = False
    for found in symbols_of(text):
        symbol = found[0]
        if symbol in ("}", "]"):
            open_values.pop()
            expects_key = False
        elif symbol == ",":
            holder = open_values[-1]
            expects_key = holder.index is None
            if holder.index is not None:
                holder.index += 1
                sought, key = holder.child(str(holder.index)), None
        elif expects_key:
            sought, key, expects_key = open_values[-1].child(json.loads(symbol)), found.span(), False
        elif symbol != ":":
            opens = symbol in ("{", "[")
            if sought:
                sought.span = (key or found.span())[0], (key if key and opens else found.span())[1]
            if opens:
                holder = _Open(sought, 0 if symbol == "[" else None)
                open_values.append(holder)
                expects_key = symbol == "{"
                sought, key = holder.child("0"), None


def _innermost(root: _Sought, path: Iterable[str]) -> tuple[int, int]:
    """The span of the last node on a path that was found."""
    node, span = root, root.span or (0, 1)
    for key in path:
        node = node.children[key]
        span = node.span or span
    return span


class _LineStarts:
    """The lines of a text, by which offsets in it become places."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._length = len(text)

    def place(self, start: int, end: int) -> TextPlace:
        line = bisect_right(self._starts, start)
        line_end = self._starts[line] - 1 if line < len(self._starts) else self._length
        return TextPlace(line, start - self._starts[line - 1] + 1, max(1, min(end, line_end) - start))
