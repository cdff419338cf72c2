"""JSON from strangers: what is valid is read as Python reads it, anything else is refused with a place."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskhub.errors import NotAcceptable, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.strict_json import NESTING_MAX, check_storable, escape_pointer, parse_json

STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(alphabet=STORABLE)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=25,
)


def place_of(text: str | bytes) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        parse_json(text)
    assert caught.value.type == ("not-acceptable" if isinstance(caught.value, NotAcceptable) else "broken-json")
    (error,) = caught.value.errors
    return error["pointer"], error["detail"]


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_agrees_with_the_standard_library(value: Any, ascii_only: bool, indent: int | None, as_bytes: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text.encode() if as_bytes else text) == json.loads(text)


@given(st.text() | st.binary() | st.text(alphabet='{}[]",:\\ud8019eE.+-truefalsn \x00"'))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("\ufeff1")
@example("\ud800")
@example('"\\ud800')
@example("1" * 5000)
@example("-" + "1" * 5000)
@example("1e999")
def test_nothing_but_rejected_is_raised(text: str | bytes) -> None:
    try:
        value = parse_json(text)
    except Rejected as refusal:
        json.dumps(refusal.errors).encode()
    else:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        check_storable(value)


@given(VALUES)
def test_what_is_read_can_be_stored(value: Any) -> None:
    check_storable(value)
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "pointer", "detail"),
    [
        ("", "", "Expecting value at line 1, column 1"),
        ('{"a": 1,\n "b": }', "", "Expecting value at line 2, column 7"),
        ("[1, 2] 3", "", "Extra data at line 1, column 8"),
        (b"\xff", "", "byte 0 is not UTF-8"),
        ('{"a": {"k": 1, "k": 2}}', "", "the key 'k' stands twice in one object at line 1, column 16"),
        ('{"a": [{"b": 1}],\n "a": 2}', "", "the key 'a' stands twice in one object at line 2, column 2"),
        ("[NaN]", "", "NaN is not JSON"),
        ("-Infinity", "", "-Infinity is not JSON"),
        ('{"a": ["x", "\\ud800"]}', "/a/1", "a lone surrogate is not text"),
        ('{"a": ["x", "\ud800"]}', "/a/1", "a lone surrogate is not text"),
        ('{"a/b": {"~": "\\u0000"}}', "/a~1b/~0", "U+0000 cannot be stored"),
        ('{"a": {"\\u0000": 1}}', "/a", "U+0000 cannot be stored"),
        ('{"\\udfff": {"b": "\\u0000"}}', "", "a lone surrogate is not text"),
        ("[" * 101 + "]" * 101, "", "nested deeper than 100 levels"),
    ],
)
def test_refusal_names_its_place(text: str | bytes, pointer: str, detail: str) -> None:
    assert place_of(text) == (pointer, detail)


@pytest.mark.parametrize(
    ("number", "detail"),
    [
        ("1e400", "a number is out of range"),
        ("-1e400", "a number is out of range"),
        ("1e999999999999", "a number is out of range"),
        ("0e2000000000", "a number is out of range"),
        ("9" * 5000, "a number has too many digits"),
        ("9" * 500 + ".5", "a number is out of range"),
        ("1e-20000", "a number has more than 16383 digits behind its point"),
        ("0." + "1" * 16384, "a number has more than 16383 digits behind its point"),
        ("1e-400", "a number is too small"),
        ("-0.1e-323", "a number is too small"),
    ],
)
def test_numbers_that_cannot_be_kept_are_not_acceptable(number: str, detail: str) -> None:
    for text in (number, f'{{"a": [1, {number}]}}'):
        with pytest.raises(NotAcceptable) as caught:
            parse_json(text)
        assert caught.value.errors == [{"pointer": "", "detail": detail}]
        with pytest.raises(NotAcceptable, match=rf"column {text.index(number) + 1}: A{detail[1:]}"):
            parse_jsonc(text)


@pytest.mark.parametrize(
    "number", ["1e308", "5e-324", "0e-300", "-0", "-0.0", "0e9999", "9" * 4300, "0." + "1" * 16383]
)
def test_numbers_that_can_be_kept_are_read(number: str) -> None:
    assert parse_json(number) == json.loads(number)


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"


def test_byte_order_mark_is_passed_over() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]


def test_deepest_nesting_that_is_read() -> None:
    value = parse_json("[" * NESTING_MAX + "]" * NESTING_MAX)
    for _ in range(NESTING_MAX - 1):
        (value,) = value
    assert value == []


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert parse_json(json.dumps(["[" * 500])) == ["[" * 500]


def test_late_duplicate_among_many_keys_is_found_in_one_pass() -> None:
    """Counting each key anew would take hours here; the suite's time-out tells."""
    keys = ",".join(f'"{number}":0' for number in range(300_000))
    assert place_of(f'{{{keys},"299999":0}}') == (
        "",
        "the key '299999' stands twice in one object at line 1, column 3188892",
    )


def test_long_key_above_many_values_takes_little_memory() -> None:
    """A pointer written for every value would be 100 GB here."""
    value = {"k" * 1_000_000: [0] * 100_000 + ["\0"]}
    with pytest.raises(Rejected) as caught:
        check_storable(value)
    assert caught.value.errors[0]["pointer"].endswith("kkk/100000")


def test_infinities_do_not_slip_through_as_numbers() -> None:
    assert math.isfinite(parse_json("1.7976931348623157e308"))


@given(st.text())
def test_pointer_tokens_hold_no_separator(key: str) -> None:
    escaped = escape_pointer(key)
    assert "/" not in escaped
    assert escaped.replace("~1", "/").replace("~0", "~") == key
