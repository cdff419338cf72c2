"""Many first pages: of a list, of ranges, of sitemaps, and those that links lead to."""

import gzip
from typing import Any

import pytest
from django.db import transaction

from extraction.services import slices
from extraction.services.page_table import claim_pages
from tests.conftest import Person
from tests.extraction_runs import begun, carried, extracted, records
from tests.extraction_sites import Reply, Site, html, serving
from tests.integration.socks_servers import CLOSING, serving_socks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

TITLE = [{"name": "t", "selector": "h1"}]
XML = {"Content-Type": "application/xml"}


def titles(person: Person, site: Site, request: dict[str, Any], **payload: Any) -> list[str]:
    process = extracted(person, site, request=request, fields=payload.pop("fields", TITLE), **payload)
    assert process.status == "finished", process.error
    return [record["t"] for record in records(process)]


def page(path: str, before: int) -> Reply:
    return html(f"<h1>{path}</h1>")


def test_addresses_of_a_list_and_of_ranges_are_asked_for_in_their_order(owner: Person, site: Site) -> None:
    site.other = page
    urls = [f"{site.url}/z", f"{site.url}/{{9..11}}/{{a}}", f"{site.url}/z", f"{site.url}/b"]
    shown = ["/z", *(f"/{number}/%7Ba%7D" for number in (9, 10, 11)), "/b"]
    assert titles(owner, site, {"urls": urls}) == shown
    assert titles(owner, site, {"url": f"{site.url}/{{08..10}}"}) == ["/08", "/09", "/10"]
    assert site.hits["/z"] == 1


def test_each_address_begins_a_list_and_gets_what_the_request_says(owner: Person, site: Site) -> None:
    def answer(path: str, before: int) -> Reply:
        onward = f'<a href="{path}/next">next</a>' if "next" not in path else ""
        return html(f"<h1>{path}</h1>{onward}")

    site.other = answer
    request = {"urls": [f"{site.url}/{{1..2}}"], "form": {"q": "x"}, "cookies": {"c": "1"}}
    assert titles(owner, site, request, paginator="a") == ["/1", "/1/next", "/2", "/2/next"]
    assert site.bodies == {"/1": b"q=x", "/2": b"q=x", "/1/next": b"", "/2/next": b"", "/robots.txt": b""}
    assert "c=1" in site.seen["/2"]["Cookie"]


def test_credentials_go_to_the_origins_of_the_addresses_alone(owner: Person, site: Site) -> None:
    with serving() as other, serving() as third:
        for one in (site, other, third):
            one.other = page
        other.pages["/away"] = Reply(status=302, headers={"Location": f"{third.url}/secret"})
        urls = [f"{site.url}/a", f"{other.url}/b", f"{other.url}/away"]
        request = {"urls": urls, "headers": {"Authorization": "Bearer x"}}
        assert titles(owner, site, request) == ["/a", "/b", "/secret"]
        assert site.seen["/a"]["Authorization"] == other.seen["/b"]["Authorization"] == "Bearer x"
        assert "Authorization" not in third.seen["/secret"]


def sitemap_of(*pages: str, tag: str = "url", around: str = "urlset") -> bytes:
    inner = "".join(f"<{tag}><loc>{page}</loc></{tag}>" for page in pages)
    return f'<{around} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inner}</{around}>'.encode()


