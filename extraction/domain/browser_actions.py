"""Actions in a page once it is rendered, as users send them. Pure."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.css_selectors import SELECTOR_MAX, RequiredSelector, check_selector
from extraction.domain.render_job import BOTTOM, BrowserAction
from taskhub.jsontools.json_models import REQUIRED_WORDS, JsonModel, Text, is_stored
from taskhub.jsontools.schema import invalid_value

PIXELS_MAX = 1_000_000


def _read_scroll(value: Any, info: ValidationInfo) -> int | str:
    """Reads where to scroll: by pixels, to the `bottom`, or to what a selector finds."""
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > PIXELS_MAX:
            raise invalid_value(f"Must be at most {PIXELS_MAX} pixels.")
        return value
    if not isinstance(value, str):
        raise invalid_value("Must be a text.")
    if not value:
        raise invalid_value(REQUIRED_WORDS)
    if len(value) > SELECTOR_MAX:
        raise invalid_value(f"Must have at most {SELECTOR_MAX} characters.")
    if value != BOTTOM and not is_stored(info):
        check_selector(value)
    return value.strip()


class FormEntry(JsonModel):
    """A form's element, and what it is filled with."""

    selector: RequiredSelector
    value: Text = ""


class PageAction(JsonModel):
    """`{"waitFor": selector}`, `{"click": selector}`, `{"fill": {selector, value}}` or `{"scroll": where}`."""

    wait: RequiredSelector | None = Field(None, alias="waitFor")
    click: RequiredSelector | None = None
    fill: FormEntry | None = None
    scroll: Annotated[int | str | None, BeforeValidator(_read_scroll)] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise invalid_value("Must have one of waitFor, click, fill and scroll.")
        return self

    def browser_action(self) -> BrowserAction:
        if self.fill:
            return BrowserAction("fill", self.fill.selector, self.fill.value)
        if isinstance(self.scroll, int):
            return BrowserAction("scroll", pixels=self.scroll)
        if self.scroll == BOTTOM:
            return BrowserAction("scroll", value=BOTTOM)
        if self.scroll is not None:
            return BrowserAction("scroll", self.scroll)
        return BrowserAction("click", self.click) if self.click is not None else BrowserAction("wait", self.wait or "")
