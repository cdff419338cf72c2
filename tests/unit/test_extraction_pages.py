"""Saved pages: each folder of tests/data/pages holds a page, a payload, and what comes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.page_reader import PageReading, read_page
from extraction.domain.pages_payload import PagesPayload
from extraction.fetch.page_text import decode_page

FOLDERS = sorted((Path(__file__).parents[1] / "data" / "pages").iterdir())


def shown(reading: PageReading) -> list[dict[str, Any]]:
    """The records, with the addresses of pages behind them in place of their keys."""
    urls = {link.key.hex(): link.url for link in reading.links}
    return [
        {
            name: [urls.get(one, one) for one in value] if isinstance(value, list) else value
            for name, value in record.items()
        }
        for record in reading.records
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_saved_page(folder: Path) -> None:
    payload = PagesPayload.parse(json.loads((folder / "payload.json").read_text()))
    expected = json.loads((folder / "expected.json").read_text())
    text = decode_page((folder / "page.html").read_bytes(), expected["content_type"] or None)
    reading = read_page(text, payload.request.url, payload.rule)
    assert shown(reading) == expected["records"]
    assert reading.next == ([expected["next"]] if expected["next"] else [])


def test_there_are_twenty_layouts() -> None:
    assert sum(folder.name.startswith("layout_") for folder in FOLDERS) >= 20


FIELDS = [
    {"name": "a", "selector": "div p", "details": {"fields": [{"name": "b", "selector": "."}], "commonParent": "p"}},
    {"name": "c", "selector": "a", "attrs": ["href", "text", "html"]},
]
PIECES = st.sampled_from(
    ["<div>", "</div>", "<p>", "</p>", "<a href='/x'>", "</a>", "<base href='//'>", "text", "<", "&"]
)


@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from(["", "div", "div p"]), st.booleans())
def test_any_page_gives_records_with_the_names_of_the_payload(html: str, parent: str, path: bool) -> None:
    sent = {"request": {"url": "http://x/"}, "fields": FIELDS, "commonParent": parent, "path": path, "paginator": "a"}
    reading = read_page(html, "http://x/", PagesPayload.parse(sent).rule)
    names = {"a_details"} if path else {"a", "a_details", "c_href", "c_text", "c_html"}
    assert all(record.keys() == names for record in reading.records)
    known = {link.key.hex() for link in reading.links}
    assert all(key in known for record in reading.records for key in record["a_details"])


@given(st.binary(max_size=200), st.sampled_from([None, "text/html", "text/html; charset=utf-16"]))
def test_any_bytes_are_a_text(body: bytes, kind: str | None) -> None:
    assert isinstance(decode_page(body, kind), str)


def records_of(html: str, *fields: dict[str, Any], **rule: Any) -> list[dict[str, Any]]:
    payload = PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields, **rule})
    return read_page(html, "http://x/", payload.rule).records


LINKS = '<div class="b"><a href="/1">one</a><a>two</a><a href="/3">three 3</a></div>'
PAIRED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a link without an address": (LINKS, {"attrs": ["href", "text"]}, {"a_href": ["http://x/1", None, "http://x/3"]}),
    "a pattern that finds nothing": (
        LINKS,
        {"filters": [{"name": "regex", "param": "[0-9]"}]},
        {"a": [None, None, "3"]},
    ),
    "an attribute of some": (
        "<div class=b><a class=u>1</a><a id=i>2</a></div>",
        {"attrs": ["id", "class"]},
        {"a_id": [None, "i"], "a_class": ["u", None]},
    ),
    "an attribute of none": (
        "<div class=b><a>1</a><a>2</a></div>",
        {"attrs": ["id", "text"]},
        {"a_id": [None, None], "a_text": ["1", "2"]},
    ),
    "one alone": ("<div class=b><a>1</a></div>", {"attrs": ["id", "text"]}, {"a_id": None, "a_text": "1"}),
    "pictures": (
        "<div class=b><a></a><img src=1.png alt=one><img alt=two></div>",
        {"selector": "img", "type": "image"},
        {"a_src": ["http://x/1.png", None], "a_alt": ["one", "two"]},
    ),
}


@pytest.mark.parametrize("name", PAIRED)
def test_lists_of_one_field_pair(name: str) -> None:
    html, field, expected = PAIRED[name]
    [record] = records_of(html, {"name": "a", "selector": "a", **field}, commonParent=".b")
    assert {name: record[name] for name in expected} == expected


def test_matches_without_any_value_give_no_record() -> None:
    assert records_of("<div class=b><a>1</a><a>2</a></div>", {"name": "a", "selector": "a", "attrs": ["id"]}) == []


def test_the_filter_lines_reads_a_text_in_lines_and_others_follow() -> None:
    field = {"name": "a", "selector": "td", "filters": ["uppercase", "lines"]}
    assert records_of("<table><td> a <br>\n b<p>c</p></table>", field) == [{"a": "A\nB\n\nC"}]
    assert records_of("<table><td>a<br>b</table>", {**field, "filters": []}) == [{"a": "a b"}]


NAME, PRICE = {"name": "name", "selector": "h1, h2"}, {"name": "price", "selector": ".price"}
ONE = [("A", "1")]
TWO = [("A", "1"), ("B", None)]


def card(name: str, price: str) -> str:
    shown = f"<h2>{name}</h2>" if name else ""
    return shown + (f'<b class="price">{price}</b>' if price else "")


# The blocks that are found without a parent: each a name and a price.
BLOCKS: dict[str, tuple[str, Any]] = {
    "a product, and related ones of another class": (
        f'<div class="product">{card("A", "1")}</div><div class="related">{card("", "2")}{card("", "3")}</div>',
        ONE,
    ),
    "a product, and related ones with another tag": (
        f'<div class="product">{card("A", "1")}</div><ul><li>{card("", "2")}</li><li>{card("", "3")}</li></ul>',
        ONE,
    ),
    "a product, and related ones with another id": (
        f'<div id="product">{card("A", "1")}</div><div id="related">{card("", "2")}</div>',
        ONE,
    ),
    "classes of a grid": (
        f'<div class="col product">{card("A", "1")}</div><div class="col related">{card("", "2")}</div>',
        ONE,
    ),
    "classes further out": (
        f'<div class="product"><div>{card("A", "1")}</div></div><div class="related"><div>{card("", "2")}</div></div>',
        ONE,
    ),
    "related products before it": (
        f'<div class="related">{card("", "2")}</div><div class="product">{card("A", "1")}</div>',
        ONE,
    ),
    "a product with its price further in": (
        f'<main><h1>A</h1><p class="buy">{card("", "1")}</p></main><div class="ad"><p>{card("", "2")}</p></div>',
        ONE,
    ),
    "a list in which one has no price": (f"<li>{card('A', '1')}</li><li>{card('B', '')}</li>", TWO),
    "a list with numbered ids": (f'<li id="p-1">{card("A", "1")}</li><li id="p-22">{card("B", "")}</li>', TWO),
    "a list with digests for ids": (
        f'<li id="0f3e9a7bcd">{card("A", "1")}</li><li id="77aa00bb11">{card("B", "")}</li>',
        TWO,
    ),
    "a list with UUIDs for ids": (
        f'<li id="3f2504e0-4f89-11d3-9a0c-0305e82c3301">{card("A", "1")}</li>'
        f'<li id="6BA7B810-9DAD-11D1-80B4-00C04FD430C8">{card("B", "")}</li>',
        TWO,
    ),
    "a list with made up ids": (
        f'<li id="item-aB3xY9k">{card("A", "1")}</li><li id="item-Zq81Lm">{card("B", "")}</li>',
        TWO,
    ),
    "a list with made up classes": (
        f'<li class="css-1x2y3z4 x">{card("A", "1")}</li><li class="css-9q8w7e x">{card("B", "")}</li>',
        TWO,
    ),
    "related products with numbered ids": (
        f'<div id="product17">{card("A", "1")}</div><div id="related18">{card("", "2")}</div>',
        ONE,
    ),
    "a list with an odd and an even class": (
        f'<li class="row odd">{card("A", "1")}</li><li class="row even">{card("B", "")}</li>',
        TWO,
    ),
    "a list in which one is marked": (
        f'<li class="p sale">{card("A", "1")}</li><li class="p">{card("B", "")}</li>',
        TWO,
    ),
    "a list in which two are marked": (
        f'<li class="p sale">{card("A", "1")}</li><li class="p">{card("B", "")}</li><li class="p new"><h2>C</h2></li>',
        [*TWO, ("C", None)],
    ),
    "a list with classes of a shop": (
        f'<li class="product type-product post-17 status-publish instock product_cat-hats sale">{card("A", "1")}</li>'
        f'<li class="product type-product post-18 status-publish instock product_cat-shoes">{card("B", "")}</li>',
        TWO,
    ),
    "a list with rows of its own": (
        f'<div class="row first"><p>{card("A", "1")}</p></div><div class="row"><p>{card("B", "")}</p></div>',
        TWO,
    ),
    "a name for all": (f"<h1>A</h1><li>{card('', '1')}</li><li>{card('', '2')}</li>", [("A", ["1", "2"])]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_hold_what_belongs_together(name: str) -> None:
    html, expected = BLOCKS[name]
    found = records_of(f"<body>{html}", NAME, PRICE)
    assert [(record["name"], record["price"]) for record in found] == expected


@pytest.mark.parametrize(
    ("html", "address"),
    [
        ("<base href='http://y/z/'><a href='a'>x</a>", "http://y/z/a"),
        ("<base href='/z/'><a href='a'>x</a>", "http://x/z/a"),
        ("<base href='http://['><a href='a'>x</a>", "http://x/list/a"),
        ("<base href='javascript:0'><a href='a'>x</a>", "http://x/list/a"),
        ("<base href='data:,b/'><a href='a'>x</a>", "http://x/list/a"),
        ("<a href='\\\\y\\a'>x</a>", "http://y/a"),
        ("<a href='..\\a?b=\\c'>x</a>", "http://x/a?b=\\c"),
        ("<a href=' a\n/b '>x</a>", "http://x/list/a/b"),
    ],
)
def test_addresses_of_links_are_those_that_browsers_follow(html: str, address: str) -> None:
    fields = [{"name": "a", "selector": "a", "type": 2}]
    payload = PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields})
    assert read_page(html, "http://x/list/page", payload.rule).records == [{"a_href": address, "a_text": "x"}]


@pytest.mark.parametrize("type", ["base", "chrome"])
@pytest.mark.parametrize(
    ("href", "base", "chrome"),
    [
        ("/b", "http://h/b", "http://h/b"),
        ("/b#", "http://h/b", "http://h/b"),
        ("/b#/p/1", "http://h/b", "http://h/b#/p/1"),
        ("#/p/1", "http://h/app", "http://h/app#/p/1"),
        ("/b?a=1#!x y", "http://h/b?a=1", "http://h/b?a=1#!x%20y"),
    ],
)
def test_fragments_of_links(type: str, href: str, base: str, chrome: str) -> None:
    request = {"url": "http://h/app#/list", "type": type}
    fields = [{"name": "a", "selector": "a", "details": {"fields": [{"name": "b", "selector": "p"}]}}]
    payload = PagesPayload.parse({"request": request, "fields": fields, "paginator": "a"})
    assert payload.first_addresses() == ["http://h/app" if type == "base" else "http://h/app#/list"]
    reading = read_page(f"<a href='{href}'>x</a>", payload.first_addresses()[0], payload.rule)
    leads_to = base if type == "base" else chrome
    assert [link.url for link in reading.links] == [leads_to]
    is_clicked = type == "chrome" and href.startswith("#")
    assert reading.next == ([] if is_clicked else [leads_to])
