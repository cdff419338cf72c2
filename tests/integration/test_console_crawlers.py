"""The console's pages of crawlers: looked at, started by a form of their parameters, made, changed and deleted."""

import html
import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crawlers.models import Crawler, CrawlerTask, External, Stream
from crawlers.services.crawler_states import save_state, state_of
from crawlers.services.status_updates import change_status
from taskhub.console import rejected_line_pages
from taskhub.runs.domain import State
from taskhub.security.masking import MASK
from tests import crawler_client
from tests.conftest import Person
from tests.integration.test_console_extraction import cells
from tests.integration.test_console_runs import signed_in

pytestmark = pytest.mark.django_db
SECRET = "canary-4711"
ENDPOINT = "http://127.0.0.1:9/shop"
PARAMETERS: list[dict[str, Any]] = [
    {"name": "query", "type": "string", "required": True, "max": 100, "label": "Looked for", "placeholder": "shoes"},
    {"name": "count", "type": "integer", "default": 3, "min": 0, "max": 50},
    {"name": "sort", "type": "string", "options": [{"value": "p", "label": "by price"}, "name"]},
    {"name": "new", "type": "bool"},
    {"name": "since", "type": "date"},
    {"name": "where", "type": "location"},
    {"name": "shops", "type": "multi_search"},
    {"name": "sizes", "type": "list"},
    {"name": "key", "type": "password", "required": True},
]
PARAMS = {"query": "shoe", "key": SECRET}
SENT = {"params-query": "shoe", "params-count": "3"}


@pytest.fixture
def crawler(owner: Person) -> Crawler:
    external = crawler_client.external(owner, ENDPOINT, parameters=PARAMETERS)
    return Crawler.objects.get(fid=crawler_client.crawler(owner, external, PARAMS)["crawler"]["fid"])


@pytest.fixture
def page(crawler: Crawler) -> str:
    return f"/console/crawlers/{crawler.fid}"


def fault_of(page: Any, label: str) -> str:
    """What is wrong at the field with this label."""
    field = re.split(f">{label} ?<", html.unescape(page.text), maxsplit=1)[1].partition('<div class="field')[0]
    return field.partition('role="alert">')[2].partition("</p>")[0]


def task_of(crawler: Crawler) -> CrawlerTask:
    return CrawlerTask.objects.filter(crawler=crawler).latest("pk")


def test_crawlers_are_listed_with_their_last_task(
    browser: Client, owner: Person, stranger: Person, colleague: Person, crawler: Crawler
) -> None:
    assert "it has not run" in browser.get("/console/crawlers").text
    crawler_client.start(owner, {"fid": crawler.fid})
    change_status(task=task_of(crawler), code=102, message="page 3", detail="", by="crawler", progress={"done": 3})
    assert cells(browser.get("/console/crawlers"), "Last task") == ["102 page 3 3"]
    assert "There are no crawlers yet." in signed_in(stranger).get("/console/crawlers").text
    assert cells(signed_in(colleague).get("/console/crawlers"), "Owner") == ["owner@example.com"]


def test_the_last_task_is_found_however_many_there_are(browser: Client, owner: Person, crawler: Crawler) -> None:
    crawler_client.crawler(
        owner, crawler_client.external(owner, ENDPOINT)
    )  # of one alone the last is always found soon
    crawler_client.start(owner, {"fid": crawler.fid})
    change_status(task=task_of(crawler), code=200, message="", detail="", by="crawler")
    number, names = (
        300,
        [field.attname for field in CrawlerTask._meta.concrete_fields if field.name not in ("id", "fid")],
    )
    common = {name: getattr(task_of(crawler), name) for name in names}
    CrawlerTask.objects.bulk_create(CrawlerTask(**common) for _ in range(number))
    CrawlerTask.objects.filter(pk=task_of(crawler).pk).update(removed_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE crawlers_task")
    with CaptureQueriesContext(connection) as queries:
        page = browser.get("/console/crawlers").text
    last = CrawlerTask.objects.filter(removed_at__isnull=True).latest("pk")
    assert f"/console/crawlers/tasks/{last.fid}" in page
    for query in queries.captured_queries:
        if query["sql"].startswith("SELECT") and '"crawlers_task"' in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query['sql']}")
                assert most_rows(cursor.fetchone()[0][0]["Plan"]) < number / 10


