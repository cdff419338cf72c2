"""What a run or a schedule needed to be accepted is asked again: when it is tried again, and when it is due."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from extraction.models import Process
from sequences.services.sequence_runs import submit_sequence
from taskhub.accounts.models import User
from taskhub.errors import Problem
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import cancel, retry, submit
from taskhub.runs.scheduler.fires import fire_due
from tests import crawler_client
from tests.conftest import Person, make_person
from tests.problems import problem
from walkers.services.graphs import create_graph
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db

SEQUENCE: dict[str, Any] = {"requests": []}
EVERY_MINUTE = {"type": "interval", "conf": {"every": 1, "period": "minutes"}}


def change(person: Person, **fields: Any) -> None:
    User.with_deleted.filter(pk=person.user.pk).update(**fields)


def ended(run: Run) -> Run:
    cancel(run=run)
    run.refresh_from_db()
    return run


def walk(person: Person, node: Any = None) -> Run:
    start = node or active_context(user=person.user).graph_id
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(start), "ctx": {}}
    return submit(kind="walker", owner=person.user, name="echo", arguments=arguments)


def retry_in_the_admin(boss: Person, run: Run) -> str:
    client = Client()
    client.force_login(boss.user)
    form = {"action": "retry_runs", "_selected_action": str(run.pk), "post": "yes"}
    return str(client.post("/admin/runs/run/", form, follow=True).content.decode())


@pytest.fixture
def boss(db: None) -> Person:
    return make_person("boss@example.com", is_staff=True, is_superuser=True)


def test_a_sequence_is_not_tried_again_for_somebody_who_may_run_none_any_more(boss: Person, colleague: Person) -> None:
    run = ended(submit_sequence(arguments=SEQUENCE, owner=colleague.user))
    change(colleague, is_staff=False)
    problem(colleague.post(f"/runs/{run.pk}/retry"), 403)
    problem(colleague.post("/sequences/runs", SEQUENCE), 403)
    problem(boss.post(f"/runs/{run.pk}/retry"), 403)
    assert "sequences.run_sequence" in retry_in_the_admin(boss, run)
    assert Run.objects.count() == 1
    colleague.user.user_permissions.add(Permission.objects.get(codename="run_sequence"))
    assert colleague.post(f"/runs/{run.pk}/retry").status_code == 202


def test_who_has_the_permission_runs_sequences_and_sees_his_own(owner: Person, stranger: Person, boss: Person) -> None:
    for person in (owner, stranger):
        person.user.user_permissions.add(Permission.objects.get(codename="run_sequence"))
    run = owner.post("/sequences/runs", SEQUENCE).json()["id"]
    assert owner.post("/sequences/validate", SEQUENCE).status_code == 200
    listed = {
        who: [r["id"] for r in p.get("/sequences/runs").json()["results"]] for who, p in vars_of(owner, stranger, boss)
    }
    assert listed == {"first": [run], "second": [], "third": [run]}
    assert [p.get(f"/sequences/runs/{run}").status_code for p in (owner, stranger, boss)] == [200, 404, 200]
    assert [p.get(f"/sequences/runs/{run}/steps").status_code for p in (owner, stranger, boss)] == [200, 404, 200]
    schedule = {"name": "daily", "schedule": EVERY_MINUTE, "body": SEQUENCE}
    assert owner.post("/js/add_scheduled_sequence", schedule).status_code == 200


def vars_of(*people: Person) -> list[tuple[str, Person]]:
    return list(zip(("first", "second", "third"), people, strict=True))


def test_a_walk_at_anothers_node_is_not_tried_again(owner: Person, colleague: Person) -> None:
    run = ended(walk(colleague, create_graph(owner=owner.user).pk))
    assert colleague.post(f"/runs/{run.pk}/retry").status_code == 202
    change(colleague, is_staff=False)
    problem(colleague.post(f"/runs/{run.pk}/retry"), 403)


def test_a_crawl_of_anothers_crawler_is_not_tried_again(owner: Person, colleague: Person) -> None:
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/"))["crawler"]
    run = submit(kind="crawler", owner=colleague.user, name="shoes", arguments={"crawler": made["fid"]})
    ended(run)
    change(colleague, is_staff=False)
    problem(colleague.post(f"/runs/{run.pk}/retry"), 403)


def test_a_process_that_its_owner_may_no_longer_ask_for_is_not_tried_again(owner: Person) -> None:
    owner.user.user_permissions.add(Permission.objects.get(codename="ignore_robots"))
    payload = {
        "request": {"url": "http://127.0.0.1:9/"},
        "fields": [{"name": "a", "selector": "a"}],
        "ignoreRobots": True,
    }
    task = owner.post("/v1/task/create", payload).json()
    process = owner.post(f"/v1/task/{task['id']}/run").json()["id"]
    assert owner.post(f"/v1/process/{process}/cancel").status_code == 200
    owner.user.user_permissions.clear()
    run = Process.objects.get(id=process).run
    assert run is not None
    problem(owner.post(f"/v1/process/{process}/retry"), 403, "/ignoreRobots")
    problem(owner.post(f"/runs/{run.pk}/retry"), 403, "/ignoreRobots")


def test_nothing_is_started_for_somebody_whose_account_is_not_active(owner: Person, boss: Person) -> None:
    run = ended(walk(owner))
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/"))["crawler"]
    payload = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    task = owner.post("/v1/task/create", payload).json()
    process = owner.post(f"/v1/task/{task['id']}/run").json()["id"]
    owner.post(f"/v1/process/{process}/cancel")
    runs = Run.objects.count()
    change(owner, is_active=False)
    calls = (f"/runs/{run.pk}/retry", f"/actions/crawlers/{made['fid']}/task", f"/v1/task/{task['id']}/run")
    for path in (*calls, f"/v1/process/{process}/retry"):
        assert "not active" in problem(boss.post(path), 409)["detail"]
    assert Run.objects.count() == runs


def due(owner: Person, name: str) -> Schedule:
    """A schedule of somebody's that is due now."""
    body = {"name": "run"} if name == "walker" else SEQUENCE
    sent = {"name": name, "schedule": EVERY_MINUTE, "body": body}
    assert owner.post(f"/js/add_scheduled_{name}", sent).status_code == 200
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=5))
    return Schedule.objects.get()


