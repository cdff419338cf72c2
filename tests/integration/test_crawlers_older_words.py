"""Externals and crawlers in the words of the system that the calls come from: taken, and given back as sent."""

import json
from typing import Any

import pytest

from crawlers.models import Crawler, CrawlerTask, External
from crawlers.services import crawler_calls
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import run_now
from tests import crawler_client
from tests.conftest import Person
from tests.integration.outbound_servers import answer, serving
from tests.problems import problem

pytestmark = pytest.mark.django_db
ENDPOINT = "http://127.0.0.1:9/crawler"
PERIOD = [
    {
        "display_name": "From",
        "description": "Documents after this time",
        "type": "date",
        "name": "since",
        "req": True,
        "restrictions": [{"rule": "lt", "target": "until", "message": "Ends before it begins"}],
    },
    {"display_name": "To", "type": "date", "name": "until", "restrictions": [{"rule": "gt", "target": "since"}]},
    {"name": "limit", "req": False, "type": "interger", "min": 100, "max": 99999},
    {"name": "sources", "type": "multi_search", "options": ["a", {"value": "b", "label": "B"}]},
]
SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "title": "Documents of a demonstration",
    "type": "object",
    "properties": {"docId": {"type": "number", "minimum": 0, "exclusiveMinimum": True}, "text": {"type": "string"}},
    "required": ["docId", "text"],
}
SENT: dict[str, Any] = {
    "meta": {"name": "Demonstration", "image": "https://crawler.example/icon.png", "description": "Samples"},
    "endpoint": ENDPOINT,
    "credential": {"oauth": "https://crawler.example/oauth"},
    "oauth": "https://crawler.example/oauth",
    "oauthParameters": {"scope": ["read"], "offline": True},
    "parameters": PERIOD,
    "schema": SCHEMA,
    "docIdField": "docId",
    "analysis": {"charts": [{"type": "trend", "by": "time"}]},
    "headers": {},
    "timeout": 3600,
}


def test_an_external_is_given_back_as_it_was_sent(owner: Person) -> None:
    made = owner.post("/externals", SENT)
    assert made.status_code == 201, made.content
    path = f"/externals/{made.json()['payload']['fid']}"
    assert {name: owner.get(path).json()["payload"][name] for name in SENT} == SENT
    assert External.objects.get().credential == "oauth"
    changed = owner.patch(path, {"analysis": {"charts": []}, "oauthParameters": None}).json()["payload"]
    assert (changed["analysis"], changed["oauthParameters"]) == ({"charts": []}, None)
    assert {name: changed[name] for name in ("credential", "parameters", "oauth")} == {
        name: SENT[name] for name in ("credential", "parameters", "oauth")
    }
    assert owner.patch(path, {"credential": "basic"}).json()["payload"]["credential"] == "basic"
    assert owner.call("PUT", path, SENT).json()["payload"]["credential"] == SENT["credential"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"credential": {"oauth": 5}}, "/credential/oauth"),
        ({"credential": {"oauth": "x", "basic": True}}, "/credential/basic"),
        ({"credential": {}}, "/credential/oauth"),
        ({"oauth": 5}, "/oauth"),
        ({"parameters": [{"name": "a", "type": "date", "req": 1}]}, "/parameters/0/req"),
        ({"parameters": [{"name": "a", "type": "date", "req": True, "required": True}]}, "/parameters/0/req"),
        ({"parameters": [{"name": "a", "type": "date", "display_name": 5}]}, "/parameters/0/display_name"),
        (
            {"parameters": [{"name": "a", "type": "date", "restrictions": [{"rule": "like", "target": "a"}]}]},
            "/parameters/0/restrictions/0/rule",
        ),
        (
            {"parameters": [{"name": "a", "type": "date", "restrictions": [{"rule": "lt", "target": "b"}]}]},
            "/parameters/0/restrictions/0/target",
        ),
        ({"crendential": "basic", "credential": "basic"}, "/crendential"),
    ],
)
def test_faults_are_told_in_the_words_that_were_sent(owner: Person, change: dict[str, Any], pointer: str) -> None:
    answered = owner.post("/externals", {**SENT, **change})
    assert answered.status_code == 400
    assert pointer in [error["pointer"] for error in answered.json()["errors"]]


@pytest.mark.parametrize(
    ("rule", "value", "other", "holds"),
    [
        ("lt", 1, 2, True),
        ("lt", 2, 2, False),
        ("lte", 2, 2, True),
        ("gt", 2, 1, True),
        ("gt", 2, 2, False),
        ("gte", 2, 2, True),
        ("gte", 1, 2, False),
        ("eq", 2, 2, True),
        ("eq", 1, 2, False),
        ("ne", 1, 2, True),
    ],
)
def test_each_rule_compares(owner: Person, rule: str, value: int, other: int, holds: bool) -> None:
    restriction = {"rule": rule, "target": "b", "message": "told to people"}
    parameters = [{"name": "a", "type": "integer", "restrictions": [restriction]}, {"name": "b", "type": "integer"}]
    external = crawler_client.external(owner, ENDPOINT, parameters=parameters)
    path, body = f"/actions/externals/{external['fid']}/crawler", {"params": {"a": value, "b": other}}
    made = owner.post(path, body)
    assert made.status_code == (201 if holds else 400)
    assert holds or made.json()["messages"] == ["/params/a: told to people"]


