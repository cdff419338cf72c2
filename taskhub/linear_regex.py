"""Regular expressions from strangers: RE2's, whose time is linear in the text; and a budget for several of them.

The time also grows with the pattern: `[ab]*a[ab]{900}c` takes 20 microseconds for each character.
"""

from typing import Any

import re2

LENGTH_MAX = 1000  # characters of a pattern; callers refuse longer ones in their own words
MEMORY_MAX = 1 << 20  # bytes of a compiled pattern; it bounds how long compiling takes, too
STEPS_MAX = 50_000_000  # of automata: about half a second
COMPILING_STEPS = 600  # as many as the compiling of one instruction takes
FAILING_STEPS = 2_000_000  # as many as the longest attempt at a pattern that is none


class InvalidPattern(ValueError):
    """A text that is no pattern of RE2; the message is RE2's."""


def compile_pattern(
    text: str | bytes, *, captures: bool = True, encoding: Any = re2.Options.Encoding.UTF8
) -> "re2._Regexp":
    """The compiled pattern; without `captures` it only says whether it matches. Raises `InvalidPattern`.

    One in Latin-1 is given as bytes.
    """
    options = re2.Options()
    options.encoding = encoding
    options.log_errors = False
    options.max_mem = MEMORY_MAX
    options.never_capture = not captures
    try:
        return re2.compile(text, options)
    except re2.error as error:
        message = error.args[0] if error.args else ""
        raise InvalidPattern(message.decode(errors="replace") if isinstance(message, bytes) else str(message)) from None


class PatternBudget:
    """The steps that some patterns may take together, compiling included. Its methods raise `PatternsTooSlow`."""

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self._left = steps

    def compile(self, text: str) -> "re2._Regexp":
        """As `compile_pattern`."""
        self._spend(0)
        try:
            pattern = compile_pattern(text)
        except InvalidPattern:
            self._left -= FAILING_STEPS
            raise
        self._spend(pattern.programsize * COMPILING_STEPS)
        return pattern

    def search(self, pattern: "re2._Regexp", text: str) -> bool:
        """Whether the pattern is found in the text."""
        self._spend(pattern.programsize * len(text))
        return pattern.search(text) is not None

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise PatternsTooSlow("The patterns here would take too long for such texts.")


class PatternsTooSlow(ValueError):
    """Patterns that may take longer than their budget; the message is for whoever sent them."""