def most_rows(plan: dict[str, Any]) -> float:
    """The most rows that a node of a plan has given."""
    return max([float(plan["Actual Rows"]), *map(most_rows, plan.get("Plans", []))])


def test_a_crawler_is_shown_with_its_tasks_as_they_go_on(
    browser: Client, owner: Person, colleague: Person, crawler: Crawler, page: str
) -> None:
    crawler_client.start(owner, {"fid": crawler.fid})
    numbers = {"pages": 7, "errors": 0}
    change_status(
        task=task_of(crawler),
        code=102,
        message="",
        detail="",
        by="crawler",
        progress={"done": 1, "total": 4},
        stats=numbers,
    )
    whole = browser.get(page)
    assert cells(whole, "Numbers") == ["pages 7, errors 0"]
    assert 'value="1" max="4"' in whole.text
    for link in (crawler.external.fid, f"/console/streams/{crawler.stream.fid}", task_of(crawler).fid):
        assert str(link) in whole.text
    part = browser.get(page, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert 'value="1" max="4"' in part
    for person in (owner, colleague):
        assert SECRET not in signed_in(person).get(page).text


@pytest.mark.parametrize(
    ("sent", "params"),
    [
        ({}, {"query": "shoe", "count": 3}),
        ({"params-query": "boots", "params-sort": '"p"'}, {"query": "boots", "count": 3, "sort": "p"}),
        ({"params-count": ""}, {"query": "shoe", "count": 3}),
        ({"params-new": "false", "params-since": "2026-01-31"}, {"new": False, "since": "2026-01-31"}),
        ({"params-where": "Berlin", "params-shops": "a b\r\nc"}, {"where": "Berlin", "shops": ["a b", "c"]}),
        ({"params-sizes": '[1, "x"]'}, {"sizes": [1, "x"]}),
    ],
    ids=["as it is", "others", "emptied", "flag and date", "texts", "list"],
)
def test_it_is_started_by_a_form_of_its_parameters(
    browser: Client, crawler: Crawler, page: str, sent: dict[str, str], params: dict[str, Any]
) -> None:
    form = browser.get(f"{page}/start").text
    for text in ("Looked for", 'value="shoe"', 'placeholder="shoes"', "by price", 'type="date"', 'type="password"'):
        assert text in form
    assert SECRET not in form
    answer = browser.post(f"{page}/start", SENT | sent)
    task = task_of(crawler)
    assert (answer.status_code, answer["Location"]) == (302, f"/console/crawlers/tasks/{task.fid}")
    assert task.params | params == task.params
    assert task.secrets["params"] == {"key": SECRET}
    crawler.refresh_from_db()
    assert crawler.params == {"query": "shoe", "count": 3}
    again = browser.post(f"{page}/start", SENT, follow=True)
    assert "A task of it is running already" in again.text
    assert CrawlerTask.objects.count() == 1


def test_a_task_is_given_options_of_its_run(browser: Client, crawler: Crawler, page: str) -> None:
    options = {
        "run-tags": "nightly\nshop",
        "run-metadata": '{"customer": "4711"}',
        "run-priority": "7",
        "run-expires_at": "2999-01-01T00:00:00Z",
        "run-concurrency": '{"key": "shop", "limit": 2}',
        "run-webhook": "https://hooks.example.com/",
    }
    assert browser.post(f"{page}/start", SENT | options).status_code == 302
    run = task_of(crawler).run
    assert run is not None
    assert run.expires_at is not None
    assert run.concurrency is not None
    assert (run.tags, run.metadata, run.priority) == (["nightly", "shop"], {"customer": "4711"}, 7)
    assert (run.expires_at.year, run.concurrency.key, run.concurrency.limit) == (2999, "shop", 2)
    assert run.webhook == options["run-webhook"]


def test_a_value_that_is_taken_away_is_not_sent(browser: Client, owner: Person, crawler: Crawler, page: str) -> None:
    assert owner.patch(f"/crawlers/{crawler.fid}", {"params": {"where": "Berlin", "sort": "p"}}).status_code == 200
    assert browser.post(f"{page}/start", SENT).status_code == 302
    assert task_of(crawler).params == {"query": "shoe", "count": 3}


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("priority", "10", "less than or equal to 9"),
        ("concurrency", '{"limit": 2}', "/key: This is required."),
        ("webhook", "ftp://hooks.example.com/", "Only http and https"),
    ],
)
def test_an_option_that_is_not_valid_is_told_at_its_field(
    browser: Client, page: str, name: str, text: str, fault: str
) -> None:
    answer = browser.post(f"{page}/start", SENT | {f"run-{name}": text})
    assert answer.status_code in {400, 403}
    assert fault in html.unescape(answer.text).partition(f'id="id_run-{name}_error"')[2].partition("</p>")[0]
    assert not CrawlerTask.objects.exists()


