"""`/runs/cancel` and `/runs/retry`: all runs that a filter matches, changed by one run in the background."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from taskhub.accounts import services as accounts
from taskhub.errors import Forbidden
from taskhub.runs import queue, run_kinds
from taskhub.runs.bulk import services
from taskhub.runs.bulk.services import KIND, perform_bulk_change
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.probe_kind import ProbeKind
from tests.problems import problem

pytestmark = pytest.mark.django_db(transaction=True)
ALL = {"all": True}


class Strict(ProbeKind):
    """Refuses runs with the tag `refused`, and asks keys for `manage` where they have the tag `managed`."""

    def check_owner(self, arguments: Any, owner: Any) -> None:
        if arguments.get("refused"):
            raise Forbidden("Not any more.")

    def key_scopes(self, arguments: Any) -> Any:
        return {"run", "manage"} if arguments.get("managed") else {"run"}


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(Strict())
    yield
    del run_kinds._kinds["probe"]


def submit(person: Person, **options: Any) -> Run:
    fields: dict[str, Any] = {"kind": "probe", "name": "probe", "arguments": {}} | options
    return queue.submit(owner=person.user, **fields)


def failed(person: Person, **options: Any) -> Run:
    run = submit(person, **options)
    now = timezone.now() - timedelta(seconds=1)
    Run.objects.filter(pk=run.pk).update(state="FAILURE", ready=False, blocked=False, finished_at=now)
    return run


def ask(person: Person, action: str, **body: Any) -> str:
    """The id of the run that a call starts."""
    answer = person.post(f"/runs/{action}", body)
    assert answer.status_code == 202, answer.content
    assert answer["Location"] == f"/runs/{answer.json()['id']}"
    assert (answer.json()["kind"], answer.json()["name"]) == ("bulk", action)
    return str(answer.json()["id"])


def change(person: Person, action: str, **body: Any) -> dict[str, Any]:
    """The run that a call started, when it has ended."""
    run_id = ask(person, action, **body)
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    shown: dict[str, Any] = person.get(f"/runs/{run_id}").json()
    return shown


def states() -> list[str]:
    return list(Run.objects.exclude(kind=KIND).order_by("id").values_list("state", flat=True))


def test_what_matches_is_cancelled_and_nothing_else(owner: Person, stranger: Person) -> None:
    for tags in (["a"], ["b"], ["a", "b"]):
        submit(owner, tags=tags)
    submit(stranger, tags=["a"])
    failed(owner, tags=["a"])
    assert owner.post("/runs/cancel", {"filter": {"tag": "a"}, "dry_run": True}).json() == {"matched": 2}
    assert not Run.objects.filter(kind=KIND).exists()
    shown = change(owner, "cancel", filter={"tag": "a"})
    assert shown["result"] == {"matched": 2, "changed": 2, "refused": 0, "refusals": []}
    assert shown["progress"] == {"done": 2, "total": 2, "message": ""}
    assert states() == ["REVOKED", "PENDING", "REVOKED", "PENDING", "FAILURE"]
    assert change(owner, "cancel", **ALL)["result"]["matched"] == 1
    assert states() == ["REVOKED", "REVOKED", "REVOKED", "PENDING", "FAILURE"]


def test_what_failed_is_tried_again_once_however_often_it_is_asked_for(owner: Person, stranger: Person) -> None:
    old = [failed(owner, tags=["a"], priority=8), failed(owner, tags=["a"])]
    failed(stranger, tags=["a"])
    cancelled = submit(owner, tags=["a"])
    queue.cancel(run=cancelled)
    first, second = ask(owner, "retry", filter={"tag": "a"}), ask(owner, "retry", filter={"tag": "a"})
    assert work(KIND, perform_bulk_change, node="threads@here") == 2
    results = [owner.get(f"/runs/{run}").json()["result"] for run in (first, second)]
    assert [(result["matched"], result["changed"]) for result in results] == [(2, 2), (2, 0)]
    again = list(Run.objects.filter(retry_of__isnull=False).order_by("id"))
    assert [run.retry_of_id for run in again] == [run.pk for run in old]
    assert [(run.priority, run.tags, run.state) for run in again] == [(8, ["a"], "PENDING"), (5, ["a"], "PENDING")]
    assert owner.post("/runs/retry", {"filter": {"tag": "a"}, "dry_run": True}).json() == {"matched": 0}
    assert change(owner, "retry", filter={"tag": "a", "state": ["REVOKED", "FAILURE"]})["result"]["changed"] == 1
    assert Run.objects.filter(retry_of=cancelled).count() == 1


def test_runs_that_are_accepted_after_the_call_are_left_alone(owner: Person) -> None:
    submit(owner)
    run_id = ask(owner, "cancel", **ALL)
    later = submit(owner)
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert owner.get(f"/runs/{run_id}").json()["result"]["changed"] == 1
    assert Run.objects.get(pk=later.pk).state == "PENDING"


def test_what_has_changed_meanwhile_matches_no_more(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look-up and its turn a run was begun."""
    begun = submit(owner)
    monkeypatch.setattr(services.BulkChange, "ids", lambda change: [begun.pk])
    ask(owner, "cancel", filter={"state": "PENDING"})
    queue.claim(kind="probe", worker="w@here:1", after=begun.pk)
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert Run.objects.get(pk=begun.pk).state == "STARTED"
    result: Any = Run.objects.get(kind=KIND).result
    assert (result["matched"], result["changed"]) == (1, 0)


