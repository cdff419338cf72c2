"""Payloads: what to take from which pages, or to make of one page (contract, 6.1). Pure.

`PagesPayload` is a task of pages (dataflow_tasks.md), `SearchPayload` a search; those of `single_page_payload` make one
file of one page. A payload is stored as it was sent: it is checked completely before anything is fetched, and later
loaded without these checks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator

from extraction.domain.browser_actions import PageAction
from extraction.domain.extraction_rule import CHROME, ONLY_CHROME, ExtractionRule, PageType, one_of
from extraction.domain.older_format import explain_older_keys
from extraction.domain.page_addresses import page_key
from extraction.domain.page_reader import PageReading, read_all
from extraction.domain.render_job import HTML, BrowserAction
from extraction.domain.request_addresses import Address, ProxyAddress, is_country
from extraction.domain.result_formats import JSON, ResultFormat
from taskhub.jsontools.json_models import (
    CONTROL,
    STORED,
    TEXT_MAX,
    Count,
    Flag,
    JsonModel,
    Name,
    number_between,
    payload_rejected,
    texts_checked_by,
)
from taskhub.jsontools.schema import invalid_places, invalid_value
from taskhub.linear_regex import PatternBudget

ACTIONS_MAX = 50

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_SET_BY_HUB = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_NO_COOKIE = re.compile(r"[\x00-\x20\x7f;,\"\\]")


def _header_fault(name: str, value: str) -> str | None:
    if not _HEADER.fullmatch(name):
        return "This is no name of a header."
    if name.lower() in _SET_BY_HUB:
        return "This header is the hub's own."
    if CONTROL.search(value) or len(value) > TEXT_MAX or not value.isascii():
        return "This is no value of a header."
    return None


def _cookie_fault(name: str, value: str) -> str | None:
    if not _HEADER.fullmatch(name) or not value.isascii() or _NO_COOKIE.search(value):
        return "This is no cookie (RFC 6265)."
    return None


def _cookies_from_header(value: Any) -> Any:
    """Reads cookies that are written as in the header Cookie."""
    if not isinstance(value, str):
        return value
    if CONTROL.search(value) or len(value) > TEXT_MAX:
        raise invalid_value("This is no value of a header.")
    pairs = (part.partition("=") for part in value.split(";") if part.strip())
    return {name.strip(): text.strip() for name, _, text in pairs}


Method = Annotated[Literal["", "get", "post"], one_of(("", "get", "post"), "Must be GET or POST.")]
Texts = Annotated[dict[str, str], texts_checked_by(lambda name, text: None)]
Headers = Annotated[dict[str, str], texts_checked_by(_header_fault)]
# Validators before run from the last to the first.
Cookies = Annotated[dict[str, str], texts_checked_by(_cookie_fault), BeforeValidator(_cookies_from_header)]


class RequestTarget(JsonModel):
    """A request for a first page. `headers` and `cookies` are the user's own.

    Actions are done in the first page once it is rendered; on the other pages of its list, those that wait or scroll.
    """

    url: Address
    sent_proxy: ProxyAddress = Field("", alias="proxy")
    headers: Headers = Field(default_factory=dict)
    cookies: Cookies = Field(default_factory=dict)
    sent_actions: tuple[PageAction, ...] = Field((), alias="actions", max_length=ACTIONS_MAX)

    @property
    def proxy(self) -> str:
        return "" if is_country(self.sent_proxy) else self.sent_proxy

    @property
    def method(self) -> str:
        return "GET"

    @property
    def form(self) -> Mapping[str, str]:
        return {}

    def warnings(self) -> Iterator[str]:
        """What was sent and has no effect here."""
        if is_country(self.sent_proxy):
            yield f"The proxy {self.sent_proxy} is not used: there are no proxies of countries here."

    @property
    def actions(self) -> tuple[BrowserAction, ...]:
        return tuple(action.browser_action() for action in self.sent_actions)


class PageRequest(RequestTarget):
    """The request of a payload. With a form it is a POST, unless it has a method of its own."""

    type: PageType = ""
    sent_method: Method = Field("", alias="method")
    sent_form: Texts = Field(default_factory=dict, alias="form")

    @property
    def method(self) -> str:
        return self.sent_method.upper() or ("POST" if self.sent_form else "GET")

    @property
    def form(self) -> Mapping[str, str]:
        return self.sent_form

    @property
    def is_rendered(self) -> bool:
        return self.type == CHROME

    @model_validator(mode="after")
    def _renders_to_act(self) -> Self:
        if not self.is_rendered and not all(action.only_waits for action in self.sent_actions):
            raise invalid_places([(("actions",), ONLY_CHROME)])
        return self

    def warnings(self) -> Iterator[str]:
        yield from super().warnings()
        if self.sent_actions and not self.is_rendered:
            yield "Actions are left out, for the page is not rendered."


class Payload(Protocol):
    """An extraction, whatever its product.

    `delay` is in seconds; `max_credits` is the most that a run may cost. `product` is what a browser makes of a page
    (see `render_job`), with `options`, and after `settle` seconds in which the page may come to rest.
    """

    TYPE_PLACE: ClassVar[str]  # JSON pointer of what says that pages are rendered
    MAKES_RECORDS: ClassVar[bool]  # if not, its result is a file that is made of its only page
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
        """The addresses with which a process begins: the first pages of the outermost lists."""

    def lists(self) -> Iterable[bytes]:
        """The keys of the first pages of its lists, in the order of its records."""

    def pages_at_most(self, limit: int) -> int:
        """How many pages a run asks for, as far as that is known; `limit` where it is not."""

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        """What is more than a user may ask for: JSON pointers and texts."""

    def read(self, texts: Sequence[str], url: str, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Reads one page, which may be several texts. Raises `PageFailure` for a page that does not fit."""


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


