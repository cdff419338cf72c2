"""A payload is checked completely before anything is fetched, and each fault has its place."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.pages_payload import PagesPayload
from extraction.domain.result_formats import format_named
from extraction.domain.tables import TableLosses, columns_of, rows_of
from extraction.domain.text_filters import TextFilter, apply_filters
from taskhub.errors import Rejected
from taskhub.jsontools.schema import FAULTS_MAX
from taskhub.table_cells import escape_formula

GOOD: dict[str, Any] = {
    "name": "Shop",
    "request": {
        "url": "https://shop.example.com/#top",
        "type": "base",
        "proxy": "http://proxy.example.com:8080",
        "headers": {"X-Shop": "1"},
        "cookies": {"lang": "en"},
        "method": "POST",
        "form": {"q": "lamp", "page": 1},
    },
    "commonParent": ".product",
    "fields": [
        {"name": "Title", "selector": "h2 a", "attrs": ["href", "text"], "filters": [{"name": "trim"}]},
        {
            "name": "Link",
            "selector": "h2 a",
            "details": {"request": {"url": ""}, "fields": [{"name": "Isbn", "selector": ".isbn"}], "paginator": ""},
        },
    ],
    "paginator": {"nextPageSelector": "a.next", "pageNum": 3},
    "format": "MS Excel",
    "gzip": True,
    "maxPages": 100,
    "maxCredits": 50,
    "delay": 0.5,
}


def with_value(place: str, value: Any) -> dict[str, Any]:
    """GOOD with something else at a place, which is a JSON pointer."""
    sent: Any = deepcopy(GOOD)
    *way, last = [int(step) if step.isdecimal() else step for step in place.strip("/").split("/")]
    holder = sent
    for step in way:
        holder = holder[step]
    holder[last] = value
    return dict(sent)


def test_everything_is_read() -> None:
    payload = PagesPayload.parse(GOOD)
    assert payload.request.address == "https://shop.example.com/"
    assert payload.request.method == "POST"
    assert payload.request.body == (b"q=lamp&page=1", "application/x-www-form-urlencoded")
    assert (payload.format, payload.gzip, not payload.ignore_robots, payload.delay) == ("xlsx", True, True, 0.5)
    assert (payload.max_pages, payload.max_credits) == (100, 50)
    assert payload.paginator
    assert (payload.paginator.selector, payload.paginator.attr, payload.paginator.pages) == ("a.next", "href", 3)
    assert [rule.number for rule in payload.rule.walk()] == [0, 1]
    assert payload.rule.depth() == 2
    assert columns_of(payload.rule) == ("Title_href", "Title_text", "Link", "Link_details_Isbn")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("/nonsense", 1, "no such name"),
        ("/name", 5, "Must be a text"),
        ("/name", "x" * 201, "at most 200"),
        ("/name", "a\nb", "control"),
        ("/request", None, "required"),
        ("/request", "https://shop.example.com", "object"),
        ("/request/url", "", "required"),
        ("/request/url", "ftp://shop.example.com", "http or https"),
        ("/request/url", "http://", "http or https"),
        ("/request/type", "lynx", "base or chrome"),
        ("/request/proxy", "socks4://x", "socks5 or socks5h"),
        ("/request/proxy", "socks5://", "socks5 or socks5h"),
        ("/request/proxy", "socks5://h:99999", "socks5 or socks5h"),
        ("/request/proxy", "socks5://h:0", "socks5 or socks5h"),
        ("/request/proxy", "socks5://h/path", "socks5 or socks5h"),
        ("/request/proxy", "socks5://[::1", "socks5 or socks5h"),
        ("/request/proxy", "socks5://user@h", "a user name with a password"),
        ("/request/proxy", "socks5://:password@h", "a user name with a password"),
        ("/request/proxy", "socks5h://us%C3%A9r:password@h", "ASCII"),
        ("/request/proxy", f"socks5://user:{'p' * 256}@h", "255"),
        ("/request/proxy", "http://10.0.0.1\\@example.com/", "http or https"),
        ("/request/proxy", "http://example.com\\", "http or https"),
        ("/request/proxy", "http://exa mple.com/", "http or https"),
        ("/request/proxy", "http://[::1", "http or https"),
        ("/request/proxy", "http://h:99999/", "http or https"),
        ("/request/method", "HEAD", "such as GET"),
        ("/request/headers", ["X: 1"], "object"),
        ("/request/headers/X-Shop", None, "text"),
        ("/request/headers/X-Shop", "a\r\nHost: evil", "value of a header"),
        ("/request/headers/Host", "evil", "the hub's own"),
        ("/request/headers/a b", "x", "name of a header"),
        ("/request/cookies", {"a;b": "c"}, "no cookie"),
        ("/request/cookies", {"a": "c\nd"}, "no cookie"),
        ("/request/cookies", 7, "object"),
        ("/request/body", "x", "beside form"),
        ("/commonParent", "..", "no CSS selector"),
        ("/fields", [], "At least one"),
        ("/fields", {}, "list"),
        ("/fields", [{"name": "a", "selector": "b"}] * 201, "at most 200"),
        ("/fields/0", "Title", "object"),
        ("/fields/0/name", "", "required"),
        ("/fields/0/selector", "h2[", "no CSS selector"),
        ("/fields/0/selector", "", "required"),
        ("/fields/0/selector", "x" * 1001, "at most 1000"),
        ("/fields/0/selectors", "h2", "no such name"),
        ("/fields/0/type", "video", "text, link or image"),
        ("/fields/0/type", [1], "text, link or image"),
        ("/fields/0/attrs", "href", "list"),
        ("/fields/0/attrs/0", "on click", "no attribute"),
        ("/fields/0/attrs/1", "href", "named twice"),
        ("/fields/0/filters/0/name", "reverse", "one of trim"),
        ("/fields/0/filters/0/param", "x", "has none"),
        ("/fields/0/filters/0", {"name": "regex", "param": "("}, "no pattern"),
        ("/fields/0/filters/0", {"name": "regex", "param": "(a)\\1"}, "no pattern"),
        ("/fields/0/filters/0", {"name": "regex"}, "required"),
        ("/fields/0/filters/0", {"name": "regex", "param": "a" * 1001}, "no pattern"),
        ("/fields/1/name", "Title", "one of"),
        ("/fields/1/details/request/headers", {}, "no such name"),
        ("/fields/1/details/gzip", True, "no such name"),
        ("/fields/1/details/fields/0/selector", "[", "no CSS selector"),
        ("/fields/1/details/format", "PDF", "CSV"),
        ("/paginator", 3, "object"),
        ("/paginator", "a[", "no CSS selector"),
        ("/paginator/type", "infinite", "rendered"),
        ("/paginator/type", "prev", "next, more or infinite"),
        ("/paginator/nextPageSelector", "", "required"),
        ("/paginator/pageNum", 0, "at least 1"),
        ("/paginator/pageNum", 1.5, "whole number"),
        ("/paginator/pages", 3, "no such name"),
        ("/path", "yes", "true or false"),
        ("/format", "PDF", "CSV, XLSX"),
        ("/delay", -1, "seconds"),
        ("/maxCredits", "50", "whole number"),
        ("/maxCredits", 10**400, "at most"),
        ("/delay", 10**400, "seconds"),
    ],
)
def test_a_fault_has_its_place(place: str, value: Any, words: str) -> None:
    if place == "/fields/1/name":
        sent = with_value("/fields/1/attrs", ["href", "text"]) | {}
        sent["fields"][1]["name"], words = "Title", "stored under"
    else:
        sent = with_value(place, value)
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse(sent)
    faults = {error["pointer"]: error["detail"] for error in caught.value.errors}
    fault = next((detail for pointer, detail in faults.items() if pointer.startswith(place)), "")
    assert words in fault, faults


def test_all_faults_are_told_at_once_up_to_a_number() -> None:
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse({"request": {}, "fields": [{}] * 50})
    assert len(caught.value.errors) == FAULTS_MAX


def test_a_selector_for_the_block_needs_a_block() -> None:
    with pytest.raises(Rejected, match="commonParent"):
        PagesPayload.parse({"request": {"url": "http://x/"}, "fields": [{"name": "a", "selector": "."}]})


def test_details_nest_so_deep_and_no_deeper() -> None:
    inner: dict[str, Any] = {"fields": [{"name": "a", "selector": "b"}]}
    for _ in range(7):
        inner = {"fields": [{"name": "a", "selector": "b", "details": inner}]}
    assert PagesPayload.parse({"request": {"url": "http://x/"}, **inner}).rule.depth() == 8
    with pytest.raises(Rejected, match="8 deep"):
        PagesPayload.parse(
            {"request": {"url": "http://x/"}, "fields": [{"name": "a", "selector": "b", "details": inner}]}
        )


def nested(name: str, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "selector": "a", "details": {"fields": list(fields), **more}}


T, LINKED = {"name": "t", "selector": "t"}, {"name": "t", "selector": "a", "attrs": ["href", "text"]}
COLLIDING: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a field like one of details": ([nested("B", T), {"name": "B_details_t", "selector": "b"}], "/fields/1/name"),
    "the other way round": (
        [{"name": "B_details_t", "selector": "b"}, nested("B", T)],
        "/fields/1/details/fields/0/name",
    ),
    "an attribute like one of details": (
        [nested("B", LINKED), {"name": "B_details_t_href", "selector": "b"}],
        "/fields/1/name",
    ),
    "two levels deep": (
        [nested("B", nested("C", T)), {"name": "B_details_C_details_t", "selector": "b"}],
        "/fields/1/name",
    ),
    "details of two fields": (
        [nested("B", nested("C", T)), nested("B_details_C", T)],
        "/fields/1/details/fields/0/name",
    ),
    "an attribute like a field": ([LINKED, {"name": "t_href", "selector": "b"}], "/fields/1/name"),
    "a field like the details of one": ([nested("B", T), {"name": "B_details", "selector": "b"}], "/fields/1/name"),
    "in a path": (
        [nested("P", nested("B", T), {"name": "B_details_t", "selector": "b"})],
        "/fields/0/details/fields/1/name",
    ),
}


@pytest.mark.parametrize("path", [False, True])
@pytest.mark.parametrize("name", COLLIDING)
def test_names_are_checked_across_levels(name: str, path: bool) -> None:
    fields, place = COLLIDING[name]
    if path:
        fields, place = [nested("way", *fields)], f"/fields/0/details{place}"
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields, "path": path})
    assert place in [error["pointer"] for error in caught.value.errors]


def test_details_at_the_end_of_a_path_may_have_columns_in_common() -> None:
    fields = [nested("A", T, LINKED | {"name": "u"}), nested("B", T)]
    payload = PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields, "path": True})
    assert columns_of(payload.rule) == ("t", "u_href", "u_text")


def test_a_stored_payload_is_not_checked_again() -> None:
    fields = [nested("B", T), {"name": "B_details_t", "selector": "b"}]
    assert PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields}, stored=True).depth() == 2


def test_a_table_has_no_more_columns_than_a_sheet() -> None:
    fields = [{"name": f"f{n}", "selector": "a", "attrs": [f"a{m}" for m in range(20)]} for n in range(200)]
    inner: dict[str, Any] = {"fields": fields}
    for level in range(5):
        inner = {"fields": [*fields[: 198 - level], {**nested("B"), "details": inner}]}
    with pytest.raises(Rejected, match="16384 columns"):
        PagesPayload.parse({"request": {"url": "http://x/"}, **inner})


@pytest.mark.parametrize("value", ["", None, {}])
def test_no_paginator_is_spelled_in_several_ways(value: Any) -> None:
    assert PagesPayload.parse(with_value("/paginator", value)).paginator is None


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("csv", "csv"),
        ("MS Excel", "xlsx"),
        ("excel", "xlsx"),
        ("XLSX", "xlsx"),
        ("JSON", "json"),
        ("JSON(Lines)", "jsonl"),
        ("json lines", "jsonl"),
        ("JSONL", "jsonl"),
        ("xml", "xml"),
        ("pdf", None),
    ],
)
def test_formats_have_several_names(name: str, format: str | None) -> None:
    assert format_named(name) == format


def test_cookies_may_be_written_as_the_header_has_them() -> None:
    payload = PagesPayload.parse(with_value("/request/cookies", "a=1; b=two"))
    assert payload.request.cookies == {"a": "1", "b": "two"}
    payload = PagesPayload.parse(with_value("/request/cookies", 'cart[items]=1; q="a, b"; näme=ü'))
    assert payload.request.cookies == {"cart[items]": "1", "q": '"a, b"', "näme": "ü"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda v: st.lists(v) | st.dictionaries(st.sampled_from([*GOOD, *GOOD["request"], "x"]), v),
    )
)
def test_anything_else_is_refused_and_nothing_breaks(value: Any) -> None:
    with pytest.raises(Rejected):
        PagesPayload.parse(value)


@given(st.text(max_size=30))
def test_simple_filters_leave_a_text(text: str) -> None:
    for name in ("trim", "squeeze", "uppercase", "lowercase", "capitalize", "concatenate"):
        assert isinstance(apply_filters(text, (TextFilter(name=name),)), str)
    assert apply_filters(text, (TextFilter(name="normal"),)) == text
    assert apply_filters(text, (TextFilter(name="regex", param="[^\\x00-\\x{10FFFF}]"),)) is None


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-5.20", "-5.20"),
        ("+48 123 456", "+48 123 456"),
        ("-1+cmd", "'-1+cmd"),
        ("a=b", "a=b"),
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a,@b|=c\t+d", "a,'@b|'=c\t'+d"),
        ('a";"=1', 'a";"\'=1'),
        ("1;-2,+3.5|-4%", "1;-2,+3.5|-4%"),
        ("red, -blue; @home", "red, -blue; @home"),
        ("https://a/?b=1&c=2", "https://a/?b=1&c=2"),
    ],
)
def test_cells_are_inert(cell: str, written: str) -> None:
    assert escape_formula(cell) == written


def test_details_stand_in_the_row_of_their_record() -> None:
    rule = PagesPayload.parse(GOOD).rule
    record = {
        "Title_href": "https://x/1",
        "Title_text": ["a", "b"],
        "Link": None,
        "Link_details": [{"Isbn": "1"}, {"Isbn": "2\x00"}],
    }
    [row] = rows_of([record], rule, TableLosses())
    assert list(row.values()) == ["https://x/1", "a; b", "", "1; 2\ufffd"]
