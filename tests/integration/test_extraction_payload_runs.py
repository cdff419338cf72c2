"""Payloads that are run at once, on a running hub against the bundled site."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.crawler_client import until
from tests.extraction_sites import Reply, bundled_site, html, serving
from tests.hub import Caller, Hub

FIELDS = [
    {"name": "Number", "selector": ".price", "attrs": ["text"], "type": 1, "filters": [{"name": "trim"}]},
    {"name": "Name", "selector": "h2 a", "attrs": ["href", "text"], "type": 2, "filters": [{"name": "trim"}]},
    {"name": "Picture", "selector": "img", "attrs": ["src", "alt"], "type": 0, "filters": [{"name": "trim"}]},
]


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with bundled_site() as url:
        yield url


@pytest.fixture
def owner(hub: Hub) -> Caller:
    return hub.sign_up()


def payload(url: str, **values: Any) -> dict[str, Any]:
    """One in the words of the extraction cloud's documentation."""
    return {
        "name": "shop.example",
        "request": {"url": f"{url}/", "type": "base", "proxy": "country-any", "waitDelay": 0.5},
        "commonParent": ".book",
        "fields": FIELDS,
        "paginator": {"nextPageSelector": ".next", "pageNum": 2},
        "path": False,
        "format": "json",
        **values,
    }


def balance(caller: Caller) -> int:
    return int(caller.get("/v1/credits").json()["balance"])


@pytest.mark.parametrize("call", ["parse", "extract", "serp"])
def test_the_records_are_the_answer(owner: Caller, shop: str, call: str) -> None:
    before = balance(owner)
    answer = owner.post(f"/v1/{call}", payload(shop))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json"), answer.text
    assert len(answer.json()) == 16
    assert answer.json()[0] == {
        "Number": "Price: 6.25 EUR",
        "Name_href": f"{shop}/book/1",
        "Name_text": "Book 1",
        "Picture_src": f"{shop}/covers/1.png",
        "Picture_alt": "Cover 1",
    }
    assert balance(owner) == before - 2


def test_its_process_can_be_looked_at(hub: Hub, owner: Caller, shop: str) -> None:
    answer = owner.post("/v1/parse", payload(shop))
    place = answer.headers["Location"].removeprefix(owner.url)
    process = owner.get(place).json()
    assert (process["status"], process["taskID"], process["cost"]) == ("finished", "", 2)
    log = requests.get(process["logFile"], timeout=60).text
    assert "warning: /request/proxy: The proxy country-any is not used" in log
    [warning] = owner.get(f"/v1/process/{process['id']}/warnings").json()
    assert (warning["code"], warning["pointer"]) == ("not-used", "/request/proxy")
    run = owner.get(f"/runs/{answer.headers['Link'].partition('/runs/')[2].partition('>')[0]}").json()
    assert run["name"] == "shop.example"
    link = owner.get("/v1/getlink", {"name": process["results"]}).text
    assert requests.get(link, timeout=60).json() == answer.json()
    assert owner.get(f"/v1/process/{process['id']}/export", {"format": "csv"}).text.startswith('"Number","Name_href"')
    assert owner.get("/v1/tasks").json() == []
    assert hub.sign_up().get(place).status_code == 404


@pytest.mark.parametrize(
    ("format", "kind", "start"),
    [
        ("csv", "text/csv; charset=utf-8", b'"Number","Name_href"'),
        ("jsonl", "application/x-ndjson", b'{"Number":'),
        ("excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
        ("xml", "application/xml", b"<?xml"),
    ],
)
def test_the_answer_has_the_format_of_the_payload(
    owner: Caller, shop: str, format: str, kind: str, start: bytes
) -> None:
    answer = owner.post("/v1/parse", payload(shop, format=format))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind), answer.text
    assert answer.content.startswith(start)


