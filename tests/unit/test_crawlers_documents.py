"""Uploads line by line: cut, parsed, checked; and decompressed before that."""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Context, Decimal
from typing import Any

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.domain.documents import DocumentReader, LineSplitter
from crawlers.domain.line_faults import InvalidDocument, refuse_other_formats
from taskhub.decompression import LARGE_WINDOWS_AT_ONCE, BodyDecompressor, decoder_of, decompress
from taskhub.errors import Problem, Rejected, TooLarge, Unavailable, UnsupportedMedia
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema

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
    assert cut(line + b"\n{}", 8, limit=11_000_000) == [line, b"{}"]
    with pytest.raises(TooLarge, match="Line 1 has 1000008 bytes or more"):
        cut(line, 8, limit=1_000_000)


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
        (b'{"id": 1.0}', b"1"),
        (b'{"id": 10e-1}', b"1"),
        (b'{"id": -0.0}', b"0"),
        (b'{"id": 0.10000000000000000001}', b"0.10000000000000000001"),
        (b'{"id": 1e-400}', b"1E-400"),
    ],
)
def test_a_documents_key_is_its_id_as_json(line: bytes, expected: bytes) -> None:
    assert key(line) == expected


def test_without_an_id_the_content_is_the_key() -> None:
    assert key(b'{"a": 1}', field="").startswith(b"#")
    assert key(json.dumps({"id": "x" * 5000}).encode()).startswith(b"~")


SAME_CONTENT = [
    [b'{"a": 1, "b": 2}', b'{"b":2,"a":1}', b'{"b":2.0,"a":1e0}', b'{"a":10e-1,"b":0.2E+1}', b'{"\\u0061": 1, "b": 2}'],
    [b'{"a": 0}', b'{"a": -0}', b'{"a": 0.0}', b'{"a": -0.0e5}', b'{"a": 0e-300}'],
    [b'{"a": 0.5}', b'{"a": 0.50}', b'{"a": 5e-1}', b'{"a": 0.5000000000000000000000}'],
    [b'{"a": 0.05}', b'{"a": 5e-2}', b'{"a": 0.0500}'],
    [b'{"a": 1234567890123456789}', b'{"a": 1234567890123456789.0}', b'{"a": 1.234567890123456789e18}'],
    [b'{"b": 12345678901234567890123, "a": 1}', b'{"a": 1.0, "b": 1234567890123456789012.3e1}'],
    [b'{"b": 0.12345678901234567890123, "a": "\\u00e9"}', '{"a": "é", "b": 12345678901234567890123e-23}'.encode()],
    [b'{"a": 1e300}', b'{"a": 1' + b"0" * 300 + b"}", b'{"a": 10.0E299}'],
    [b'{"a": [1.0, {"c": "\\/\\n", "b": 1e2}]}', b'{"a": [1, {"b": 100, "c": "/\\u000A"}]}'],
]
OTHER_CONTENT = [
    (b'{"a": 12345678901234567890123}', b'{"a": 12345678901234567890124}'),
    (b'{"a": 0.1}', b'{"a": 0.10000000000000000001}'),
    (b'{"a": 123456789012345.12345}', b'{"a": 123456789012345.12346}'),
    (b'{"a": 1e-400}', b'{"a": 0}'),
    (b'{"a": 1}', b'{"a": "1"}'),
    (b'{"a": 1}', b'{"a": -1}'),
    (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
    (b'{"a": "1.0"}', b'{"a": "1"}'),
]


@pytest.mark.parametrize("lines", SAME_CONTENT)
def test_one_value_is_one_document_however_it_is_written(lines: list[bytes]) -> None:
    assert len({key(line) for line in lines}) == 1


@pytest.mark.parametrize(("one", "other"), OTHER_CONTENT)
def test_another_value_is_another_document(one: bytes, other: bytes) -> None:
    assert key(one) != key(other)


_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**25), max_value=10**25, places=6)


