"""The calls of extraction, as the document spells them and as the contract adds to them."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.core import signing
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from extraction.domain.process_status import ProcessStatus
from extraction.models import CreditAccount, CreditEntry, ExtractionPage, ExtractionTask, Process
from extraction.run_kinds import ExtractionTarget
from extraction.services import credits, process_lifecycle, retention
from extraction.services.payloads import check_payload
from extraction.services.result_files import result_storage
from taskhub.accounts import services as accounts
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.maintenance import prune
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person

pytestmark = pytest.mark.django_db

PAYLOAD: dict[str, Any] = {
    "name": "Shop",
    "request": {"url": "http://127.0.0.1:9/", "headers": {"Authorization": "Basic s3cr3t"}},
    "fields": [{"name": "a", "selector": "a"}],
    "format": "CSV",
}


def created(owner: Person, **values: Any) -> dict[str, Any]:
    answer = owner.post("/v1/task/create", {**PAYLOAD, **values})
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def started(owner: Person, task: dict[str, Any], **given: Any) -> Process:
    answer = owner.post(f"/v1/task/{task['id']}/run", given)
    assert answer.status_code == 202, answer.content
    return Process.objects.get(id=answer.json()["id"])


def ended(process: Process, text: str = "a\n1\n2\n") -> Process:
    """As if it had run: its file is there."""
    name = result_storage().save(f"{process.id}.csv", ContentFile(text.encode()))
    Process.objects.filter(pk=process.pk).update(
        status=ProcessStatus.FINISHED,
        results=name,
        finished_at=timezone.now(),
        started_at=timezone.now(),
        size=len(text),
    )
    assert process.run_id
    runs.finish_detached(run_id=process.run_id, state=State.SUCCESS)
    return process


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Any) -> None:
    results = {**settings.STORAGES["results"], "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "results": results}


def test_the_document_from_first_to_last(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an API key in the query, `curl -d`, and each of the document's spellings."""
    second = signing.TimestampSigner().timestamp()  # links name the second in which they are made
    monkeypatch.setattr(signing.TimestampSigner, "timestamp", lambda signer: second)
    _, key = accounts.create_key(user=owner.user)
    curl = Client()
    form = "application/x-www-form-urlencoded"
    made = curl.post(f"/v1/task/create?api_key={key}", json.dumps(PAYLOAD), content_type=form)
    assert made.status_code == 201
    task = made.json()
    assert task == {
        "id": task["id"],
        "name": "Shop",
        "webhook": "",
        "payload": PAYLOAD,
        "description": "",
        "type": "extract",
    }
    assert re.fullmatch(r"[0-9A-Za-z]{27}", task["id"])
    process = curl.post(f"/v1/task/{task['id']}/run?api_key={key}").json()
    assert process == {
        "id": process["id"],
        "status": "running",
        "taskID": task["id"],
        "startedAt": None,
        "finishedAt": None,
        "requestCount": 0,
        "responseCount": 0,
        "results": "",
        "logFile": process["logFile"],
        "missingCredits": 0,
        "cost": 0,
    }
    ended(Process.objects.get(id=process["id"]))
    for noun in ("process", "processes", "Process"):
        shown = curl.post(f"/v1/{noun}/{process['id']}/info?api_key={key}").json()
        assert re.fullmatch(r"\d{10}", shown["startedAt"])
    assert curl.post(f"/v1/tasks/{task['id']}/info?api_key={key}").json() == task
    assert curl.post(f"/v1/task/{task['id']}/results?api_key={key}").json() == [shown]
    assert curl.post(f"/v1/tasks?api_key={key}").json() == [task]
    link = curl.generic("GET", f"/v1/getlink?api_key={key}", shown["results"].encode(), form)
    assert link["Content-Type"].startswith("text/plain")
    path = link.content.decode().removeprefix(django_settings.PUBLIC_URL)
    assert Client().get(path).getvalue() == b"a\n1\n2\n"
    assert curl.post(f"/v1/processes/{process['id']}/cancel?api_key={key}").status_code == 409
    assert curl.delete(f"/v1/task/{task['id']}delete?api_key={key}").json() == {"deleted": "ok"}
    assert curl.get(f"/v1/task/{task['id']}/info?api_key={key}").status_code == 404


