"""Turns of a worker at processes: what is asked for, what is written down, and what becomes of sites of all sorts."""

import asyncio
import gzip
import json
import os
import time
import zlib
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.utils import timezone

from extraction import fetch_loop, reader_process, worker_loop
from extraction.fetch.host_limits import HostBusy, HostLimits
from extraction.models import CreditAccount, CreditEntry, ExtractionPage, Process, ProcessNote, Slice
from extraction.services import (
    credits,
    page_table,
    payloads,
    process_lifecycle,
    processes,
    retention,
    slices,
    suspension,
)
from extraction.services.result_export import ResultExport
from extraction.services.result_files import open_result
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.services import message_of
from tests.conftest import Person
from tests.extraction_runs import (
    DETAIL,
    LINKS,
    begun,
    carried,
    extracted,
    found_at_once,
    listing,
    page,
    records,
    run_of,
)
from tests.extraction_sites import Reply, Site, html, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]


def slow(path: str, before: int) -> Reply:
    time.sleep(1.3)
    return html("x")


def test_details_nest_and_their_lists_go_on(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a", "/b", more='<a class="next" href="/2">next</a>')
    site.pages["/2"] = listing("/a", "/c")
    site.pages["/a"] = html('<h1>A</h1><a class="more" href="/a2">more</a>')
    site.pages["/a2"] = html("<h1>A again</h1>")
    site.pages |= {f"/{x}": html(f"<h1>{x.upper()}</h1>") for x in "bc"}
    fields = [{**LINKS[0], "attrs": ["text"], "details": {**DETAIL, "paginator": "a.more"}}]
    process = extracted(owner, site, fields=fields, commonParent="li", paginator="a.next")
    a = [{"title": "A"}, {"title": "A again"}]
    assert records(process) == [
        {"item": "/a", "item_details": a},
        {"item": "/b", "item_details": [{"title": "B"}]},
        {"item": "/a", "item_details": a},
        {"item": "/c", "item_details": [{"title": "C"}]},
    ]
    assert (process.status, process.requests, process.responses, process.cost) == ("finished", 6, 6, 6)
    assert set(site.hits.values()) == {1}
    assert process.run.state == "SUCCESS" if process.run else False


def test_a_path_gives_the_records_at_its_end_in_order(owner: Person, site: Site) -> None:
    site.pages["/"] = listing(*(f"/c{n}" for n in range(150)))
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], path=True)
    assert [record["title"] for record in records(process)] == [f"/c{n}" for n in range(150)]
    assert (process.pages, process.records, process.status) == (151, 300, "finished")


