"""The parameters of an external: how they are described, and whether values fit their descriptions.

Errors are places, `{pointer, detail}`, as in problems.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from crawlers.domain.restrictions import ABSENT, RESTRICTIONS, Restriction, describe_older_names, either_name
from crawlers.domain.value_types import (
    MESSAGES,
    NAME_MAX,
    VALUE_TYPES,
    Text,
    TypeName,
    check_date,
    is_number,
    parse_date,
)
from taskhub.errors import ErrorEntry
from taskhub.jsontools.schema import error_places, invalid_places, invalid_value
from taskhub.jsontools.strict_json import escape_pointer
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, PatternBudget, PatternsTooSlow, compile_pattern
from taskhub.security.masking import MASK

OPTIONS_MAX, PARAMETERS_MAX, RESTRICTIONS_MAX, MEMBERS_MAX = 1_000, 200, 20, 40
WITH_PATTERN = {"string", "password", "multi_search"}
SECRET_TYPES = {"password"}
OLDER_SPELLINGS = {"interger": "integer"}  # as crawler_task.md has it

# Descriptions


def _check_option(option: Any) -> Any:
    if isinstance(option, Mapping):
        if "value" not in option or option.keys() - {"value", "label"}:
            raise invalid_value("Must be a value, or an object of value and label.")
    elif not isinstance(option, str | int | float | bool):
        raise invalid_value("Must be a text, a number, true or false.")
    return option


def _modern_spelling(type_name: Any) -> Any:
    return OLDER_SPELLINGS.get(type_name, type_name) if isinstance(type_name, str) else type_name


Bound = Annotated[Any, WithJsonSchema({"type": ["number", "string", "null"]})]
Option = Annotated[Any, AfterValidator(_check_option), WithJsonSchema({})]


class ParameterDescription(BaseModel):
    """One parameter that an external takes. `min` and `max` bound a number, a date, or the length of a value."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=describe_older_names)

    name: Annotated[Text, Field(min_length=1, max_length=NAME_MAX)]
    type: Annotated[TypeName, BeforeValidator(_modern_spelling)]
    label: Annotated[Text, either_name("label")] = ""
    description: Text = ""
    placeholder: Text = ""
    required: Annotated[bool, either_name("required")] = False
    min: Bound = None
    max: Bound = None
    regex: Annotated[str | None, Field(max_length=LENGTH_MAX, description="RE2")] = None
    options: Annotated[list[Option] | None, Field(min_length=1, max_length=OPTIONS_MAX)] = None
    restrictions: Annotated[list[Restriction] | None, Field(max_length=RESTRICTIONS_MAX)] = None
    default: Any = None  # the last one, as its check needs all others

    @model_validator(mode="before")
    @classmethod
    def _refuse_many_members(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and len(value) > MEMBERS_MAX:
            raise invalid_value(f"Must have at most {MEMBERS_MAX} members.")
        return value

    @field_validator("min", "max")
    @classmethod
    def _check_bound(cls, bound: Any, info: ValidationInfo) -> Any:
        type_name = info.data.get("type")
        if bound is None or type_name is None:
            return bound
        if VALUE_TYPES[type_name].size is None:
            raise invalid_value(f"A {type_name} has no {info.field_name}.")
        if type_name == "date":
            return check_date(bound)
        if not is_number(bound):
            raise invalid_value("Must be a number.")
        return bound

    @field_validator("regex")
    @classmethod
    def _check_regex(cls, regex: str | None, info: ValidationInfo) -> str | None:
        type_name = info.data.get("type")
        if regex is None or type_name is None:
            return regex
        if type_name not in WITH_PATTERN:
            raise invalid_value(f"A {type_name} is not compared with a pattern.")
        try:
            compile_pattern(regex)
        except InvalidPattern as error:
            raise invalid_value(f"Is no pattern (RE2): {error}") from None
        return regex

    @field_validator("default")
    @classmethod
    def _check_default(cls, default: Any, info: ValidationInfo) -> Any:
        is_rest_valid = len(info.data) == len(cls.model_fields) - 1
        stands_for_stored = default == MASK and info.data.get("type") in SECRET_TYPES
        if default is not None and is_rest_valid and not stands_for_stored:
            for error in _value_errors(cls.model_construct(None, **info.data), default, "", PatternBudget()):
                raise invalid_value(str(error["detail"]))
        return default


def _check_names(descriptions: list[ParameterDescription], sent: Any) -> None:
    """Raises for a name that stands twice, and for restrictions on parameters that do not exist."""
    names = [description.name for description in descriptions]
    errors: list[tuple[tuple[int | str, ...], str]] = []
    for index, description in enumerate(descriptions):
        if description.name in names[:index]:
            errors.append(((index, "name"), "Another parameter has this name."))
        for number, restriction in enumerate(description.restrictions or []):
            if restriction.parameter == description.name or restriction.parameter not in names:
                member = "target" if "target" in sent[index]["restrictions"][number] else "parameter"
                errors.append(((index, "restrictions", number, member), "Must be the name of another parameter."))
    if errors:
        raise invalid_places(errors)


def _check_pattern_budget(descriptions: Any) -> Any:
    """Raises for patterns that take too long together; what is wrong with one of them is told later."""
    budget = PatternBudget()
    for index, description in enumerate(descriptions[:PARAMETERS_MAX] if isinstance(descriptions, list) else ()):
        regex = description.get("regex") if isinstance(description, Mapping) else None
        if not isinstance(regex, str) or len(regex) > LENGTH_MAX:
            continue
        try:
            budget.compile(regex)
        except PatternsTooSlow as error:
            raise invalid_places([((index, "regex"), str(error))]) from None
        except InvalidPattern:
            continue
    return descriptions


def _keep_as_sent(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    _check_names(check(value), value)
    return value


CheckedDescriptions = Annotated[
    list[ParameterDescription],
    Field(max_length=PARAMETERS_MAX),
    BeforeValidator(_check_pattern_budget),
    WrapValidator(_keep_as_sent),
]
"""JSON that is a list of valid descriptions, and is stored and shown as it was sent."""

_STORED = TypeAdapter(list[ParameterDescription])


def load_descriptions(stored: Any) -> list[ParameterDescription]:
    return _STORED.validate_python(stored)


def secret_names(descriptions: Iterable[ParameterDescription]) -> set[str]:
    """The parameters whose values are not shown."""
    return {description.name for description in descriptions if description.type in SECRET_TYPES}


def replace_secret_defaults(stored: Any, replace: Callable[[int, str, Any], Any]) -> list[Any]:
    """Descriptions with other defaults for what is not shown: `replace` is given index, name and default."""
    return [
        {**each, "default": replace(index, each["name"], each["default"])}
        if each.get("default") is not None and _modern_spelling(each["type"]) in SECRET_TYPES
        else each
        for index, each in enumerate(stored)
    ]


def hide_secret_defaults(stored: Any) -> list[Any]:
    return replace_secret_defaults(stored, lambda index, name, default: MASK)


# Values


def complete_values(descriptions: Sequence[ParameterDescription], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the defaults of those that are absent; null stands for absent."""
    defaults = {each.name: each.default for each in descriptions if each.default is not None}
    return defaults | {name: value for name, value in values.items() if value is not None}


def find_value_errors(descriptions: Sequence[ParameterDescription], values: Mapping[str, Any]) -> list[ErrorEntry]:
    """Everything that is wrong with `values`, which are complete, with places below `/params`."""
    by_name = {description.name: description for description in descriptions}
    budget = PatternBudget()
    unknown = [name for name in values if name not in by_name][:20]
    errors: list[ErrorEntry] = [
        _error(f"/params/{escape_pointer(name)}", "There is no such parameter.") for name in unknown
    ]
    for name, description in by_name.items():
        pointer = f"/params/{escape_pointer(name)}"
        if name in values:
            found = list(_value_errors(description, values[name], pointer, budget))
            errors += found or _restriction_errors(description, values, pointer)
        elif description.required:
            errors.append(_error(pointer, "This is required."))
    return errors


def _error(pointer: str, detail: str) -> ErrorEntry:
    return {"pointer": pointer, "detail": detail}


def _value_errors(
    description: ParameterDescription, value: Any, pointer: str, budget: PatternBudget
) -> Iterator[ErrorEntry]:
    try:
        VALUE_TYPES[description.type].adapter.validate_python(value, strict=True)
    except ValidationError as error:
        yield from error_places(error, value, pointer, MESSAGES)
        return
    if description.required and value in ("", [], {}):
        yield _error(pointer, "Must not be empty.")
        return
    if detail := _bounds_error(description, value):
        yield _error(pointer, detail)
    if detail := _option_error(description, value) or _pattern_error(description, value, budget):
        yield _error(pointer, detail)


def _bounds_error(description: ParameterDescription, value: Any) -> str:
    least, most, value_type = description.min, description.max, VALUE_TYPES[description.type]
    if value_type.size is None:
        return ""
    size = value_type.size(value)
    if least is not None and size < (parse_date(least) or least):
        return f"Must be at least {least}{value_type.unit}."
    if most is not None and size > (parse_date(most) or most):
        return f"Must be at most {most}{value_type.unit}."
    return ""


def _option_error(description: ParameterDescription, value: Any) -> str:
    if description.options is None:
        return ""
    allowed = [option["value"] if isinstance(option, Mapping) else option for option in description.options]
    several = isinstance(value, list | Mapping) and description.type != "location"
    for item in list(value) if several else [value]:
        if not any(type(item) is type(option) and item == option for option in allowed):
            options = ", ".join(str(option) for option in allowed[:10]) + (", ..." if len(allowed) > 10 else "")
            return f"{str(item)[:NAME_MAX]!r} is not among the options: {options}."
    return ""


def _pattern_error(description: ParameterDescription, value: Any, budget: PatternBudget) -> str:
    if description.regex is None:
        return ""
    try:
        pattern = budget.compile(description.regex)
        for item in value if isinstance(value, list) else [value]:
            if not budget.search(pattern, item):
                subject = "" if description.type in SECRET_TYPES else f"{item[:NAME_MAX]!r} "
                return f"{subject}does not match the pattern {description.regex}."
    except PatternsTooSlow as error:
        return str(error)
    return ""


def _restriction_errors(
    description: ParameterDescription, values: Mapping[str, Any], pointer: str
) -> Iterator[ErrorEntry]:
    for restriction in description.restrictions or []:
        holds, words = RESTRICTIONS[restriction.operator]
        if not holds(values.get(description.name, ABSENT), values.get(restriction.parameter, ABSENT)):
            yield _error(pointer, restriction.message or f"It {words} {restriction.parameter}.")
