"""JSON that users send, as pydantic models: the types of its values, and pydantic's errors as places in what was sent.

For payloads that are stored: objects in objects, with rules between their fields. A flat object, or one whose fields
are known at run time only, is an `ObjectSchema` of `schema`.

In an object, null is as if the name were absent, and a name that is not known is an error. `true` is no number and 5 no
text, as the types here say. What was checked before it was stored is loaded with the context `STORED`, in which checks
are left out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from taskhub.errors import ErrorEntry, Rejected
from taskhub.jsontools.schema import error_places, invalid_places, invalid_value, rejected

STORED: dict[str, Any] = {"stored": True}  # the validation context of values that were checked before they were stored
TEXT_MAX = 8_000  # characters
TEXTS_MAX = 200  # entries of an object of texts
NAMES_MAX = 100  # of an object that is a model: more are not looked at one by one
NUMBER_MAX = 10**12
REQUIRED_WORDS = "This is required."
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

MESSAGES = {  # by pydantic's types of errors
    "string_type": "Must be a text.",
    "string_too_long": "Must have at most {max_length} characters.",
    "bool_type": "Must be true or false.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than_equal": "Must be at most {le}.",
    "list_type": "Must be a list.",
    "tuple_type": "Must be a list.",
    "too_long": "Must have at most {max_length} entries.",
    "dict_type": "Must be an object.",
    "recursion_loop": "It is nested too deeply.",
}

T = TypeVar("T")
Steps = tuple[str | int, ...]


class JsonModel(BaseModel):
    """An object of JSON that somebody sends. Immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _from_object(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise invalid_value("Must be an object.")
        if (
            len(value) > NAMES_MAX
        ):  # before pydantic makes an error of several hundred bytes for each of a million names
            raise invalid_value(f"Must have at most {NAMES_MAX} names.")
        return {name: inner for name, inner in value.items() if inner is not None}


def is_stored(info: ValidationInfo) -> bool:
    """Whether a value was checked before, and is only loaded now."""
    return bool(info.context and info.context.get("stored"))


def checked_by(check: Callable[[Any], None]) -> AfterValidator:
    """A check that raises `invalid_value` or `invalid_places`. What is loaded as it was stored has passed it."""

    def validate(value: T, info: ValidationInfo) -> T:
        if not is_stored(info):
            check(value)
        return value

    return AfterValidator(validate)


def _check_control(text: str) -> None:
    if CONTROL.search(text):
        raise invalid_value("Must have no control characters.")


def required(value: T) -> T:
    """The value of a name that may not be left empty."""
    if not value:
        raise invalid_value(REQUIRED_WORDS)
    return value


Text = Annotated[str, Field(max_length=TEXT_MAX), checked_by(_check_control)]
Name = Annotated[str, Field(max_length=200), checked_by(_check_control)]
RequiredText = Annotated[Text, AfterValidator(required)]
Flag = StrictBool


def _whole(value: Any) -> int:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not is_whole:
        raise invalid_value("Must be a whole number.")
    return int(value)


WholeNumber = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[WholeNumber, Field(ge=1, le=NUMBER_MAX)]


def number_between(least: float, most: float, unit: str = "") -> BeforeValidator:
    """A number of any sort; `unit` is named in the words of what is none."""
    kind = f"a number of {unit}" if unit else "a number"

    def validate(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise invalid_value(f"Must be {kind} from {least:g} to {most:g}.")
        return float(value)

    return BeforeValidator(validate)


def texts_checked_by(check: Callable[[str, str], str | None]) -> BeforeValidator:
    """An object of texts; numbers are written out. `check` says what is wrong with a name and its text, if anything."""

    def validate(value: Any, info: ValidationInfo) -> dict[str, str]:
        if not isinstance(value, Mapping) or len(value) > TEXTS_MAX:
            raise invalid_value(f"Must be an object of at most {TEXTS_MAX} texts.")
        faults: list[tuple[Steps, str]] = []
        texts: dict[str, str] = {}
        for name, inner in value.items():
            if isinstance(inner, bool) or not isinstance(inner, str | int | float):
                faults.append(((name,), "Must be a text."))
                continue
            texts[name] = str(inner)
            if not is_stored(info) and (detail := check(name, texts[name])):
                faults.append(((name,), detail))
        if faults:
            raise invalid_places(faults)
        return texts

    return BeforeValidator(validate)


def payload_rejected(
    error: ValidationError, sent: Any, *, at: str = "", explain: Callable[..., list[ErrorEntry]] | None = None
) -> Rejected:
    """The problem that names each wrong place of what was `sent`, as JSON pointers under `at`.

    `explain` may put other places, or words, in place of these; it gets them, what was sent, and `at`.
    """
    places = error_places(error, sent, at, MESSAGES)
    return rejected(explain(places, sent, at) if explain else places, "The payload is not valid.")
