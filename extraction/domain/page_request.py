"""The first request of an extraction, as users send it, and what a browser does with the page that comes. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.css_selectors import SELECTOR_MAX, RequiredSelector, check_selector
from extraction.domain.page_urls import followable
from extraction.domain.render_job import BOTTOM, BrowserAction
from taskhub.jsontools.json_models import (
    CONTROL,
    REQUIRED_WORDS,
    TEXT_MAX,
    JsonModel,
    Text,
    is_stored,
    texts_checked_by,
)
from taskhub.jsontools.schema import invalid_places, invalid_value

BASE, CHROME = "base", "chrome"  # a page as it comes, or rendered
ACTIONS_MAX = 50
PIXELS_MAX = 1_000_000
ONLY_CHROME = "Needs a page that is rendered: request.type chrome."

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_HUBS_OWN = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_NO_COOKIE = re.compile(r"[\x00-\x20\x7f;,\"\\]")


def one_of(names: tuple[str, ...], words: str) -> BeforeValidator:
    """One of some names, in any case. `words` say which ones there are."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in names:
            raise invalid_value(words)
        return value.lower()

    return BeforeValidator(validate)


def _address(value: str) -> str:
    """An address as it is asked for."""
    if not value:
        raise invalid_value(REQUIRED_WORDS)
    if (url := followable(value.strip())) is None:
        raise invalid_value("Must be an http or https address.")
    return url


def _optional_address(value: str) -> str:
    """An address as it was written."""
    text = value.strip()
    if text and followable(text) is None:
        raise invalid_value("Must be an http or https address.")
    return text


def _header_fault(name: str, value: str) -> str | None:
    if not _HEADER.fullmatch(name):
        return "This is no name of a header."
    if name.lower() in _HUBS_OWN:
        return "This header is the hub's own."
    if CONTROL.search(value) or len(value) > TEXT_MAX or not value.isascii():
        return "This is no value of a header."
    return None


def _cookie_fault(name: str, value: str) -> str | None:
    if not _HEADER.fullmatch(name) or not value.isascii() or _NO_COOKIE.search(value):
        return "This is no cookie (RFC 6265)."
    return None


def _cookies_of_header(value: Any) -> Any:
    """Cookies may also be a text as the header Cookie has it."""
    if not isinstance(value, str):
        return value
    if CONTROL.search(value) or len(value) > TEXT_MAX:
        raise invalid_value("This is no value of a header.")
    pairs = (part.partition("=") for part in value.split(";") if part.strip())
    return {name.strip(): text.strip() for name, _, text in pairs}


Address = Annotated[Text, AfterValidator(_address)]
OptionalAddress = Annotated[Text, AfterValidator(_optional_address)]
PageType = Annotated[Literal["", "base", "chrome"], one_of(("", BASE, CHROME), "Must be base or chrome.")]
Method = Annotated[Literal["", "get", "post"], one_of(("", "get", "post"), "Must be GET or POST.")]
Texts = Annotated[dict[str, str], texts_checked_by(lambda name, text: None)]
Headers = Annotated[dict[str, str], texts_checked_by(_header_fault)]
# Validators before run from the last to the first.
Cookies = Annotated[dict[str, str], texts_checked_by(_cookie_fault), BeforeValidator(_cookies_of_header)]


def _scroll(value: Any, info: ValidationInfo) -> int | str:
    """Where to scroll: so many pixels, to the `bottom`, or to what a selector finds."""
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
    """What a form's element is filled with."""

    selector: RequiredSelector
    value: Text = ""


class PageAction(JsonModel):
    """`{"waitFor": selector}`, `{"click": selector}`, `{"fill": {selector, value}}` or `{"scroll": where}`."""

    wait: RequiredSelector | None = Field(None, alias="waitFor")
    click: RequiredSelector | None = None
    fill: FormEntry | None = None
    scroll: Annotated[int | str | None, BeforeValidator(_scroll)] = None

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


class RequestTarget(JsonModel):
    """What is asked for. `headers` and `cookies` are the user's own.

    Actions are done in the first page once it is rendered; on the other pages of its list, those that wait or scroll.
    """

    url: Address
    proxy: OptionalAddress = ""
    headers: Headers = Field(default_factory=dict)
    cookies: Cookies = Field(default_factory=dict)
    sent_actions: tuple[PageAction, ...] = Field((), alias="actions", max_length=ACTIONS_MAX)

    @property
    def method(self) -> str:
        return "GET"

    @property
    def form(self) -> Mapping[str, str]:
        return {}

    @property
    def actions(self) -> tuple[BrowserAction, ...]:
        return tuple(action.browser_action() for action in self.sent_actions)


class PageRequest(RequestTarget):
    """A request as a payload has it. With a form, which is sent as a form, it is a POST unless it says otherwise."""

    type: PageType = ""
    sent_method: Method = Field("", alias="method")
    sent_form: Texts = Field(default_factory=dict, alias="form")

    @property
    def method(self) -> str:
        return self.sent_method.upper() or ("POST" if self.sent_form else "GET")

    @property
    def form(self) -> Mapping[str, str]:
        return self.sent_form

    @property
    def is_rendered(self) -> bool:
        return self.type == CHROME

    @model_validator(mode="after")
    def _renders_to_act(self) -> Self:
        if self.sent_actions and not self.is_rendered:
            raise invalid_places([(("actions",), ONLY_CHROME)])
        return self