class RecordTerms(RunTerms):
    """The fields of every payload that makes records: of its file, and its pace."""

    name: Name = ""
    format: ResultFormat = JSON
    gzip: Flag = False
    delay: Annotated[float, number_between(0, 3600, "seconds")] = 0.0
    max_pages: Count | None = Field(None, validation_alias=AliasChoices("maxPages", "pageNum"))

    @property
    def product(self) -> str:
        return HTML

    @property
    def options(self) -> Mapping[str, Any]:
        return {}

    @property
    def settle(self) -> float | None:
        return None

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        if self.max_pages and self.max_pages > pages:
            yield "/maxPages", f"Must be at most {pages}."


class PagesPayload(RecordTerms, ExtractionRule):
    """A payload that is its own outermost rule."""

    TYPE_PLACE: ClassVar = "/request/type"
    MAKES_RECORDS: ClassVar = True
    RENDERS_EMPTY_PAGES: ClassVar = True

    request: PageRequest

    @model_validator(mode="after")
    def _arrange(self) -> Self:
        if faults := list(self.arrange(count(), rendered=self.request.is_rendered)):
            raise invalid_places(faults)
        return self

    @property
    def first_request(self) -> PageRequest:
        return self.request

    @property
    def rule(self) -> ExtractionRule:
        return self

    @property
    def needs_chrome(self) -> bool:
        return any(rule.is_rendered for rule in self.walk())

    @property
    def main(self) -> bytes:
        return page_key(0, self.request.url)

    def first_addresses(self) -> Sequence[str]:
        return [self.request.url]

    def lists(self) -> Sequence[bytes]:
        return [self.main]

    def pages_at_most(self, limit: int) -> int:
        if any(field.details for field in self.fields):
            return limit
        return min(limit, (self.paginator.pages or limit) if self.paginator else 1)

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        if self.depth() > depth:
            yield "/fields", f"Details nest {self.depth()} deep; {depth} are allowed."
        yield from super().limit_faults(pages=pages, depth=depth)

    def read(self, texts: Sequence[str], url: str, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        return read_all(texts, url, rule)
