"""A deleted account is gone at once; what it owned goes in batches, files and all."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone
from django_celery_results.models import TaskResult
from knox.models import AuthToken

from taskhub.accounts import services as accounts
from taskhub.accounts.models import ApiKey, User
from taskhub.runs import queue, run_kinds
from taskhub.runs.domain import LeaseLost, State
from taskhub.runs.models import Run
from taskhub.runs.queue import maintenance
from tests.conftest import Person, make_person
from tests.probe_kind import ProbeKind
from walkers.models import Edge, Graph, Node
from walkers.services import graphs
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def removed() -> Iterator[list[UUID]]:
    """The runs that their kind was told of before they went."""
    ids: list[UUID] = []

    class RecordingKind(ProbeKind):
        def on_delete(self, run_ids: list[UUID]) -> None:
            ids.extend(run_ids)

    run_kinds.register(RecordingKind())
    yield ids
    del run_kinds._kinds["probe"]


def submit(person: Person) -> Run:
    return queue.submit(kind="probe", owner=person.user, name="probe", arguments={})


def delete(person: Person) -> None:
    accounts.delete_accounts(users=User.objects.filter(pk=person.user.pk))


def prune_all() -> list[int]:
    """What each round removed, until nothing is left."""
    return list(iter(lambda: accounts.prune(timezone.now()), 0))


def test_deleted_account_is_gone_at_once(owner: Person, stranger: Person, colleague: Person, client: Client) -> None:
    _, key = accounts.create_key(user=owner.user)
    client.force_login(owner.user)
    delete(owner)
    assert owner.get("/user/manage/").status_code == 401
    assert Person(headers={"X-API-Key": key}).get("/user/manage/").status_code == 401
    assert client.get("/user/manage/").status_code == 401
    assert authenticate(email="owner@example.com", password="correct horse battery") is None
    assert (ApiKey.objects.count(), AuthToken.objects.filter(user=owner.user.pk).count()) == (0, 0)
    assert not User.objects.filter(pk=owner.user.pk).exists()
    assert stranger.get("/user/manage/").status_code == 200
    assert make_person("owner@example.com").user.pk != owner.user.pk


@pytest.mark.parametrize("how", ["object", "action"])
def test_operator_deletes_without_touching_what_the_account_owns(
    client: Client, owner: Person, removed: list[UUID], how: str
) -> None:
    run = submit(owner)
    client.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    users, id = "/admin/accounts/user/", str(owner.user.pk)
    place = users if how == "action" else f"{users}{id}/delete/"
    form = {"action": "delete_selected", "_selected_action": [id], "post": "yes"}
    assert client.post(place, form).status_code == 302
    assert id not in client.get(users).content.decode()
    assert Run.objects.filter(pk=run.pk).exists()
    assert removed == []


def test_runs_go_in_batches_through_their_kind_and_then_the_account(
    owner: Person, stranger: Person, removed: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 2)
    runs = [submit(owner) for _ in range(5)]
    queue.cancel(run=runs[0])
    kept = submit(stranger)
    queue.cancel(run=kept)
    delete(owner)
    assert prune_all() == [2, 2, 1, 1]
    assert set(removed) == {run.pk for run in runs}
    assert list(Run.objects.all()) == [kept]
    assert list(TaskResult.objects.values_list("task_id", flat=True)) == [str(kept.pk)]
    assert not User.with_deleted.filter(pk=owner.user.pk).exists()


def test_running_work_of_a_deleted_account_has_no_effect(owner: Person, removed: list[UUID]) -> None:
    submit(owner)
    run = queue.claim(kind="probe", worker="w@here:1", after=UUID(int=0))
    assert run
    delete(owner)
    prune_all()
    with pytest.raises(LeaseLost):
        queue.end(run=run, state=State.SUCCESS)
    assert removed == [run.pk]


def test_graphs_go_without_being_read(owner: Person, stranger: Person, django_assert_max_num_queries: Any) -> None:
    other = active_context(user=stranger.user).graph_id
    root = Node.objects.get(pk=active_context(user=owner.user).graph_id)
    for _ in range(5):
        graphs.spawn(source=root, kind="leaf", context={}, edge="", edge_context={})
    delete(owner)
    with django_assert_max_num_queries(150):
        assert prune_all()
    assert list(Graph.objects.values_list("pk", flat=True)) == [other]
    assert (Node.objects.count(), Edge.objects.count()) == (1, 0)


def test_one_account_that_cannot_be_removed_keeps_no_other(owner: Person, stranger: Person) -> None:
    class FailingKind(ProbeKind):
        def on_delete(self, run_ids: list[UUID]) -> None:
            raise OSError("The storage is away.")

    run_kinds.register(FailingKind())
    submit(owner)
    delete(owner)
    delete(stranger)
    prune_all()
    del run_kinds._kinds["probe"]
    assert list(User.with_deleted.values_list("pk", flat=True)) == [owner.user.pk]
