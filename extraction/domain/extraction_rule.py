"""What is taken from one sort of page, as users send it (dataflow_tasks.md; contract, 6.1). Pure."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from extraction.domain.followed_links import FollowedLinks
from extraction.domain.page_sources import JSON, JSON_LD, SCRIPT, XML
from extraction.domain.paginator import NEXT, Paginator
from extraction.domain.record_field import BESIDE_DOWNLOAD, FieldTerms, one_of
from extraction.domain.result_formats import JSON as JSON_FORMAT
from extraction.domain.result_formats import ResultFormat
from extraction.domain.selectors import (
    BLOCK,
    FrameSelector,
    SourceSelector,
    html_fault,
    is_jsonpath,
    jsonpath_fault,
    needs_lxml,
    xpath_fault,
)
from extraction.domain.source_choice import SourceChoice, read_source
from taskhub.jsontools.json_models import Flag, JsonModel, Steps, Text, is_stored
from taskhub.jsontools.schema import invalid_places, invalid_value

BASE, CHROME = "base", "chrome"  # a page as it comes, or rendered
ONLY_CHROME = "Needs a page that is rendered: request.type chrome."
FIELDS_MAX = 200
COLUMNS_MAX = 16_384  # of a sheet of XLSX
DEPTH_MAX = 8
ADDRESS_COLUMN, TIME_COLUMN = "_url", "_fetched_at"  # of `meta`
CHANGE_COLUMN = "_change"  # of `changes`
OWN_COLUMNS = frozenset({ADDRESS_COLUMN, TIME_COLUMN, CHANGE_COLUMN})
ELEMENT, FOLLOWING = "element", "following"  # a block is an element, or goes on with those behind it

BlockExtent = Annotated[
    Literal["", "element", "following"], one_of(("", ELEMENT, FOLLOWING), "Must be element or following.")
]
PageType = Annotated[Literal["", "base", "chrome"], one_of(("", BASE, CHROME), "Must be base or chrome.")]


class RecordField(FieldTerms):
    """A value that is taken; `details` say what is taken from the pages behind its links."""

    details: "DetailsRule | None" = None

    @field_validator("details")
    @classmethod
    def _not_of_a_file(cls, details: "DetailsRule | None", info: ValidationInfo) -> "DetailsRule | None":
        if details and info.data.get("download") and not is_stored(info):
            raise invalid_value(BESIDE_DOWNLOAD)
        return details

    @field_validator("details", mode="before")
    @classmethod
    def _drop_empty_details(cls, value: Any) -> Any:
        return None if value == {} else value

    @cached_property
    def nest(self) -> str:
        """The name under which records of the pages behind the field's links are stored."""
        return f"{self.name}_details"