@pytest.mark.parametrize(
    ("sent", "label", "fault"),
    [
        ({"params-query": ""}, "Looked for", "This is required."),
        ({"params-query": "x" * 101}, "Looked for", "Must be at most 100 characters."),
        ({"params-count": "many"}, "Count", "Must be a whole number."),
        ({"params-count": "51"}, "Count", "Must be at most 50."),
        ({"params-sort": "size"}, "Sort", "'size' is not among the options"),
        ({"params-since": "soon"}, "Since", "Must be a date"),
        ({"params-sizes": "["}, "Sizes", "sizes is not JSON."),
    ],
)
@pytest.mark.parametrize("form", ["start", "change"])
def test_what_is_not_valid_is_told_at_its_field(
    browser: Client, page: str, form: str, sent: dict[str, str], label: str, fault: str
) -> None:
    answer = browser.post(f"{page}/{form}", SENT | {"crawler-name": "shoes"} | sent)
    assert answer.status_code == 400
    assert fault in fault_of(answer, label)
    assert not CrawlerTask.objects.exists()


def test_a_crawler_is_changed_and_keeps_its_secrets(
    browser: Client, colleague: Person, crawler: Crawler, page: str
) -> None:
    crawler.meta = {"name": "shoes", "colour": "blue"}
    crawler.webhook = "https://hooks.example.com/crawls?token=canary-9"
    crawler.save()
    form = {
        "crawler-name": "boots",
        "crawler-webhook": crawler.webhook,
        "crawler-schedule": '{"type": "interval", "conf": {"every": 6, "period": "hours"}}',
        "params-query": "boots",
        "params-count": "5",
    }
    assert SECRET not in browser.get(f"{page}/change").text
    assert browser.post(f"{page}/change", form)["Location"] == page
    staff = signed_in(colleague)
    shown = re.findall(r'name="crawler-webhook" value="([^"]*)"', staff.get(f"{page}/change").text)
    assert "canary-9" not in shown[0]
    assert staff.post(f"{page}/change", form | {"crawler-webhook": html.unescape(shown[0])}).status_code == 302
    changed = Crawler.objects.get(pk=crawler.pk)
    assert changed.meta == {"name": "boots", "colour": "blue"}
    assert (changed.params, changed.secrets["params"]) == ({"query": "boots", "count": 5}, {"key": SECRET})
    assert changed.webhook == crawler.webhook
    assert changed.periodic is not None
    assert f'href="/console/schedules/{changed.periodic_id}"' in browser.get(page).text
    assert browser.post(f"{page}/change", form | {"crawler-schedule": "", "params-key": "other"}).status_code == 302
    changed = Crawler.objects.get(pk=crawler.pk)
    assert (changed.periodic, changed.secrets["params"]) == (None, {"key": "other"})


