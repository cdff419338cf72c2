"""The types of parameters: why a value of JSON is none of one, and by what it is measured."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

NAME_MAX, TEXT_MAX, LIST_MAX = 100, 10_000, 1_000
OLDER_SPELLINGS = {"interger": "integer"}  # as the documents have it
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def why_no_text(value: Any) -> str:
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


def moment_of(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def why_no_date(value: Any) -> str:
    return "" if moment_of(value) else "Must be a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z."


def _location(value: Any) -> str:
    if isinstance(value, str):
        return why_no_text(value) or ("" if value.strip() else "Must not be empty.")
    if not isinstance(value, Mapping):
        return "Must be a place's name, or an object of lat and lng."
    if strange := [name for name in value if name not in ("lat", "lng", "radius", "name")]:
        return f"Has no member {strange[0][:NAME_MAX]!r}; there are lat, lng, radius and name."
    for name, limit in (("lat", 90), ("lng", 180)):
        if not is_number(value.get(name)) or not -limit <= value[name] <= limit:
            return f"Its {name} must be a number from -{limit} to {limit}."
    if "radius" in value and not (is_number(value["radius"]) and value["radius"] >= 0):
        return "Its radius must be a number of at least 0."
    return why_no_text(value.get("name", "")) and "Its name must be a text."


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> str:
    if not isinstance(value, list):
        return "Must be a list."
    if len(value) > LIST_MAX:
        return f"Must have at most {LIST_MAX} entries."
    return ""


def _texts(value: Any) -> str:
    return _list(value) or next((f"Entry {n}: {why}" for n, item in enumerate(value) if (why := why_no_text(item))), "")


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


def itself(value: Any) -> Any:
    return value


TYPES: dict[str, Type] = {
    "string": Type(why_no_text, len, " characters"),
    "password": Type(why_no_text, len, " characters"),
    "bool": Type(_bool, itself, ""),
    "date": Type(why_no_date, moment_of, ""),
    "location": Type(_location, itself, ""),
    "multi_bool": Type(_multi_bool, lambda value: len(chosen(value)), " chosen options"),
    "list": Type(_plain_list, len, " entries"),
    "multi_search": Type(_texts, len, " entries"),
    "integer": Type(_integer, itself, ""),
}
MEASURED = {"string", "password", "date", "multi_bool", "list", "multi_search", "integer"}
SECRET_TYPES = {"password"}


def chosen(value: Any) -> list[Any]:
    """The options that a multi_bool names."""
    return [name for name, on in value.items() if on] if isinstance(value, Mapping) else list(value)


def type_of(description: Mapping[str, Any]) -> str:
    name = str(description.get("type", ""))
    return OLDER_SPELLINGS.get(name, name)


def secret_names(descriptions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The parameters whose values are shown to nobody."""
    return {str(one["name"]) for one in descriptions if type_of(one) in SECRET_TYPES}
