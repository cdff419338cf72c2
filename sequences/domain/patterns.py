"""Patterns of filters: RE2, whose time is linear in the text, anchored at the start."""

from collections.abc import Callable
from functools import lru_cache

from sequences.domain.scope import Scope
from sequences.domain.validation_errors import InvalidSyntax
from taskhub.linear_regex import LENGTH_MAX, InvalidPattern, compile_pattern

_STEPS_A_VISIT = 30  # of the pattern's automaton, in the time in which a path looks at one value
_VISITS_TO_COMPILE = 60_000  # the largest pattern, about

Match = Callable[[str, Scope], bool]


@lru_cache(maxsize=64)  # each may take 1 MiB
def read_pattern(text: str) -> Match:
    """Raises `InvalidSyntax`. The match raises `StepFailure` for a text that is too long for so large a pattern."""
    if len(text) > LENGTH_MAX:
        raise InvalidSyntax(f"A pattern has at most {LENGTH_MAX} characters.")
    try:
        pattern = compile_pattern(text, captures=False)
    except InvalidPattern as error:
        raise InvalidSyntax(f"{text[:100]!r} is no pattern of RE2: {error}") from None
    size = pattern.programsize

    def match(subject: str, scope: Scope) -> bool:
        scope.visit(1 + len(subject) * size // _STEPS_A_VISIT)
        return pattern.match(subject) is not None

    return match


def read_computed_pattern(text: str, scope: Scope) -> Match:
    """A pattern that a template gave, which may be another one each time. Raises `InvalidSyntax` and `StepFailure`."""
    scope.visit(_VISITS_TO_COMPILE)
    return read_pattern(text)
