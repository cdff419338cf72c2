"""The words of exceptions, whatever these are: bounded, and fit for JSON, UTF-8 and PostgreSQL.

An exception may be anybody's: of a walker, of a library. Its `__str__` may raise, or give megabytes, half characters
and U+0000; its class may say that it has another name.
"""

import re

MESSAGE_MAX = 2_000  # characters
TYPE_MAX = 200
INNER_MAX = 5  # exceptions of a group that are told of, and levels of groups
NO_WORDS = "(its words cannot be read)"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` with U+FFFD for what PostgreSQL cannot hold: U+0000 and lone surrogates."""
    return _UNSTORABLE.sub("\ufffd", text)


def error_of(error: BaseException) -> dict[str, str]:
    """An exception as `{type, message}`, as the wire shows it: its name and its words, never a stack trace."""
    return {"type": type_of(error), "message": message_of(error)}


def type_of(error: BaseException) -> str:
    """The name of its class, as Python itself knows it: a metaclass may say otherwise, or nothing."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return storable(name[:TYPE_MAX])


def message_of(error: BaseException) -> str:
    """Its words; of a group also those of the exceptions in it. The name of its class where it has none."""
    return storable(_words(error, INNER_MAX)[:MESSAGE_MAX]) or type_of(error)


def _words(error: BaseException, levels: int) -> str:
    words = _own_words(error)
    if isinstance(error, BaseExceptionGroup) and levels:
        inner = [f"{type_of(one)}: {_words(one, levels - 1)}" for one in error.exceptions[:INNER_MAX]]
        words = f"{words}: {'; '.join(inner)}"
    return words


def _own_words(error: BaseException) -> str:
    for read in (str, BaseException.__str__):
        try:
            return str.__getitem__(read(error), slice(MESSAGE_MAX))
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) and type(failure) is not KeyboardInterrupt:
                raise  # the hub interrupts by a class of its own: `taskhub.runs.domain.Interrupted`
    return NO_WORDS
