"""Which first pages a payload names, and what is refused, each with its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.address_ranges import count_addresses, expand_address
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.sitemaps import read_sitemap
from taskhub.errors import Rejected

FIELDS = [{"name": "a", "selector": "a"}]


@pytest.mark.parametrize(
    ("address", "expanded"),
    [
        ("a{1..3}", ["a1", "a2", "a3"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{001..3}", ["001", "002", "003"]),
        ("{0..5..2}", ["0", "2", "4"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{-1..1}", ["-1", "0", "1"]),
        ("a{1..2}b{1..2}", ["a1b1", "a1b2", "a2b1", "a2b2"]),
        ("{5..5}", ["5"]),
        ("{1..2..0}", ["1", "2"]),
        ("{1}{a..b}{1..}{ 1..2 }", ["{1}{a..b}{1..}{ 1..2 }"]),
        ("", [""]),
    ],
)
def test_ranges(address: str, expanded: list[str]) -> None:
    assert list(expand_address(address)) == expanded
    assert count_addresses(address) == len(expanded)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_a_range_has_as_many_addresses_as_it_says(first: int, last: int, step: int) -> None:
    address = f"x{{{first}..{last}..{step}}}"
    expanded = list(expand_address(address))
    assert (len(expanded), expanded[0]) == (count_addresses(address), f"x{first}")


def payload(request: dict[str, Any], **more: Any) -> PagesPayload:
    return PagesPayload.parse({"request": request, "fields": FIELDS, **more})


@pytest.mark.parametrize(
    ("request_", "addresses"),
    [
        ({"url": "http://x/é#f"}, ["http://x/%C3%A9"]),
        ({"url": "http://x/{1..2}#f"}, ["http://x/1", "http://x/2"]),
        ({"url": "http://x/{1..2}#f", "type": "chrome"}, ["http://x/1#f", "http://x/2#f"]),
        ({"urls": [" http://x ", "http://y/{a}"]}, ["http://x", "http://y/%7Ba%7D"]),
        ({"sitemap": "http://x/s.xml"}, ["http://x/s.xml"]),
    ],
)
def test_first_addresses(request_: dict[str, Any], addresses: list[str]) -> None:
    assert list(payload(request_).first_addresses()) == addresses


@pytest.mark.parametrize(
    ("place", "request_"),
    [
        ("/request/url", {}),
        ("/request/url", {"urls": []}),
        ("/request/urls", {"url": "http://x", "urls": ["http://y"]}),
        ("/request/sitemap", {"url": "http://x", "sitemap": "http://y"}),
        ("/request/urls/1", {"urls": ["http://x", "ftp://y"]}),
        ("/request/urls/0", {"urls": [5]}),
        ("/request/urls/0", {"urls": ["{1..3}"]}),
        ("/request/urls", {"urls": "http://x"}),
        ("/request/urls", {"urls": ["http://x/{1..60000}", "http://y/{1..60000}"]}),
        ("/request/url", {"url": "http://x/{1..1000}{1..1000}"}),
        ("/request/url", {"url": "{1..3}"}),
        ("/request/match", {"url": "http://x", "match": "a"}),
        ("/request/match/1", {"sitemap": "http://x", "match": ["a", "("]}),
        ("/request/match", {"sitemap": "http://x", "match": {"a": 1}}),
    ],
)
def test_faults_of_first_pages_have_their_places(place: str, request_: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        payload(request_)
    assert [error["pointer"] for error in caught.value.errors] == [place]


@pytest.mark.parametrize(
    ("place", "follow"),
    [
        ("/follow", "a"),
        ("/follow/match", {}),
        ("/follow/match", {"match": ""}),
        ("/follow/match", {"match": []}),
        ("/follow/match", {"match": "("}),
        ("/follow/match/0", {"match": ["a" * 1001]}),
        ("/follow/deny", {"match": "a", "deny": 5}),
        ("/follow/depth", {"match": "a", "depth": 0}),
        ("/follow/depth", {"match": "a", "depth": 101}),
        ("/follow/sameHost", {"match": "a", "sameHost": "no"}),
        ("/follow/hosts", {"match": "a", "hosts": []}),
    ],
)
def test_faults_of_followed_links_have_their_places(place: str, follow: Any) -> None:
    with pytest.raises(Rejected) as caught:
        payload({"url": "http://x/"}, follow=follow)
    assert place in [error["pointer"] for error in caught.value.errors]


NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


@pytest.mark.parametrize(
    ("text", "sitemaps", "pages"),
    [
        (
            f"<urlset {NAMESPACE}><url><loc> /1 </loc></url><url><loc>/2?a&amp;b</loc></url></urlset>",
            [],
            ["/1", "/2?a&b"],
        ),
        ("<urlset><url><loc>/1</loc><image><loc>/no.png</loc></image></url></urlset>", [], ["/1"]),
        ("\ufeff<?xml version='1.0'?><s:urlset xmlns:s='x'><s:url><s:loc>/1</s:loc></s:url></s:urlset>", [], ["/1"]),
        (f"<sitemapindex {NAMESPACE}><sitemap><loc>/a.xml</loc></sitemap></sitemapindex>", ["/a.xml"], []),
        ("\ufeffhttp://x/1\r\n\r\nhttp://x/2\nmailto:x", [], ["/1", "/2"]),
        ("<rss><channel><link>/</link><item><link>/i</link></item></channel></rss>", [], ["/i"]),
        ("<feed xmlns='a'><entry><link rel='self' href='/s'/><link href='/e'/></entry></feed>", [], ["/e"]),
        ("<urlset></urlset>", [], []),
        ("", [], []),
    ],
)
def test_sitemaps(text: str, sitemaps: list[str], pages: list[str]) -> None:
    found = read_sitemap(text, "http://x/s.xml")
    assert [address.removeprefix("http://x") for address in found.sitemaps] == sitemaps
    assert [address.removeprefix("http://x") for address in found.pages] == pages