@given(st.dictionaries(st.sampled_from("abc"), _NUMBERS, min_size=1), st.integers(-9, 9), st.booleans())
def test_numbers_are_the_same_with_any_exponent(numbers: dict[str, Decimal], exponent: int, backwards: bool) -> None:
    names = sorted(numbers, reverse=backwards)
    plain = ",".join(f'"{name}":{numbers[name]:f}' for name in numbers)
    scaled = ",".join(f'"{name}":{numbers[name].scaleb(-exponent, Context(prec=60)):f}e{exponent}' for name in names)
    assert key(f"{{{plain}}}".encode()) == key(f"{{{scaled}}}".encode())


@pytest.mark.parametrize(
    ("line", "column", "detail"),
    [
        (b'{"a": 1', 8, "end of data"),
        (b'{"a": NaN}', 7, "unexpected"),
        (b'{"a": "\xff"}', 8, "0xff is not UTF-8"),
        ('{"ą": "ą'.encode() + b'\xc0\xaf"}', 9, "0xc0 is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', 8, "0xed is not UTF-8"),
        (b"\xff", 1, "0xff is not UTF-8"),
        (b'{"a": 1, "a": 2}', 10, "stands twice"),
        (b'{"a" : 1, "a" :2}', 11, "stands twice"),
        (b'{"a": 1, "\\u0061": 2}', 10, "'a' stands twice"),
        (b'{"a": [{"b": ":", "c": {"b": 1}}, {"b": 1, "b": 2}]}', 44, "'b' stands twice"),
        ('{"ą": 1, "x": {"ą": 1}, "ą": 2}'.encode(), 25, "'ą' stands twice"),
        (b'{"a": 1e999, "b": NaN}', 19, "NaN"),
        (b'{"a": 1e999', 12, ""),
        (b'{"a": "\\ud800", "b": 1 2}', 24, ""),
        (b'{"a": 1e999, "a": 1}', 14, "stands twice"),
        (b'{"a": 1}{"a": 2}', 9, "one object a line"),
        (b"{", 2, "one object a line"),
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


def test_documents_whose_line_ends_were_lost_are_told_where() -> None:
    with pytest.raises(Rejected, match="--data-binary keeps them"):
        DocumentReader(None, "").read_key(b'{"a": 1}{"a": 2}', 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[]", "Must be an object, not a list."),
        (b'"a"', "not a text"),
        (b"5", "not a number"),
        (b"null", "not null"),
        (b'{"a": "\\u0000"}', "U+0000"),
        (b'{"a": 1e400}', "out of range"),
        (b'{"a": -1e400}', "out of range"),
        (b'{"a": ' + b"9" * 400 + b"}", "out of range"),
        (b'{"a": 0e2000000000}', "out of range"),
        (b'{"a": 0.0E+99999999999}', "out of range"),
        (b'{"a": 1e-20000}', "16383 digits"),
        (b'{"a": [{"b": 1.5E-16383}]}', "16383 digits"),
        (b'{"a": 0e-16384}', "16383 digits"),
        (b'{"a": 0.' + b"1" * 16384 + b"}", "16383 digits"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\udc00\\ud800"}', "surrogate"),
        (b'{"\\ud83dx": 1}', "surrogate"),
    ],
)
def test_json_that_is_no_document(line: bytes, reason: str) -> None:
    for field in ("id", "a"):
        with pytest.raises(InvalidDocument) as caught:
            key(line, field)
        assert reason in str(caught.value)


def test_what_only_looks_dangerous_is_taken() -> None:
    assert key(b'{"id": 1, "a": "' + b"1" * 2000 + b'"}') == b"1"
    assert key(b'{"id": 1, "a": "x \\" : y", "b": {"a": [{"a": 1}]}}') == b"1"
    assert key(b'{"id": 1, "a": "\\\\u0000"}') == b"1"
    assert key(b'{"id": 1, "a": "1e-20000", "b": 1e-16383, "c": "0e2000000000", "d": 0.' + b"1" * 16383 + b"}") == b"1"
    assert key(b'{"id": 1, "a": "\\ud83d\\ude00", "b": "\\\\ud800", "c": 0e200000, "d": -0, "e": 1e308}') == b"1"


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b'[{"a": 1},', "JSON array"),
        (b'[{"a": 1}]', "JSON array"),
        (b"[", "JSON array"),
        (b"--boundary", "multipart"),
        (b"<documents>", "XML"),
        (gzip.compress(b"{}", mtime=0), "gzip"),
        (zstd.compress(b"{}"), "Zstandard"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (b'\x1e{"a": 1}', "text sequence"),
        (b"PK\x03\x04", "ZIP"),
    ],
)
def test_a_body_of_another_format_is_told_what_ndjson_is(first: bytes, name: str) -> None:
    with pytest.raises(Rejected, match="newline-delimited JSON") as caught:
        refuse_other_formats(first, 3)
    assert name in caught.value.detail
    assert caught.value.errors[0]["line"] == 3


@pytest.mark.parametrize("first", [b"{}", b"[]", b"[1, 2]", b"5", b"null", b"-5", b'"a"', b"x"])
def test_other_first_lines_are_read_as_lines(first: bytes) -> None:
    refuse_other_formats(first, 1)


@pytest.mark.parametrize("depth", [101, 100_000])
def test_deep_nesting_is_too_large(depth: int) -> None:
    with pytest.raises(TooLarge) as caught:
        key(b'{"a": ' + b"[" * depth + b"]" * depth + b"}")
    assert caught.value.members["limit"] == 100


@pytest.mark.parametrize("rest", [b'{"a": 1}', b"", b"{", b"[]", b'{"a": "\\ud800"}'])
def test_a_byte_order_mark_in_the_middle_of_a_body_is_told(rest: bytes) -> None:
    with pytest.raises(Rejected, match="Line 7, column 1: a byte order mark") as caught:
        DocumentReader(None, "a").read_key(codecs.BOM_UTF8 + rest, 7)
    assert caught.value.errors[0]["line"] == 7


@pytest.mark.parametrize(("line", "turns"), [(b'{"a": 1}', 0), (b'{"a": 1, "b": "' + b"x" * 2_000_000 + b'"}', 2)])
def test_what_may_take_long_is_checked_and_explained_in_slow_turns(line: bytes, turns: int) -> None:
    begun = list[bool]()

    @contextmanager
    def slow_turn() -> Iterator[None]:
        begun.append(True)
        yield

    schema = DocumentSchema({"properties": {"a": {"type": "string"}}})
    with pytest.raises(InvalidDocument) as caught:
        DocumentReader(schema, "id", slow_turn).read_key(line, 1)
    assert str(caught.value) == '/a: 1 is not of type "string"'
    assert len(begun) == turns


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


DRAFTS = [
    *("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema#"),
    *("http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-07/schema"),
    *("https://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-04/schema#"),
]


@pytest.mark.parametrize("draft", DRAFTS)
def test_all_drafts_are_checked(draft: str) -> None:
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
    more = {"properties": {"a": {"minimum": 3, "exclusiveMinimum": True}}}
    assert reasons({"$schema": "http://json-schema.org/draft-04/schema#", **more})({"a": 3})
    with pytest.raises(InvalidSchema, match="exclusiveMinimum"):
        DocumentSchema(more)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nothing"}, "/type"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "must be of draft 4, 6, 7, 2019-09 or 2020-12"),
        ({"$schema": 7}, "must be of draft"),
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


def unpack(encoding: str, chunks: Iterator[bytes], limit: int = 1000) -> bytes:
    return b"".join(decompress(chunks, BodyDecompressor(decoder_of(encoding), limit)))


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=300), st.integers(1, 50))
def test_what_was_packed_is_unpacked(encoding: str, data: bytes, size: int) -> None:
    packed = PACKERS[encoding](data)
    assert unpack(encoding, pieces(packed, size), 1000) == data


