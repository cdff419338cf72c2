"""Pages that Chromium renders: what comes of them, what they may take, and whom they reach."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil
import pytest

from extraction import worker_loop
from extraction.domain.render_job import BrowserAction, Pagination
from extraction.fetch import page_actions
from extraction.fetch.browser import Chromium, browser_thread
from extraction.models import ExtractionPage, Process, ProcessNote
from extraction.services import process_lifecycle, processes, tasks
from extraction.services.result_export import ResultExport
from taskhub.errors import Rejected
from taskhub.outbound import Policy, configured_policy
from taskhub.outbound.cookie_store import CookieKey, CookieStore, set_by_user
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, html, serving
from tests.rendered_pages import refusal, shown

pytestmark = [pytest.mark.xdist_group("chrome"), pytest.mark.usefixtures("rendering_here")]  # one browser for all

MADE = (
    '<div id="a">nothing</div><script>fetch("/api").then(r => r.text()).then(t => '
    '{ a.innerHTML = "<h2>" + t + "</h2>" })</script>'
)
TITLE = [{"name": "title", "selector": "h2"}]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.pages["/api"] = Reply("made by a script")
        site.pages["/"] = html(MADE)
        yield site


# What is shown


def test_what_scripts_make_is_there(site: Site) -> None:
    page = shown(site)
    assert "<h2>made by a script</h2>" in page.texts[0]
    assert (page.status, page.url) == (200, f"{site.url}/")
    assert "taskhub/" in site.seen["/"]["User-Agent"]


def test_a_button_for_more_is_clicked_until_it_is_gone(site: Site) -> None:
    site.pages["/"] = html(
        '<ul id=l><li>0</li></ul><button onclick="let n = l.children.length; setTimeout(() => '
        "{ l.insertAdjacentHTML('beforeend', `<li>${n}</li>`); if (n == 4) this.remove() }, 100)\">more</button>"
    )
    assert shown(site, pagination=Pagination("more", "button", pages=10)).texts[0].count("<li>") == 5
    assert shown(site, pagination=Pagination("more", "button", pages=3)).texts[0].count("<li>") == 3
    assert shown(site, actions=(BrowserAction("scroll", "button", times=2),)).texts[0].count("<li>") == 3


def test_a_list_without_end_is_scrolled_until_nothing_comes(site: Site) -> None:
    site.pages["/"] = html(
        "<div id=l style='height: 2000px'></div><script>let n = 0, busy = 0; addEventListener('scroll', () => {"
        "if (n < 4 && !busy && innerHeight + scrollY > document.documentElement.scrollHeight - 50) { busy = 1;"
        "setTimeout(() => { l.append(document.createElement('hr')); n++; l.style.height = 2000 + n * 900 + 'px';"
        "busy = 0 }, 50) } })</script>"
    )
    assert shown(site, pagination=Pagination("infinite", pages=50)).texts[0].count("<hr>") == 4
    assert shown(site, pagination=Pagination("infinite", pages=3)).texts[0].count("<hr>") == 2
    assert shown(site, actions=(BrowserAction("scroll", times=2),)).texts[0].count("<hr>") == 2


def test_a_next_page_in_the_same_place_is_read_each_time(site: Site) -> None:
    site.pages["/"] = html(
        "<h2 id=h>1</h2><button id=b onclick='setTimeout(() => { h.textContent = +h.textContent + 1; "
        "if (h.textContent == 3) b.disabled = true }, 50)'>next</button>"
    )
    texts = shown(site, pagination=Pagination("next", "#b", pages=9)).texts
    assert [f'<h2 id="h">{n}</h2>' in text for n, text in enumerate(texts, 1)] == [True] * 3
    assert len(shown(site, pagination=Pagination("next", "#b", pages=2)).texts) == 2


def test_a_next_page_behind_a_link_is_not_clicked(site: Site) -> None:
    site.pages["/"] = html("<a class=next href='/2'>next</a>")
    assert len(shown(site, pagination=Pagination("next", ".next", pages=9)).texts) == 1
    assert site.hits["/2"] == 0


def test_actions_before_it_is_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/"] = html(
        "<input id=i><button id=b onclick='setTimeout(() => { o.innerHTML = `<b>${i.value}</b>` }, 300)'>go</button>"
        "<p id=o></p><div style='height: 3000px'></div><i id=end></i><script>addEventListener('scroll', () => "
        "document.title = 'scrolled to ' + Math.round(scrollY))</script>"
    )
    actions = (
        BrowserAction("wait", "#i"),
        BrowserAction("fill", "#i", value="typed"),
        BrowserAction("click", "#b"),
        BrowserAction("wait", "#o b"),
        BrowserAction("scroll", pixels=100),
    )
    text = shown(site, actions=actions).texts[0]
    assert "<b>typed</b>" in text
    assert "scrolled to 100" in text
    assert "scrolled to" in shown(site, actions=(BrowserAction("scroll", "#end"),)).texts[0]
    monkeypatch.setattr(page_actions, "ACTION_SECONDS", 0.5)
    assert "shows no #none to click" in refusal(site, "/", actions=(BrowserAction("click", "#none"),))


def test_method_form_headers_and_cookies_are_sent_and_to_no_other(site: Site) -> None:
    with serving() as other:
        other.pages["/pixel.js"] = Reply("", headers={"Content-Type": "text/javascript"})
        site.pages["/"] = html(f"<script src='{other.url}/pixel.js'></script><img src='/own.png'>")
        page = shown(
            site,
            method="POST",
            body=b"q=a+b",
            content_type="application/x-www-form-urlencoded",
            headers={"X-Shop": "s3cr3t"},
            home=site.url,
            cookies=tuple(set_by_user({"session": "abc"}, "127.0.0.1")),
        )
        assert site.bodies["/"] == b"q=a+b"
        assert [site.seen[path].get("X-Shop") or site.seen[path].get("x-shop") for path in ("/", "/own.png")] == [
            "s3cr3t"
        ] * 2
        assert site.seen["/"]["Cookie"] == "session=abc"
        assert other.hits["/pixel.js"] == 1
        assert "s3cr3t" not in str(other.seen["/pixel.js"])
        assert page.cookies == {}  # none that was given has changed


def test_the_browser_has_the_cookies_of_the_process_and_gives_them_back(site: Site) -> None:
    store = CookieStore(set_by_user({"cart[items]": "1", "old": "1", "kept": "1", "": "bare"}, "127.0.0.1"))
    far = {"domain": ".example.com", "secure": True, "httpOnly": True, "sameSite": "Strict", "expires": 4102444800.0}
    store.apply({CookieKey(".example.com", "/", "far"): {**far, "path": "/", "name": "far", "value": "1"}})
    before = store.cookies()
    script = "document.cookie = 'made=by script; path=/'; document.cookie = 'old=; path=/; max-age=0'"
    site.pages["/"] = html(
        f"<script>{script}</script>", **{"Set-Cookie": "cart[items]=2; Path=/; HttpOnly; Max-Age=60"}
    )
    page = shown(site, cookies=tuple(before))
    assert {"cart[items]=1", "old=1", "kept=1"} <= set(site.seen["/"]["Cookie"].split("; "))
    assert {key.name: cookie and cookie["value"] for key, cookie in page.cookies.items()} == {
        "cart[items]": "2",
        "made": "by script",
        "old": None,
    }
    store.apply(page.cookies)
    assert "kept=1" in store.header_for(site.url)
    assert "old" not in store.header_for(site.url)
    by_name = {cookie["name"]: cookie for cookie in store.cookies()}
    assert by_name["cart[items]"]["httpOnly"]
    assert by_name["cart[items]"]["expires"] > time.time()
    assert by_name["far"]["domain"] == ".example.com"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_headers_do_not_follow_a_redirect_to_another_origin(site: Site, status: int) -> None:
    with serving() as other:
        site.pages["/"] = Reply("", 302, {"Location": "/again"})
        site.pages["/again"] = Reply("", status, {"Location": f"{other.url}/"})
        other.pages["/"] = html("<img src='/own.png'>")
        page = shown(site, headers={"Authorization": "Bearer s3cr3t", "X-Shop": "s3cr3t"}, home=site.url)
        assert page.url == f"{other.url}/"
        assert str(site.seen["/again"]).count("s3cr3t") == 2
        assert other.hits["/own.png"] == 1
        assert "s3cr3t" not in str(other.seen)


# Whom it reaches


def test_what_a_page_loads_passes_the_gate(site: Site) -> None:
    site.pages["/"] = html(
        "<img src='http://10.0.0.1/a.png'><script>"
        "let told = []; const done = w => { told.push(w); document.title = told.sort().join() };"
        "for (const url of ['http://169.254.169.254/', 'http://[::ffff:10.0.0.1]/', 'http://0x0a000001/',"
        " 'https://192.168.1.1/'])"
        " fetch(url, {mode: 'no-cors'}).then(r => done('reached ' + url), () => done('refused'));"
        "const socket = new WebSocket('ws://10.0.0.2/'); socket.onerror = () => done('refused');"
        "socket.onopen = () => done('reached socket');</script>"
    )
    text = shown(site).texts[0]
    assert "reached https" not in text
    assert "reached socket" not in text.partition("<script>")[0]
    assert "refused" in text


@pytest.mark.parametrize(
    "page",
    [
        Reply("", 302, {"Location": "http://10.0.0.1/"}),
        html("<script>location = 'http://10.0.0.1/'</script>"),
        html("<meta http-equiv='refresh' content='0; url=http://10.0.0.1/'>"),
        html("<script>setTimeout(() => { location = 'http://10.0.0.1/' }, 300)</script>"),
    ],
    ids=["redirect", "script", "refresh", "later"],
)
def test_a_page_that_leads_to_a_forbidden_address_is_refused(site: Site, page: Reply) -> None:
    site.pages["/"] = page
    assert "not called: it is a private address" in refusal(site, "/")


def test_without_leave_even_this_machine_is_refused(site: Site) -> None:
    assert "it is a loopback address" in refusal(site, "/", policy=replace(configured_policy(), allow=Policy().allow))
    assert not site.hits


def test_what_it_loads_has_a_limit(site: Site) -> None:
    site.pages["/big"] = Reply(b"x" * 12_000_000)
    site.pages["/"] = html("<h2>x</h2><script>fetch('/big').then(r => r.text())</script>")
    assert "more than 10485760 bytes" in refusal(site, "/", max_bytes=1000)


# What it may take


def test_a_page_that_never_settles_is_taken_as_it_is(site: Site) -> None:
    site.pages["/"] = html("<h2>here</h2><script>setInterval(() => fetch('/api?' + Math.random()), 50)</script>")
    assert "<h2>here</h2>" in shown(site, seconds=6).texts[0]


def test_a_page_that_computes_for_ever_ends(site: Site) -> None:
    site.pages["/loop"] = html("<h2>here</h2><script>while (true) {}</script>")
    began = time.monotonic()
    assert "took longer than 2 seconds" in refusal(site, "/loop", seconds=2)
    assert time.monotonic() - began < 20
    assert shown(site).status == 200  # and the next one is shown


def test_dialogs_and_windows_are_closed(site: Site) -> None:
    site.pages["/"] = html(
        "<h2>here</h2><script>alert(1); confirm(2); prompt(3); onbeforeunload = () => 'no'; open('/other')</script>"
    )
    assert "<h2>here</h2>" in shown(site).texts[0]


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/html", "application/zip"])
def test_downloads_are_no_pages(site: Site, kind: str) -> None:
    site.pages["/"] = Reply("data", headers={"Content-Type": kind, "Content-Disposition": "attachment; filename=a.zip"})
    assert "but a download" in refusal(site, "/")


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("application/octet-stream", {}),
        ("application/octet-stream", {"headers": {"X-Shop": "1"}}),
        ("application/octet-stream", {"method": "POST"}),
        ("binary/octet-stream; charset=utf-8", {}),
        ("*/*", {"headers": {"X-Shop": "1"}}),
        ("html", {"method": "POST"}),
        ("", {}),
    ],
)
def test_a_page_whose_type_says_nothing_is_one_where_its_bytes_are_text(
    site: Site, kind: str, terms: dict[str, Any]
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    site.pages["/"] = Reply(MADE.replace("nothing", "<i>žluť</i>"), headers=headers)
    page = shown(site, **terms)
    assert (page.status, page.url) == (200, f"{site.url}/")
    assert "<h2>made by a script</h2>" in page.texts[0]
    site.pages["/"] = Reply(b"\x89PNG\r\n\x1a\n" + bytes(100), headers=headers)
    if kind.startswith(("application", "binary")):
        assert "but a download" in refusal(site, "/", **terms)


def test_a_page_that_eats_memory_crashes_alone(site: Site, settings: Any) -> None:
    settings.EXTRACTION_CHROME_PAGE_MB = 300
    site.pages["/eat"] = html(
        "<script>let all = []; setInterval(() => all.push(new Uint8Array(3e7).fill(1)), 10)</script>"
    )
    patient = (BrowserAction("wait", "#never"),)  # else it may be taken as it is before it has eaten enough
    assert "more memory than it may" in refusal(site, "/eat", seconds=30, actions=patient)
    assert shown(site).status == 200


def test_what_is_rendered_may_be_too_large(site: Site) -> None:
    site.pages["/"] = html("<script>document.body.append('x'.repeat(3e6))</script>")
    assert "more than 2000000 characters" in refusal(site, "/")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Reply("no", 404), "answers 404"),
        (Reply("{}", headers={"Content-Type": "application/json"}), "no page, but application/json"),
        (Reply("", 302, {"Location": "/"}), "in a circle"),
        (Reply(raw=b""), "did not answer as it should"),
    ],
)
def test_answers_that_are_no_pages(site: Site, page: Reply, words: str) -> None:
    site.pages["/"] = page
    assert words in refusal(site, "/")


def test_a_browser_is_used_again_and_one_that_fell_or_grew_is_replaced(site: Site, settings: Any) -> None:
    shown(site)
    first = browser_thread.get().chromium
    shown(site)
    assert first is browser_thread.get().chromium
    assert isinstance(first, Chromium)
    for process in first.processes():
        with suppress(psutil.NoSuchProcess):  # it went with the one before
            process.kill()
    psutil.wait_procs(first.processes(), 5)
    assert shown(site).status == 200
    second = browser_thread.get().chromium
    assert second is not first
    settings.EXTRACTION_CHROME_MB = 1
    assert shown(site).status == 200
    settings.EXTRACTION_CHROME_MB = 4096
    assert shown(site).status == 200
    assert browser_thread.get().chromium is not second


# Processes


def extracted(owner: Person, site: Site, **payload: Any) -> Process:
    kind = payload.pop("type", "chrome")
    sent = {"request": {"url": f"{site.url}/", "type": kind}, "fields": TITLE, **payload}
    return run_to_its_end(owner, sent)


def run_to_its_end(owner: Person, sent: dict[str, Any]) -> Process:
    process = processes.run_task(task=tasks.create_task(owner=owner.user, body=sent))
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    until = time.monotonic() + 120
    while process.status == "running" and time.monotonic() < until:
        worker_loop.work_on_slices(node="extraction@test")
        process.refresh_from_db()
    return process


def notes(process: Process) -> str:
    return "\n".join(ProcessNote.objects.filter(process=process).order_by("id").values_list("text", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_process_renders_its_pages_for_their_price(owner: Person, site: Site) -> None:
    site.pages["/2"] = html("<h2>page 2</h2>")
    site.pages["/"] = html(MADE + "<a class=next href='/2'>next</a>")
    process = extracted(owner, site, paginator=".next")
    assert list(ResultExport(process).records()) == [{"title": "made by a script"}, {"title": "page 2"}]
    assert (process.status, process.cost, process.pages) == ("finished", 10, 2)


@pytest.mark.django_db(transaction=True)
def test_details_are_rendered_as_their_list_or_as_they_say(owner: Person, site: Site) -> None:
    site.pages["/"] = html("<li><a href='/a'>a</a></li>")
    site.pages["/a"] = html(MADE)
    inner = {"fields": TITLE, "request": {"type": "chrome"}}
    link = [{"name": "item", "selector": "li a", "attrs": ["href"], "details": inner}]
    process = extracted(owner, site, type="base", fields=link)
    [record] = list(ResultExport(process).records())
    assert record["item_details"] == [{"title": "made by a script"}]
    assert process.cost == 6


@pytest.mark.django_db(transaction=True)
def test_a_page_without_records_is_rendered_once_and_the_log_says_so(owner: Person, site: Site) -> None:
    process = extracted(owner, site, type="base")
    assert list(ResultExport(process).records()) == [{"title": "made by a script"}]
    assert process.cost == 6
    assert f"no record in {site.url}/, so it was rendered: 1 records" in notes(process)


@pytest.mark.django_db(transaction=True)
def test_where_rendering_does_not_help_it_is_not_tried_again(owner: Person, site: Site) -> None:
    site.pages["/"] = html("<li><a href='/a'>a</a><a href='/b'>b</a><a href='/c'>c</a></li>")
    for path in ("/a", "/b", "/c"):
        site.pages[path] = html("<p>nothing</p>")
    link = [{"name": "item", "selector": "li a", "attrs": ["href"], "details": {"fields": TITLE}}]
    process = extracted(owner, site, type="base", fields=link)
    assert process.cost == 1 + 3 + 5
    assert notes(process).count("so it was rendered: 0 records") == 1


@pytest.mark.django_db(transaction=True)
def test_robots_are_asked_before_a_page_is_rendered_and_after_it_led_elsewhere(owner: Person, site: Site) -> None:
    site.pages["/robots.txt"] = Reply("User-agent: taskhub\nDisallow: /private\n")
    site.pages["/private"] = html("<h2>private</h2>")
    site.pages["/"] = html("<script>location = '/private'</script>")
    process = extracted(owner, site)
    assert (process.status, process.cost) == ("failed", 0)
    assert "robots.txt forbids where the page leads" in ExtractionPage.objects.get(process=process).error
    before = site.hits["/private"]
    sent = {"request": {"url": f"{site.url}/private", "type": "chrome"}, "fields": TITLE}
    assert run_to_its_end(owner, sent).status == "failed"
    assert site.hits["/private"] == before


@pytest.mark.django_db(transaction=True)
def test_clicks_have_a_limit_of_the_settings(owner: Person, site: Site, settings: Any) -> None:
    settings.EXTRACTION_CHROME_STEPS = 3
    site.pages["/"] = html(
        "<ul id=l></ul><button onclick='l.innerHTML += `<h2>${l.children.length}</h2>`'>more</button>"
        "<script>l.innerHTML = '<h2>0</h2>'</script>"
    )
    process = extracted(
        owner,
        site,
        paginator={"type": "more", "selector": "button"},
        commonParent="h2",
        fields=[{"name": "title", "selector": "."}],
    )
    assert [one["title"] for one in ResultExport(process).records()] == ["0", "1", "2"]


@pytest.mark.django_db(transaction=True)
def test_credits_for_what_is_rendered_run_out(owner: Person, site: Site) -> None:
    site.pages["/2"] = html("<h2>page 2</h2>")
    site.pages["/"] = html(MADE + "<a class=next href='/2'>next</a>")
    process = extracted(owner, site, paginator=".next", maxCredits=9)
    assert (process.status, process.cost, process.missing) == ("pending", 5, 5)


@pytest.mark.django_db
def test_without_the_extra_the_refusal_says_how_to_install_it(owner: Person, site: Site, settings: Any) -> None:
    settings.CHROMIUM = "/nowhere/chromium"
    sent = {"request": {"url": f"{site.url}/", "type": "chrome"}, "fields": TITLE}
    with pytest.raises(Rejected, match="make chrome") as caught:
        tasks.create_task(owner=owner.user, body=sent)
    assert caught.value.errors[0]["pointer"] == "/request/type"


APP = """<div id=a></div><script>
const parts = location.hash.split("/");
a.innerHTML = parts[1] == "p" ? `<h2>product ${parts[2]}</h2>` :
    [1, 2].map(n => `<a class=item href="#/p/${n + 2 * (parts[2] - 1)}">x</a>`).join("") +
    (parts[2] < 2 ? `<a class=next href="/app#/list/${+parts[2] + 1}">next</a>` : "");
