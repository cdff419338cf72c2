"""`/runs/stats`, `/queues`, `/workers`, and why a run waits."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from taskhub.runs import queue, run_kinds, run_statistics, run_tallies
from taskhub.runs.domain import Concurrency, State
from taskhub.runs.health.worker_heartbeat import _say
from taskhub.runs.models import Run, RunTally, Worker
from taskhub.runs.queue import queue_states
from taskhub.runs.run_statistics import Bucket, period
from taskhub.runs.run_tallies import prune_tallies, tally_hour
from taskhub.runs.scheduler.beat import TICK_SECONDS, BeatScheduler
from tests.conftest import Person
from tests.probe_kind import ProbeKind
from tests.problems import problem

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = "since=2026-01-31&until=2026-02-01"


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    yield
    del run_kinds._kinds["probe"]


def near(expected: Any) -> Any:
    return pytest.approx(expected, rel=0.06)


def submit(person: Person, name: str = "probe", **options: Any) -> Run:
    return queue.submit(owner=person.user, kind="probe", name=name, arguments={}, **options)


def ended(person: Person, minute: float, took: float, state: State = State.SUCCESS, **options: Any) -> Run:
    """A run that ended so many minutes after noon, took so many seconds, and had waited one."""
    run = submit(person, **options)
    finished = NOON + timedelta(minutes=minute)
    started = finished - timedelta(seconds=took)
    times = {"created_at": started - timedelta(seconds=1), "started_at": started, "finished_at": finished}
    Run.objects.filter(pk=run.pk).update(state=state, ready=False, **times)
    return run


def counted(person: Person, query: str) -> list[tuple[str, str, int]]:
    answer = person.get(f"/runs/stats?{query}")
    assert answer.status_code == 200, answer.content
    return [(one["bucket"][11:16], one["group"], one["runs"]) for one in answer.json()["results"]]


@pytest.fixture
def afternoon(owner: Person, stranger: Person) -> None:
    for minute, took in ((0, 1), (1, 2), (59.99, 3), (60, 4)):
        ended(owner, minute, took)
    ended(owner, 61, 9, State.FAILURE, name="other")
    ended(stranger, 5, 1)
    submit(owner)


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("bucket=hour&by=state", [("12:00", "SUCCESS", 3), ("13:00", "FAILURE", 1), ("13:00", "SUCCESS", 1)]),
        ("", [("12:00", "SUCCESS", 3), ("13:00", "FAILURE", 1), ("13:00", "SUCCESS", 1)]),
        ("by=name", [("12:00", "probe", 3), ("13:00", "other", 1), ("13:00", "probe", 1)]),
        ("by=kind", [("12:00", "probe", 3), ("13:00", "probe", 2)]),
        ("by=queue", [("12:00", "walkers", 3), ("13:00", "walkers", 2)]),
        ("bucket=day&by=none", [("00:00", "", 5)]),
        ("by=none&name=other", [("13:00", "", 1)]),
        ("by=none&kind=walker", []),
    ],
)
@pytest.mark.usefixtures("afternoon")
def test_runs_are_counted_by_their_end(owner: Person, query: str, counts: list[tuple[str, str, int]]) -> None:
    assert counted(owner, f"{DAY}&{query}") == counts


@pytest.mark.usefixtures("afternoon")
def test_minutes_are_counted_too(owner: Person) -> None:
    shown = counted(owner, "bucket=minute&by=none&since=2026-01-31T12:00:30Z&until=2026-01-31T12:59:00Z")
    assert shown == [("12:00", "", 1), ("12:01", "", 1)]


@pytest.mark.usefixtures("afternoon")
def test_staff_count_everybodys_or_an_owners_and_others_their_own(
    owner: Person, stranger: Person, colleague: Person
) -> None:
    assert owner.user
    assert counted(colleague, f"{DAY}&bucket=day&by=none") == [("00:00", "", 6)]
    assert counted(colleague, f"{DAY}&bucket=day&by=none&owner={owner.user.pk}") == [("00:00", "", 5)]
    assert counted(stranger, f"{DAY}&bucket=day&by=none") == [("00:00", "", 1)]
    problem(stranger.get(f"/runs/stats?owner={owner.user.pk}"), 400, "/owner")


def test_it_is_told_how_long_runs_took_and_waited(owner: Person) -> None:
    for took in range(1, 101):
        ended(owner, 1, took)
    delayed = ended(owner, 61, 5)
    Run.objects.filter(pk=delayed.pk).update(not_before=F("created_at") + timedelta(milliseconds=750))
    tried_again = ended(owner, 121, 5)
    Run.objects.filter(pk=tried_again.pk).update(not_before=F("started_at") + timedelta(seconds=2))
    never = submit(owner)
    Run.objects.filter(pk=never.pk).update(state="REVOKED", ready=False, finished_at=NOON + timedelta(hours=4))
    shown = owner.get(f"/runs/stats?{DAY}&by=none").json()["results"]
    *durations, none = [one["duration"] for one in shown]
    assert none is shown[-1]["waiting"] is None
    assert durations == [near({"p50": 50, "p95": 95}), *[near({"p50": 5, "p95": 5})] * 2]
    assert [one["waiting"]["p50"] for one in shown[:-1]] == near([1, 0.25, 1])


@pytest.mark.parametrize("seconds", [-1, 0, 0.0004, 0.0012, 0.5, 1, 59.9, 3600, 86_400 * 365])
def test_seconds_are_right_to_within_some_percent(owner: Person, seconds: float) -> None:
    ended(owner, 1, seconds)
    (shown,) = owner.get(f"/runs/stats?{DAY}&by=none").json()["results"]
    assert shown["duration"]["p50"] == pytest.approx(max(0, seconds), rel=0.06, abs=0.001)


def tally_all() -> int:
    hours = 0
    while tally_hour():
        hours += 1
    return hours


WAYS = [*("by=state", "by=name", "by=kind", "by=queue", "by=none"), "bucket=day&by=none", "bucket=day&by=state"]


@pytest.mark.usefixtures("afternoon")
def test_hours_that_are_over_are_counted_once_and_for_all(
    owner: Person, stranger: Person, colleague: Person, settings: Any
) -> None:
    """What is tallied is counted as before, though its runs are gone; what ends later is counted beside it."""
    assert owner.user
    settings.RUN_RETENTION_DAYS = 36_500
    people = [(owner, ""), (stranger, ""), (colleague, ""), (colleague, f"&owner={owner.user.pk}")]
    asked = [
        (person, f"{DAY}&{way}{more}{of}") for person, of in people for way in WAYS for more in ("", "&name=probe")
    ]
    before = [person.get(f"/runs/stats?{query}").json() for person, query in asked]
    assert tally_all() == 2
    Run.objects.filter(finished_at__isnull=False).delete()
    assert [person.get(f"/runs/stats?{query}").json() for person, query in asked] == before
    assert tally_all() == 0
    ended(owner, 125, 1)
    assert counted(owner, f"{DAY}&by=none") == [("12:00", "", 3), ("13:00", "", 2), ("14:00", "", 1)]
    assert counted(owner, f"{DAY}&by=none&bucket=day") == [("00:00", "", 6)]
    assert counted(owner, "bucket=minute&by=none&since=2026-01-31T14:00:00Z&until=2026-01-31T15:00:00Z") == [
        ("14:05", "", 1)
    ]
    assert tally_all() == 1
    assert counted(owner, f"{DAY}&by=none&bucket=day") == [("00:00", "", 6)]


@pytest.mark.usefixtures("afternoon")
def test_the_leader_tallies_one_hour_after_the_other(settings: Any) -> None:
    settings.RUN_RETENTION_DAYS = 36_500
    leader = object.__new__(BeatScheduler)  # without Celery
    for hours in (1, 2, 2):
        leader.tally_at = 0.0
        leader.tally()
        assert RunTally.objects.values("hour").distinct().count() == hours
    assert leader.tally_at > time.monotonic() + TICK_SECONDS


@pytest.mark.usefixtures("afternoon")
def test_tallies_are_kept_as_long_as_runs(settings: Any) -> None:
    settings.RUN_RETENTION_DAYS = 36_500
    tally_all()
    assert (prune_tallies(), RunTally.objects.exists()) == (0, True)
    settings.RUN_RETENTION_DAYS = 1
    prune_tallies()
    assert (tally_all(), RunTally.objects.exists()) == (0, False)


@pytest.mark.django_db(transaction=True)
def test_an_hour_is_tallied_when_nothing_can_end_in_it_any_more(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that ends a run may last longer than the hour in which the run ends. Two leaders count it once."""
    monkeypatch.setattr(run_tallies, "HOUR", timedelta(milliseconds=20))  # each hour is as short as that
    first, late = submit(owner), submit(owner)
    ended_late, may_commit = Event(), Event()

    def end_late() -> None:
        with transaction.atomic():
            queue.finish_detached(run_id=late.pk, state=State.SUCCESS)
            ended_late.set()
            assert may_commit.wait(30)
        connection.close()

    def tally() -> int:
        try:
            return tally_all()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        ending = threads.submit(end_late)
        assert ended_late.wait(30)
        with transaction.atomic():
            queue.finish_detached(run_id=first.pk, state=State.SUCCESS)
        until_the_next_hour()
        assert (tally_all(), RunTally.objects.count()) == (0, 0)
        may_commit.set()
        ending.result()
        hours = [one.result() for one in [threads.submit(tally) for _ in range(2)]]
    assert sum(hours) >= 1
    assert sum(RunTally.objects.values_list("runs", flat=True)) == 2


