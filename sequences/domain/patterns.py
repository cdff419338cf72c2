"""Patterns of filters: RE2, whose time is linear in the text, anchored at the start."""

from collections.abc import Callable
from functools import lru_cache

import re2

from sequences.domain.scope import Scope
from sequences.domain.validation_errors import Unreadable

LENGTH_MAX = 1000
_STEPS_A_VISIT = 30  # of the pattern's automaton, in the time in which a path looks at one value

Match = Callable[[str, Scope], bool]


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 1 << 20  # also bounds how long reading one takes
    return options


_OPTIONS = _options()


@lru_cache(maxsize=64)  # each may take 1 MiB
def read_pattern(text: str) -> Match:
    """Raises `Unreadable`. The match raises `Failure` for a text that is too long for so large a pattern."""
    if len(text) > LENGTH_MAX:
        raise Unreadable(f"A pattern has at most {LENGTH_MAX} characters.")
    try:
        pattern = re2.compile(text, _OPTIONS)
    except re2.error as error:
        raise Unreadable(f"{text[:100]!r} is no pattern of RE2: {_words(error)}") from None
    size = pattern.programsize

    def match(subject: str, scope: Scope) -> bool:
        scope.visit(1 + len(subject) * size // _STEPS_A_VISIT)
        return pattern.match(subject) is not None

    return match


def _words(error: Exception) -> str:
    words = error.args[0] if error.args else ""
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)
