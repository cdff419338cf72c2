"""Regular expressions from strangers: RE2's, whose time is linear in the text."""

import re2

LENGTH_MAX = 1000  # characters of a pattern; callers refuse longer ones in their own words
MEMORY_MAX = 1 << 20  # bytes of a compiled pattern; it bounds how long compiling takes, too


class InvalidPattern(ValueError):
    """A text that is no pattern of RE2; the message is RE2's."""


def compile_pattern(text: str, *, captures: bool = True) -> "re2._Regexp":
    """The compiled pattern; without `captures` it only says whether it matches. Raises `InvalidPattern`."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_MAX
    options.never_capture = not captures
    try:
        return re2.compile(text, options)
    except re2.error as error:
        message = error.args[0] if error.args else ""
        raise InvalidPattern(message.decode(errors="replace") if isinstance(message, bytes) else str(message)) from None
