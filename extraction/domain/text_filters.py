"""Changes of texts, as a field's `filters` name them. Pure."""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

from extraction.domain.payload import Filter
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, compile_pattern

REGEX = "regex"


def normal(text: str) -> str:
    """Composed letters (NFC), and one space where there are several, or other white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def capitalize(text: str) -> str:
    """The first letter of each word in upper case; the others as they are."""
    previous = chain(" ", text)
    return "".join(now.upper() if before.isspace() else now for before, now in zip(previous, text, strict=False))


SIMPLE: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "normal": normal,
    "uppercase": str.upper,
    "lowercase": str.lower,
    "capitalize": capitalize,
}
NAMES = (*SIMPLE, REGEX)


@lru_cache(maxsize=1024)
def pattern(source: str) -> Any:
    """A compiled pattern of RE2. Raises `InvalidPattern` with what is wrong."""
    if len(source) > LENGTH_MAX:
        raise InvalidPattern(f"it has more than {LENGTH_MAX} characters")
    return compile_pattern(source)


def filtered(text: str, filters: tuple[Filter, ...]) -> str | None:
    """The text after all filters, in their order; None when a pattern does not match."""
    for one in filters:
        if one.name == REGEX:
            found = pattern(one.param).search(text)
            if found is None:
                return None
            text = found[0]
        else:
            text = SIMPLE[one.name](text)
    return text
