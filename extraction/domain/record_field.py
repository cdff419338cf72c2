"""A value that is taken from a page, as users describe it (dataflow_tasks.md; contract, 6.1). Pure."""

import re
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from extraction.domain.selectors import BLOCK, RequiredSourceSelector
from extraction.domain.text_filters import LINES, TextFilter
from extraction.domain.typed_values import INTEGER_MAX
from taskhub.jsontools.json_models import Flag, JsonModel, RequiredText, Steps, is_stored
from taskhub.jsontools.schema import invalid_places, invalid_value

TEXT, LINK, IMAGE = "text", "link", "image"
NUMBER, INTEGER, DATE, BOOLEAN = "number", "integer", "date", "boolean"
URL, INNER_HTML, MARKDOWN = "url", "html", "markdown"
BLOCK_SCOPE, PAGE_SCOPE = "block", "page"
OUTER_HTML = "outerHtml"  # the attribute that is the element itself, as HTML
ADDRESS, AS_MARKDOWN = "=address", "=markdown"  # no attributes: what an element leads to, and what is in it
ADDRESSES = frozenset({"href", "src"})  # attributes whose values become absolute, and are not filtered
NAMED_TYPES = (TEXT, LINK, IMAGE, NUMBER, INTEGER, DATE, BOOLEAN, URL, INNER_HTML, MARKDOWN)
TYPES: dict[int | str, str] = {
    0: IMAGE,
    1: TEXT,
    2: LINK,
    3: IMAGE,
    **{name: name for name in NAMED_TYPES},
}  # 3 is an older spelling of 0
CONVERTED = frozenset({NUMBER, INTEGER, DATE, BOOLEAN, URL})  # types whose values are made of texts
USUAL_ATTRS = {  # where a field names none
    LINK: ("href", TEXT),
    IMAGE: ("src", "alt"),
    URL: (ADDRESS,),
    INNER_HTML: (INNER_HTML,),
    MARKDOWN: (AS_MARKDOWN,),
}
DEFAULT_MAX = 8_000  # characters
DOWNLOADED = frozenset({TEXT, LINK, IMAGE, URL})  # types of fields whose files may be downloaded
BESIDE_DOWNLOAD = "Must not be set beside download."

_ATTR = re.compile(r"[^\s,\"'<>/=\x00-\x1f\x7f]{1,100}")  # as HTML has them; a comma is a list that is none


def one_of(names: tuple[str, ...], words: str) -> BeforeValidator:
    """A validator of names, in any case; `words` say which ones there are."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in names:
            raise invalid_value(words)
        return value.lower()

    return BeforeValidator(validate)


def digest_column(name: str) -> str:
    """The column of a table with the SHA-256 of files, whose links are in the column `name`."""
    return f"{name}_sha256"


def _read_type(value: Any) -> str:
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, bool | list | dict) or word not in TYPES:
        raise invalid_value(f"Must be one of {', '.join(NAMED_TYPES)} (or 1, 2 or 0 for text, link or image).")
    return TYPES[word]


def _read_default(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool) or (isinstance(value, str) and len(value) > DEFAULT_MAX):
        raise invalid_value("Must be a text, a number, true or false.")
    if not isinstance(value, str) and not abs(value) <= INTEGER_MAX:
        raise invalid_value("Must be a number of up to 64 bits.")
    return value


class FieldTerms(JsonModel):
    """What a value is that is taken from each block of a page: attributes of what the selector finds there.

    Its type may be other than text, and stands then for what its texts mean.
    """

    name: RequiredText = Field(max_length=200)
    selector: RequiredSourceSelector
    type: Annotated[str, BeforeValidator(_read_type)] = TEXT
    download: Flag = False
    attrs: tuple[str, ...] = Field((), max_length=20, validate_default=True)
    filters: tuple[TextFilter, ...] = Field((), max_length=20)
    default: Annotated[Any, BeforeValidator(_read_default)] = None
    required: Flag = False
    first: Flag = False
    join: Annotated[str, Field(max_length=100)] | None = None
    scope: Annotated[Literal["", "block", "page"], one_of(("", BLOCK_SCOPE, PAGE_SCOPE), "Must be block or page.")] = ""

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
        if info.data.get("download"):
            if attrs and not is_stored(info):
                raise invalid_value(BESIDE_DOWNLOAD)
            return (ADDRESS,)
        lowered = (attr.lower() for attr in attrs)
        names = tuple(OUTER_HTML if attr == OUTER_HTML.lower() else attr for attr in lowered)
        return names or USUAL_ATTRS.get(info.data.get("type", TEXT), (TEXT,))

    @model_validator(mode="after")
    def _downloads_alone(self, info: ValidationInfo) -> Self:
        """Checks that nothing changes the value of a file, which is no text."""
        if not self.download or is_stored(info):
            return self
        others = (("filters", self.filters), ("default", self.default is not None), ("join", self.join is not None))
        faults: list[tuple[Steps, str]] = [((name,), BESIDE_DOWNLOAD) for name, given in others if given]
        if self.type not in DOWNLOADED:
            faults.append((("type",), "Must be url, link or image beside download."))
        if faults:
            raise invalid_places(faults)
        return self

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The attributes, each with the name under which it is stored: for a text alone, the field's own name."""
        if self.attrs in ((TEXT,), (ADDRESS,), (AS_MARKDOWN,)) or (self.attrs == (INNER_HTML,) == (self.type,)):
            return ((self.attrs[0], self.name),)
        return tuple((attr, f"{self.name}_{attr}") for attr in self.attrs)

    @property
    def table_columns(self) -> tuple[str, ...]:
        """The names of its columns in a table, where a file has one for its link and one for its SHA-256."""
        return (self.name, digest_column(self.name)) if self.download else tuple(name for _, name in self.columns)

    @property
    def is_of_page(self) -> bool:
        """Whether its value is that of the whole page, on each of its records."""
        return self.scope == PAGE_SCOPE

    @property
    def reads_lines(self) -> bool:
        """Whether its texts are read in lines, rather than on one."""
        return any(filter.name == LINES for filter in self.filters)
