"""A run that is tried again with other arguments: they are checked as those of a new call of its kind."""

from typing import Any

import pytest

from crawlers.models import CrawlerTask
from extraction.models import Process
from taskhub.accounts import services as accounts
from taskhub.runs.models import Run
from taskhub.runs.queue import broker, cancel
from taskhub.runs.queue.submission import create_run
from tests import crawler_client
from tests.conftest import Person
from tests.extraction_sites import Site
from tests.problems import problem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]
HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture(autouse=True)
def worker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: True)
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


def ended(run_id: str) -> Run:
    run = Run.objects.get(pk=run_id)
    if not run.ended:
        cancel(run=run)
    return Run.objects.get(pk=run_id)


def walk(person: Person, **said: Any) -> Run:
    call = {"name": "echo", "ctx": {"value": 1}, "is_async": True, **said}
    return ended(person.post("/js/walker_run", call).json()["task_id"])


def sequence(person: Person, **said: Any) -> Run:
    return ended(person.post("/sequences/runs", {"requests": [], **said}).json()["id"])


def stored_sequence(person: Person) -> Run:
    for value in ("one", "two"):
        kept = {
            "sequence": {"persistence": {"x": value}, "requests": []},
            "inputs": {"properties": {"n": {"type": "integer"}}},
        }
        assert person.call("PUT", "/sequences/nothing", kept).status_code in {200, 201}
    return ended(person.post("/sequences/nothing/runs", {"inputs": {"n": 1}}).json()["id"])


def extraction(person: Person, site: Site, *, stored: bool) -> Run:
    payload = {"request": {"url": f"{site.url}/"}, "fields": [{"name": "x", "selector": "p"}], "format": "CSV"}
    if stored:
        task = person.post("/v1/task/create", {**payload, "name": "shop"}).json()["id"]
        process = person.post(f"/v1/task/{task}/run", {"maxCredits": 5}).json()["id"]
    else:
        process = person.post("/v1/parse?wait=0", payload).json()["id"]
    run = Process.objects.get(id=process).run
    assert run
    return ended(str(run.pk))


def crawl(person: Person, site: Site) -> Run:
    made = crawler_client.crawler(person, crawler_client.external(person, site.url), start=True)
    return ended(made["task"]["run"])


def again(person: Person, run: Run, arguments: Any, status: int = 202) -> Run:
    answer = person.post(f"/runs/{run.pk}/retry", {"arguments": arguments})
    assert answer.status_code == status, answer.content
    new = Run.objects.get(pk=answer.json()["id"])
    assert (new.retry_of_id, new.owner_id, new.state) == (run.pk, run.owner_id, "PENDING")
    return new


def test_a_walker_with_another_ctx_keeps_what_is_left_out(owner: Person) -> None:
    run = walk(owner, webhook=HOOK, tags=["a"], priority=8, metadata={"n": 1})
    new = again(owner, run, {"ctx": {"value": {"z": 1, "a": [2]}}})
    assert new.arguments == {**run.arguments, "ctx": {"value": {"z": 1, "a": [2]}}}
    assert (new.name, new.webhook, new.tags, new.priority) == ("echo", HOOK, ["a"], 8)
    assert again(owner, run, {"nd": "active:graph", "snt": "taskhub", "name": "echo"}).arguments == run.arguments
    assert again(owner, run, {}).arguments == run.arguments
    assert again(owner, run, None).arguments == run.arguments


def test_a_sequence_is_replaced_and_a_stored_one_called_otherwise(colleague: Person) -> None:
    other = {"persistence": {"x": 1}, "requests": []}
    assert again(colleague, sequence(colleague), other).arguments == other
    run = stored_sequence(colleague)
    assert run.arguments == {"sequence": "nothing", "version": 2, "inputs": {"n": 1}}
    assert again(colleague, run, {"inputs": {"n": 2}}).arguments == {**run.arguments, "inputs": {"n": 2}}
    assert again(colleague, run, {"version": 1}).arguments == {**run.arguments, "version": 1}


@pytest.mark.parametrize("stored", [True, False], ids=["a task's", "a payload's"])
def test_an_extraction_is_a_new_process_with_the_payload_changed(owner: Person, site: Site, stored: bool) -> None:
    run = extraction(owner, site, stored=stored)
    new = again(owner, run, {"payload": {"format": "JSON"}, "maxCredits": 7})
    old, process = Process.objects.get(run=run), Process.objects.get(run=new)
    assert process.payload == {**old.payload, "format": "JSON", "maxCredits": 7}
    assert (process.task_id, process.max_credits, process.status) == (old.task_id, 7, "running")


def test_a_crawler_gets_a_new_task_with_other_params(owner: Person, site: Site) -> None:
    run = crawl(owner, site)
    new = again(owner, run, {"params": {"query": "boots"}})
    task = CrawlerTask.objects.get(run=new)
    assert (task.params["query"], task.attempt) == ("boots", 1)
    assert CrawlerTask.objects.get(run=run).attempt == 1
    problem(owner.post(f"/runs/{run.pk}/retry", {"arguments": {"params": {"query": "hats"}}}), 409)


