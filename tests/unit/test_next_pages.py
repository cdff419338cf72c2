"""Which link of a pager leads on, and when a list has come to its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from extraction.domain.html_source import HtmlSource
from extraction.domain.list_history import EVIDENCE, NOTHING, ListHistory, shown_by
from extraction.domain.next_pages import next_addresses
from extraction.domain.page_addresses import BaseAddress

SITE = "http://shop.example"


def following(here: str, *links: str) -> list[str]:
    """The paths that may come next, of links in the form `path`, or `path text` or `path attribute="value"`."""
    html = ""
    for link in links:
        path, _, more = link.partition(" ")
        attributes, text = (more, "") if "=" in more else ("", more)
        html += f'<a href="{path}" {attributes}>{text}</a>'
    nodes = LexborHTMLParser(html).css("a")
    found = next_addresses(nodes, "href", HtmlSource(""), BaseAddress(SITE + here), SITE + here)
    return [url.removeprefix(SITE) for url in found]


# The page, the links of its pager, and what of them may be the next page.
PAGERS: dict[str, tuple[str, list[str], list[str]]] = {
    "one link": ("/l", ["/l?page=2"], ["/l?page=2"]),
    "none": ("/l", [], []),
    "no page of the web": ("/l", ["mailto:a@shop.example"], []),
    "back and on": ("/l?page=2", ["/l?page=1", "/l?page=3"], ["/l?page=3", "/l?page=1"]),
    "back by a path, and on": ("/l/2/", ["/l/1/", "/l/3/"], ["/l/3/", "/l/1/"]),
    "back by an offset, and on": ("/l?s=20&n=9", ["/l?s=10&n=9", "/l?s=30&n=9"], ["/l?s=30&n=9", "/l?s=10&n=9"]),
    "back alone": ("/l?page=5", ["/l?page=4", "/l?page=1"], ["/l?page=4"]),
    "numbers": ("/l?page=2", [f"/l?page={n} {n}" for n in range(1, 5)], ["/l?page=3", "/l?page=4", "/l?page=1"]),
    "the last one named before the next": ("/l?page=2", ["/l?page=9", "/l?page=3"], ["/l?page=3", "/l?page=9"]),
    "numbers on the first page": ("/l", ["/l?page=1 1", "/l?page=2 2"], ["/l?page=2"]),
    "numbers from zero on the first page": ("/l", ["/l?page=1 2", "/l?page=2 3"], ["/l?page=1", "/l?page=2"]),
    "numbers down from the first page": ("/120", ["/119"], ["/119"]),
    "numbers down": ("/119", ["/120", "/118"], ["/120", "/118"]),
    "a relation": ("/l", ['/b rel="next"', "/a"], ["/b", "/a"]),
    "relations of both": ("/l?p=2", ['/l?p=1 rel="prev"', '/l?p=3 rel="next nofollow"'], ["/l?p=3"]),
    "a relation against the numbers": ("/119", ['/120 rel="prev"', '/118 rel="next"'], ["/118"]),
    "the page itself": ("/l?page=2", ["/l?page=2", "/l?page=3", "HTTP://SHOP.example:80/l?page=2"], ["/l?page=3"]),
    "what is marked as the page itself": ("/l", ['/m aria-current="page"', "/n"], ["/n"]),
    "above and below": ("/l", ["/l?page=2", "/l?page=2"], ["/l?page=2"]),
    "other addresses, as they stand": ("/l", ["/c", "/b", "/a"], ["/c", "/b", "/a"]),
    "numbers that are too long": ("/l?p=2", ["/l?p=" + "9" * 5000, "/l?p=3"], ["/l?p=3", "/l?p=" + "9" * 5000]),
}


@pytest.mark.parametrize("name", PAGERS)
def test_what_leads_on(name: str) -> None:
    here, links, expected = PAGERS[name]
    assert following(here, *links) == expected


@given(st.integers(1, 50), st.integers(2, 50), st.integers(0, 3))
def test_a_numbered_pager_leads_to_each_page_in_turn(last: int, width: int, ahead: int) -> None:
    """Of its links, those to pages that were read are left out, as a process does it."""
    read, here = [1], "/l"
    while True:
        page = read[-1]
        shown = range(max(1, page - width), min(last, page + 1 + ahead) + 1)
        unread = [url for url in following(here, *(f"/l?page={n} {n}" for n in shown)) if url not in map(address, read)]
        fresh = [url for url in unread if url != "/l?page=1"]
        if not fresh:
            break
        here = fresh[0]
        read.append(int(here.rpartition("=")[2]))
    assert read == list(range(1, last + 1))


def address(page: int) -> str:
    return f"/l?page={page}"


def page_of(*values: str) -> bytes:
    return shown_by([{"a": value} for value in values], repr(values).encode())


A, B, C = (page_of(*(f"{letter}{n}" for n in range(EVIDENCE))) for letter in "abc")
P, Q, R = page_of("p"), page_of("q"), page_of("r")
# What a list has shown, what the next page shows, and whether it ends with that.
LISTS: dict[str, tuple[list[bytes], bytes, bool]] = {
    "the first page": ([], A, False),
    "the first page is empty": ([], NOTHING, False),
    "a new page": ([A, B], C, False),
    "the page before": ([A, B], B, True),
    "a poor page like the one before": ([P], P, True),
    "an empty page": ([A], NOTHING, False),
    "an empty page behind another": ([A, NOTHING], NOTHING, True),
    "an empty page behind a full one": ([A, NOTHING, B], NOTHING, False),
    "a page behind an empty one": ([A, NOTHING], B, False),
    "a cycle": ([A, B, C], A, True),
    "a cycle in the middle": ([A, B, C], B, True),
    "a poor page again": ([P, Q, R], P, False),
    "poor pages again": ([P, Q, R, A, P, Q], R, False),
    "a cycle of poor pages": ([P, Q, R, P, Q, R], P, True),
    "other poor pages before": ([P, Q, R, Q, P, R], P, False),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_ends_where_nothing_new_comes(name: str) -> None:
    before, now, ends = LISTS[name]
    assert ListHistory(shown=before).has_shown(now) is ends


@given(st.lists(st.lists(st.text("abc", max_size=2), max_size=6), min_size=1, max_size=8))
def test_every_cycle_ends(pages: list[list[str]]) -> None:
    history = ListHistory()
    shown = [page_of(*values) for values in pages]
    for number in range(40 * len(shown)):
        if history.has_shown(shown[number % len(shown)]):
            return
        history.add(shown[number % len(shown)])
    values = {value for page in pages for value in page}
    assert len(values) < EVIDENCE or not values


@given(st.lists(st.integers(), unique=True, min_size=1, max_size=60))
def test_a_list_of_new_pages_never_ends(numbers: list[int]) -> None:
    history = ListHistory()
    for number in numbers:
        shown = page_of(str(number))
        assert not history.has_shown(shown)
        history.add(shown)
