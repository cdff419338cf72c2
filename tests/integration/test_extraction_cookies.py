"""The cookies of a process: as browsers keep them, from its first turn to its last, whoever takes it."""

import asyncio
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from extraction import fetch_loop
from extraction.domain.process_status import PageState
from extraction.models import Process, Slice
from extraction.services import page_table, payloads, process_lifecycle, slices
from taskhub.outbound.cookie_store import cookie_changes, set_by_user
from tests.conftest import Person
from tests.extraction_runs import DETAIL, LINKS, begun, carried, extracted, found_at_once, listing
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

DETAILS: dict[str, Any] = {"fields": [{**LINKS[0], "details": DETAIL}], "commonParent": "li"}


def sent(site: Site, path: str) -> set[str]:
    """The cookies that a page was asked for with."""
    return set(filter(None, site.seen[path].get("Cookie", "").split("; ")))


def with_cookies(reply: Reply, *cookies: str) -> Reply:
    """A reply that sets cookies; the test's server takes headers by name, so names differ in case."""
    names = ("Set-Cookie", "set-cookie", "SET-COOKIE")
    return Reply(reply.body, reply.status, {**reply.headers, **dict(zip(names, cookies, strict=False))})


def stored_cookies(process: Process) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cookies FROM extraction_process WHERE seq = %s", [process.pk])
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("given", ["", "lang=pl", 'cart[items]=1; quoted="a b", c'])
def test_what_sites_set_is_sent_back(owner: Person, site: Site, given: str) -> None:
    site.pages["/"] = with_cookies(listing("/a", "/away"), "session=s1; Path=/", "cart[items]=2", 'q="x,y"')
    site.pages["/away"] = with_cookies(Reply("", 302, {"Location": "/landed"}), "hop=1; Path=/")
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    request = {"url": f"{site.url}/", **({"cookies": given} if given else {})}
    process = extracted(owner, site, request=request, **DETAILS)
    assert process.status == "finished"
    set_by_site = {"session=s1", "cart[items]=2", 'q="x,y"'}
    assert sent(site, "/") == set(filter(None, given.split("; ")))
    assert sent(site, "/a") >= set_by_site | ({"lang=pl"} if given == "lang=pl" else set())
    assert sent(site, "/landed") >= set_by_site | {"hop=1"}


def test_they_survive_turns_and_lost_workers(owner: Person, site: Site) -> None:
    first = listing("/a", more='<a class="next" href="/2">n</a>')
    site.pages["/"] = with_cookies(first, "a=1; Path=/", "wide=1; Domain=example.com", "safe=1; Secure")
    site.pages["/2"] = with_cookies(listing("/b"), "a=2; Path=/", "b[]=3; Path=/; Max-Age=3600; HttpOnly")
    process = begun(owner, site, paginator="a.next")
    slice, row = slices.claim_slice(worker="lost@test") or (None, None)
    assert slice
    assert row
    loop = fetch_loop.FetchLoop(slice, row, payloads.check_payload(row.payload, owner.user))
    asyncio.run(loop.run())
    Slice.objects.update(lease_until=timezone.now())  # it is lost before it ends its slice
    process_lifecycle.sweep()
    process.refresh_from_db()
    assert {cookie["name"]: cookie["value"] for cookie in process.cookies} == {"a": "2", "b[]": "3", "safe": "1"}
    assert stored_cookies(process).startswith("gAAAA")
    by_name = {cookie["name"]: cookie for cookie in process.cookies}
    assert by_name["safe"]["secure"]
    assert by_name["b[]"]["httpOnly"]
    assert by_name["b[]"]["expires"] > timezone.now().timestamp()
    assert sent(site, "/2") == {"a=1"}


def test_slices_beside_each_other_have_the_same(owner: Person, site: Site) -> None:
    process = begun(owner, site, **DETAILS)
    found_at_once(process, [f"{site.url}/{number}" for number in range(4)])
    claimed = [slices.claim_slice(worker=f"{number}@test") for number in range(2)]
    pages = [page_table.claim_pages(slice=pair[0], limit=2) for pair in claimed if pair]
    for number, pair in enumerate(claimed):
        assert pair
        outcome = page_table.PageOutcome(pages[number][0], PageState.DONE)
        [cookie] = set_by_user({f"n{number}": "1"}, "127.0.0.1")
        changes = cookie_changes([], [cookie])
        row = page_table.write_batch(slice=pair[0], outcomes=[outcome], max_pages=100, cookies=changes)
    assert [cookie["name"] for cookie in row.cookies] == ["n0", "n1"]


def test_a_login_with_a_form_is_kept(owner: Person, site: Site) -> None:
    site.pages["/login"] = with_cookies(Reply("", 302, {"Location": "/list"}), "auth=token; Path=/; HttpOnly")

    def page(path: str, before: int) -> Reply:
        if "auth=token" not in sent(site, path):
            return Reply("who are you?", 403)
        return listing("/a") if path == "/list" else html("<h1>A</h1>")

    site.other = page
    request = {"url": f"{site.url}/login", "form": {"user": "u", "password": "p"}}
    process = carried(begun(owner, site, request=request, **DETAILS))
    assert (process.status, process.failed, process.responses) == ("finished", 0, 2)