def test_its_state_is_shown_and_emptied(
    browser: Client, owner: Person, colleague: Person, crawler: Crawler, page: str
) -> None:
    assert "Empty the state" not in browser.get(page).text
    save_state(crawler=crawler, value={"page": 12, "password": SECRET}, check=lambda state: None)
    assert "Empty the state" in browser.get(page).text
    assert SECRET in browser.get(page).text
    assert SECRET not in signed_in(colleague).get(page).text
    assert "The state is empty" in browser.post(f"{page}/state", follow=True).text
    assert (state_of(crawler).value, state_of(crawler).version) == (None, 2)


def test_a_crawler_is_deleted_and_its_documents_stay(browser: Client, crawler: Crawler, page: str) -> None:
    answer = browser.post(f"{page}/delete", follow=True)
    assert answer.redirect_chain[0][0] == "/console/crawlers"
    assert "Its documents stay" in answer.text
    assert browser.get(page).status_code == 404
    assert browser.get(f"/console/streams/{crawler.stream.fid}").status_code == 200


@pytest.fixture
def task(owner: Person, crawler: Crawler) -> CrawlerTask:
    crawler_client.start(owner, {"fid": crawler.fid})
    return task_of(crawler)


def test_a_task_is_shown_with_its_history(browser: Client, owner: Person, task: CrawlerTask) -> None:
    body = crawler_client.lines([{"sku": "a"}, {"sku": 5}])
    owner.post(f"/actions/tasks/{task.fid}/upload?on_invalid=skip", body)
    change_status(task=task, code=500, message="no <tea>", detail="at line 7", by="crawler", stats={"pages": 3})
    page = browser.get(f"/console/crawlers/tasks/{task.fid}")
    assert cells(page, "Status")[:2] == ["500 no <tea>", "102 running"]
    for text in (f"/runs/{task.run_id}/logs", f"/console/runs/{task.run_id}", "at line 7", "1 lines", "<dt>pages</dt>"):
        assert text in page.text
    assert SECRET not in page.text
    part = browser.get(f"/console/crawlers/tasks/{task.fid}", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert "at line 7" in part


def test_a_task_is_stopped_tried_again_and_deleted(browser: Client, task: CrawlerTask) -> None:
    action = f"/console/crawlers/tasks/{task.fid}/action"
    assert "has not ended" in browser.post(action, {"action": "retry"}, follow=True).text
    assert "The task is stopped" in browser.post(action, {"action": "stop"}, follow=True).text
    task.refresh_from_db()
    assert task.run is not None
    assert (task.code, task.run.state) == (499, State.REVOKED)
    assert "notice warning" in browser.post(action, {"action": "stop"}, follow=True).text
    assert "It is tried again." in browser.post(action, {"action": "retry"}, follow=True).text
    task.refresh_from_db()
    assert (task.code, task.attempt) == (0, 2)
    assert browser.post(action, {"action": "burn"}).status_code == 400
    answer = browser.post(action, {"action": "delete"}, follow=True)
    assert answer.redirect_chain[0][0] == f"/console/streams/{task.stream.fid}"
    assert browser.get(f"/console/crawlers/tasks/{task.fid}").status_code == 404


def test_rejected_lines_are_shown_and_checked_again(
    browser: Client, owner: Person, task: CrawlerTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f"/console/crawlers/tasks/{task.fid}/rejected"
    assert "No line of this task is rejected." in browser.get(page).text
    body = crawler_client.lines([{"sku": 5}, {"sku": "<b>" * 200, "price": "1"}, 7])
    owner.post(f"/actions/tasks/{task.fid}/upload?on_invalid=skip", body)
    assert f'href="{page}"' in browser.get(f"/console/crawlers/tasks/{task.fid}").text
    shown = browser.get(page)
    assert cells(shown, "Line") == ["1", "2", "3"]
    assert cells(shown, "Why")[2] == "Must be an object, not a number."
    assert cells(shown, "Sent")[1].endswith(f"({len(body.splitlines()[1])} characters)")
    assert f"/tasks/{task.fid}/rejected?format=ndjson" in shown.text
    change_status(task=task, code=200, message="", detail="", by="crawler")
    owner.patch(f"/externals/{task.external.fid}", {"schema": {"properties": {"sku": {"type": "integer"}}}})
    assert "1 of 3 lines are documents now; 2 are still rejected." in browser.post(page, follow=True).text
    monkeypatch.setattr(rejected_line_pages, "PAGE_ROWS", 1)
    more = re.findall(r'href="(\?after=\d+)" rel="next"', browser.get(page).text)
    assert cells(browser.get(page + more[0]), "Line") == ["3"]


def test_staff_are_led_to_the_history_of_what_they_look_at(
    browser: Client, colleague: Person, task: CrawlerTask
) -> None:
    assert task.crawler is not None
    owned = {
        f"/console/crawlers/{task.crawler.fid}": ("crawler", task.crawler.fid),
        f"/console/crawlers/externals/{task.external.fid}": ("external", task.external.fid),
        f"/console/crawlers/tasks/{task.fid}": ("crawler+task", task.fid),
        f"/console/streams/{task.stream.fid}": ("stream", task.stream.fid),
        f"/console/runs/{task.run_id}": ("run", task.run_id),
    }
    staff = signed_in(colleague)
    for page, (kind, object_id) in owned.items():
        link = f"/console/audit?kind={kind}&object={object_id}"
        assert f'href="{link}"' in html.unescape(staff.get(page).text), page
        assert link not in html.unescape(browser.get(page).text), page
    assert cells(staff.get(f"/console/audit?kind=crawler&object={task.crawler.fid}"), "Action") == ["create"]


EXTERNALS = "/console/crawlers/externals"
FORM = {
    "external-name": "shop",
    "external-description": "Of shoes.",
    "external-endpoint": "https://crawler.example.com/shop",
    "external-credential": '"basic"',
    "external-parameters": json.dumps([{"name": "query", "type": "string"}]),
    "external-schema": '{"type": "object"}',
    "external-docIdField": "sku",
    "external-headers": json.dumps({"Authorization": SECRET}),
    "external-timeout": "60",
}


@pytest.fixture(autouse=True)
def _documentation_addresses(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = [*settings.OUTBOUND_ALLOW, "crawler.example.com"]


def test_an_external_is_registered_changed_and_deleted(browser: Client, owner: Person, colleague: Person) -> None:
    empty = browser.get(EXTERNALS).text
    assert "No crawler program is registered yet." in empty
    assert "python -m crawlers.examples.crawler" in empty
    page = browser.post(f"{EXTERNALS}/new", FORM)["Location"]
    external = External.objects.get()
    assert page == f"{EXTERNALS}/{external.fid}"
    assert cells(browser.get(EXTERNALS), "External") == ["shop"]
    assert external.meta == {"name": "shop", "description": "Of shoes."}
    assert (external.credential, external.id_field, external.timeout) == ("basic", "sku", 60)
    External.objects.update(meta=external.meta | {"image": "i.png"}, kept={"analysis": {"a": 1}})
    for person in (owner, colleague):
        somebody = signed_in(person)
        assert SECRET not in somebody.get(page).text
        assert SECRET not in somebody.get(f"{page}/change").text
        masked = FORM | {"external-headers": json.dumps({"Authorization": MASK}), "external-name": person.user.email}
        assert somebody.post(f"{page}/change", masked | {"external-schema": ""}).status_code == 302
    external.refresh_from_db()
    assert external.headers == {"Authorization": SECRET}
    assert external.meta == {"name": "colleague@example.com", "description": "Of shoes.", "image": "i.png"}
    assert (external.schema, external.kept) == (None, {"analysis": {"a": 1}})
    moved = FORM | {"external-endpoint": "https://127.0.0.1/", "external-headers": json.dumps({"Authorization": MASK})}
    refused = browser.post(f"{page}/change", moved)
    assert refused.status_code == 400
    assert "Give it again" in fault_of(refused, "Headers")
    assert browser.post(f"{page}/delete")["Location"] == EXTERNALS
    assert browser.get(page).status_code == 404


@pytest.mark.parametrize(
    ("sent", "label", "fault"),
    [
        ({"external-name": ""}, "Name", "This is required."),
        ({"external-endpoint": "nonsense"}, "Endpoint", ""),
        ({"external-parameters": "["}, "Parameters", "parameters is not JSON."),
        ({"external-parameters": '[{"name": "a", "type": "colour"}]'}, "Parameters", "/0/type: "),
        ({"external-schema": '{"type": 5}'}, "Schema", ""),
        ({"external-timeout": "0"}, "Timeout", ""),
        ({"external-headers": '{"Host": "x"}'}, "Headers", "/Host: "),
    ],
)
def test_what_no_external_is_is_told_at_its_field(
    browser: Client, sent: dict[str, str], label: str, fault: str
) -> None:
    answer = browser.post(f"{EXTERNALS}/new", FORM | sent)
    assert answer.status_code == 400
    found = fault_of(answer, label)
    assert found
    assert fault in found
    assert not External.objects.exists()


def test_one_that_crawlers_use_is_not_deleted(browser: Client, crawler: Crawler) -> None:
    page = f"{EXTERNALS}/{crawler.external.fid}"
    assert "delete them first" in browser.post(f"{page}/delete", follow=True).text
    assert cells(browser.get(page), "Crawler") == ["shoes"]


@pytest.mark.parametrize(
    ("credential", "sent", "stored"),
    [
        ("none", {}, None),
        ("basic", {"crawler-username": "ada", "crawler-password": SECRET}, {"username": "ada", "password": SECRET}),
        ("oauth", {"crawler-token": SECRET}, SECRET),
    ],
)
def test_a_crawler_is_made_of_an_external(
    browser: Client, owner: Person, credential: str, sent: dict[str, str], stored: Any
) -> None:
    external = crawler_client.external(owner, ENDPOINT, parameters=PARAMETERS[:2], credential=credential)
    stream = owner.post("/streams", {"name": "old"}).json()["payload"]["fid"]
    form = {
        "crawler-name": "boots",
        "params-query": "boots",
        "crawler-stream": json.dumps(stream),
        "crawler-start": "on",
    }
    page = f"{EXTERNALS}/{external['fid']}/crawler"
    assert stream in browser.get(page).text
    answer = browser.post(page, form | sent)
    crawler = Crawler.objects.get()
    assert answer["Location"] == f"/console/crawlers/{crawler.fid}"
    assert (crawler.params, str(crawler.stream.fid)) == ({"query": "boots", "count": 3}, stream)
    assert crawler.secrets["credential"] == stored
    assert task_of(crawler).code == 0
    assert stream not in browser.get(page).text
    taken = browser.post(page, form | sent)
    assert taken.status_code == 400
    assert "it has a crawler" in fault_of(taken, "Stream")
    assert browser.post(page, {**form, **sent, "crawler-stream": "", "crawler-start": ""}).status_code == 302
    assert (Stream.objects.count(), CrawlerTask.objects.count()) == (2, 1)
    if stored:
        refused = browser.post(page, {name: value for name, value in form.items() if name != "crawler-stream"})
        assert "This is required." in refused.text
