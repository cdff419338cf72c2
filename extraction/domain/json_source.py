"""A page as JSON: an answer, the JSON-LD of a page, or the data in a script of it. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from extraction.domain.html_source import MirroredHtmlSource
from extraction.domain.page_sources import ValueNode
from extraction.domain.process_status import PageFailure
from extraction.domain.selectors import compile_jsonpath, is_jsonpath
from extraction.domain.typed_values import INTEGER_MAX
from taskhub.errors import Rejected
from taskhub.jsontools.lenient_json import parse_lenient

LD_SCRIPTS = 'script[type*="ld+json" i]'
_GUARD = re.compile(r"\)\]\}',?\s*|for\s*\(;;\);|while\s*\(1\);")  # before JSON that no script shall load
# What may stand before the data of a script: comments, and marks that once hid scripts from old browsers.
_BEFORE = re.compile(r"(?:\s+|<!--|<!\[CDATA\[|//[^\n]*|/\*.*?\*/)++", re.DOTALL)
# How scripts, and tools that make them short, write values that are no text.
_WRITTEN: dict[str, Any] = {
    **dict.fromkeys(("undefined", "void 0", "NaN", "Infinity")),
    "!0": True,
    "!1": False,
}
_PARSED = re.compile(r"""JSON\.parse\(\s*("(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+')""", re.DOTALL)
_ASSIGNED = re.compile(r"(?:=|:|\(|return|^)\s*(?=[{\[])")
CANDIDATES_MAX = 50  # places in a script where data may begin


class JsonNode:
    """A value, with the names that nodes of HTML have. What is in an object or a list is a node in it."""

    next = None
    attributes: Mapping[str, str | None] = {}

    def __init__(self, value: Any, parent: "JsonNode | None" = None, key: str | int | None = None) -> None:
        self.value, self.parent, self.key = value, parent, key
        self._inner: dict[str | int, JsonNode] = {}

    @property
    def mem_id(self) -> int:
        return id(self)

    @property
    def tag(self) -> str:
        return "[]" if isinstance(self.key, int) else str(self.key or "$")

    def inner(self, key: str | int) -> "JsonNode":
        """The node of a member that is there."""
        if key not in self._inner:
            self._inner[key] = JsonNode(self.value[key], self, key)
        return self._inner[key]

    def inner_nodes(self) -> Iterator["JsonNode"]:
        if isinstance(self.value, dict):
            yield from map(self.inner, self.value)
        elif isinstance(self.value, list):
            yield from map(self.inner, range(len(self.value)))

    def traverse(self) -> Iterator["JsonNode"]:
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(list(node.inner_nodes()))


class JsonSource:
    """A page of JSON. Selectors are JSONPath; one that finds a list finds what is in it.

    A selector that does not begin with `$` starts from the block. Where there is none it starts from the page, or from
    each thing in the list that the page is.
    """

    language = ""

    def __init__(self, value: Any) -> None:
        self.root: Any = JsonNode(value)

    def base_address(self, url: str) -> str:
        return url

    def select(self, selector: str) -> list[Any]:
        if isinstance(self.root.value, list) and not is_jsonpath(selector):
            return [found for item in self.root.inner_nodes() for found in self.select_within(selector, item)]
        return self.select_within(selector, self.root)

    def select_within(self, selector: str, block: Any) -> list[Any]:
        start = self.root if is_jsonpath(selector) else block
        if not isinstance(start, JsonNode):
            return []
        try:
            data = compile_jsonpath(selector).find(start.value)
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):  # CSS, for a page that turned out as JSON
            return []
        nodes = (_node_at(start, datum) for datum in data)
        found = [inner for node in nodes for inner in _items(node)]
        return list({node.mem_id: node for node in found}.values())

    @staticmethod
    def is_relative(selector: str) -> bool:
        return not is_jsonpath(selector)

    @staticmethod
    def text(node: Any) -> str | None:
        return text_of_value(node.value)

    lines = markup = text

    @staticmethod
    def value(node: Any) -> Any:
        value = node.value
        is_scalar = isinstance(value, float) or (isinstance(value, int) and abs(value) <= INTEGER_MAX)
        return value if is_scalar else text_of_value(value)

    @staticmethod
    def html(node: Any, *, outer: bool) -> str | None:
        return text_of_value(node.value)

    @staticmethod
    def attribute(node: Any, name: str) -> str | None:
        """A member of an object; for an address, the text itself."""
        if isinstance(node.value, dict):
            member = next((member for member in node.value if member.lower() == name), None)
            return None if member is None else text_of_value(node.value[member])
        return text_of_value(node.value)

    def hrefs(self) -> list[str]:
        return []

    @staticmethod
    def link(node: Any) -> str | None:
        return JsonSource.attribute(node, "url") or JsonSource.attribute(node, "href")


