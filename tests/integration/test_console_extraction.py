"""The console's pages of extraction: tasks and processes, the pages of one and why they failed, its results."""

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from extraction.models import ExtractionPage, Process
from taskhub.console import extraction_pages
from tests.conftest import Person

pytestmark = pytest.mark.django_db
SECRET = "correct-horse"
FIELDS = [{"name": "a", "selector": "a"}]


def started(owner: Person, **fields: Any) -> Process:
    """A process of a new task, which nobody carries out."""
    request = {"url": "http://127.0.0.1:9/", "headers": {"Authorization": f"Bearer {SECRET}"}}
    payload = {"name": "shoes", "request": request, "fields": FIELDS}
    task = owner.post("/v1/task/create", payload).json()
    process = Process.objects.get(id=owner.post(f"/v1/task/{task['id']}/run").json()["id"])
    Process.objects.filter(pk=process.pk).update(**fields)
    process.refresh_from_db()
    return process


def add_page(process: Process, number: int, **fields: Any) -> None:
    key = bytes([number]) * 16
    ExtractionPage.objects.create(
        process=process, key=key, chain=key, ordinal=number, url=f"http://127.0.0.1:9/{number}?token={SECRET}", **fields
    )


def cells(page: Any, label: str) -> list[str]:
    """The cells of one column of a table, as somebody reads them."""
    found = re.findall(rf'<td data-label="{label}"[^>]*>(.*?)</td>', page.text)
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in found]


def test_tasks_and_processes_are_listed_for_those_who_may_see_them(
    browser: Client, owner: Person, stranger: Person, colleague: Person
) -> None:
    process = started(owner, pages=12, failed=3, records=40)
    page = browser.get("/console/extraction")
    assert cells(page, "Task") == ["shoes"]
    assert (cells(page, "Pages"), cells(page, "Failed"), cells(page, "Records")) == (["12"] * 2, ["3"] * 2, ["40"] * 2)
    assert f'href="/console/extraction/process/{process.id}"' in page.text
    browser.force_login(stranger.user)
    assert "Nothing has been extracted yet." in browser.get("/console/extraction").text
    browser.force_login(colleague.user)
    assert cells(browser.get("/console/extraction"), "Owner") == ["owner@example.com"] * 2


def test_a_task_has_its_processes_in_pages(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_pages, "PROCESSES", 1)
    first, other = started(owner), started(owner)
    assert first.task is not None
    owner.post(f"/v1/task/{first.task.id}/run")
    address = f"/console/extraction?task={first.task.id}"
    page = browser.get(address)
    last = re.findall(r'href="(\?task=[^"]*after=\d+)"', page.text)
    assert len(last) == 1
    assert cells(page, "Process") != cells(browser.get(f"/console/extraction{html.unescape(last[0])}"), "Process")
    assert cells(browser.get(f"/console/extraction{html.unescape(last[0])}"), "Process") == [first.id[-8:]]
    assert other.id not in page.text
    assert browser.get("/console/extraction?task=nothing").status_code == 404


def test_pages_that_failed_come_first_with_their_reasons(browser: Client, owner: Person) -> None:
    process = started(owner, failed=1, pages=2)
    add_page(process, 1, state="done", found=5)
    add_page(process, 2, state="failed", status=500, error="The server <b>failed</b>.", attempt=5)
    address = f"/console/extraction/process/{process.id}"
    page = browser.get(address)
    assert (cells(page, "Why"), cells(page, "Attempt")) == (["The server <b>failed</b>."], ["5"])
    assert cells(browser.get(f"{address}?state=done"), "Records") == ["5"]
    assert cells(browser.get(f"{address}?state="), "State") == ["done", "failed"]
    assert "No page is waiting." in browser.get(f"{address}?state=waiting").text


def test_pages_are_read_some_at_a_time(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_pages, "PAGES", 1)
    process = started(owner)
    for number in (1, 2):
        add_page(process, number, state="failed", error=f"reason {number}")
    address = f"/console/extraction/process/{process.id}"
    page = browser.get(f"{address}?state=failed")
    assert cells(page, "Why") == ["reason 1"]
    (more,) = re.findall(r'href="(\?[^"]*after=\d+)"', page.text)
    assert cells(browser.get(f"{address}{html.unescape(more)}"), "Why") == ["reason 2"]


def test_others_see_no_secrets(browser: Client, owner: Person, colleague: Person) -> None:
    process = started(owner)
    add_page(process, 1)
    assert process.task is not None
    for address in (f"/console/extraction/process/{process.id}", f"/console/extraction?task={process.task.id}"):
        browser.force_login(owner.user)
        assert SECRET in browser.get(address).text
        browser.force_login(colleague.user)
        page = browser.get(address)
        assert page.status_code == 200
        assert SECRET not in page.text


