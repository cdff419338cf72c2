"""Notifications: who is told of what, once each; what is held back; rules, and what they have sent, over HTTP."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone

from taskhub.accounts.models import User
from taskhub.outbound.mail_server import MailServer
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import (
    NotificationMark,
    NotificationMessage,
    NotificationQuiet,
    NotificationRule,
    Run,
    Schedule,
    Worker,
)
from taskhub.runs.notifications import condition_watch
from taskhub.runs.notifications.email_delivery import perform_email
from taskhub.runs.queue.ends import end_revoked
from taskhub.runs.queue.notification_events import EMAIL
from taskhub.runs.queue.worker_process import work
from taskhub.runs.scheduler.fires import fire_due
from taskhub.security.encryption import Ciphertext
from tests.conftest import Person
from tests.mail_servers import mail_server
from tests.problems import problem

pytestmark = pytest.mark.django_db
HOOK = "http://127.0.0.1:9/hook"
ERROR = {"type": "KeyError", "message": "'customer'"}


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]
    settings.EMAIL_SERVER = MailServer("log")
    settings.OPEN_SIGNUP = False


def rule(person: Person, *events: str, **values: Any) -> int:
    sent = {"name": values.pop("name", "all"), "on": list(events), "to": {"webhook": HOOK}, **values}
    answer = person.post("/notifications", sent)
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == f"/notifications/{answer.json()['id']}"
    return int(answer.json()["id"])


WALK: dict[str, Any] = {"name": "echo", "snt": "taskhub", "nd": str(UUID(int=1)), "ctx": {}}


def running(owner: User, name: str = "echo", **fields: Any) -> Run:
    """A run that goes on outside of any worker."""
    run = runs.submit(kind="walker", owner=owner, name=name, arguments=WALK, **fields)
    times = {"started_at": timezone.now(), "lease_until": timezone.now() + timedelta(hours=1)}
    Run.objects.filter(pk=run.pk).update(state=State.PROGRESS, ready=False, **times)
    run.refresh_from_db()
    return run


def end(run: Run, state: State = State.FAILURE, error: Any = ERROR) -> Run:
    with transaction.atomic():
        runs.finish_detached(run_id=run.pk, state=state, error=error if state == State.FAILURE else None)
    return run


def fails(owner: User, name: str = "echo", **fields: Any) -> Run:
    return end(running(owner, name, **fields))


def succeeds(owner: User, name: str = "echo", **fields: Any) -> Run:
    return end(running(owner, name, **fields), State.SUCCESS)


def told() -> list[tuple[str, int]]:
    """Events and how many were held back before each, oldest first."""
    messages = NotificationMessage.objects.order_by("delivery_id")
    return list(messages.values_list("event", "held_back"))


def data_of(number: int = -1) -> dict[str, Any]:
    message = list(NotificationMessage.objects.select_related("delivery").order_by("delivery_id"))[number]
    return dict(message.delivery.arguments["data"])


# What is told


def test_a_failure_is_told_with_what_is_known_of_it(owner: Person, settings: Any) -> None:
    rule_id = rule(owner, "run.failed")
    run = fails(owner.user, tags=["nightly"])
    [message] = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    shown = {"event": "run.failed", "to": HOOK, "run": str(run.pk), "state": "PENDING", "attempts": []}
    assert message == {**message, **shown, "title": "walker echo failed: KeyError: 'customer'"}
    data = data_of()
    assert data["rule"] == {"id": rule_id, "name": "all"}
    assert data["run"] == {**data["run"], "id": str(run.pk), "state": "FAILURE", "error": ERROR, "tags": ["nightly"]}
    page = data["run"]["url"].removeprefix(settings.PUBLIC_URL)
    assert resolve(page).view_name == "console:runs-run"
    assert page.endswith(str(run.pk))
    assert data["run"]["finished_at"]
    [delivery] = owner.get("/webhooks/deliveries", {"run": str(run.pk)}).json()["results"]
    assert (delivery["id"], delivery["event"]) == (message["id"], "run.failed")


def test_an_attempt_that_fails_is_no_failure_yet(owner: Person) -> None:
    rule(owner, "run.failed", "run.recovered")
    run = running(owner.user)
    assert runs.schedule_retry(run=run, error=ERROR, seconds=5)
    assert told() == []


def test_the_first_success_after_a_failure_is_told_once(owner: Person, stranger: Person) -> None:
    rule(owner, "run.recovered")
    succeeds(owner.user)
    fails(owner.user)
    fails(owner.user)
    succeeds(owner.user, "another")
    succeeds(owner.user, schedule="nightly", schedule_id=3)
    succeeds(stranger.user)
    assert told() == []
    succeeds(owner.user)
    succeeds(owner.user)
    assert told() == [("run.recovered", 0)]
    assert data_of()["title"] == "walker echo succeeded again"
    assert not NotificationMark.objects.exists()


@pytest.mark.parametrize(
    ("filters", "is_told"),
    [
        ({}, True),
        ({"kind": "walker", "name": "echo", "tag": "b", "schedule": "nightly"}, True),
        ({"kind": "sequence"}, False),
        ({"name": "ech"}, False),
        ({"tag": "c"}, False),
        ({"schedule": "hourly"}, False),
    ],
)
def test_a_rule_tells_of_what_its_filter_names(owner: Person, filters: dict[str, str], is_told: bool) -> None:
    rule(owner, "run.failed", filter=filters)
    fails(owner.user, tags=["a", "b"], schedule="nightly")
    assert bool(told()) is is_told


def test_who_is_told_of_whose_runs(owner: Person, stranger: Person, colleague: Person) -> None:
    for person in (owner, stranger, colleague):
        rule(person, "run.failed", name="own")
    everybodys = rule(colleague, "run.failed", name="all", all_owners=True)
    off = rule(owner, "run.failed", name="off", enabled=False)
    fails(owner.user)
    assert {message.rule_id: message.owner_id for message in NotificationMessage.objects.all()} == {
        NotificationRule.objects.get(owner=owner.user, name="own").pk: owner.user.pk,
        everybodys: colleague.user.pk,
    }
    assert owner.get(f"/notifications/{off}/messages").json()["results"] == []
    User.objects.filter(pk=colleague.user.pk).update(is_staff=False)
    fails(owner.user)
    assert NotificationMessage.objects.filter(owner=colleague.user).count() == 1  # no more


def test_nobody_is_told_of_a_message_that_fails(owner: Person) -> None:
    rule(owner, "run.failed", "run.slow", slow_after=1)
    run = fails(owner.user)
    delivery = NotificationMessage.objects.get().delivery
    Run.objects.filter(pk=delivery.pk).update(
        state=State.PROGRESS, ready=False, lease_until=timezone.now(), started_at=timezone.now() - timedelta(hours=1)
    )
    end(delivery)
    condition_watch.look()
    assert [message.delivery.parent_id for message in NotificationMessage.objects.all()] == [run.pk]


def test_what_is_rolled_back_is_not_told(owner: Person) -> None:
    """An end and its messages are one commit: whoever dies between them leaves both or neither."""
    rule(owner, "run.failed", "run.recovered", quiet=5)
    run = running(owner.user)
    with transaction.atomic():
        runs.finish_detached(run_id=run.pk, state=State.FAILURE, error=ERROR)
        assert told() == [("run.failed", 0)]
        transaction.set_rollback(True)
    assert told() == []
    assert not NotificationQuiet.objects.exists()
    end(run)
    end(run)  # it has ended
    assert told() == [("run.failed", 0)]


def statements_of_end(owner: Person, state: State) -> list[str]:
    run = running(owner.user)
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        runs.finish_detached(run_id=run.pk, state=state, error=None)
    return [query["sql"].split()[0] for query in queries.captured_queries]


def test_an_end_that_concerns_no_rule_costs_no_statement_more(
    owner: Person, stranger: Person, colleague: Person
) -> None:
    alone = statements_of_end(owner, State.SUCCESS)
    rule(stranger, "run.failed", "run.recovered", "run.slow", slow_after=1)
    rule(colleague, "run.failed", "run.recovered", "run.slow", slow_after=60, all_owners=True)
    rule(owner, "run.recovered", filter={"name": "another"})
    assert statements_of_end(owner, State.SUCCESS) == alone


# Slow runs, schedules, crawlers, extraction


def test_a_slow_run_is_told_once_while_it_goes_on(owner: Person, stranger: Person) -> None:
    rule(owner, "run.slow", slow_after=60)
    slow, quick, others = running(owner.user), running(owner.user), running(stranger.user)
    long_ago = timezone.now() - timedelta(seconds=90)
    Run.objects.filter(pk__in=[slow.pk, others.pk]).update(started_at=long_ago)
    condition_watch.look()
    condition_watch.look()
    assert told() == [("run.slow", 0)]
    assert data_of()["title"] == "walker echo goes on after 90 s, longer than 60 s"
    for run in (slow, quick, others):
        end(run, State.SUCCESS)
    condition_watch.look()
    assert told() == [("run.slow", 0)]
    assert not NotificationMark.objects.exists()


def test_a_slow_run_that_nobody_saw_is_told_at_its_end(owner: Person) -> None:
    rule(owner, "run.slow", slow_after=60)
    run = running(owner.user)
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(seconds=61))
    end(run, State.SUCCESS)
    condition_watch.look()
    assert told() == [("run.slow", 0)]
    assert data_of()["title"] == "walker echo took 61 s, longer than 60 s"


@pytest.mark.parametrize("type", ["Skipped", "Missed"])
def test_a_due_time_that_was_left_out_is_told(owner: Person, type: str) -> None:
    rule(owner, "schedule.missed")
    for due_at in (None, timezone.now()):
        run = runs.submit(
            kind="walker", owner=owner.user, name="echo", arguments=WALK, schedule="nightly", due_at=due_at
        )
        with transaction.atomic():
            end_revoked(run=run, error={"type": type, "message": "It was due."})
    assert told() == [("schedule.missed", 0)]
    assert data_of()["title"] == "The schedule nightly did not fire: It was due."


@pytest.mark.parametrize(("missed", "fired"), [("latest", 1), ("all", 3), ("none", 0)])
def test_fires_that_came_late_are_told(owner: Person, missed: str, fired: int) -> None:
    rule(owner, "schedule.missed")
    sent = {"name": "often", "kind": "walker", "arguments": {"name": "run"}, "overlap": "beside", "missed": missed}
    answer = owner.post("/schedules", {**sent, "when": {"interval": {"every": 1, "period": "hours"}}})
    Schedule.objects.filter(pk=answer.json()["id"]).update(due_at=timezone.now() - timedelta(hours=2, minutes=30))
    while fire_due():
        pass
    titles = [data_of(number)["title"] for number in range(len(told()))]
    if missed == "all":
        assert len(titles) == fired
        assert all("after its due time" in title for title in titles)
    else:
        [title] = titles
        assert title.startswith("The schedule often did not fire: It was due ")
    assert Run.objects.filter(schedule="often", state="PENDING").count() == fired


def test_a_crawler_that_timed_out_is_told_more_narrowly_than_a_failure(owner: Person) -> None:
    rule(owner, "run.failed", "crawler.timeout", name="both")
    rule(owner, "run.failed", name="failures")
    run = running(owner.user)
    Run.objects.filter(pk=run.pk).update(kind="crawler")
    end(run, error={"type": "TimedOut", "message": "504: No sign of life for 60 s."})
    events = NotificationMessage.objects.values_list("rule__name", "event")
    assert sorted(events) == [("both", "crawler.timeout"), ("failures", "run.failed")]


def test_what_happens_to_a_process_is_told(owner: Person) -> None:
    rule(owner, "process.pending", "process.changed", filter={"kind": "extraction"})
    run = running(owner.user)
    Run.objects.filter(pk=run.pk).update(kind="extraction")
    run.refresh_from_db()
    with transaction.atomic():
        runs.notify_of_run(event="process.pending", run=run, title="waits: The credits ran out", facts={"process": {}})
        runs.notify_of_run(event="run.failed", run=run, title="is not told by this rule")
    assert told() == [("process.pending", 0)]
    assert data_of()["title"] == "extraction echo waits: The credits ran out"


# The hub's own


def worker(name: str, ago: float) -> None:
    seen_at = timezone.now() - timedelta(seconds=ago)
    Worker.objects.update_or_create(name=name, defaults={"queues": ["walkers"], "pid": 1, "seen_at": seen_at})


def test_a_lost_worker_is_told_once_each_time_it_is_lost(colleague: Person) -> None:
    rule_id = rule(colleague, "worker.lost")
    worker("walkers@here", 1)
    worker("walkers@before", 3600)  # lost before there was the rule
    condition_watch.look()
    assert told() == []
    NotificationRule.objects.filter(pk=rule_id).update(created_at=timezone.now() - timedelta(minutes=5))
    for ago, count in ((60, 1), (90, 1), (1, 1), (60, 2)):
        worker("walkers@here", ago)
        condition_watch.look()
        assert told() == [("worker.lost", 0)] * count
    assert data_of()["worker"]["name"] == "walkers@here"


@pytest.mark.parametrize(("silent", "count"), [(2, 1), (12, 0)])
def test_a_lost_process_of_a_living_worker_is_told(colleague: Person, silent: float, count: int) -> None:
    """Where the whole worker died, the leader tells of that, and not of each process."""
    rule(colleague, "worker.lost")
    worker("walkers@here", silent)
    run = running(colleague.user)
    Run.objects.filter(pk=run.pk).update(worker="walkers@here:77", lease_until=timezone.now() - timedelta(seconds=1))
    runs.sweep()
    assert told() == [("worker.lost", 0)] * count
    Run.objects.filter(pk=run.pk).update(
        state=State.STARTED, ready=False, losses=2, lease_until=timezone.now() - timedelta(seconds=1)
    )
    runs.sweep()  # it is given up
    assert told() == [("worker.lost", 0)] * count * 2


def test_a_late_queue_is_told_once_until_it_is_no_longer_late(colleague: Person) -> None:
    rule(colleague, "queue.late", late_after=5)
    arguments: Any = {"kind": "walker", "owner": colleague.user, "name": "echo", "arguments": WALK}

    def wait_since(minutes: int) -> None:
        Run.objects.filter(kind="walker").delete()
        old = UUID(int=((int(timezone.now().timestamp()) - minutes * 60) * 1000 << 80) | (7 << 76) | (2 << 62))
        run = runs.submit(**arguments)
        Run.objects.filter(pk=run.pk).update(id=old, created_at=timezone.now() - timedelta(minutes=minutes))

    for minutes, count in ((4, 0), (6, 1), (7, 1), (1, 1), (8, 2)):
        wait_since(minutes)
        condition_watch.look()
        assert told() == [("queue.late", 0)] * count, minutes
    assert data_of()["title"] == "The queue walkers is late: its oldest run waits for 8 minutes"


def test_what_could_not_go_on_makes_no_queue_late(colleague: Person) -> None:
    rule(colleague, "queue.late", late_after=5)
    run = running(colleague.user)
    ages = {"state": State.RETRY, "ready": True, "lease_until": None, "created_at": timezone.now() - timedelta(days=1)}
    Run.objects.filter(pk=run.pk).update(**ages)  # it came back from a lost worker just now
    condition_watch.look()
    assert told() == []


# Quiet times


def at(seconds: float) -> None:
    """The quiet times are as they will be then."""
    for quiet in NotificationQuiet.objects.all():
        NotificationQuiet.objects.filter(pk=quiet.pk).update(until=quiet.until - timedelta(seconds=seconds))


def test_what_is_held_back_is_counted_and_told_at_the_end_of_the_quiet_time(owner: Person) -> None:
    rule(owner, "run.failed", quiet=10)
    fails(owner.user)
    latest = [fails(owner.user) for _ in range(3)][-1]
    fails(owner.user, "another")  # another subject
    assert told() == [("run.failed", 0)] * 2
    condition_watch.look()
    assert len(told()) == 2
    at(600)
    condition_watch.look()
    condition_watch.look()
    assert told() == [("run.failed", 0), ("run.failed", 0), ("run.failed", 2)]
    assert data_of()["run"]["id"] == str(latest.pk)
    fails(owner.user)  # the digest has begun a quiet time of its own
    assert len(told()) == 3


def test_the_next_message_counts_what_was_held_back(owner: Person) -> None:
    rule(owner, "run.failed", quiet=10)
    for _ in range(3):
        fails(owner.user)
    at(600)
    fails(owner.user)  # before the leader has looked
    assert told() == [("run.failed", 0), ("run.failed", 2)]


def test_a_recovery_is_told_in_the_quiet_time_of_the_failure(owner: Person) -> None:
    rule(owner, "run.failed", "run.recovered", quiet=10)
    fails(owner.user)
    succeeds(owner.user)
    assert told() == [("run.failed", 0), ("run.recovered", 0)]


def test_a_rule_that_was_disabled_tells_nothing_of_what_it_held_back(owner: Person) -> None:
    rule_id = rule(owner, "run.failed", quiet=10)
    fails(owner.user)
    fails(owner.user)
    assert owner.patch(f"/notifications/{rule_id}", {"enabled": False}).status_code == 200
    at(600)
    condition_watch.look()
    assert told() == [("run.failed", 0)]
    assert not NotificationQuiet.objects.exists()


def test_an_owner_sends_so_many_emails_an_hour(owner: Person, stranger: Person, settings: Any) -> None:
    settings.EMAILS_PER_HOUR = 2
    own = rule(owner, "run.failed", to={"email": ["owner@example.com"]})
    rule(stranger, "run.failed", to={"email": ["stranger@example.com"]})
    for number in range(5):
        fails(owner.user, f"walk {number}")
    fails(stranger.user)
    assert NotificationMessage.objects.filter(owner=owner.user).count() == 2
    assert NotificationMessage.objects.filter(owner=stranger.user).count() == 1
    assert problem(owner.post(f"/notifications/{own}/test"), 429)["type"] == "too-many-requests"
    sent = NotificationMessage.objects.filter(owner=owner.user).latest("pk").delivery_id
    Run.objects.filter(pk=sent).update(state=State.SUCCESS, ready=False, finished_at=timezone.now())
    assert owner.post(f"/runs/{sent}/retry").status_code == 429  # nor is an e-mail that is sent again
    owner.delete(f"/notifications/{own}")
    own = rule(owner, "run.failed", name="another", to={"email": ["owner@example.com"]})
    assert owner.post(f"/notifications/{own}/test").status_code == 429  # a new rule is no way around it
    fails(owner.user)
    settings.EMAILS_PER_HOUR = 3
    at(600)
    condition_watch.look()
    assert NotificationMessage.objects.filter(owner=owner.user).count() == 3


def test_a_message_that_is_sent_again_is_on_record_as_well(owner: Person) -> None:
    rule_id = rule(owner, "run.failed")
    fails(owner.user)
    first = NotificationMessage.objects.get().delivery
    Run.objects.filter(pk=first.pk).update(state=State.SUCCESS, ready=False, finished_at=timezone.now())
    again = owner.post(f"/webhooks/deliveries/{first.pk}/send").json()["id"]
    messages = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert [message["id"] for message in messages] == [again, str(first.pk)]
    assert messages[0]["title"] == messages[1]["title"]


def test_what_rules_need_not_know_any_more_is_removed(owner: Person, settings: Any) -> None:
    rule(owner, "run.failed", "run.recovered", quiet=10)
    fails(owner.user)
    assert (NotificationQuiet.objects.count(), NotificationMark.objects.count()) == (1, 1)
    assert condition_watch.prune() == 0
    at(600)
    NotificationMark.objects.update(at=timezone.now() - timedelta(days=settings.RUN_RETENTION_DAYS + 1))
    assert condition_watch.prune() == 2


# Rules over HTTP


def test_rules_are_made_listed_changed_and_deleted(owner: Person, stranger: Person, colleague: Person) -> None:
    first = rule(owner, "run.failed", "run.failed", name="first")
    second = rule(owner, "run.slow", name="second", slow_after=2.0, to={"email": ["OWNER@Example.com"] * 2})
    shown = owner.get(f"/notifications/{second}").json()
    assert (shown["on"], shown["to"], shown["slow_after"]) == (["run.slow"], {"email": ["OWNER@example.com"]}, 2)
    assert [one["id"] for one in owner.get("/notifications").json()["results"]] == [second, first]
    assert [one["id"] for one in owner.get("/notifications", {"on": "run.failed"}).json()["results"]] == [first]
    assert owner.get("/notifications", {"enabled": "false"}).json()["results"] == []
    page = owner.get("/notifications", {"limit": 1}).json()
    assert owner.get(page["next"].partition("8000")[2]).json()["results"][0]["id"] == first
    changed = owner.patch(f"/notifications/{first}", {"quiet": 5, "filter": {"tag": "a"}}).json()
    assert changed == {**changed, "id": first, "on": ["run.failed"], "quiet": 5, "filter": {"tag": "a"}}
    assert owner.patch(f"/notifications/{first}", {"filter": {}}).json()["filter"] == {}
    assert stranger.get("/notifications").json()["results"] == []
    assert len(colleague.get("/notifications").json()["results"]) == 2
    assert owner.delete(f"/notifications/{first}").status_code == 204
    assert problem(owner.get(f"/notifications/{first}"), 404)


def test_a_name_is_an_owners_once(owner: Person, stranger: Person) -> None:
    first = rule(owner, "run.failed")
    rule(stranger, "run.failed")
    other = rule(owner, "run.failed", name="other")
    again = {"name": "all", "on": ["run.failed"], "to": {"webhook": HOOK}}
    problem(owner.post("/notifications", again), 409)
    problem(owner.patch(f"/notifications/{other}", {"name": "all"}), 409)
    assert owner.patch(f"/notifications/{first}", {"name": "all"}).status_code == 200


def test_a_call_that_is_repeated_makes_one_rule(owner: Person) -> None:
    sent = {"name": "all", "on": ["run.failed"], "to": {"webhook": HOOK}}
    first, second = (owner.post("/notifications", sent, headers={"Idempotency-Key": "a"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()


VALID: dict[str, Any] = {"name": "all", "on": ["run.failed"], "to": {"webhook": HOOK}}
FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": ""}, ["/name"]),
    ({"name": "a\nb"}, ["/name"]),
    ({"name": 1}, ["/name"]),
    ({"on": []}, ["/on"]),
    ({"on": ["run.failed", "run.faild"]}, ["/on/1"]),
    ({"on": "run.failed"}, ["/on"]),
    ({"on": ["run.slow"]}, ["/slow_after"]),
    ({"slow_after": 0}, ["/slow_after"]),
    ({"quiet": -1}, ["/quiet"]),
    ({"quiet": True}, ["/quiet"]),
    ({"late_after": 0}, ["/late_after"]),
    ({"filter": {"nme": "a"}}, ["/filter/nme"]),
    ({"filter": {"kind": "wlker"}}, ["/filter/kind"]),
    ({"filter": {"kind": "email"}}, ["/filter/kind"]),  # nobody is told of messages
    ({"filter": {"tag": ""}}, ["/filter/tag"]),
    ({"filter": []}, ["/filter"]),
    ({"to": {}}, ["/to"]),
    ({"to": {"webhook": HOOK, "email": ["owner@example.com"]}}, ["/to"]),
    ({"to": {"webhook": "http://10.0.0.1/"}}, ["/to/webhook"]),
    ({"to": {"webhook": "ftp://example.com/"}}, ["/to/webhook"]),
    ({"to": {"webhook": ""}}, ["/to/webhook"]),
    ({"to": {"email": []}}, ["/to/email"]),
    ({"to": {"email": ["owner@example.com"] * 11}}, ["/to/email"]),
    ({"to": {"email": ["owner@example.com", "owner"]}}, ["/to/email/1"]),
    ({"to": {"email": ["owner@example.com\r\nBcc: b@example.com"]}}, ["/to/email/0"]),
    ({"to": {"sms": "1"}}, ["/to/sms"]),
    ({"who": "me"}, ["/who"]),
]


@pytest.mark.parametrize(("values", "places"), FAULTS, ids=[json.dumps(values)[:60] for values, _ in FAULTS])
def test_faults_have_their_places(owner: Person, values: dict[str, Any], places: list[str]) -> None:
    problem(owner.post("/notifications", {**VALID, **values}), 400, *places)
    assert not NotificationRule.objects.exists()
    rule_id = rule(owner, "run.failed")
    problem(owner.patch(f"/notifications/{rule_id}", values), 400, *places)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"on": ["run.failed", "worker.lost"]}, "/on/1"),
        ({"on": ["queue.late"]}, "/on/0"),
        ({"all_owners": True}, "/all_owners"),
        ({"to": {"email": ["owner@example.com", "victim@example.org"]}}, "/to/email/1"),
    ],
)
def test_what_is_staffs(owner: Person, colleague: Person, values: dict[str, Any], place: str) -> None:
    problem(owner.post("/notifications", {**VALID, **values}), 403, place)
    rule_id = rule(owner, "run.failed")
    problem(owner.patch(f"/notifications/{rule_id}", values), 403, place)
    problem(colleague.patch(f"/notifications/{rule_id}", values), 403, place)  # the rule is still its owner's
    assert colleague.post("/notifications", {**VALID, **values}).status_code == 201


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("EMAIL_SERVER", None, 400),
        ("OPEN_SIGNUP", True, 403),  # an account's address was chosen by whoever signed up
        ("EMAIL_DOMAINS", ["example.org"], 201),
    ],
)
def test_emails_where_the_hub_is_set_up_otherwise(
    owner: Person, settings: Any, setting: str, value: Any, status: int
) -> None:
    settings.IS_LOCAL = False
    setattr(settings, setting, value)
    to = {"email": ["somebody@example.org" if status == 201 else "owner@example.com"]}
    answer = owner.post("/notifications", {**VALID, "to": to})
    assert answer.status_code == status, answer.content
    assert status == 201 or answer.json()["errors"][0]["pointer"] == "/to/email/0"


def test_an_address_that_its_user_wrote_down_proves_nothing(owner: Person, settings: Any) -> None:
    """Else whoever has an account could have the hub write to anybody, by taking his address for his own."""
    settings.IS_LOCAL = False
    sent = {**VALID, "to": {"email": ["victim@example.org"]}}
    address = {"email": "victim@example.org", "current_password": "correct horse battery"}
    assert owner.patch("/user/manage/", address).status_code == 200
    assert "staff has confirmed" in problem(owner.post("/notifications", sent), 403, "/to/email/0")["detail"]
    User.objects.filter(pk=owner.user.pk).update(email_unconfirmed=False)  # as in the admin
    assert owner.patch("/user/manage/", address).status_code == 200  # the same once more
    assert owner.post("/notifications", sent).status_code == 201


@pytest.mark.parametrize(("is_open", "is_unconfirmed"), [(True, True), (False, False)])
def test_who_signs_up_by_himself_has_written_down_his_address(
    colleague: Person, anonymous: Person, settings: Any, is_open: bool, is_unconfirmed: bool
) -> None:
    settings.OPEN_SIGNUP = is_open
    account = {"email": "new@example.org", "password": "correct horse battery"}
    assert (anonymous if is_open else colleague).post("/user/create/", account).status_code == 201
    assert User.objects.get(email="new@example.org").email_unconfirmed is is_unconfirmed


def test_there_are_only_so_many_rules(owner: Person) -> None:
    NotificationRule.objects.bulk_create(
        NotificationRule(owner=owner.user, name=str(number), events=["run.failed"], webhook=HOOK)
        for number in range(100)
    )
    problem(owner.post("/notifications", VALID), 409)


def test_staff_see_a_webhook_without_its_path(owner: Person, colleague: Person) -> None:
    rule_id = rule(owner, "run.failed")
    fails(owner.user)
    shown = colleague.get(f"/notifications/{rule_id}").json()
    assert shown["to"] == {"webhook": "http://127.0.0.1:9/***"}
    [message] = colleague.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert message["to"] == "http://127.0.0.1:9/***"
    answer = colleague.patch(f"/notifications/{rule_id}", {"to": shown["to"], "quiet": 3})
    assert answer.status_code == 200, answer.content
    assert owner.get(f"/notifications/{rule_id}").json()["to"] == {"webhook": HOOK}


def test_what_was_sent_stays_when_its_rule_is_deleted(owner: Person) -> None:
    rule_id = rule(owner, "run.failed", quiet=10)
    fails(owner.user)
    assert owner.delete(f"/notifications/{rule_id}").status_code == 204
    [message] = NotificationMessage.objects.all()
    assert (message.rule, message.delivery.state) == (None, "PENDING")
    runs.remove_runs_of(owner.user.pk)
    assert not NotificationMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rule_is_deleted_after_the_ends_that_it_tells_of(owner: Person) -> None:
    """A message of a rule that is gone could not be committed, nor could the end."""
    rule_id = rule(owner, "run.failed", quiet=10)
    run, waited = running(owner.user), []

    def delete() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            owner.delete(f"/notifications/{rule_id}")
        finally:
            connection.close()

    def delete_elsewhere() -> int:
        thread = threading.Thread(target=delete)
        thread.start()
        thread.join()
        return NotificationRule.objects.count()

    with transaction.atomic():
        runs.finish_detached(run_id=run.pk, state=State.FAILURE, error=ERROR)
        waited.append(delete_elsewhere())
    waited.append(delete_elsewhere())
    assert waited == [1, 0]
    assert Run.objects.get(pk=run.pk).state == "FAILURE"
    assert told() == [("run.failed", 0)]


def test_a_rule_that_cannot_be_read_keeps_no_run_from_its_end(owner: Person) -> None:
    rule_id = rule(owner, "run.failed")
    NotificationRule.objects.filter(pk=rule_id).update(webhook=Ciphertext("gAAAAAunder-a-key-that-was-removed"))
    assert Run.objects.get(pk=fails(owner.user).pk).state == "FAILURE"
    assert told() == []


# E-mails


@pytest.fixture
def box(settings: Any) -> Iterator[Any]:
    with mail_server() as box:
        settings.EMAIL_SERVER = MailServer.parse(f"smtp://{box.url}")
        yield box


@pytest.mark.django_db(transaction=True)
def test_an_email_is_sent_and_on_record(owner: Person, box: Any, settings: Any) -> None:
    settings.EMAIL_DOMAINS = ["example.com"]
    settings.PUBLIC_URL = "https://hub.example.com"
    rule_id = rule(owner, "run.failed", to={"email": ["owner@example.com", "bob@example.com"]})
    run = fails(owner.user, "a\r\nBcc: c@example.com\r\n\r\n<b>")
    assert work(EMAIL, perform_email, node="webhooks@test") == 2
    assert sorted(envelope.rcpt_tos for envelope in box.envelopes) == [["bob@example.com"], ["owner@example.com"]]
    message = next(message for message in box.messages if message["To"] == "owner@example.com")
    assert message["Subject"].strip() == "[taskhub] walker a Bcc: c@example.com <b> failed: KeyError: 'customer'"
    assert message["From"] == f"taskhub <{settings.EMAIL_FROM}>"
    assert (message["Auto-Submitted"], message["Bcc"], message["Cc"]) == ("auto-generated", None, None)
    text, markup = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert f"https://hub.example.com/console/runs/{run.pk}" in text
    assert f'<a href="https://hub.example.com/console/runs/{run.pk}">' in markup
    assert "<b>" in text
    assert "<b>" not in markup
    shown = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert {(one["to"], one["state"]) for one in shown} == {
        ("owner@example.com", "SUCCESS"),
        ("bob@example.com", "SUCCESS"),
    }
    [attempt] = shown[0]["attempts"]
    assert (attempt["status"], attempt["answer"], attempt["error"]) == (250, "250 taken", "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("reply", "state"), [("451 later", "RETRY"), ("550 no such user", "FAILURE")])
def test_an_email_that_is_refused(owner: Person, box: Any, reply: str, state: str) -> None:
    rule_id = rule(owner, "run.failed", to={"email": ["owner@example.com"]})
    box.replies["RCPT"] = reply
    owner.post(f"/notifications/{rule_id}/test")
    work(EMAIL, perform_email, node="webhooks@test")
    [shown] = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert (shown["event"], shown["state"], bool(shown["next_attempt_at"])) == (
        "notification.test",
        state,
        state == "RETRY",
    )
    assert reply in shown["error"]["message"]
    if state == "RETRY":
        box.replies.clear()
        Run.objects.filter(kind=EMAIL).update(not_before=timezone.now())
        runs.sweep()
        work(EMAIL, perform_email, node="webhooks@test")
        [shown] = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
        assert [attempt["status"] for attempt in shown["attempts"]] == [451, 250]
        [message] = box.messages
        assert shown["id"] in message["Message-ID"]  # however often it is sent


@pytest.mark.django_db(transaction=True)
def test_whoever_may_no_longer_send_does_not(owner: Person, box: Any, settings: Any) -> None:
    settings.EMAIL_DOMAINS = ["example.org"]
    rule_id = rule(owner, "run.failed", to={"email": ["bob@example.org"]})
    owner.post(f"/notifications/{rule_id}/test")
    settings.EMAIL_DOMAINS = []
    work(EMAIL, perform_email, node="webhooks@test")
    [shown] = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert (shown["state"], shown["error"]["type"]) == ("FAILURE", "Forbidden")
    assert box.messages == []


@pytest.mark.django_db(transaction=True)
def test_a_hub_without_a_mail_server_writes_emails_to_its_log(owner: Person, caplog: pytest.LogCaptureFixture) -> None:
    rule_id = rule(owner, "run.failed", to={"email": ["owner@example.com"]})
    owner.post(f"/notifications/{rule_id}/test")
    with caplog.at_level("INFO"):
        work(EMAIL, perform_email, node="webhooks@test")
    assert "E-mail to owner@example.com: [taskhub] This is a test of the notification rule all" in caplog.text
    [shown] = owner.get(f"/notifications/{rule_id}/messages").json()["results"]
    assert shown["state"] == "SUCCESS"
