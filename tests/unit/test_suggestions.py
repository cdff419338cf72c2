"""Suggestions for saved pages: the best payload gives the records that somebody who looks at the page would want."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from extraction.domain.page_reader import read_page
from extraction.domain.page_sources import PageContent
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.suggestion.block_groups import MEMBERS_MAX, find_groups
from extraction.domain.suggestion.page_outline import DEPTH_MAX, ELEMENTS_MAX, PageOutline
from extraction.domain.suggestion.suggestions import Suggestion, suggest
from extraction.fetch.page_text import decode_page

DATA = Path(__file__).parents[1] / "data"
LAYOUTS = sorted((DATA / "suggestions").iterdir())
SAVED = sorted(folder for folder in (DATA / "pages").iterdir() if folder.name.startswith("layout_"))
URL = "https://site.example/list"
MISSED: frozenset[str] = frozenset()  # layouts for which another list is suggested first
# Of a select's options, of two comments in each other, and of posts that are told apart by an attribute alone.
MISSED_SAVED = frozenset({"layout_shop_variants", "layout_comments_in_each_other", "layout_forum_thread"})
MISSED_NEXT: frozenset[str] = frozenset()  # layouts whose next page is not found


def suggested(html: str, url: str = URL, media_type: str = "") -> list[Suggestion]:
    return suggest(PageContent((html,), url, media_type), {"url": url})


def all_records(payload: Mapping[str, Any], html: str, url: str = URL) -> tuple[list[dict[str, Any]], list[str]]:
    rule = PagesPayload.parse(payload).rule
    reading = read_page(html, url, rule)
    return reading.records, reading.next


def values_of(record: Mapping[str, Any]) -> Iterator[Any]:
    for value in record.values():
        yield from value if isinstance(value, list) else [value]


def has_each(records: list[dict[str, Any]], names: list[str]) -> bool:
    """Whether there is one record for each of some names, in their order, which has it as one of its values."""
    if len(records) != len(names):
        return False
    return all(
        any(name in str(value) for value in values_of(record)) for record, name in zip(records, names, strict=True)
    )


@pytest.mark.parametrize("folder", LAYOUTS, ids=lambda folder: folder.name)
def test_a_layout(folder: Path) -> None:
    html = (folder / "page.html").read_text()
    expected = json.loads((folder / "expected.json").read_text())
    best, *_ = suggested(html)
    records, onward = all_records(best.payload, html)
    assert best.records == records[: len(best.records)]
    assert has_each(records, expected["names"]) is (folder.name not in MISSED), (best.payload, records)
    assert (onward[:1] == [expected["next"]]) is (bool(expected["next"]) and folder.name not in MISSED_NEXT), onward


def test_of_twenty_layouts_nearly_all_are_right() -> None:
    assert len(LAYOUTS) == 20
    assert {folder.name for folder in LAYOUTS} >= MISSED
    assert len(MISSED) <= 5


def lists_of_saved_pages() -> list[Any]:
    """The saved pages that have a list, with a text of each of its records."""
    found = []
    for folder in SAVED:
        expected = json.loads((folder / "expected.json").read_text())
        names = [next(filter(None, map(str, values_of(record)))).strip() for record in expected["records"]]
        if len(names) > 1:
            found.append(pytest.param(folder, names, id=folder.name))
    return found


@pytest.mark.parametrize(("folder", "names"), lists_of_saved_pages())
def test_a_saved_page(folder: Path, names: list[str]) -> None:
    content_type = json.loads((folder / "expected.json").read_text())["content_type"]
    html = decode_page((folder / "page.html").read_bytes(), content_type or None)
    records = [all_records(one.payload, html)[0] for one in suggested(html)[:1]]
    assert [has_each(one, names) for one in records] == (
        [True] if folder.name not in MISSED_SAVED else [False][: len(records)]
    )


LINKED = {
    "@context": "https://schema.org",
    "@graph": [
        {"@type": "Event", "name": f"Concert {n}", "startDate": f"2026-12-0{n}", "location": {"name": f"Hall {n}"}}
        for n in range(1, 5)
    ],
}


def test_what_a_page_describes_for_search_engines_is_a_list_too() -> None:
    html = f'<script type="application/ld+json">{json.dumps(LINKED)}</script><div id="app"></div>'
    [best] = suggested(html)
    assert (best.payload["source"], best.payload["commonParent"]) == ("jsonld", "$[?(@['@type'] == 'Event')]")
    assert best.records[0] == {"name": "Concert 1", "startDate": "2026-12-01", "location_name": "Hall 1"}


JSON_PAGE = {
    "total": 2,
    "result": {"jobs": [{"id": 1, "title": "Cook"}, {"id": 2, "title": "Nurse", "tags": ["night"]}]},
}


def test_an_answer_of_json_has_lists() -> None:
    [best] = suggested(json.dumps(JSON_PAGE), media_type="application/json")
    assert best.payload["commonParent"] == "$.result.jobs"
    assert [record["title"] for record in best.records] == ["Cook", "Nurse"]


PAGER = '<div class="{name}"><a href="/list">1</a> {link}</div>'
CARDS = "".join(f'<div class="card"><h3><a href="/{n}">A thing named {n}</a></h3><b>{n} EUR</b></div>' for n in "abcd")
NEXT_LINKS = {
    "related": '<a href="/list?p=2" rel="next">2</a>',
    "labelled": '<a href="/list?p=2" aria-label="Next page"><i></i></a>',
    "of a class": '<a href="/list?p=2" class="pager-next"><i></i></a>',
    "in one of a class": '<span class="next"><a href="/list?p=2"><i></i></a></span>',
    "numbered": '<a href="/list?p=2">2</a> <a href="/list?p=3">3</a>',
    **{
        text: f'<a href="/list?p=2">{text}</a>'
        for text in ("Next", "Next page >", "Weiter", "Nächste Seite", "Suivant", "Página siguiente", "Próxima", "»")
    },
    **{
        text: f'<a href="/list?p=2">{text}</a>'
        for text in ("Volgende", "Nästa", "Dalej", "Следующая", "次へ", "下一页")
    },
}


RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/"><channel>
<title> Tea  News </title><link>https://tea.example/</link>
<item><title>Green tea &amp; more</title><link>https://tea.example/1</link><dc:creator>Ada</dc:creator>
<pubDate>Mon, 05 Jan 2026 08:00:00 +0000</pubDate><category>green</category><category>leaf</category>
<media:thumbnail url="https://tea.example/1.png"/></item>
<item><title>Black tea</title><link>https://tea.example/2</link><dc:creator>Ben</dc:creator>
<pubDate>Tue, 06 Jan 2026 08:00:00 +0000</pubDate><category>black</category>
<media:thumbnail url="https://tea.example/2.png"/></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Tea</title>
<entry><title>Green</title><link href="/1" rel="alternate"/><author><name>Ada</name></author>
<updated>2026-01-05T08:00:00Z</updated></entry>
<entry><title>Black</title><link href="/2" rel="alternate"/><author><name>Ben</name></author>
<updated>2026-01-06T08:00:00Z</updated></entry>
<entry><title>White</title><link href="/3" rel="alternate"/></entry></feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<channel><title>Tea</title></channel>
<item rdf:about="a"><title>Green</title></item><item rdf:about="b"><title>Black</title></item></rdf:RDF>"""
RATES = (
    """<table><rate currency="EUR">4.21</rate><rate currency="USD">3.61</rate><note><rate>none</rate></note></table>"""
)
SHOP = """<g:shop xmlns:g="http://g.example"><g:offer><g:id>1</g:id><g:price>9,90</g:price></g:offer>
<g:offer><g:id>2</g:id><g:price>12,50</g:price></g:offer></g:shop>"""
FEED_RECORDS = {
    "title": "Green tea & more",
    "link": "https://tea.example/1",
    "creator": "Ada",
    "pubDate": "2026-01-05T08:00:00+00:00",
    "category": ["green", "leaf"],
    "thumbnail_url": "https://tea.example/1.png",
}


