"""JSON of other servers is read in its charset, and mended where that is plain; the rest is refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskhub.errors import Rejected
from taskhub.jsontools.lenient_json import decode_text, parse_lenient
from taskhub.jsontools.strict_json import check_storable

WORDS = {"naïve": "€ Žluťoučký"}
LATIN = {"naïve": "Größe"}


def written(value: Any, encoding: str) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        *[("utf-8", charset) for charset in ("", "utf-8", "UTF8", "'utf-8'", "us-ascii", "utf-16")],
        *[("utf-8-sig", charset) for charset in ("", "utf-8", "iso-8859-1")],
        *[("utf-16", charset) for charset in ("", "utf-16", "utf-8", "windows-1252")],
        *[(f"utf-16-{order}", charset) for order in ("le", "be") for charset in ("", "utf-16", "utf-16le", "utf-8")],
        *[("utf-32", charset) for charset in ("", "utf-32", "utf-8")],
        *[(f"utf-32-{order}", charset) for order in ("le", "be") for charset in ("", "utf-32", "utf-16")],
        ("gb18030", "gb18030"),
    ],
)
def test_unicode_is_read_whatever_the_header_calls_it(encoding: str, charset: str) -> None:
    assert parse_lenient(written(WORDS, encoding), charset) == (WORDS, "")


@pytest.mark.parametrize(
    ("value", "encoding", "charset"),
    [
        (LATIN, "latin-1", "iso-8859-1"),
        (LATIN, "latin-1", "ISO-8859-1"),
        (LATIN, "latin-1", "latin1"),
        (LATIN, "cp1252", "windows-1252"),
        ({"a": "“€”"}, "cp1252", "iso-8859-1"),
        ({"a": "“€”"}, "cp1252", "cp1252"),
        ({"a": "Žluť"}, "iso8859-2", "iso-8859-2"),
        ({"a": "€"}, "iso8859-15", "iso-8859-15"),
        ({"a": "жук"}, "cp1251", "windows-1251"),
        ({"a": "жук"}, "koi8-r", "koi8-r"),
        ({"a": "日本"}, "shift_jis", "Shift_JIS"),
        ({"a": "日本"}, "euc-jp", "euc-jp"),
        ({"a": "中国"}, "gbk", "gbk"),
        ({"a": "中國"}, "big5", "big5"),
    ],
)
def test_other_charsets_are_those_of_the_header(value: Any, encoding: str, charset: str) -> None:
    assert parse_lenient(written(value, encoding), charset) == (value, "")


@pytest.mark.parametrize(
    "charset", ["none-such", "hex", "rot13", "punycode", "idna", "unicode_escape", "x" * 1000, "\x00"]
)
def test_a_charset_that_is_none_counts_as_utf_8_and_is_told(charset: str) -> None:
    value, note = parse_lenient(written(WORDS, "utf-8"), charset)
    assert value == WORDS
    assert "not known" in note


@pytest.mark.parametrize(
    ("text", "value", "note"),
    [
        ('{"a": 1, "a": 2}', {"a": 2}, "twice in one object count as they stood last (1)"),
        ('[{"a": {"b": 1, "b": [2]}, "a": 3}]', [{"a": 3}], "as they stood last (2)"),
        ('{"z": 1, "a": 2, "z": 3}', {"z": 3, "a": 2}, "as they stood last (1)"),
        ("NaN", None, "became null (1)"),
        ("[NaN, Infinity, -Infinity, 1e400, -1e400, 1.5]", [None] * 5 + [1.5], "became null (5)"),
        (r'["\ud800", "a\udc00b", "\ud83d\ude00"]', ["\ufffd", "a\ufffdb", "😀"], "lone surrogates became U+FFFD (2)"),
        (r'{"\ud800": 1}', {"\ufffd": 1}, "U+FFFD (1)"),
        (r'["a\u0000b", {"\u0000": 1}]', ["ab", {"": 1}], "U+0000 was left out (2)"),
        ('["a\x00b"]', ["ab"], "U+0000 was left out (1)"),
        (r'{"a\u0000": 1, "a": 2}', {"a": 2}, "as they stood last (1)"),
        (r'["\\u0000", "\\ud800"]', [r"\u0000", r"\ud800"], ""),
        ("[1, 1.0, -0.0, 1e-400]", [1, 1.0, -0.0, 0.0], ""),
    ],
)
def test_a_plain_mend_is_made_and_told(text: str, value: Any, note: str) -> None:
    mended, told = parse_lenient(text.encode())
    assert mended == value
    assert told == note if not note else note in told
    assert list(mended) == list(value) if isinstance(value, dict) else True
    check_storable(mended)


def test_several_mends_are_told_together() -> None:
    _, told = parse_lenient(rb'{"a": NaN, "a": "\u0000\ud800"}', "none-such")
    assert len(told.split("; ")) == 5


def test_a_surrogate_that_stands_alone_in_utf_16_is_mended_too() -> None:
    body = '["a\ud800b"]'.encode("utf-16-le", "surrogatepass")
    assert parse_lenient(body, "utf-16") == (["a\ufffdb"], "lone surrogates became U+FFFD (1)")


@pytest.mark.parametrize(
    ("body", "charset", "detail"),
    [
        (b'{"a": 1', "", "line 1, column 8"),
        (b"{'a': 1}", "", "line 1, column 2"),
        (b'{"a": 1,}', "", "line 1, column"),
        (b"{} {}", "", "line 1, column 4"),
        (b"<html>", "", "line 1, column 1"),
        (b")]}'\n{}", "", "line 1, column 1"),
        (b'["a\nb"]', "", "line 1, column"),
        (b"  ", "", "line 1"),
        ('["é"]'.encode("latin-1"), "", "byte 2 is not UTF-8"),
        ('["é"]'.encode("latin-1"), "us-ascii", "byte 2 is not UTF-8"),
        (b'["\x81"]', "shift_jis", "is not SHIFT-JIS"),
        (b'[\x00"\x00x', "utf-16", "not UTF-16"),
        (b"[" * 101 + b"]" * 101, "", "nested deeper"),
        (b"[" * 100_000, "", "nested deeper"),
        (b'{"a":' * 102 + b"1" + b"}" * 102, "", "nested deeper"),
        (b"[" + b"1" * 5000 + b"]", "", "too many digits"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, charset: str, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_lenient(body, charset)
    assert detail in caught.value.detail
    assert caught.value.type == "broken-json"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}', [{"a": 1}]),
        (b'1\r\n\r\n"\xe2\x80\xa8"\r\n', [1, "\u2028"]),
        (b'\x1e{"a":\n1}\n\x1e2\n', [{"a": 1}, 2]),
        (b'\xef\xbb\xbf{"a": NaN}\n', [{"a": None}]),
    ],
)
def test_lines_are_values_of_their_own(body: bytes, value: Any) -> None:
    assert parse_lenient(body, lines=True)[0] == value
    with pytest.raises(Rejected):
        parse_lenient(body + b"\n{", lines=True)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["", "utf-8", "utf-16", "latin-1", "utf-7", "shift_jis", "none"]))
def test_any_bytes_are_storable_json_or_refused(body: bytes, charset: str) -> None:
    assert isinstance(decode_text(body, charset), str)
    try:
        value, _ = parse_lenient(body, charset)
    except Rejected:
        return
    check_storable(value)
    json.dumps(value, allow_nan=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(JSON, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"]))
def test_sound_json_is_what_it_was(value: Any, ascii_only: bool, encoding: str) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(encoding)
    assert parse_lenient(body, encoding) == (value, "")


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b"\xef\xbb\xbfa", "", "a"),
        ("é".encode("latin-1"), "latin-1", "é"),
        (b"\x80", "iso-8859-1", "€"),
        (b"\x81", "windows-1252", "\x81"),
        ("é".encode("utf-16"), "", "é"),
        (b"\xff", "", "\ufffd"),
        (b"a", "punycode", "a"),
    ],
)
def test_texts_are_read_too(body: bytes, charset: str, text: str) -> None:
    assert decode_text(body, charset) == text
