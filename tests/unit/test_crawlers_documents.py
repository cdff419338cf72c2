"""Uploads line by line: cut, parsed, checked; and decompressed before that."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.domain.documents import DocumentReader, DocumentSchema, InvalidDocument, InvalidSchema, LineSplitter
from taskhub.decompression import decoder_of, decompress
from taskhub.errors import Problem, Rejected, TooLarge, UnsupportedMedia

PACKERS: dict[str, Any] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=2),
    "zstd": lambda data: zstd.compress(data[:5]) + zstd.compress(data[5:]),
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[place : place + size] for place in range(0, len(data), size))


def cut(data: bytes, size: int, limit: int = 1000) -> list[bytes]:
    splitter, lines = LineSplitter(limit), list[bytes]()
    for piece in pieces(data, size):
        complete = splitter.feed(piece)
        assert splitter.lines_before == len(lines)
        lines += complete
    return lines + splitter.finish()


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"bc"])), st.integers(1, 5))
def test_lines_are_cut_alike_however_they_arrive(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    assert cut(data, size) == data.splitlines()


def test_a_long_line_is_refused_before_it_has_ended() -> None:
    with pytest.raises(TooLarge, match="Line 2 has 198 bytes or more; 100 are allowed") as caught:
        cut(b"a\n" + b"b" * 1000, 100, limit=100)
    assert caught.value.members["limit"] == 100
    assert caught.value.errors[0]["line"] == 2
    with pytest.raises(TooLarge, match="Line 1"):
        cut(b"b" * 101 + b"\n", 1000, limit=100)


def test_a_long_line_in_small_pieces_is_looked_at_once() -> None:
    """Were it looked at with each piece, a million pieces would take hours."""
    line = b'{"a": "' + b"x" * 10_000_000 + b'"}'
    assert cut(line + b"\n" + line, 8, limit=11_000_000) == [line, line]
    with pytest.raises(TooLarge, match="Line 1 has 10000008 bytes or more"):
        cut(line, 8, limit=10_000_000)


def key(line: bytes, field: str = "id", schema: Any = None) -> bytes:
    return DocumentReader(schema and DocumentSchema(schema), field).read_key(line, 7)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id": 1}', b"1"),
        (b'{"id": "1"}', b'"1"'),
        (b'{"id": "\\u0105"}', '"ą"'.encode()),
        (b'{"id": true}', b"true"),
        (b'{"id": 1.50}', b"1.5"),
        (b'{"id": 12345678901234567890123}', b"12345678901234567890123"),
        (b'{"id": {"b": 1, "a": [2]}}', b'{"a":[2],"b":1}'),
    ],
)
def test_a_documents_key_is_its_id_as_json(line: bytes, expected: bytes) -> None:
    assert key(line) == expected


def test_without_an_id_the_content_is_the_key() -> None:
    assert key(b'{"a": 1, "b": 2}') == key(b'{"b":2,"a":1}')
    assert key(b'{"a": 1}') != key(b'{"a": 2}')
    assert key(b'{"a": 1}', field="").startswith(b"#")
    assert key(b'{"a": 12345678901234567890123}') != key(b'{"a": 12345678901234567890124}')
    assert key(json.dumps({"id": "x" * 5000}).encode()).startswith(b"~")


@pytest.mark.parametrize(
    ("line", "column", "detail"),
    [
        (b'{"a": 1', 8, "end of data"),
        (b'{"a": NaN}', 7, "unexpected"),
        (b'{"a": 1e999}', 7, "infinity"),
        (b'{"a": "\\ud800"}', 8, "surrogate"),
        (b'{"a": "\xff"}', 1, "UTF-8"),
        (b'{"a": 1, "a": 2}', 1, "stands twice"),
        (b'{"a" : 1, "a" :2}', 1, "stands twice"),
        (b'{"a": 1} x', 10, "after document"),
        (b"{'a': 1}", 2, ""),
    ],
)
def test_broken_json_is_named_by_line_and_column(line: bytes, column: int, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        key(line)
    (place,) = caught.value.errors
    assert (place["line"], place["column"]) == (7, column)
    assert detail in place["detail"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[]", "Must be an object, not a list."),
        (b'"a"', "not a text"),
        (b"5", "not a number"),
        (b"null", "not null"),
        (b'{"a": "\\u0000"}', "U+0000"),
        (b'{"a": 0.' + b"1" * 2000 + b"}", "more than 1000 digits"),
    ],
)
def test_json_that_is_no_document(line: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        key(line)
    assert reason in str(caught.value)


def test_what_only_looks_dangerous_is_taken() -> None:
    assert key(b'{"id": 1, "a": "' + b"1" * 2000 + b'"}') == b"1"
    assert key(b'{"id": 1, "a": "x \\" : y", "b": {"a": [{"a": 1}]}}') == b"1"
    assert key(b'{"id": 1, "a": "\\\\u0000"}') == b"1"


@pytest.mark.parametrize("depth", [101, 100_000])
def test_deep_nesting_is_too_large(depth: int) -> None:
    with pytest.raises(TooLarge) as caught:
        key(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")
    assert caught.value.members["limit"] == 100


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:1eE.-\\u0 ntf', max_size=40).map(str.encode))
@settings(max_examples=300)
def test_no_line_breaks_the_reader(line: bytes) -> None:
    try:
        DocumentReader(None, "a").read_key(line, 1)
    except (Problem, InvalidDocument):
        return
    assert isinstance(json.loads(line), dict)


# Schemas


def reasons(schema: Any) -> Callable[[Any], str]:
    """Says why a document does not match; nothing when it does."""
    compiled = DocumentSchema(schema)
    return lambda document: "" if compiled.is_valid(document) else compiled.explain(document)


@pytest.mark.parametrize(
    "draft", ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
)
def test_both_drafts_are_checked(draft: str) -> None:
    explain = reasons({"$schema": draft, "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]})
    assert explain({"a": 3}) == ""
    assert explain({"a": "x"}) == '/a: "x" is not of type "integer"'
    assert explain({"a": 2}) == "/a: 2 is less than the minimum of 3"
    assert '"a" is a required property' in explain({})


def test_drafts_differ() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"items": [{"type": "integer"}]}}}
    new = {"properties": {"a": {"prefixItems": [{"type": "integer"}]}}}
    for schema in (old, new):
        assert reasons(schema)({"a": ["x"]}) == '/a/0: "x" is not of type "integer"'


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nothing"}, "/type"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "must be one of"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "not fetched"),
        ({"$ref": "#/nowhere"}, "does not exist"),
        ({"properties": {"a": {"pattern": "(a"}}}, "regex"),
        ({"properties": {"a": {"pattern": "(?<=a)b"}}}, ""),
    ],
)
def test_a_schema_that_cannot_be_used_says_why(schema: Any, words: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        DocumentSchema(schema)
    assert words in str(caught.value)


def test_patterns_take_time_that_grows_with_the_text_alone() -> None:
    explain = reasons({"properties": {"a": {"pattern": "^(a+)+$"}}})
    assert explain({"a": "a" * 50_000 + "b"})


# Encodings


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=300), st.integers(1, 50))
def test_what_was_packed_is_unpacked(encoding: str, data: bytes, size: int) -> None:
    packed = PACKERS[encoding](data)
    assert b"".join(decompress(pieces(packed, size), decoder_of(encoding), 1000)) == data


def test_deflate_without_its_frame() -> None:
    packed = zlib.compress(b"hello hello")[2:-4]
    assert b"".join(decompress(pieces(packed, 3), decoder_of("deflate"), 1000)) == b"hello hello"


@pytest.mark.parametrize("encoding", sorted(set(PACKERS) - {"identity"}))
def test_what_is_cut_off_is_refused_wherever_it_is(encoding: str) -> None:
    packed = PACKERS[encoding](json.dumps({"a": list(range(50))}).encode())
    whole = set()
    for end in range(1, len(packed)):
        try:
            list(decompress(pieces(packed[:end], 7), decoder_of(encoding), 1000))
        except Rejected:
            continue
        whole.add(end)
    members: dict[str, Any] = {
        "x-gzip": gzip.compress,
        "zstd": zstd.compress,
    }  # several in a row: each of them is whole
    assert whole == ({len(members[encoding](b'{"a":'))} if encoding in members else set())


@pytest.mark.parametrize("encoding", sorted(set(PACKERS) - {"identity"}))
def test_bombs_and_rubbish(encoding: str) -> None:
    bomb = PACKERS[encoding](bytes(30_000_000))
    with pytest.raises(TooLarge, match="are allowed"):
        list(decompress(pieces(bomb, 65536), decoder_of(encoding), 10**9))
    with pytest.raises(Rejected, match="broken after"):
        list(decompress(iter([b"no such thing at all"]), decoder_of(encoding), 1000))
    with pytest.raises(TooLarge, match="1000 bytes"):
        list(decompress(iter([PACKERS[encoding](bytes(range(256)) * 8)]), decoder_of(encoding), 1000))


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "nonsense", "GZIP;q=1"])
def test_unknown_encodings(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="gzip, deflate, br and zstd"):
        decoder_of(encoding)
