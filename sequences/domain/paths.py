"""JSONPath as jsonpath-ng reads it, evaluated within bounds.

jsonpath-ng's own `find` keeps the full path of every match and follows `$..*..*..*` for as long as it takes; here a
path is a series of functions from matches to matches, and each match is counted.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.parser import JsonPathParser

from sequences.domain.scope import Scope
from sequences.domain.validation_errors import InvalidSyntax

Matches = list[Any]
PathStep = Callable[[Matches, Scope], Matches]

_QUOTED = re.compile(r"""'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+\"""", re.DOTALL)
_STEP = re.compile(r"\.+|\[")
STEPS_MAX = 64  # each goes some calls deeper, in parsing and in evaluating
_LIST_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_REFUSED = {
    "$": "a second root",
    "|": "the union of two paths",
    "&": "the intersection of two paths",
    "`": "a named operator",
    "?": "a filter in a path; a loop has a filter of its own",
    "(": "a parenthesis, which belongs after a single dot",
    "~": "the keys of an object",
}


@dataclass(frozen=True, slots=True)
class Path:
    """A path of JSONPath. A definite one names one place at most."""

    steps: tuple[PathStep, ...]
    definite: bool


@lru_cache(maxsize=2048)
def read_path(text: str) -> Path:
    """Parses a path such as `[*].id` or `..jid`. Raises `InvalidSyntax`."""
    _check_characters(text)
    if len(_STEP.findall(_QUOTED.sub("", text))) > STEPS_MAX:
        raise InvalidSyntax(f"{text[:100]!r} has more than {STEPS_MAX} steps.")
    try:
        parsed = JsonPathParser().parse(f"${text}")
    except (JSONPathError, ValueError, RecursionError) as error:
        raise InvalidSyntax(f"{text[:100]!r} is no JSONPath: {str(error)[:200]}") from None
    parts = list(_parts(parsed))
    return Path(tuple(_path_step(part) for part in parts), all(map(_is_definite, parts)))


def children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def member(value: Any, key: str) -> Matches:
    """What an object has under `key`, or a list at that place."""
    if isinstance(value, dict):
        return [value[key]] if key in value else []
    if isinstance(value, list):
        index = list_index(key)
        return [value[index]] if index is not None and index < len(value) else []
    return []


def list_index(key: str) -> int | None:
    """The index in a list that `key` names, or None when it is no such number."""
    return int(key) if _LIST_INDEX.fullmatch(key) else None


def _check_characters(text: str) -> None:
    for character in _QUOTED.sub("", text):
        if character in _REFUSED:
            raise InvalidSyntax(f"{text[:100]!r} has {character!r}, {_REFUSED[character]}; that cannot be used here.")


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


def _path_step(part: jsonpath.JSONPath) -> PathStep:
    match part:
        case jsonpath.Fields():
            return _from_each(lambda value: [inner for name in part.fields for inner in member(value, name)])
        case jsonpath.Index():
            return _from_each(lambda value: _indexed(value, part.indices))
        case jsonpath.Slice():
            return _from_each(lambda value: _sliced(value, slice(part.start, part.end, part.step)))
        case jsonpath.Wildcard():
            return _from_each(children)
        case jsonpath.Descendants():
            return _descendants_step(part)
    raise InvalidSyntax(f"{part} cannot be used here.")


def _from_each(matches_in: Callable[[Any], Iterable[Any]]) -> PathStep:
    """A step that goes from each match to those in it."""

    def step(matches: Matches, scope: Scope) -> Matches:
        inner: Matches = []
        for value in matches:
            before = len(inner)
            inner.extend(matches_in(value))
            scope.visit(1 + len(inner) - before)
        return inner

    return step


def _indexed(value: Any, indices: Iterable[int]) -> Matches:
    if not isinstance(value, list):
        return []
    return [value[index] for index in indices if -len(value) <= index < len(value)]


def _sliced(value: Any, part: slice) -> Matches:
    return value[part] if isinstance(value, list) and part.step != 0 else []


def _descendants_step(part: jsonpath.Descendants) -> PathStep:
    left, right = _all_steps(part.left), _all_steps(part.right)

    def step(matches: Matches, scope: Scope) -> Matches:
        return right(_descendants(left(matches, scope), scope), scope)

    return step


def _descendants(values: Matches, scope: Scope) -> Matches:
    """The objects and lists among the values and in them, each before what it holds; other values hold nothing."""
    descendants: Matches = []
    waiting = _containers(values)
    while waiting:
        value = waiting.pop()
        descendants.append(value)
        inner = list(children(value))
        scope.visit(1 + len(inner))
        waiting += _containers(inner)
    return descendants


def _containers(values: Matches) -> Matches:
    """The objects and lists among the values, the last first, as they are taken from the end."""
    return [value for value in reversed(values) if isinstance(value, (dict, list))]


def _all_steps(path: jsonpath.JSONPath) -> PathStep:
    """All steps of a path as one."""
    steps = [_path_step(part) for part in _parts(path)]

    def follow(matches: Matches, scope: Scope) -> Matches:
        for step in steps:
            matches = step(matches, scope)
        return matches

    return follow
