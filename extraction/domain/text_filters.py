"""Changes of texts, as a field's `filters` name them. Pure."""

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache, partial
from itertools import chain
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ValidationInfo, model_validator

from taskhub.jsontools.json_models import REQUIRED_WORDS, JsonModel, Text, is_stored
from taskhub.jsontools.schema import invalid_places
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, PatternBudget, compile_pattern

REGEX, CONCATENATE = "regex", "concatenate"
LINES = "lines"  # says how the text is read, see `RecordField.reads_lines`
OTHER_SPELLINGS = {"concatinate": CONCATENATE}


def keep(text: str) -> str:
    """The text as it is."""
    return text


def squeeze(text: str) -> str:
    """One space where there are several, or other white space; none at the ends."""
    return " ".join(text.split())


def capitalize(text: str) -> str:
    """The first letter of each word in upper case; the others as they are."""
    previous = chain(" ", text)
    return "".join(now.upper() if before.isspace() else now for before, now in zip(previous, text, strict=False))


SIMPLE: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "normal": keep,
    "squeeze": squeeze,
    "uppercase": str.upper,
    "lowercase": str.lower,
    "capitalize": capitalize,
    CONCATENATE: keep,  # of one text; lists are split before, see `split_at_concatenation`
    LINES: keep,
}
FILTER_NAMES = (*SIMPLE, REGEX)


pattern = lru_cache(maxsize=1024)(compile_pattern)


def _read_name(value: Any) -> Any:
    return OTHER_SPELLINGS.get(value.lower(), value.lower()) if isinstance(value, str) else value


class TextFilter(JsonModel):
    """A change of a text; `param` is the pattern of `regex`. Its name alone may stand for it."""

    name: Annotated[Text, BeforeValidator(_read_name)]
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
        return SIMPLE[self.name] if self.name != REGEX else partial(_join_matches, pattern(self.param))

    def _check_pattern(self, budget: PatternBudget) -> None:
        if not self.param:
            raise invalid_places([(("param",), REQUIRED_WORDS)])
        try:
            if len(self.param) > LENGTH_MAX:
                raise InvalidPattern(f"it has more than {LENGTH_MAX} characters")
            budget.compile(self.param)
        except ValueError as error:
            raise invalid_places([(("param",), f"This is no pattern: {error}.")]) from None


def apply_filters(text: str | None, filters: tuple[TextFilter, ...]) -> str | None:
    """The text after all filters, in their order; None where there is none, and when a pattern does not match."""
    if text is None:
        return None
    for filter in filters:
        changed = filter.change(text)
        if changed is None:
            return None
        text = changed
    return text


def split_at_concatenation(
    filters: tuple[TextFilter, ...],
) -> tuple[tuple[TextFilter, ...], tuple[TextFilter, ...] | None]:
    """The filters of each text of a list, and those of the one text that they are joined to; None where none is."""
    names = [filter.name for filter in filters]
    if CONCATENATE not in names:
        return filters, None
    place = names.index(CONCATENATE)
    return filters[:place], filters[place + 1 :]


def concatenate(texts: Iterable[str | None], filters: tuple[TextFilter, ...]) -> str | None:
    """The texts of a list as one, with a space between them, after further filters; None where there are none."""
    present = [str(text) for text in texts if text is not None]
    return apply_filters(" ".join(present), filters) if present else None


def _join_matches(compiled: Any, text: str) -> str | None:
    """What a pattern matches, without what is between; None where it matches nowhere."""
    matches = [match[0] for match in compiled.finditer(text)]
    return "".join(matches) if matches else None
