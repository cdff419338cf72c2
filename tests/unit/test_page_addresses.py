"""Addresses of pages: which ones are the same, and which page is the next."""

import string
from urllib.parse import urldefrag, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from w3lib.url import safe_url_string

from extraction.domain.page_addresses import absolute_address, fetchable_address, normal_address, page_key

NORMAL = "http://shop.example/list/a?page=2&b=%C3%A9"
SAME = {
    "the case of scheme and host": "HTTP://Shop.EXAMPLE/list/a?page=2&b=%C3%A9",
    "the default port": "http://shop.example:80/list/a?page=2&b=%C3%A9",
    "no port": "http://shop.example:/list/a?page=2&b=%C3%A9",
    "dot segments": "http://shop.example/x/../list/./a?page=2&b=%C3%A9",
    "encoded dots": "http://shop.example/x/%2E%2e/list/a?page=2&b=%C3%A9",
    "the case of an encoding": "http://shop.example/list/a?page=2&b=%c3%a9",
    "what needs no encoding": "http://shop.example/l%69st/%61?p%61ge=2&b=%C3%A9",
    "letters that need one": "http://shop.example/list/a?page=2&b=é",
    "a fragment": "http://shop.example/list/a?page=2&b=%C3%A9#top",
}
OTHER = [
    "https://shop.example/list/a?page=2&b=%C3%A9",
    "http://shop.example:8080/list/a?page=2&b=%C3%A9",
    "http://www.shop.example/list/a?page=2&b=%C3%A9",
    "http://shop.example/list/A?page=2&b=%C3%A9",
    "http://shop.example/list/a/?page=2&b=%C3%A9",
    "http://shop.example/list//a?page=2&b=%C3%A9",
    "http://shop.example/list/a?b=%C3%A9&page=2",
    "http://shop.example/list/a?page=2",
    "http://shop.example/list/a?page=2&b=%C3%A9&sid=0f3e",
    "http://shop.example/list%2Fa?page=2&b=%C3%A9",
    "http://ada@shop.example/list/a?page=2&b=%C3%A9",
]


def key(address: str) -> bytes:
    return page_key(0, fetchable_address(address) or "")


@pytest.mark.parametrize("name", SAME)
def test_the_same_page_whatever(name: str) -> None:
    assert normal_address(fetchable_address(SAME[name]) or "") == NORMAL
    assert key(SAME[name]) == key(NORMAL)


@pytest.mark.parametrize("address", OTHER)
def test_another_page(address: str) -> None:
    assert key(address) != key(NORMAL)


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("http://a.example", "http://a.example/"),
        ("http://a.example?", "http://a.example/"),
        ("http://a.example/?", "http://a.example/"),
        ("http://a.example/b?", "http://a.example/b"),
        ("https://a.example:443/b/..", "https://a.example/"),
        ("http://a.example/..", "http://a.example/"),
        ("http://a.example/b/.", "http://a.example/b/"),
        ("http://a.example/...", "http://a.example/..."),
        ("http://a.example/b..c/.d", "http://a.example/b..c/.d"),
        ("http://a.example/%zz", "http://a.example/%zz"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("http://a.example:443/", "http://a.example:443/"),
        ("http://a.example:80/b", "http://a.example/b"),
        ("https://a.example:80/b", "https://a.example:80/b"),
        ("http://a.example:8080/b", "http://a.example:8080/b"),
        ("http://a.example:8080/b/../c", "http://a.example:8080/c"),
    ],
)
def test_addresses_in_their_normal_form(address: str, normal: str) -> None:
    assert normal_address(address) == normal


PARTS = st.sampled_from(
    ["a", "B", ".", "..", "/", "//", "%41", "%c3", "%2f", "%", "?", "&", "=", "1", "~", "+", "é", ":"]
)
ADDRESSES = st.builds(
    lambda scheme, host, parts: f"{scheme}://{host}/{''.join(parts)}",
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(
        ["a.example", "A.example", "a.example:80", "a.example:443", "a.example:81", "u:p@a.example", "[::1]:81"]
    ),
    st.lists(PARTS, max_size=12),
)


@given(ADDRESSES)
@example("http://a.example/%a%41")
@example("http://a.example/%%34%31?%b%42")
def test_what_is_normal_stays_so_and_can_be_asked_for(address: str) -> None:
    url = fetchable_address(address)
    assert url
    normal = normal_address(url)
    assert normal_address(normal) == normal
    assert fetchable_address(normal) == normal
    assert page_key(0, normal) == page_key(0, url)


HOSTS = st.from_regex(r"[a-z0-9.-]{1,8}(:[0-9]{1,5})?", fullmatch=True, alphabet=st.characters(codec="ascii"))


@given(HOSTS, st.text(string.ascii_letters + string.digits + "_~,;=&+-./?%", max_size=20))
def test_what_needs_no_escape_is_asked_for_as_it_is(host: str, path: str) -> None:
    address = f"http://{host}/{path}"
    try:
        expected = urldefrag(safe_url_string(address)).url if urlsplit(address).hostname else None
    except ValueError:
        expected = None
    assert fetchable_address(address) == expected


@given(ADDRESSES, st.sampled_from(["", "#", "#a"]))
def test_a_link_from_a_page_to_itself_leads_to_it(address: str, fragment: str) -> None:
    url = fetchable_address(address)
    assert url
    assert key(absolute_address(url, url + fragment)) == key(url)


@given(st.text(max_size=40))
def test_any_text_has_a_normal_form(text: str) -> None:
    assert isinstance(normal_address(text), str)