def fired(schedule: Schedule) -> str:
    """The fault after a fire; empty where a run was started. A refused fire is on record, and is not tried again."""
    fire_due()
    schedule.refresh_from_db()
    runs = Run.objects.filter(schedule=schedule.periodic.name)
    assert bool(schedule.fault) == (not runs.exclude(state="FAILURE").exists())
    for run in runs.filter(state="FAILURE"):
        assert not schedule.fault or schedule.fault in str(run.error)
        with pytest.raises(Problem):
            retry(run=run)
    return str(schedule.fault)


def test_a_schedule_of_sequences_fires_while_its_owner_may_run_them(colleague: Person) -> None:
    schedule = due(colleague, "sequence")
    change(colleague, is_staff=False)
    assert "sequences.run_sequence" in fired(schedule)
    assert colleague.get("/js/get_scheduled_queues").json()["results"][0]["fault"] == schedule.fault
    change(colleague, is_staff=True)
    Schedule.objects.update(due_at=timezone.now())
    assert fired(schedule) == ""


def test_a_schedule_of_a_walk_in_anothers_name_fires_while_its_owner_is_staff(owner: Person, colleague: Person) -> None:
    body = {"name": "run", "mst": str(owner.user.pk)}
    sent = {"name": "walker", "schedule": EVERY_MINUTE, "body": body}
    assert colleague.post("/js/add_scheduled_walker", sent).status_code == 200
    Schedule.objects.update(due_at=timezone.now())
    change(colleague, is_staff=False)
    assert "Only the schedules of admins" in fired(Schedule.objects.get())


@pytest.mark.parametrize("how", ["inactive", "deleted"])
def test_schedules_of_somebody_who_is_gone_do_not_fire(owner: Person, how: str) -> None:
    schedule = due(owner, "walker")
    if how == "inactive":
        change(owner, is_active=False)
    else:
        change(owner, is_active=False, deleted_at=timezone.now())
    assert "not active" in fired(schedule)
    assert owner.get("/user/manage/").status_code == 401


def test_a_fire_that_was_refused_is_not_tried_again_for_want_of_arguments(owner: Person, colleague: Person) -> None:
    for kind in ("walker", "crawler", "sequence", "extraction"):
        run = Run.objects.create(
            kind=kind, owner=colleague.user, name=kind, state="FAILURE", ready=False, finished_at=timezone.now()
        )
        assert colleague.post(f"/runs/{run.pk}/retry").status_code in {400, 409}, kind
