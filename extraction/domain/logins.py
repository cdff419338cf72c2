"""How a process logs in to a site, as users say it, and the form that it fills for that. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from pydantic import Field, ValidationInfo, model_validator
from selectolax.lexbor import LexborHTMLParser, LexborNode

from extraction.domain.browser_actions import PageAction
from extraction.domain.html_source import HtmlSource
from extraction.domain.page_addresses import absolute_address, fetchable_address
from extraction.domain.process_status import PageFailure
from extraction.domain.request_addresses import Address
from extraction.domain.request_bodies import FORM_TYPE, FormValues
from extraction.domain.selectors import Selector
from taskhub.jsontools.json_models import REQUIRED_WORDS, JsonModel, is_stored
from taskhub.jsontools.schema import invalid_places

LOGIN_RULE = -2  # the number of the rule that the page of a login is read by
ACTIONS_MAX = 50
FIELDS_MAX = 1_000  # of a form that are looked at
NAMES_SHOWN = 20  # of fields, where none is one of those that are given
_NOT_SENT = frozenset({"submit", "button", "image", "reset", "file"})
_CHECKED = frozenset({"checkbox", "radio"})


class LoginTerms(JsonModel):
    """A login, once a process: a page with a form, and what it is filled with; or actions in the page.

    `submit` is the selector of the form, or of the button that sends it, where the page has several.
    """

    url: Address
    form: FormValues = Field(default_factory=dict)
    submit: Selector = ""
    actions: tuple[PageAction, ...] = Field((), max_length=ACTIONS_MAX)

    @model_validator(mode="after")
    def _is_one_way(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        if not (self.form or self.actions):
            raise invalid_places([(("form",), REQUIRED_WORDS)])
        if self.form and self.actions:
            raise invalid_places([(("actions",), "Must not be set beside form.")])
        return self


class LoginRequest(NamedTuple):
    """The request that a filled form sends."""

    method: str
    url: str
    body: str

    @property
    def content_type(self) -> str:
        return FORM_TYPE


def fill_form(html: str, url: str, login: LoginTerms) -> LoginRequest:
    """The request of a page's form, with its hidden fields, and those that it is filled with. Raises `PageFailure`."""
    source = HtmlSource(html)
    button = source.page.css_first(login.submit) if login.submit else None
    form = _form_around(button) if login.submit else _likeliest_form(source.page, login)
    if form is None:
        raise PageFailure("The page of the login has no such form.")
    names = _names_in(form)
    if names and not names & login.form.keys():
        shown = ", ".join(sorted(names)[:NAMES_SHOWN])
        raise PageFailure(f"The form of the login has none of the fields that it is filled with; it has {shown}.")
    fields = dict(_own_fields(form))
    if button is not None and (name := button.attributes.get("name")) and button.tag in {"button", "input"}:
        fields[name] = button.attributes.get("value") or ""
    body = urlencode({**fields, **login.form}, doseq=True)
    attributes = {**form.attributes, "action": _own_action(button) or form.attributes.get("action")}
    target = absolute_address(source.base_address(url), attributes.get("action") or url)
    address = fetchable_address(target)
    if address is None:
        raise PageFailure("The form of the login leads to no address of the web.")
    if (attributes.get("method") or "get").lower() != "post":
        return LoginRequest("GET", f"{address.partition('?')[0]}?{body}", "")
    return LoginRequest("POST", address, body)


def _own_action(button: LexborNode | None) -> str | None:
    return button.attributes.get("formaction") if button is not None else None


def _form_around(node: LexborNode | None) -> LexborNode | None:
    while node is not None and node.tag != "form":
        node = node.parent
    return node


def _likeliest_form(page: LexborHTMLParser, login: LoginTerms) -> LexborNode | None:
    """The form with most of the fields that are filled; of several, one that asks for a password."""

    def rank(form: LexborNode) -> tuple[int, bool]:
        return len(_names_in(form) & login.form.keys()), form.css_first("input[type=password i]") is not None

    return max(page.css("form"), key=rank, default=None)


def _names_in(form: LexborNode) -> set[str]:
    """The names of a form's fields."""
    return {name for node in form.css("input, select, textarea") if (name := node.attributes.get("name"))}


def _own_fields(form: LexborNode) -> Iterator[tuple[str, Any]]:
    """The fields of a form as they are when nobody touches it (HTML standard, form submission)."""
    for node in form.css("input[name], textarea[name], select[name]")[:FIELDS_MAX]:
        name, kind = node.attributes["name"] or "", (node.attributes.get("type") or "").lower()
        if not name or "disabled" in node.attributes or kind in _NOT_SENT:
            continue
        if node.tag == "textarea":
            yield name, node.text()
        elif node.tag == "select":
            chosen = node.css_first("option[selected]") or node.css_first("option")
            if chosen is not None:
                yield name, chosen.attributes.get("value") or chosen.text().strip()
        elif kind not in _CHECKED or "checked" in node.attributes:
            yield name, node.attributes.get("value") or ("on" if kind in _CHECKED else "")
