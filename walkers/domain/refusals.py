"""A refusal that concerns one place."""

from taskhub.errors import Rejected


def refused(pointer: str, detail: str, words: str = "") -> Rejected:
    """`pointer` is a JSON pointer into what was sent; `words` say more than `detail` where that alone is too short."""
    return Rejected(words or detail, errors=[{"pointer": pointer, "detail": detail}])
