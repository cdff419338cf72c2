"""Objects of JSON whose fields are known at run time only, or are a few: checked, and described by a JSON Schema.

For the `ctx` of a walker, whose fields its author writes, the arguments of a call, and small bodies. Checked strictly,
as the JSON Schema says: "1" is no number. Objects in objects, with rules between their fields, are models of
`json_models`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import reduce
from itertools import islice
from operator import getitem
from typing import Annotated, Any, LiteralString, NotRequired, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from taskhub.errors import ErrorEntry, Rejected, invalid
from taskhub.jsontools.strict_json import escape_pointer

Validate = Callable[[Mapping[str, Any]], dict[str, Any]]
Item = TypeVar("Item")
Checked = TypeVar("Checked")
REQUIRED: Any = ...
FAULTS_MAX = 20
_PLACE: LiteralString = "invalid_place"
NO_SUCH_NAME = "There is no such name here."
_WORDS = {
    "missing": "This is required.",
    "extra_forbidden": NO_SUCH_NAME,
    "dict_type": "Must be an object.",
    "too_long": "Must have at most {max_length} entries.",
}


class ObjectSchema:
    """`fields` maps each name to its annotation and default; `REQUIRED` stands for none.

    A typed dictionary rather than a model: a field may have any name, `json` and `copy` and `_id` too.
    """

    def __init__(self, title: str, fields: Mapping[str, tuple[Any, Any]], *, extra: bool = False) -> None:
        self.names = tuple(fields)
        self._extra = extra
        annotations = {name: _annotation(kind, default) for name, (kind, default) in fields.items()}
        typed_dict = cast(Any, TypedDict)(title, annotations)
        typed_dict.__pydantic_config__ = ConfigDict(extra="allow" if extra else "forbid")
        self._adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(typed_dict)

    def check(self, values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
        """The checked values, defaults filled in. Raises `Rejected` that names each wrong place under `at`."""
        self._refuse_crowds(values, at)
        return _checked(lambda given: self._adapter.validate_python(given, strict=True), values, at)

    def check_json(self, values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
        """The same for values of JSON's types: text stands for UUIDs, dates and other types that JSON lacks."""
        self._refuse_crowds(values, at)
        return _checked(lambda given: self._adapter.validate_json(_text(given, at), strict=True), values, at)

    def _refuse_crowds(self, values: Mapping[str, Any], at: str) -> None:
        """Before pydantic makes an error of several hundred bytes for each of a million names."""
        if self._extra or len(values) <= len(self.names) + FAULTS_MAX:
            return
        strange = islice((name for name in values if name not in self.names), FAULTS_MAX)
        places = [{"pointer": f"{at}/{escape_pointer(str(name))}", "detail": NO_SUCH_NAME} for name in strange]
        raise Rejected(f"Some values are not valid. {places[0]['pointer']}: {NO_SUCH_NAME}", errors=places)

    def schema(self, ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
        """JSON Schema 2020-12. What it refers to stands in its `$defs`."""
        return self._adapter.json_schema(ref_template=ref_template)


def _checked(validate: Validate, values: Mapping[str, Any], at: str) -> dict[str, Any]:
    try:
        return validate(values)
    except ValidationError as error:
        if (whole := _with_whole_numbers(error, values)) is None:
            raise rejected(error_places(error, values, at)) from None
    try:
        return validate(whole)
    except ValidationError as error:
        raise rejected(error_places(error, whole, at)) from None


def check_each(items: Sequence[Item], check: Callable[[Item, str], Checked], at: str) -> list[Checked]:
    """What `check(item, pointer)` makes of each item of a list, whose pointer is `at`.

    Raises `Rejected` with the places of what is wrong in any of them.
    """
    checked, places = list[Checked](), list[ErrorEntry]()
    for index, item in enumerate(items):
        try:
            checked.append(check(item, f"{at}/{index}"))
        except Rejected as refusal:
            places += refusal.errors
            if len(places) >= FAULTS_MAX:
                break
    if places:
        raise rejected(places[:FAULTS_MAX])
    return checked


def _annotation(kind: Any, default: Any) -> Any:
    if default is REQUIRED:
        return kind
    field = default if isinstance(default, FieldInfo) else Field(default=default)
    described: Any = Annotated[kind, field]
    return described if field.is_required() else NotRequired[described]


def _text(values: Mapping[str, Any], at: str) -> str:
    try:
        return json.dumps(values, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(at, f"This is not JSON: {error}") from None


def _with_whole_numbers(error: ValidationError, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy in which 2.0 is 2 where an integer is wanted, for JSON has one sort of number; None if that is nowhere."""
    places = [fault["loc"] for fault in error.errors(include_url=False) if _is_whole(fault["type"], fault["input"])]
    if not places:
        return None
    copy: Any = deepcopy(values)
    for *way, last in ([*real_steps(loc, "", values)] for loc in places):
        holder = reduce(getitem, way, copy)
        holder[last] = int(holder[last])
    return dict(copy)


def _is_whole(fault: str, value: Any) -> bool:
    return fault == "int_type" and isinstance(value, float) and value.is_integer()


def rejected(places: Sequence[ErrorEntry], summary: str = "Some values are not valid.") -> Rejected:
    """A problem that concerns several places, `{pointer, detail}`; its detail is the summary and the first three."""
    words = "; ".join(f"{place['pointer'] or '/'}: {place['detail']}" for place in places[:3])
    return Rejected(f"{summary} {words}", errors=places)


def error_places(
    error: ValidationError, values: Any, at: str = "", messages: Mapping[str, str] | None = None
) -> list[ErrorEntry]:
    """The places of pydantic's errors, `{pointer, detail}`, in what was validated; pointers begin with `at`.

    `messages` are texts by pydantic's types of errors, instead of pydantic's own; `{max_length}` and what else pydantic
    knows of an error may stand in them.
    """
    texts = {**_WORDS, **(messages or {})}
    faults = error.errors(include_url=False, include_input=False)[:FAULTS_MAX]
    return [
        {
            "pointer": at + _pointer(fault["loc"], fault["type"], values),
            "detail": texts[fault["type"]].format(**fault.get("ctx", {})) if fault["type"] in texts else fault["msg"],
        }
        for fault in faults
    ]


def invalid_value(detail: str, type_: LiteralString = "invalid_value") -> PydanticCustomError:
    """What a validator of a value raises; `detail` is told as it is."""
    return PydanticCustomError(type_, "{detail}", {"detail": detail})


def invalid_places(errors: Iterable[tuple[tuple[int | str, ...], str]]) -> ValidationError:
    """What a validator raises for several places inside its value: each a way of names and indexes, and a detail.

    The last name of a way may be one that is missing there.
    """
    details = [InitErrorDetails(type=invalid_value(detail, _PLACE), loc=loc, input=None) for loc, detail in errors]
    return ValidationError.from_exception_data("places", details)


def _pointer(loc: tuple[int | str, ...], type_: str, values: Any) -> str:
    return "".join(f"/{escape_pointer(str(step))}" for step in real_steps(loc, type_, values))


def real_steps(loc: tuple[int | str, ...], type_: str, value: Any) -> Iterator[int | str]:
    """The steps that exist in what was given; pydantic names members of unions and tagged parts, too."""
    for index, step in enumerate(loc):
        if _holds(value, step):
            value = value[step]
        elif not (type_ in {"missing", _PLACE} and index == len(loc) - 1):
            continue
        yield step


def _holds(value: Any, step: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, Mapping) and step in value
