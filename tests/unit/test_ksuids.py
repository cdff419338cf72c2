"""KSUIDs against the example of their specification, and as ids that sort by time."""

from hypothesis import given
from hypothesis.strategies import binary, integers

from extraction.domain.ksuids import DIGITS, EPOCH, LENGTH, RANDOM_BYTES, ksuid

RANDOM = binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
SECONDS = integers(EPOCH, EPOCH + 2**32 - 1)


def test_the_example_of_the_specification() -> None:
    random = bytes.fromhex("B5A1CD34B5F99D1154FB6853345C9735")
    assert ksuid(EPOCH + 107_608_047, random) == "0ujtsYcgvSTl8PAuAdqWYSMnLOv"


@given(SECONDS, RANDOM)
def test_its_digits_are_its_bytes(seconds: int, random: bytes) -> None:
    text = ksuid(seconds, random)
    number = 0
    for digit in text:
        number = number * len(DIGITS) + DIGITS.index(digit)
    assert len(text) == LENGTH
    assert number.to_bytes(20, "big") == (seconds - EPOCH).to_bytes(4, "big") + random


@given(SECONDS, SECONDS, RANDOM, RANDOM)
def test_they_sort_by_time(first: int, second: int, random: bytes, other: bytes) -> None:
    if first != second:
        assert (ksuid(first, random) < ksuid(second, other)) == (first < second)
