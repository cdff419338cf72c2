"""What is taken from one sort of page, as users send it (dataflow_tasks.md; contract, 6.1). Pure."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from extraction.domain.css_selectors import BLOCK, RequiredSelector, Selector
from extraction.domain.paginator import NEXT, Paginator
from extraction.domain.result_formats import JSON, ResultFormat
from extraction.domain.text_filters import LINES, TextFilter
from taskhub.jsontools.json_models import (
    Flag,
    JsonModel,
    RequiredText,
    Steps,
    Text,
)
from taskhub.jsontools.schema import invalid_places, invalid_value

BASE, CHROME = "base", "chrome"  # a page as it comes, or rendered
ONLY_CHROME = "Needs a page that is rendered: request.type chrome."
TEXT, LINK, IMAGE = "text", "link", "image"
OUTER_HTML = "outerHtml"  # the attribute that is the element itself, as HTML
ADDRESSES = frozenset({"href", "src"})  # attributes whose values become absolute, and are not filtered
FIELDS_MAX = 200
COLUMNS_MAX = 16_384  # of a sheet of XLSX
DEPTH_MAX = 8
TYPES = {0: IMAGE, 1: TEXT, 2: LINK, 3: IMAGE, TEXT: TEXT, LINK: LINK, IMAGE: IMAGE}  # 3 is an older spelling of 0
USUAL_ATTRS = {TEXT: (TEXT,), LINK: ("href", TEXT), IMAGE: ("src", "alt")}  # where a field names none

_ATTR = re.compile(r"[^\s,\"'<>/=\x00-\x1f\x7f]{1,100}")  # as HTML has them; a comma is a list that is none


def one_of(names: tuple[str, ...], words: str) -> BeforeValidator:
    """A validator of names, in any case; `words` say which ones there are."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in names:
            raise invalid_value(words)
        return value.lower()

    return BeforeValidator(validate)


PageType = Annotated[Literal["", "base", "chrome"], one_of(("", BASE, CHROME), "Must be base or chrome.")]


def _read_type(value: Any) -> str:
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, bool | list | dict) or word not in TYPES:
        raise invalid_value("Must be text, link or image (1, 2 or 0).")
    return TYPES[word]


class RecordField(JsonModel):
    """A value that is taken from each block of a page: attributes of what the selector finds there.

    `details` say what is taken from the pages behind its links.
    """

    name: RequiredText = Field(max_length=200)
    selector: RequiredSelector
    type: Annotated[Literal["text", "link", "image"], BeforeValidator(_read_type)] = "text"
    attrs: tuple[str, ...] = Field((), max_length=20, validate_default=True)
    filters: tuple[TextFilter, ...] = Field((), max_length=20)
    details: "DetailsRule | None" = None

    @field_validator("name")
    @classmethod
    def _strip(cls, name: str) -> str:
        return name.strip()

    @field_validator("selector")
    @classmethod
    def _or_block(cls, selector: str) -> str:
        return selector or BLOCK

    @field_validator("attrs", mode="wrap")
    @classmethod
    def _usual_attrs(cls, value: Any, validate: Any, info: ValidationInfo) -> tuple[str, ...]:
        """Checks that each is an attribute, and named once; without any, they are those of the field's type."""
        if isinstance(value, list):
            faults: list[tuple[Steps, str]] = []
            for place, attr in enumerate(value[:20]):
                if not isinstance(attr, str) or not _ATTR.fullmatch(attr):
                    faults.append(((place,), "This is no attribute."))
                elif attr in value[:place]:
                    faults.append(((place,), "It is named twice."))
            if faults:
                raise invalid_places(faults)
        attrs: tuple[str, ...] = validate(value)
        lowered = (attr.lower() for attr in attrs)
        names = tuple(OUTER_HTML if attr == OUTER_HTML.lower() else attr for attr in lowered)
        return names or USUAL_ATTRS[info.data.get("type", TEXT)]

    @field_validator("details", mode="before")
    @classmethod
    def _drop_empty_details(cls, value: Any) -> Any:
        return None if value == {} else value

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The attributes, each with the name under which it is stored: for a text alone, the field's own name."""
        if self.attrs == (TEXT,):
            return ((TEXT, self.name),)
        return tuple((attr, f"{self.name}_{attr}") for attr in self.attrs)

    @property
    def reads_lines(self) -> bool:
        """Whether its texts are read in lines, rather than on one."""
        return any(filter.name == LINES for filter in self.filters)

    @cached_property
    def nest(self) -> str:
        """The name under which records of the pages behind the field's links are stored."""
        return f"{self.name}_details"


