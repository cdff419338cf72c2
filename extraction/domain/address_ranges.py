"""Addresses that stand for many: `https://shop.example.com/?page={1..100}`. Pure."""

import re
from collections.abc import Iterator
from itertools import product
from math import prod

ADDRESSES_MAX = 100_000  # of one payload

_RANGE = re.compile(r"\{(-?\d{1,12})\.\.(-?\d{1,12})(?:\.\.(-?\d{1,12}))?\}", re.ASCII)


def has_ranges(address: str) -> bool:
    return _RANGE.search(address) is not None


def count_addresses(address: str) -> int:
    """How many addresses one stands for."""
    return prod(len(_numbers(*match.groups())) for match in _RANGE.finditer(address))


def expand_address(address: str) -> Iterator[str]:
    """The addresses that one with ranges stands for: `{1..3}`, `{001..100}` with zeros, `{0..100..20}`, `{9..1}`.

    Of several ranges the last one runs first, as in a shell.
    """
    pieces = _RANGE.split(address)
    texts = pieces[::4]
    runs = [_written(*pieces[place : place + 3]) for place in range(1, len(pieces), 4)]
    for numbers in product(*runs):
        yield "".join(text + number for text, number in zip(texts, [*numbers, ""], strict=True))


def _numbers(first: str, last: str, step: str | None) -> range:
    start, end = int(first), int(last)
    size = abs(int(step or 1)) or 1
    return range(start, end + 1, size) if start <= end else range(start, end - 1, -size)


def _written(first: str, last: str, step: str | None) -> list[str]:
    """The numbers of a range, as wide as its ends where one of them begins with a zero."""
    is_padded = any(len(end.lstrip("-")) > 1 and end.lstrip("-")[0] == "0" for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    return [f"{number:0{width}d}" for number in _numbers(first, last, step)]