WRONG: list[tuple[str, Any, str]] = [
    ("walk", {"ctx": {"value": 1, "colour": "red"}}, "/arguments/ctx/colour"),
    ("walk", {"ctx": [1]}, "/arguments/ctx"),
    ("walk", {"value": 1}, "/arguments/value"),
    ("walk", {"name": "pause"}, "/arguments/name"),
    ("walk", {"nd": "none"}, "/arguments/nd"),
    ("walk", {"snt": "none"}, "/arguments/snt"),
    ("walk", {"ctx": {"value": {"password": "***"}}}, "/arguments/ctx/value/password"),
    ("walk", [1], "/arguments"),
    ("sequence", {}, "/arguments"),
    ("sequence", {"requests": [{"method": "NONE"}]}, "/arguments"),
    ("sequence", {"sequence": "nothing"}, "/arguments"),
    ("stored_sequence", {"inputs": {"n": "many"}}, "/arguments"),
    ("stored_sequence", {"version": 7}, "/arguments"),
    ("stored_sequence", {"sequence": "other"}, "/arguments"),
    ("stored_sequence", {"requests": []}, "/arguments"),
    ("extraction", {"payload": {"format": "DOC"}}, "/arguments/payload/format"),
    ("extraction", {"fields": []}, "/arguments/fields"),
    ("crawl", {"params": {"colour": "red"}}, "/arguments/params/colour"),
    ("crawl", {"query": "boots"}, "/arguments/query"),
]


@pytest.mark.parametrize(("kind", "arguments", "pointer"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named_and_nothing_is_accepted(
    colleague: Person, site: Site, kind: str, arguments: Any, pointer: str
) -> None:
    make: Any = {
        "walk": lambda: walk(colleague),
        "sequence": lambda: sequence(colleague),
        "stored_sequence": lambda: stored_sequence(colleague),
        "extraction": lambda: extraction(colleague, site, stored=True),
        "crawl": lambda: crawl(colleague, site),
    }
    run = make[kind]()
    answer = colleague.post(f"/runs/{run.pk}/retry", {"arguments": arguments})
    assert answer.json()["errors"][0]["pointer"] == pointer, answer.content
    assert answer.status_code == 400
    assert not Run.objects.filter(retry_of=run).exists()


def test_where_it_makes_no_sense_it_is_a_conflict_that_says_why(owner: Person) -> None:
    call = {"name": "echo", "is_async": True}
    waiting = owner.post("/js/walker_run", call).json()["task_id"]
    detail = problem(owner.post(f"/runs/{waiting}/retry", {"arguments": {}}), 409)["detail"]
    assert detail == "The run has not ended; it is PENDING."
    delivery = ended(owner.post("/webhooks/test", {"url": HOOK}).json()["id"])
    detail = problem(owner.post(f"/runs/{delivery.pk}/retry", {"arguments": {"url": HOOK}}), 409)["detail"]
    assert "without other arguments" in detail
    fire = create_run(kind="walker", owner=owner.user, name="daily", arguments={}, schedule="daily")
    cancel(run=fire)
    for body in ({}, {"arguments": {"name": "echo"}}):
        assert "Mend the schedule" in problem(owner.post(f"/runs/{fire.pk}/retry", body), 409)["detail"]


def test_the_owner_alone_gives_other_arguments(owner: Person, colleague: Person, stranger: Person) -> None:
    run = walk(owner)
    problem(stranger.post(f"/runs/{run.pk}/retry", {"arguments": {}}), 404)
    problem(colleague.post(f"/runs/{run.pk}/retry", {"arguments": {}}), 403)
    assert colleague.post(f"/runs/{run.pk}/retry").status_code == 202


def test_a_key_needs_the_scopes_of_the_new_sequence(colleague: Person) -> None:
    run = sequence(colleague)
    _, text = accounts.create_key(user=colleague.user, scopes=["run"])
    key = {"X-API-Key": text, "Authorization": ""}
    deletes = {"requests": [{"method": "JAC", "api": "graph_delete"}]}
    answer = colleague.post(f"/runs/{run.pk}/retry", {"arguments": deletes}, headers=key)
    assert problem(answer, 403)["scope"] == "manage"
    assert not Run.objects.filter(retry_of=run).exists()
    assert colleague.post(f"/runs/{run.pk}/retry", {"arguments": {"requests": []}}, headers=key).status_code == 202


def test_an_idempotency_key_is_for_the_arguments_too(owner: Person) -> None:
    run, key = walk(owner), {"Idempotency-Key": "again"}
    first, second = (
        owner.post(f"/runs/{run.pk}/retry", {"arguments": {"ctx": {"value": 2}}}, headers=key) for _ in range(2)
    )
    assert first.json() == second.json()
    assert owner.post(f"/runs/{run.pk}/retry", {"arguments": {"ctx": {"value": 3}}}, headers=key).status_code == 422
    assert owner.post(f"/runs/{run.pk}/retry", {}, headers=key).status_code == 422
    assert Run.objects.filter(retry_of=run).count() == 1