def _node_at(start: JsonNode, datum: Any) -> JsonNode | ValueNode:
    """The node of what a path found; a value that it computed is in the node that it was computed from."""
    keys: list[str | int] = []
    current = datum
    while current.context is not None:
        keys += _keys_of(current.path)
        current = current.context
    node = start
    for key in reversed(keys):
        if isinstance(node.value, list) and isinstance(key, int) and -len(node.value) <= key < len(node.value):
            node = node.inner(key % len(node.value))
        elif isinstance(node.value, dict) and key in node.value:
            node = node.inner(key)
        else:
            return ValueNode(datum.value, node)
    return node if node.value is datum.value else ValueNode(datum.value, node)


def _keys_of(path: Any) -> list[str | int]:
    """The key, or the place in a list, that a step of a match names; none for a step that stays where it is."""
    if fields := getattr(path, "fields", None):
        return [fields[0]]
    indices = getattr(path, "indices", None)
    return [indices[0]] if indices else []


def _items(node: Any) -> list[Any]:
    if not isinstance(node.value, list):
        return [node]
    return list(node.inner_nodes()) if isinstance(node, JsonNode) else [ValueNode(one, node) for one in node.value]


def text_of_value(value: Any) -> str | None:
    """A value of JSON as a text: that of an object or a list is JSON; null is none."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def parse_answer(text: str) -> JsonSource:
    """An answer that is JSON. Raises `PageFailure`."""
    try:
        return JsonSource(_parse(text))
    except Rejected as problem:
        raise PageFailure(f"It is no JSON. {problem.detail}") from None


def find_linked_data(html: str) -> JsonSource:
    """The things that a page describes in JSON-LD, as a list; those of a `@graph` are in it one by one."""
    things: list[Any] = []
    for script in MirroredHtmlSource(html).select(LD_SCRIPTS):
        value = script_data(script.text())
        for thing in value if isinstance(value, list) else [value]:
            graph = thing.get("@graph") if isinstance(thing, dict) else None
            things += graph if isinstance(graph, list) else [thing] if thing is not None else []
    return JsonSource(things)


def find_data(html: str, selector: str) -> JsonSource:
    """The data of the first script that a selector finds and that has some; else nothing."""
    scripts = MirroredHtmlSource(html).select(selector)
    found = (script_data(script.text()) for script in scripts if script.tag == "script")
    return JsonSource(next(filter(None, found), None))


def script_data(text: str) -> Any:
    """The data in a script: JSON, a text that it parses as JSON, or the first object or list that it assigns.

    An object may be written as JavaScript has it, without quotes and with commas at the end; on machines for which
    there is no wheel of chompjs, as JSON only. None where there is none.
    """
    before = _BEFORE.match(text)
    text = text[before.end() if before else 0 :].removesuffix("-->").strip()
    if text[:1] in "{[":
        try:
            return _parse(text)
        except Rejected:
            pass
    if match := _PARSED.search(text):
        try:
            return _parse(read_object(f"[{match[1]}]")[0])
        except (Rejected, ValueError):
            pass
    for match in list(_ASSIGNED.finditer(text, 0))[:CANDIDATES_MAX]:
        try:
            value: Any = read_object(text[match.end() :])
            if value:
                return value
        except (ValueError, RecursionError):
            continue
    return None


def read_object(text: str) -> Any:
    """The object or list with which a text of JavaScript begins. Raises `ValueError`."""
    try:
        import chompjs
    except ImportError:
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    return _with_values(chompjs.parse_js_object(text))


def _with_values(value: Any) -> Any:
    """An object or a list, with values in place of what JavaScript writes without quotes."""
    waiting = [value]
    while waiting:
        within = waiting.pop()
        members = within.items() if isinstance(within, dict) else enumerate(within)
        for key, inner in list(members):
            if isinstance(inner, dict | list):
                waiting.append(inner)
            elif isinstance(inner, str) and inner in _WRITTEN:
                within[key] = _WRITTEN[inner]
            elif inner != inner:  # a NaN that chompjs has read
                within[key] = None
    return value


def _parse(text: str) -> Any:
    guard = _GUARD.match(text)
    return parse_lenient((text[guard.end() :] if guard else text).encode("utf-8", "surrogatepass"))[0]
