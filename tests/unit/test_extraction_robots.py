"""robots.txt as sites write it: encodings, ends of lines, and pages that are none."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from extraction.fetch.robots import AGENT, robots_text

RULES = "User-agent: *\nDisallow: /private\nDisallow: /café\nAllow: /private/open\n"
BYTES = RULES.encode()


def allows(body: bytes, path: str) -> bool:
    return bool(Protego.parse(robots_text(body)).can_fetch(f"http://h{path}", AGENT))


@pytest.mark.parametrize(
    "body",
    [
        BYTES,
        codecs.BOM_UTF8 + BYTES,
        codecs.BOM_UTF8 + b"\n\n" + BYTES,
        codecs.BOM_UTF8 + codecs.BOM_UTF8 + BYTES,
        BYTES.replace(b"\n", b"\r\n"),
        BYTES.replace(b"\n", b"\r"),
        BYTES.replace(b"\n", b"\n\r\n"),
        codecs.BOM_UTF16_LE + RULES.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + RULES.encode("utf-16-be"),
        RULES.encode("utf-16-le"),
        RULES.encode("utf-16-be"),
        b"# rem\xe9\n" + BYTES,
        BYTES.replace(b"User-agent: *", b"USER-AGENT : *"),
        BYTES.replace(b"User-agent: *", b"User-agent: TaskHub"),
        BYTES.replace(b"User-agent: *", b"User-agent: other/2\nUser-agent: TaskHub/1.0 # ours"),
        BYTES.removesuffix(b"\n"),
    ],
)
def test_rules_are_read(body: bytes) -> None:
    assert [allows(body, path) for path in ("/private/a", "/private/open", "/", "/caf%C3%A9")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_path_counts_in_any_encoding() -> None:
    body = "User-agent: *\nDisallow: /café\n".encode("latin-1")
    assert not allows(body, "/caf%E9")
    assert allows(body, "/caf")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"<!DOCTYPE html><pre>\nUser-agent: *\nDisallow: /\n</pre>",
        codecs.BOM_UTF8 + b" \n<html>\nUser-agent: *\nDisallow: /\n",
        b"not found",
        b'{"error": "not found"}',
        b"Disallow: /\n",  # for nobody
    ],
)
def test_what_forbids_nothing(body: bytes) -> None:
    assert allows(body, "/private")


@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda data: b"User-agent: *\nDisallow: /" + data))
)
def test_any_bytes_are_read(body: bytes) -> None:
    assert allows(body, "/private") in (True, False)
