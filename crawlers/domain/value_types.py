"""The types of parameters: which JSON values each of them takes, and by what a value is measured."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, WithJsonSchema, with_config
from typing_extensions import TypedDict

from taskhub.jsontools.schema import invalid_value

NAME_MAX, TEXT_MAX, LIST_MAX = 100, 10_000, 1_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)

MESSAGES = {  # of pydantic's types of errors
    "string_type": "Must be a text.",
    "bool_type": "Must be true or false.",
    "int_type": "Must be a whole number.",
    "list_type": "Must be a list.",
}

TypeName = Literal["string", "password", "bool", "date", "location", "multi_bool", "list", "multi_search", "integer"]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_date(value: Any) -> datetime | None:
    """The time of a date or a time, in UTC where it names no zone; None for what is neither."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def check_date(value: Any) -> Any:
    if parse_date(value) is None:
        raise invalid_value("Must be a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z.")
    return value


def _check_storable(text: str) -> str:
    if "\x00" in text:
        raise invalid_value("Must not have U+0000 in it.")
    return text


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise invalid_value("Must not be empty.")
    return text


def _check_scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise invalid_value("Must be a text, a number, true or false.")
    return value


def _json_type(value: Any) -> str | None:
    types = {"object": Mapping, "text": str, "list": list}
    return next((name for name, type_ in types.items() if isinstance(value, type_)), None)


Text = Annotated[str, Field(max_length=TEXT_MAX), AfterValidator(_check_storable)]
Scalar = Annotated[Any, AfterValidator(_check_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]


@with_config(ConfigDict(extra="forbid"))
class Coordinates(TypedDict):
    """A place on the map; `radius` is in the crawler's unit."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lng: Annotated[float, Field(ge=-180, le=180)]
    radius: NotRequired[Annotated[float, Field(ge=0)]]
    name: NotRequired[Text]


Location = Annotated[
    Annotated[Text, AfterValidator(_check_not_blank), Tag("text")] | Annotated[Coordinates, Tag("object")],
    Discriminator(
        _json_type,
        custom_error_type="location",
        custom_error_message="Must be a place's name, or an object of lat and lng.",
    ),
]
TextList = Annotated[list[Text], Field(max_length=LIST_MAX)]
MultiBool = Annotated[
    Annotated[TextList, Tag("list")] | Annotated[dict[str, bool], Tag("object")],
    Discriminator(
        _json_type,
        custom_error_type="multi_bool",
        custom_error_message="Must be a list of options, or an object that says true or false of each.",
    ),
]


def chosen_options(value: Any) -> list[Any]:
    """The options that a multi_bool names."""
    return [name for name, chosen in value.items() if chosen] if isinstance(value, Mapping) else list(value)


class ValueType(NamedTuple):
    """`size` is what a parameter's `min` and `max` are compared with; None for what has no size."""

    adapter: TypeAdapter[Any]
    size: Callable[[Any], Any] | None
    unit: str


VALUE_TYPES: dict[str, ValueType] = {
    "string": ValueType(TypeAdapter(Text), len, " characters"),
    "password": ValueType(TypeAdapter(Text), len, " characters"),
    "bool": ValueType(TypeAdapter(bool), None, ""),
    "date": ValueType(TypeAdapter(Annotated[Any, AfterValidator(check_date)]), parse_date, ""),
    "location": ValueType(TypeAdapter(Location), None, ""),
    "multi_bool": ValueType(TypeAdapter(MultiBool), lambda value: len(chosen_options(value)), " chosen options"),
    "list": ValueType(TypeAdapter(Annotated[list[Scalar], Field(max_length=LIST_MAX)]), len, " entries"),
    "multi_search": ValueType(TypeAdapter(TextList), len, " entries"),
    "integer": ValueType(TypeAdapter(Annotated[int, Field(gt=-(2**63), lt=2**63)]), lambda value: value, ""),
}