def test_a_crawler_in_older_words(owner: Person) -> None:
    external = owner.post("/externals", SENT).json()["payload"]
    stream = owner.post("/streams", {"meta": {"name": "s"}}).json()["payload"]
    token = {"oauth": {"token": "canary", "user": "u", "issued": "2026-01-31"}}
    body = {
        "meta": {"name": "c", "links": [{"from": {"type": "stream", "fid": stream["fid"]}}]},
        "params": {"since": "2026-01-01"},
        "crendential": token,
    }
    made = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert made.status_code == 201, made.content
    assert made.json()["payload"]["stream"]["fid"] == stream["fid"]
    assert Crawler.objects.get().secrets["credential"] == token
    assert "canary" not in json.dumps(owner.get(f"/crawlers/{Crawler.objects.get().fid}").json())
    late = {"params": {"since": "2026-02-01", "until": "2026-01-01"}}
    refused = owner.post(f"/actions/crawlers/{made.json()['payload']['crawler']['fid']}/task", late)
    assert refused.json()["messages"][0] == "/params/since: Ends before it begins"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"user": "u", "password": "p"}, {"user": "u", "username": "u", "password": "p"}),
        ({"username": "u", "password": "p"}, {"user": "u", "username": "u", "password": "p"}),
        ({"user": "u", "username": "v", "password": "p"}, {"user": "u", "username": "v", "password": "p"}),
        ({"user": "u", "password": "p", "site": 5}, {"user": "u", "username": "u", "password": "p", "site": 5}),
    ],
)
def test_a_crawler_finds_the_user_under_both_names(owner: Person, given: dict[str, Any], sent: dict[str, Any]) -> None:
    with serving() as start:
        server = start(answer(b"{}"))
        external = crawler_client.external(owner, server.url, credential="basic")
        made = crawler_client.crawler(owner, external, credential=given, start=True)
        task = CrawlerTask.objects.get(fid=made["task"]["fid"])
        assert task.run_id is not None
        run_now(Run.objects.get(pk=task.run_id), crawler_calls.perform_task)
        assert json.loads(server.bodies[0])["credential"] == sent


@pytest.mark.parametrize(
    ("credential", "pointer"),
    [
        ({"user": "", "password": "p"}, "/credential/user"),
        ({"user": 5, "password": "p"}, "/credential/user"),
        ({"user": "u"}, "/credential/password"),
        ({"password": "p"}, "/credential/username"),
        ("u:p", "/credential/username"),
    ],
)
def test_a_user_without_a_name_is_refused(owner: Person, credential: Any, pointer: str) -> None:
    external = crawler_client.external(owner, ENDPOINT, credential="basic")
    body = {"params": {"query": "shoe"}, "credential": credential}
    answered = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert answered.status_code == 400
    assert pointer in [error["pointer"] for error in answered.json()["errors"]]


def test_a_crawler_may_start_at_once(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    assert crawler_client.crawler(owner, external)["task"] is None
    made = crawler_client.crawler(owner, external, start=True)
    assert made["task"]["status"]["code"] == 0
    assert crawler_client.task(owner, made["task"]["fid"])["crawler"] == made["crawler"]["fid"]
    assert Run.objects.filter(kind="crawler", pk=made["task"]["run"]).count() == 1
    path, key = f"/actions/externals/{external['fid']}/crawler", {"Idempotency-Key": "once"}
    bodies = [owner.post(path, {"params": {"query": "x"}, "start": True}, headers=key).json() for _ in range(2)]
    assert bodies[0]["payload"]["task"] == bodies[1]["payload"]["task"]
    problem(owner.post(path, {"params": {"query": "x"}, "start": "yes"}), 400, "/start")
    before = Crawler.objects.count()
    problem(owner.post(path, {"params": {}, "start": True}), 400, "/params/query")
    assert Crawler.objects.count() == before


def test_documents_are_checked_by_the_schemas_own_draft(owner: Person) -> None:
    external = owner.post("/externals", {**SENT, "credential": "ignore"}).json()["payload"]
    made = crawler_client.crawler(owner, external, {"since": "2026-01-01"}, start=True)
    path = f"/actions/tasks/{made['task']['fid']}/upload"
    good = crawler_client.lines([{"docId": 1, "text": "x"}])
    assert owner.post(path, good, content_type=" application/x-ndjson").json()["inserted"] == 1
    refused = owner.post(path, crawler_client.lines([{"docId": 0, "text": "x"}]), content_type="text/plain")
    assert refused.status_code == 406
