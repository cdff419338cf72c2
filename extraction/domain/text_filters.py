"""Changes of texts, as a field's `filters` name them. Pure."""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import chain

import re2

from extraction.domain.payload import Filter

REGEX = "regex"
PATTERN_MAX = 1_000  # characters
_MEMORY = 1 << 20  # bytes of one compiled pattern


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
def pattern(source: str) -> re2._Regexp:
    """Compiled, in time linear to the text (RE2). Raises `ValueError` with what is wrong."""
    if len(source) > PATTERN_MAX:
        raise ValueError(f"it has more than {PATTERN_MAX} characters")
    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY, False
    try:
        return re2.compile(source, options)
    except re2.error as error:
        raise ValueError(error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)) from None


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
