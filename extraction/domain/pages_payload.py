"""A task of pages: a first page, the list that goes on from it, and the details behind it (dataflow_tasks.md). Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, Self

from pydantic import model_validator

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import PageReading, read_all
from extraction.domain.page_request import PageRequest
from extraction.domain.page_urls import page_key
from extraction.domain.payload import RecordTerms
from extraction.domain.render_job import HTML
from taskhub.jsontools.schema import invalid_places


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
    def product(self) -> str:
        return HTML

    @property
    def options(self) -> Mapping[str, Any]:
        return {}

    @property
    def settle(self) -> float | None:
        return None

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
        if self.max_pages and self.max_pages > pages:
            yield "/maxPages", f"Must be at most {pages}."

    def read(self, texts: Sequence[str], url: str, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        return read_all(texts, url, rule)
