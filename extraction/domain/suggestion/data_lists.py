"""Lists in data: in JSON, and in what a page describes for search engines (JSON-LD). Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from extraction.domain.record_field import DATE, NUMBER, URL
from extraction.domain.suggestion.slot_fields import FIELDS_MAX
from extraction.domain.suggestion.text_types import type_of

LISTS_MAX = 20
DEPTH_MAX = 6
ITEMS_SEEN = 50
MEMBER_DEPTH_MAX = 3
UNTELLING = frozenset({"value", "name", "text"})  # without what has them
PLAIN_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")


@dataclass
class DataList:
    """Objects or elements that are alike, with the selector that finds them, and the fields of a payload that they
    have. What an element has in it is a mapping, too.
    """

    path: str
    items: list[dict[str, Any]]
    fields: list[dict[str, Any]] = field(default_factory=list)


def find_lists(value: Any) -> list[DataList]:
    """Finds the lists of objects in JSON, the ones with the most values first."""
    lists = [DataList(path, items) for path, items in _lists_in(value, "$", 0)]
    return _with_fields(lists)


def find_linked_lists(things: Sequence[Any]) -> list[DataList]:
    """Finds what a page describes several of: things with one type, or the items of a list."""
    lists: list[DataList] = []
    by_type: dict[str, list[dict[str, Any]]] = {}
    for thing in things:
        if not isinstance(thing, dict):
            continue
        type = thing.get("@type")
        if isinstance(type, str) and type.isalnum():
            by_type.setdefault(type, []).append(thing)
        if isinstance(items := thing.get("itemListElement"), list) and type != "BreadcrumbList":
            lists.append(DataList(f"$[?(@['@type'] == '{type}')].itemListElement", list(filter(_is_object, items))))
        entity = thing.get("mainEntity")
        if isinstance(entity, dict) and isinstance(items := entity.get("itemListElement"), list):
            lists.append(DataList("$[*].mainEntity.itemListElement", list(filter(_is_object, items))))
    lists += [DataList(f"$[?(@['@type'] == '{type}')]", things) for type, things in by_type.items()]
    return _with_fields([one for one in lists if len(one.items) > 1])


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _lists_in(value: Any, path: str, depth: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if depth > DEPTH_MAX:
        return
    if isinstance(value, list):
        items = [one for one in value if isinstance(one, dict)]
        if len(items) > 1 and len(items) * 2 > len(value):
            yield path, items
        return
    if isinstance(value, dict):
        for key, inner in list(value.items())[:200]:
            if key and PLAIN_KEY.issuperset(key):
                yield from _lists_in(inner, f"{path}.{key}", depth + 1)


def _with_fields(lists: list[DataList]) -> list[DataList]:
    for one in lists[:LISTS_MAX]:
        one.fields = fields_of_items([dict(_members(item, "", 0)) for item in one.items[:ITEMS_SEEN]])
    return best_lists(lists)


def best_lists(lists: Sequence[DataList]) -> list[DataList]:
    """Those of the first lists that have fields, the ones with the most values first."""
    found = [one for one in lists[:LISTS_MAX] if one.fields]
    return sorted(found, key=lambda one: len(one.items) * len(one.fields), reverse=True)


def fields_of_items(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The fields of items with values by their selectors: those whose values differ."""
    values: dict[str, list[Any]] = {}
    for item in items:
        for path, value in item.items():
            values.setdefault(path, []).append(value)
    fields: list[dict[str, Any]] = []
    names = Counter[str]()
    for path, found in values.items():
        if len(found) < 0.2 * len(items) or (len(items) > 2 and len(set(map(repr, found))) == 1):
            continue
        name = _name_of(path)
        names[name] += 1
        name = name if names[name] == 1 else f"{name}_{names[name]}"
        fields.append({"name": name, "selector": path, **_terms(path, found)})
    return fields[:FIELDS_MAX]


def _name_of(path: str) -> str:
    """What the values at a JSONPath or XPath are called: its last word, or the last two where one tells little."""
    is_xpath = path.startswith("./")
    words = [step.rpartition(":")[2] for step in path[2:].split("/")] if is_xpath else path.strip(".").split(".")
    is_untelling = words[-1] in UNTELLING or words[-1].startswith("@")
    return "_".join(words[-2:] if is_untelling else words[-1:]).replace("@", "") or "text"


def _members(value: dict[str, Any], at: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, inner in list(value.items())[:100]:
        if not key or not PLAIN_KEY.issuperset(key) or key[0].isdigit():
            continue
        path = f"{at}.{key}" if at else key
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
            path = f"{path}[0]" if isinstance(inner, dict) else path
        if isinstance(inner, dict):
            if depth < MEMBER_DEPTH_MAX:
                yield from _members(inner, path, depth + 1)
        elif inner is not None and not (isinstance(inner, list) and any(isinstance(one, dict | list) for one in inner)):
            yield path, inner


def _terms(path: str, values: Sequence[Any]) -> dict[str, Any]:
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        return {}
    if all(text.startswith(("http://", "https://", "/")) for text in texts):
        return {"type": URL}
    kind = type_of(texts)
    return {"type": kind} if kind in {NUMBER, DATE} else {}