</script>"""


@pytest.mark.django_db(transaction=True)
def test_fragments_are_addresses_of_their_own_where_pages_are_rendered(owner: Person, site: Site) -> None:
    site.pages["/app"] = html(APP)
    details = {"fields": TITLE}
    sent = {
        "request": {"url": f"{site.url}/app#/list/1", "type": "chrome"},
        "commonParent": ".item",
        "fields": [{"name": "item", "selector": ".", "attrs": ["href"], "details": details}],
        "paginator": "a.next",
    }
    process = run_to_its_end(owner, sent)
    assert process.status == "finished"
    assert [(one["item_href"], one["item_details"]) for one in ResultExport(process).records()] == [
        (f"{site.url}/app#/p/{number}", [{"title": f"product {number}"}]) for number in range(1, 5)
    ]
    assert process.pages == 6


@pytest.mark.django_db(transaction=True)
def test_a_first_page_that_is_rendered_for_want_of_records_keeps_its_fragment(owner: Person, site: Site) -> None:
    site.pages["/app"] = html(APP)
    process = run_to_its_end(owner, {"request": {"url": f"{site.url}/app#/p/7"}, "fields": TITLE})
    assert list(ResultExport(process).records()) == [{"title": "product 7"}]


@pytest.mark.django_db(transaction=True)
def test_fragments_lead_to_pages_of_their_own_from_one_that_is_rendered_for_want_of_records(
    owner: Person, site: Site
) -> None:
    site.pages["/app"] = html(APP)
    sent = {
        "request": {"url": f"{site.url}/app#/list/1"},
        "commonParent": ".item",
        "fields": [{"name": "item", "selector": ".", "attrs": ["href"], "details": {"fields": TITLE}}],
        "paginator": "a.next",
    }
    process = run_to_its_end(owner, sent)
    assert [one["item_details"] for one in ResultExport(process).records()] == [
        [{"title": f"product {number}"}] for number in range(1, 5)
    ]
