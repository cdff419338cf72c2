"""What the keywords of one subschema can cost beside those below it, measured with jsonschema-rs.

Most cost as much as a subschema without any, some 10 to 25 nanoseconds a value, however long their list is: texts and
whole numbers of `enum` and names of `required` are looked up in sets. The others:

- numbers are compared as fractions of any size: `enum` and `const` with a fraction, `multipleOf`;
- values of `enum` that are not all texts, or all whole numbers, are compared one by one;
- up to fifteen items of `uniqueItems` are compared with each other;
- a pattern takes time for each character of a text.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from taskhub.linear_regex import InvalidPattern, compile_pattern

FRACTION, LIMIT, MULTIPLE, UNIQUE_ITEMS, SCALAR = 120, 50, 2600, 350, 10  # as many checks as one takes
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_CLASSES = re.compile(r"\[\^?\]?(?:\\.|[^\]\\]++)*+\]|\\[wWdDsS]|\\[pP]\{[^}]*\}|[^\x00-\xff]")
_UNKNOWN_STATES = 1000  # of a pattern that RE2 does not take


def count_checks(schema: Any) -> int:
    """How many checks of a plain subschema take as long as those of this one's own keywords, for one value."""
    if not isinstance(schema, dict):
        return 1
    checks = (
        1 + _cost_of_enum(schema.get("enum", ())) + LIMIT * sum(type(schema.get(name)) is float for name in _LIMITS)
    )
    if "const" in schema:
        checks += _cost_of_comparing(schema["const"])
    if "multipleOf" in schema and type(schema["multipleOf"]) is not int:
        checks += MULTIPLE
    if schema.get("uniqueItems") is True:
        checks += UNIQUE_ITEMS
    for keyword in ("dependentRequired", "dependencies", "dependentSchemas"):
        checks += len(schema.get(keyword, ()))
    return checks


def count_states(schema: Any) -> int:
    """How many states of automata its patterns have: each may have to be looked at for each character of a text."""
    if not isinstance(schema, dict):
        return 0
    patterns = [*schema.get("patternProperties", ())]
    if isinstance(schema.get("pattern"), str):
        patterns.append(schema["pattern"])
    return sum(map(_states_of, patterns))


def _cost_of_enum(values: Any) -> int:
    if {type(value) for value in values} <= {str} or {type(value) for value in values} <= {int}:
        return 0
    return sum(map(_cost_of_comparing, values))


def _cost_of_comparing(value: Any) -> int:
    cost, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        cost += FRACTION if type(value) is float else SCALAR
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return cost


@lru_cache(1024)
def _states_of(pattern: str) -> int:
    """The states in which an automaton can be at once: RE2's for the pattern with one character for each class."""
    text = _CLASSES.sub("x", pattern).encode("latin-1")
    try:
        return int(compile_pattern(text, encoding=re2.Options.Encoding.LATIN1).programsize)
    except InvalidPattern:
        return _UNKNOWN_STATES