def test_details_nest_in_their_record(owner: Caller, shop: str) -> None:
    details = {"request": {"url": f"{shop}/book/9", "type": ""}, "fields": [{"name": "Isbn", "selector": ".isbn"}]}
    fields = [{"name": "Book", "selector": "h2 a", "attrs": ["text"], "details": details}]
    answer = owner.post("/v1/parse", payload(shop, fields=fields, paginator=""))
    assert answer.json()[0] == {"Book": "Book 1", "Book_details": [{"Isbn": "978-0-00-000001-1"}]}


def test_curl_sends_it_without_a_content_type_and_with_a_key(owner: Caller, shop: str) -> None:
    key = owner.post("/user/apikey", {"name": "cloud", "scopes": ["run"]}).json()["key"]
    reader = owner.post("/user/apikey", {"name": "reader", "scopes": ["read"]}).json()["key"]
    body, form = b"\xef\xbb\xbf" + json.dumps(payload(shop)).encode(), "application/x-www-form-urlencoded"
    for headers in ({}, {"Content-Type": form}):
        address = f"{owner.url}/v1/parse?api_key={key}"
        answer = requests.post(address, data=body, headers=headers, timeout=60)
        assert (answer.status_code, len(answer.json())) == (200, 16)
    assert requests.post(f"{owner.url}/v1/parse?api_key={reader}", data=body, timeout=60).status_code == 403
    assert requests.post(f"{owner.url}/v1/parse", data=body, timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"fields": []}, "/fields"),
        ({"fields": [{"name": "a", "selector": "a", "extractor": {"types": ["text"]}}]}, "/fields/0/extractor/types"),
        ({"maxCredits": 0}, "/maxCredits"),
        ({"output": "mail"}, "/output"),
        ({"output": ["file"]}, "/output"),
        ({"search_engine": "lycos", "keywords": ["a"]}, "/search_engine"),
        ({"product": "html"}, "/product"),
    ],
)
def test_a_fault_has_its_place(owner: Caller, values: dict[str, Any], pointer: str) -> None:
    before = balance(owner)
    answer = owner.post("/v1/parse", payload("http://127.0.0.1:9", **values))
    assert answer.status_code == 400
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert balance(owner) == before


def test_a_page_that_fails_says_why(owner: Caller, shop: str) -> None:
    answer = owner.post("/v1/parse", payload(shop, request={"url": f"{shop}/nothing"}))
    assert (answer.status_code, answer.json()["detail"]) == (422, "The server answers 404.")
    assert answer.json()["process"]["status"] == "failed"


def test_what_takes_longer_goes_on(owner: Caller) -> None:
    with serving() as site:
        site.pages["/"] = Reply("later", 503, {"Retry-After": "1"})
        sent = {"request": {"url": f"{site.url}/"}, "fields": [{"name": "b", "selector": "b"}]}
        key = {"Idempotency-Key": uuid4().hex}
        answer = owner.post("/v1/parse?wait=0.2", sent, headers=key)
        assert (answer.status_code, answer.json()["status"]) == (202, "running")
        site.pages["/"] = html("<b>there</b>")
        again = owner.post("/v1/parse", sent, headers=key)
        assert (again.status_code, again.json()) == (200, [{"b": "there"}])
        assert again.headers["Location"] == answer.headers["Location"]


def test_the_process_in_place_of_its_records(owner: Caller, shop: str) -> None:
    for output, answered in (("file", dict), ("buffer", list)):
        answer = owner.post("/v1/parse", payload(shop, output=output))
        assert (answer.status_code, type(answer.json())) == (200, answered)


def test_it_costs_no_more_than_it_may(owner: Caller, shop: str) -> None:
    answer = owner.post("/v1/parse?wait=5", payload(shop, maxCredits=1))
    assert answer.status_code == 202
    place = answer.headers["Location"].removeprefix(owner.url)
    process = until(lambda: (shown := owner.get(place).json())["status"] != "running" and shown)
    assert (process["status"], process["missingCredits"], process["cost"]) == ("pending", 1, 1)
