"""Payloads: what to take from which pages, or to make of one page (contract, 6.1). Pure.

`PagesPayload` is a task of pages, `SearchPayload` a search; those of `single_page_payload` make one file of one page. A
payload is stored as it was sent: it is checked completely before anything is fetched, and later loaded without these
checks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import AliasChoices, Field, ValidationError

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.logins import LoginTerms
from extraction.domain.older_format import explain_older_keys
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import RequestTarget
from extraction.domain.page_sources import PageContent
from extraction.domain.record_changes import RecordLimit
from extraction.domain.render_job import HTML
from extraction.domain.result_formats import JSON, CsvOptions, ResultFormat
from taskhub.jsontools.json_models import STORED, Count, Flag, JsonModel, Name, number_between, payload_rejected
from taskhub.linear_regex import PatternBudget


class Payload(Protocol):
    """An extraction, whatever its product.

    `delay` is in seconds; `max_credits` is the most that a run may cost. `product` is what a browser makes of a page
    (see `render_job`), with `options`, and after `settle` seconds in which the page may come to rest.
    """

    REQUEST_PLACE: ClassVar[str]  # JSON pointer of its request
    TYPE_PLACE: ClassVar[str]  # JSON pointer of what says that pages are rendered
    MAKES_RECORDS: ClassVar[bool]  # if not, its result is a file that is made of its only page

    @property
    def name(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def gzip(self) -> bool: ...
    @property
    def csv(self) -> CsvOptions: ...
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
    def is_read(self) -> bool:
        """Whether its pages are read, rather than stored as they are."""

    @property
    def renders_empty_pages(self) -> bool:
        """Whether a page that shows no record may be rendered, too."""

    @property
    def reads_data(self) -> bool:
        """Whether a page may be other than HTML or XML."""

    @property
    def libraries(self) -> Collection[str]:
        """The modules that reading its pages needs, beside those of its rules."""

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

    @property
    def first_rule(self) -> int:
        """The number of the rule by which its first pages are read."""

    @property
    def hops(self) -> int:
        """How many links after each other are followed from its first pages."""

    def first_addresses(self) -> Sequence[str]:
        """The addresses with which a process begins: the first pages of the outermost lists."""

    @property
    def login(self) -> LoginTerms | None:
        """A login that comes before the first pages."""

    def lists(self) -> Iterable[bytes] | None:
        """The keys of the first pages of its lists, in the order of its records; None where they are not known before.

        Then they are the first pages of rule 0, in the order in which they were found.
        """

    def takes_records_of(self, address: str) -> bool:
        """Whether records are taken from a page at an address, rather than links alone."""

    @property
    def unique(self) -> Sequence[str]:
        """The columns that tell records apart; of records that are the same there, the first counts."""

    @property
    def changes(self) -> str:
        """Whether records are compared with those of the process before, and which are told: all, or only some."""

    @property
    def record_limit(self) -> RecordLimit | None:
        """How many records a run gives at most."""

    def pages_at_most(self, limit: int) -> int:
        """How many pages a run asks for, as far as that is known; `limit` where it is not."""

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        """What is more than a user may ask for: JSON pointers and texts."""

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Reads one page, which may be several texts. Raises `PageFailure` for a page that does not fit."""


class PayloadDefaults:
    """What a payload is unless it says otherwise: its pages are stored as they are, and lead nowhere."""

    @property
    def first_rule(self) -> int:
        return 0

    @property
    def hops(self) -> int:
        return 0

    def takes_records_of(self, address: str) -> bool:
        return True

    @property
    def record_limit(self) -> RecordLimit | None:
        return None

    @property
    def login(self) -> LoginTerms | None:
        return None

    @property
    def is_read(self) -> bool:
        return False

    @property
    def renders_empty_pages(self) -> bool:
        return False

    @property
    def reads_data(self) -> bool:
        return False

    @property
    def libraries(self) -> Collection[str]:
        return ()

    @property
    def unique(self) -> Sequence[str]:
        return ()

    @property
    def changes(self) -> str:
        return ""

    @property
    def options(self) -> Mapping[str, Any]:
        return {}


class ProductDefaults(PayloadDefaults):
    """The same of a payload whose result is what is made of its only page, and no file of records."""

    MAKES_RECORDS: ClassVar = False

    @property
    def gzip(self) -> bool:
        return False

    @property
    def csv(self) -> CsvOptions:
        return CsvOptions()

    @property
    def delay(self) -> float:
        return 0.0

    @property
    def max_pages(self) -> int | None:
        return None


class RunTerms(JsonModel):
    """The fields of every payload: limits, and whether robots.txt counts."""

    max_credits: Count | None = Field(None, alias="maxCredits")
    ignore_robots: Flag = Field(False, alias="ignoreRobots")

    @classmethod
    def parse(cls, value: Any, at: str = "", *, stored: bool = False, **context: Any) -> Self:
        """Reads a payload; what is `stored` was checked before. Raises `Rejected` with each fault, under `at`."""
        try:
            return cls.model_validate(
                value, context={"patterns": PatternBudget(), **context, **(STORED if stored else {})}
            )
        except ValidationError as error:
            raise payload_rejected(error, value, at=at, explain=explain_older_keys) from None


class RecordTerms(PayloadDefaults, RunTerms):
    """The fields of every payload that makes records: of its file, and its pace."""

    MAKES_RECORDS: ClassVar = True

    name: Name = ""
    format: ResultFormat = JSON
    gzip: Flag = False
    csv: CsvOptions = CsvOptions()
    delay: Annotated[float, number_between(0, 3600, "seconds")] = 0.0
    max_pages: Count | None = Field(None, validation_alias=AliasChoices("maxPages", "pageNum"))

    @property
    def is_read(self) -> bool:
        return True

    @property
    def reads_data(self) -> bool:
        return True

    @property
    def product(self) -> str:
        return HTML

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        if self.max_pages and self.max_pages > pages:
            yield "/maxPages", f"Must be at most {pages}."
