"""The parameters of an external crawler: how they are described, and whether values fit (contract, section 5).

A description is a mapping with `name`, `type` and, where they apply, `required`, `default`, `min`, `max`, `regex`,
`options` (values, or objects of `value` and `label`) and `restrictions`: what must hold between this parameter and
another one, as `{operator, parameter, message?}`. Faults are `{pointer, detail}`.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import re2

from taskhub.jsontext import escape_pointer

Description = Mapping[str, Any]


class Fault(NamedTuple):
    pointer: str
    detail: str


NAME_MAX, TEXT_MAX, LIST_MAX, OPTIONS_MAX, PARAMETERS_MAX = 100, 10_000, 1_000, 1_000, 200
ABSENT = object()
OLDER_SPELLINGS = {"interger": "integer"}  # as the documents have it
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)

# Types: each says of a value of JSON why it is none of them, and by what it is measured against `min` and `max`.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return "Must be a text."
    if len(value) > TEXT_MAX:
        return f"Must have at most {TEXT_MAX} characters."
    return "Must not have U+0000 in it." if "\x00" in value else ""


def _bool(value: Any) -> str:
    return "" if isinstance(value, bool) else "Must be true or false."


def _integer(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole:
        return "Must be a whole number."
    return "" if abs(value) < 2**63 else "Must be less than 2^63."


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(value: Any) -> str:
    return "" if _moment(value) else "Must be a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z."


def _location(value: Any) -> str:
    if isinstance(value, str):
        return _text(value) or ("" if value.strip() else "Must not be empty.")
    if not isinstance(value, Mapping):
        return "Must be a place's name, or an object of lat and lng."
    if strange := [name for name in value if name not in ("lat", "lng", "radius", "name")]:
        return f"Has no member {strange[0][:NAME_MAX]!r}; there are lat, lng, radius and name."
    for name, limit in (("lat", 90), ("lng", 180)):
        if not _is_number(value.get(name)) or not -limit <= value[name] <= limit:
            return f"Its {name} must be a number from -{limit} to {limit}."
    if "radius" in value and not (_is_number(value["radius"]) and value["radius"] >= 0):
        return "Its radius must be a number of at least 0."
    return _text(value.get("name", "")) and "Its name must be a text."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> str:
    if not isinstance(value, list):
        return "Must be a list."
    if len(value) > LIST_MAX:
        return f"Must have at most {LIST_MAX} entries."
    return ""


def _texts(value: Any) -> str:
    return _list(value) or next((f"Entry {n}: {why}" for n, item in enumerate(value) if (why := _text(item))), "")


def _plain_list(value: Any) -> str:
    fits = (str, int, float, bool)
    return _list(value) or next(
        (f"Entry {n} must be a text, a number, true or false." for n, v in enumerate(value) if not isinstance(v, fits)),
        "",
    )


def _multi_bool(value: Any) -> str:
    """Which of the options are chosen: a list of them, or an object that says true or false of each."""
    if isinstance(value, Mapping):
        return next((f"{name[:NAME_MAX]!r} must be true or false." for name, v in value.items() if _bool(v)), "")
    return _texts(value)


class Type(NamedTuple):
    why_not: Callable[[Any], str]
    size: Callable[[Any], Any]
    unit: str


def _itself(value: Any) -> Any:
    return value


TYPES: dict[str, Type] = {
    "string": Type(_text, len, " characters"),
    "password": Type(_text, len, " characters"),
    "bool": Type(_bool, _itself, ""),
    "date": Type(_date, _moment, ""),
    "location": Type(_location, _itself, ""),
    "multi_bool": Type(_multi_bool, lambda value: len(chosen(value)), " chosen options"),
    "list": Type(_plain_list, len, " entries"),
    "multi_search": Type(_texts, len, " entries"),
    "integer": Type(_integer, _itself, ""),
}
MEASURED = {"string", "password", "date", "multi_bool", "list", "multi_search", "integer"}
SECRET_TYPES = {"password"}


def chosen(value: Any) -> list[Any]:
    """The options that a multi_bool names."""
    return [name for name, on in value.items() if on] if isinstance(value, Mapping) else list(value)


def type_of(description: Description) -> str:
    name = str(description.get("type", ""))
    return OLDER_SPELLINGS.get(name, name)


def secret_names(descriptions: Sequence[Description]) -> set[str]:
    """The parameters whose values are shown to nobody."""
    return {str(one["name"]) for one in descriptions if type_of(one) in SECRET_TYPES}


# Restrictions between two parameters


def _both(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """What is not there is compared with nothing."""

    def holds(mine: Any, other: Any) -> bool:
        if mine is ABSENT or other is ABSENT:
            return True
        try:
            return compare(_moment(mine) or mine, _moment(other) or other)
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
    if not isinstance(name, str) or not name or len(name) > NAME_MAX or _text(name):
        yield Fault(f"{at}/name", f"Must be a text of 1 to {NAME_MAX} characters.")
    if type_of(one) not in TYPES:
        yield Fault(f"{at}/type", f"Must be one of {', '.join(TYPES)}.")
        return
    for key in ("label", "description", "placeholder"):
        if why := _text(one.get(key, "")):
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
        elif type_of(one) == "date" and _date(one[bound]):
            yield Fault(f"{at}/{bound}", _date(one[bound]))
        elif type_of(one) != "date" and not _is_number(one[bound]):
            yield Fault(f"{at}/{bound}", "Must be a number.")


def _faults_of_regex(one: Description, at: str) -> Iterator[Fault]:
    if one.get("regex") is None:
        return
    if type_of(one) not in {"string", "password", "multi_search"}:
        yield Fault(f"{at}/regex", f"A {type_of(one)} is not compared with a pattern.")
    elif isinstance(one["regex"], str) and len(one["regex"]) <= 1000:
        try:
            _pattern(one["regex"])
        except re2.error as error:
            yield Fault(f"{at}/regex", f"Is no pattern (RE2): {_words(error)}")
    else:
        yield Fault(f"{at}/regex", "Must be a text of at most 1000 characters.")


def _words(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def _pattern(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(text, options)


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
        if why := _text(restriction.get("message", "")):
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
    size, read = kind.size(value), _moment if type_of(one) == "date" else _itself
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
    pattern = _pattern(one["regex"])
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
