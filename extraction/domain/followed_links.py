"""Which links of a page are followed, as users say it by patterns. Pure."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from extraction.domain.page_addresses import BaseAddress, fetchable_address
from extraction.domain.text_filters import pattern
from taskhub.jsontools.json_models import REQUIRED_WORDS, Count, Flag, JsonModel, Steps, is_stored, required
from taskhub.jsontools.schema import invalid_places, invalid_value
from taskhub.linear_regex import LENGTH_MAX, PatternBudget

PATTERNS_MAX = 50
HOPS_MAX = 100
HOPS = 3  # where a payload says nothing
LINKS_MAX = 10_000  # of one page


def _read_patterns(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Reads one pattern, or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > PATTERNS_MAX or not all(isinstance(text, str) for text in texts):
        raise invalid_value(f"Must be a pattern, or a list of at most {PATTERNS_MAX} patterns.")
    if is_stored(info):
        return tuple(texts)
    budget = (info.context or {}).get("patterns") or PatternBudget()
    faults: list[tuple[Steps, str]] = []
    for place, text in enumerate(texts):
        if fault := _pattern_fault(text, budget):
            faults.append(((place,) if isinstance(value, list) else (), fault))
    if faults:
        raise invalid_places(faults)
    return tuple(texts)


def _pattern_fault(text: str, budget: PatternBudget) -> str | None:
    if not text:
        return REQUIRED_WORDS
    if len(text) > LENGTH_MAX:
        return f"This is no pattern: it has more than {LENGTH_MAX} characters."
    try:
        budget.compile(text)
    except ValueError as error:
        return f"This is no pattern: {error}."
    return None


Patterns = Annotated[tuple[str, ...], BeforeValidator(_read_patterns)]


def is_found(patterns: Iterable[str], address: str) -> bool:
    """Whether one of some patterns (RE2) is found anywhere in an address."""
    return any(pattern(text).search(address) is not None for text in patterns)


class FollowedLinks(JsonModel):
    """The links that are followed from the first pages on: by patterns of their addresses, up to some hops."""

    match: Annotated[Patterns, AfterValidator(required)]
    deny: Patterns = ()
    depth: Annotated[Count, Field(le=HOPS_MAX)] = HOPS
    same_host: Flag = Field(True, alias="sameHost")

    def fits(self, address: str) -> bool:
        """Whether records are taken from a page with this address."""
        return is_found(self.match, address) and not is_found(self.deny, address)

    def addresses(self, links: Iterable[str], base: BaseAddress, url: str, *, rendered: bool) -> Iterator[str]:
        """The addresses that links of a page at `url` lead to, of those that are followed, each once."""
        host, seen = urlsplit(url).hostname, set[str]()
        for written in links:
            address = fetchable_address(base.absolute(written), rendered=rendered)
            if address is None or address in seen or (self.same_host and urlsplit(address).hostname != host):
                continue
            seen.add(address)
            if self.fits(address):
                yield address
