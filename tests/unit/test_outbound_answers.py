"""What answers say beside their bodies, and how these are encoded: as browsers read them."""

import gzip
import zlib
from itertools import pairwise

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.errors import Rejected, TooLarge, UnsupportedMedia
from taskhub.outbound.answer_bodies import AnswerBody
from taskhub.outbound.answer_heads import ContradictoryLength, HeadReader, OversizedHead, mended_head
from taskhub.outbound.answers import HEADER_MAX_BYTES, redirect_address

OK = b"HTTP/1.1 200 OK"
FIVE = b"Content-Length: 5"


def head(*lines: bytes, end: bytes = b"\r\n") -> bytes:
    return end.join([*lines, b"", b""])


@pytest.mark.parametrize(
    ("given_head", "mended", "length"),
    [
        (head(OK, FIVE), head(OK, FIVE), 5),
        (head(OK, FIVE, b"content-length:5"), head(OK, FIVE), 5),
        (head(OK, b"Content-Length: 5, 5"), head(OK, FIVE), 5),
        (head(OK, b"Content-Length: 05", FIVE), head(OK, FIVE), 5),
        (head(OK, b"Content-Length:"), head(OK), None),
        (head(OK, b"Content-Length: -1"), head(OK), None),
        (head(OK, b"Content-Length: 5.0"), head(OK), None),
        (
            head(OK, FIVE, b"Transfer-Encoding: chunked"),
            head(OK, b"Transfer-Encoding: chunked"),
            None,
        ),
        (head(OK, FIVE, b"Transfer-Encoding: identity"), head(OK, FIVE), 5),
        (head(OK, FIVE, end=b"\n"), head(OK, FIVE), 5),
        (head(OK, b"a line that is no header", FIVE), head(OK, FIVE), 5),
        (head(OK, b"X Odd: a", b": a", b"X-\xe9: a", FIVE), head(OK, FIVE), 5),
        (head(OK, b"X-A : b", FIVE), head(OK, b"X-A: b", FIVE), 5),
        (head(OK, b"X-A: b", b"  c", b"\td", FIVE), head(OK, b"X-A: b c d", FIVE), 5),
        (head(OK, b"X-A: b\0c\rd", FIVE), head(OK, b"X-A: bcd", FIVE), 5),
        (head(OK, "X-A: café".encode(), FIVE), head(OK, "X-A: café".encode(), FIVE), 5),
        (head(b"http/1.1 200 OK", FIVE), head(OK, FIVE), 5),
        (head(b"HTTP/2 200 OK", FIVE), head(OK, FIVE), 5),
        (head(b"HTTP/1.1  200  OK", FIVE), head(OK, FIVE), 5),
        (head(b"ICY 200 OK", FIVE), head(OK, FIVE), 5),
        (head(b"HTTP/1.0 200 OK", FIVE, FIVE), head(b"HTTP/1.0 200 OK", FIVE), 5),
        (head(b"HTTP/1.1 204 None", FIVE), head(b"HTTP/1.1 204 None", FIVE), 0),
        (head(b"SSH-2.0-OpenSSH", FIVE), head(b"SSH-2.0-OpenSSH", FIVE), 5),  # no HTTP: refused by who reads it
    ],
)
def test_a_head_is_mended(given_head: bytes, mended: bytes, length: int | None) -> None:
    assert mended_head(given_head) == (mended, length)


@pytest.mark.parametrize(
    "lines",
    [
        [FIVE, b"Content-Length: 6"],
        [b"Content-Length: 5, 6"],
        [FIVE, b"Content-Length: five"],
    ],
)
def test_lengths_that_differ_are_contradictory(lines: list[bytes]) -> None:
    with pytest.raises(ContradictoryLength):
        mended_head(head(OK, *lines))


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-A: " + b"a" * HEADER_MAX_BYTES],
        [b"X-%d: " % number + b"a" * 60_000 for number in range(5)],
        [b"a: b"] * 3000,
    ],
    ids=["a line", "all", "too many"],
)
def test_heads_have_limits(lines: list[bytes]) -> None:
    with pytest.raises(OversizedHead):
        mended_head(head(OK, *lines))


def test_long_heads_are_taken() -> None:
    lines = [b"X-%d: " % number + b"a" * (HEADER_MAX_BYTES - 5) for number in range(3)]
    assert mended_head(head(OK, *lines, FIVE)) == (head(OK, *lines, FIVE), 5)


INTERIM = head(b"HTTP/1.1 103 Early Hints", b"Link: </a>")


@given(
    st.sampled_from([head(OK, FIVE), head(OK, FIVE, FIVE), b"\r\n" + INTERIM + INTERIM + head(OK, FIVE, end=b"\n")]),
    st.sampled_from([b"hello", b"hello and more"]),
    st.lists(st.integers(0, 80), max_size=5),
)
def test_however_it_arrives_an_answer_is_the_same(given_head: bytes, body: bytes, cuts: list[int]) -> None:
    answer, reader = given_head + body, HeadReader()
    places = sorted({0, len(answer), *(min(cut, len(answer)) for cut in cuts)})
    read = b"".join(reader.feed(answer[start:end]) for start, end in pairwise(places))
    assert read == (INTERIM * 2 if b"103" in given_head else b"") + head(OK, FIVE) + b"hello"
    assert reader.overlong == (body != b"hello")


