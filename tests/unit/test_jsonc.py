"""The documents' notation: comments and trailing commas are nothing, all else is strict, each fault has its place."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskhub.errors import Rejected
from taskhub.jsontools.jsonc import member_text, parse_jsonc
from taskhub.jsontools.strict_json import parse_json

DATA = Path(__file__).resolve().parent.parent / "data"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["//", "/* x */", ",]", "...", '"', "\\", "http://host/", "{{$.a}}", "\n"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
GAPS = st.lists(
    st.sampled_from(["", " ", "\n", "\t", "/**/", "/* , ] } */", '/* " */', "// ...\n", '// " {\n', "/*\n*/", "//\r"]),
    max_size=2,
).map("".join)


def fault_of(text: str) -> tuple[int, int, str]:
    with pytest.raises(Rejected) as caught:
        parse_jsonc(text)
    assert caught.value.type == "broken-json"
    (error,) = caught.value.errors
    return error["line"], error["column"], error["detail"]


def written(value: Any, commas: bool) -> list[str]:
    """The signs of a value's text."""
    last = [","] if commas else []
    if isinstance(value, list) and value:
        signs = [[*written(item, commas), ","] for item in value]
        return ["[", *list(chain(*signs))[:-1], *last, "]"]
    if isinstance(value, dict) and value:
        signs = [[json.dumps(key), ":", *written(item, commas), ","] for key, item in value.items()]
        return ["{", *list(chain(*signs))[:-1], *last, "}"]
    return [json.dumps(value)]


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_plain_json_is_read_as_it_is(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_jsonc(text) == json.loads(text)


@settings(deadline=None)
@given(VALUES, st.booleans(), st.data())
def test_comments_between_signs_and_trailing_commas_change_nothing(value: Any, commas: bool, data: Any) -> None:
    signs = written(value, commas)
    gaps = data.draw(st.lists(GAPS, min_size=len(signs) + 1, max_size=len(signs) + 1))
    text = gaps[0] + "".join(sign + gap for sign, gap in zip(signs, gaps[1:], strict=True))
    assert parse_jsonc(text) == json.loads(json.dumps(value))


@settings(deadline=None)
@given(st.text() | st.text(alphabet='{}[]",:/*\\ud8019eE.+-truefalsn \n\x00"'))
@example("[" * 100_000)
@example('"\\' + '"\\' * 50_000)
@example("/*" * 50_000)
@example('{"a":' * 1000)
@example("9" * 5000)
@example('["\\ud800"]')
@example('"\ud800"')
@example("[1e999]")
@example("-" * 5000 + "1")
@example(",]" * 5000)
@example("0\u0661")
def test_nothing_but_a_placed_refusal_is_raised(text: str) -> None:
    try:
        value = parse_jsonc(text)
    except Rejected as refusal:
        (error,) = refusal.errors
        lines = text.split("\n")
        assert 1 <= error["line"] <= len(lines)
        assert 1 <= error["column"] <= len(lines[error["line"] - 1]) + 1
        json.dumps(refusal.errors).encode()
    else:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:/* 1a\n', max_size=12))
def test_what_is_json_already_means_the_same(text: str) -> None:
    try:
        strict = parse_json(text)
    except Rejected:
        return
    assert parse_jsonc(text) == strict


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": ...}', 1, 7),
        ('{\n  "a": 1,\n  "b": ...\n}', 3, 8),
        ('{"a": 1, // one\n "a": 2}', 2, 5),
        ("[1, /* two */ NaN]", 1, 15),
        ("[1, -Infinity]", 1, 5),
        ("[1e999]", 1, 2),
        ('["\\ud800"]', 1, 2),
        ('[\n\n"\\u0000"]', 3, 1),
        ("[,]", 1, 2),
        ("[1,,]", 1, 4),
        ('{"a":,}', 1, 6),
        ('{"a": 1,} x', 1, 11),
        ("1,", 1, 2),
        ('["abc', 1, 2),
        ("[1] /* and", 1, 5),
        ("[1 / 2]", 1, 4),
        ("[" * 101 + "]" * 101, 1, 101),
        ("", 1, 1),
        ("// nothing\n", 2, 1),
        (" " * 2_000_001, 1, 1),
    ],
)
def test_each_fault_has_its_line_and_column(text: str, line: int, column: int) -> None:
    assert fault_of(text)[:2] == (line, column)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('{  // optional  "persistence": {},  "requests": [] }', 4),
        ('{"a": "http://h/", "b": [1, // two  2]}', 29),
        ("// nothing", 1),
        ('{"a": ... } // what is left out is not the only fault', 13),
    ],
)
def test_a_text_whose_line_ends_were_lost_says_so(text: str, column: int) -> None:
    line, at, detail = fault_of(text)
    assert (line, at) == (1, column)
    assert "--data-binary" in detail


def test_one_line_may_end_with_a_comment() -> None:
    assert parse_jsonc('{"a": 1} // one') == {"a": 1}
    assert "--data-binary" not in fault_of('{"a": ...}')[2]


def test_an_address_in_a_string_is_no_comment() -> None:
    assert parse_jsonc('{"url": "http://host/*a*/", }') == {"url": "http://host/*a*/"}


@pytest.mark.parametrize("version", [1, 2])
def test_the_printed_elision_is_refused_at_its_place_and_all_else_is_read(version: int) -> None:
    text = (DATA / f"sequence_v{version}.jsonc").read_text()
    line, column, detail = fault_of(text)
    assert (line, column) == (107, 39)
    assert text.splitlines()[line - 1][column - 1 :] == "..."
    assert "left out" in detail
    whole = parse_jsonc("\n".join(line for line in text.splitlines() if "..." not in line))
    assert whole["persistence"] == {"additional_field": "can_be_call_via_#.additional_field"}
    assert len(whole["requests"]) == 2 + version


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"a": 1, "body": {"b": [1, 2]}}', '{"b": [1, 2]}'),
        ('{"body": {"b": 1, // one\n}, "a": {"body": 2}}', '{"b": 1, // one\n}'),
        ('{"a": {"body": 2}, "body": "x, }" /* why */ ,}', '"x, }" /* why */'),
        ('// first\n{"a": [{"body": 1}], "body": /* here */ [{}, ],\n}', "/* here */ [{}, ]"),
        ('\ufeff{"body": null}', "null"),
        ('{"b\\u006fdy": 7}', "7"),
        ('{"a": "body", "b": 1}', None),
        ('["body", 1]', None),
        ("{}", None),
    ],
)
def test_how_a_member_is_written(text: str, written: str | None) -> None:
    assert member_text(text.encode(), "body") == written
    if written is not None:
        assert parse_jsonc(written) == parse_jsonc(text.encode())["body"]


def test_bytes_are_utf_8() -> None:
    assert parse_jsonc('\ufeff["é"]'.encode()) == ["é"]
    assert parse_jsonc('\ufeff["é"]') == ["é"]
    with pytest.raises(Rejected) as caught:
        parse_jsonc('\ufeff["ž", \n"'.encode() + b'\xe9"]')
    assert caught.value.errors == [{"line": 2, "column": 2, "detail": "This is not UTF-8."}]
