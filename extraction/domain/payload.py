"""What to take from which pages, as values (dataflow_tasks.md; contract, 6.1). `checking` makes them from JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from extraction.domain.render_job import HTML, Action

if TYPE_CHECKING:
    from extraction.domain.search_parser import Search

TEXT, LINK, IMAGE = "text", "link", "image"
NEXT, MORE, INFINITE = "next", "more", "infinite"  # how a list goes on
ADDRESSES = frozenset({"href", "src"})  # come out absolute, and no filter touches them
BLOCK = "."  # the selector of the block itself


@dataclass(frozen=True)
class Filter:
    """A change of a text; `param` is the pattern of `regex`."""

    name: str
    param: str = ""


@dataclass(frozen=True)
class Field:
    """Something to take from each block: attributes of what the selector finds there."""

    name: str
    selector: str
    attrs: tuple[str, ...]
    filters: tuple[Filter, ...] = ()
    details: "Rule | None" = None

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Attributes and the names under which they are stored; the only text is stored under the field's own."""
        if self.attrs == (TEXT,):
            return ((TEXT, self.name),)
        return tuple((attr, f"{self.name}_{attr}") for attr in self.attrs)

    @property
    def nest(self) -> str:
        """The name under which records of the pages behind the field's links are stored."""
        return f"{self.name}_details"


@dataclass(frozen=True)
class Next:
    """How a list goes on: by the link to its `next` page, by a button for `more`, or without an end when scrolled.

    `pages` is how many at most, the first included.
    """

    selector: str
    attr: str = "href"
    pages: int | None = None
    kind: str = NEXT


@dataclass(frozen=True)
class Rule:
    """What is taken from one sort of page. `number` counts the rules of a payload, outer ones first, from 0."""

    number: int
    fields: tuple[Field, ...]
    parent: str = ""
    next: Next | None = None
    path: bool = False
    chrome: bool = False

    def rules(self) -> Iterator["Rule"]:
        """This rule and those of the pages behind it."""
        yield self
        for one in self.fields:
            if one.details:
                yield from one.details.rules()

    def depth(self) -> int:
        """How many pages lie behind each other, this one included."""
        return 1 + max((one.details.depth() for one in self.fields if one.details), default=0)


@dataclass(frozen=True)
class Request:
    """The first request. `headers` and `cookies` are the user's own; `form` is sent as a form.

    `actions` are done in the first page once it is rendered; on the other pages of its list, those that wait or scroll.
    """

    url: str
    method: str = "GET"
    proxy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Payload:
    """A whole extraction. `delay` is in seconds; `credits` is the most that a run of it may cost.

    One without fields makes a single thing of one page: its source, or with `options` a picture or document of it.
    `settle` are the seconds that a rendered page is given to come to rest.
    """

    name: str
    request: Request
    rule: Rule
    format: str
    gzip: bool = False
    robots: bool = True
    delay: float = 0.0
    pages: int | None = None
    credits: int | None = None
    product: str = HTML
    settle: float | None = None
    search: "Search | None" = None
    options: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def chrome(self) -> bool:
        """Whether some page of it is rendered."""
        return any(rule.chrome for rule in self.rule.rules())

    @property
    def single(self) -> bool:
        return not self.rule.fields

    def rules(self) -> dict[int, Rule]:
        return {rule.number: rule for rule in self.rule.rules()}
