"""JSONPath as jsonpath-ng reads it, evaluated within bounds.

jsonpath-ng's own `find` keeps every match's way from the root and follows `$..*..*..*` for as long as it takes; here
a path is a row of functions from matches to matches, and each match is counted.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.parser import JsonPathParser

from sequences.domain.scope import Scope
from sequences.domain.validation_errors import Unreadable

Matches = list[Any]
Walk = Callable[[Matches, Scope], Matches]

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_POSITION = re.compile(r"0|[1-9][0-9]{0,8}")
_REFUSED = {
    "$": "a second root",
    "|": "the union of two paths",
    "&": "the intersection of two paths",
    "`": "a named operator",
    "?": "a filter in a path; a loop has a filter of its own",
    "(": "a parenthesis, which belongs after a single dot",
    "~": "the keys of an object",
}


@lru_cache(maxsize=2048)
def read_path(text: str) -> tuple[tuple[Walk, ...], bool]:
    """The steps of a path such as `[*].id` or `..jid`, and whether it is definite: it names one place at most.

    Raises `Unreadable`.
    """
    _check_signs(text)
    try:
        parsed = JsonPathParser().parse(f"${text}")
    except (JSONPathError, ValueError, RecursionError) as error:
        raise Unreadable(f"{text[:100]!r} is no JSONPath: {str(error)[:200]}") from None
    parts = list(_parts(parsed))
    return tuple(_walk(part) for part in parts), all(map(_is_definite, parts))


def children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def member(value: Any, key: str) -> Matches:
    """What an object has under `key`, or a list at that place."""
    if isinstance(value, dict):
        return [value[key]] if key in value else []
    if isinstance(value, list):
        at = position(key)
        return [value[at]] if at is not None and at < len(value) else []
    return []


def position(key: str) -> int | None:
    """The place in a list that `key` names, or None when it is no such number."""
    return int(key) if _POSITION.fullmatch(key) else None


def _check_signs(text: str) -> None:
    for sign in _QUOTED.sub("", text):
        if sign in _REFUSED:
            raise Unreadable(f"{text[:100]!r} has {sign!r}, {_REFUSED[sign]}; that cannot be used here.")


def _parts(path: jsonpath.JSONPath) -> Iterator[jsonpath.JSONPath]:
    """The steps of a path from left to right. Paths without parentheses lean to the left alone."""
    tail: list[jsonpath.JSONPath] = []
    while isinstance(path, jsonpath.Child):
        tail.append(path.right)
        path = path.left
    if not isinstance(path, jsonpath.Root):
        yield path
    for part in reversed(tail):
        yield from _parts(part)


def _is_definite(part: jsonpath.JSONPath) -> bool:
    if isinstance(part, jsonpath.Fields):
        return len(part.fields) == 1
    return isinstance(part, jsonpath.Index) and len(part.indices) == 1


def _walk(part: jsonpath.JSONPath) -> Walk:
    match part:
        case jsonpath.Fields():
            return _each(lambda value: [found for name in part.fields for found in member(value, name)])
        case jsonpath.Index():
            return _each(lambda value: _indexed(value, part.indices))
        case jsonpath.Slice():
            return _each(lambda value: _sliced(value, slice(part.start, part.end, part.step)))
        case jsonpath.Wildcard():
            return _each(children)
        case jsonpath.Descendants():
            return _descendants(part)
    raise Unreadable(f"{part} cannot be used here.")


def _each(found_in: Callable[[Any], Iterable[Any]]) -> Walk:
    def walk(values: Matches, scope: Scope) -> Matches:
        matches: Matches = []
        for value in values:
            known = len(matches)
            matches.extend(found_in(value))
            scope.visit(1 + len(matches) - known)
        return matches

    return walk


def _indexed(value: Any, indices: Iterable[int]) -> Matches:
    if not isinstance(value, list):
        return []
    return [value[index] for index in indices if -len(value) <= index < len(value)]


def _sliced(value: Any, wanted: slice) -> Matches:
    return value[wanted] if isinstance(value, list) and wanted.step != 0 else []


def _descendants(part: jsonpath.Descendants) -> Walk:
    starts, ends = _all(part.left), _all(part.right)

    def walk(values: Matches, scope: Scope) -> Matches:
        return ends(_below(starts(values, scope), scope), scope)

    return walk


def _below(values: Matches, scope: Scope) -> Matches:
    """The objects and lists among the values and in them, each before what it holds: nothing is found in the rest."""
    met: Matches = []
    waiting = _holders(values)
    while waiting:
        value = waiting.pop()
        met.append(value)
        inner = list(children(value))
        scope.visit(1 + len(inner))
        waiting += _holders(inner)
    return met


def _holders(values: Matches) -> Matches:
    """The last first, as they are to be taken from the end."""
    return [value for value in reversed(values) if isinstance(value, (dict, list))]


def _all(path: jsonpath.JSONPath) -> Walk:
    steps = [_walk(part) for part in _parts(path)]

    def walk(values: Matches, scope: Scope) -> Matches:
        for step in steps:
            values = step(values, scope)
        return values

    return walk
