"""Pages that are read as HTML, XML or JSON: each language of selectors finds what it says, in one sort of records."""

import json
import sys
from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.json_source import script_data
from extraction.domain.page_libraries import load_libraries
from extraction.domain.page_reader import PageReading, read_page
from extraction.domain.page_sources import source_kind
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.process_status import PageFailure
from extraction.domain.xml_source import XmlSource
from taskhub.errors import Rejected

URL = "https://shop.example.com/list"


def reading_of(text: str, *selectors: str, media_type: str = "", **rule: Any) -> PageReading:
    fields = [{"name": chr(ord("a") + place), "selector": selector} for place, selector in enumerate(selectors)]
    payload = PagesPayload.parse({"request": {"url": URL}, "fields": fields, **rule})
    return read_page(text, URL, payload.rule, media_type=media_type)


def rows(text: str, *selectors: str, **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(record.values()) for record in reading_of(text, *selectors, **options).records]


SHOP = """<!doctype html><html><body><div class="b"><h2><a href="/1">One <i>big</i> lamp</a></h2><p>10</p><p>new</p>
</div><div class="b"><h2><a href="/2">Two</a></h2><p>20</p></div><!-- c --><p id="foot">foot & more</p></body></html>"""
BY_XPATH: dict[str, tuple[tuple[str, ...], dict[str, Any], list[tuple[Any, ...]]]] = {
    "elements": (("//h2/a", "//p"), {}, [("One big lamp", ["10", "new"]), ("Two", "20")]),
    "beside CSS": (("//h2/a", "h2"), {}, [("One big lamp", "One big lamp"), ("Two", "Two")]),
    "texts": (("//h2/a/text()", "//h2/a/@href"), {}, [(["One ", " lamp"], "/1"), ("Two", "/2")]),
    "from the block": (("./h2/a", "./p[1]"), {"commonParent": ".b"}, [("One big lamp", "10"), ("Two", "20")]),
    "blocks": (("./h2", "p"), {"commonParent": "//div[p]"}, [("One big lamp", ["10", "new"]), ("Two", "20")]),
    "out of the block": (
        ("./h2", "./following-sibling::p"),
        {"commonParent": ".b"},
        [("One big lamp", "foot & more"), ("Two", "foot & more")],
    ),
    "computed": (("(count(./p))", "(string(./h2))"), {"commonParent": ".b"}, [("2", "One big lamp"), ("1", "Two")]),
    "in parentheses": (
        ("(//h2)[1]", "(.//p)[last()]"),
        {"commonParent": ".b"},
        [("One big lamp", "new"), (None, "20")],
    ),
    "conditions": (("//div[p='20']/h2/a",), {}, [("Two",)]),
    "a truth": (("./h2", "(boolean(./p[2]))"), {"commonParent": ".b"}, [("One big lamp", "true"), ("Two", "false")]),
    "elements that browsers add": (("/html/body/table/tbody/tr/td",), {}, [("yes",)]),
}


@pytest.mark.parametrize("name", BY_XPATH)
def test_xpath_finds_what_it_says(name: str) -> None:
    selectors, rule, expected = BY_XPATH[name]
    assert rows(f"{SHOP}<table><tr><td>yes</table>", *selectors, **rule) == expected


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ('a:contains("One big")', ["One big lamp"]),
        ("a:contains('Two')", ["Two"]),
        ("a:contains(Two)", ["Two"]),
        ('h2:contains("lamp") a', ["One big lamp"]),
        ('.b:contains("20") h2, #foot:contains("&")', ["Two", "foot & more"]),
        ('a:CONTAINS("Two")', ["Two"]),
        ("a:not(:contains('Two'))", ["One big lamp"]),
        ('a:contains("two")', []),
        ("a[href=':contains(']", []),
    ],
)
def test_contains_looks_at_the_whole_text_of_an_element(selector: str, found: list[str]) -> None:
    assert [row[0] for row in rows(SHOP, selector)] == found


