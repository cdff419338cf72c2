"""The payload of a task of pages (dataflow_tasks.md): lists, and what is behind their records. Pure."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.extraction_rule import FIELDS_MAX, ExtractionRule
from extraction.domain.followed_links import FollowedLinks, is_found
from extraction.domain.logins import LOGIN_RULE, LoginTerms, fill_form
from extraction.domain.page_addresses import page_key
from extraction.domain.page_reader import DetailsLink, PageReading, read_all
from extraction.domain.page_request import PagesRequest
from extraction.domain.page_sources import PageContent
from extraction.domain.payload import RecordTerms
from extraction.domain.record_changes import ALL, CHANGE, ONLY, RecordLimit
from extraction.domain.sitemaps import SITEMAP_RULE, read_sitemap
from taskhub.jsontools.json_models import Count, Steps, is_stored
from taskhub.jsontools.schema import invalid_places, invalid_value

MANY = b"many pages"  # in place of a main list: no page is more than another


def _read_names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) > FIELDS_MAX or not all(isinstance(name, str) for name in names):
        raise invalid_value("Must be the name of a field, or a list of them.")
    return tuple(name.strip() for name in names)


def _read_changes(value: Any) -> str:
    if value is True or value is False:
        return ALL if value else ""
    if not isinstance(value, str) or value.lower() not in {ALL, ONLY}:
        raise invalid_value('Must be true, false or "only".')
    return value.lower()


class PagesPayload(RecordTerms, ExtractionRule):
    """A payload that is its own outermost rule."""

    REQUEST_PLACE: ClassVar = "/request"
    TYPE_PLACE: ClassVar = "/request/type"

    request: PagesRequest
    follow: FollowedLinks | None = None
    sent_login: LoginTerms | None = Field(None, alias="login")
    sent_unique: Annotated[tuple[str, ...], BeforeValidator(_read_names)] = Field((), alias="unique")
    sent_changes: Annotated[str, BeforeValidator(_read_changes)] = Field("", alias="changes")
    max_records: Count | None = Field(None, alias="maxRecords")

    @model_validator(mode="after")
    def _arrange(self, info: ValidationInfo) -> Self:
        faults = list(self.arrange(count(), rendered=self.request.is_rendered))
        if not is_stored(info) and (faults := [*faults, *self.column_faults(), *self._unique_faults()]):
            raise invalid_places(faults)
        return self

    def _unique_faults(self) -> Iterator[tuple[Steps, str]]:
        for place, name in enumerate(self.sent_unique):
            if not self._columns_of(name):
                yield ("unique", place), f"No field, and no column, is named {name!r}."

    def _columns_of(self, name: str) -> list[str]:
        """The columns of records of the result that a name means: its own, or those of the fields with that name."""
        fields = [field for rule in self.listed_rules() for field in rule.fields]
        columns = {column for field in fields for _, column in field.columns}
        named = [column for field in fields if field.name == name for _, column in field.columns]
        return [name] if name in columns else named

    @property
    def renders_empty_pages(self) -> bool:
        return True

    @property
    def changes(self) -> str:
        return self.sent_changes

    @cached_property
    def unique(self) -> tuple[str, ...]:
        """The columns that tell records apart."""
        return tuple(column for name in self.sent_unique for column in self._columns_of(name))

    def columns(self) -> Iterator[tuple[Steps, str]]:
        yield from super().columns()
        if self.changes:
            yield ("changes",), CHANGE

    @property
    def first_request(self) -> PagesRequest:
        return self.request

    @property
    def rule(self) -> ExtractionRule:
        return self

    @property
    def settle(self) -> float | None:
        return self.request.wait_delay or None

    @property
    def needs_chrome(self) -> bool:
        return any(rule.is_rendered for rule in self.walk()) or bool(self.login and self.login.actions)

    @cached_property
    def main(self) -> bytes:
        return page_key(self.first_rule, self.request.addresses[0]) if self.request.count == 1 else MANY

    @property
    def first_rule(self) -> int:
        return SITEMAP_RULE if self.request.sitemap else 0

    @property
    def hops(self) -> int:
        return self.follow.depth if self.follow else 0

    @property
    def login(self) -> LoginTerms | None:
        return self.sent_login

    @property
    def followed(self) -> FollowedLinks | None:
        return self.follow

    @property
    def frame(self) -> str:
        return self.request.frame

    @property
    def record_limit(self) -> RecordLimit | None:
        if self.max_records is None:
            return None
        listed = frozenset(rule.number for rule in self.listed_rules())
        behind = {inner.number for rule in self.listed_rules() for inner in rule.walk()} - listed
        every = {SITEMAP_RULE, *(rule.number for rule in self.walk())}
        takes_first = not (self.unique or self.changes)
        one_list = self.main != MANY and not (self.follow or self.request.sitemap) and listed == {0}
        return RecordLimit(self.max_records, listed, frozenset(every - behind), takes_first, one_list)

    def takes_records_of(self, address: str) -> bool:
        return self.follow is None or self.follow.fits(address)

    def first_addresses(self) -> Sequence[str]:
        return self.request.addresses

    def lists(self) -> Sequence[bytes] | None:
        if self.follow or self.request.sitemap:
            return None
        return list(dict.fromkeys(page_key(0, address) for address in self.request.addresses))

    def pages_at_most(self, limit: int) -> int:
        if self.follow or self.request.sitemap or self.downloads or any(field.details for field in self.fields):
            return limit
        return min(limit, self.request.count * ((self.paginator.pages or limit) if self.paginator else 1))

    def limit_faults(self, *, pages: int, depth: int) -> Iterator[tuple[str, str]]:
        if self.depth() > depth:
            yield "/fields", f"Details nest {self.depth()} deep; {depth} are allowed."
        if self.request.count > pages:
            yield "/request", f"The addresses are more than the {pages} pages that are allowed."
        yield from super().limit_faults(pages=pages, depth=depth)

    def read(self, content: PageContent, *, rule: ExtractionRule, chain: bytes, ordinal: int) -> PageReading:
        if rule.number == LOGIN_RULE and self.login:
            return PageReading([fill_form(content.texts[0], content.url, self.login)._asdict()])
        return self._read_sitemap(content) if rule.number == SITEMAP_RULE else read_all(content, rule)

    def _read_sitemap(self, content: PageContent) -> PageReading:
        """Reads the pages and the other sitemaps that a sitemap names."""
        sitemap, match = read_sitemap(content.texts[0], content.url), self.request.match
        pages = [address for address in sitemap.pages if not match or is_found(match, address)]
        named = [*((SITEMAP_RULE, address) for address in sitemap.sitemaps), *((0, address) for address in pages)]
        return PageReading(links=[DetailsLink(page_key(rule, address), rule, address) for rule, address in named])