def test_deflate_without_its_frame() -> None:
    packed = zlib.compress(b"hello hello")[2:-4]
    assert unpack("deflate", pieces(packed, 3), 1000) == b"hello hello"


@pytest.mark.parametrize("encoding", sorted(set(PACKERS) - {"identity"}))
def test_what_is_cut_off_is_refused_wherever_it_is(encoding: str) -> None:
    packed = PACKERS[encoding](json.dumps({"a": list(range(50))}).encode())
    whole = set()
    for end in range(1, len(packed)):
        try:
            unpack(encoding, pieces(packed[:end], 7), 1000)
        except Rejected:
            continue
        whole.add(end)
    members: dict[str, Any] = {
        "x-gzip": gzip.compress,
        "zstd": zstd.compress,
    }  # several in a row: each of them is whole
    assert whole == ({len(members[encoding](b'{"a":'))} if encoding in members else set())


@pytest.mark.parametrize("encoding", sorted(set(PACKERS) - {"identity"}))
def test_too_much_and_rubbish(encoding: str) -> None:
    with pytest.raises(Rejected, match="broken after"):
        unpack(encoding, iter([b"no such thing at all"]))
    with pytest.raises(TooLarge, match="1000 bytes"):
        unpack(encoding, iter([PACKERS[encoding](bytes(range(256)) * 8)]), 1000)