def test_a_task_may_come_as_a_structure_and_be_changed(owner: Person) -> None:
    sent = {"name": "S", "description": "d", "webhook": "http://127.0.0.1/hook", "payload": PAYLOAD, "type": "extract"}
    task = owner.post("/v1/task/create", sent).json()
    assert (task["name"], task["description"], task["webhook"]) == ("S", "d", "http://127.0.0.1/hook")
    changed = {**task, "name": "T", "payload": {**PAYLOAD, "format": "XML"}}
    assert owner.post(f"/v1/task/{task['id']}/update", changed).json() == changed
    for wrong, place in (
        ({"id": "x" * 27}, "/id"),
        ({"payload": {**PAYLOAD, "fields": []}}, "/payload/fields"),
        ({"nonsense": 1}, "/nonsense"),
        ({"type": "serp"}, "/type"),
        ({"name": 5}, "/name"),
        ({"webhook": "http://10.0.0.1/"}, "/webhook"),
        ({"payload": {"search_engine": "altavista", "keywords": ["a"]}}, "/payload/search_engine"),
    ):
        answer = owner.post(f"/v1/task/{task['id']}/update", wrong)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, place)
    assert owner.get(f"/v1/task/{task['id']}/info").json() == changed


def test_a_run_has_the_payload_as_it_was_and_overrides(owner: Person) -> None:
    task = created(owner)
    over = {"payload": {"format": "XML", "name": None, "request": {"method": "GET"}}, "maxCredits": 7}
    process = started(owner, task, **over)
    owner.post(f"/v1/task/{task['id']}/update", {"payload": {**PAYLOAD, "format": "JSON"}})
    process.refresh_from_db()
    assert process.payload["request"] == {**PAYLOAD["request"], "method": "GET"}
    assert "name" not in process.payload
    assert (process.format, process.max_credits) == ("xml", 7)
    wrong = owner.post(f"/v1/task/{task['id']}/run", {"payload": {"fields": []}})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/payload/fields")
    assert owner.post(f"/v1/task/{task['id']}/run", {"format": "XML"}).status_code == 400
    assert Process.objects.count() == 1