FEED = """<?xml version="1.0" encoding="iso-8859-2"?>
<rss xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:m="http://m/"><channel><title>News</title>
<item><title>Caf&eacute; &amp; b</title><link>https://y.example/1</link><dc:creator>Ada</dc:creator>
<m:content url="/p.png"/></item>
<item><title><![CDATA[<b>B</b>]]></title><link>https://y.example/2</link></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de">
<entry><title>A</title><link href="/a"/></entry></feed>"""
RSS = "application/rss+xml"


@pytest.mark.parametrize(
    ("text", "selectors", "options", "expected"),
    [
        (
            FEED,
            ("item > title", "item > link"),
            {},
            [("Café & b", "https://y.example/1"), ("<b>B</b>", "https://y.example/2")],
        ),
        (FEED, ("title", "dc|creator"), {"commonParent": "item"}, [("Café & b", "Ada"), ("<b>B</b>", None)]),
        (FEED, ("./title", "./dc:creator"), {"commonParent": "//item"}, [("Café & b", "Ada"), ("<b>B</b>", None)]),
        (FEED, ("//item/m:content/@url",), {}, [("/p.png",)]),
        (FEED, ("//none:title",), {}, []),
        (ATOM, ("//entry/title", "entry link"), {}, [("A", "")]),
        ("<a><b>1<b>2</a>", ("b",), {}, [("12",), ("2",)]),
        ("<a><b>1</b></a> rest", ("b",), {}, [("1",)]),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a><b>1&x;2</b></a>', ("b",), {}, [("1&x;2",)]),
    ],
)
def test_xml(text: str, selectors: tuple[str, ...], options: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert rows(text, *selectors, media_type=RSS, **options) == expected
    assert rows(text, *selectors, source="xml", **options) == expected


def test_links_of_feeds_are_links() -> None:
    fields = [
        {"name": "a", "selector": "link", "type": "url", "details": {"fields": [{"name": "t", "selector": "h1"}]}}
    ]
    for text, parent, address in ((FEED, "item", "https://y.example/1"), (ATOM, "entry", "https://shop.example.com/a")):
        rule = PagesPayload.parse({"request": {"url": URL}, "fields": fields, "commonParent": parent}).rule
        reading = read_page(text, URL, rule, media_type=RSS)
        assert reading.records[0]["a"] == address
        assert reading.links[0].url == address


def test_the_language_of_xml() -> None:
    assert (XmlSource(ATOM).language, XmlSource("<a/>").language) == ("de", "")


DATA = {
    "items": [
        {"id": "a", "name": "A", "price": 1.234, "tags": ["x", "y"], "maker": {"name": "M"}, "new": True},
        {"id": "b", "name": "B", "price": None, "tags": []},
    ],
    "next": "/list?page=2",
}


@pytest.mark.parametrize(
    ("selectors", "options", "expected"),
    [
        (("$.items[*].name", "$.items[*].price"), {}, [("A", 1.234), ("B", None)]),
        (("name", "price", "new"), {"commonParent": "$.items"}, [("A", 1.234, True), ("B", None, None)]),
        (("name", "tags"), {"commonParent": "$.items[*]"}, [("A", ["x", "y"]), ("B", None)]),
        (("maker.name", "maker"), {"commonParent": "items"}, [("M", '{"name": "M"}')]),
        (("$..name",), {}, [("A",), ("M",), ("B",)]),
        (("name",), {"commonParent": "$.items[?(@.price > 1)]"}, [("A",)]),
        (("$.items[0].name", "$.next"), {}, [("A", "/list?page=2")]),
        (("$.nothing",), {}, []),
    ],
)
def test_json(selectors: tuple[str, ...], options: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert rows(json.dumps(DATA), *selectors, source="json", **options) == expected
    assert rows(f")]}}',\n{json.dumps(DATA)}", *selectors, source="json", **options) == expected


def test_json_by_its_media_type_and_by_its_selectors() -> None:
    for media_type in ("application/json", "application/ld+json", "text/json", "application/vnd.api+json"):
        assert rows(json.dumps(DATA), "name", media_type=media_type, commonParent="items") == [("A",), ("B",)]
    assert rows(json.dumps(DATA), "$.items[*].id", media_type="text/html") == [("a",), ("b",)]
    assert rows(json.dumps([{"n": 1}, {"n": 2}]), "n", source="json") == [(1,), (2,)]


def test_lists_of_json_go_on() -> None:
    reading = reading_of(json.dumps(DATA), "$.items[*].id", paginator="$.next")
    assert reading.next == ["https://shop.example.com/list?page=2"]


def test_what_is_no_json_or_xml_fails() -> None:
    for kind in ("json", "xml"):
        with pytest.raises(PageFailure, match="It is no"):
            reading_of("", "a", source=kind)


LINKED = """<script type="application/ld+json">{"@context": "https://schema.org", "@graph": [
{"@type": "Product", "name": "Lamp", "offers": {"price": "12.50"}}, {"@type": "Person", "name": "Ada"}]}</script>
<script type='application/LD+JSON'>[{"@type": "Product", "name": "Table",}]</script>
<script type="application/ld+json">{</script>"""


def test_linked_data() -> None:
    product = "$[?(@['@type'] == 'Product')]"
    assert rows(LINKED, "name", "offers.price", source="jsonld", commonParent=product) == [
        ("Lamp", "12.50"),
        ("Table", None),
    ]
    assert rows(LINKED, "name", source="jsonld") == [("Lamp",), ("Ada",), ("Table",)]
    assert rows("<p>nothing", "name", source="jsonld") == []


STATE = '{"list": [{"n": "A", "p": 1}, {"n": "B", "p": 2}]}'


@pytest.mark.parametrize(
    "script",
    [
        STATE,
        f"<!-- {STATE} -->",
        f"window.dataLayer = []; window.__STATE__ = {STATE}; function f() {{ return {{}} }}",
        "var state = {list: [{n: 'A', p: 1,}, {n: \"B\", p: 2}], // what is shown\n};",
        f"window.__STATE__ = JSON.parse({json.dumps(STATE)});",
        f"window.__STATE__ = JSON.parse('{STATE}');",
        f"callback({STATE});",
        f"//<![CDATA[\n{STATE}\n//]]>",
        f"/* <![CDATA[ */\n{STATE}\n/* ]]> */",
        f"<!--//--><![CDATA[//><!--\n{STATE}\n//--><!]]>",
        "// {n: 1}\n{list: [{n: 'A', p: 1}, {n: 'B', p: 2},],}",
    ],
)
def test_data_in_scripts(script: str) -> None:
    page = f"<script>var a = 1</script><script id='data'>{script}</script>"
    for selector in ("#data", "//script[@id]", 'script:contains("list")'):
        assert rows(page, "n", "p", source={"script": selector}, commonParent="list") == [("A", 1), ("B", 2)]


def test_what_scripts_write_without_quotes_are_values() -> None:
    written = "{a: undefined, b: !0, c: [!1, void 0, NaN], d: {e: Infinity}, f: 'yes'}"
    assert script_data(f"window.state = {written}") == {
        "a": None, "b": True, "c": [False, None, None], "d": {"e": None}, "f": "yes",
    }  # fmt: skip


MARKUP = '<p>Hi <b>you</b> <a href="/x">x</a></p>'


@pytest.mark.parametrize(
    ("text", "block", "selector"),
    [
        (f"<r><i><d><![CDATA[{MARKUP}]]></d></i></r>", "i", "d"),
        (f"<r><i><d>{escape(MARKUP)}</d></i></r>", "i", "./d"),
        (f"<r><i><d>{escape(MARKUP)}</d></i></r>", "i", "./d/text()"),
        (f'<r><i><d type="xhtml">{MARKUP}</d></i></r>', "i", "d"),
        (json.dumps({"i": [{"d": MARKUP}]}), "$.i", "d"),
    ],
    ids=["CDATA", "escaped", "text node", "elements", "JSON"],
)
def test_markup_in_the_texts_of_feeds_and_of_json_becomes_markdown(text: str, block: str, selector: str) -> None:
    kind = "json" if text.startswith("{") else "xml"
    fields = [{"name": "a", "selector": selector, "type": "markdown"}]
    payload = PagesPayload.parse({"request": {"url": URL}, "fields": fields, "commonParent": block, "source": kind})
    [record] = read_page(text, URL, payload.rule).records
    assert record == {"a": "Hi **you** [x](https://shop.example.com/x)"}


def test_blocks_that_go_on_behind_their_element() -> None:
    page = "<table><tr class=a><td>1<tr><td class=s>x<tr class=a><td>2<tr><td class=s>y<tr><td class=s>z</table>"
    found = rows(page, ".a td", ".s", commonParent="tr.a", block="following")
    assert found == [("1", "x"), ("2", ["y", "z"])]


@pytest.mark.parametrize(
    ("declared", "media_type", "kind"),
    [
        ("", "text/html", "html"),
        ("", "application/xhtml+xml", "html"),
        ("", "", "html"),
        ("", "text/xml", "xml"),
        ("", "application/atom+xml", "xml"),
        ("", "application/problem+json", "json"),
        ("html", "application/json", "html"),
        ("json", "text/plain", "json"),
    ],
)
def test_as_what_a_page_is_read(declared: str, media_type: str, kind: str) -> None:
    assert source_kind(declared, media_type) == kind


BROKEN = {"fields": [{"name": "b", "selector": "//b["}]}


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "//a["}]}),
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "//nothing()"}]}),
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "a:contains("}]}),
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "$.a["}]}),
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "h2 > a"}], "source": "json"}),
        ("/fields/0/selector", {"fields": [{"name": "a", "selector": "$" + ".a" * 70}]}),
        ("/commonParent", {"commonParent": "(//a"}),
        ("/paginator/nextPageSelector", {"paginator": {"nextPageSelector": "//a["}}),
        ("/fields/0/details/fields/0/selector", {"fields": [{"name": "a", "selector": "a", "details": BROKEN}]}),
        ("/source", {"source": "pdf"}),
        ("/source", {"source": {"kind": "json"}}),
        ("/source/script", {"source": {"script": ""}}),
        ("/source/script", {"source": {"script": "a["}}),
        ("/source/other", {"source": {"script": "a", "other": 1}}),
        ("/block", {"block": "sibling"}),
        ("/block", {"block": "following", "source": "json", "commonParent": "$"}),
        ("/commonParent", {"block": "following"}),
    ],
)  # fmt: skip
def test_faults_of_selectors_have_their_places(place: str, rule: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse({"request": {"url": URL}, "fields": [{"name": "a", "selector": "a"}], **rule})
    assert place in {error["pointer"] for error in caught.value.errors}


PIECES = st.sampled_from(
    ["<div>", "</div>", "<p a:b=1 @c>", "</p>", "<x:y>", "<svg><Q>", "<!--", "-->", "t\x01", "<", "&", "\x00"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_page_is_the_same_to_both_languages(html: str) -> None:
    by_css = reading_of(html, "p, div").records
    assert reading_of(html, "//*[self::p or self::div]").records == by_css


@given(st.text(max_size=60))
def test_any_text_is_read_or_fails(text: str) -> None:
    for options in ({"source": "xml"}, {"source": "json"}, {"source": "jsonld"}, {"source": {"script": "script"}}):
        try:
            assert isinstance(rows(text, "a", **options), list)
            assert isinstance(rows(f"<script>{text}</script>", "a", **options), list)
        except PageFailure:
            continue


def test_data_in_scripts_is_read_as_json_where_there_is_no_chompjs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chompjs", None)
    load_libraries(["chompjs"])
    assert script_data('window.data = {"list": [1]}; go()') == {"list": [1]}
    assert script_data("window.data = {n: 1}") is None
