"""Health: this process, whether calls can be served, and whether each queue's work is taken."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from extraction.models import ExtractionPage, Process
from extraction.services import processes, slices, tasks
from taskhub import __version__
from taskhub.runs.health import checks
from taskhub.runs.health.worker_heartbeat import say_alive
from taskhub.runs.models import Run
from taskhub.runs.queue import claim, submit
from tests.conftest import Person

NOBODY: Any = "00000000-0000-0000-0000-000000000000"
ECHO = {"name": "echo", "snt": "taskhub", "nd": NOBODY, "ctx": {}}
LONG_AGO = timedelta(seconds=checks.PATIENCE_SECONDS + 12)


def waiting(person: Person, **fields: Any) -> Run:
    run = submit(kind="walker", owner=person.user, name="echo", arguments=ECHO)
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - LONG_AGO, **fields)
    return run


def said(queue: str = "walkers") -> str:
    return checks.check_parts()[f"worker:{queue}"]


@pytest.fixture
def worker(db: None) -> str:
    """A worker of all queues, with two processes."""
    say_alive(name="all@here", queues=["walkers", "extraction"], processes=[1, 2])
    return "all@here"


def test_a_process_that_serves_says_so(anonymous: Person) -> None:
    assert anonymous.get("/livez").json() == {"status": "ok"}
    assert anonymous.get("/version").json() == {"version": __version__}


def test_calls_can_be_served_while_the_database_answers(anonymous: Person) -> None:
    ready = anonymous.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": {"database": "ok"}})


def test_a_queue_is_well_while_nothing_waits_long(owner: Person, worker: str) -> None:
    assert said() == "ok"
    submit(kind="walker", owner=owner.user, name="echo", arguments=ECHO)
    assert said() == "ok"


def test_work_that_nobody_takes_although_a_slot_is_free(
    owner: Person, worker: str, anonymous: Person, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(owner)
    assert said() == "work waits for 42 s, and nobody takes it"
    assert said("extraction") == "ok"
    health = anonymous.get("/healthz")
    assert (health.status_code, health.json()["checks"]["worker:walkers"]) == (503, said())
    assert "/healthz" not in caplog.text  # it is no failed call


def test_what_waits_for_its_time_or_for_a_slot_waits_well(owner: Person, stranger: Person, worker: str) -> None:
    waiting(owner, not_before=timezone.now() + timedelta(hours=1), ready=False)
    assert said() == "ok"
    waiting(owner)
    assert claim(kind="walker", worker=f"{worker}:1", after=NOBODY)
    waiting(owner)
    assert said() == "ok"  # he holds as many slots as are free
    waiting(stranger)
    assert said() != "ok"
    assert claim(kind="walker", worker=f"{worker}:2", after=NOBODY)
    waiting(stranger)
    assert said() == "ok"  # all are busy


def test_what_came_back_from_a_lost_worker_counts_from_nowhere(owner: Person, worker: str) -> None:
    waiting(owner, state="RETRY")
    assert said() == "ok"


def test_pages_that_nobody_takes(owner: Person, worker: str) -> None:
    body = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    process = processes.run_task(task=tasks.create_task(owner=owner.user, body=body))
    Run.objects.update(ready=False, not_before=timezone.now() + timedelta(hours=1))
    ExtractionPage.objects.create(process=process, key=b"1", chain=b"1", url="http://127.0.0.1:9/")
    Process.objects.update(started_at=timezone.now() - LONG_AGO)
    assert said("extraction") == "work waits for 42 s, and nobody takes it"
    claimed = slices.claim_slice(worker=f"{worker}:1")
    assert claimed
    Process.objects.update(served_at=timezone.now() - LONG_AGO)
    assert said("extraction") == "ok"  # a slice goes on
    with connection.cursor() as cursor:
        cursor.execute("UPDATE extraction_slice SET lease_until = now() - interval '1 s'")
    assert said("extraction") != "ok"
    Process.objects.update(rendered=True)
    assert said("extraction") != "ok"
    Process.objects.update(rest_until=timezone.now() + timedelta(minutes=1))
    assert said("extraction") == "ok"
