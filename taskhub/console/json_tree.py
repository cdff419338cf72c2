"""JSON values as trees that fold, without a script: a script only searches and copies them."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import orjson
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

NODES_MAX = 2000
DEPTH_MAX = 30  # what lies deeper is shown as text
OPEN_DEPTH = 2
OPEN_ITEMS = 20  # what has more is folded
TEXT_MAX = 2000  # characters of one text
CELL_MAX = 120  # of one in a table
COPIED_MAX = 1_000_000  # characters that can be copied; more has to be asked for
KINDS = {
    bool: "constant",
    type(None): "constant",
    int: "number",
    float: "number",
    orjson.Fragment: "number",  # of a document, with more digits than a double holds
    str: "text",
}


class JsonView:
    """A JSON value to be looked at, up to `NODES_MAX` nodes of it. Its secrets are masked by who makes it."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value
        self._left = NODES_MAX

    @property
    def is_empty(self) -> bool:
        return self.value in (None, {}, [], "")

    @cached_property
    def text(self) -> str:
        """The whole value, indented; empty where it is too long to be copied from a page."""
        text = _dumped(self.value, orjson.OPT_INDENT_2)
        return text if len(text) <= COPIED_MAX else ""

    @property
    def tree(self) -> SafeString:
        self._left = NODES_MAX
        return format_html('<ul class="json-tree">{}</ul>', self._node(None, self.value, 0))

    def _node(self, key: str | None, value: Any, depth: int) -> SafeString:
        label = format_html('<span class="json-key">{}</span> ', key) if key is not None else SafeString("")
        if not isinstance(value, dict | list) or not value or depth >= DEPTH_MAX:
            return format_html("<li>{}{}</li>", label, _leaf(value))
        children = format_html_join("", "{}", self._children(value, depth))
        mark = "{{{}}}" if isinstance(value, dict) else "[{}]"
        return format_html(
            '<li><details{}><summary>{}<span class="json-size">{}</span></summary><ul>{}</ul></details></li>',
            SafeString(" open") if depth < OPEN_DEPTH and len(value) <= OPEN_ITEMS else "",
            label,
            mark.format(len(value)),
            children,
        )

    def _children(self, value: Any, depth: int) -> Iterator[tuple[SafeString]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for index, (key, inner) in enumerate(pairs):
            if self._left <= 0:
                yield (format_html('<li class="muted">and {} more</li>', len(value) - index),)
                return
            self._left -= 1
            yield (self._node(str(key), inner, depth + 1),)


def one_line(value: Any) -> str:
    """A value as a cell of a table shows it; what is long is cut."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CELL_MAX else f"{text[:CELL_MAX]}..."


def _dumped(value: Any, option: int = 0) -> str:
    """The value as JSON: by `orjson`, which writes numbers as documents have them, and what it refuses by `json`."""
    try:
        return orjson.dumps(value, option=option).decode()
    except TypeError:
        return json.dumps(value, indent=2 if option else None, ensure_ascii=False, default=str)


def _leaf(value: Any) -> SafeString:
    text = _dumped(value)
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}... ({len(text)} characters)"
    return format_html('<span class="json-value json-{}">{}</span>', KINDS.get(type(value), "other"), text)
