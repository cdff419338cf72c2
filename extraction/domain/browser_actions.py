"""Actions in a page once it is rendered, as users send them: in the hub's spelling, or the extraction cloud's. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.render_job import BOTTOM, BrowserAction
from extraction.domain.selectors import SELECTOR_MAX, FrameSelector, RequiredSelector, Selector, check_selector
from taskhub.jsontools.json_models import REQUIRED_WORDS, Count, JsonModel, Text, is_stored, number_between
from taskhub.jsontools.schema import invalid_places, invalid_value

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
    "box": "scroll",
}
ACTIONS = ("waitFor", "click", "fill", "input", "scroll", "hover", "select", "press", "wait", "script")
SCRIPT_MAX = 20_000  # characters


KEYS = frozenset(
    (
        *("Enter", "Tab", "Escape", "Backspace", "Delete", "Insert", "Home", "End", "PageUp", "PageDown", "Space"),
        *("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", *(f"F{number}" for number in range(1, 13))),
    )
)
MODIFIERS = frozenset({"Shift", "Control", "Alt", "Meta"})
PAUSE_MAX = 30  # seconds
CHOICES_MAX = 100


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
    """How often the page, or a box in it, is scrolled to its end for more of its list; or `element` is clicked."""

    times: Annotated[Count, BeforeValidator(_digits_as_number), Field(le=SCROLLS_MAX)] = Field(alias="paginate")
    element: Selector = ""
    box: Selector = ""

    @model_validator(mode="after")
    def _scrolls_or_clicks(self) -> Self:
        if self.element and self.box:
            raise invalid_places([(("box",), "Must not be set beside element.")])
        return self


def _read_key(value: Any) -> str:
    """Reads a key, which others may be held down for: `Enter`, `a`, `Control+A`."""
    if not isinstance(value, str):
        raise invalid_value("Must be a text.")
    *held, key = value.split("+") if len(value) > 1 else [value]
    if not set(held) <= MODIFIERS or not (key in KEYS or (len(key) == 1 and key.isprintable())):
        raise invalid_value("This is no key such as Enter, ArrowDown, a or Control+A.")
    return value


Key = Annotated[str, BeforeValidator(_read_key)]


class KeyPress(JsonModel):
    """A key, and the element in which it is pressed; without one, that which has the focus."""

    key: Key
    selector: Selector = ""


def _read_press(value: Any, info: ValidationInfo) -> KeyPress:
    if isinstance(value, Mapping):
        return KeyPress.model_validate(value, context=info.context)
    return KeyPress.model_construct(key=_read_key(value), selector="")


def _read_choices(value: Any) -> tuple[str, ...]:
    """Reads the value or the label of an option, or a list of them."""
    choices = [value] if isinstance(value, str) else value
    if not isinstance(choices, list) or len(choices) > CHOICES_MAX or not all(isinstance(one, str) for one in choices):
        raise invalid_value("Must be a text, or a list of texts.")
    return tuple(choices)


class SelectEntry(JsonModel):
    """A form's list, and the options that are selected in it, by their values or their labels."""

    selector: RequiredSelector
    value: Annotated[tuple[str, ...], BeforeValidator(_read_choices)]


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


def _read_script(value: Any) -> str:
    if not isinstance(value, str) or len(value) > SCRIPT_MAX or "\0" in value:
        raise invalid_value(f"Must be a text of at most {SCRIPT_MAX} characters.")
    if not value.strip():
        raise invalid_value(REQUIRED_WORDS)
    return value


RequiredScript = Annotated[str, BeforeValidator(_read_script)]


class PageAction(JsonModel):
    """One of the actions; what is in `frame` is acted in where that is given."""

    wait: Annotated[RequiredSelector | None, _selector_of(AwaitedElement)] = Field(None, alias="waitFor")
    click: Annotated[RequiredSelector | None, _selector_of(ClickedElement)] = None
    fill: FormEntry | None = None
    input: InputEntry | None = None
    scroll: Annotated[int | str | RepeatedScroll | None, BeforeValidator(_read_scroll)] = None
    hover: RequiredSelector | None = None
    select: SelectEntry | None = None
    press: Annotated[KeyPress | None, BeforeValidator(_read_press)] = None
    pause: Annotated[float | None, number_between(0, PAUSE_MAX, "seconds")] = Field(None, alias="wait")
    script: RequiredScript | None = None
    frame: FrameSelector = ""

    @model_validator(mode="before")
    @classmethod
    def _from_inner_names(cls, value: Any) -> Any:
        names = [name for name in value if name != "frame"] if isinstance(value, Mapping) else []
        kinds = {INNER_NAMES.get(name) for name in names}
        kind = kinds.pop() if len(kinds) == 1 else None
        if not kind:
            return value
        inner = {name: value[name] for name in names}
        return {kind: inner, **{name: value[name] for name in value if name == "frame"}}

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set - {"frame"}) != 1:
            raise invalid_value(f"Must have one of {', '.join(ACTIONS[:-1])} and {ACTIONS[-1]}.")
        return self

    @property
    def only_waits(self) -> bool:
        return self.wait is not None or self.pause is not None

    def browser_action(self) -> BrowserAction:
        return replace(self._without_frame(), frame=self.frame)

    def _without_frame(self) -> BrowserAction:
        if entry := self.fill or self.input:
            return BrowserAction("fill", entry.selector, entry.value)
        if self.scroll is not None:
            return _scrolling(self.scroll)
        if self.select is not None:
            return BrowserAction("select", self.select.selector, choices=self.select.value)
        if self.press is not None:
            return BrowserAction("press", self.press.selector, self.press.key)
        if self.pause is not None:
            return BrowserAction("pause", seconds=self.pause)
        if self.script is not None:
            return BrowserAction("script", value=self.script)
        if self.hover is not None:
            return BrowserAction("hover", self.hover)
        return BrowserAction("click", self.click) if self.click is not None else BrowserAction("wait", self.wait or "")


def _scrolling(scroll: int | str | RepeatedScroll) -> BrowserAction:
    if isinstance(scroll, RepeatedScroll):
        return BrowserAction("scroll", scroll.element, times=scroll.times, box=scroll.box)
    if isinstance(scroll, int):
        return BrowserAction("scroll", pixels=scroll)
    return BrowserAction("scroll", value=BOTTOM) if scroll == BOTTOM else BrowserAction("scroll", scroll)
