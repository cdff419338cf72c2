"""What to take from which pages, or to make of one: an extraction, as all products describe it (contract, 6.1). Pure.

`PagesPayload` is a task of pages, `SearchPayload` a search; those of `single_page_payload` make one file of one page.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import Field

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import RequestTarget
from extraction.domain.result_formats import JSON, ResultFormat
from taskhub.jsontools.json_models import Count, Flag, JsonModel, Name, number_between


class Payload(Protocol):
    """An extraction, whatever its product.

    `delay` is in seconds; `max_credits` is the most that a run may cost. `product` is what a browser makes of a page
    (see `render_job`), with `options`, and after `settle` seconds in which the page may come to rest.
    """

    TYPE_PLACE: ClassVar[str]  # JSON pointer of what says that pages are rendered
    MAKES_RECORDS: ClassVar[bool]  # or the file that its only page is
    RENDERS_EMPTY_PAGES: ClassVar[bool]  # whether a page that shows no record may be rendered, too

    @property
    def name(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def gzip(self) -> bool: ...
    @property
    def delay(self) -> float: ...
    @property
    def max_pages(self) -> int | None: ...
    @property
    def max_credits(self) -> int | None: ...
    @property
    def ignore_robots(self) -> bool: ...
    @property
    def product(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def settle(self) -> float | None: ...

    @property
    def first_request(self) -> RequestTarget:
        """The request for its first page. Other pages get its headers, cookies and proxy."""

    @property
    def rule(self) -> ExtractionRule:
        """The rule of its first page, which has the columns of its result."""

    @property
    def needs_chrome(self) -> bool:
        """Whether some of its pages are rendered in any case."""

    @property
    def main(self) -> bytes:
        """The key of its main list: none of its pages may fail."""

    def first_addresses(self) -> Sequence[str]:
        """Where it begins: the first page of each list that no other page leads to."""

    def lists(self) -> Iterable[bytes]:
        """The keys of the first pages of its lists, in the order of its records."""

    def pages_at_most(self, limit: int) -> int:
        """How many pages a run asks for, as far as that is known; `limit` where it is not."""

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        """JSON pointers and words of what is more than a user may ask for."""

    def read(self, texts: Sequence[str], url: str, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Reads one page, which may be several texts. Raises `PageFailure` for a page that does not fit."""


def rules_by_number(payload: Payload) -> dict[int, ExtractionRule]:
    return {rule.number: rule for rule in payload.rule.walk()}


class RunTerms(JsonModel):
    """What every payload may say of limits and manners."""

    max_credits: Count | None = Field(None, alias="maxCredits")
    ignore_robots: Flag = Field(False, alias="ignoreRobots")


class RecordTerms(RunTerms):
    """What every payload that makes records may say of its file and its pace."""

    name: Name = ""
    format: ResultFormat = JSON
    gzip: Flag = False
    delay: Annotated[float, number_between(0, 3600, "seconds")] = 0.0
    max_pages: Count | None = Field(None, alias="maxPages")
