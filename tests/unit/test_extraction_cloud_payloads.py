"""Payloads in the words of the extraction cloud's documentation, against pages of the bundled site."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.browser_actions import PageAction
from extraction.domain.page_reader import read_page
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.render_job import BrowserAction
from extraction.domain.single_page_payload import PRODUCT, parse_single_page
from extraction.examples.site import respond
from extraction.services.payloads import parse_payload
from taskhub.errors import Rejected
from taskhub.jsontools.schema import FAULTS_MAX

SITE = "http://shop.example"


def sent(fields: list[dict[str, Any]] | None = None, **values: Any) -> dict[str, Any]:
    first = [{"name": "Title", "selector": "h2 a", "attrs": ["text"], "type": 1, "filters": [{"name": "trim"}]}]
    return {
        "name": "shop.example",
        "request": {"url": f"{SITE}/", "type": "base"},
        "fields": fields or first,
        "commonParent": ".book",
        "format": "json",
        **values,
    }


def first_record(payload: dict[str, Any], path: str = "/") -> dict[str, Any]:
    html = respond(path)
    assert html is not None
    return read_page(html, f"{SITE}{path}", PagesPayload.parse(payload).rule).records[0]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ({"selector": "h2 a", "type": 1}, {"F": "Book 1"}),
        ({"selector": "h2 a", "type": 2}, {"F_href": f"{SITE}/book/1", "F_text": "Book 1"}),
        ({"selector": "img", "type": 0}, {"F_src": f"{SITE}/covers/1.png", "F_alt": "Cover 1"}),
        ({"selector": "img", "type": 3}, {"F_src": f"{SITE}/covers/1.png", "F_alt": "Cover 1"}),
        ({"selector": "img", "type": 0, "attrs": ["alt"]}, {"F_alt": "Cover 1"}),
        ({"selector": "h2 a", "type": 2, "attrs": ["class", "text"]}, {"F_class": None, "F_text": "Book 1"}),
        ({"selector": ".author", "attrs": ["class"]}, {"F_class": "author"}),
        ({"selector": ".author", "attrs": ["outerHtml"]}, {"F_outerHtml": '<p class="author"> Bo Åkesson </p>'}),
        ({"selector": ".author", "attrs": ["OUTERHTML"]}, {"F_outerHtml": '<p class="author"> Bo Åkesson </p>'}),
        ({"selector": ".author", "filters": [{"name": "normal"}]}, {"F": " Bo Åkesson "}),
        ({"selector": ".author", "filters": [{"name": "Normal"}, {"name": "Trim"}]}, {"F": "Bo Åkesson"}),
        ({"selector": ".author", "filters": [{"name": "squeeze"}, {"name": "upperCase"}]}, {"F": "BO ÅKESSON"}),
        ({"selector": ".tag"}, {"F": ["tag 1", "tag 1"]}),
        ({"selector": ".tag", "filters": [{"name": "concatinate"}]}, {"F": "tag 1 tag 1"}),
        ({"selector": ".tag", "filters": [{"name": "concatenate"}, {"name": "capitalize"}]}, {"F": "Tag 1 Tag 1"}),
        ({"selector": ".tag", "filters": [{"name": "regex", "param": "\\d"}, "concatenate"]}, {"F": "1 1"}),
        ({"selector": ".tag", "filters": ["concatenate", {"name": "regex", "param": "\\d"}]}, {"F": "11"}),
        ({"selector": ".nothing", "filters": ["concatenate"]}, {"F": None}),
        (
            {"selector": "h2 a", "attrs": ["href"], "filters": ["uppercase", "concatenate"]},
            {"F_href": f"{SITE}/book/1"},
        ),
        ({"selector": ".price", "filters": [{"name": "regex", "param": "[0-9]+\\.[0-9]+"}]}, {"F": "6.25"}),
        ({"selector": ".price", "filters": [{"name": "regex", "param": "\\d+"}]}, {"F": "625"}),
        ({"selector": ".price", "filters": [{"name": "regex", "param": "\\d*"}]}, {"F": "625"}),
        ({"selector": ".price", "filters": [{"name": "regex", "param": "USD"}]}, {"F": None}),
    ],
)
def test_a_field(field: dict[str, Any], values: dict[str, Any]) -> None:
    record = first_record(sent([{"name": "F", **field}, {"name": "Title", "selector": "h2 a"}]))
    assert record == values | {"Title": "Book 1"}


@pytest.mark.parametrize("attr", ["@click", "data-X", ":title", "*ngif", "[value]"])
def test_any_attribute_of_html_is_one(attr: str) -> None:
    payload = PagesPayload.parse(sent([{"name": "F", "selector": "b", "attrs": [attr]}], commonParent=""))
    [record] = read_page(f"<b {attr}=x>t</b>", SITE, payload.rule).records
    assert record == {f"F_{attr.lower()}": "x"}


def test_attributes_whose_names_have_capitals_are_found() -> None:
    payload = PagesPayload.parse(sent([{"name": "F", "selector": "svg", "attrs": ["viewBox"]}], commonParent=""))
    assert read_page('<svg viewBox="0 0 1 1"></svg>', SITE, payload.rule).records == [{"F_viewbox": "0 0 1 1"}]


def test_pages_of_details_are_those_of_the_links_whatever_their_address_says() -> None:
    details = {
        "name": "DetailsPage",
        "request": {"url": f"{SITE}/book/7", "type": ""},
        "fields": [{"name": "Isbn", "selector": ".isbn", "attrs": ["text"]}],
        "paginator": "",
        "path": False,
    }
    payload = PagesPayload.parse(sent([{"name": "Book", "selector": "h2 a", "attrs": ["href"], "details": details}]))
    reading = read_page(respond("/") or "", f"{SITE}/", payload.rule)
    assert [link.url for link in reading.links][:2] == [f"{SITE}/book/1", f"{SITE}/book/2"]


@pytest.mark.parametrize(
    ("values", "pages"),
    [
        ({"paginator": {"nextPageSelector": ".next", "pageNum": 2}}, 2),
        ({"paginator": {"selector": ".next", "attr": "href", "maxPages": 2, "type": "next"}}, 2),
        ({"paginator": ".next"}, None),
        (
            {"paginator": {"selector": "", "attr": "", "type": "infinite"}, "request": {"url": SITE, "type": "chrome"}},
            None,
        ),
    ],
)
def test_a_paginator(values: dict[str, Any], pages: int | None) -> None:
    payload = PagesPayload.parse(sent(**values))
    assert payload.paginator
    assert payload.paginator.pages == pages


def test_the_number_of_pages_may_stand_beside_the_fields() -> None:
    assert PagesPayload.parse(sent(pageNum=3)).max_pages == 3
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse(sent(pageNum=0))
    assert caught.value.errors[0]["pointer"] == "/pageNum"


@pytest.mark.parametrize("format", ["csv", "json", "jsonl", "excel", "xml", "MS Excel", "JSON(Lines)", "JSON Lines"])
def test_a_format(format: str) -> None:
    assert PagesPayload.parse(sent(format=format)).format in {"csv", "json", "jsonl", "xlsx", "xml"}


@pytest.mark.parametrize("proxy", ["country-any", "country-us", "Country-SK", " country-de "])
@pytest.mark.parametrize("single", [False, True])
def test_a_country_is_no_proxy_here(proxy: str, single: bool) -> None:
    target = {"url": f"{SITE}/", "proxy": proxy}
    payload: Any = parse_payload({**target, PRODUCT: "html"} if single else sent(request=target), single=single)
    assert payload.first_request.proxies == ()
    [(name, text)] = payload.first_request.warnings()
    assert (name, f"The proxy {proxy.strip()} is not used" in text) == ("proxy", True)


@pytest.mark.parametrize("proxy", ["http://1.2.3.4:3128", "1.2.3.4:3128"])
def test_a_proxy_may_lack_its_scheme(proxy: str) -> None:
    payload = PagesPayload.parse(sent(request={"url": SITE, "proxy": proxy}))
    assert payload.request.proxies == ("http://1.2.3.4:3128",)
    assert list(payload.request.warnings()) == []


WAIT, CLICK = BrowserAction("wait", ":root"), BrowserAction("click", ".go")
FILL = BrowserAction("fill", "#search", "kit")


@pytest.mark.parametrize(
    ("action", "done"),
    [
        ({"waitFor": {"waitForSelector": ":root"}}, WAIT),
        ({"waitFor": ":root"}, WAIT),
        ({"waitForSelector": ":root"}, WAIT),
        ({"click": {"clickSelector": ".go"}}, CLICK),
        ({"click": ".go"}, CLICK),
        ({"clickSelector": ".go"}, CLICK),
        ({"input": {"inputSelector": "#search", "inputText": "kit"}}, FILL),
        ({"fill": {"selector": "#search", "value": "kit"}}, FILL),
        ({"inputSelector": "#search", "inputText": "kit"}, FILL),
        ({"scroll": {"paginate": 3}}, BrowserAction("scroll", times=3)),
        ({"scroll": {"paginate": "3"}}, BrowserAction("scroll", times=3)),
        ({"scroll": {"paginate": 3, "element": ".more"}}, BrowserAction("scroll", ".more", times=3)),
        ({"paginate": 3}, BrowserAction("scroll", times=3)),
        ({"scroll": "bottom"}, BrowserAction("scroll", value="bottom")),
        ({"scroll": "#end"}, BrowserAction("scroll", "#end")),
        ({"scroll": -50}, BrowserAction("scroll", pixels=-50)),
    ],
)
def test_an_action_in_both_spellings(action: dict[str, Any], done: BrowserAction) -> None:
    assert PageAction.model_validate(action).browser_action() == done


@pytest.mark.parametrize(
    ("action", "pointer", "words"),
    [
        ({"waitFor": {}}, "/waitFor/waitForSelector", "required"),
        ({"waitFor": {"waitForSelector": "["}}, "/waitFor/waitForSelector", "no CSS selector"),
        ({"waitFor": {"clickSelector": "a"}}, "/waitFor/clickSelector", "no such name"),
        ({"click": {"clickSelector": 5}}, "/click/clickSelector", "Must be a text"),
        ({"click": 5}, "/click", "Must be a text"),
        ({"clickSelector": "["}, "/clickSelector", "no CSS selector"),
        ({"input": {"inputText": "x"}}, "/input/inputSelector", "required"),
        ({"inputText": "x"}, "/inputSelector", "required"),
        ({"inputSelector": "a", "clickSelector": "b"}, "/inputSelector", "no such name"),
        ({"scroll": {"paginate": 0}}, "/scroll/paginate", "at least 1"),
        ({"scroll": {"paginate": 101}}, "/scroll/paginate", "at most 100"),
        ({"scroll": {"paginate": "many"}}, "/scroll/paginate", "whole number"),
        ({"scroll": {"element": ".more"}}, "/scroll/paginate", "required"),
        ({"scroll": {"paginate": 1, "element": "["}}, "/scroll/element", "no CSS selector"),
        ({"waitFor": ":root", "click": "a"}, "", "one of waitFor"),
    ],
)
def test_a_fault_in_an_action_has_its_place(action: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse(sent(request={"url": SITE, "type": "chrome", "actions": [action]}))
    faults = {fault["pointer"]: fault["detail"] for fault in caught.value.errors}
    assert words in faults.get(f"/request/actions/0{pointer}", ""), faults


def test_waiting_in_a_page_that_is_not_rendered_is_left_out_with_a_warning() -> None:
    printed = {
        "proxy": "country-any",
        "type": "base",
        "url": SITE,
        "actions": [{"waitFor": {"waitForSelector": ":root"}}],
    }
    payload: Any = parse_single_page({**printed, PRODUCT: "html"})
    assert [name for name, _ in payload.first_request.warnings()] == ["proxy", "actions"]


OLDER = {
    "name": "older",
    "request": {"url": SITE, "userToken": "5a08"},
    "fields": [
        {
            "name": "Title",
            "selector": "h2 a",
            "extractor": {
                "types": ["text", "href"],
                "filters": ["trim"],
                "displayAs": 2,
                "params": {"regexp": "", "includeIfEmpty": False, "more": 1},
            },
            "details": {"fields": [{"name": "Isbn", "selector": ".isbn", "extractor": {"types": ["text"]}}]},
        },
        {"name": "Price", "selector": ".price", "extractor": None, "type": 1},
        {"name": "Tag", "selector": ".tag", "extractor": "text"},
    ],
    "paginator": {"selector": ".next", "attr": "href", "maxPages": 3},
    "format": "json",
    "fetcherType": "chrome",
    "paginateResults": False,
    "fetchDelay": 0,
    "compressor": "gzip",
}
FIRST = "/fields/0/extractor"


@pytest.mark.parametrize("at", ["", "/payload"])
def test_each_key_of_the_older_format_says_what_to_write_instead(at: str) -> None:
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse(OLDER, at)
    details = {str(fault["pointer"]).removeprefix(at): fault["detail"] for fault in caught.value.errors}
    assert details.keys() == {
        "/request/userToken",
        *(f"{FIRST}/{name}" for name in ("types", "filters", "displayAs")),
        *(f"{FIRST}/params/{name}" for name in ("regexp", "includeIfEmpty", "more")),
        "/fields/0/details/fields/0/extractor/types",
        "/fields/2/extractor",
        *(f"/{name}" for name in ("fetcherType", "paginateResults", "fetchDelay", "compressor")),
    }
    assert '"attrs"' in details[f"{FIRST}/types"]
    assert '"regex"' in details[f"{FIRST}/params/regexp"]
    assert '"type" in "request"' in details["/fetcherType"]
    assert "no such name" not in " ".join(details.values())


NAMES = st.sampled_from(
    [
        "extractor",
        "types",
        "params",
        "filters",
        "regexp",
        "fetcherType",
        "a/b~",
        "paginate",
        "element",
        "scroll",
        "input",
        "inputSelector",
        "clickSelector",
        "waitFor",
        "click",
        "details",
        "request",
        "fields",
        "name",
        "selector",
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", "[", "3", "bottom", "country-x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@given(ANYTHING, st.dictionaries(NAMES, ANYTHING, max_size=4), st.lists(ANYTHING, max_size=3))
def test_whatever_stands_there_is_refused_with_places(value: Any, field: Any, actions: Any) -> None:
    fields = [{"name": "a", "selector": "b"}, {"name": "c", "selector": "d", **field, "extractor": value}]
    request = {"url": SITE, "type": "chrome", "actions": actions, "proxy": value}
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse({"request": request, "fields": fields, "fetcherType": "base"}, "/payload")
    pointers = [str(fault["pointer"]) for fault in caught.value.errors]
    assert all(pointer.startswith("/payload/") for pointer in pointers)
    assert "/payload/fetcherType" in pointers or len(pointers) >= FAULTS_MAX
