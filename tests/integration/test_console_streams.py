"""The console's pages of streams: the list, the documents of one as a table, and one document."""

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from taskhub.console import stream_pages
from tests.conftest import Person
from tests.integration.test_crawlers_uploads import Crawl, doc

pytestmark = pytest.mark.django_db


@pytest.fixture
def crawl(owner: Person) -> Crawl:
    return Crawl(owner)


def page_of(browser: Client, crawl: Crawl, query: str = "") -> Any:
    return browser.get(f"/console/streams/{crawl.stream['fid']}{query}")


def cells(page: Any, label: str) -> list[str]:
    """The cells of one column of a table, as somebody reads them."""
    found = re.findall(rf'<td data-label="{label}"[^>]*>(.*?)</td>', page.text)
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in found]


def links(page: Any, text: str) -> list[str]:
    """Where the links with a text lead."""
    return [html.unescape(address) for address in re.findall(rf'href="([^"]*)"[^>]*>{text}<', page.text)]


def test_streams_are_listed_for_those_who_may_see_them(
    browser: Client, crawl: Crawl, stranger: Person, colleague: Person
) -> None:
    task = crawl.task()
    crawl.upload(task, doc("a"), doc("b"))
    page = browser.get("/console/streams")
    assert links(page, "shoes") == [f"/console/streams/{crawl.stream['fid']}"]
    assert cells(page, "Documents") == ["2"]
    assert cells(page, "Last task")[0].startswith("102")
    browser.force_login(stranger.user)
    empty = browser.get("/console/streams")
    assert "There are no streams yet." in empty.text
    assert links(empty, "crawler") == ["/console/crawlers"]
    browser.force_login(colleague.user)
    assert cells(browser.get("/console/streams"), "Owner") == ["owner@example.com"]


def test_the_list_has_pages(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_pages, "STREAMS", 1)
    for name in ("boots", "shoes"):
        owner.post("/streams", {"name": name})
    page = browser.get("/console/streams")
    assert cells(page, "Stream") == ["shoes"]
    (more,) = links(page, "More")
    assert cells(browser.get(f"/console/streams{more}"), "Stream") == ["boots"]


def test_documents_are_a_table_of_their_first_level(browser: Client, crawl: Crawl) -> None:
    more = {"<b>": "<i>", "long": "x" * 500, "seller": {"name": "Mo"}, "none": None, "yes": True, "exact": 2**70}
    crawl.upload(crawl.task(), more | doc("a", 1.5))
    page = page_of(browser, crawl)
    names = re.findall(r"<th scope=\"col\">(.*?)</th>", page.text)
    assert names[:3] == ["Id", "sku", "price"]  # as the schema has them
    assert sorted(names[3:9]) == sorted(["&lt;b&gt;", "long", "seller", "none", "yes", "exact"])
    assert (cells(page, "price"), cells(page, "yes"), cells(page, "exact")) == (["1.5"], ["true"], [str(2**70)])
    assert cells(page, "seller") == ['{"name":"Mo"}']
    assert cells(page, "long")[0] == f"{'x' * 120}..."
    assert "&lt;i&gt;" in page.text


def test_columns_beyond_a_dozen_are_counted(browser: Client, crawl: Crawl) -> None:
    crawl.upload(crawl.task(), doc("a") | {f"field{number}": number for number in range(20)})
    page = page_of(browser, crawl)
    assert cells(page, "field9") == ["9"]
    assert cells(page, "field10") == []
    assert "And 10 more fields" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["b", "a"]),
        ("?order=id&where=", ["a", "b"]),
        ("?where=$.price+%3E+1", ["b"]),
        ("?where=$.price+%3E+9", []),
        ("?since=2020-01-01", ["b", "a"]),
        ("?until=2020-01-01", []),
        ("?fields=sku,seller.name", ["b", "a"]),
    ],
)
def test_documents_are_filtered_and_exported_alike(browser: Client, crawl: Crawl, query: str, found: list[str]) -> None:
    crawl.upload(crawl.task(), doc("a", 1), doc("b", 2))
    page = page_of(browser, crawl, query)
    assert cells(page, "sku") == found
    assert ("No document is like that." in page.text) == (not found)
    (export,) = links(page, "JSON Lines")
    lines = browser.get(export).getvalue().splitlines()
    assert [json.loads(line)["sku"] for line in lines] == found


def test_chosen_fields_are_the_columns(browser: Client, crawl: Crawl) -> None:
    crawl.upload(crawl.task(), doc("a", seller={"name": "Mo"}))
    page = page_of(browser, crawl, "?fields=seller.name,sku")
    assert (cells(page, "seller.name"), cells(page, "sku"), cells(page, "price")) == (["Mo"], ["a"], [])


@pytest.mark.parametrize(
    "query", ["where=$$", "since=yesterday", "nonsense=1", "cursor=x", "order=best", "task=x", "fields=,"]
)
def test_a_filter_that_cannot_be_is_told(browser: Client, crawl: Crawl, query: str) -> None:
    page = page_of(browser, crawl, f"?{query}")
    assert page.status_code == 200
    assert f'role="alert">{query.partition("=")[0]}' in page.text
    assert links(page, "CSV") == []


@pytest.mark.parametrize("order", ["newest", "id"])
def test_pages_go_on_by_a_cursor(browser: Client, crawl: Crawl, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(stream_pages, "DOCUMENTS", 2)
    crawl.upload(crawl.task(), *map(doc, "abcde"))
    found, page = list[str](), page_of(browser, crawl, f"?order={order}")
    while True:
        found += cells(page, "sku")
        following = links(page, "Next page")
        if not following:
            break
        page = browser.get(following[0])
    assert found == (list("abcde") if order == "id" else list("edcba"))
    assert links(page, "First page") == [f"/console/streams/{crawl.stream['fid']}?order={order}"]


def test_the_documents_of_one_task_are_its_change_set(browser: Client, crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("a"), doc("b"))
    crawl.end(first)
    crawl.upload(crawl.task(), doc("c"))
    page = page_of(browser, crawl)
    assert cells(page, "sku") == ["c", "b", "a"]
    assert links(page, "its documents")[1] == f"?task={first}"
    assert cells(page_of(browser, crawl, f"?task={first}"), "sku") == ["b", "a"]


@pytest.mark.parametrize("sku", ["a", "1", "a/../b", "//", "ä?#%41&", '"', "x" * 3000, "<b>"])
def test_a_document_is_found_by_the_link_of_its_row(browser: Client, crawl: Crawl, sku: str) -> None:
    assert crawl.upload(crawl.task(), doc(sku)).status_code == 200
    (address,) = re.findall(r'href="(/console/streams/[^"]*/docs/[^"]*)"', page_of(browser, crawl).text)
    page = browser.get(address)
    assert page.status_code == 200
    assert html.escape(sku[:40]) in page.text
    (source,) = links(page, "JSON")
    assert browser.get(source).json()["payload"] == doc(sku)


def test_what_is_no_document_is_not_found(browser: Client, crawl: Crawl) -> None:
    assert browser.get(f"/console/streams/{crawl.stream['fid']}/docs/nothing").status_code == 404


def test_a_new_stream_says_what_fills_it(browser: Client, crawl: Crawl) -> None:
    assert "It has no documents yet." in page_of(browser, crawl).text
