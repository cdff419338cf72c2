"""Selectors as users send them: CSS, XPath 1.0 or JSONPath, and their checks. Pure.

In a page that is read as JSON all selectors are JSONPath. In others a selector is XPath where it begins as a path does,
and else CSS.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from taskhub.jsontools.json_models import CONTROL, checked_by, required
from taskhub.jsontools.schema import invalid_value

if TYPE_CHECKING:  # loaded by those payloads alone that need them
    from jsonpath_ng import JSONPath
    from lxml.etree import XPath

BLOCK = "."  # the selector of the block itself
SELECTOR_MAX = 1_000  # characters
STEPS_MAX = 64  # of a JSONPath, each of which goes some calls deeper
NO_XPATH = "This is no XPath 1.0 that is known."
NO_JSONPATH = "This is no JSONPath that is known."

_EMPTY = LexborHTMLParser("")
_CONTAINS = re.compile(r""":contains\(|"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'""", re.IGNORECASE)
_STEP = re.compile(r"""'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+"|(\.+|\[)""")


def css_fault(selector: str) -> str | None:
    """What is wrong with a CSS selector, if anything is."""
    try:
        _EMPTY.css(selector)
    except (SelectolaxError, ValueError):
        return "This is no CSS selector that is known."
    return None


def is_xpath(selector: str) -> bool:
    """Whether a selector is XPath."""
    return selector.startswith(("/", "./", "../", "("))


def is_jsonpath(selector: str) -> bool:
    """Whether a selector can be nothing else than JSONPath."""
    return selector.startswith("$")


def needs_lxml(selector: str) -> bool:
    """Whether a selector of an HTML page is XPath, or CSS with `:contains`, which lexbor understands otherwise."""
    return is_xpath(selector) or any(match[0][0] == ":" for match in _CONTAINS.finditer(selector))


def is_relative(selector: str) -> bool:
    """Whether XPath starts from the block rather than from the page, as what is computed does, too."""
    return is_xpath(selector) and not selector.lstrip("( ").startswith("/")


@lru_cache(maxsize=1024)
def compile_xpath(selector: str, namespaces: tuple[tuple[str, str], ...] = (), *, xml: bool = False) -> "XPath":
    """The compiled XPath of a selector, which may be CSS, too. Raises `ValueError`."""
    from cssselect import GenericTranslator, HTMLTranslator
    from cssselect.parser import SelectorError
    from lxml import etree

    try:
        path = selector
        if not is_xpath(selector):
            path = (GenericTranslator() if xml else HTMLTranslator()).css_to_xpath(selector)
        return etree.XPath(path, namespaces=dict(namespaces), regexp=False)
    except (etree.XPathError, SelectorError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None


def xpath_fault(selector: str, *, xml: bool = False) -> str | None:
    """What is wrong with XPath, or with CSS that is read by way of it, if anything is."""
    from lxml import etree

    try:
        compile_xpath(selector, xml=xml)(etree.Element("empty"))
    except ValueError:
        return NO_XPATH if is_xpath(selector) else "This is no CSS selector that is known."
    except etree.XPathError as error:
        if "namespace" not in str(error):  # of prefixes that only the page declares
            return NO_XPATH
    return None


def html_fault(selector: str) -> str | None:
    """What is wrong with a selector of an HTML page, if anything is."""
    return xpath_fault(selector) if needs_lxml(selector) else css_fault(selector)


@lru_cache(maxsize=1024)
def compile_jsonpath(selector: str) -> "JSONPath":
    """The JSONPath of a selector, as jsonpath-ng reads it, with filters. Raises `ValueError`."""
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.ext.parser import parse

    if sum(bool(match[1]) for match in _STEP.finditer(selector)) > STEPS_MAX:
        raise ValueError(f"It has more than {STEPS_MAX} steps.")
    try:
        return parse(selector)
    except (JSONPathError, ValueError, RecursionError, AttributeError) as error:
        raise ValueError(str(error)) from None


def jsonpath_fault(selector: str) -> str | None:
    """What is wrong with a JSONPath, if anything is."""
    try:
        compile_jsonpath(selector)
    except ValueError:
        return NO_JSONPATH
    return None


def check_text(text: str) -> None:
    """Raises an `invalid_value` for what no selector is, of whatever language."""
    if CONTROL.search(text):
        raise invalid_value("Must have no control characters.")


def check_selector(text: str) -> None:
    """Raises an `invalid_value` for what is neither a CSS selector, nor that of the block, nor empty."""
    check_text(text)
    selector = text.strip()
    if selector and selector != BLOCK and (detail := css_fault(selector)):
        raise invalid_value(detail)


def frame_steps(path: str) -> list[str]:
    """The selectors of a frame, and of the frames in one another that it is in, from the outside in."""
    return [step.strip() for step in path.split(">>")]


def check_frame(text: str) -> None:
    """Raises an `invalid_value` for what does not select a frame, or a frame in a frame."""
    steps = frame_steps(text)
    if len(steps) > 1 and not all(steps):
        raise invalid_value("Must have a selector at each side of >>.")
    for step in steps:
        check_selector(step)


# CSS alone, as browsers know it.
Selector = Annotated[str, Field(max_length=SELECTOR_MAX), checked_by(check_selector), AfterValidator(str.strip)]
RequiredSelector = Annotated[
    str, Field(max_length=SELECTOR_MAX), AfterValidator(required), checked_by(check_selector), AfterValidator(str.strip)
]
FrameSelector = Annotated[str, Field(max_length=SELECTOR_MAX), checked_by(check_frame), AfterValidator(str.strip)]
# Of any language: the rule that it belongs to checks it.
SourceSelector = Annotated[str, Field(max_length=SELECTOR_MAX), checked_by(check_text), AfterValidator(str.strip)]
RequiredSourceSelector = Annotated[
    str, Field(max_length=SELECTOR_MAX), AfterValidator(required), checked_by(check_text), AfterValidator(str.strip)
]
