"""Paths of steps, such as `requests[1].__def_loop__[3].requests[0]`: their order, and what they belong to."""

import re

_NUMBER = re.compile(r"\[(\d+)\]")
_LATER = re.compile(r"(?:(?<=\.)|^)(catch|on_failure|finally)(?=\[)")
_RANKS = {"catch": "~0", "on_failure": "~1", "finally": "~2"}  # `~` comes after all letters


def order_in_program(path: str) -> str:
    """A text by which paths sort as their steps stand in a sequence, each before what is within it.

    Items of a loop sort by their numbers; `catch` comes after all else of its step, `on_failure` and `finally` last.
    """
    numbered = _NUMBER.sub(lambda number: f"[{len(number[1])}{number[1]}]", path)
    return _LATER.sub(lambda word: _RANKS[word[1]], numbered)


def lineage(path: str) -> list[str]:
    """The path, and before it those of the steps, items and branches to which it belongs, the outermost first."""
    ancestors = [path[: bracket.end()] for bracket in re.finditer(r"\]", path)]
    return ancestors if path.endswith("]") else [*ancestors, path]
