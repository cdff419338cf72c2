"""Filters: which items pass the filter of a loop, and whether a `break` holds.

A filter is a list, joined by and, of `{by, condition}`, `{or: [...]}` and `{and: [...]}`. Numbers compare with
numbers, strings with strings; booleans, arrays and objects only know `eq` and `ne`. What cannot be compared is false;
a null that comes of a template at run time compares with nothing. `ne` is true wherever `eq` is false.
"""

import operator
from collections.abc import Callable
from typing import Any

from sequences.domain.expressions import Evaluate, Expression
from sequences.domain.json_values import as_text, kind, same, weigh
from sequences.domain.patterns import Match, read_computed_pattern, read_pattern
from sequences.domain.scope import VISITS_MAX, Scope
from sequences.domain.templates import Template, TemplateReader
from sequences.domain.validation_errors import InvalidSyntax, Location, StepFailure, ValidationFaults

NESTING_MAX = 20
PATTERNS_MAX = 50  # in one sequence; the largest take 15 ms each to read

Predicate = Callable[[Scope], bool]
Comparison = Callable[[Any, Scope], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
COMPARISONS = ("eq", "ne", *_ORDER, "regex")
_FORMS = "A part of a filter is {by, condition}, {or: [...]} or {and: [...]}"
_NULL = Expression(lambda scope: None, frozenset())


class FilterReader:
    """Reads the filters of one sequence; what it cannot parse goes to `faults`."""

    def __init__(self, faults: ValidationFaults, templates: TemplateReader) -> None:
        self.faults = faults
        self._templates = templates
        self._patterns_left = PATTERNS_MAX

    def filter(self, value: Any, location: Location, depth: int = 0) -> Predicate:
        return _every(self._parts(value, location, depth))

    def by(self, value: Any, location: Location) -> Expression:
        """An expression, with or without its braces."""
        if not isinstance(value, str):
            self.faults.add(location, "This is required: an expression, such as $.data.")
            return _NULL
        try:
            return self._templates.expression(_without_braces(value), location)
        except InvalidSyntax as error:
            self.faults.add(location, str(error))
            return _NULL

    def _parts(self, value: Any, location: Location, depth: int) -> list[Predicate]:
        if not isinstance(value, list):
            self.faults.add(location, "A filter is a list.")
            return []
        if depth > NESTING_MAX:
            self.faults.add(location, f"A filter nests at most {NESTING_MAX} deep.")
            return []
        return [self.part(part, (location, index), depth) for index, part in enumerate(value)]

    def part(self, part: Any, location: Location, depth: int = 0) -> Predicate:
        """One part of a filter."""
        match part:
            case {"by": by, "condition": condition, **rest} if not rest:
                return _condition(
                    self.by(by, (location, "by")).evaluate, self.comparisons(condition, (location, "condition"))
                )
            case {"or": inner, **rest} if not rest:
                return _any(self._parts(inner, (location, "or"), depth + 1))
            case {"and": inner, **rest} if not rest:
                return self.filter(inner, (location, "and"), depth + 1)
        self.faults.add(location, _FORMS + _but_is(part))
        return _never

    def comparisons(self, condition: Any, location: Location) -> list[Comparison]:
        """The comparisons of a condition, all of which must hold."""
        if not isinstance(condition, dict):
            self.faults.add(location, "A condition is an object, such as {eq: 1}.")
            return []
        for name in condition.keys() - set(COMPARISONS):
            self.faults.add((location, name), f"There is no such condition; there are {', '.join(COMPARISONS)}.")
        return [
            self._comparison(name, condition[name], (location, name))
            for name in COMPARISONS
            if condition.get(name) is not None
        ]

    def _comparison(self, name: str, expected: Any, location: Location) -> Comparison:
        template = self._templates.json(expected, location)
        if name == "regex":
            return self._pattern(template, location)
        if name in _ORDER:
            return _ordered(_ORDER[name], template)
        equal = _equal(template)
        return equal if name == "eq" else lambda actual, scope: not equal(actual, scope)

    def _pattern(self, template: Template, location: Location) -> Comparison:
        if not template.constant:
            return _computed_pattern(template)
        self._patterns_left -= 1
        try:
            return _constant_pattern(_compile(template.value, self._patterns_left))
        except InvalidSyntax as error:
            self.faults.add(location, str(error))
            return _constant_pattern(_no_match)


def _without_braces(text: str) -> str:
    stripped = text.strip()
    braced = stripped.startswith("{{") and stripped.endswith("}}") and len(stripped) > 3
    return stripped[2:-2] if braced else text


def _but_is(part: Any) -> str:
    if not isinstance(part, dict):
        return f", not {kind(part)}."
    return f"; this one has {', '.join(map(repr, part))[:200] or 'nothing'}."


def _compile(pattern: Any, left: int) -> Match:
    if not isinstance(pattern, str):
        raise InvalidSyntax("A pattern is text.")
    if left < 0:
        raise InvalidSyntax(f"A sequence has at most {PATTERNS_MAX} patterns.")
    return read_pattern(pattern)


def _never(scope: Scope) -> bool:
    return False


def _no_match(subject: str, scope: Scope) -> bool:
    return False


def _every(parts: list[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else lambda scope: all(holds(scope) for holds in parts)


def _any(parts: list[Predicate]) -> Predicate:
    return lambda scope: any(holds(scope) for holds in parts)


def _condition(by: Evaluate, comparisons: list[Comparison]) -> Predicate:
    def holds(scope: Scope) -> bool:
        actual = by(scope)
        return all(test(actual, scope) for test in comparisons)

    return holds


def _equal(template: Template) -> Comparison:
    def test(actual: Any, scope: Scope) -> bool:
        expected = template.render(scope)
        if expected is None or kind(actual) != kind(expected):
            return False
        if isinstance(expected, list | dict):
            scope.visit(weigh(expected, VISITS_MAX, "The value to compare with"))
        return same(actual, expected)

    return test


def _ordered(compare: Callable[[Any, Any], bool], template: Template) -> Comparison:
    def test(actual: Any, scope: Scope) -> bool:
        expected = template.render(scope)
        type_ = kind(actual)
        return type_ == kind(expected) and type_ in ("number", "string") and compare(actual, expected)

    return test


def _constant_pattern(match: Match) -> Comparison:
    return lambda actual, scope: isinstance(actual, str) and match(actual, scope)


def _computed_pattern(template: Template) -> Comparison:
    def test(actual: Any, scope: Scope) -> bool:
        pattern = template.render(scope)
        if pattern is None or not isinstance(actual, str):
            return False
        try:
            return read_computed_pattern(as_text(pattern), scope)(actual, scope)
        except InvalidSyntax as error:
            raise StepFailure(str(error)) from None

    return test
