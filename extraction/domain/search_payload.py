"""Search results: keywords times pages of one engine (contract, 6.1). Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from extraction.domain.extraction_rule import CHROME, ExtractionRule, PageType, RecordField
from extraction.domain.page_addresses import page_key
from extraction.domain.page_reader import PageReading
from extraction.domain.page_request import RequestTarget
from extraction.domain.page_sources import PageContent
from extraction.domain.paginator import INFINITE, Paginator
from extraction.domain.payload import RecordTerms
from extraction.domain.record_field import TEXT
from extraction.domain.request_addresses import Proxies
from extraction.domain.search_engines import SearchEngine
from extraction.domain.search_results import read_results
from extraction.domain.selectors import BLOCK
from taskhub.jsontools.json_models import Count, Steps, Text, is_stored
from taskhub.jsontools.schema import invalid_places, invalid_value

ENGINE = "search_engine"  # a payload that has this name is a search
KEYWORDS_MAX, KEYWORD_MAX, PAGES_MAX, SETTING_MAX = 10_000, 500, 100, 200
OWN_COLUMNS = ("keyword", "page", "kind", "position")  # before those of the engine
MAIN = b"search"  # in place of a main list: no list of results is more than another


def _find_engine(value: Any, info: ValidationInfo) -> SearchEngine:
    engines: Mapping[str, SearchEngine] = (info.context or {}).get("engines", {})
    engine = engines.get(value.lower()) if isinstance(value, str) else None
    if engine is None:
        raise invalid_value(f"Must be one of {', '.join(sorted(engines))}.")
    return engine


def _read_keywords(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Reads keywords: a list of texts, or a text with one a line."""
    keywords = value.splitlines() if isinstance(value, str) else value
    if not isinstance(keywords, list):
        raise invalid_value("Must be a list.")
    if is_stored(info):
        return tuple(dict.fromkeys(keyword.strip() for keyword in keywords if keyword.strip()))
    if isinstance(value, list) and len(keywords) > KEYWORDS_MAX:
        raise invalid_value(f"Must have at most {KEYWORDS_MAX} entries.")
    detail = f"Must be a text of at most {KEYWORD_MAX} characters."
    faults: list[tuple[Steps, str]] = [
        ((place,), detail)
        for place, keyword in enumerate(keywords)
        if not isinstance(keyword, str) or len(keyword) > KEYWORD_MAX or "\x00" in keyword
    ]
    if faults:
        raise invalid_places(faults)
    unique = tuple(dict.fromkeys(keyword.strip() for keyword in keywords if keyword.strip()))
    if not unique:
        raise invalid_value("At least one is required.")
    return unique[:KEYWORDS_MAX]


