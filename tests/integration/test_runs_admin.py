"""Runs in the admin."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from taskhub.runs import queue, run_kinds
from taskhub.runs.models import Run
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