def test_sitemaps_and_indexes_of_them_also_packed(owner: Person, site: Site) -> None:
    site.other = page
    site.pages["/index.xml"] = Reply(
        sitemap_of("/1.xml", "/2.xml.gz", tag="sitemap", around="sitemapindex"), headers=XML
    )
    site.pages["/1.xml"] = Reply(sitemap_of("/a", "/b?x=1&amp;y=2", "/skip", "mailto:x"), headers=XML)
    packed = gzip.compress(sitemap_of("/c", "/a"), mtime=0)
    site.pages["/2.xml.gz"] = Reply(packed, headers={"Content-Type": "application/x-gzip"})
    request = {"sitemap": f"{site.url}/index.xml", "match": ["/[abc]($|\\?)"]}
    assert sorted(titles(owner, site, request)) == ["/a", "/b?x=1&y=2", "/c"]
    assert not site.hits["/skip"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply("nothing", 404), "The server answers 404."),
        (Reply("<html><p>x</html>", headers={"Content-Type": "text/html"}), "It is no sitemap."),
        (Reply(b"\x1f\x8bbroken", headers=XML), "packed in a way that is broken"),
        (Reply(b"\x89PNG\0\0\1", headers={"Content-Type": "image/png"}), "no page, but image/png"),
    ],
)
def test_a_sitemap_that_is_none_fails_the_process(owner: Person, site: Site, reply: Reply, error: str) -> None:
    site.pages["/s.xml"] = reply
    process = extracted(owner, site, request={"sitemap": f"{site.url}/s.xml"}, fields=TITLE)
    assert process.status == "failed"
    pages = owner.get(f"/v1/process/{process.id}/pages").json()["results"]
    assert error in pages[0]["error"]


def linking(site: Site, links: dict[str, str]) -> None:
    """A site whose pages lead to each other, as paths and the paths that they lead to, with spaces between."""
    for path, targets in links.items():
        anchors = "".join(f'<a href="{target}">x</a>' for target in targets.split())
        site.pages[path] = html(f"<h1>{path}</h1>{anchors}")


def test_links_are_followed_by_patterns(owner: Person, site: Site) -> None:
    linking(site, {"/": "/c/1 /about /p/1 #top", "/c/1": "/p/2 /c/2 / /p/deny", "/c/2": "/p/3 /c/1", "/p/1": "/p/1"})
    linking(site, {"/p/2": "", "/p/3": "/p/4", "/p/4": "", "/p/deny": ""})
    follow = {"match": ["/p/", "/c/"], "deny": "deny"}
    assert titles(owner, site, {"url": f"{site.url}/"}, follow=follow) == ["/c/1", "/p/1", "/p/2", "/c/2", "/p/3"]
    assert titles(owner, site, {"url": f"{site.url}/"}, follow={**follow, "depth": 1}) == ["/c/1", "/p/1"]
    assert titles(owner, site, {"url": f"{site.url}/c/2"}, follow={**follow, "depth": 1})[0] == "/c/2"
    assert not site.hits["/about"]
    assert not site.hits["/p/deny"]
    assert titles(owner, site, {"url": f"{site.url}/"}, follow=follow, maxPages=3) == ["/c/1", "/p/1"]


def test_other_hosts_are_followed_where_that_is_said(owner: Person, site: Site) -> None:
    with serving() as other:
        there = other.url.replace("127.0.0.1", "localhost")
        linking(site, {"/": f"{there}/p/1 /p/2", "/p/2": ""})
        linking(other, {"/p/1": ""})
        follow = {"match": "/p/"}
        assert titles(owner, site, {"url": f"{site.url}/"}, follow=follow) == ["/p/2"]
        assert titles(owner, site, {"url": f"{site.url}/"}, follow={**follow, "sameHost": False}) == ["/p/1", "/p/2"]


def test_pages_that_were_lost_with_their_worker_are_followed_from_again(owner: Person, site: Site) -> None:
    linking(site, {"/": "/p/1 /p/2", "/p/1": "/p/3", "/p/2": "/p/3", "/p/3": "/p/4", "/p/4": ""})
    request = {"url": f"{site.url}/"}
    process = begun(owner, site, request=request, fields=TITLE, follow={"match": "/p/", "depth": 3})
    lost, _ = slices.claim_slice(worker="lost@test") or (None, None)
    assert lost
    assert [page.hops for page in claim_pages(slice=lost, limit=10)] == [0]
    with transaction.atomic():
        slices.release_all(process=process)
    process = carried(process)
    assert [record["t"] for record in records(process)] == ["/p/1", "/p/2", "/p/3", "/p/4"]
    assert (process.requests, process.cost, process.pages) == (5, 5, 5)


