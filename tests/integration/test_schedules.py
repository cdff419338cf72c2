"""Schedules: stored with their next fire, fired once each, whatever came in between."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from taskhub.accounts.models import User
from taskhub.accounts.removal import remove_deleted
from taskhub.errors import Conflict, Rejected
from taskhub.runs import run_kinds
from taskhub.runs.domain import State
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import cancel, claim_this, end
from taskhub.runs.run_kinds import PlannedRun, ScheduleTarget
from taskhub.runs.scheduler import due_times, fires
from taskhub.runs.scheduler.beat import BeatScheduler
from taskhub.runs.scheduler.beat_schedules import Solar, UnusedTimetables, zone_of
from taskhub.runs.scheduler.due_times import read_changes
from taskhub.runs.scheduler.fires import fire_due
from taskhub.runs.scheduler.schedule_preview import next_due_times
from taskhub.runs.scheduler.schedules import (
    delete_schedule,
    enable_schedule,
    run_schedule_now,
    save_schedule,
    take_over,
)
from tests.conftest import make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db
TASK, OLDER = "tests.Probe", "older.Probe"
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class ProbeTarget(ScheduleTarget):
    kind = "probe"
    title = "Probe"
    tasks = (TASK, OLDER)
    example = '{"word": "a"}'

    def plan_run(self, arguments: Any, owner: Any, schedule: str) -> PlannedRun:
        if "bug" in arguments:
            raise ZeroDivisionError("by nought")
        if "word" not in arguments:
            raise Rejected("No word.", errors=[{"path": "word", "detail": "It is required."}])
        return PlannedRun(owner, schedule, arguments)


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    run_kinds.register_target(ProbeTarget())
    yield
    del run_kinds._kinds["probe"]
    run_kinds._targets.pop()


@pytest.fixture
def olga() -> User:
    return make_person("olga@example.com").user


def periodic(name: str = "often", every: int = 60, **fields: Any) -> PeriodicTask:
    if not {"crontab", "solar", "clocked", "interval"} & fields.keys():
        fields["interval"] = IntervalSchedule.objects.get_or_create(every=every, period="seconds")[0]
    return PeriodicTask(name=name, **{"task": TASK, **fields})


def next_fires(**of: Any) -> list[datetime]:
    return [due_time.utc for due_time in next_due_times(count=of.pop("count", 5), **of)]


def saved(owner: User, written: str = '{"word": "a"}', *, options: Any = None, **of: Any) -> Schedule:
    return save_schedule(periodic=periodic(**of), owner=owner, written=written, **(options or {}))


def due_since(schedule: Schedule, ago: timedelta) -> datetime:
    moment = timezone.now() - ago
    Schedule.objects.filter(pk=schedule.pk).update(due_at=moment)
    return moment


def runs() -> list[Run]:
    return list(Run.objects.order_by("id"))


def error_of(run: Run) -> Any:
    return run.error


def first_run_of(schedule: Schedule, ago: timedelta = SECOND) -> Run:
    """The run of its first fire, which goes on."""
    due_since(schedule, ago)
    fire_due()
    [run] = runs()
    return run


def again(schedule: Schedule) -> Any:
    return Schedule.objects.select_related("periodic").get(pk=schedule.pk)


# Storing


def test_the_text_is_kept_as_written_beside_strict_json(olga: User) -> None:
    text, before = '{"word": "a", // why\n}', timezone.now()
    schedule = saved(olga, text)
    assert (schedule.written, schedule.owner, schedule.fault) == (text, olga, "")
    assert json.loads(schedule.periodic.kwargs) == {"word": "a"}
    assert schedule.due_at is not None
    assert before <= schedule.due_at - timedelta(seconds=60) <= timezone.now()


@pytest.mark.parametrize(
    ("written", "fields", "places"),
    [
        ('{"word": ...}', {}, [(1, 10)]),
        ("{}", {}, ["word"]),
        ("[]", {}, [""]),
        ('{"word": 1}', {"task": "no.such"}, ["task"]),
        ('{"word": 1}', {"interval": None}, ["interval"]),
        ("{}", {"interval": None}, ["interval", "word"]),
        ('{"word": 1}', {"name": ""}, ["name"]),
        ('{"word": 1}', {"expires": "never"}, ["expires"]),
    ],
)
def test_each_fault_is_named_and_nothing_is_stored(olga: User, written: str, fields: Any, places: Any) -> None:
    with pytest.raises(Rejected) as caught:
        saved(olga, written, **fields)
    found = [
        error.get("field", error.get("path", (error.get("line"), error.get("column")))) for error in caught.value.errors
    ]
    assert found == places
    assert not PeriodicTask.objects.exists()


def test_two_timetables_or_one_that_never_fires_are_faults(olga: User) -> None:
    both = {
        "crontab": CrontabSchedule.objects.create(),
        "interval": IntervalSchedule.objects.create(every=1, period="days"),
    }
    past = ClockedSchedule.objects.create(clocked_time=timezone.now() - HOUR)
    for fields, named in ((both, {"interval", "crontab"}), ({"clocked": past, "one_off": True}, {"clocked"})):
        with pytest.raises(Rejected) as caught:
            saved(olga, **fields)
        assert {error["field"] for error in caught.value.errors} == named


def test_a_name_is_taken_once(olga: User) -> None:
    saved(olga)
    with pytest.raises(Rejected) as caught:
        saved(olga)
    assert [error["field"] for error in caught.value.errors] == ["name"]


def test_what_is_disabled_or_begins_later_has_no_fire_now(olga: User) -> None:
    assert saved(olga, name="off", enabled=False).due_at is None
    later = timezone.now() + 100 * HOUR
    assert saved(olga, name="later", start_time=later).due_at == later


def test_next_fires_of_an_interval_count_from_the_one_that_is_known(olga: User) -> None:
    schedule = saved(olga, every=3600)
    later = timezone.now() + timedelta(minutes=7)
    assert schedule.due_at is not None
    fires = next_fires(periodic=schedule.periodic, after=later, count=2, anchor=schedule.due_at)
    assert fires == [schedule.due_at, schedule.due_at + HOUR]


def test_next_fires_in_their_zone(olga: User) -> None:
    crontab = CrontabSchedule.objects.create(minute="30", hour="2", timezone="Europe/Warsaw")
    task = periodic(crontab=crontab)
    after = datetime(2026, 3, 27, 12, tzinfo=ZoneInfo("UTC"))
    found = [
        f"{moment.astimezone(zone_of(task)):%d %H:%M}" for moment in next_fires(periodic=task, after=after, count=3)
    ]
    assert found == ["28 02:30", "29 03:00", "30 02:30"]
    task.expires = after + timedelta(days=1)
    assert len(next_fires(periodic=task, after=after)) == 1
    assert zone_of(periodic()) == ZoneInfo("UTC")


def test_the_sun(olga: User) -> None:
    warsaw = SolarSchedule.objects.create(event="sunrise", latitude="52.2", longitude="21.0")
    first, second = next_fires(
        periodic=periodic(solar=warsaw), after=datetime(2026, 6, 21, tzinfo=ZoneInfo("UTC")), count=2
    )
    assert (first.date().isoformat(), first.hour) == ("2026-06-21", 2)
    assert abs(second - first - timedelta(days=1)) < timedelta(minutes=5)
    # In Tromsø the sun stays away from the end of November on.
    winter = Solar("sunrise", 69.6, 18.9).next_fire(datetime(2026, 12, 1, tzinfo=ZoneInfo("UTC")))
    assert winter is not None
    assert (winter.year, winter.month) == (2027, 1)


# Firing


def test_a_fire_is_a_run_with_its_schedule_and_due_time(olga: User) -> None:
    schedule = saved(olga)
    assert fire_due() == 0
    due = due_since(schedule, SECOND)
    assert (fire_due(), fire_due()) == (1, 0)
    [run] = runs()
    assert (run.kind, run.owner, run.name, run.schedule, run.due_at) == ("probe", olga, "often", "often", due)
    assert (run.arguments, run.ready) == ({"word": "a"}, True)
    schedule = again(schedule)
    assert schedule.due_at == due + timedelta(seconds=60)
    assert schedule.last_run == run
    assert schedule.periodic.total_run_count == 1
    assert schedule.periodic.last_run_at is not None


def test_the_same_fire_is_no_second_run(olga: User) -> None:
    schedule = saved(olga, options={"overlap": "beside"})
    due = due_since(schedule, SECOND)
    fire_due()
    Schedule.objects.filter(pk=schedule.pk).update(due_at=due)  # as if the leader had been taken back in time
    assert fire_due() == 1
    assert len(runs()) == 1
    assert again(schedule).due_at == due + timedelta(seconds=60)


def test_fires_that_are_a_little_late_are_all_made(olga: User) -> None:
    schedule = saved(olga, every=1, options={"overlap": "beside"})
    due_since(schedule, 4.1 * SECOND)
    while fire_due():
        pass
    assert len(runs()) == 5


def test_one_tick_makes_up_for_all_that_is_due_one_after_the_other(olga: User) -> None:
    schedule = saved(olga, every=3600, options={"overlap": "beside", "missed": "all"})
    due_since(schedule, 20.5 * HOUR)
    BeatScheduler.fire()
    assert len({run.due_at for run in runs()}) == len(runs()) == 21


@pytest.mark.parametrize("overlap", ["skip", "wait", "beside"])
@pytest.mark.parametrize(("missed", "left_out"), [("latest", 4), ("none", 5)])
def test_missed_fires(olga: User, missed: str, left_out: int, overlap: str) -> None:
    schedule = saved(olga, every=3600, options={"missed": missed, "overlap": overlap})
    due = due_since(schedule, 5.5 * HOUR)
    assert (fire_due(), fire_due()) == (1, 0)
    record, *made_up = runs()
    assert (record.state, record.due_at, error_of(record)["type"]) == ("REVOKED", due + left_out * HOUR, "Missed")
    assert f"from {due:%Y-%m-%d %H:%M:%S} UTC to {record.due_at:%Y-%m-%d %H:%M:%S} UTC" in error_of(record)["message"]
    assert [(run.state, run.due_at) for run in made_up] == [("PENDING", due + 5 * HOUR)] * (missed == "latest")
    assert again(schedule).due_at == due + 6 * HOUR


@pytest.mark.parametrize(("missed", "states"), [("latest", ["PENDING"]), ("none", ["REVOKED"])])
def test_one_missed_fire_is_a_run_or_a_record(olga: User, missed: str, states: list[str]) -> None:
    schedule = saved(olga, every=3600, options={"missed": missed})
    due = due_since(schedule, 0.5 * HOUR)
    fire_due()
    assert [(run.state, run.due_at) for run in runs()] == [(state, due) for state in states]


def test_a_clocked_one_that_is_missed_says_that_it_fires_no_more(olga: User) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now() + HOUR)
    schedule = saved(olga, clocked=clocked, one_off=True, options={"missed": "none"})
    ClockedSchedule.objects.update(clocked_time=timezone.now() - HOUR)
    due = due_since(schedule, HOUR)
    fire_due()
    assert [(run.state, run.due_at, error_of(run)["type"]) for run in runs()] == [("REVOKED", due, "Missed")]
    schedule = again(schedule)
    assert (schedule.due_at, schedule.periodic.enabled, schedule.fault) == (None, True, "It fires no more.")


def test_one_that_has_reached_its_end_says_that_it_fires_no_more(olga: User) -> None:
    schedule = saved(olga, every=3600, expires=timezone.now() + 1.5 * HOUR)
    assert schedule.fault == ""
    due = due_since(schedule, SECOND)
    PeriodicTask.objects.update(expires=due + 0.5 * HOUR)
    fire_due()
    assert [run.state for run in runs()] == ["PENDING"]
    assert (again(schedule).due_at, again(schedule).fault) == (None, "It fires no more.")


def test_a_fire_while_the_last_run_goes_on_is_left_out_and_on_record(olga: User) -> None:
    schedule = saved(olga)
    first = first_run_of(schedule, 50 * SECOND)
    due = due_since(schedule, SECOND)
    fire_due()
    _, skipped = runs()
    assert (skipped.state, skipped.due_at, skipped.ready) == ("REVOKED", due, False)
    assert skipped.error == {"type": "Skipped", "message": f"The run before it, {first.pk}, still goes on."}
    assert again(schedule).last_run == first
    cancel(run=first)
    due_since(schedule, SECOND)
    fire_due()
    assert runs()[-1].state == "PENDING"


def test_beside_does_not_look_at_the_last_run(olga: User) -> None:
    schedule = saved(olga, options={"overlap": "beside"})
    for ago in (50, 1):
        due_since(schedule, ago * SECOND)
        fire_due()
    assert [run.state for run in runs()] == ["PENDING", "PENDING"]


def test_wait_fires_when_the_last_run_has_ended(olga: User) -> None:
    schedule = saved(olga, options={"overlap": "wait"})
    first = first_run_of(schedule, 50 * SECOND)
    due = due_since(schedule, SECOND)
    assert fire_due() == 0
    assert runs() == [first]
    claimed = claim_this(run_id=first.pk, worker="w")
    assert claimed
    end(run=claimed, state=State.SUCCESS)
    assert fire_due() == 1
    assert runs()[-1].due_at == due


@pytest.mark.parametrize("missed", ["latest", "none"])
def test_of_fires_that_waited_the_latest_runs_and_the_others_are_on_record(olga: User, missed: str) -> None:
    schedule = saved(olga, every=3600, options={"overlap": "wait", "missed": missed})
    first = first_run_of(schedule)
    due = due_since(schedule, 2.5 * HOUR)
    assert fire_due() == 0
    cancel(run=first)
    assert (fire_due(), fire_due()) == (1, 0)
    _, record, run = runs()
    assert (record.state, record.due_at, error_of(record)["type"]) == ("REVOKED", due + HOUR, "Skipped")
    assert "while the run before it went on" in error_of(record)["message"]
    assert (run.state, run.due_at) == ("PENDING", due + 2 * HOUR)
    assert again(schedule).due_at == due + 3 * HOUR


@pytest.mark.parametrize("missed", ["latest", "none", "all"])
@pytest.mark.parametrize("ends", [False, True])
def test_fires_that_waited_when_a_schedule_is_paused_are_on_record(olga: User, missed: str, ends: bool) -> None:
    schedule = saved(olga, every=3600, options={"overlap": "wait", "missed": missed})
    first = first_run_of(schedule)
    due = due_since(schedule, 2.5 * HOUR)
    enable_schedule(schedule=again(schedule), enabled=False)
    if ends:
        cancel(run=first)
    assert (fire_due(), fire_due()) == (1, 0)
    [record] = runs()[1:]
    assert (record.state, record.due_at, error_of(record)["type"]) == ("REVOKED", due + 2 * HOUR, "Skipped")
    assert "and had not fired when the schedule was paused; it is not made up for" in error_of(record)["message"]
    assert (again(schedule).due_at, again(schedule).fault) == (None, "")
    enable_schedule(schedule=again(schedule), enabled=True)
    assert again(schedule).due_at > timezone.now()


def test_a_pause_before_a_due_time_leaves_no_record(olga: User) -> None:
    schedule = saved(olga)
    enable_schedule(schedule=schedule, enabled=False)
    assert (fire_due(), runs(), again(schedule).due_at) == (0, [], None)


@pytest.mark.parametrize("missed", ["latest", "none"])
def test_a_fire_that_waited_long_is_no_missed_one(olga: User, missed: str) -> None:
    schedule = saved(olga, every=86_400, options={"overlap": "wait", "missed": missed})
    first = first_run_of(schedule)
    due = due_since(schedule, 5 * HOUR)
    cancel(run=first)
    fire_due()
    assert [(run.state, run.due_at) for run in runs()[1:]] == [("PENDING", due)]


@pytest.mark.parametrize(
    ("start", "end", "detail"),
    [
        (None, -1, "Its end is past."),
        (-2, -1, "Its end is past."),
        (5, 3, "Its end is before its start."),
        (-1, -2, "Its end is before its start."),
        (None, 0.5, "Its end is before it fires."),
    ],
)
def test_one_that_ends_before_it_fires_is_refused_or_says_so(
    olga: User, start: float | None, end: float, detail: str
) -> None:
    now = timezone.now()
    fields: dict[str, Any] = {"start_time": start and now + start * HOUR, "expires": now + end * HOUR}
    with pytest.raises(Rejected) as caught:
        saved(olga, every=3600, **fields)
    assert caught.value.errors == [{"field": "expires", "detail": detail}]
    schedule = saved(olga, every=3600, enabled=False, **fields)
    assert (schedule.due_at, schedule.fault) == (None, "")
    enable_schedule(schedule=schedule, enabled=True)
    assert (again(schedule).due_at, again(schedule).fault) == (None, detail)


def test_one_off_fires_once(olga: User) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now() + HOUR)
    schedule = saved(olga, clocked=clocked, one_off=True)
    assert schedule.due_at == clocked.clocked_time
    due_since(schedule, SECOND)
    fire_due()
    schedule = again(schedule)
    assert (schedule.due_at, schedule.periodic.enabled, len(runs())) == (None, False, 1)
    assert read_changes() == 1
    assert again(schedule).fault == ""


@pytest.mark.parametrize(("seconds", "counts"), [(60, [5, 0]), (0, [2, 2, 1, 0])])
def test_a_tick_reads_as_many_changes_as_it_has_time_for(
    olga: User, monkeypatch: pytest.MonkeyPatch, seconds: float, counts: list[int]
) -> None:
    for number in range(5):
        saved(olga, name=f"schedule {number}")
    PeriodicTask.objects.update(enabled=False)
    monkeypatch.setattr(due_times, "READ_BATCH", 2)
    monkeypatch.setattr(due_times, "READ_SECONDS", seconds)
    assert [read_changes() for _ in counts] == counts
    assert not Schedule.objects.filter(due_at__isnull=False).exists()


def test_timetables_that_nobody_uses_are_removed_after_an_hour(olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    used = saved(olga, clocked=ClockedSchedule.objects.create(clocked_time=timezone.now() + HOUR), one_off=True)
    unused = ClockedSchedule.objects.create(clocked_time=timezone.now() + 2 * HOUR)
    CrontabSchedule.objects.create(minute="7")
    IntervalSchedule.objects.create(every=77, period="days")
    SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1)
    timetables, now = UnusedTimetables(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert timetables.prune() == 0  # a form may have made them a moment ago
    unused = saved(olga, name="later", clocked=unused, one_off=True).periodic.clocked
    now += 3601
    timetables.prune()
    assert set(ClockedSchedule.objects.all()) == {used.periodic.clocked, unused}
    assert not CrontabSchedule.objects.filter(minute="7").exists()
    assert not IntervalSchedule.objects.filter(every=77).exists()
    assert not SolarSchedule.objects.exists()


def test_one_that_cannot_fire_is_named_and_stops_no_other(olga: User, caplog: pytest.LogCaptureFixture) -> None:
    bad, buggy, good = (saved(olga, name=name) for name in ("bad", "buggy", "good"))
    PeriodicTask.objects.filter(pk=bad.pk).update(kwargs="{}")
    PeriodicTask.objects.filter(pk=buggy.pk).update(kwargs='{"bug": 1}')
    for number, schedule in enumerate((bad, buggy, good)):
        due_since(schedule, (3 - number) * SECOND)
    assert fire_due() == 3
    assert [(run.schedule, run.state) for run in runs()] == [
        ("bad", "FAILURE"), ("buggy", "FAILURE"), ("good", "PENDING")
    ]  # fmt: skip
    assert [error_of(run)["message"] for run in runs()[:2]] == ["No word.", "by nought"]
    assert again(bad).fault == "No word."
    assert again(buggy).fault == "ZeroDivisionError: by nought"
    assert caplog.text.count("The schedule 'bad' cannot fire") == 1
    assert again(bad).periodic.enabled
    caplog.clear()
    assert again(bad).due_at > timezone.now()  # it is tried again, and told once
    due_since(bad, SECOND)
    assert fire_due() == 1
    assert "cannot fire" not in caplog.text
    PeriodicTask.objects.filter(pk=bad.pk).update(kwargs='{"word": "again"}')
    due_since(bad, SECOND)
    fire_due()
    assert (runs()[-1].schedule, again(bad).fault) == ("bad", "")


def test_an_inactive_owner_fires_nothing(olga: User) -> None:
    schedule = saved(olga)
    User.objects.filter(pk=olga.pk).update(is_active=False)
    due_since(schedule, SECOND)
    fire_due()
    assert not runs()
    assert again(schedule).fault == "Its owner's account is not active."


def test_run_now_takes_the_same_path(olga: User) -> None:
    schedule = saved(olga, enabled=False)
    run = run_schedule_now(schedule=schedule)
    assert (run.schedule, run.due_at, run.arguments) == ("often", None, {"word": "a"})
    assert again(schedule).last_run == run


# What came in another way


def test_rows_that_came_in_another_way_are_noticed(olga: User) -> None:
    task = periodic(task=OLDER, kwargs='{"word": "a"}')
    PeriodicTask.objects.bulk_create([task])
    assert read_changes() == 1
    schedule = Schedule.objects.get()
    assert schedule.due_at is None
    assert schedule.fault.startswith("Nobody owns it")
    take_over(schedule=schedule, owner=olga)
    taken = again(schedule)
    assert (taken.fault, taken.owner, taken.written) == ("", olga, '{"word": "a"}')
    assert taken.due_at is not None
    with pytest.raises(Conflict):
        take_over(schedule=schedule, owner=olga)
    assert read_changes() == 0


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kwargs": "{"}, "The arguments are not JSON"),
        ({"kwargs": "[]"}, "The arguments are no object."),
        ({"task": "celery.backend_cleanup"}, "There is no task 'celery.backend_cleanup'"),
        ({"interval": None}, "Choose one of"),
        ({"crontab": "x"}, "Choose one of"),
        ({"interval": None, "crontab": "bad"}, "The crontab cannot be read"),
        ({"interval": "short"}, "An interval is at least one second."),
        ({"interval": "long"}, "An interval is at most 100 years."),
    ],
)
def test_a_bad_row_is_named(olga: User, fields: dict[str, Any], fault: str) -> None:
    good, bad = saved(olga, name="good"), saved(olga, name="bad")
    times = {
        "x": lambda: CrontabSchedule.objects.create(),
        "bad": lambda: CrontabSchedule.objects.create(minute="99"),
        "short": lambda: IntervalSchedule.objects.create(every=5, period="microseconds"),
        "long": lambda: IntervalSchedule.objects.create(every=2**31 - 1, period="days"),
    }
    fields = {name: times[value]() if value in times else value for name, value in fields.items()}
    PeriodicTask.objects.filter(pk=bad.pk).update(**fields, date_changed=timezone.now())
    assert read_changes() == 1
    assert again(bad).fault.startswith(fault)
    assert again(bad).due_at is None
    assert again(good).fault == ""
    assert again(good).due_at is not None


def test_changes_by_anybody_move_the_next_fire(olga: User) -> None:
    schedule = saved(olga)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_intervalschedule SET every = 7200")
    assert read_changes() == 1
    moved = again(schedule).due_at
    assert moved is not None
    assert moved - timezone.now() > HOUR
    PeriodicTask.objects.filter(pk=schedule.pk).update(enabled=False)
    assert read_changes() == 1
    assert again(schedule).due_at is None
    PeriodicTask.objects.filter(pk=schedule.pk).update(enabled=True)
    assert read_changes() == 1
    assert again(schedule).due_at is not None


def test_a_change_loses_no_fire_that_is_due(olga: User) -> None:
    schedule = saved(olga)
    due = due_since(schedule, SECOND)
    PeriodicTask.objects.filter(pk=schedule.pk).update(name="renamed", date_changed=timezone.now())
    read_changes()
    fire_due()
    assert [(run.schedule, run.due_at) for run in runs()] == [("renamed", due)]


def test_a_bad_row_can_be_switched_off_and_on(olga: User) -> None:
    schedule = saved(olga)
    PeriodicTask.objects.filter(pk=schedule.pk).update(interval=None)
    enable_schedule(schedule=again(schedule), enabled=False)
    assert (again(schedule).fault, again(schedule).periodic.enabled) == ("", False)
    enable_schedule(schedule=again(schedule), enabled=True)
    assert again(schedule).fault.startswith("Choose one of")


def test_a_refusal_of_the_database_is_no_fire_that_was_made(olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = saved(olga)
    due_since(schedule, SECOND)

    def refuse(**_: Any) -> None:
        raise IntegrityError("another constraint")

    monkeypatch.setattr(fires, "submit_run", refuse)
    assert fire_due() == 1
    assert again(schedule).fault == "IntegrityError: another constraint"


@pytest.mark.django_db(transaction=True)
def test_a_name_that_many_want_at_once_is_one_schedules(olga: User) -> None:
    IntervalSchedule.objects.create(every=60, period="seconds")
    together = Barrier(4)

    def add(_: int) -> str:
        try:
            task = periodic()
            together.wait()
            save_schedule(periodic=task, owner=olga, written='{"word": "a"}')
        except (Conflict, Rejected) as refusal:
            return type(refusal).__name__
        finally:
            connection.close()
        return "stored"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(add, range(4)))
    assert outcomes.count("stored") == 1
    assert PeriodicTask.objects.count() == 1


def test_enabling_and_deleting(olga: User) -> None:
    schedule = saved(olga)
    enable_schedule(schedule=schedule, enabled=False)
    assert again(schedule).due_at is None
    enable_schedule(schedule=schedule, enabled=True)
    assert again(schedule).due_at is not None
    delete_schedule(periodic=schedule.periodic)
    assert not Schedule.objects.exists()
    assert not PeriodicTask.objects.exists()


def test_schedules_go_with_their_owner(olga: User) -> None:
    saved(olga)
    User.objects.filter(pk=olga.pk).update(deleted_at=timezone.now(), is_active=False)
    while remove_deleted():
        pass
    assert not PeriodicTask.objects.exists()
    assert not User.with_deleted.filter(pk=olga.pk).exists()