def until_the_next_hour() -> None:
    hour = run_tallies.floor_hour(timezone.now())
    while run_tallies.floor_hour(timezone.now()) <= hour + run_tallies.HOUR:
        pass


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("bucket=week", "/bucket"),
        ("by=owner", "/by"),
        ("since=2026-01-02&until=2026-01-01", "/since"),
        ("since=2099-01-01", "/since"),
        ("bucket=minute&since=2026-01-01&until=2026-01-02", "/since"),
        ("since=0001-01-01&until=2026-01-02", "/since"),
        ("until=soon", "/until"),
        ("until=9999-12-31T23:59:59Z", "/until"),
        ("bucket=day&until=0001-01-02", "/until"),
        ("state=SUCCESS", "/state"),
        ("owner=me", "/owner"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(owner: Person, query: str, pointer: str) -> None:
    problem(owner.get(f"/runs/stats?{query}"), 400, pointer)


@pytest.mark.parametrize(
    ("bucket", "since", "begin", "end"),
    [
        (Bucket.MINUTE, None, datetime(2026, 1, 31, 11, 31, tzinfo=UTC), datetime(2026, 1, 31, 12, 31, tzinfo=UTC)),
        (Bucket.HOUR, None, datetime(2026, 1, 30, 13, tzinfo=UTC), datetime(2026, 1, 31, 13, tzinfo=UTC)),
        (Bucket.DAY, None, datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        (Bucket.HOUR, NOON + timedelta(minutes=5), NOON, datetime(2026, 1, 31, 13, tzinfo=UTC)),
    ],
)
def test_a_period_is_of_whole_buckets(bucket: Bucket, since: datetime | None, begin: datetime, end: datetime) -> None:
    found = period(bucket, NOON + timedelta(minutes=30, seconds=1), since)
    assert (found.since, found.until) == (begin, end)


@pytest.mark.usefixtures("afternoon")
def test_what_would_be_too_much_is_refused_with_what_helps(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_statistics, "ROWS_MAX", 1)
    problem(owner.get(f"/runs/stats?{DAY}"), 400, "/by")
    monkeypatch.setattr(run_statistics, "_statement", lambda *_: ("SELECT pg_sleep(60)", []))
    monkeypatch.setattr(run_statistics, "SECONDS_MAX", 0.01)
    assert "shorter time" in problem(owner.get(f"/runs/stats?{DAY}"), 400)["detail"]


def state_of(person: Person, name: str = "walkers") -> dict[str, Any]:
    answer = person.get("/queues")
    assert answer.status_code == 200, answer.content
    return next(one for one in answer.json()["results"] if one["name"] == name)


def add_worker(*slots: int, name: str = "walkers@here", **options: Any) -> Worker:
    return Worker.objects.create(
        **{"name": name, "queues": ["walkers"], "processes": list(slots), "pid": 1, "seen_at": timezone.now()} | options
    )


def claim(worker: str) -> Run:
    run = queue.claim(kind="probe", worker=worker, after=UUID(int=0))
    assert run
    return run


def test_queues_tell_what_waits_and_what_goes_on(
    owner: Person, stranger: Person, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = {"waiting": 0, "oldest_seconds": None, "running": 0, "slots": 0, "workers": 0}
    assert [one["name"] for one in owner.get("/queues").json()["results"]] == list(settings.QUEUES)
    assert state_of(owner) == {"name": "walkers"} | empty
    add_worker(11, 12)
    add_worker(13, name="walkers@there")
    add_worker(14, name="walkers@gone", seen_at=timezone.now() - timedelta(minutes=1))
    submit(owner)
    claim("walkers@here:11")
    for person in (owner, stranger, owner):
        submit(person)
    submit(owner, not_before=timezone.now() + timedelta(hours=1))
    oldest = Run.objects.filter(ready=True).earliest("id")
    Run.objects.filter(pk=oldest.pk).update(created_at=timezone.now() - timedelta(hours=2))
    found = state_of(stranger)
    assert {name: found[name] for name in ("waiting", "running", "slots", "workers")} == {
        "waiting": 3,
        "running": 1,
        "slots": 3,
        "workers": 2,
    }
    assert 7200 <= found["oldest_seconds"] < 7300
    Run.objects.filter(pk=oldest.pk).update(priority=1)  # behind others of its owner
    assert 7200 <= state_of(stranger)["oldest_seconds"] < 7300
    Run.objects.filter(pk=oldest.pk).update(state="RETRY")  # of a lost worker: it is not known since when it waits
    assert state_of(stranger)["oldest_seconds"] < 100
    monkeypatch.setattr(queue_states, "COUNTED_MAX", 2)
    assert state_of(stranger)["waiting"] == 2


def test_workers_tell_what_they_do(owner: Person, colleague: Person) -> None:
    problem(owner.get("/workers"), 403)
    since = timezone.now() - timedelta(hours=1)
    add_worker(11, 12, since=since)
    add_worker(7, name="threads@here:webhooks", queues=["webhooks"])
    add_worker(14, name="walkers@gone", seen_at=timezone.now() - timedelta(minutes=1))
    runs = [submit(owner), submit(owner)]
    claim("walkers@here:11")
    threads, walkers = colleague.get("/workers").json()["results"]
    assert {name: walkers[name] for name in ("name", "host", "queues", "slots", "runs")} == {
        "name": "walkers@here",
        "host": "here",
        "queues": ["walkers"],
        "slots": 2,
        "runs": [str(runs[0].pk)],
    }
    assert datetime.fromisoformat(walkers["since"]) == since
    assert (threads["host"], threads["runs"]) == ("here", [])


def test_a_worker_that_comes_back_under_its_name_is_there_since_then() -> None:
    killed = add_worker(11, since=timezone.now() - timedelta(hours=1))
    _say({"walkers@here": (["walkers"], [12])}, (), ["walkers@here"])
    again = Worker.objects.get()
    assert again.since > killed.since
    _say({"walkers@here": (["walkers"], [12, 13])}, ())
    assert (Worker.objects.get().since, Worker.objects.get().processes) == (again.since, [12, 13])


def wait_of(person: Person, run: Run) -> tuple[str, str] | None:
    whole = person.get(f"/runs/{run.pk}").json()["waiting_for"]
    listed = {one["id"]: one["waiting_for"] for one in person.get("/runs").json()["results"]}
    assert listed[str(run.pk)] == whole
    return whole and (whole["reason"], whole["detail"])


def reason_of(person: Person, run: Run) -> str:
    wait = wait_of(person, run)
    return wait[0] if wait else ""


def test_a_run_waits_for_a_slot(owner: Person, stranger: Person, settings: Any) -> None:
    run = submit(owner)
    assert wait_of(owner, run) == ("slot", "No worker serves the queue 'walkers'.")
    add_worker(11, 12)
    assert wait_of(owner, run) == ("slot", "2 of 2 slots are free: it is taken in its turn.")
    claim("walkers@here:11")
    second, other = submit(owner), submit(stranger)
    assert wait_of(owner, run) is None
    assert reason_of(owner, second) == "owner_cap"  # 1 of 2 is free
    assert wait_of(stranger, other) == ("slot", "1 of 2 slots are free: it is taken in its turn.")
    settings.RUN_CAP_PER_OWNER = 1
    assert wait_of(owner, second) == ("owner_cap", "1 runs of its owner go on in the queue, as many as may.")
    settings.RUN_CAP_PER_OWNER = 9
    assert queue.claim(kind="probe", worker="walkers@here:12", after=UUID(int=0))
    assert wait_of(owner, second) == ("slot", "All 2 slots of the queue 'walkers' are taken.")


def test_a_run_waits_for_others(owner: Person) -> None:
    add_worker(11, 12, 13, 14)
    first, second = (submit(owner, concurrency=Concurrency("shop")) for _ in range(2))
    Run.objects.filter(pk=first.pk).update(ready=True, blocked=False)
    Run.objects.filter(pk=second.pk).update(ready=False, blocked=True)
    assert wait_of(owner, second) == ("concurrency", "Of the runs with the key 'shop' 1 run may go on at a time.")
    Run.objects.filter(pk=first.pk).update(ready=False, blocked=True)
    alone = [submit(owner, alone_as="one") for _ in range(2)]
    claim("walkers@here:11")
    assert wait_of(owner, alone[1]) == ("concurrency", "Another run goes on beside which it may not.")


def test_a_run_waits_for_its_time_or_for_credits(owner: Person) -> None:
    later = NOON + timedelta(days=36_500)
    run = submit(owner, not_before=later)
    assert wait_of(owner, run) == ("time", "It begins at 2126-01-07T12:00:00Z at the earliest.")
    Run.objects.filter(pk=run.pk).update(state="RETRY", attempt=2, error={"type": "X", "message": "x"})
    assert wait_of(owner, run) == ("time", "Attempt 2 failed; the next one begins at 2126-01-07T12:00:00Z.")
    Run.objects.filter(pk=run.pk).update(not_before=NOON)
    assert reason_of(owner, run) == "time"
    missing = {"type": "CreditsMissing", "message": "5 credits are missing."}
    Run.objects.filter(pk=run.pk).update(not_before=None, error=missing)
    assert wait_of(owner, run) == ("credits", "5 credits are missing.")
    Run.objects.filter(pk=run.pk).update(state="REVOKED", finished_at=timezone.now())
    assert wait_of(owner, run) is None