class ExtractionRule(JsonModel):
    """Says what is taken from one sort of page: a record of each block. `parent` is the selector of the blocks.

    With `path`, only the records of the pages behind it count. With `meta`, each record has its address and its time.
    """

    fields: tuple[RecordField, ...] = Field((), max_length=FIELDS_MAX, validate_default=True)
    parent: SourceSelector = Field("", alias="commonParent")
    block: BlockExtent = ""
    source: Annotated[SourceChoice | None, BeforeValidator(read_source)] = None
    paginator: Paginator | None = None
    path: Flag = False
    meta: Flag = False

    _number: int = PrivateAttr(0)
    _rendered: bool = PrivateAttr(False)
    _has_meta: bool = PrivateAttr(False)

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
        fields: tuple[RecordField, ...], *, paginator: Paginator | None = None, rendered: bool, number: int = 0
    ) -> "ExtractionRule":
        """A rule that is made by the hub itself, and not checked."""
        rule = ExtractionRule.model_construct(fields=fields, paginator=paginator)
        rule._rendered, rule._number = rendered, number
        return rule

    @model_validator(mode="after")
    def _has_selectors_of_its_source(self, info: ValidationInfo) -> Self:
        if not is_stored(info) and (faults := list(self._selector_faults())):
            raise invalid_places(faults)
        return self

    def _selector_faults(self) -> Iterator[tuple[Steps, str]]:
        """What is wrong with its selectors, in the language that its pages are read by."""
        fault_of: Callable[[str], str | None] = html_fault
        if self.reads_json:
            fault_of = jsonpath_fault
        elif self.kind == XML:
            fault_of = partial(xpath_fault, xml=True)
        for place, selector in self._selectors():
            if selector and selector != BLOCK and (detail := fault_of(selector)):
                yield place, detail
        if self.block == FOLLOWING and self.reads_json:
            yield ("block",), "Nothing follows in JSON."
        elif self.block == FOLLOWING and not self.parent:
            yield ("commonParent",), "Where blocks go on behind their first element, this is required."

    def _selectors(self) -> Iterator[tuple[Steps, str]]:
        yield from ((("fields", index, "selector"), field.selector) for index, field in enumerate(self.fields))
        yield ("commonParent",), self.parent
        if self.paginator:
            yield ("paginator", "nextPageSelector"), self.paginator.selector

    @cached_property
    def kind(self) -> str:
        """As what its pages are read; empty where that is left to their media type."""
        if self.source:
            return self.source.kind
        return JSON if any(is_jsonpath(selector) for _, selector in self._selectors()) else ""

    @property
    def script(self) -> str:
        """The selector of the scripts whose data is read."""
        return self.source.script if self.source else ""

    @property
    def goes_on(self) -> bool:
        """Whether a block goes on with the elements behind it."""
        return self.block == FOLLOWING

    @property
    def reads_json(self) -> bool:
        """Whether its selectors are JSONPath in any case."""
        return self.kind in {JSON, JSON_LD, SCRIPT}

    @cached_property
    def needs_lxml(self) -> bool:
        """Whether a selector of its HTML pages is one that lexbor does not know."""
        return any(needs_lxml(selector) for _, selector in self._selectors())

    @cached_property
    def downloads(self) -> bool:
        """Whether files are downloaded for its records, or for those nested in them."""
        return any(field.download for rule in self.walk() for field in rule.fields)

    @property
    def meta_columns(self) -> tuple[str, ...]:
        """The columns of where its records are from, and since when."""
        return (ADDRESS_COLUMN, TIME_COLUMN) if self._has_meta and not self.path else ()

    @property
    def followed(self) -> FollowedLinks | None:
        """The links of its pages that are followed to pages of the same rule."""
        return None

    @property
    def frame(self) -> str:
        """The selector of the frame that is read in place of its pages, where they are rendered."""
        return ""

    @cached_property  # a private attribute is looked up in a model's own way, which takes a microsecond
    def number(self) -> int:
        """Counts the rules of a payload, outer ones first, from 0."""
        return self._number

    @cached_property
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

    def record_names(self) -> list[str]:
        """The names in its records, in their order."""
        names: list[str] = []
        for field in self.fields:
            names += [] if self.path else [name for _, name in field.columns]
            names += [field.nest] if field.details else []
        return [*names, *self.meta_columns]

    def listed_rules(self) -> Iterator["ExtractionRule"]:
        """The rules whose records are those of a result: its own, or those that its path leads to."""
        if not self.path:
            yield self
            return
        for field in self.fields:
            if field.details:
                yield from field.details.listed_rules()

    def columns(self) -> Iterator[tuple[Steps, str]]:
        """The columns of its records in a table, in the order of the fields: the place of the field, and the name.

        Those of details follow their field, under its name. Details that a path leads to may have columns in common.
        """
        common: set[str] = set()
        for index, field in enumerate(self.fields):
            place = ("fields", index)
            if not self.path:
                yield from ((place, name) for name in field.table_columns)
            prefix = "" if self.path else f"{field.nest}_"
            inner = list(field.details.columns()) if field.details else []
            yield from (((*place, "details", *steps), prefix + name) for steps, name in inner if name not in common)
            if self.path:
                common |= {name for _, name in inner}
        yield from ((("meta",), name) for name in self.meta_columns)

    def column_faults(self) -> Iterator[tuple[Steps, str]]:
        """What does not go together in a table of its records; names within one rule have their own check."""
        places: dict[str, Steps] = {}
        for place, name in self.columns():
            if len(place) == 1:  # a name of `meta` or `changes`, see `_faults`
                continue
            first = places.setdefault(name, place)
            if first[:-1] != place[:-1]:
                yield (*place, "name"), f"Another column is named {name!r}, too."
        if len(places) > COLUMNS_MAX:
            yield ("fields",), f"Of all levels together, at most {COLUMNS_MAX} columns may come."

    def depth(self) -> int:
        """How many pages lie behind each other, this one included."""
        return 1 + max((field.details.depth() for field in self.fields if field.details), default=0)

    def arrange(
        self, numbers: Iterator[int], *, rendered: bool, depth: int = 1, meta: bool = False
    ) -> Iterator[tuple[Steps, str]]:
        """Numbers this rule and those behind it, and says which are rendered; yields what does not go together.

        Details are rendered as the page that leads to them is, unless they say otherwise. Those that a path leads to
        have the `meta` of the path.
        """
        self._number, self._rendered, self._has_meta = next(numbers), rendered, self.meta or meta
        yield from self._faults()
        for index, field in enumerate(self.fields):
            if field.details is None:
                continue
            place = ("fields", index, "details")
            if depth >= DEPTH_MAX:
                yield place, f"Details nest at most {DEPTH_MAX} deep."
                continue
            type = field.details.request.type
            inner_rendered = type == CHROME if type else rendered
            if field.details.frame and not inner_rendered:
                yield (*place, "request", "frame"), ONLY_CHROME
            inner_meta = self._has_meta and self.path
            inner = field.details.arrange(numbers, rendered=inner_rendered, depth=depth + 1, meta=inner_meta)
            yield from (((*place, *inner_place), detail) for inner_place, detail in inner)

    def _faults(self) -> Iterator[tuple[Steps, str]]:
        """What does not go together in this rule."""
        stored_names: set[str] = set()
        for index, field in enumerate(self.fields):
            names = () if self.path else field.table_columns
            for name in [*names, *([field.nest] if field.details else [])]:
                if name in stored_names:
                    yield ("fields", index, "name"), f"Another field is stored under {name!r}, too."
                elif name in OWN_COLUMNS and name in {column for place, column in self.columns() if len(place) == 1}:
                    yield ("fields", index, "name"), f"{name!r} is a name of the hub's own."
                stored_names.add(name)
        if not self.parent and all(field.selector == BLOCK for field in self.fields) and not self.reads_json:
            yield ("commonParent",), 'Where every selector is ".", this is required.'
        if self.path and not any(field.details for field in self.fields):
            yield ("path",), "A path leads to details; no field has any."
        if self.paginator and self.paginator.type != NEXT and not self._rendered:
            yield ("paginator", "type"), ONLY_CHROME


class DetailsRequest(JsonModel):
    """How pages of details are asked for. Their addresses are those of the field's links, whatever `url` says.

    Where they are rendered, `frame` selects the frame that is read in place of the page.
    """

    url: Text = ""
    type: PageType = ""
    frame: FrameSelector = ""


class DetailsRule(ExtractionRule):
    """What is taken from the pages behind a field's links. Its name and format may be there, as in a whole payload."""

    name: Any = None
    format: ResultFormat = JSON_FORMAT
    request: DetailsRequest = DetailsRequest()

    @property
    def frame(self) -> str:
        return self.request.frame

    @field_validator("request", mode="before")
    @classmethod
    def _or_empty_request(cls, value: Any) -> Any:
        return value or {}