def test_sent_twice_it_runs_once(owner: Person) -> None:
    task = created(owner)
    first, second = (owner.post(f"/v1/task/{task['id']}/run", {}, headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert first.json() == second.json()
    assert Process.objects.count() == 1


def test_lists_have_a_link_to_the_next_page(owner: Person) -> None:
    for number in range(3):
        created(owner, name=f"T{number}")
    page = owner.get("/v1/tasks?limit=2")
    assert [task["name"] for task in page.json()] == ["T2", "T1"]
    following = page["Link"].partition(">")[0].strip("<").removeprefix(django_settings.PUBLIC_URL)
    rest = owner.get(following)
    assert [task["name"] for task in rest.json()] == ["T0"]
    assert "Link" not in rest.headers


def test_what_is_another_users_is_not_there(owner: Person, stranger: Person, colleague: Person) -> None:
    process = ended(started(owner, created(owner)))
    process.refresh_from_db()
    for path in (f"/v1/process/{process.id}/info", f"/v1/getlink?name={process.results}", f"/runs/{process.run_id}"):
        assert [person.get(path).status_code for person in (owner, stranger, colleague)] == [200, 404, 200]


def test_ranges_of_a_file(owner: Person) -> None:
    process = ended(started(owner, created(owner)), "0123456789")
    process.refresh_from_db()
    path = owner.get(f"/v1/getlink?name={process.results}").content.decode().removeprefix(django_settings.PUBLIC_URL)
    for asked, status, got, said in (
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", ""),
        ("lines=1-2", 200, b"0123456789", ""),
        ("bytes=5-2", 200, b"0123456789", ""),
    ):
        answer = Client().get(path, headers={"Range": asked})
        assert (answer.status_code, answer.getvalue()) == (status, got)
        assert answer.get("Content-Range", "") == said
        assert answer["Content-Length"] == str(len(got))
    beyond = Client().get(path, headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, "bytes */10")
    whole: Any = Client().get(path)
    assert whole.getvalue() == b"0123456789"
    assert whole["Content-Disposition"] == f'attachment; filename="{process.results}"'


def test_links_are_signed_and_end(owner: Person, settings: Any) -> None:
    process = ended(started(owner, created(owner)))
    process.refresh_from_db()
    asked = owner.get(f"/v1/getlink?name={process.results}", headers={"Accept": "application/json"})
    path = asked.json()["link"].removeprefix(django_settings.PUBLIC_URL)
    good: Any = Client().get(path)
    assert good.getvalue() == b"a\n1\n2\n"
    token = path.split("/")[3]
    assert Client().get(path.replace(token, token[:-1] + ("A" if token[-1] != "A" else "B"))).status_code == 404
    settings.EXTRACTION_LINK_SECONDS = -1
    assert Client().get(path).status_code == 404
    for name in ("", "../../etc/passwd", "nothing.csv"):
        answer = owner.get("/v1/getlink", {"name": name})
        assert answer.status_code in {400, 404}, answer.content


def test_a_file_that_is_gone_is_told_and_a_log_opens_at_once(owner: Person) -> None:
    process = started(owner, created(owner))
    work("extraction", process_lifecycle.perform_extraction, node="x@test")
    shown = owner.get(f"/v1/process/{process.id}/info").json()
    log = Client().get(shown["logFile"].removeprefix(django_settings.PUBLIC_URL))
    assert b"started: http://127.0.0.1:9/" in log.getvalue()
    Process.objects.update(results="gone.csv")
    path = owner.get("/v1/getlink?name=gone.csv").content.decode().removeprefix(django_settings.PUBLIC_URL)
    assert Client(raise_request_exception=False).get(path).status_code == 500


def test_pages_by_state_and_status(owner: Person) -> None:
    process = started(owner, created(owner))
    process_lifecycle.add_first_pages(process=process, payload=check_payload(process.payload, owner.user))
    page = ExtractionPage.objects.get()
    for number in range(3):
        key = bytes([number]) * 16
        values = {"process": process, "key": key, "chain": key, "url": f"http://x/{number}", "rule": 0}
        ExtractionPage.objects.create(**values, state="failed", status=404 + number, error="no")
    path = f"/v1/process/{process.id}/pages"
    assert next(one["url"] for one in owner.get(path).json()["results"]) == page.url
    failed = owner.get(path, {"state": "failed", "limit": 2}).json()
    assert [one["status"] for one in failed["results"]] == [404, 405]
    assert failed["next"]
    assert [one["url"] for one in owner.get(path, {"status": 406}).json()["results"]] == ["http://x/2"]
    assert owner.get(path, {"state": "odd"}).status_code == 400
    assert owner.get(path, {"stat": "failed"}).status_code == 400


def test_credits_and_estimates(owner: Person, colleague: Person, settings: Any) -> None:
    settings.EXTRACTION_CREDITS = 100
    task = created(owner, paginator={"selector": "a", "maxPages": 10})
    told = owner.post(f"/v1/task/{task['id']}/estimate").json()
    assert told == {"price": 1, "atLeast": 1, "atMost": 10, "last": None, "balance": 100, "enough": True}
    Process.objects.filter(pk=started(owner, task).pk).update(status="finished", cost=8)
    assert owner.post(f"/v1/task/{task['id']}/estimate", {"maxCredits": 5}).json()["atMost"] == 5
    assert owner.post(f"/v1/task/{task['id']}/estimate").json()["last"] == 8
    sent = {"user": owner.user.email, "amount": 50, "note": "invoice 7"}
    assert owner.post("/v1/credits", sent).status_code == 403
    topped = colleague.post("/v1/credits", sent, headers={"Idempotency-Key": "i7"})
    assert topped.json()["balance"] == 150
    assert colleague.post("/v1/credits", sent, headers={"Idempotency-Key": "i7"}).json()["balance"] == 150
    assert colleague.post("/v1/credits", {**sent, "amount": -151}).status_code == 400
    for wrong in ({"amount": 5}, {"user": "nobody@x.example", "amount": 5}, {**sent, "amount": 0}, {**sent, "x": 1}):
        assert colleague.post("/v1/credits", wrong).status_code == 400
    assert [entry["kind"] for entry in owner.get("/v1/credits").json()["entries"]] == ["top_up", "grant"]
    assert CreditEntry.objects.get(kind="top_up").by == colleague.user


def test_limits_of_a_user(owner: Person, colleague: Person) -> None:
    credits.credit_account(owner.user.pk)
    CreditAccount.objects.update(max_depth=1, max_pages=5)
    deep = {"fields": [{"name": "a", "selector": "a", "details": {"fields": PAYLOAD["fields"]}}]}
    for wrong, place in ((deep, "/fields"), ({"maxPages": 6}, "/maxPages")):
        answer = owner.post("/v1/task/create", {**PAYLOAD, **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, place)
    refused = owner.post("/v1/task/create", {**PAYLOAD, "ignoreRobots": True})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (403, "/ignoreRobots")
    owner.user.user_permissions.add(Permission.objects.get(codename="ignore_robots"))
    assert created(owner, ignoreRobots=True)["payload"]["ignoreRobots"] is True


def test_a_deleted_task_leaves_nothing(owner: Person) -> None:
    task = created(owner)
    process, other = ended(started(owner, task)), started(owner, task)
    process_lifecycle.add_first_pages(process=other, payload=check_payload(other.payload, owner.user))
    process.refresh_from_db()
    assert result_storage().exists(process.results)
    assert owner.post(f"/v1/task/{task['id']}/delete").json() == {"deleted": "ok"}
    assert owner.get(f"/v1/process/{process.id}/info").status_code == 404
    assert work("extraction_purge", retention.perform_removal, node="x@test") == 1
    assert not (ExtractionTask.objects.exists())
    assert not (Process.objects.exists())
    assert not (ExtractionPage.objects.exists())
    assert not result_storage().exists(process.results)
    assert other.run_id
    assert Run.objects.get(pk=other.run_id).state == "REVOKED"


def test_processes_past_their_retention_go_with_their_files(owner: Person) -> None:
    process, young = ended(started(owner, created(owner))), ended(started(owner, created(owner)))
    Process.objects.filter(pk=process.pk).update(finished_at=timezone.now() - timedelta(days=31))
    process.refresh_from_db()
    while prune():
        pass
    assert [one.pk for one in Process.objects.all()] == [young.pk]
    assert not result_storage().exists(process.results)


def test_a_deleted_account_leaves_nothing(owner: Person) -> None:
    ended(started(owner, created(owner)))
    started(owner, created(owner))
    credits.credit_account(owner.user.pk)
    while retention.remove_of_owner(owner.user.pk):
        pass
    assert not any(
        table.objects.exists() for table in (ExtractionTask, Process, ExtractionPage, CreditAccount, CreditEntry)
    )


def test_a_schedule_runs_a_task(owner: Person, stranger: Person) -> None:
    task = created(owner)
    made = ExtractionTarget().plan_run({"task": task["id"], "payload": {"format": "XML"}}, owner.user, "daily")
    run = runs.submit(kind="extraction", owner=owner.user, name=made.name, arguments=made.arguments, schedule="daily")
    assert work("extraction", process_lifecycle.perform_extraction, node="x@test") == 1
    process = Process.objects.get()
    assert (process.run, process.format, process.pages) == (run, "xml", 1)
    for arguments, user in (({"task": task["id"]}, stranger.user), ({"task": "x"}, owner.user), ({}, owner.user)):
        with pytest.raises(Exception, match="id of one of the owner's"):
            ExtractionTarget().plan_run(arguments, user, "daily")
    assert not PeriodicTask.objects.exists()