def test_results_and_the_log_are_links(browser: Client, owner: Person) -> None:
    process = started(owner, results="x.json")
    page = browser.get(f"/console/extraction/process/{process.id}")
    assert re.search(r'href="[^"]*/v1/files/[^"]*/x.json"[^>]*>Results<', page.text)
    assert re.search(rf'href="[^"]*/v1/files/[^"]*/{process.id}.log"[^>]*>Log<', page.text)
    assert f'href="/v1/process/{process.id}/export?format=XLSX"' in page.text


def test_what_moves_of_a_process_comes_alone(browser: Client, owner: Person) -> None:
    process = started(owner)
    address = f"/console/extraction/process/{process.id}"
    page = browser.get(address)
    assert f'data-events="/runs/{process.run_id}/events"' in page.text
    assert f'hx-get="{address}?state=done"' in browser.get(f"{address}?state=done").text
    Process.objects.filter(pk=process.pk).update(status="finished", records=4711)
    part = browser.get(address, headers={"HX-Request": "true"}).text
    assert "4711" in part
    assert "<main" not in part
    assert "data-events" not in browser.get(address).text  # it has ended


def test_a_process_that_goes_on_cannot_be_made_to_go_on(browser: Client, owner: Person) -> None:
    process = started(owner)
    page = browser.post(f"/console/extraction/process/{process.id}/retry", follow=True)
    assert page.redirect_chain[0][0] == f"/console/extraction/process/{process.id}"
    assert "notice warning" in page.text


def test_failed_pages_are_asked_for_again(browser: Client, owner: Person) -> None:
    process = started(owner)
    owner.post(f"/v1/process/{process.id}/cancel")
    add_page(process, 1, state="failed", error="gone")
    Process.objects.filter(pk=process.pk).update(status="failed", failed=1, pages=1)
    address = f"/console/extraction/process/{process.id}"
    assert ">Try failed pages again<" in browser.get(address).text
    page = browser.post(f"{address}/retry", follow=True)
    assert "It goes on" in page.text
    process.refresh_from_db()
    assert process.status == "running"


LOOK = "/console/extraction/look"


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"action": "suggest", "url": "nonsense"}, "url: "),
        ({"action": "preview", "payload": "{"}, "Expecting property name"),
        ({"action": "preview", "payload": "[]"}, "The payload must be an object."),
        ({"action": "keep", "payload": '{"fields": 1}'}, "fields: "),
        ({"action": "nothing"}, "There is no such action."),
    ],
)
def test_what_cannot_be_looked_at_is_told(browser: Client, sent: dict[str, str], fault: str) -> None:
    page = browser.post(LOOK, sent)
    assert page.status_code == 400
    assert fault in page.text.partition('role="alert">')[2].partition("</p>")[0]
    assert html.escape(sent.get("payload", sent.get("url", ""))) in page.text
    assert not Process.objects.exists()


def test_a_look_is_waited_for_and_taken_once(browser: Client, owner: Person) -> None:
    address = browser.post(LOOK, {"action": "suggest", "url": "http://127.0.0.1:9/"})["Location"]
    process = Process.objects.get(owner=owner.user)
    assert address == f"{LOOK}/{process.id}"
    assert f'data-events="/runs/{process.run_id}/events"' in browser.get(address).text
    assert 'hx-trigger="ended from:body"' in browser.post(address, headers={"HX-Request": "true"}).text
    owner.post(f"/runs/{process.run_id}/cancel")
    assert 'hx-trigger="load"' in browser.get(address).text
    part = browser.post(address, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "No page was read." in part.text
    assert browser.get(address).status_code == 404


def test_a_task_is_run(browser: Client, owner: Person) -> None:
    task = owner.post("/v1/task/create", {"request": {"url": "http://127.0.0.1:9/"}, "fields": FIELDS}).json()["id"]
    action = f"/console/extraction/task/{task}/run"
    assert f'action="{action}"' in browser.get(f"/console/extraction?task={task}").text
    page = browser.post(action, follow=True)
    assert "It is started: this is the process." in page.text
    assert page.request["PATH_INFO"] == f"/console/extraction/process/{Process.objects.get(task__id=task).id}"


def test_a_payload_is_kept_as_a_task(browser: Client, owner: Person) -> None:
    payload = json.dumps({"name": "shoes", "request": {"url": "http://127.0.0.1:9/"}, "fields": FIELDS})
    page = browser.post(LOOK, {"action": "keep", "payload": payload}, follow=True)
    assert "The task is made." in page.text
    assert "It has not run yet." in page.text
    assert [task["name"] for task in owner.get("/v1/tasks").json()] == ["shoes"]
