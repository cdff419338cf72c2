"""Previews and suggestions, on a running hub against the bundled site and others."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chromium import required
from tests.extraction_sites import Reply, Site, bundled_site, html, serving
from tests.hub import Caller, Hub

BOOKS: dict[str, Any] = {
    "commonParent": ".book",
    "fields": [
        {"name": "Title", "selector": "h2 a", "type": "link"},
        {"name": "Price", "selector": ".price", "type": "number"},
        {"name": "Tags", "selector": ".tag"},
        {"name": "Missing", "selector": ".nowhere"},
    ],
    "paginator": "a.next",
}


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with bundled_site() as url:
        yield url


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def owner(hub: Hub) -> Caller:
    return hub.sign_up()


def balance(caller: Caller) -> int:
    return int(caller.get("/v1/credits").json()["balance"])


def previewed(caller: Caller, url: str, **payload: Any) -> dict[str, Any]:
    answer = caller.post("/v1/preview", {"request": {"url": url}, **payload})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def codes(preview: dict[str, Any]) -> list[tuple[str, str]]:
    return [(warning["code"], warning["pointer"]) for warning in preview["warnings"]]


def test_a_preview_shows_records_and_what_each_field_finds(owner: Caller, shop: str) -> None:
    before = balance(owner)
    preview = previewed(owner, f"{shop}/", **BOOKS)
    assert (preview["count"], len(preview["records"])) == (8, 8)
    assert preview["records"][0]["Title_text"] == "Book 1"
    link = f"{shop}/book/1"
    assert preview["fields"][0]["examples"][0] == {"Title_href": link, "Title_text": "Book 1"}
    assert preview["fields"][1] == {"name": "Price", "matched": 8, "nulls": 0, "examples": [6.25, 7.5, 8.75]}
    assert [(field["matched"], field["nulls"]) for field in preview["fields"]] == [(8, 0), (8, 0), (16, 0), (0, 8)]
    assert (preview["next"], preview["rendered"], preview["url"]) == (f"{shop}/?page=2", False, f"{shop}/")
    assert codes(preview) == [("nothing-found", "/fields/3/selector")]
    assert balance(owner) == before - 1


def test_nothing_of_a_preview_is_kept(owner: Caller, shop: str) -> None:
    previewed(owner, f"{shop}/", **BOOKS)
    assert owner.post("/v1/suggest", {"url": f"{shop}/"}).status_code == 200
    assert owner.post("/v1/preview", {**BOOKS, "request": {"url": f"{shop}/nothing"}}).status_code == 422
    assert owner.get("/runs").json()["results"] == []
    spent = [entry["process"] for entry in owner.get("/v1/credits").json()["entries"] if entry["process"]]
    assert spent  # what it cost stays
    assert {owner.get(f"/v1/process/{id}/info").status_code for id in spent} == {404}


def test_a_preview_has_twenty_records_at_most_and_asks_for_no_other_page(owner: Caller, site: Site) -> None:
    site.pages["/"] = html("".join(f'<li><a href="/{n}">{n}</a></li>' for n in range(30)) + '<a rel=next href="/2">')
    details = {"fields": [{"name": "b", "selector": "b"}]}
    fields = [{"name": "a", "selector": "li a", "details": details}]
    preview = previewed(owner, f"{site.url}/", fields=fields, paginator="[rel=next]", maxRecords=3)
    assert (preview["count"], len(preview["records"])) == (30, 20)
    assert preview["records"][1] == {"a": "1", "a_details": [f"{site.url}/1"]}
    assert set(site.hits) == {"/", "/robots.txt"}
    path = previewed(owner, f"{site.url}/", fields=fields, path=True)
    assert path["records"][2] == {"a_details": [f"{site.url}/2"]}
    assert path["fields"][0]["examples"][0] == [f"{site.url}/0"]


LIST = "<ul>{}</ul>".format("".join(f"<li class=a><b>{n}</b></li>" for n in range(3)))
A, B = {"name": "a", "selector": "b"}, {"name": "b", "selector": "i"}
WARNINGS: dict[str, tuple[str, dict[str, Any], list[tuple[str, str]]]] = {
    "nothing is wrong": (LIST, {"commonParent": "li", "fields": [A]}, []),
    "a block that is there once": (LIST, {"commonParent": "ul", "fields": [A]}, [("one-block", "/commonParent")]),
    "no block repeats": (f"<i>x</i>{LIST}", {"fields": [A, B]}, [("one-block", "/commonParent")]),
    "no record": (LIST, {"fields": [B]}, [("nothing-found", "/fields/0/selector"), ("no-records", "")]),
    "always null": (
        LIST,
        {"commonParent": "li", "fields": [A, {**A, "name": "n", "attrs": ["id"]}]},
        [("always-null", "/fields/1")],
    ),
    "a required value": (
        LIST + "<li class=a><b>3</b><i>there</i>",
        {"commonParent": "li", "fields": [A, {**B, "required": True}]},
        [("records-left-out", "/fields")],
    ),
    "a next link to nowhere": (
        LIST + "<a class=n href='#'>more</a>",
        {"commonParent": "li", "fields": [A], "paginator": ".n"},
        [("next-leads-nowhere", "/paginator")],
    ),
    "a next link without an address": (
        LIST + "<a class=n>more</a>",
        {"commonParent": "li", "fields": [A], "paginator": ".n"},
        [("next-leads-nowhere", "/paginator")],
    ),
    "no next link": (
        LIST,
        {"commonParent": "li", "fields": [A], "paginator": ".n"},
        [("nothing-found", "/paginator")],
    ),
    "a cell that is cut": (
        f"<li><b>{'x' * 40_000}</b></li><li><b>1</b></li>",
        {"commonParent": "li", "fields": [A], "format": "XLSX"},
        [("cells-cut", "/format")],
    ),
    "links that are not followed": (
        LIST,
        {"commonParent": "li", "fields": [A], "follow": {"match": "/books/"}},
        [("page-not-taken", "/follow"), ("nothing-found", "/follow/match")],
    ),
    "a proxy of a country": (
        LIST,
        {"commonParent": "li", "fields": [A], "request": {"proxy": "country-any"}},
        [("not-used", "/request/proxy")],
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_preview_warns(owner: Caller, site: Site, name: str) -> None:
    body, payload, expected = WARNINGS[name]
    site.pages["/"] = html(body)
    payload = {**payload, "request": {"url": f"{site.url}/", **payload.get("request", {})}}
    assert codes(owner.post("/v1/preview", payload).json()) == expected


def test_a_preview_begins_where_a_process_would(owner: Caller, shop: str) -> None:
    title = [{"name": "title", "selector": "h1"}]
    range_of_books = previewed(owner, f"{shop}/book/{{3..5}}", fields=title)
    assert range_of_books["records"] == [{"title": "Book 3"}]
    sitemap = owner.post(
        "/v1/preview", {"request": {"sitemap": f"{shop}/sitemap.xml", "match": "/book/1"}, "fields": title}
    )
    assert (sitemap.json()["records"], sitemap.json()["url"]) == ([{"title": "Book 1"}], f"{shop}/book/1")
    login = {"url": f"{shop}/sign-in", "form": {"user": "ada", "password": "lovelace"}}
    behind = previewed(owner, f"{shop}/members", login=login, fields=[{"name": "offer", "selector": ".offer"}])
    assert behind["count"] == 3
    books = previewed(
        owner, f"{shop}/api/books", commonParent="$.books", fields=[{"name": "title", "selector": "title"}]
    )
    assert books["count"] == 8


def test_a_page_without_records_is_rendered_for_a_preview_and_for_suggestions(owner: Caller, site: Site) -> None:
    required()
    cards = "'<div class=card><h3><a href=/' + n + '>Thing ' + n + '</a></h3><p>Some words about it</p></div>'"
    site.pages["/"] = html(f"<main id=m></main><script>for (let n = 0; n < 4; n++) m.innerHTML += {cards}</script>")
    before = balance(owner)
    preview = previewed(owner, f"{site.url}/", fields=[{"name": "thing", "selector": ".card h3"}])
    assert (preview["rendered"], preview["count"], balance(owner)) == (True, 4, before - 6)
    [best, *_] = owner.post("/v1/suggest", {"url": f"{site.url}/"}).json()["suggestions"]
    assert best["payload"]["request"] == {"url": f"{site.url}/", "type": "chrome"}
    assert [record["title_text"] for record in best["records"]] == [f"Thing {n}" for n in range(4)]


@pytest.mark.parametrize("call", ["preview", "suggest"])
def test_a_page_that_cannot_be_had_says_why(hub: Hub, owner: Caller, site: Site, call: str) -> None:
    def ask(url: str, query: str = "", **values: Any) -> Any:
        body = {"url": url} if call == "suggest" else {"request": {"url": url}, "fields": [A]}
        return owner.post(f"/v1/{call}{query}", {**body, **values})

    site.pages["/robots.txt"] = Reply("User-agent: *\nDisallow: /private\n")
    for url, words in (
        (f"{site.url}/nothing", "The server answers 404."),
        (f"{site.url}/private", "robots.txt forbids"),
        ("http://10.0.0.1/", "a private address"),
    ):
        answer = ask(url)
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text
    assert ask("ftp://a/").status_code == 400
    assert ask(f"{site.url}/", colour="red").json()["errors"][0]["pointer"] == "/colour"
    assert ask(f"{site.url}/", ignoreRobots=True).status_code == 403
    site.pages["/later"] = Reply("later", 503, {"Retry-After": "5"})
    assert ask(f"{site.url}/later", "?wait=0.2").json()["detail"] == "The page did not come in time."
    assert ask(f"{site.url}/", "?wait=61").status_code == 400
    hub.admin.post("/v1/credits", {"user": owner.email, "amount": -balance(owner)})
    answer = ask(f"{site.url}/")
    assert (answer.status_code, answer.json()["missingCredits"]) == (409, 1)
    assert owner.get("/runs").json()["results"] == []


def test_a_suggestion_can_be_run_as_it_is(owner: Caller, shop: str) -> None:
    [best, *_] = owner.post("/v1/suggest", {"url": f"{shop}/", "headers": {"X-Reader": "1"}}).json()["suggestions"]
    payload = best["payload"]
    assert payload["request"] == {"url": f"{shop}/", "headers": {"X-Reader": "1"}}
    assert (payload["commonParent"], payload["paginator"]) == ("article.book", "a.next")
    assert {field["name"]: field.get("type") for field in payload["fields"]} == {
        "image": "image",
        "title": "link",
        "author": None,
        "price": "number",
        "tag": None,
    }
    assert 0 < best["score"] < 1
    records = owner.post("/v1/parse", payload).json()
    assert (len(records), records[:5]) == (24, best["records"])


def test_suggestions_for_data(owner: Caller, shop: str) -> None:
    [best, *_] = owner.post("/v1/suggest", {"url": f"{shop}/api/books"}).json()["suggestions"]
    assert best["payload"]["commonParent"] == "$.books"
    assert best["records"][0]["title"] == "Book 1"
