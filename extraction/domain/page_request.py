"""How pages are asked for: the request of a payload, with its headers, cookies and actions. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from extraction.domain.address_ranges import count_addresses, expand_address, has_ranges
from extraction.domain.browser_actions import PageAction
from extraction.domain.extraction_rule import CHROME, ONLY_CHROME, PageType
from extraction.domain.followed_links import Patterns
from extraction.domain.page_addresses import fetchable_address
from extraction.domain.render_job import BrowserAction
from extraction.domain.request_addresses import (
    Address,
    AddressList,
    Proxies,
    RangedAddress,
    is_country,
    is_plain,
    origin_of,
)
from extraction.domain.request_bodies import (
    FormValues,
    JsonBody,
    Method,
    RequestBody,
    TextBody,
    form_body,
    json_body,
    text_body,
)
from extraction.domain.selectors import FrameSelector
from taskhub.jsontools.json_models import (
    CONTROL,
    REQUIRED_WORDS,
    TEXT_MAX,
    JsonModel,
    is_stored,
    number_between,
    texts_checked_by,
)
from taskhub.jsontools.schema import invalid_places, invalid_value

ACTIONS_MAX = 50
WAIT_MAX = 30  # seconds

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_SET_BY_HUB = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_NO_COOKIE = re.compile(r"[\x00-\x1f\x7f;]")


def _header_fault(name: str, value: str) -> str | None:
    if not _HEADER.fullmatch(name):
        return "This is no name of a header."
    if name.lower() in _SET_BY_HUB:
        return "This header is the hub's own."
    if CONTROL.search(value) or len(value) > TEXT_MAX or not value.isascii():
        return "This is no value of a header."
    return None


def _cookie_fault(name: str, value: str) -> str | None:
    if not name or "=" in name or len(name) > 200 or _NO_COOKIE.search(name + value):
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


Headers = Annotated[dict[str, str], texts_checked_by(_header_fault)]
# Validators before run from the last to the first.
Cookies = Annotated[dict[str, str], texts_checked_by(_cookie_fault), BeforeValidator(_cookies_from_header)]


class RequestTarget(JsonModel):
    """A request for a first page. `headers` and `cookies` are the user's own.

    Actions are done in the first page once it is rendered; on the other pages of its list, those that wait or scroll.
    `wait_delay` is in seconds, for which each rendered page may come to rest.
    """

    sent_url: Address = Field(alias="url")
    sent_proxies: Proxies = Field((), alias="proxy")
    headers: Headers = Field(default_factory=dict)
    cookies: Cookies = Field(default_factory=dict)
    sent_actions: tuple[PageAction, ...] = Field((), alias="actions", max_length=ACTIONS_MAX)
    wait_delay: Annotated[float | None, number_between(0, WAIT_MAX, "seconds")] = Field(None, alias="waitDelay")

    @property
    def url(self) -> str:
        """Its address, or the first of several."""
        return self.sent_url

    @property
    def address(self) -> str:
        """The address that is asked for. The fragment of `url` counts where the page is rendered."""
        return self.url

    @property
    def addresses(self) -> Sequence[str]:
        """All addresses that are asked for."""
        return [self.address]

    @property
    def origins(self) -> Set[str]:
        """The origins of its addresses."""
        return {origin_of(self.url)}

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies that take turns."""
        return tuple(proxy for proxy in self.sent_proxies if proxy and not is_country(proxy))

    @property
    def method(self) -> str:
        return "GET"

    @property
    def body(self) -> RequestBody | None:
        """What is sent with it."""
        return None

    def warnings(self) -> Iterator[tuple[str, str]]:
        """What was sent and has no effect here: names of the request, and texts."""
        for proxy in filter(is_country, self.sent_proxies):
            yield "proxy", f"The proxy {proxy} is not used: there are no proxies of countries here."

    @property
    def actions(self) -> tuple[BrowserAction, ...]:
        return tuple(action.browser_action() for action in self.sent_actions)


