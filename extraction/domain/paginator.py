"""How a list goes on from page to page, as users send it (contract, 6.1). Pure."""

from typing import Annotated, Any, Self

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from extraction.domain.selectors import SourceSelector
from taskhub.jsontools.json_models import REQUIRED_WORDS, Count, JsonModel, Name, Text, is_stored
from taskhub.jsontools.schema import invalid_places

NEXT, MORE, INFINITE = "next", "more", "infinite"  # by a link, a button for more, or scrolling


class Paginator(JsonModel):
    """How a list goes on: by the link to its `next` page, by a button for `more`, or without an end when scrolled.

    `pages` is how many at most, the first included. A selector alone may stand for it.
    """

    selector: SourceSelector = Field("", validation_alias=AliasChoices("nextPageSelector", "selector"))
    attr: Annotated[Name, BeforeValidator(lambda attr: attr or "href")] = "href"
    pages: Count | None = Field(None, validation_alias=AliasChoices("pageNum", "maxPages"))
    type: Annotated[Text, BeforeValidator(lambda type: type or NEXT)] = NEXT

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"selector": value}
        if isinstance(value, dict):
            doubled = {second for first, second in _SPELLINGS if first in value}
            return {name: inner for name, inner in value.items() if name not in doubled}
        return value

    @field_validator("attr", "type")
    @classmethod
    def _lower(cls, text: str) -> str:
        return text.lower()

    @model_validator(mode="after")
    def _is_complete(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        if self.type not in {NEXT, MORE, INFINITE}:
            raise invalid_places([(("type",), "Must be next, more or infinite.")])
        if not self.selector and self.type != INFINITE:
            raise invalid_places([(("nextPageSelector",), REQUIRED_WORDS)])
        return self


_SPELLINGS = (("nextPageSelector", "selector"), ("pageNum", "maxPages"))
