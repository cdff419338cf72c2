"""What a page is, in which encoding, and where it leads at once: as browsers see it."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.page_refresh import meta_refresh_target, refresh_target
from extraction.fetch.page_text import decode_page, is_text


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0; url=/a", "/a"),
        ("0;URL=/a", "/a"),
        ("0;url='/a b'", "/a b"),
        ('0; url="/a";x', "/a"),
        ("0, url = /a", "/a"),
        ("0 url=/a", "/a"),
        ("0;/a", "/a"),
        (" 3.7 ; url=/a ", "/a"),
        (".5; url=/a", "/a"),
        ("0;url=?url=b", "?url=b"),
        ("0", None),
        ("0; url=", None),
        ("", None),
        ("url=/a", None),
        ("-1; url=/a", None),
        ("6; url=/a", None),
        ("600; url=/a", None),
    ],
)
def test_where_a_refresh_leads(content: str, target: str | None) -> None:
    assert refresh_target(content) == target


META = '<meta http-equiv="refresh" content="0; url=/a">'


@pytest.mark.parametrize(
    ("html", "target"),
    [
        (META, "/a"),
        (f"<!DOCTYPE html><html><head><title>wait</title>{META}</head>", "/a"),
        ("<META HTTP-EQUIV=Refresh CONTENT='0;URL=/a'/>", "/a"),
        ('<meta content="0; url=/a?b=1&amp;c=2" http-equiv="refresh">', "/a?b=1&c=2"),
        ('<meta\nhttp-equiv = "refresh"\ncontent = "0; url=/a">', "/a"),
        ('<meta name="x" content="a > b"><meta http-equiv="refresh" content="1;url=/a">', "/a"),
        (f"<noscript>{META}</noscript>", None),
        (f"<!-- {META} -->", None),
        (f"<script>document.write('{META}')</script>", None),
        (f"<title>{META}</title>", None),
        ('<meta name="refresh" content="0; url=/a">', None),
        ('<meta http-equiv="refresh" content="600; url=/a">', None),
        ("<p>how to refresh a page</p>", None),
    ],
)
def test_where_a_page_says_that_it_leads(html: str, target: str | None) -> None:
    assert meta_refresh_target(html) == target


@given(
    st.lists(
        st.sampled_from(["<meta ", "<meta", '"', "'", "<!--", "<script>", "=", "refresh", "x", ">", " "]), max_size=900
    )
)
def test_a_page_without_a_whole_element_leads_nowhere(pieces: list[str]) -> None:
    assert meta_refresh_target("".join(pieces) + "refresh") is None


CYRILLIC = "<p>Привет, мир</p>"


@pytest.mark.parametrize(
    "label",
    [
        "text/html; charset=windows-1251",
        "text/html;charset=Windows-1251",
        'text/html; charset="windows-1251"',
        "text/html; charset='windows-1251'",
        "text/html; charset = windows-1251",
        "text/html; charset:windows-1251",
        "text/html; Charset=CP1251; foo=bar",
        "text/html; charset=x-cp1251",
        "text/html; charset=win1251",
        "text/html,text/html; charset=windows-1251",
        "charset=windows-1251",
    ],
)
def test_spellings_of_a_charset(label: str) -> None:
    assert decode_page(CYRILLIC.encode("cp1251"), label) == CYRILLIC


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("iso-8859-1", "cp1252", "naïve “quoted” €"),
        ("latin-1", "cp1252", "naïve"),
        ("iso88592", "iso8859_2", "žluťoučký kůň"),
        ("iso-8859-8-i", "iso8859_8", "שלום"),
        ("koi8", "koi8_r", "Привет"),
        ("x-sjis", "cp932", "日本語テキスト"),
        ("x-euc-jp", "euc_jp", "日本語テキスト"),
        ("iso-2022-jp", "iso2022_jp", "日本語テキスト"),
        ("gb2312", "gb18030", "中文网页"),
        ("x-gbk", "gb18030", "中文网页"),
        ("big5", "big5hkscs", "繁體中文"),
        ("ks_c_5601-1987", "cp949", "한국어 문서"),
        ("euc-kr", "cp949", "한국어 문서"),
        ("windows-874", "cp874", "ภาษาไทย"),
        ("utf-16le", "utf-16-le", "é\U0001f600"),
        ("utf-16le", "utf-16-le", "plain"),
        ("utf-16", "utf-16-le", "plain"),
        ("utf-16be", "utf-16-be", "plain"),
        ("utf-8", "utf-8", "zero \0 inside"),
        ("no-such-thing", "utf-8", "zero \0 inside"),
        ("utf8", "utf-8", "naïve"),
        ("iso-8859-1", "utf-8", "naïve"),  # many servers say so of UTF-8
        ("punycode", "utf-8", "naïve"),
        ("hex", "utf-8", "naïve"),
        ("no-such-thing", "utf-8", "naïve"),
    ],
)
def test_encodings_of_pages(label: str, encoding: str, text: str) -> None:
    assert decode_page(text.encode(encoding), f"text/html; charset={label}") == text
    if "16" not in label and encoding != "iso2022_jp":
        page = f'<meta charset="{label}">{text}'
        assert decode_page(page.encode(encoding), "text/html") == page


def test_codecs_that_are_none_of_the_web_are_left_out() -> None:
    """Some would take hours for this."""
    body = b"\xff" + b"a-" * 500_000
    for label in ("punycode", "idna", "unicode_escape", "hex", "zlib", "undefined"):
        assert decode_page(body, f"text/html; charset={label}").endswith("a-")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", True),
        (b"<html>", True),
        (b"just words\r\n\t\x0c\x1b", True),
        ("über".encode("latin-1"), True),
        (codecs.BOM_UTF16_LE + "<p>".encode("utf-16-le"), True),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"GIF89a\x01\x00", False),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", False),
        (b"PK\x03\x04", False),
        (b"%PDF-1.7\n", False),
        (b"text\x00", False),
    ],
)
def test_what_is_a_text(body: bytes, text: bool) -> None:
    assert is_text(body) == text
