"""Search engines as data: how results are asked for, and where they are in a page. Checked when loaded. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from extraction.domain.extraction_rule import CHROME, PageType
from extraction.domain.page_addresses import fetchable_address
from extraction.domain.record_field import TEXT
from extraction.domain.selectors import RequiredSelector, Selector
from taskhub.jsontools.json_models import (
    REQUIRED_WORDS,
    Count,
    Flag,
    JsonModel,
    Steps,
    Text,
    WholeNumber,
    payload_rejected,
    texts_checked_by,
)
from taskhub.jsontools.schema import invalid_places, invalid_value

SECTIONS = ("organic", "ads", "news", "images", "videos")
KEYWORD, OFFSET, PAGE, REGION = "keyword", "offset", "page", "region"
PARAMETERS = frozenset({KEYWORD, OFFSET, PAGE, REGION})  # that every engine's address may hold in braces
ENTRIES_MAX = 50  # of one kind of mark

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_NAME = re.compile(r"[a-z][a-z_]{0,39}")
_SMALL_LETTERS = "Must be named with small letters and underscores."


def _pattern_fault(name: str, text: str) -> str | None:
    if not _NAME.fullmatch(name):
        return _SMALL_LETTERS
    try:
        re.compile(text)
    except re.error as error:
        return f"This is no pattern: {error}."
    return None


def _check_names(values: Any) -> Any:
    """Checks the names of an object's entries."""
    if not isinstance(values, Mapping) or not values:
        raise invalid_value("Must be an object, with an entry for each value.")
    if faults := [((name,), _SMALL_LETTERS) for name in values if not _NAME.fullmatch(name)]:
        raise invalid_places(faults)
    return values


def _check_texts(values: Any) -> Any:
    if isinstance(values, list) and not all(isinstance(value, str) and value for value in values):
        raise invalid_value("Must be texts.")
    return values


Patterns = Annotated[dict[str, str], texts_checked_by(_pattern_fault)]
Texts = Annotated[dict[str, str], texts_checked_by(lambda name, text: None)]
MarkTexts = Annotated[tuple[str, ...], Field(max_length=ENTRIES_MAX), BeforeValidator(_check_texts)]
MarkSelectors = Annotated[tuple[Selector, ...], Field(max_length=ENTRIES_MAX), BeforeValidator(_check_texts)]


class ResultField(JsonModel):
    """One value of a result.

    `unwrap` is the parameter of a redirecting address that holds the true one, and `packed` what stands before that
    where it is in base64.
    """

    selector: RequiredSelector
    attr: Annotated[Text, AfterValidator(lambda attr: attr or TEXT)] = TEXT
    unwrap: Text = ""
    packed: Text = ""

    def true_address(self, address: str) -> str:
        """The address that a redirecting address of the engine contains; itself, where it contains none."""
        values = parse_qs(urlsplit(address).query).get(self.unwrap)
        if not values:
            return address
        value = values[0]
        if self.packed:
            if not value.startswith(self.packed):
                return address
            packed = value.removeprefix(self.packed)
            try:
                value = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                return address
        return fetchable_address(value) or address


class ResultSection(JsonModel):
    """One sort of results in a page: the selector of their blocks, and what is taken from each, by name."""

    block: RequiredSelector
    fields: Annotated[dict[str, ResultField], BeforeValidator(_check_names)]


class PageMatcher(JsonModel):
    """Recognizes a page: by parts of its address, by selectors that find something, or by texts in it."""

    addresses: MarkTexts = ()
    selectors: MarkSelectors = ()
    texts: MarkTexts = ()


class EnginePaging(JsonModel):
    """How an engine pages: it counts results from `first`, `step` a page; or shows more when its page is scrolled."""

    first: Annotated[WholeNumber, Field(ge=0)] = 0
    step: Count = 10
    scroll: Flag = False