def test_a_run_with_other_addresses_needs_the_credentials_again(owner: Person, site: Site) -> None:
    headers = {"Authorization": "Bearer x"}
    sent = {"request": {"url": f"{site.url}/", "headers": headers}, "fields": TITLE}
    task = owner.post("/v1/task/create", sent).json()["id"]
    for changes in (
        {"urls": ["http://elsewhere.example/"], "url": None},
        {"sitemap": "http://e.example/", "url": None},
    ):
        answer = owner.post(f"/v1/task/{task}/run", {"payload": {"request": changes}})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/payload/request/headers"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({"json": {"a": 1}}, ("application/json", b'{"a":1}')),
        ({"body": "x"}, ("text/plain; charset=utf-8", b"x")),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, ("text/xml", b"<a/>")),
        ({"form": {"a": ["1", "2"]}}, ("application/x-www-form-urlencoded", b"a=1&a=2")),
    ],
)
def test_bodies_are_sent_with_their_type_and_not_sent_on(
    owner: Person, site: Site, sent: dict[str, Any], seen: tuple[str, bytes]
) -> None:
    site.pages["/"] = Reply(status=303, headers={"Location": "/next"})
    site.other = page
    assert titles(owner, site, {"url": f"{site.url}/", **sent}) == ["/next"]
    headers = {name.lower(): text for name, text in site.seen["/"].items()}
    assert (headers["content-type"], site.bodies["/"]) == seen
    assert site.bodies["/next"] == b""
    assert "content-type" not in {name.lower() for name in site.seen["/next"]}


def test_proxies_take_turns_and_one_that_fails_rests(owner: Person, site: Site) -> None:
    with serving() as first, serving() as second:
        for proxy in (first, second):
            proxy.other = lambda path, before: html(f"<h1>{path.rpartition('/')[2]}</h1>")
        request = {"url": f"{site.url}/{{1..8}}"}
        shown = [str(number) for number in range(1, 9)]
        assert titles(owner, site, {**request, "proxy": [first.url, second.url]}) == shown
        pages = [sum(path.count("robots.txt") == 0 for path in proxy.hits.elements()) for proxy in (first, second)]
        assert sum(pages) == 8
        assert min(pages) >= 3
        assert titles(owner, site, {**request, "proxy": ["http://127.0.0.1:9", second.url]}) == shown
        assert titles(owner, site, {"url": f"{site.url}/1", "proxy": ["http://127.0.0.1:9", second.url]}) == ["1"]
        assert not site.hits


def test_proxies_of_socks_take_their_turns(owner: Person, site: Site) -> None:
    site.other = page
    shown = [f"/{number}" for number in range(1, 9)]
    with serving_socks(("ann", "s3cret")) as first, serving_socks(reply=CLOSING) as second:
        proxies = [first.url("ann:s3cret"), second.url()]
        assert titles(owner, site, {"url": f"{site.url}/{{1..8}}", "proxy": proxies}) == shown
        assert first.logins
        assert set(first.asked) == {"127.0.0.1"}
        assert second.connections
    assert "Proxy-Authorization" not in site.seen["/1"]


@pytest.mark.parametrize(
    ("place", "proxy"),
    [
        ("/request/proxy", 5),
        ("/request/proxy", "ftp://x"),
        ("/request/proxy/1", ["http://x", "socks5://user@x"]),
        ("/request/proxy/1", ["http://x", "http://[::1"]),
        ("/request/proxy/0", [5]),
        ("/request/proxy", ["http://x"] * 1001),
    ],
)
def test_faults_of_proxies_have_their_places(owner: Person, place: str, proxy: Any) -> None:
    sent = {"request": {"url": "http://x/", "proxy": proxy}, "fields": TITLE}
    answer = owner.post("/v1/task/create", sent)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (400, [place])