def test_a_head_without_an_end_is_too_much() -> None:
    reader = HeadReader()
    assert reader.feed(b"X-A: " + b"a" * 250_000) == b""
    with pytest.raises(OversizedHead):
        reader.feed(b"a" * 13_000)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        (b"/a", "http://h/a"),
        (b" /a b ", "http://h/a%20b"),
        (b"/caf\xe9", "http://h/caf%E9"),
        ("/café".encode(), "http://h/caf%C3%A9"),
        ("/ü?q=ü".encode(), "http://h/%C3%BC?q=%C3%BC"),
        (b"/a%20b?c=d e&f=%26", "http://h/a%20b?c=d%20e&f=%26"),
        (b'/"<>`{}', "http://h/%22%3C%3E%60%7B%7D"),
        (b"/a#part", "http://h/a"),
        (b"?page=2", "http://h/dir/x?page=2"),
        (b"y", "http://h/dir/y"),
        (b"//other/z", "http://other/z"),
        (b"https:\\\\other\\z?a\\b", "https://other/z?a\\b"),
        (b"/a\r\n\tb", "http://h/ab"),
        ("http://bücher.example/ü".encode(), "http://bücher.example/%C3%BC"),
        (b"", "http://h/dir/x"),
        (b"http://h:80@10.0.0.1/", "http://h:80@10.0.0.1/"),  # which the gate refuses
    ],
)
def test_where_a_location_leads(location: bytes, leads_to: str) -> None:
    assert redirect_address("http://h/dir/x", location) == leads_to


PAGE = b"<p>page</p>" * 50
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(PAGE) + RAW.flush()


def decoded(body: bytes, coding: str, limit: int = 10_000, step: int = 7) -> bytes:
    reader = AnswerBody(coding, limit)
    pieces = [piece for start in range(0, len(body), step) for piece in reader.feed(body[start : start + step])]
    reader.finish()
    reader.close()
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("", PAGE),
        ("identity", PAGE),
        ("utf-8", PAGE),
        ("UTF-8, none", PAGE),
        ("binary", PAGE),
        ("gzip", gzip.compress(PAGE, mtime=0)),
        ("GZIP ", gzip.compress(PAGE, mtime=0)),
        ('"gzip"', gzip.compress(PAGE, mtime=0)),
        ("x-gzip", gzip.compress(PAGE, mtime=0)),
        ("gzip, utf-8", gzip.compress(PAGE, mtime=0)),
        ("identity, gzip", gzip.compress(PAGE, mtime=0)),
        ("gzip, gzip", gzip.compress(gzip.compress(PAGE, mtime=0), mtime=0)),
        ("gzip, br", brotli.compress(gzip.compress(PAGE, mtime=0))),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", RAW_DEFLATE),
        ("deflate, gzip", gzip.compress(zlib.compress(PAGE), mtime=0)),
        ("br", brotli.compress(PAGE)),
        ("gzip", gzip.compress(PAGE, mtime=0) + b"\0\0\0"),
        ("gzip", gzip.compress(PAGE, mtime=0) + b"<!-- behind -->"),
        ("gzip", gzip.compress(PAGE[:300], mtime=0) + gzip.compress(PAGE[300:], mtime=0)),
        ("deflate", zlib.compress(PAGE) + b"\r\n"),
        ("deflate", RAW_DEFLATE + b"\r\n"),
        ("br", brotli.compress(PAGE) + b"\r\n"),
        ("br, gzip", gzip.compress(brotli.compress(PAGE) + b"\0", mtime=0)),
    ],
)
def test_a_body_is_decoded(coding: str, body: bytes) -> None:
    assert [decoded(body, coding, step=step) for step in (1, 7, 30, 100_000)] == [PAGE] * 4


@pytest.mark.parametrize("coding", ["compress", "gzip, compress", "zstd, exi", ", ".join(["gzip"] * 6)])
def test_codings_that_are_not_read(coding: str) -> None:
    with pytest.raises(UnsupportedMedia):
        AnswerBody(coding, 100)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", PAGE),
        ("gzip", gzip.compress(PAGE, mtime=0)[:-20]),
        ("gzip", gzip.compress(PAGE, mtime=0) + gzip.compress(PAGE, mtime=0)[:-9]),
        ("deflate", zlib.compress(PAGE)[:-6]),
        ("br", b"\xff" * 20),
        ("br", brotli.compress(PAGE)[:-3] + b"\xff" * 20),
        ("gzip, gzip", gzip.compress(PAGE, mtime=0)),
    ],
)
def test_broken_bodies_are_told(coding: str, body: bytes) -> None:
    for step in (7, 100_000):
        with pytest.raises(Rejected):
            decoded(body, coding, step=step)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "deflate, gzip"])
def test_every_layer_has_the_limit(coding: str) -> None:
    body = bytes(1_000_000)
    for name in coding.split(", "):
        body = gzip.compress(body) if name == "gzip" else zlib.compress(body)
    with pytest.raises(TooLarge):
        decoded(body, coding)


def test_what_stands_behind_the_end_lifts_no_limit() -> None:
    body = brotli.compress(bytes(50_000_000)) + b"\0"
    with pytest.raises(TooLarge):
        decoded(body, "br", step=len(body))
