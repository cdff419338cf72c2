"""Lists in XML, such as the items of a feed: elements at one path that repeat. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from extraction.domain.suggestion.data_lists import (
    DEPTH_MAX,
    ITEMS_SEEN,
    MEMBER_DEPTH_MAX,
    DataList,
    best_lists,
    fields_of_items,
)
from extraction.domain.xml_source import XmlNode, XmlSource

ELEMENTS_MAX = 40_000  # that are looked at
_FEED = re.compile(r"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*+<(?:rss|feed|rdf:RDF)[\s>]", re.DOTALL)


def is_feed(text: str) -> bool:
    """Whether a text is RSS or Atom, whatever its server says of it."""
    return _FEED.match(text[:10_000]) is not None


def title_of_feed(source: XmlSource) -> str:
    titles = source.select("/rss/channel/title") or source.select("/feed/title") or source.select("/*/channel/title")
    return source.text(titles[0]) if titles else ""


def find_element_lists(source: XmlSource) -> list[DataList]:
    """Finds the elements that are several at one path, the lists with the most values first. Fields have XPaths."""
    elements: dict[str, list[XmlNode]] = {}
    for path, element in islice(_walk(source.root, "", 0), ELEMENTS_MAX):
        elements.setdefault(path, []).append(element)
    tags = Counter(path.rpartition("/")[2] for path in elements)
    lists = []
    for path, found in elements.items():
        tag = path.rpartition("/")[2]
        if len(found) > 1:
            selector = tag if tags[tag] == 1 and ":" not in tag else path
            lists.append(DataList(selector, [_values_in(element) for element in found]))
    for one in lists:
        one.fields = fields_of_items(one.items[:ITEMS_SEEN])
    return best_lists(lists)


def _walk(element: XmlNode, outer: str, depth: int) -> Iterator[tuple[str, XmlNode]]:
    """An element and those in it, with their paths."""
    path = f"{outer}/{element.tag}"
    yield path, element
    if depth < DEPTH_MAX:
        for child in element.children():
            yield from _walk(child, path, depth + 1)


def _values_in(element: XmlNode) -> dict[str, Any]:
    """The texts and attributes in an element, by their XPaths from there; several at one are a list."""
    values: dict[str, list[str]] = {}
    for path, text in _texts(element, ".", 0):
        values.setdefault(path, []).append(text)
    return {path: texts[0] if len(texts) == 1 else texts for path, texts in values.items()}


def _texts(element: XmlNode, path: str, depth: int) -> Iterator[tuple[str, str]]:
    children = list(element.children()) if depth < MEMBER_DEPTH_MAX else []
    if not children and (text := XmlSource.text(element).strip()):
        yield path, text
    for name, value in element.attributes.items():
        if value:
            yield f"{path}/@{name}", value
    for child in children:
        yield from _texts(child, f"{path}/{child.tag}", depth + 1)
