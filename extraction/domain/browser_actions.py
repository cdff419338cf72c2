"""Actions in a page once it is rendered, as users send them: in the hub's spelling, or the extraction cloud's. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.render_job import BOTTOM, BrowserAction
from extraction.domain.selectors import SELECTOR_MAX, RequiredSelector, Selector, check_selector
from taskhub.jsontools.json_models import REQUIRED_WORDS, Count, JsonModel, Text, is_stored
from taskhub.jsontools.schema import invalid_value

PIXELS_MAX = 1_000_000
SCROLLS_MAX = 100
# The names inside of actions, which may also stand without the name of the action around them.
INNER_NAMES = {
    "inputSelector": "input",
    "inputText": "input",
    "clickSelector": "click",
    "waitForSelector": "waitFor",
    "paginate": "scroll",
    "element": "scroll",
}


class FormEntry(JsonModel):
    """A form's element, and what it is filled with."""

    selector: RequiredSelector
    value: Text = ""


class InputEntry(JsonModel):
    """The same, as the extraction cloud spells it."""

    selector: RequiredSelector = Field(alias="inputSelector")
    value: Text = Field("", alias="inputText")


class ClickedElement(JsonModel):
    selector: RequiredSelector = Field(alias="clickSelector")


class AwaitedElement(JsonModel):
    selector: RequiredSelector = Field(alias="waitForSelector")


def _digits_as_number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value


class RepeatedScroll(JsonModel):
    """How often the page is scrolled to its end for more of its list; or `element` clicked, where there is one."""

    times: Annotated[Count, BeforeValidator(_digits_as_number), Field(le=SCROLLS_MAX)] = Field(alias="paginate")
    element: Selector = ""


def _selector_of(model: type[ClickedElement | AwaitedElement]) -> BeforeValidator:
    """A selector, or an object that holds one."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        return model.model_validate(value, context=info.context).selector if isinstance(value, Mapping) else value

    return BeforeValidator(validate)


def _read_scroll(value: Any, info: ValidationInfo) -> int | str | RepeatedScroll:
    """Reads where to scroll: by pixels, to the `bottom`, to what a selector finds, or to the end several times."""
    if isinstance(value, Mapping):
        return RepeatedScroll.model_validate(value, context=info.context)
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


class PageAction(JsonModel):
    """One of `waitFor`, `click`, `fill` (or `input`) and `scroll`."""

    wait: Annotated[RequiredSelector | None, _selector_of(AwaitedElement)] = Field(None, alias="waitFor")
    click: Annotated[RequiredSelector | None, _selector_of(ClickedElement)] = None
    fill: FormEntry | None = None
    input: InputEntry | None = None
    scroll: Annotated[int | str | RepeatedScroll | None, BeforeValidator(_read_scroll)] = None

    @model_validator(mode="before")
    @classmethod
    def _from_inner_names(cls, value: Any) -> Any:
        kinds = {INNER_NAMES.get(name) for name in value} if isinstance(value, Mapping) else set()
        kind = kinds.pop() if len(kinds) == 1 else None
        return {kind: value} if kind else value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise invalid_value("Must have one of waitFor, click, fill, input and scroll.")
        return self

    @property
    def only_waits(self) -> bool:
        return self.wait is not None

    def browser_action(self) -> BrowserAction:
        if entry := self.fill or self.input:
            return BrowserAction("fill", entry.selector, entry.value)
        if self.scroll is not None:
            return _scrolling(self.scroll)
        return BrowserAction("click", self.click) if self.click is not None else BrowserAction("wait", self.wait or "")


def _scrolling(scroll: int | str | RepeatedScroll) -> BrowserAction:
    if isinstance(scroll, RepeatedScroll):
        return BrowserAction("scroll", scroll.element, times=scroll.times)
    if isinstance(scroll, int):
        return BrowserAction("scroll", pixels=scroll)
    return BrowserAction("scroll", value=BOTTOM) if scroll == BOTTOM else BrowserAction("scroll", scroll)
