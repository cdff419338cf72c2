"""A payload of one page for which others are suggested. Pure."""

from collections.abc import Collection
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr

from extraction.domain.extraction_rule import CHROME, ExtractionRule
from extraction.domain.page_libraries import DATES, OF_JSON, OF_XML, PRICES
from extraction.domain.page_preview import dump_sample
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import PageRequest
from extraction.domain.page_sources import PageContent
from extraction.domain.result_formats import SUGGESTIONS
from extraction.domain.single_page_payload import PRODUCT, SinglePagePayload
from extraction.domain.suggestion.suggestions import suggest

_OF_RUN = frozenset({PRODUCT, "url", "remoteURL", "maxCredits", "ignoreRobots"})  # not of the request


class SuggestionPayload(SinglePagePayload, PageRequest):
    """Looks at one page, and makes a list of payloads for it."""

    TYPE_PLACE: ClassVar = "/type"

    _sent: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def parse(cls, value: Any, at: str = "", *, stored: bool = False, **context: Any) -> Self:
        # The product that is fetched is the page's source, in whose place `read` gives the list.
        source = {name: sent for name, sent in value.items() if name != PRODUCT}
        payload = super().parse(source, at, stored=stored, **context)
        payload._sent = {name: sent for name, sent in value.items() if name not in _OF_RUN}
        return payload

    @property
    def name(self) -> str:
        return SUGGESTIONS

    @property
    def format(self) -> str:
        return SUGGESTIONS

    @property
    def is_read(self) -> bool:
        return True

    @property
    def reads_data(self) -> bool:
        return True

    @property
    def renders_empty_pages(self) -> bool:
        return True

    @property
    def needs_chrome(self) -> bool:
        return self.is_rendered

    @property
    def libraries(self) -> Collection[str]:
        return (DATES, PRICES, *OF_JSON, *OF_XML)

    @property
    def sent_request(self) -> dict[str, Any]:
        """What the page is asked for with, as it was sent."""
        return {"url": self.url, **self._sent}

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Makes the list; the page counts as empty where nothing is suggested for it.

        Of the request the payloads have only what differs from the one that was sent, which may have secrets.
        """
        rendered = content.rendered or self.is_rendered
        changes = {"type": CHROME} if rendered else {}
        found = suggest(content, {**self.sent_request, **changes}, rendered=rendered)
        suggestions: list[dict[str, Any]] = [
            {"payload": {**one.payload, "request": changes}, "records": one.records, "score": one.score}
            for one in found
        ]
        product = dump_sample({"suggestions": suggestions}, [one["records"] for one in suggestions])
        return PageReading([{}] * len(found), product=product)