class ExtractionRule(JsonModel):
    """Says what is taken from one sort of page: a record of each block. `parent` is the selector of the blocks.

    With `path`, only the records of the pages behind it count.
    """

    fields: tuple[RecordField, ...] = Field((), max_length=FIELDS_MAX, validate_default=True)
    parent: Selector = Field("", alias="commonParent")
    paginator: Paginator | None = None
    path: Flag = False

    _number: int = PrivateAttr(0)
    _rendered: bool = PrivateAttr(False)

    @field_validator("fields")
    @classmethod
    def _has_fields(cls, fields: tuple[RecordField, ...]) -> tuple[RecordField, ...]:
        if not fields:
            raise invalid_value("At least one field is required.")
        return fields

    @field_validator("parent")
    @classmethod
    def _drop_block(cls, selector: str) -> str:
        return "" if selector == BLOCK else selector

    @field_validator("paginator", mode="before")
    @classmethod
    def _drop_empty_paginator(cls, value: Any) -> Any:
        return None if value == {} or (isinstance(value, str) and not value.strip()) else value

    @staticmethod
    def fixed(
        fields: tuple[RecordField, ...], *, paginator: Paginator | None = None, rendered: bool
    ) -> "ExtractionRule":
        """The only rule of a payload, made by the hub itself and not checked."""
        rule = ExtractionRule.model_construct(fields=fields, paginator=paginator)
        rule._rendered = rendered
        return rule

    @property
    def number(self) -> int:
        """Counts the rules of a payload, outer ones first, from 0."""
        return self._number

    @property
    def is_rendered(self) -> bool:
        """Whether its pages are rendered in any case."""
        return self._rendered

    @cached_property
    def nests(self) -> Mapping[str, "DetailsRule"]:
        """The rules of the pages behind it, by the names under which their records are stored."""
        return {field.nest: field.details for field in self.fields if field.details}

    def walk(self) -> Iterator["ExtractionRule"]:
        """This rule and those of the pages behind it."""
        yield self
        for field in self.fields:
            if field.details:
                yield from field.details.walk()

    def columns(self) -> Iterator[tuple[Steps, str]]:
        """The columns of its records in a table, in the order of the fields: the place of the field, and the name.

        Those of details follow their field, under its name. Details that a path leads to may have columns in common.
        """
        common: set[str] = set()
        for index, field in enumerate(self.fields):
            place = ("fields", index)
            if not self.path:
                yield from ((place, name) for _, name in field.columns)
            prefix = "" if self.path else f"{field.nest}_"
            inner = list(field.details.columns()) if field.details else []
            yield from (((*place, "details", *steps), prefix + name) for steps, name in inner if name not in common)
            if self.path:
                common |= {name for _, name in inner}

    def column_faults(self) -> Iterator[tuple[Steps, str]]:
        """What does not go together in a table of its records; names within one rule have their own check."""
        places: dict[str, Steps] = {}
        for place, name in self.columns():
            first = places.setdefault(name, place)
            if first[:-1] != place[:-1]:
                yield (*place, "name"), f"Another column is named {name!r}, too."
        if len(places) > COLUMNS_MAX:
            yield ("fields",), f"Of all levels together, at most {COLUMNS_MAX} columns may come."

    def depth(self) -> int:
        """How many pages lie behind each other, this one included."""
        return 1 + max((field.details.depth() for field in self.fields if field.details), default=0)

    def arrange(self, numbers: Iterator[int], *, rendered: bool, depth: int = 1) -> Iterator[tuple[Steps, str]]:
        """Numbers this rule and those behind it, and says which are rendered; yields what does not go together.

        Details are rendered as the page that leads to them is, unless they say otherwise.
        """
        self._number, self._rendered = next(numbers), rendered
        yield from self._faults()
        for index, field in enumerate(self.fields):
            if field.details is None:
                continue
            place = ("fields", index, "details")
            if depth >= DEPTH_MAX:
                yield place, f"Details nest at most {DEPTH_MAX} deep."
                continue
            type = field.details.request.type
            inner = field.details.arrange(numbers, rendered=type == CHROME if type else rendered, depth=depth + 1)
            yield from (((*place, *inner_place), detail) for inner_place, detail in inner)

    def _faults(self) -> Iterator[tuple[Steps, str]]:
        """What does not go together in this rule."""
        stored_names: set[str] = set()
        for index, field in enumerate(self.fields):
            names = [] if self.path else [name for _, name in field.columns]
            for name in [*names, *([field.nest] if field.details else [])]:
                if name in stored_names:
                    yield ("fields", index, "name"), f"Another field is stored under {name!r}, too."
                stored_names.add(name)
        if not self.parent and all(field.selector == BLOCK for field in self.fields):
            yield ("commonParent",), 'Where every selector is ".", this is required.'
        if self.path and not any(field.details for field in self.fields):
            yield ("path",), "A path leads to details; no field has any."
        if self.paginator and self.paginator.type != NEXT and not self._rendered:
            yield ("paginator", "type"), ONLY_CHROME


class DetailsRequest(JsonModel):
    """How pages of details are asked for. Their addresses are those of the field's links, whatever `url` says."""

    url: Text = ""
    type: PageType = ""


class DetailsRule(ExtractionRule):
    """What is taken from the pages behind a field's links. Its name and format may be there, as in a whole payload."""

    name: Any = None
    format: ResultFormat = JSON
    request: DetailsRequest = DetailsRequest()

    @field_validator("request", mode="before")
    @classmethod
    def _or_empty_request(cls, value: Any) -> Any:
        return value or {}