@pytest.mark.parametrize(
    ("xml", "media_type", "block", "record", "name"),
    [
        (RSS, "application/rss+xml", "item", FEED_RECORDS, "Tea News"),
        (RSS, "text/html", "item", FEED_RECORDS, "Tea News"),
        (
            ATOM,
            "application/atom+xml",
            "entry",
            {
                "title": "Green",
                "link_href": "https://site.example/1",
                "author_name": "Ada",
                "updated": "2026-01-05T08:00:00+00:00",
            },
            "Tea",
        ),
        (RDF, "text/xml", "item", {"about": "a", "title": "Green"}, "Tea"),
        (RATES, "text/xml", "/table/rate", {"text": 4.21, "currency": "EUR"}, None),
        (SHOP, "application/xml", "/g:shop/g:offer", {"id": 1, "price": 9.9}, None),
    ],
    ids=["RSS", "RSS as HTML", "Atom", "RDF", "attributes", "prefixes"],
)
def test_a_feed_has_a_list(xml: str, media_type: str, block: str, record: dict[str, Any], name: str | None) -> None:
    best, *_ = suggested(xml, media_type=media_type)
    assert (best.payload["commonParent"], best.records[0]) == (block, record)
    assert (best.payload.get("name"), "paginator" in best.payload) == (name, False)
    read = read_page(xml, URL, PagesPayload.parse(best.payload).rule, media_type=media_type)
    assert read.records[0] == record


