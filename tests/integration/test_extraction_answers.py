"""What sites answer: pages as browsers find them, and what is none."""

from typing import Any

import pytest

from extraction.models import ExtractionPage
from tests.conftest import Person
from tests.extraction_runs import DETAIL, LINKS, extracted, listing, records
from tests.extraction_sites import Reply, Site, html, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

DETAILS: dict[str, Any] = {"fields": [{**LINKS[0], "attrs": ["text"], "details": DETAIL}], "commonParent": "li"}
PAGE = b"<h1>found</h1>"
MOVED = '<meta http-equiv="refresh" content="0; url=%s">'

FOUND: dict[str, Reply] = {
    "/typeless": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + PAGE),
    "/octets": Reply(PAGE, headers={"Content-Type": "application/octet-stream"}),
    "/unknown": Reply(PAGE, headers={"Content-Type": "unknown/unknown"}),
    "/slashless": Reply(PAGE, headers={"Content-Type": "html"}),
    "/twice": Reply(PAGE, headers={"Content-Type": "text/html,text/html; charset=utf-8"}),
    "/lengths": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nContent-Length: 14\r\n\r\n" + PAGE),
    "/encoded": Reply(PAGE, headers={"Content-Encoding": "utf-8", "Content-Type": "text/html"}),
    "/header": Reply("", headers={"Refresh": "0; url=/found", "Content-Type": "text/html"}),
    "/meta": html(MOVED % "/found"),
    "/meta-relative": html(MOVED % "found?a=1&amp;b=2"),
    "/chain": html(MOVED % "/meta"),
    "/spaces": Reply("", 302, {"Location": "/found here"}),
    "/bytes": Reply(raw=b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /found-\xe9\r\n\r\n"),
    "/stays": html("<h1>found</h1>" + MOVED.replace("0;", "30;") % "/elsewhere"),
    "/reloads": html("<h1>found</h1>" + MOVED % "/reloads"),
    "/script": html("<h1>found</h1>" + MOVED % "javascript:void(0)"),
    "/noscript": html(f"<h1>found</h1><noscript>{MOVED % '/elsewhere'}</noscript>"),
}
FAILED: dict[str, tuple[Reply, str]] = {
    "/png": (Reply(b"\x89PNG\r\n\x1a\n", headers={"Content-Type": "application/octet-stream"}), "no page, but applic"),
    "/data": (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nPK\x03\x04"), "data without a type"),
    "/circle": (html(MOVED % "/circle2"), "leads to another more than 5 times"),
    "/circle2": (html(MOVED % "/circle"), "leads to another more than 5 times"),
    "/forbidden": (html(MOVED % "/private/a"), "robots.txt forbids it"),
    "/inside": (html(MOVED % "http://10.0.0.1/"), "a private address"),
}


def test_what_is_a_page_and_where_it_leads(owner: Person, site: Site) -> None:
    site.pages = {**FOUND, **{path: reply for path, (reply, _) in FAILED.items()}}
    site.pages["/robots.txt"] = Reply("User-agent: *\nDisallow: /private")
    site.pages["/"] = listing(*FOUND, *FAILED)
    site.other = lambda path, before: html("<h1>found</h1>") if path.startswith("/found") else html("<h1>not this</h1>")
    process = extracted(owner, site, **DETAILS)
    titles = {record["item"]: [one["title"] for one in record["item_details"]] for record in records(process)}
    assert titles == {path: ["found"] if path in FOUND else [] for path in (*FOUND, *FAILED)}
    errors = {one.url.removeprefix(site.url): one.error for one in ExtractionPage.objects.filter(process=process)}
    for path, (_, words) in FAILED.items():
        assert words in errors[path], (path, errors[path])
    assert process.cost == 1 + len(FOUND)  # one for each page, wherever it leads
    assert not any(path.startswith("/private") for path in site.hits)


def test_secrets_do_not_follow_a_page_elsewhere(owner: Person, site: Site) -> None:
    with serving() as other:
        other.pages["/landed"] = listing("/a")
        site.pages["/"] = html(MOVED % f"{other.url}/landed")
        request = {"url": f"{site.url}/", "headers": {"Authorization": "Basic c2VjcmV0"}, "form": {"q": "lamp"}}
        process = extracted(owner, site, request=request)
        assert process.status == "finished"
        assert "Authorization" not in other.seen["/landed"]
        assert other.bodies["/landed"] == b""
