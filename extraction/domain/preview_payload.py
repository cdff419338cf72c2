"""A payload that tries another one on its first page alone, and makes a preview of that. Pure."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.logins import LoginTerms
from extraction.domain.page_addresses import page_key
from extraction.domain.page_preview import dump_sample, preview_page
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import RequestTarget
from extraction.domain.page_sources import PageContent
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.payload import ProductDefaults
from extraction.domain.render_job import HTML
from extraction.domain.result_formats import PREVIEW
from extraction.domain.search_payload import SearchPayload
from extraction.domain.sitemaps import SITEMAP_RULE

TRIED = "payload"  # under this name a stored preview has the payload that it tries


class PreviewPayload(ProductDefaults):
    """Tries a payload on its first page: that of its first address, or the first that its sitemap names."""

    REQUEST_PLACE: ClassVar = "/request"
    TYPE_PLACE: ClassVar = "/request/type"

    is_read = reads_data = True
    format = PREVIEW
    product = HTML

    def __init__(self, tried: PagesPayload | SearchPayload) -> None:
        self.tried = tried
        self.name = tried.name or PREVIEW
        self.max_credits = tried.max_credits
        self.ignore_robots = tried.ignore_robots
        self.first_request: RequestTarget = tried.first_request
        self.settle = tried.settle
        self.needs_chrome = tried.needs_chrome

    @property
    def delay(self) -> float:
        return self.tried.delay

    @property
    def first_rule(self) -> int:
        return self.tried.first_rule

    @property
    def login(self) -> LoginTerms | None:
        return self.tried.login

    @property
    def renders_empty_pages(self) -> bool:
        return self.tried.renders_empty_pages

    @cached_property
    def rule(self) -> ExtractionRule:
        """The rule of the payload, whose list does not go on, neither in the page nor behind it."""
        return self.tried.rule.model_copy(update={"paginator": None, "follow": None})

    @cached_property
    def main(self) -> bytes:
        return page_key(self.first_rule, self.first_addresses()[0])

    def first_addresses(self) -> Sequence[str]:
        return [self.first_request.address]

    def lists(self) -> Sequence[bytes]:
        return [self.main]

    def pages_at_most(self, limit: int) -> int:
        """Its page, and what comes before it: a login, a sitemap."""
        return min(limit, 1 + (self.login is not None) + (self.first_rule == SITEMAP_RULE))

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        return self.tried.limit_faults(pages=pages, depth=depth)

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Makes the preview; or leads to the first page of a sitemap, or of what is behind a login."""
        if rule.number < 0:
            reading = self.tried.read(content, rule=rule, chain=chain, ordinal=ordinal)
            if rule.number == SITEMAP_RULE:
                pages = [link for link in reading.links if link.rule == 0]
                reading.links = (pages or reading.links)[:1]
            return reading
        preview, count = preview_page(content, self.tried)
        return PageReading([{}] * count, product=dump_sample(preview, [preview["records"]]))
