"""Changes of texts, as a field's `filters` name them. Pure."""

import unicodedata
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from itertools import chain
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ValidationInfo, model_validator

from taskhub.jsontools.json_models import REQUIRED_WORDS, JsonModel, Text, is_stored
from taskhub.jsontools.schema import invalid_places
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, PatternBudget, compile_pattern

REGEX = "regex"


def normalize(text: str) -> str:
    """Composed letters (NFC), and one space where there are several, or other white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def capitalize(text: str) -> str:
    """The first letter of each word in upper case; the others as they are."""
    previous = chain(" ", text)
    return "".join(now.upper() if before.isspace() else now for before, now in zip(previous, text, strict=False))


SIMPLE: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "normal": normalize,
    "uppercase": str.upper,
    "lowercase": str.lower,
    "capitalize": capitalize,
}
FILTER_NAMES = (*SIMPLE, REGEX)


pattern = lru_cache(maxsize=1024)(compile_pattern)


class TextFilter(JsonModel):
    """A change of a text; `param` is the pattern of `regex`. Its name alone may stand for it."""

    name: Annotated[Text, BeforeValidator(lambda name: name.lower() if isinstance(name, str) else name)]
    param: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_known(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        if self.name not in FILTER_NAMES:
            raise invalid_places([(("name",), f"Must be one of {', '.join(FILTER_NAMES)}.")])
        if self.name == REGEX:
            # One budget for all patterns of a payload, where they are read as such.
            self._check_pattern((info.context or {}).get("patterns") or PatternBudget())
        elif self.param:
            raise invalid_places([(("param",), f"The filter {self.name} has none.")])
        return self

    @cached_property
    def change(self) -> Callable[[str], str | None]:
        """Changes a text; None where a pattern does not match."""
        return SIMPLE[self.name] if self.name != REGEX else partial(_first_match, pattern(self.param))

    def _check_pattern(self, budget: PatternBudget) -> None:
        if not self.param:
            raise invalid_places([(("param",), REQUIRED_WORDS)])
        try:
            if len(self.param) > LENGTH_MAX:
                raise InvalidPattern(f"it has more than {LENGTH_MAX} characters")
            budget.compile(self.param)
        except ValueError as error:
            raise invalid_places([(("param",), f"This is no pattern: {error}.")]) from None


def apply_filters(text: str, filters: tuple[TextFilter, ...]) -> str | None:
    """The text after all filters, in their order; None when a pattern does not match."""
    for filter in filters:
        changed = filter.change(text)
        if changed is None:
            return None
        text = changed
    return text


def _first_match(compiled: Any, text: str) -> str | None:
    match = compiled.search(text)
    return match[0] if match else None
