"""Restrictions between the values of two parameters, and the older names of what describes parameters."""

import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from crawlers.domain.value_types import Text, parse_date

ABSENT = object()


def _if_both(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison that holds where one of the two values is absent."""

    def holds(value: Any, other: Any) -> bool:
        if value is ABSENT or other is ABSENT:
            return True
        try:
            return compare(parse_date(value) or value, parse_date(other) or other)
        except TypeError:
            return False

    return holds


RESTRICTIONS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "<": (_if_both(operator.lt), "must be less than"),
    "<=": (_if_both(operator.le), "must be at most"),
    ">": (_if_both(operator.gt), "must be greater than"),
    ">=": (_if_both(operator.ge), "must be at least"),
    "==": (_if_both(operator.eq), "must equal"),
    "!=": (_if_both(operator.ne), "must differ from"),
    "requires": (lambda value, other: value is ABSENT or other is not ABSENT, "needs"),
    "excludes": (lambda value, other: value is ABSENT or other is ABSENT, "cannot stand beside"),
}


OLDER_RULES = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "==", "ne": "!="}
# Members of descriptions that older documents write otherwise.
OLDER_NAMES = {"operator": "rule", "parameter": "target", "required": "req", "label": "display_name"}


def either_name(name: str) -> Any:
    """A field that may be sent under the older of its names."""
    return Field(validation_alias=AliasChoices(name, OLDER_NAMES[name]))


def describe_older_names(schema: dict[str, Any]) -> None:
    """Adds the older names to the JSON Schema of a model."""
    properties = schema["properties"]
    for name, older in OLDER_NAMES.items():
        if name in properties:
            properties[older] = {**properties[name], "description": f"As `{name}`."}
    replaced = [name for name in schema.get("required", []) if name in OLDER_NAMES]
    schema["required"] = [name for name in schema.get("required", []) if name not in OLDER_NAMES]
    if replaced:
        schema["allOf"] = [{"oneOf": [{"required": [name]}, {"required": [OLDER_NAMES[name]]}]} for name in replaced]


def _operator_of(rule: Any) -> Any:
    return OLDER_RULES.get(rule, rule) if isinstance(rule, str) else rule


class Restriction(BaseModel):
    """What must hold between the value of a parameter and that of another one, if it has a value."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=describe_older_names)

    operator: Annotated[
        Literal["<", "<=", ">", ">=", "==", "!=", "requires", "excludes"],
        BeforeValidator(_operator_of),
        either_name("operator"),
        WithJsonSchema({"enum": [*RESTRICTIONS, *OLDER_RULES]}),
    ]
    parameter: Annotated[str, either_name("parameter")]
    message: Text = ""
