"""Secrets go to the origin that they were given for: where an address moves elsewhere, they are to be given again."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crawlers.models import Crawler, CrawlerTask, External
from crawlers.services import crawler_calls
from extraction.models import Process
from extraction.run_kinds import ExtractionTarget
from taskhub.accounts import services as accounts
from taskhub.errors import Rejected
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.worker_process import run_now
from taskhub.runs.scheduler.schedules import run_schedule_now
from tests import crawler_client
from tests.conftest import Person
from tests.integration.outbound_servers import Server, answer, serving
from tests.problems import problem

pytestmark = pytest.mark.django_db
live = pytest.mark.django_db(transaction=True)  # where a run is performed

FIRST = "http://crawler.example/shop"
SAME = [
    "http://crawler.example/other?x=1",
    "HTTP://Crawler.EXAMPLE/shop",
    "http://crawler.example./shop",
    "http://crawler.example:80/shop",
]
OTHER = [
    "https://crawler.example/shop",
    "http://crawler.example:8080/shop",
    "http://crawler.example.evil.example/shop",
    "http://evil.example/crawler.example",
    "http://crawlér.example/shop",  # one letter of it is another alphabet's
    "http://сrawler.example/shop",  # noqa: RUF001  (as here)
    "http://192.0.2.1/shop",
]
HEADERS = {"Authorization": "canary-1", "X-Plain": "canary-2"}
CREDENTIAL = {"username": "u", "password": "canary-3"}


def places(answer: Any) -> list[str]:
    return [place["pointer"] for place in answer.json()["errors"]]


@pytest.fixture(autouse=True)
def _documentation_addresses(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = [*settings.OUTBOUND_ALLOW, "192.0.2.1"]


@pytest.mark.parametrize("endpoint", SAME)
def test_another_spelling_is_the_same_origin(owner: Person, endpoint: str) -> None:
    path = f"/externals/{crawler_client.external(owner, FIRST, headers=HEADERS)['fid']}"
    assert owner.patch(path, {"endpoint": endpoint}).status_code == 200
    assert External.objects.get().headers == HEADERS


@pytest.mark.parametrize("endpoint", OTHER)
def test_headers_do_not_follow_to_another_origin(owner: Person, endpoint: str) -> None:
    path = f"/externals/{crawler_client.external(owner, FIRST, headers=HEADERS)['fid']}"
    refused = owner.patch(path, {"endpoint": endpoint})
    problem(refused, 400, "/headers/Authorization", "/headers/X-Plain")
    assert places(owner.patch(path, {"endpoint": endpoint, "headers": {"X-Plain": "mine"}})) == [
        "/headers/Authorization"
    ]
    shown = owner.get(path).json()["payload"]
    body = {name: shown[name] for name in ("meta", "headers")} | {"endpoint": endpoint}
    assert places(owner.call("PUT", path, body)) == ["/headers/Authorization"]  # the other was shown, so it was sent
    assert (External.objects.get().endpoint, External.objects.get().headers) == (FIRST, HEADERS)
    again = {"Authorization": "anew", "X-Plain": None}
    assert owner.patch(path, {"endpoint": endpoint, "headers": again}).status_code == 200
    assert External.objects.get().headers == {"Authorization": "anew"}
    assert owner.patch(path, {"endpoint": FIRST, "headers": None}).status_code == 200
    assert External.objects.get().headers == {}


def test_stars_stand_for_nothing_in_what_is_new(owner: Person) -> None:
    body = {"meta": {}, "endpoint": FIRST, "headers": {"Authorization": "***"}}
    assert places(owner.post("/externals", body)) == ["/headers/Authorization"]


SECRET_DEFAULT = {"name": "pin", "type": "password", "min": 6, "regex": "c.*", "default": "canary-9"}
PLAIN_DEFAULT = {"name": "size", "type": "string", "default": "small"}


def stored_parameters() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT parameters::text FROM crawlers_external")
        (text,) = cursor.fetchone() or ("",)
    return str(text)


def test_the_default_of_a_secret_parameter_is_secret(owner: Person, colleague: Person) -> None:
    sent = [SECRET_DEFAULT, PLAIN_DEFAULT]
    path = f"/externals/{crawler_client.external(owner, FIRST, parameters=sent)['fid']}"
    hidden = [SECRET_DEFAULT | {"default": "***"}, PLAIN_DEFAULT]
    for person in (owner, colleague):
        assert person.get(path).json()["payload"]["parameters"] == hidden
        assert "canary-9" not in person.get("/externals").text
    assert "canary-9" not in stored_parameters()
    assert "small" in stored_parameters()
    assert owner.patch(path, {"parameters": hidden, "timeout": 60}).status_code == 200  # as it was shown
    assert External.objects.get().parameters == sent
    made = owner.post(f"/actions{path}/crawler", {"meta": {"name": "shoes"}}).json()["payload"]["crawler"]
    assert made["params"] == {"pin": "***", "size": "small"}
    assert Crawler.objects.get().secrets["params"] == {"pin": "canary-9"}


def test_secret_defaults_do_not_follow_to_another_origin(owner: Person) -> None:
    path = f"/externals/{crawler_client.external(owner, FIRST, parameters=[PLAIN_DEFAULT, SECRET_DEFAULT])['fid']}"
    assert places(owner.patch(path, {"endpoint": OTHER[0]})) == ["/parameters/1/default"]
    again = [PLAIN_DEFAULT, SECRET_DEFAULT | {"default": "canary-10"}]
    assert owner.patch(path, {"endpoint": OTHER[0], "parameters": again}).status_code == 200
    assert External.objects.get().parameters == again


def test_stars_are_no_default_of_a_new_secret_parameter(owner: Person) -> None:
    stars = {"meta": {}, "endpoint": FIRST, "parameters": [SECRET_DEFAULT | {"default": "***"}]}
    assert places(owner.post("/externals", stars)) == ["/parameters/0/default"]
    path = f"/externals/{crawler_client.external(owner, FIRST, parameters=[PLAIN_DEFAULT])['fid']}"
    assert places(owner.patch(path, {"parameters": stars["parameters"]})) == ["/parameters/0/default"]


@pytest.fixture
def shops() -> Iterator[tuple[Server, Server]]:
    """A crawler's server, and somebody else's."""
    with serving() as start:
        accepts = answer(json.dumps({"payload": {"status": 102}}).encode(), "Content-Type: application/json")
        yield start(accepts), start(accepts)


def perform(run: Run) -> Run:
    return run_now(run, crawler_calls.perform_task)


def made_crawler(owner: Person, endpoint: str, **values: Any) -> tuple[str, dict[str, Any]]:
    external = crawler_client.external(owner, endpoint, credential="basic")
    params = {"query": "shoe", "secret": "canary-4"}
    made = crawler_client.crawler(owner, external, params, credential=CREDENTIAL, **values)
    return f"/externals/{external['fid']}", made["crawler"]


@live
def test_secrets_of_crawlers_do_not_follow_either(owner: Person, shops: tuple[Server, Server]) -> None:
    ours, theirs = shops
    path, crawler = made_crawler(owner, ours.url)
    start = f"/actions/crawlers/{crawler['fid']}/task"
    assert owner.patch(path, {"endpoint": theirs.url}).status_code == 200
    problem(owner.post(start), 409, "/credential", "/params/secret")
    problem(owner.post(start, {"params": {"secret": "mine"}}), 409, "/credential")
    change = f"/crawlers/{crawler['fid']}"
    assert places(owner.patch(change, {"params": {"query": "boots"}})) == ["/params/secret"]
    assert places(owner.patch(change, {"params": {"secret": "mine"}})) == ["/credential"]
    assert places(owner.patch(change, {"credential": CREDENTIAL})) == ["/params/secret"]
    assert owner.patch(change, {"meta": {"name": "boots"}}).status_code == 200
    assert owner.patch(path, {"endpoint": ours.url}).status_code == 200  # back where they are good
    assert owner.post(start).status_code == 201
    assert perform(Run.objects.get(kind="crawler")).state == "PROGRESS"
    assert "canary-4" in json.dumps(ours.bodies[-1].decode())
    assert theirs.bodies == []


@live
def test_given_again_they_go_there(owner: Person, shops: tuple[Server, Server]) -> None:
    ours, theirs = shops
    path, crawler = made_crawler(owner, ours.url)
    assert owner.patch(path, {"endpoint": theirs.url}).status_code == 200
    again = {"params": {"secret": "anew-1"}, "credential": {"username": "u", "password": "anew-2"}}
    assert owner.patch(f"/crawlers/{crawler['fid']}", again).status_code == 200
    task = crawler_client.start(owner, crawler)
    assert perform(Run.objects.get(pk=crawler_client.task(owner, task["fid"])["run"])).state == "PROGRESS"
    body = json.loads(theirs.bodies[0])
    assert (body["params"]["secret"], body["credential"]["password"]) == ("anew-1", "anew-2")
    assert ours.bodies == []
    dropped = {"params": {"secret": None}, "credential": {"username": "u", "password": "anew-3"}}
    assert owner.patch(path, {"endpoint": ours.url}).status_code == 200
    assert owner.patch(f"/crawlers/{crawler['fid']}", dropped).status_code == 200
    assert Crawler.objects.get().secrets["params"] == {}


@live
def test_a_task_that_waits_does_not_take_them_along(owner: Person, shops: tuple[Server, Server]) -> None:
    ours, theirs = shops
    path, crawler = made_crawler(owner, ours.url)
    task = crawler_client.start(owner, crawler)
    assert owner.patch(path, {"endpoint": theirs.url}).status_code == 200
    run = perform(Run.objects.get(pk=crawler_client.task(owner, task["fid"])["run"]))
    assert run.state == "FAILURE"
    assert "given again" in str(run.error)
    problem(owner.post(f"/actions/crawlers/{crawler['fid']}/task/{task['fid']}"), 409, "/credential", "/params/secret")
    problem(owner.post(f"/runs/{run.pk}/retry"), 409, "/credential", "/params/secret")
    assert theirs.bodies == []


@live
def test_a_schedule_does_not_either(owner: Person, shops: tuple[Server, Server]) -> None:
    ours, theirs = shops
    path, _ = made_crawler(owner, ours.url, schedule={"type": "interval", "conf": {"every": 1, "period": "days"}})
    assert owner.patch(path, {"endpoint": theirs.url}).status_code == 200
    run = perform(run_schedule_now(schedule=Schedule.objects.get()))
    assert (run.state, theirs.bodies) == ("FAILURE", [])
    assert "given again" in str(run.error)


def test_secrets_of_an_older_version_are_good_until_the_endpoint_moves(owner: Person, shops: Any) -> None:
    ours, theirs = shops
    path, crawler = made_crawler(owner, ours.url)
    row = Crawler.objects.get()
    row.secrets = {name: row.secrets[name] for name in ("params", "credential")}  # it did not say for which origin
    row.save()
    crawler_client.start(owner, crawler)
    task = CrawlerTask.objects.get()
    owner.delete(f"/actions/tasks/{task.fid}")
    Crawler.objects.update(secrets=row.secrets)
    assert owner.patch(path, {"endpoint": theirs.url}).status_code == 200
    problem(owner.post(f"/actions/crawlers/{crawler['fid']}/task"), 409, "/credential", "/params/secret")


REQUEST = {
    "url": "http://shop.example/list",
    "headers": {"Authorization": "canary-5", "Accept": "text/html"},
    "cookies": {"session": "canary-6"},
    "form": {"password": "canary-7"},
}
PAYLOAD: dict[str, Any] = {"request": REQUEST, "fields": [{"name": "a", "selector": "a"}]}
HELD = [
    f"/payload/request/{name}"
    for name in ("headers/Authorization", "headers/Accept", "cookies/session", "form/password")
]
ALL_AGAIN = {"headers": {"Authorization": None, "Accept": None}, "cookies": None, "form": {"password": "mine"}}
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"url": "http://shop.example/other"}, []),
    ({"url": "HTTP://SHOP.example:80/other"}, []),
    (
        {"url": "http://elsewhere.example/"},
        ["/payload/request/cookies", "/payload/request/form", "/payload/request/headers"],
    ),
    (
        {"url": "https://shop.example/list"},
        ["/payload/request/cookies", "/payload/request/form", "/payload/request/headers"],
    ),
    (
        {"proxy": "http://elsewhere.example:3128"},
        ["/payload/request/cookies", "/payload/request/form", "/payload/request/headers"],
    ),
    ({"url": "http://elsewhere.example/", "headers": {}, "cookies": {}, "form": {}}, HELD),
    ({"url": "http://elsewhere.example/", **ALL_AGAIN}, []),
]


@pytest.mark.parametrize(("change", "missing"), CHANGES)
@pytest.mark.parametrize("who", ["owner", "key", "staff", "schedule"])
def test_a_run_does_not_send_a_tasks_secrets_elsewhere(
    owner: Person, colleague: Person, change: dict[str, Any], missing: list[str], who: str
) -> None:
    task = owner.post("/v1/task/create", PAYLOAD).json()
    _, key = accounts.create_key(user=owner.user, scopes=["run"])
    caller = {"owner": owner, "staff": colleague}.get(who, Person(headers={"X-API-Key": key}))
    body = {"payload": {"request": change}}
    if who == "schedule":
        arguments = {"task": task["id"], **body}
        if missing:
            with pytest.raises(Rejected) as refusal:
                ExtractionTarget().plan_run(arguments, owner.user, "daily")
            assert sorted(place["pointer"] for place in refusal.value.errors) == sorted(missing)
        else:
            ExtractionTarget().plan_run(arguments, owner.user, "daily")
        return
    answer = caller.post(f"/v1/task/{task['id']}/run", body)
    assert answer.status_code == (400 if missing else 202), answer.content
    if missing:
        assert sorted(places(answer)) == sorted(missing)
        assert not Process.objects.exists()
