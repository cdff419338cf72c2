"""The parameters of an external crawler: how they are described, and whether values fit (contract, section 5).

A description is a mapping with `name`, `type` and, where they apply, `required`, `default`, `min`, `max`, `regex`,
`options` (values, or objects of `value` and `label`) and `restrictions`: what must hold between this parameter and
another one, as `{operator, parameter, message?}`. Faults are `{pointer, detail}`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from crawlers.domain.value_types import (
    MEASURED,
    NAME_MAX,
    SECRET_TYPES,
    TYPES,
    Type,
    is_number,
    itself,
    moment_of,
    type_of,
    why_no_date,
    why_no_text,
)
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, compile_pattern

Description = Mapping[str, Any]


class Fault(NamedTuple):
    pointer: str
    detail: str


OPTIONS_MAX, PARAMETERS_MAX = 1_000, 200
ABSENT = object()

# Restrictions between two parameters


def _both(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """What is not there is compared with nothing."""

    def holds(mine: Any, other: Any) -> bool:
        if mine is ABSENT or other is ABSENT:
            return True
        try:
            return compare(moment_of(mine) or mine, moment_of(other) or other)
        except TypeError:
            return False

    return holds


RESTRICTIONS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "<": (_both(operator.lt), "must be less than"),
    "<=": (_both(operator.le), "must be at most"),
    ">": (_both(operator.gt), "must be greater than"),
    ">=": (_both(operator.ge), "must be at least"),
    "==": (_both(operator.eq), "must equal"),
    "!=": (_both(operator.ne), "must differ from"),
    "requires": (lambda mine, other: mine is ABSENT or other is not ABSENT, "needs"),
    "excludes": (lambda mine, other: mine is ABSENT or other is ABSENT, "cannot stand beside"),
}

# Descriptions

_MEMBERS = {"name", "type", "label", "description", "required", "default", "min", "max", "regex", "options"} | {
    "restrictions",
    "placeholder",
}


def faults_of_descriptions(descriptions: Any, at: str = "/parameters") -> list[Fault]:
    if not isinstance(descriptions, list):
        return [Fault(at, "Must be a list.")]
    if len(descriptions) > PARAMETERS_MAX:
        return [Fault(at, f"Must have at most {PARAMETERS_MAX} entries.")]
    faults = [
        fault for n, one in enumerate(descriptions) for fault in _faults_of_description(one, f"{at}/{n}", descriptions)
    ]
    names = [one.get("name") for one in descriptions if isinstance(one, Mapping)]
    twice = [n for n, name in enumerate(names) if isinstance(name, str) and name in names[:n]]
    return faults + [Fault(f"{at}/{n}/name", "Another parameter has this name.") for n in twice]


def _faults_of_description(one: Any, at: str, others: Sequence[Any]) -> Iterator[Fault]:
    if not isinstance(one, Mapping):
        yield Fault(at, "Must be an object.")
        return
    for strange in [name for name in one if name not in _MEMBERS][:20]:
        yield Fault(f"{at}/{escape_pointer(str(strange))}", "There is no such name here.")
    name = one.get("name")
    if not isinstance(name, str) or not name or len(name) > NAME_MAX or why_no_text(name):
        yield Fault(f"{at}/name", f"Must be a text of 1 to {NAME_MAX} characters.")
    if type_of(one) not in TYPES:
        yield Fault(f"{at}/type", f"Must be one of {', '.join(TYPES)}.")
        return
    for key in ("label", "description", "placeholder"):
        if why := why_no_text(one.get(key, "")):
            yield Fault(f"{at}/{key}", why)
    if "required" in one and not isinstance(one["required"], bool):
        yield Fault(f"{at}/required", "Must be true or false.")
    faults = [*_faults_of_bounds(one, at), *_faults_of_regex(one, at), *_faults_of_options(one, at)]
    faults += _faults_of_restrictions(one, at, others)
    yield from faults
    if one.get("default") is not None and not faults:
        yield from (Fault(f"{at}/default", fault.detail) for fault in _faults_of_value(one, one["default"], at))


def _faults_of_bounds(one: Description, at: str) -> Iterator[Fault]:
    for bound in ("min", "max"):
        if one.get(bound) is None:
            continue
        if type_of(one) not in MEASURED:
            yield Fault(f"{at}/{bound}", f"A {type_of(one)} has no {bound}.")
        elif type_of(one) == "date" and why_no_date(one[bound]):
            yield Fault(f"{at}/{bound}", why_no_date(one[bound]))
        elif type_of(one) != "date" and not is_number(one[bound]):
            yield Fault(f"{at}/{bound}", "Must be a number.")


def _faults_of_regex(one: Description, at: str) -> Iterator[Fault]:
    if one.get("regex") is None:
        return
    if type_of(one) not in {"string", "password", "multi_search"}:
        yield Fault(f"{at}/regex", f"A {type_of(one)} is not compared with a pattern.")
    elif isinstance(one["regex"], str) and len(one["regex"]) <= LENGTH_MAX:
        try:
            compile_pattern(one["regex"])
        except InvalidPattern as error:
            yield Fault(f"{at}/regex", f"Is no pattern (RE2): {error}")
    else:
        yield Fault(f"{at}/regex", "Must be a text of at most 1000 characters.")


def _faults_of_options(one: Description, at: str) -> Iterator[Fault]:
    options = one.get("options")
    if options is None:
        return
    if not isinstance(options, list) or not 1 <= len(options) <= OPTIONS_MAX:
        yield Fault(f"{at}/options", f"Must be a list of 1 to {OPTIONS_MAX} entries.")
        return
    for n, option in enumerate(options):
        if isinstance(option, Mapping):
            if "value" not in option or set(option) - {"value", "label"}:
                yield Fault(f"{at}/options/{n}", "Must be a value, or an object of value and label.")
        elif not isinstance(option, str | int | float | bool):
            yield Fault(f"{at}/options/{n}", "Must be a text, a number, true or false.")


def _faults_of_restrictions(one: Description, at: str, others: Sequence[Any]) -> Iterator[Fault]:
    restrictions = one.get("restrictions")
    if restrictions is None:
        return
    if not isinstance(restrictions, list) or len(restrictions) > 20:
        yield Fault(f"{at}/restrictions", "Must be a list of at most 20 entries.")
        return
    names = {other.get("name") for other in others if isinstance(other, Mapping)} - {one.get("name")}
    for n, restriction in enumerate(restrictions):
        place = f"{at}/restrictions/{n}"
        if not isinstance(restriction, Mapping) or set(restriction) - {"operator", "parameter", "message"}:
            yield Fault(place, "Must be an object of operator, parameter and message.")
            continue
        if restriction.get("operator") not in RESTRICTIONS:
            yield Fault(f"{place}/operator", f"Must be one of {', '.join(RESTRICTIONS)}.")
        if restriction.get("parameter") not in names:
            yield Fault(f"{place}/parameter", "Must be the name of another parameter.")
        if why := why_no_text(restriction.get("message", "")):
            yield Fault(f"{place}/message", why)


# Values


def complete(descriptions: Sequence[Description], values: Mapping[str, Any]) -> dict[str, Any]:
    """With the defaults of what is not given; null stands for not given."""
    defaults = {one["name"]: one["default"] for one in descriptions if one.get("default") is not None}
    return defaults | {name: value for name, value in values.items() if value is not None}


def faults_of_values(
    descriptions: Sequence[Description], values: Mapping[str, Any], at: str = "/params"
) -> list[Fault]:
    """Each fault of `values`, which are complete, with its place."""
    known = {one["name"]: one for one in descriptions}
    faults = [
        Fault(f"{at}/{escape_pointer(name)}", "There is no such parameter.")
        for name in [name for name in values if name not in known][:20]
    ]
    for name, one in known.items():
        place = f"{at}/{escape_pointer(name)}"
        if name not in values:
            faults += [Fault(place, "This is required.")] if one.get("required") else []
        else:
            found = list(_faults_of_value(one, values[name], place))
            faults += found or list(_faults_between(one, values, place))
    return faults


def _faults_of_value(one: Description, value: Any, at: str) -> Iterator[Fault]:
    kind = TYPES[type_of(one)]
    if why := kind.why_not(value):
        yield Fault(at, why)
        return
    if one.get("required") and value in ("", [], {}):
        yield Fault(at, "Must not be empty.")
        return
    if why := _out_of_bounds(one, kind, value):
        yield Fault(at, why)
    if (why := _not_among(one, value)) or (why := _unlike(one, value)):
        yield Fault(at, why)


def _out_of_bounds(one: Description, kind: Type, value: Any) -> str:
    least, most = one.get("min"), one.get("max")
    if type_of(one) not in MEASURED or (least is None and most is None):
        return ""
    size, read = kind.size(value), moment_of if type_of(one) == "date" else itself
    if least is not None and size < read(least):
        return f"Must be at least {least}{kind.unit}."
    if most is not None and size > read(most):
        return f"Must be at most {most}{kind.unit}."
    return ""


def _not_among(one: Description, value: Any) -> str:
    if one.get("options") is None:
        return ""
    allowed = [option["value"] if isinstance(option, Mapping) else option for option in one["options"]]
    given = list(value) if isinstance(value, list | Mapping) and type_of(one) != "location" else [value]
    for item in given:
        if not any(type(item) is type(option) and item == option for option in allowed):
            shown = ", ".join(str(option) for option in allowed[:10]) + (", ..." if len(allowed) > 10 else "")
            return f"{str(item)[:NAME_MAX]!r} is not among the options: {shown}."
    return ""


def _unlike(one: Description, value: Any) -> str:
    if one.get("regex") is None:
        return ""
    pattern = compile_pattern(one["regex"])
    for item in value if isinstance(value, list) else [value]:
        if not pattern.search(item):
            shown = "" if type_of(one) in SECRET_TYPES else f"{item[:NAME_MAX]!r} "
            return f"{shown}does not match the pattern {one['regex']}".strip() + "."
    return ""


def _faults_between(one: Description, values: Mapping[str, Any], at: str) -> Iterator[Fault]:
    for restriction in one.get("restrictions") or []:
        holds, words = RESTRICTIONS[restriction["operator"]]
        if not holds(values.get(one["name"], ABSENT), values.get(restriction["parameter"], ABSENT)):
            yield Fault(at, restriction.get("message") or f"It {words} {restriction['parameter']}.")