def test_what_takes_long_to_count_is_changed_all_the_same(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(owner)
    submit(owner)
    runs = services.BulkChange.runs
    monkeypatch.setattr(services, "COUNT_SECONDS", 0.01)
    with monkeypatch.context() as slow:
        slow.setattr(services.BulkChange, "runs", lambda self: runs(self).extra(where=["pg_sleep(60) IS NOT NULL"]))
        assert "too many" in problem(owner.post("/runs/cancel", {**ALL, "dry_run": True}), 400)["detail"]
        run_id = ask(owner, "cancel", **ALL)
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    shown = owner.get(f"/runs/{run_id}").json()
    assert shown["result"] == {"matched": 2, "changed": 2, "refused": 0, "refusals": []}
    assert shown["progress"]["done"] == 2


def test_what_is_refused_is_named_and_does_not_keep_the_others(owner: Person) -> None:
    refused, _ = failed(owner, arguments={"refused": True}), failed(owner)
    shown = change(owner, "retry", **ALL)
    assert shown["result"] == {
        "matched": 2,
        "changed": 1,
        "refused": 1,
        "refusals": [{"run": str(refused.pk), "detail": "Not any more."}],
    }
    assert [line["level"] for line in owner.get(f"/runs/{shown['id']}/logs").json()["results"]] == ["WARNING"]


def test_a_key_tries_nothing_again_that_it_may_not(owner: Person) -> None:
    failed(owner, arguments={"managed": True})
    failed(owner)
    _, text = accounts.create_key(user=owner.user, scopes=["run"])
    assert owner.post("/runs/retry", ALL, headers={"X-API-Key": text, "Authorization": ""}).status_code == 202
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    result: Any = Run.objects.get(kind=KIND).result
    assert (result["changed"], result["refused"]) == (1, 1)
    assert "manage" in result["refusals"][0]["detail"]


@pytest.mark.parametrize(("action", "status"), [("cancel", 202), ("retry", 403)])
def test_a_key_goes_on_with_no_bulk_change_that_may_do_more(owner: Person, action: str, status: int) -> None:
    failed(owner, arguments={"managed": True})
    run_id = ask(owner, action, **ALL)
    owner.post(f"/runs/{run_id}/cancel")
    _, text = accounts.create_key(user=owner.user, scopes=["run"])
    answer = owner.post(f"/runs/{run_id}/retry", headers={"X-API-Key": text, "Authorization": ""})
    assert answer.status_code == status, answer.content


def test_a_worker_that_was_lost_in_the_middle_leaves_the_rest_to_the_next(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9: half is committed, the lease runs out, and another attempt begins."""
    runs = [failed(owner) for _ in range(5)]
    run_id = ask(owner, "retry", **ALL)
    applied, apply = [], services.BulkChange.apply

    def die_at_the_third(self: services.BulkChange, pk: Any) -> bool:
        applied.append(pk)
        is_changed = apply(self, pk)
        if len(applied) == 3:
            raise SystemExit(1)
        return is_changed

    monkeypatch.setattr(services.BulkChange, "apply", die_at_the_third)
    monkeypatch.setattr("taskhub.runs.queue.attempts.comes_from_outside", lambda error: isinstance(error, SystemExit))
    with pytest.raises(SystemExit):
        work(KIND, perform_bulk_change, node="threads@here")
    assert Run.objects.filter(retry_of__isnull=False).count() == 2
    Run.objects.filter(pk=run_id).update(lease_until=timezone.now() - timedelta(seconds=1))
    queue.sweep()
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert owner.get(f"/runs/{run_id}").json()["result"]["changed"] == 5
    again = Run.objects.filter(retry_of__isnull=False).order_by("id").values_list("retry_of", flat=True)
    assert list(again) == [run.pk for run in runs]


def test_one_that_is_cancelled_changes_nothing_more(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        submit(owner)
    run_id = ask(owner, "cancel", **ALL)
    apply = services.BulkChange.apply

    def cancel_after_the_first(self: services.BulkChange, pk: Any) -> bool:
        is_changed = apply(self, pk)
        monkeypatch.setattr(services.BulkChange, "apply", apply)
        transaction.on_commit(cancel_elsewhere)
        return is_changed

    def cancel_elsewhere() -> None:
        thread = threading.Thread(target=_elsewhere, args=(owner, f"/runs/{run_id}/cancel"))
        thread.start()
        thread.join()

    monkeypatch.setattr(services.BulkChange, "apply", cancel_after_the_first)
    work(KIND, perform_bulk_change, node="threads@here")
    assert states() == ["REVOKED", "PENDING", "PENDING"]
    assert Run.objects.get(pk=run_id).state == "REVOKED"


def _elsewhere(person: Person, path: str) -> None:
    try:
        person.post(path)
    finally:
        connection.close()


def test_deliveries_are_changed_where_their_kind_is_named(owner: Person) -> None:
    owner.post("/webhooks/test", {"url": "http://127.0.0.1:9/hook"})
    assert owner.post("/runs/cancel", {**ALL, "dry_run": True}).json() == {"matched": 0}
    assert change(owner, "cancel", filter={"kind": "webhook"})["result"]["changed"] == 1


def test_the_runs_of_others_are_for_staff_who_name_them(owner: Person, colleague: Person) -> None:
    run = submit(owner)
    others = {"filter": {"owner": str(owner.user.pk)}}
    mine = {"filter": {"owner": str(colleague.user.pk)}}
    problem(owner.post("/runs/cancel", mine), 400, "/filter/owner")
    assert colleague.post("/runs/cancel", {**ALL, "dry_run": True}).json() == {"matched": 0}
    assert colleague.post("/runs/cancel", {**others, "dry_run": True}).json() == {"matched": 1}
    run_id = ask(colleague, "cancel", **others)
    colleague.user.is_staff = False
    colleague.user.save()
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert (Run.objects.get(pk=run_id).state, Run.objects.get(pk=run.pk).state) == ("FAILURE", "PENDING")


@pytest.mark.parametrize("action", ["cancel", "retry"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/filter"),
        ({"filter": {}}, "/filter"),
        ({"filter": {"tag": None}}, "/filter/tag"),
        ({"filter": {}, "all": False}, "/filter"),
        ({"filter": {"tag": "a"}, "all": True}, "/filter"),
        ({"filter": {"colour": "red"}}, "/filter/colour"),
        ({"filter": {"state": ["DONE"]}}, "/filter/state"),
        ({"filter": {"since": "soon"}}, "/filter/since"),
        ({"filter": []}, "/filter"),
        ({"filter": {"tag": "a"}, "dry_run": "yes"}, "/dry_run"),
        ({"filter": {"tag": "a"}, "webhook": "ftp://h/"}, ""),
        ({"tag": "a"}, "/tag"),
    ],
    ids=range(12),
)
def test_a_body_that_says_no_filter_is_refused(owner: Person, action: str, body: Any, pointer: str) -> None:
    submit(owner)
    answer = owner.post(f"/runs/{action}", body)
    assert answer.status_code == 400, answer.content
    assert [error["pointer"][: len(pointer)] for error in answer.json()["errors"]][:1] == ([pointer] if pointer else [])
    assert Run.objects.count() == 1


def test_the_same_call_with_the_same_key_is_one_run(owner: Person) -> None:
    key = {"Idempotency-Key": "bulk-1"}
    first, second = (owner.post("/runs/retry", ALL, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (202, second.json())
    assert owner.post("/runs/retry", {"filter": {"tag": "a"}}, headers=key).status_code == 422


def test_a_bulk_change_that_is_tried_again_is_of_the_same_runs(owner: Person) -> None:
    submit(owner)
    run_id = ask(owner, "cancel", filter={"name": "probe"}, tags=["cleaning"])
    owner.post(f"/runs/{run_id}/cancel")
    later = submit(owner)
    again = owner.post(f"/runs/{run_id}/retry").json()
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert (again["tags"], states()) == (["cleaning"], ["REVOKED", "PENDING"])
    assert Run.objects.get(pk=later.pk).state == "PENDING"