def test_three_levels_deep(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/1", "/2")
    site.other = lambda path, before: listing(f"{path}1", f"{path}2") if len(path) < 4 else html(f"<h1>{path}</h1>")
    link = {"name": "l", "selector": "li a"}
    inner = {"commonParent": "li", "fields": [{**link, "details": DETAIL}]}
    middle = {"commonParent": "li", "fields": [{**link, "details": inner}], "path": True}
    process = extracted(owner, site, commonParent="li", fields=[{**link, "details": middle}])
    first, second = records(process)
    assert [one["l"] for one in first["l_details"]] == ["/111", "/112", "/121", "/122"]
    assert second["l_details"][0] == {"l": "/211", "l_details": [{"title": "/211"}]}


@pytest.mark.parametrize("path", [False, True])
def test_pages_that_lead_to_each_other_fill_no_disk(owner: Person, site: Site, path: bool) -> None:
    names = [f"/{n}" for n in range(12)]
    site.other = lambda path, before: listing(*names)
    rule: dict[str, Any] = {"commonParent": "li", "fields": [{"name": "l", "selector": "li a"}]}
    for _ in range(7):
        rule = {"commonParent": "li", "fields": [{"name": "l", "selector": "li a", "details": rule}], "path": path}
    process = extracted(owner, site, **rule)
    assert (process.status, process.unwritten, process.results) == ("failed", False, "")
    assert "repeat too often" in process.error
    assert ProcessNote.objects.filter(process=process, text__contains="cannot be written").count() == 1


def test_a_list_ends_where_a_page_repeats(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/x", more='<a class="next" href="/2">n</a>')
    site.pages["/2"] = listing("/y", more='<a class="next" href="/">n</a>')
    process = extracted(owner, site, paginator="a.next")
    assert [record["item_text"] for record in records(process)] == ["/x", "/y"]
    assert process.pages == 2


def test_an_endless_list_that_shows_the_same_ends(owner: Person, site: Site) -> None:
    site.other = lambda path, before: listing("/x", more=f'<a class="next" href="/{int(path[1:] or 0) + 1}">n</a>')
    process = extracted(owner, site, paginator="a.next")
    assert (process.pages, len(records(process)), process.status) == (2, 1, "finished")


def test_limits_of_pages(owner: Person, site: Site) -> None:
    site.other = lambda path, before: listing(path, more=f'<a class="next" href="/{int(path[1:] or 0) + 1}">n</a>')
    assert extracted(owner, site, paginator={"selector": "a.next", "maxPages": 3}).pages == 3
    capped = extracted(owner, site, paginator="a.next", maxPages=4)
    assert (capped.pages, capped.requests, capped.status) == (4, 4, "finished")
    assert ProcessNote.objects.filter(process=capped, text__contains="limit of pages").exists()
    assert sum(site.hits.values()) == 7 + 1  # robots.txt, once for both


def test_what_may_succeed_later_is_asked_again(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/slow", "/gone", "/cut")
    site.pages["/slow"] = lambda path, before: html("<h1>S</h1>") if before else Reply("busy", 503)
    site.pages["/gone"] = Reply("gone", 410)
    site.pages["/cut"] = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<h1>half")
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert [len(record["item_details"]) for record in records(process)] == [1, 0, 0]
    assert (process.requests, process.responses, process.cost, process.failed) == (7, 2, 2, 2)
    assert process.status == "finished"
    assert (site.hits["/slow"], site.hits["/gone"], site.hits["/cut"]) == (2, 1, 3)
    assert page(process, "/gone").error == "The server answers 410."
    assert "ended its answer early" in page(process, "/cut").error


def test_retry_asks_for_failed_pages_alone(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a", "/b", "/c")
    site.pages["/a"] = html("<h1>A</h1>")
    site.pages["/c"] = html("<h1>C</h1>")
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert (process.failed, process.cost) == (1, 3)
    site.pages["/b"] = html("<h1>B</h1>")
    first = process.run
    retried = process_lifecycle.retry_process(process=processes.visible_process(id=process.id, user=owner.user))
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    process = carried(retried)
    assert [record["item_details"] for record in records(process)] == [[{"title": x}] for x in "ABC"]
    assert (process.failed, process.cost, process.status) == (0, 4, "finished")
    assert site.hits["/a"] == 1
    assert process.run.retry_of == first if process.run else False


def test_a_failed_page_of_the_main_list_fails_the_process(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/x", more='<a class="next" href="/2">n</a>')
    process = extracted(owner, site, paginator="a.next")
    assert process.status == "failed"
    assert "main list" in process.error
    assert process.results  # what there is can be had
    assert len(records(process)) == 1
    run = run_of(process)
    assert run.error
    assert (run.state, run.error["type"], run.result["records"]) == ("FAILURE", "PagesFailed", 1)


def test_credits_run_out_and_come(owner: Person, site: Site, settings: Any) -> None:
    credits.credit_account(owner.user.pk)
    CreditAccount.objects.update(balance=3)
    site.pages["/"] = listing(*(f"/{n}" for n in range(5)))
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert (process.status, process.missing, process.cost) == ("pending", 3, 3)
    run = run_of(process)
    assert run.error
    assert (run.state, run.ready, run.error["type"]) == ("RETRY", False, "CreditsMissing")
    assert process.results
    assert len(records(process)) == 5
    credits.top_up(owner_id=owner.user.pk, amount=10)
    assert suspension.resume_waiting() == 1
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    process = carried(process)
    assert (process.status, process.missing, process.cost) == ("finished", 0, 6)
    assert all(len(record["item_details"]) == 1 for record in records(process))
    assert set(site.hits.values()) == {1}
    account = CreditAccount.objects.get()
    assert account.balance == 7
    entries = CreditEntry.objects.order_by("id")
    assert sum(entry.amount for entry in entries) == account.balance + (settings.EXTRACTION_CREDITS - 3)
    assert all(entry.balance >= 0 for entry in entries)


def test_a_cap_of_one_run(owner: Person, site: Site) -> None:
    site.pages["/"] = listing(*(f"/{n}" for n in range(5)))
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    fields = [{**LINKS[0], "details": DETAIL}]
    process = extracted(owner, site, fields=fields, commonParent="li", maxCredits=4)
    assert (process.status, process.cost, process.capped) == ("pending", 4, True)
    assert suspension.resume_waiting() == 0
    retried = process_lifecycle.retry_process(process=process, max_credits=6)
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    assert carried(retried).cost == 6


def test_robots(owner: Person, site: Site) -> None:
    site.pages["/robots.txt"] = Reply("User-agent: taskhub\nDisallow: /private\n")
    site.pages["/"] = listing("/private/a", "/open", "/moved")
    site.pages["/open"] = html("<h1>O</h1>")
    site.pages["/moved"] = Reply("", 302, {"Location": "/private/b"})
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert (process.requests, process.failed) == (4, 2)
    assert page(process, "/private/a").error == "The site's robots.txt forbids it."
    assert not any(path.startswith("/private") for path in site.hits)


LONG = "User-agent: *\nDisallow: /a\n" + "# nothing\n" * 200_000


@pytest.mark.parametrize(
    ("robots", "error"),
    [
        (Reply("", 503), "out of reach"),
        (Reply("", 429), "out of reach"),
        (Reply(raw=b""), "out of reach"),
        (Reply("", 404), ""),
        (Reply("", 401), ""),
        (Reply("", 403), ""),
        (Reply("", 204), ""),
        (Reply("", 302, {"Location": "/robots.txt"}), ""),
        (Reply("", 302, {"Location": "http://10.0.0.1/"}), ""),
        (Reply("", 302, {"Location": "/rules"}), "robots.txt forbids it"),
        (Reply(b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /a\r\n"), "robots.txt forbids it"),
        (Reply(LONG), "robots.txt forbids it"),
        (Reply("User-agent: *\nDisallow: /", 500), "out of reach"),
        (html("User-agent: *\nDisallow: /"), ""),
    ],
)
def test_what_robots_txt_may_answer(owner: Person, site: Site, robots: Reply, error: str) -> None:
    """RFC 9309, sections 2.3.1.2 to 2.3.1.4."""
    site.pages["/robots.txt"] = robots
    site.pages["/rules"] = Reply("User-agent: *\nDisallow: /a")
    site.pages["/a"] = listing("/b")
    process = extracted(owner, site, request={"url": f"{site.url}/a"})
    assert error in page(process, "/a").error
    assert (process.status, site.hits["/a"]) == (("failed", 0) if error else ("finished", 1))


def test_reading_robots_txt_ends_with_the_slice_whose_pages_wait_for_it(owner: Person, site: Site) -> None:
    """Else what it then shares with other workers opens a connection again, which nobody closes."""
    end = Event()
    site.pages["/robots.txt"] = lambda path, before: Reply("") if end.wait(20) else Reply("late")
    begun(owner, site)
    claimed = slices.claim_slice(worker="extraction@test")
    assert claimed

    async def stop_while_it_reads() -> set[Any]:
        turn = asyncio.create_task(fetch_loop.fetch_slice(*claimed, asyncio.Event()))
        while not site.hits["/robots.txt"]:
            await asyncio.sleep(0.01)
        turn.cancel()
        await asyncio.wait([turn])
        return asyncio.all_tasks() - {asyncio.current_task()}

    try:
        assert not asyncio.run(stop_while_it_reads())
    finally:
        end.set()


def test_a_crawl_delay_is_kept_to(owner: Person, site: Site) -> None:
    told: list[float] = []
    asked: list[float] = []

    def robots(path: str, before: int) -> Reply:
        told.append(time.monotonic())
        return Reply("User-agent: *\nCrawl-delay: 0.2\n")

    def answer(path: str, before: int) -> Reply:
        asked.append(time.monotonic())
        return html(f"<h1>{path}</h1>")

    site.pages["/robots.txt"] = robots
    site.pages["/"] = listing("/a", "/b", "/c")
    site.other = answer
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert process.status == "finished"
    # Counted from the first, for what one request is late on its way is no shorter wait before the next.
    assert len(asked) == 3
    assert all(at - told[0] >= 0.19 * number for number, at in enumerate(asked, 1))


def test_a_host_that_has_too_much_to_do_is_left_alone(owner: Person, site: Site, settings: Any) -> None:
    settings.EXTRACTION_HOST_CONCURRENCY = 1  # nothing else is under way
    told: list[float] = []

    def answer(path: str, before: int) -> Reply:
        told.append(time.monotonic())
        return html("<h1>ok</h1>") if len(told) > 1 else Reply("", 429, {"Retry-After": "3"})

    site.pages["/"] = listing(*(f"/{n}" for n in range(40)))
    site.other = answer
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    assert (process.status, process.failed) == ("finished", 0)
    assert told[1] - told[0] >= 2.9


def test_cookies_headers_and_a_form(owner: Person, site: Site) -> None:
    site.pages["/"] = lambda path, before: html(
        '<li><a href="/a">a</a></li>', **{"Set-Cookie": "session=s1; Path=/; HttpOnly"}
    )
    site.pages["/a"] = html("<h1>A</h1>")
    with serving() as other:
        site.pages["/away"] = Reply("", 302, {"Location": f"{other.url}/landed"})
        other.pages["/landed"] = html("<h1>L</h1>")
        request = {
            "url": f"{site.url}/",
            "headers": {"Authorization": "Basic c2VjcmV0", "X-Shop": "1", "X-Auth-Token": "s3"},
            "cookies": "lang=pl",
            "form": {"q": "lamp post"},
        }
        site.pages["/"] = html(
            '<li><a href="/a">a</a></li><li><a href="/away">b</a></li>', **{"Set-Cookie": "session=s1; Path=/"}
        )
        process = extracted(owner, site, request=request, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
        landed = other.seen["/landed"]
    assert process.status == "finished"
    assert site.bodies["/"] == b"q=lamp+post"
    assert site.seen["/"]["Cookie"] == "lang=pl"
    assert site.seen["/a"]["Authorization"] == "Basic c2VjcmV0"
    assert set(site.seen["/a"]["Cookie"].split("; ")) == {"lang=pl", "session=s1"}
    assert site.seen["/a"]["User-Agent"].startswith("taskhub/")
    assert landed["X-Shop"] == "1"
    assert not {"Authorization", "X-Auth-Token"} & landed.keys()


def test_no_page_but_something_else(owner: Person, site: Site) -> None:
    site.pages["/"] = Reply(b"%PDF", headers={"Content-Type": "application/pdf"})
    process = extracted(owner, site)
    assert page(process, "/").error == "It is no page, but application/pdf."


def test_hostile_pages_end_within_their_limits(
    owner: Person, site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_process, "SECONDS_A_MEBIBYTE", 0.1)  # what takes too long to read does so sooner
    settings.EXTRACTION_PAGE_MAX_BYTES = 3_000_000
    settings.EXTRACTION_PAGE_SECONDS = 1
    kind = {"Content-Type": "text/html"}
    bomb = gzip.compress(b"<p>" * 5_000_000)
    pages = {
        "/bomb": (Reply(bomb, headers={**kind, "Content-Encoding": "gzip"}), "more than 3000000 bytes"),
        "/huge": (
            Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 104857600\r\n\r\n"),
            "more",
        ),
        "/endless": (Reply(b"x" * 3_100_000, headers={**kind, "Content-Length": "99999999"}), "more"),
        "/short": (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"), "ended its answer early"),
        "/broken": (
            Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n" + zlib.compress(b"x" * 100)[:-3]),
            "before its end",
        ),
        "/reset": (Reply(raw=b""), "closed the connection"),
        "/nothttp": (Reply(raw=b"SSH-2.0-OpenSSH_9\r\n\r\n"), "does not answer in HTTP"),
        "/odd": (Reply("x", headers={**kind, "Content-Encoding": "compress"}), "an encoding that is not read"),
        "/deep": (Reply(b"<div>" * 500_000, headers=kind), "too long to read"),
        "/circle": (Reply("", 302, {"Location": "/circle"}), "redirects more than"),
        "/private": (Reply("", 302, {"Location": "http://10.0.0.1/"}), "a private address"),
        "/metadata": (Reply("", 302, {"Location": "http://169.254.169.254/"}), "a metadata service"),
        "/tricky": (Reply("", 302, {"Location": "http://127.0.0.1:80@10.0.0.1/"}), "user name"),
        "/file": (Reply("", 302, {"Location": "file:///etc/passwd"}), "Only http and https"),
        "/nowhere": (Reply("", 302, {"Location": "http://["}), "cannot be followed"),
    }
    site.pages = {path: reply for path, (reply, _) in pages.items()}
    site.pages["/slow"] = slow
    site.pages["/"] = listing(*site.pages)
    process = extracted(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    errors = {one.url.removeprefix(site.url): one.error for one in ExtractionPage.objects.filter(process=process)}
    for path, (_, words) in pages.items():
        assert words in errors[path], (path, errors[path])
    assert "took longer" in errors["/slow"] or "sent nothing for" in errors["/slow"]
    assert process.status == "failed"  # most of its pages did
    assert process.cost == 1


def test_private_addresses_are_refused_from_the_start(owner: Person, site: Site, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = []
    process = extracted(owner, site)
    assert process.status == "failed"
    assert "loopback" in page(process, "/").error
    assert not site.hits


def test_a_proxy_passes_the_gate_itself(owner: Person, site: Site) -> None:
    request = {"url": f"{site.url}/", "proxy": "http://10.0.0.1:3128"}
    process = extracted(owner, site, request=request, ignoreRobots=False)
    assert process.status == "failed"
    assert not site.hits
    with serving() as proxy:
        proxy.other = lambda path, before: html('<li><a href="/p">through</a></li>')
        request = {"url": "http://127.0.0.1:9/", "proxy": proxy.url}
        assert [one["item_text"] for one in records(extracted(owner, site, request=request))] == ["through"]


def test_a_lost_worker_loses_no_page_and_charges_none_twice(owner: Person, site: Site, settings: Any) -> None:
    site.pages["/"] = listing("/a", "/b")
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    process = begun(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    claimed = slices.claim_slice(worker="lost@test")
    assert claimed
    lost, _ = claimed
    slices.reserve(slice=lost, wanted=100)
    assert len(page_table.claim_pages(slice=lost, limit=10)) == 1
    assert slices.claim_slice(worker="other@test") is None
    Slice.objects.update(lease_until=timezone.now())
    process_lifecycle.sweep()
    process = carried(process)
    assert (process.status, process.cost, process.requests) == ("finished", 3, 3)
    assert CreditAccount.objects.get().balance == settings.EXTRACTION_CREDITS - 3
    with pytest.raises(slices.SliceLost):
        page_table.write_batch(slice=lost, outcomes=[], max_pages=10)


def test_a_page_that_takes_workers_with_it_is_given_up_alone(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a", "/bad", "/c")
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    process = begun(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    found_at_once(process, [f"{site.url}/{path}" for path in ("a", "bad", "c")])
    for number in range(3):
        slice, _ = slices.claim_slice(worker=f"{number}@test") or (None, None)
        assert slice
        claimed = page_table.claim_pages(slice=slice, limit=10)
        assert len(claimed) == (3 if number < 2 else 1)
        if number == 2:  # the suspects come one by one
            assert claimed[0].url.endswith("/a")
        Slice.objects.update(lease_until=timezone.now())
        process_lifecycle.sweep()
    process = carried(process)
    assert [one.state for one in ExtractionPage.objects.filter(process=process).order_by("id")] == [
        "done",
        "failed",
        "done",
        "done",
    ]
    assert "worker was lost" in page(process, "/a").error


def test_a_claim_keeps_to_its_limit_whatever_the_plan(owner: Person, site: Site) -> None:
    process = begun(owner, site, fields=[{**LINKS[0], "details": DETAIL}], commonParent="li")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE extraction_page")  # PostgreSQL plans for a single page from now on
    found_at_once(process, [f"{site.url}/{number}" for number in range(5)])
    slice, _ = slices.claim_slice(worker="one@test") or (None, None)
    assert slice
    assert len(page_table.claim_pages(slice=slice, limit=1)) == 1


def test_a_cancelled_process_keeps_what_it_has(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a", "/b")
    process = begun(owner, site)
    slice, _ = slices.claim_slice(worker="one@test") or (None, None)
    assert slice
    processes.cancel_process(process=processes.visible_process(id=process.id, user=owner.user))
    with pytest.raises(slices.SliceLost):
        page_table.claim_pages(slice=slice, limit=1)
    process = carried(process)
    assert (process.status, process.open, process.unwritten) == ("canceled", 1, False)
    assert process.results
    run = run_of(process)
    assert run.state == "REVOKED"
    retried = process_lifecycle.retry_process(process=processes.visible_process(id=process.id, user=owner.user))
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    assert carried(retried).status == "finished"


def test_a_retry_of_the_run_takes_its_process_up_again(owner: Person, site: Site) -> None:
    process = extracted(owner, site)
    assert process.status == "failed"
    site.pages["/"] = listing("/a")
    new = runs.retry(run=run_of(process))
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    process = carried(process)
    assert (process.status, process.run_id) == ("finished", new.pk)


def test_what_is_overdue_is_ended(owner: Person, site: Site) -> None:
    process = begun(owner, site)
    CreditAccount.objects.update(max_seconds=60)
    process_lifecycle.sweep()
    process.refresh_from_db()
    assert process.status == "running"
    Process.objects.update(started_at=timezone.now() - timedelta(seconds=61))
    process_lifecycle.sweep()
    process = carried(process)
    assert (process.status, process.error) == ("failed", "Its time is over.")


def test_where_the_result_cannot_be_stored_it_is_tried_again(owner: Person, site: Site, settings: Any) -> None:
    site.pages["/"] = listing("/a")
    blocked = settings.STORAGES["results"]["OPTIONS"]["location"]
    with open(blocked, "w"):  # where its folder should be
        process = begun(owner, site)
        for _ in range(3):
            worker_loop.work_on_slices(node="extraction@test")
    process.refresh_from_db()
    assert (process.status, process.unwritten, process.results) == ("running", True, "")
    assert ProcessNote.objects.filter(process=process, text__contains="could not be written").count() == 1
    os.remove(blocked)
    Process.objects.update(rest_until=None)
    assert carried(process).status == "finished"


def test_turns_go_round_the_owners(owner: Person, stranger: Person, site: Site) -> None:
    mine = [begun(owner, site) for _ in range(3)]
    other = begun(stranger, site)
    served = []
    for _ in range(4):
        _slice, process = slices.claim_slice(worker="x@test") or (None, None)
        assert process
        served.append(process.pk)
    assert [pk == other.pk for pk in served] in ([False, True] * 2, [True, False] * 2)
    assert len(set(served)) == 3
    assert {one.pk for one in mine} > set(served) - {other.pk}


def test_two_turns_at_one_process_share_its_pages(owner: Person, site: Site, settings: Any) -> None:
    site.pages["/"] = listing(*(f"/{n}" for n in range(300)))
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    process = begun(owner, site, fields=[{**LINKS[0], "details": DETAIL}], path=True)
    found_at_once(process, [f"{site.url}/{n}" for n in range(300)])
    settings.EXTRACTION_CONCURRENCY = 2
    loops = []
    for name in ("a@test", "b@test"):
        slice, row = slices.claim_slice(worker=name) or (None, None)
        assert slice
        assert row
        loops.append(fetch_loop.FetchLoop(slice, row, payloads.check_payload(row.payload, owner.user)))

    async def both() -> None:
        await asyncio.gather(*(loop.run() for loop in loops))

    asyncio.run(both())
    shares = [Slice.objects.get(pk=loop.slice.pk).spent for loop in loops]
    assert sum(shares) == 300
    assert min(shares) > 30
    assert set(site.hits.values()) == {1}
    for loop in loops:
        process_lifecycle.end_slice(slice=loop.slice)
    assert [one["title"] for one in records(carried(process))] == [f"/{n}" for n in range(300)]


def test_the_same_bytes_whoever_fetched_and_when(owner: Person, site: Site, settings: Any) -> None:
    site.pages["/"] = listing(*(f"/{n}" for n in range(30)), more='<a class="next" href="/p2">n</a>')
    site.pages["/p2"] = listing(*(f"/{n}" for n in range(20, 50)))
    site.other = lambda path, before: html(f"<h1>{path}</h1>")
    sent = {"fields": [{**LINKS[0], "details": DETAIL}], "commonParent": "li", "paginator": "a.next", "format": "XML"}
    whole = b"".join(ResultExport(extracted(owner, site, **sent)).pieces("xml", gzip=False))
    settings.EXTRACTION_CONCURRENCY = 3
    process = begun(owner, site, **sent)
    for _ in range(8):  # turns that end before their time
        slice, row = slices.claim_slice(worker="x@test") or (None, None)
        if slice and row:
            slices.reserve(slice=slice, wanted=20)
            page_table.claim_pages(slice=slice, limit=7)
            Slice.objects.update(lease_until=timezone.now())
            process_lifecycle.sweep()
            worker_loop.work_on_slices(node="extraction@test")
    assert b"".join(ResultExport(carried(process)).pieces("xml", gzip=False)) == whole
    assert json.loads(b"".join(ResultExport(process).pieces("json", gzip=False)))[0]["item_details"] == [
        {"title": "/0"}
    ]


def test_a_packed_file(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a")
    process = extracted(owner, site, format="CSV", gzip=True)
    assert process.results == f"{process.id}.csv.gz"
    with open_result(process.results) as file:
        packed = file.read()
    assert gzip.decompress(packed) == b'"item_href","item_text"\r\n' + f'"{site.url}/a","/a"\r\n'.encode()
    assert process.size == len(packed)


def test_no_race_takes_a_balance_below_zero(owner: Person, site: Site) -> None:
    credits.credit_account(owner.user.pk)
    CreditAccount.objects.update(balance=100)
    claimed = [begun(owner, site) and slices.claim_slice(worker=f"{n}@test") for n in range(4)]
    rows = [pair[0] for pair in claimed if pair]
    assert len(rows) == 4
    granted: list[int] = []

    def take(slice: Slice) -> None:
        try:
            granted.extend(slices.reserve(slice=slice, wanted=7) for _ in range(6))
        finally:
            connection.close()

    threads = [Thread(target=take, args=(slice,)) for slice in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(granted), min(granted)) == (100, 0)
    assert CreditAccount.objects.get().balance == 0
    assert all(entry.balance >= 0 for entry in CreditEntry.objects.all())


def test_workers_share_a_host(settings: Any) -> None:
    """A host's slots are divided; a worker that ends gives its share back; a pause holds for all workers."""
    settings.EXTRACTION_HOST_CONCURRENCY = 8

    async def meet() -> tuple[list[int], list[float]]:
        first, second = HostLimits("first"), HostLimits("second")
        name = f"host-{time.monotonic()}"
        slots = []
        for hosts in (first, second, first, second):
            await hosts._share_out(name, hosts.state(name))
            slots.append(hosts.state(name).slots)
        await first.close()
        await second._share_out(name, second.state(name))
        slots.append(second.state(name).slots)
        third = HostLimits("third", patience=0.1)
        await second.pause(name, 600)
        with pytest.raises(HostBusy) as busy:
            await third.acquire(name)
        await second.close()
        await third.close()
        return slots, [busy.value.seconds]

    slots, waits = asyncio.run(meet())
    assert slots == [8, 0, 4, 4, 8]
    assert 500 < waits[0] <= 600


def test_without_redis_a_worker_keeps_to_a_quarter(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9"

    async def alone() -> int:
        hosts = HostLimits("alone")
        host = await hosts.acquire("somewhere")
        hosts.release(host)
        await hosts.pause("somewhere", 0.01)
        await hosts.close()
        return host.slots

    assert asyncio.run(alone()) == settings.EXTRACTION_HOST_CONCURRENCY // 4


@pytest.mark.parametrize("status", ["canceled", "pending"])
def test_webhooks_are_told_when_what_there_is_is_written(owner: Person, site: Site, status: str) -> None:
    account = credits.credit_account(owner.user.pk)
    if status == "pending":
        credits.top_up(owner_id=owner.user.pk, amount=-account.balance, by=owner.user, note="")
    process = begun(owner, site, format="JSON")
    Run.objects.filter(pk=run_of(process).pk).update(webhook=f"{site.url}/hook")
    if status == "canceled":
        processes.cancel_process(process=Process.objects.select_related("run").get(pk=process.pk))
    assert not Run.objects.filter(kind=WEBHOOK).exists()  # its file is not there yet
    assert carried(process).status == status
    delivery = Run.objects.get(kind=WEBHOOK)
    assert delivery.name == ("process.pending" if status == "pending" else "process.finished")
    data = json.loads(message_of(delivery))["data"]
    assert (data["id"], data["status"], data["resultsInline"]) == (process.id, status, [])
    assert f"/{process.id}.json" in data["resultsLink"]


def test_nobody_is_told_of_what_was_deleted(owner: Person, site: Site) -> None:
    process = begun(owner, site)
    Run.objects.filter(pk=run_of(process).pk).update(webhook=f"{site.url}/hook")
    assert process.task
    retention.delete_task(task=process.task)
    worker_loop.work_on_slices(node="extraction@test")
    assert not Run.objects.filter(kind=WEBHOOK).exists()


def test_a_page_that_takes_longer_than_a_turn_is_waited_for(owner: Person, site: Site, settings: Any) -> None:
    settings.EXTRACTION_SLICE_SECONDS = 1

    def late(path: str, before: int) -> Reply:
        time.sleep(6.5)
        return html("<li><a href='/a'>a</a></li>")

    site.pages["/"] = late
    process = extracted(owner, site)
    assert (process.status, len(records(process))) == ("finished", 1)
    assert site.hits["/"] == 1


def test_pages_of_earlier_turns_are_not_fetched_again(owner: Person, site: Site, settings: Any) -> None:
    """Each page leads to the next one and back to all before."""
    settings.EXTRACTION_SLICE_SECONDS = 1
    paths = [f"/{number}" for number in range(8)]

    def late(path: str, before: int) -> Reply:
        time.sleep(0.4)  # the pages take three turns, and more
        return html("<h1>t</h1>" + "".join(f"<a href={other}>a</a>" for other in paths[: paths.index(path) + 2]))

    site.pages.update(dict.fromkeys(paths, late))
    follow = {"match": "/", "depth": len(paths)}
    fields = [{"name": "t", "selector": "h1"}]
    process = extracted(owner, site, request={"url": f"{site.url}/0"}, fields=fields, follow=follow)
    assert (process.status, process.pages) == ("finished", len(paths))
    assert {path: site.hits[path] for path in paths} == dict.fromkeys(paths, 1)


def test_a_turn_does_not_begin_with_a_connection_that_another_lost(owner: Person, site: Site) -> None:
    def end_connection() -> None:
        with connection.cursor() as cursor, pytest.raises(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    site.pages["/"] = listing("/a")
    process = begun(owner, site)
    asyncio.run(sync_to_async(end_connection)())
    worker_loop.work_on_slices(node="extraction@test")
    process.refresh_from_db()
    assert (process.status, process.records) == ("finished", 1)