@pytest.mark.parametrize("encoding", sorted(set(PACKERS) - {"identity"}))
def test_the_unpacked_bytes_decide_and_not_how_well_they_pack(encoding: str) -> None:
    readings = b'{"sensor": "a", "at": "2026-01-31T12:00:00Z", "value": 20.5}\n' * 200_000
    packed = PACKERS[encoding](readings)
    assert len(readings) > 250 * len(packed)
    assert unpack(encoding, pieces(packed, 65536), len(readings)) == readings
    with pytest.raises(TooLarge):
        unpack(encoding, pieces(packed, 65536), len(readings) - 1)


@given(st.integers(0, 300), st.integers(1, 50))
def test_zeros_behind_gzip_are_padding(zeros: int, size: int) -> None:
    padded = gzip.compress(b"hello") + bytes(zeros)
    assert unpack("gzip", pieces(padded, size)) == b"hello"
    assert unpack("gzip", pieces(padded + gzip.compress(b" hello"), size)) == b"hello hello"
    with pytest.raises(Rejected, match=r"broken after|before its end"):
        unpack("gzip", pieces(padded + b"garbage", size))


def windowed(data: bytes, log: int) -> bytes:
    """Zstandard of data whose size is not known beforehand, as a stream is packed."""
    parameter = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(options={parameter.window_log: log, parameter.compression_level: 1})
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("log", [10, 24, 25, 27])
def test_windows_of_zstandard_are_taken_up_to_128_mib(log: int, size: int) -> None:
    packed = windowed(b"hello " * 1000, log)
    assert unpack("zstd", pieces(packed * 2, size), 12_000) == b"hello " * 2000


def test_larger_windows_are_refused() -> None:
    head = bytearray(windowed(b"hello " * 1000, 27))
    head[5] = (28 - 10) << 3  # the descriptor of the window (RFC 8878, section 3.1.1.1.2)
    with pytest.raises(Rejected, match="memory"):
        unpack("zstd", iter([bytes(head)]), 12_000)


def test_large_windows_have_few_places_which_are_given_back() -> None:
    packed = windowed(b"hello " * 1000, 27)
    half = len(packed) // 2
    open_ones = [BodyDecompressor(decoder_of("zstd"), 10_000) for _ in range(LARGE_WINDOWS_AT_ONCE)]
    for one in open_ones:
        list(one.feed(packed[:half]))
    with pytest.raises(Unavailable):
        unpack("zstd", iter([packed]), 10_000)
    assert unpack("zstd", iter([windowed(b"small", 20)])) == b"small"
    for one in open_ones:
        one.close()
        one.close()
    for _ in range(LARGE_WINDOWS_AT_ONCE + 1):
        assert unpack("zstd", iter([packed]), 10_000) == b"hello " * 1000
        with pytest.raises(Rejected):
            unpack("zstd", iter([packed[:half]]), 10_000)


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "nonsense", "GZIP;q=1"])
def test_unknown_encodings(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="gzip, deflate, br and zstd"):
        decoder_of(encoding)
