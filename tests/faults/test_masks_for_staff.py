"""Staff see what is another's with its secrets masked, at every door; its owner sees them where they are his to see."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from crawlers.models import CrawlerCall, CrawlerTask
from extraction.domain.pages_payload import PagesPayload
from extraction.models import ExtractionPage, Process
from extraction.services.process_lifecycle import add_first_pages
from sequences.services.sequence_execution import perform_sequence
from sequences.services.sequence_runs import submit_sequence
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import submit
from taskhub.runs.queue.worker_process import run_now
from tests import crawler_client
from tests.conftest import Person, make_person, undone_in_the_end
from walkers.services.graphs import create_graph, merge_context, spawn
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db

CANARY = "Zq7canary-for-staff"
SECRETS: dict[str, Any] = {
    "password": CANARY,
    "deep": [{"apiToken": CANARY}],
    "url": f"http://h.example/?token={CANARY}",
}
HOOK = f"http://127.0.0.1:9/{CANARY}/hook?token={CANARY}"
EVERY_DAY = {"type": "interval", "conf": {"every": 1, "period": "days"}}
REQUEST: dict[str, Any] = {
    "url": f"http://127.0.0.1:9/?token={CANARY}",
    "headers": {"Authorization": f"Bearer {CANARY}", "X-Auth-Token": CANARY},
    "cookies": {"session": CANARY},
    "proxy": f"http://user:{CANARY}@127.0.0.1:9",
}
OAUTH = {"oauth": f"https://h.example/?token={CANARY}", "oauthParameters": {"client_secret": CANARY}}
PAYLOAD: dict[str, Any] = {"request": REQUEST, "fields": [{"name": "a", "selector": "a"}]}

# Each door: what stands behind it, and whether its owner sees the canary there.
DOORS: dict[str, bool] = {
    "GET /runs/{walk}": True,
    "GET /js/walker_queue_check?task_id={walk}": True,
    "GET /js/walker_queue?task_id={walk}": True,
    "GET /js/walker_queue_wait?task_id={walk}&timeout=0": True,
    "GET /runs/{walk}/events": False,
    "GET /runs/{walk}/logs": False,
    "GET /runs": False,
    "GET /runs/{sequence}": True,
    "GET /sequences/runs": False,
    "GET /sequences/runs/{sequence}": True,
    "GET /sequences/runs/{sequence}/steps": False,
    "GET /sequences/runs/{sequence}/tree": False,
    "GET /sequences/runs/{sequence}/steps?follow=true": False,
    "GET /runs/{waiting}": True,  # its webhook
    "GET /webhooks/deliveries": True,
    "GET /webhooks/deliveries/{delivery}": True,
    "GET /js/get_scheduled_queues": True,
    "GET /v1/tasks": True,
    "GET /v1/task/{task}/info": True,
    "POST /v1/task/{task}/update": True,
    "GET /v1/task/{task}/delivery": False,
    "GET /v1/task/{task}/results": False,
    "GET /v1/process/{process}/info": False,
    "GET /v1/process/{process}/pages": True,
    "GET /externals": True,
    "GET /externals/{external}": True,
    "PATCH /externals/{external}": True,
    "GET /crawlers": True,  # a webhook
    "GET /crawlers/{crawler}": True,  # its webhook
    "GET /crawlers/{crawler}/state": True,
    "GET /tasks": False,
    "GET /tasks/{crawl}": False,
    "GET /js/object_get?obj={node}&depth=1": True,
    "GET /js/object_get?obj={graph}&depth=2": True,
    "GET /js/object_get?obj={edge}": True,
    "GET /js/graph_get?gph={graph}": True,
    "POST /js/object_set": True,
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/task/{task}/update": {"name": "boots"},
    "PATCH /externals/{external}": {"timeout": 60},
    "POST /js/object_set": {"obj": "{node}", "ctx": {"a": 1}},
}
PAGES = (
    *("runs/run/{walk}", "runs/run/{sequence}", "runs/run/{waiting}", "runs/run/{delivery}"),
    *("django_celery_beat/periodictask/{schedule}", "django_celery_beat/periodictask/{program}"),
    *("extraction/extractiontask/{task_pk}", "extraction/process/{process_pk}", "extraction/extractionpage/{page_pk}"),
    *("crawlers/external/{external_pk}", "crawlers/crawler/{crawler_pk}", "crawlers/crawlertask/{crawl_pk}"),
    *("walkers/node/{node}", "walkers/edge/{edge}"),
)
CONSOLE_PAGES = (
    *("webhooks", "webhooks/{delivery}", "notifications", "notifications/{rule}", "notifications/{rule}/change"),
    *("schedules/{schedule}", "schedules/{schedule}/change", "schedules/{program}/change"),
)
LISTS = sorted({page.rpartition("/")[0] for page in PAGES})


class World(NamedTuple):
    owner: Person
    colleague: Person
    things: dict[str, str]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with django_db_blocker.unblock(), undone_in_the_end():
        owner = make_person("owner@example.com", is_staff=True)  # so that sequences are his, too
        colleague = make_person("colleague@example.com", is_staff=True, is_superuser=True)
        yield World(owner, colleague, {name: str(thing) for name, thing in things_of(owner).items()})


def things_of(owner: Person) -> dict[str, Any]:
    graph = create_graph(owner=owner.user)
    merge_context(entity=graph.nodes.get(), context=SECRETS)
    edge = spawn(source=graph.nodes.get(), kind="shelf", context=SECRETS, edge="holds", edge_context=SECRETS)
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(graph.pk), "ctx": {"value": SECRETS}}
    walk = submit(kind="walker", owner=owner.user, name="echo", arguments=arguments)
    assert run_now(walk, perform_walk).state == "SUCCESS"
    waiting = submit(kind="walker", owner=owner.user, name="echo", arguments=arguments, webhook=HOOK)
    program = {
        "persistence": {"login": SECRETS},
        "requests": [
            {"method": "GET", "url": "http://127.0.0.1:9/", "header": SECRETS["deep"][0], "ignore_error": True}
        ],
    }
    sequence = submit_sequence(arguments=program, owner=owner.user)
    assert run_now(sequence, perform_sequence).state == "SUCCESS"
    for name, body in (("walker", {"name": "run", "ctx": SECRETS}), ("sequence", program)):
        sent = {"name": name, "schedule": EVERY_DAY, "body": body}
        assert owner.post(f"/js/add_scheduled_{name}", sent).status_code == 200
    delivery = owner.post("/webhooks/test", {"url": HOOK}).json()["id"]
    sent = {"name": "all", "on": ["run.failed"], "to": {"webhook": HOOK}}
    rule = owner.post("/notifications", sent).json()["id"]
    schedules = dict(PeriodicTask.objects.values_list("name", "pk"))
    return {
        **_extraction(owner),
        **_crawling(owner),
        "graph": graph.pk,
        "edge": edge.pk,
        "node": edge.target_id,
        "walk": walk.pk,
        "waiting": waiting.pk,
        "sequence": sequence.pk,
        "delivery": delivery,
        "rule": rule,
        "schedule": schedules["walker"],
        "program": schedules["sequence"],
    }


def _extraction(owner: Person) -> dict[str, Any]:
    task = owner.post("/v1/task/create", {"payload": PAYLOAD, "webhook": HOOK}).json()
    process = Process.objects.get(id=owner.post(f"/v1/task/{task['id']}/run").json()["id"])
    add_first_pages(process=process, payload=PagesPayload.parse(PAYLOAD))
    assert process.task is not None
    page = ExtractionPage.objects.get()
    return {"task": task["id"], "process": process.id} | {
        "task_pk": process.task.pk,
        "process_pk": process.pk,
        "page_pk": page.pk,
    }


def _crawling(owner: Person) -> dict[str, Any]:
    headers = {"Authorization": CANARY}
    external = crawler_client.external(owner, REQUEST["url"], credential="basic", headers=headers, **OAUTH)
    credential = {"username": "u", "password": CANARY}
    made = crawler_client.crawler(
        owner, external, {"query": "x", "secret": CANARY}, credential=credential, webhook=HOOK
    )
    fid = crawler_client.start(owner, made["crawler"])["fid"]
    crawl = CrawlerTask.objects.get(fid=fid)
    assert owner.call("PUT", f"/crawlers/{made['crawler']['fid']}/state", {"token": CANARY}).status_code == 200
    said = {"code": 102, "message": f"I got {CANARY}", "detail": {"credential": CANARY}}
    assert owner.post(f"/actions/tasks/{fid}/status", said).status_code == 200
    CrawlerCall.objects.create(task=crawl, attempt=1, method="POST", url=REQUEST["url"], duration_ms=1)
    CrawlerTask.objects.filter(pk=crawl.pk).update(callback=REQUEST["url"])
    assert crawl.crawler is not None
    pks = {"external_pk": crawl.external_id, "crawler_pk": crawl.crawler.pk, "crawl_pk": crawl.pk}
    return {"external": external["fid"], "crawler": made["crawler"]["fid"], "crawl": fid, **pks}


def knock(person: Person, door: str, things: dict[str, str]) -> str:
    method, _, path = door.partition(" ")
    body = {n: v.format(**things) if isinstance(v, str) else v for n, v in BODIES.get(door, {}).items()} or None
    answer = person.call(method, path.format(**things), body)
    assert answer.status_code == 200, (door, answer.content)
    return b"".join(answer.streaming_content).decode() if answer.streaming else str(answer.content.decode())


@pytest.mark.parametrize("door", DOORS)
def test_only_the_owner_sees_secrets(door: str, world: World) -> None:
    assert (CANARY in knock(world.owner, door, world.things)) == DOORS[door]
    assert CANARY not in knock(world.colleague, door, world.things)


@pytest.mark.parametrize("page", [*(f"{page}/change/" for page in PAGES), *(f"{name}/" for name in LISTS)])
def test_the_admin_shows_none(page: str, world: World) -> None:
    client = Client()
    client.force_login(world.colleague.user)
    shown = client.get(f"/admin/{page.format(**world.things)}")
    assert shown.status_code == 200
    assert CANARY not in shown.content.decode()


@pytest.mark.parametrize("page", CONSOLE_PAGES)
def test_the_console_shows_them_to_their_owner_alone(page: str, world: World) -> None:
    for person in (world.owner, world.colleague):
        client = Client()
        client.force_login(person.user)
        shown = client.get(f"/console/{page.format(**world.things)}")
        assert shown.status_code == 200
        assert (CANARY in shown.content.decode()) == (person is world.owner)


def form_of(client: Client, page: str) -> dict[str, Any]:
    form = client.get(page).context["adminform"].form
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    split = {f"{name}_{part}": "" for name in ("start_time", "expires") for part in (0, 1)}
    return {name: value for name, value in values.items() if value not in (None, False)} | split


def test_the_owner_edits_his_schedule_whole_and_staff_what_they_do_not_see(world: World) -> None:
    page = f"/admin/django_celery_beat/periodictask/{world.things['schedule']}/change/"
    client, own = Client(), Client()
    client.force_login(world.colleague.user)
    world.owner.user.is_superuser = True
    world.owner.user.save()
    own.force_login(world.owner.user)
    assert CANARY in form_of(own, page)["arguments"]
    schedule = Schedule.objects.get(pk=world.things["schedule"])
    written = schedule.written
    form = form_of(client, page) | {"description": "every day"}
    assert "***" in form["arguments"]
    assert client.post(page, form).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.written, schedule.periodic.description) == (written, "every day")
    moved = form | {"arguments": form["arguments"].replace('"run"', '"echo"')}
    refused = client.post(page, moved)
    assert "Secrets are shown as stars" in refused.content.decode()
    schedule.refresh_from_db()
    assert schedule.written == written


def test_only_the_owner_says_who_is_sent_a_runs_result(world: World) -> None:
    path = f"/runs/{world.things['waiting']}/webhook"
    assert world.colleague.call("PUT", path, {"url": "http://127.0.0.1:9/mine"}).status_code == 403
    assert Run.objects.get(pk=world.things["waiting"]).webhook == HOOK


def test_stars_that_come_back_are_refused(world: World) -> None:
    path = f"/v1/task/{world.things['task']}"
    shown = world.colleague.get(f"{path}/info").json()
    refused = world.colleague.post(f"{path}/update", {"payload": shown["payload"]})
    assert refused.status_code == 400
    assert "/payload/request/headers/Authorization" in {place["pointer"] for place in refused.json()["errors"]}
