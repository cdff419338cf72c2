"""Runs in the admin."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from taskhub.audit.models import AuditEntry, Door
from taskhub.errors import Forbidden
from taskhub.runs import queue, run_kinds
from taskhub.runs.bulk import admin_actions
from taskhub.runs.bulk.services import KIND, Action, perform_bulk_change, submit_chosen_change
from taskhub.runs.models import NotificationRule, Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person, make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = "/admin/runs/run/"


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    yield
    del run_kinds._kinds["probe"]


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_person("operator@example.com", is_staff=True, is_superuser=True).user)
    return client


def submit(person: Person, **options: Any) -> Run:
    fields = {"kind": "probe", "name": "probe", "arguments": {"password": "canary", "note": "<script>x</script>"}}
    return queue.submit(owner=person.user, **(fields | options))


def act(client: Client, action: str, *runs: Run) -> Any:
    data = {"action": action, "_selected_action": [str(run.pk) for run in runs], "post": "yes"}
    return client.post(RUNS, data, follow=True)


def test_the_list_shows_runs_with_progress_and_counts_no_big_table(operator: Client, owner: Person) -> None:
    run = submit(owner)
    Run.objects.filter(pk=run.pk).update(progress={"done": 3, "total": 10, "message": "three"})
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = operator.get(RUNS).content.decode()
    assert '<progress value="3" max="10"></progress> 3/10 three' in page
    assert "owner@example.com" in page
    assert not [query for query in queries if "COUNT(" in query["sql"] and "LIMIT" not in query["sql"]]


def test_each_row_leads_to_its_run_and_tells_when_to_the_second(operator: Client, owner: Person) -> None:
    run = submit(owner)
    page = operator.get(RUNS).content.decode()
    link = (
        rf'<th class="field-created_at[^>]*><a href="{RUNS}{run.pk}/change/[^>]*>{run.created_at:%Y-%m-%d %H:%M:%S}</a>'
    )
    assert re.search(link, page)
    assert f'<span class="unbroken">{run.pk}</span>' in page
    assert "<title>Select run to view | taskhub</title>" in page


def test_a_run_is_shown_with_lineage_error_and_masked_arguments(operator: Client, owner: Person) -> None:
    parent = submit(owner)
    child = submit(owner, parent=parent)
    queue.cancel(run=child)
    Run.objects.filter(pk=child.pk).update(error={"type": "ValueError", "message": "the ladder broke"})
    child.refresh_from_db()
    again = queue.retry(run=child)
    page = operator.get(reverse("admin:runs_run_change", args=[child.pk])).content.decode()
    assert "ValueError: the ladder broke" in page
    assert reverse("admin:runs_run_change", args=[parent.pk]) in page
    assert reverse("admin:runs_run_change", args=[again.pk]) in page
    assert "canary" not in page
    assert "<script>x</script>" not in page


def test_cancel_and_retry_are_actions_that_say_what_they_did(operator: Client, owner: Person) -> None:
    first, second = submit(owner), submit(owner)
    queue.cancel(run=second)
    page = act(operator, "cancel_runs", first, second).content.decode()
    assert "1 runs cancelled." in page
    assert "The run has ended; it is REVOKED." in page
    assert "2 runs accepted again." in act(operator, "retry_runs", first, second).content.decode()
    assert Run.objects.filter(retry_of__isnull=False, state="PENDING").count() == 2


def test_many_runs_are_changed_in_the_background(
    operator: Client, owner: Person, stranger: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_actions, "EACH_MAX", 2)
    runs = [submit(owner), submit(stranger), submit(owner, name="other"), submit(owner)]
    page = act(operator, "cancel_runs", *runs[:3]).content.decode()
    change = Run.objects.get(kind=KIND)
    assert f'3 runs are changed in the background, one after the other, by the run <a href="{RUNS}{change.pk}/' in page
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert Run.objects.get(kind=KIND).result == {"matched": 3, "changed": 3, "refused": 0, "refusals": []}
    assert set(Run.objects.filter(kind="probe", state="REVOKED")) == set(runs[:3])
    entry = AuditEntry.objects.get(action="cancel all")
    assert (entry.actor, entry.door, entry.object_id) == ("operator@example.com", Door.ADMIN, str(change.pk))
    assert entry.after == {"filter": {}, "runs": 3}


def test_many_runs_are_tried_again_though_they_were_before_and_once_each(
    operator: Client, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker of a bulk change that was lost has done is not done again."""
    monkeypatch.setattr(admin_actions, "EACH_MAX", 1)
    runs = [submit(owner), submit(owner), submit(owner)]
    for run in runs:
        queue.cancel(run=run)
        run.refresh_from_db()
        queue.retry(run=run)
    time.sleep(0.002)  # an id has its time in milliseconds
    act(operator, "retry_runs", *runs)
    queue.retry(run=runs[0])  # as one that is lost may have done
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    again = Counter(Run.objects.filter(retry_of__isnull=False).values_list("retry_of", flat=True))
    assert again == {run.pk: 2 for run in runs}


def test_an_action_that_chooses_all_takes_as_many_as_the_list_counts(
    operator: Client, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_actions, "EACH_MAX", 1)
    monkeypatch.setattr(admin_actions, "CHOSEN_MAX", 2)
    oldest, *newest = [submit(owner) for _ in range(3)]
    data = {"action": "cancel_runs", "_selected_action": [str(newest[0].pk)], "select_across": "1"}
    assert "there may be more" in operator.post(RUNS, data, follow=True).content.decode()
    assert work(KIND, perform_bulk_change, node="threads@here") == 1
    assert [Run.objects.get(pk=run.pk).state for run in (oldest, *newest)] == ["PENDING", "REVOKED", "REVOKED"]


def test_who_may_not_change_the_runs_of_others_in_the_background(owner: Person) -> None:
    with pytest.raises(Forbidden):
        submit_chosen_change(action=Action.CANCEL, runs=[submit(owner).pk], user=owner.user)


def test_other_actions_are_done_to_none_of_too_many_rows(
    operator: Client, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskhub.web.admin.EACH_MAX", 1)
    rules = [
        NotificationRule.objects.create(owner=owner.user, name=name, events=["run.failed"], emails=["ada@example.com"])
        for name in "ab"
    ]
    data = {"action": "disable", "_selected_action": [rule.pk for rule in rules], "post": "yes"}
    page = operator.post("/admin/runs/notificationrule/", data, follow=True).content.decode()
    assert "Nothing was done: these are more than 1 rows" in page
    assert NotificationRule.objects.filter(enabled=True).count() == 2


@pytest.mark.parametrize("query", ["state__exact=FAILURE", "kind=probe", "q=probe", "q=no-uuid", "q=owner@example.com"])
def test_filters_and_search(operator: Client, owner: Person, query: str) -> None:
    submit(owner)
    assert operator.get(f"{RUNS}?{query}").status_code == 200


def test_runs_are_neither_added_nor_changed_nor_deleted_by_hand(operator: Client, owner: Person) -> None:
    run = submit(owner)
    assert operator.get(f"{RUNS}add/").status_code == 403
    assert operator.post(reverse("admin:runs_run_delete", args=[run.pk])).status_code == 403
    assert operator.post(reverse("admin:runs_run_change", args=[run.pk]), {"state": "SUCCESS"}).status_code == 403


@pytest.mark.parametrize("model", ["runs/worker", "runs/leadership", "django_celery_results/taskresult"])
def test_the_other_tables_open(operator: Client, owner: Person, model: str) -> None:
    queue.cancel(run=submit(owner))
    assert operator.get(f"/admin/{model}/").status_code == 200