class PageRequest(RequestTarget):
    """The request of a payload. With something to send it is a POST, unless it has a method of its own."""

    type: PageType = ""
    sent_method: Method = Field("", alias="method")
    sent_form: FormValues = Field(default_factory=dict, alias="form")
    sent_json: JsonBody = Field(None, alias="json")
    sent_text: TextBody = Field("", alias="body")

    @property
    def method(self) -> str:
        return self.sent_method or ("POST" if self.body else "GET")

    @property
    def body(self) -> RequestBody | None:
        if self.sent_form:
            return form_body(self.sent_form)
        if self.sent_json is not None:
            return json_body(self.sent_json)
        return text_body(self.sent_text) if self.sent_text else None

    @property
    def is_rendered(self) -> bool:
        return self.type == CHROME

    @property
    def address(self) -> str:
        return self.url if self.is_rendered else self.url.partition("#")[0]

    @model_validator(mode="after")
    def _sends_one_body(self) -> Self:
        sent = (("form", self.sent_form), ("json", self.sent_json is not None), ("body", self.sent_text))
        given = [name for name, value in sent if value]
        if len(given) > 1:
            raise invalid_places([((given[1],), f"Must not be set beside {given[0]}.")])
        return self

    @model_validator(mode="after")
    def _renders_to_act(self) -> Self:
        if not self.is_rendered and not all(action.only_waits for action in self.sent_actions):
            raise invalid_places([(("actions",), ONLY_CHROME)])
        return self

    def warnings(self) -> Iterator[tuple[str, str]]:
        yield from super().warnings()
        if self.sent_actions and not self.is_rendered:
            yield "actions", "Actions are left out, for the page is not rendered."


class PagesRequest(PageRequest):
    """The same, of one or many first pages: of a list of addresses, of a range in one, or of those in a sitemap.

    Where they are rendered, `frame` selects the frame that is read in place of the page.
    """

    sent_url: RangedAddress = Field("", alias="url")
    urls: AddressList = ()
    sent_sitemap: RangedAddress = Field("", alias="sitemap")
    match: Patterns = ()
    frame: FrameSelector = ""

    @model_validator(mode="after")
    def _renders_its_frame(self) -> Self:
        if self.frame and not self.is_rendered:
            raise invalid_places([(("frame",), ONLY_CHROME)])
        return self

    @model_validator(mode="after")
    def _has_one_beginning(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        given = [name for name, value in self._beginnings() if value]
        if not given:
            raise invalid_places([(("url",), REQUIRED_WORDS)])
        if len(given) > 1:
            raise invalid_places([((given[1],), f"Must not be set beside {given[0]}.")])
        if self.match and not self.sitemap:
            raise invalid_places([(("match",), "Goes with sitemap.")])
        return self

    @cached_property
    def count(self) -> int:
        """How many addresses it has."""
        return sum(map(count_addresses, self.urls or (self.sent_sitemap or self.sent_url,)))

    @cached_property
    def origins(self) -> Set[str]:
        """The origins of its addresses."""
        texts = self.urls or (self.sent_sitemap or self.sent_url,)
        return {origin_of(text) for text in texts}

    def _beginnings(self) -> Iterator[tuple[str, Any]]:
        yield from (("url", self.sent_url), ("urls", self.urls), ("sitemap", self.sent_sitemap))

    @property
    def sitemap(self) -> str:
        return self.sent_sitemap

    @property
    def url(self) -> str:
        return next(self._expanded())

    def _expanded(self) -> Iterator[str]:
        """Its addresses one by one, as they are asked for where pages are rendered."""
        texts: Iterable[str] = self.urls or (self.sent_sitemap or self.sent_url,)
        for text in texts:
            for address in expand_address(text.strip()) if has_ranges(text) else (text.strip(),):
                yield address if is_plain(address) else fetchable_address(address, rendered=True) or address

    @property
    def addresses(self) -> Sequence[str]:
        if self.is_rendered:
            return list(self._expanded())
        return [address.partition("#")[0] for address in self._expanded()]