def _own_spelling(name: str, value: Any) -> tuple[str, Any]:
    """A setting as engines name and write it: the extraction cloud has numbers, and domains of Google without `www`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if name == "google_domain":
        return "domain", f"www.{text.removeprefix('www.')}" if isinstance(text, str) and text else text
    return name, text


class SearchPayload(RecordTerms):
    """A search: its keywords, its engine, and how many pages of results. Settings are the engine's own parameters."""

    REQUEST_PLACE: ClassVar = ""
    TYPE_PLACE: ClassVar = f"/{ENGINE}"

    engine: Annotated[SearchEngine, BeforeValidator(_find_engine)] = Field(alias=ENGINE)
    keywords: Annotated[tuple[str, ...], BeforeValidator(_read_keywords)] = Field((), validate_default=True)
    pages: Annotated[Count, Field(le=PAGES_MAX)] = Field(1, alias="num_pages")
    region: Text = Field("", max_length=20)
    google_settings: dict[str, Any] = Field(default_factory=dict)
    own_settings: dict[str, Any] = Field(default_factory=dict, alias="settings")
    type: PageType = ""
    proxies: Proxies = Field((), alias="proxy")

    @field_validator("keywords", mode="before")
    @classmethod
    def _or_none(cls, value: Any) -> Any:
        return [] if value == () else value

    @field_validator("region")
    @classmethod
    def _lower(cls, region: str) -> str:
        return region.lower()

    @model_validator(mode="after")
    def _fits_engine(self, info: ValidationInfo) -> Self:
        if not is_stored(info) and (faults := list(self._faults())):
            raise invalid_places(faults)
        return self

    def _faults(self) -> Iterator[tuple[Steps, str]]:
        engine = self.engine
        if self.region and not re.fullmatch(engine.regions, self.region):
            yield ("region",), f"Must be as {engine.name} writes regions: {engine.regions}."
        if self.type and engine.scrolls and not self.needs_chrome:
            yield ("type",), f"{engine.name} needs chrome."
        if self.google_settings and not engine.name.startswith("google"):
            yield ("google_settings",), "Goes with google, google_news and google_image."
        else:
            yield from self._setting_faults("google_settings", self.google_settings)
        yield from self._setting_faults("settings", self.own_settings)

    def _setting_faults(self, at: str, settings: Mapping[str, Any]) -> Iterator[tuple[Steps, str]]:
        for name, value in settings.items():
            own_name, text = _own_spelling(name, value)
            if (pattern := self.engine.settings.get(own_name)) is None:
                yield (at, name), "There is no such name here."
            elif text is None or text == "":
                continue
            elif not isinstance(text, str):
                yield (at, name), "Must be a text."
            elif len(text) > SETTING_MAX or not re.fullmatch(pattern, text):
                yield (at, name), f"Must match {pattern}."

    @cached_property
    def settings(self) -> Mapping[str, str]:
        sent = {**self.google_settings, **self.own_settings}
        return {name: text or "" for name, text in (_own_spelling(name, value) for name, value in sent.items())}

    def address(self, keyword: int, page: int) -> str:
        """The address of one page of results, from 0, of the keyword at a place."""
        return self.engine.address(self.keywords[keyword], page, self.region, self.settings)

    @cached_property
    def chains(self) -> Mapping[bytes, int]:
        """The places of the keywords, by the key of the first page of each."""
        return {page_key(0, self.address(place, 0)): place for place in range(len(self.keywords))}

    @cached_property
    def first_request(self) -> RequestTarget:
        return RequestTarget.model_construct(sent_url=self.address(0, 0), sent_proxies=self.proxies)

    @cached_property
    def rule(self) -> ExtractionRule:
        """A rule with one column for each of the engine's names, after the search's own."""
        fields = (
            RecordField.model_construct(name=name, selector=BLOCK, attrs=(TEXT,))
            for name in (*OWN_COLUMNS, *self.engine.columns)
        )
        scroll = Paginator.model_construct(type=INFINITE, pages=self.pages) if self.engine.scrolls else None
        return ExtractionRule.fixed(tuple(fields), paginator=scroll, rendered=self.needs_chrome)

    @property
    def settle(self) -> float | None:
        return None

    @property
    def needs_chrome(self) -> bool:
        return self.type == CHROME if self.type else self.engine.is_rendered

    @property
    def main(self) -> bytes:
        return MAIN

    def first_addresses(self) -> Sequence[str]:
        return [self.address(place, 0) for place in range(len(self.keywords))]

    def lists(self) -> Sequence[bytes]:
        return list(self.chains)

    def pages_at_most(self, limit: int) -> int:
        return min(limit, len(self.keywords) * (1 if self.engine.scrolls else self.pages))

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        yield from super().limit_faults(pages=pages, depth=depth)
        if len(self.keywords) * self.pages > pages:
            yield "/keywords", f"Keywords times pages are more than the {pages} that are allowed."

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        """Reads the last text alone: a page that was scrolled still holds what it showed before."""
        place = self.chains[chain]
        results = read_results(self.engine, content.texts[-1], content.url)
        common = {"keyword": self.keywords[place], "page": ordinal + 1}
        empty = dict.fromkeys(self.engine.columns)
        shown = [{"kind": kind, "position": position, **empty, **record} for kind, position, record in results]
        records = [{**common, **result} for result in shown]
        following: list[str] = []
        if results and ordinal + 1 < self.pages and not self.engine.scrolls:
            following = [self.address(place, ordinal + 1)]
        return PageReading(records, next=following, shown=shown)
