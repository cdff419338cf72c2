"""`/runs/batch`: many calls of walkers, accepted in one statement, all of them or none, each as `walker_run` is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.models import Run
from taskhub.runs.queue import broker, submission
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from walkers.models import Alias, Graph, Node
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)

LATER = "2099-12-31T23:59:59Z"
ECHO = {"name": "echo", "ctx": {"value": 1}}
SECRET = {"name": "echo", "ctx": {"value": {"password": "canary-one", "z": 1, "a": [2]}}}


@pytest.fixture(autouse=True)
def worker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: True)
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


def batch(person: Person, *calls: Any, **options: Any) -> Any:
    return person.post("/runs/batch", {"runs": list(calls)}, **options)


def accepted(person: Person, *calls: Any) -> list[Run]:
    """The runs of calls, in their order."""
    answer = batch(person, *calls)
    assert answer.status_code == 202, answer.content
    ids = [UUID(run["id"]) for run in answer.json()["runs"]]
    rows = Run.objects.in_bulk(ids)
    runs = [rows[id] for id in ids]
    assert [run["state"] for run in answer.json()["runs"]] == [run.state for run in runs]
    return runs


@pytest.mark.parametrize(
    "call",
    [
        {"name": "echo"},
        ECHO,
        SECRET,
        {"name": "pause", "ctx": {"seconds": 1.5, "steps": 2}, "snt": "taskhub"},
        {"name": "echo", "nd": "active:graph", "snt": None, "priority": None},
        {**ECHO, "run_at": LATER, "tags": ["a", "b", "a"], "metadata": {"customer": "4711", "token": "t0ken-canary"}},
        {**ECHO, "priority": 9, "expires_at": LATER, "webhook": "https://example.com/hook?token=canary"},
        {**ECHO, "concurrency": {"key": "k", "limit": 3, "policy": "skip"}, "tags": ['a "tag" \\', "ö"]},
    ],
    ids=range(8),
)
def test_a_run_is_the_same_as_that_of_a_single_call(owner: Person, call: dict[str, Any]) -> None:
    single = Run.objects.get(pk=owner.post("/js/walker_run", {**call, "is_async": True}).json()["task_id"])
    among_others, _ = accepted(owner, call, {"name": "fail", "ctx": {"message": "no"}})
    [alone] = accepted(owner, call)
    own = {"id", "created_at"}
    names = [field.attname for field in Run._meta.concrete_fields if field.name not in own]
    for run in (among_others, alone):
        assert {name: getattr(run, name) for name in names} == {name: getattr(single, name) for name in names}
        assert abs(run.created_at - single.created_at) < timedelta(minutes=1)
    assert not Run.objects.filter(arguments__icontains="canary").exists()
    assert not Run.objects.filter(metadata__icontains="canary").exists()


def test_runs_are_accepted_in_their_order_and_performed(owner: Person) -> None:
    runs = accepted(owner, *({"name": "echo", "ctx": {"value": number}} for number in range(1000)))
    assert [run.pk for run in runs] == sorted(run.pk for run in runs)
    assert [run.arguments["ctx"]["value"] for run in runs] == list(range(1000))
    Run.objects.filter(pk__in=[run.pk for run in runs[3:]]).delete()
    assert work("walker", perform_walk, node="walkers@here") == 3
    results = [Run.objects.get(pk=run.pk).result for run in runs[:3]]
    assert [result["report"] for result in results] == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"ctx": {}}, "/name"),
        ({"name": "no_such"}, "/name"),
        ({"name": 7}, "/name"),
        ({"name": "pause", "ctx": {"seconds": "many"}}, "/ctx/seconds"),
        ({"name": "echo", "ctx": {"colour": "red"}}, "/ctx/colour"),
        ({"name": "echo", "ctx": [1]}, "/ctx"),
        ({"name": "echo", "snt": "nowhere"}, "/snt"),
        ({"name": "echo", "snt": "active:graph"}, "/snt"),
        ({"name": "echo", "nd": "nobody's"}, "/nd"),
        ({"name": "echo", "nd": ""}, "/nd"),
        ({"name": "echo", "nd": "active:sentinel"}, "/nd"),
        ({"name": "echo", "nd": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"}, "/nd"),
        ({"name": "echo", "run_at": "soon"}, "/run_at"),
        ({"name": "echo", "tags": ["a", ""]}, "/tags/1"),
        ({"name": "echo", "metadata": {"a": [1]}}, "/metadata/a"),
        ({"name": "echo", "priority": 10}, "/priority"),
        ({"name": "echo", "expires_at": 7}, "/expires_at"),
        ({"name": "echo", "concurrency": {"limit": 1}}, "/concurrency/key"),
        ({"name": "echo", "webhook": "ftp://example.com/"}, "/webhook"),
        ({"name": "echo", "webhook": "http://169.254.169.254/"}, "/webhook"),
        ({"name": "echo", "is_async": True}, "/is_async"),
        ({"name": "echo", **{f"strange_{number}": 1 for number in range(100)}}, "/strange_0"),
        ("echo", ""),
        (None, ""),
    ],
    ids=range(24),
)
def test_one_wrong_call_keeps_all_from_being_accepted(owner: Person, wrong: Any, pointer: str) -> None:
    answer = batch(owner, ECHO, ECHO, ECHO, wrong, ECHO)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["pointer"] == f"/runs/3{pointer}"
    assert not Run.objects.exists()


def test_all_that_is_wrong_is_named_up_to_twenty_places(owner: Person) -> None:
    few = batch(owner, {"name": "no_such"}, ECHO, {"name": "echo", "nd": "none"}).json()["errors"]
    assert [error["pointer"] for error in few] == ["/runs/0/name", "/runs/2/nd"]
    assert len(batch(owner, *({"name": "no_such"} for _ in range(1000))).json()["errors"]) == 20


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/runs"),
        ({"runs": []}, "/runs"),
        ({"runs": {}}, "/runs"),
        ({"runs": [ECHO] * 1001}, "/runs"),
        ({"runs": [ECHO], "all": True}, "/all"),
        ([ECHO], ""),
    ],
    ids=range(6),
)
def test_a_body_that_is_no_batch_is_refused(owner: Person, body: Any, pointer: str) -> None:
    answer = owner.post("/runs/batch", body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert not Run.objects.exists()


def test_a_node_may_be_named_by_id_or_alias_and_must_be_ones_own(
    owner: Person, stranger: Person, colleague: Person
) -> None:
    owner.get("/js/graph_active_get")
    graph = Graph.objects.get(owner=owner.user)
    node = Node.objects.create(graph=graph, kind="shelf")
    Alias.objects.create(owner=owner.user, name="shelf", target=node.pk)
    spelled = [str(node.pk), node.pk.urn, "shelf", "active:graph"]
    runs = accepted(owner, *({"name": "run", "nd": nd} for nd in spelled))
    assert [run.arguments["nd"] for run in runs] == [str(node.pk)] * 3 + [str(graph.pk)]
    for nd in ("shelf", str(node.pk)):
        assert batch(stranger, {"name": "run", "nd": nd}).status_code == 400
    assert accepted(colleague, {"name": "run", "nd": str(node.pk)})[0].owner_id == colleague.user.pk


def test_the_same_batch_with_the_same_key_is_accepted_once(owner: Person) -> None:
    key = {"Idempotency-Key": "batch-1"}
    first, again = (batch(owner, ECHO, ECHO, headers=key) for _ in range(2))
    assert (again.json(), again["Idempotency-Replayed"]) == (first.json(), "true")
    assert Run.objects.count() == 2
    assert batch(owner, ECHO, headers=key).status_code == 422
    refused = [batch(owner, {"name": "none"}, headers={"Idempotency-Key": "batch-2"}).status_code for _ in range(2)]
    assert refused == [400, 400]


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": str(UUID(int=7))}], ids=["alone", "with a key"])
@pytest.mark.parametrize(
    ("policy", "states"),
    [
        ("wait", ["PENDING"] * 150),
        ("skip", ["PENDING"] * 2 + ["REVOKED"] * 148),
        ("cancel", ["REVOKED"] * 148 + ["PENDING"] * 2),
    ],
)
def test_concurrency_holds_for_each_and_the_answer_tells_it(
    owner: Person, policy: str, states: list[str], key: dict[str, str]
) -> None:
    call = {**ECHO, "concurrency": {"key": "shop", "limit": 2, "policy": policy}}
    answer = batch(owner, *([call] * 150), headers=key)
    assert [run["state"] for run in answer.json()["runs"]] == states
    assert list(Run.objects.order_by("id").values_list("state", flat=True)) == states
    assert Run.objects.filter(ready=True).count() == 2
    if key:
        assert batch(owner, *([call] * 150), headers=key).json() == answer.json()


def test_workers_are_told_of_all_by_a_few_messages(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Run] = []
    monkeypatch.setattr(submission, "notify_worker", told.append)
    delayed, *runs = accepted(owner, {**ECHO, "run_at": LATER}, *([ECHO] * 100))
    assert delayed.ready is False
    assert [run.pk for run in told] == [run.pk for run in runs[: submission.MESSAGES_MAX]]


def test_the_end_of_each_is_told_to_its_webhook(owner: Person) -> None:
    addresses = [f"http://127.0.0.1:9/hook/{number}" for number in range(3)]
    runs = accepted(owner, *({**ECHO, "webhook": address} for address in addresses), ECHO)
    assert work("walker", perform_walk, node="walkers@here") == 4
    deliveries = Run.objects.filter(kind="webhook").order_by("id")
    assert [(run.parent_id, run.webhook) for run in deliveries] == [
        (run.pk, address) for run, address in zip(runs, addresses, strict=False)
    ]


def test_a_run_that_expired_or_is_delayed_is_treated_as_any_other(owner: Person) -> None:
    past = format_timestamp(timezone.now() - timedelta(seconds=1))
    expired, due = accepted(owner, {**ECHO, "expires_at": past}, {**ECHO, "run_at": past})
    assert work("walker", perform_walk, node="walkers@here") == 1
    assert (owner.get(f"/runs/{due.pk}").json()["state"], expired.state) == ("SUCCESS", "PENDING")


def test_nobody_accepts_without_credentials(anonymous: Person) -> None:
    assert batch(anonymous, ECHO).status_code == 401
    assert not Run.objects.exists()