class SearchEngine(JsonModel):
    """One search engine. `settings` are parameters that a user may set, each with the pattern of its values."""

    name: str
    title: Any = None
    type: PageType = ""
    url: Text
    query: Texts = Field(default_factory=dict)
    paging: EnginePaging = EnginePaging()
    settings: Patterns = Field(default_factory=dict)
    defaults: Texts = Field(default_factory=dict)
    regions: Annotated[Text, AfterValidator(lambda regions: regions or "[a-z]{2}")] = "[a-z]{2}"
    blocked: PageMatcher = PageMatcher()
    empty: PageMatcher = PageMatcher()
    sections: dict[str, ResultSection] = Field(default_factory=dict, alias="parts", validate_default=True)

    @field_validator("url")
    @classmethod
    def _is_template(cls, text: str) -> str:
        if not text or "?" in text or fetchable_address(_PARAMETER.sub("a.example", text)) is None:
            raise invalid_value("Must be an http or https address without a query.")
        return text

    @field_validator("regions")
    @classmethod
    def _is_pattern(cls, text: str) -> str:
        if detail := _pattern_fault("regions", text):
            raise invalid_value(detail)
        return text

    @field_validator("sections", mode="before")
    @classmethod
    def _known_sections(cls, sections: Any) -> Any:
        if not isinstance(sections, Mapping) or not sections:
            raise invalid_value(REQUIRED_WORDS)
        if faults := [((kind,), "There is no such name here.") for kind in sections if kind not in SECTIONS]:
            raise invalid_places(faults)
        return sections

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if faults := list(self._faults()):
            raise invalid_places(faults)
        return self

    def _faults(self) -> Iterator[tuple[Steps, str]]:
        """What does not fit: names in braces must be those of parameters or settings."""
        texts: dict[Steps, str] = {("url",): self.url, **{("query", name): text for name, text in self.query.items()}}
        for place, text in texts.items():
            for name in _PARAMETER.findall(text):
                if name not in PARAMETERS and name not in self.settings:
                    yield place, f"{{{name}}} is neither given nor one of the settings."
        if not any(KEYWORD in _PARAMETER.findall(text) for text in texts.values()):
            yield ("query",), "Nothing holds the {keyword}."
        if self.scrolls and not self.is_rendered:
            yield ("paging", "scroll"), "Needs type chrome."

    @property
    def is_rendered(self) -> bool:
        return self.type == CHROME

    @property
    def scrolls(self) -> bool:
        return self.paging.scroll

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of what is taken, in the order of the sections."""
        return tuple(dict.fromkeys(name for section in self.sections.values() for name in section.fields))

    def address(self, keyword: str, page: int, region: str, settings: Mapping[str, str]) -> str:
        """The address of one page of results, from 0. Parameters without a value are left out.

        A setting `start` is where the results begin, `num` how many a page has, and `gl` stands in place of the region.
        """
        values = {**self.defaults, **settings, KEYWORD: keyword, REGION: settings.get("gl") or region}
        first, step = _number(settings.get("start"), self.paging.first), _number(settings.get("num"), self.paging.step)
        values |= {OFFSET: str(first + page * step), PAGE: str(page + 1)}
        query = {name: _fill(text, values) for name, text in self.query.items()}
        return f"{_fill(self.url, values)}?{urlencode({name: text for name, text in query.items() if text})}"


def _number(text: str | None, usual: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else usual


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Replaces parameters in braces by their values."""
    return _PARAMETER.sub(lambda match: values.get(match[1], ""), text)


def parse_engine(name: str, value: Any) -> SearchEngine:
    """The engine of a file, whose stem is its name. Raises `ValueError` that names each place that is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError("The file's name must be small letters and underscores.")
    if not isinstance(value, Mapping) or "name" in value:
        raise ValueError("/: Must be an object without a name: the file's name is the engine's.")
    try:
        return SearchEngine.model_validate({**value, "name": name})
    except ValidationError as error:
        places = payload_rejected(error, value).errors
        raise ValueError("; ".join(f"{place['pointer'] or '/'}: {place['detail']}" for place in places)) from None