@pytest.mark.parametrize("name", NEXT_LINKS)
def test_the_next_page_is_found(name: str) -> None:
    html = CARDS + PAGER.format(name="pagination", link=NEXT_LINKS[name])
    _, onward = all_records(suggested(html)[0].payload, html)
    assert onward[:1] == ["https://site.example/list?p=2"]


PAGED = '<a href="/list?p=1">1</a> <a href="/list?p=2">2</a> <a href="/list?p=3">3</a>'


@pytest.mark.parametrize(
    "pager",
    [
        f'<nav aria-label="Pagination">{PAGED}</nav>',
        f'<nav aria-label="Pagination" class="flex px-2">{PAGED.replace("<a ", "<a class=px-3 ")}</nav>',
        f'<nav aria-label="Seitennummerierung">{PAGED}</nav>',
        f'<ul class="pagination-list"><li class="pagination-item">{PAGED.replace("</a>", "</a></li><li>")}</li></ul>',
    ],
    ids=["label", "label beside classes of looks", "another language", "first page is a link"],
)
def test_a_pager_of_numbers_leads_on(pager: str) -> None:
    html = CARDS + pager
    _, onward = all_records(suggested(html)[0].payload, html)
    assert onward[:1] == ["https://site.example/list?p=2"]


@pytest.mark.parametrize("text", ["Details »", "Lesen »", "More >", "Next steps", "Weiter"])
def test_a_link_in_each_block_is_no_next_page(text: str) -> None:
    html = CARDS.replace("</b>", f"</b><a href='/{{}}'>{text}</a>")
    parts = html.split("{}")
    html = "".join(part + f"{n}" for n, part in enumerate(parts[:-1])) + parts[-1]
    assert "paginator" not in suggested(html)[0].payload
    if text not in "Next steps Weiter":
        [best, *_] = suggested(f'{html}<p><a href="/list?p=2">Next</a></p>')
        assert best.payload["paginator"] == 'a:contains("Next")'


def test_the_level_of_a_heading_tells_no_titles_apart() -> None:
    html = "".join(
        f'<div class="teaser"><h{level} class="headline"><a href="/{n}">What happened in place {n}</a></h{level}>'
        f"<p>A summary that is as long as summaries are, of {n}</p></div>"
        for n, level in enumerate((2, 3, 3, 3, 3))
    )
    records, _ = all_records(suggested(html)[0].payload, html)
    assert has_each(records, [f"What happened in place {n}" for n in range(5)])


def test_no_next_page_is_made_up() -> None:
    for link in ("", '<a href="#">Next</a>', '<a href="/list">Next</a>', '<a href="/about">About us</a>'):
        assert "paginator" not in suggested(CARDS + PAGER.format(name="links", link=link))[0].payload


def test_a_rendered_page_may_have_a_button_for_more() -> None:
    content = PageContent((f'{CARDS}<button class="load-more">Load more</button>',), URL)
    [best, *_] = suggest(content, {"url": URL, "type": "chrome"}, rendered=True)
    assert best.payload["paginator"] == {"type": "more", "selector": "button.load-more"}


PIECES = st.sampled_from(
    [
        *(
            "<ul>",
            "</ul>",
            "<li class='a b'>",
            "<div class='x--y'>",
            "</div>",
            "<a href='/x'>",
            "</a>",
            "<td rowspan=9>",
        ),
        *("<table>", "<tr>", "<dt>", "<dd>", "<img src=1>", "<time datetime=2026-01-01>", "5 EUR", "text", "1.2.2026"),
        *("<li class='\\x \"'>", "<b itemprop=']'>", "<p class=next>", "<meta itemprop=a content=b>"),
    ]
)


@given(st.lists(PIECES, max_size=60).map("".join))
def test_any_page_can_be_looked_at(html: str) -> None:
    for one in suggested(html):
        assert 2 <= len(one.records) <= 5
        assert 0 < one.score < 1


def test_a_page_that_is_made_to_be_long_is_looked_at_in_part() -> None:
    html = "".join(f'<div class="card"><h3><a href=/{n}>Name {n}</a></h3></div>' for n in range(15_000))
    outline = PageOutline(LexborHTMLParser(html))
    assert (len(outline.elements), outline.is_whole) == (ELEMENTS_MAX, False)
    assert all(len(group.elements) <= MEMBERS_MAX for group in find_groups(outline))
    assert suggested(html)[0].payload["commonParent"] == "div.card"


def test_elements_that_nest_without_an_end_are_looked_at_as_deep_as_people_nest_them() -> None:
    assert len(PageOutline(LexborHTMLParser("<div>" * 1_000)).elements) <= DEPTH_MAX + 2
