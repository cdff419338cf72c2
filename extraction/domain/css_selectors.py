"""CSS selectors, as users send them, and their checks. Pure."""

from typing import Annotated

from pydantic import AfterValidator, Field
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from taskhub.jsontools.json_models import CONTROL, checked_by, required
from taskhub.jsontools.schema import invalid_value

BLOCK = "."  # the selector of the block itself
SELECTOR_MAX = 1_000  # characters

_EMPTY = LexborHTMLParser("")


def css_fault(selector: str) -> str | None:
    """What is wrong with a CSS selector, if anything is."""
    try:
        _EMPTY.css(selector)
    except (SelectolaxError, ValueError):
        return "This is no CSS selector that is known."
    return None


def check_selector(text: str) -> None:
    """Raises an `invalid_value` for what is neither a selector, nor that of the block, nor empty."""
    selector = text.strip()
    if CONTROL.search(text):
        raise invalid_value("Must have no control characters.")
    if selector and selector != BLOCK and (detail := css_fault(selector)):
        raise invalid_value(detail)


Selector = Annotated[str, Field(max_length=SELECTOR_MAX), checked_by(check_selector), AfterValidator(str.strip)]
RequiredSelector = Annotated[
    str, Field(max_length=SELECTOR_MAX), AfterValidator(required), checked_by(check_selector), AfterValidator(str.strip)
]
