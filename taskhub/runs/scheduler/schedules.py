"""Schedules: stored, taken over, removed, started by hand; and their due times, read from their periodic tasks."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from taskhub.error_texts import message_of, type_of
from taskhub.errors import Conflict, Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.submission import create_run, notify_if_waiting
from taskhub.runs.run_kinds import PlannedRun, ScheduleTarget, target_of
from taskhub.runs.scheduler.beat_schedules import KINDS, WITH_TIMES, begin, find_fault_of_end, timetable_of, within_end
from taskhub.runs.scheduler.schedule_arguments import arguments_of, as_stored, seal_arguments

log = logging.getLogger(__name__)

BATCH = 500
READ_BATCH = 100  # periodic tasks in one transaction
READ_SECONDS = 0.4  # of a tick: thousands of new schedules hold up no fire
CHANGED_MAX = 5_000  # periodic tasks: to find what changed looks at all of them, and so is done once a tick
NO_OWNER = "Nobody owns it: it came in another way than by the hub. Take it over, and it fires."

# Of all that decides when and what a periodic task fires: it changes with any of it, whoever changed it and however.
_FINGERPRINT = """
    SELECT periodic.id, md5(jsonb_build_array(
        periodic.task, periodic.enabled, periodic.one_off, periodic.start_time, periodic.expires, periodic.date_changed,
        interval_id, crontab_id, solar_id, clocked_id, to_jsonb(i), to_jsonb(c), to_jsonb(s), to_jsonb(k)
    )::text) AS fingerprint
    FROM django_celery_beat_periodictask AS periodic
    LEFT JOIN django_celery_beat_intervalschedule AS i ON i.id = interval_id
    LEFT JOIN django_celery_beat_crontabschedule AS c ON c.id = crontab_id
    LEFT JOIN django_celery_beat_solarschedule AS s ON s.id = solar_id
    LEFT JOIN django_celery_beat_clockedschedule AS k ON k.id = clocked_id
"""
_CHANGED_TASKS = f"""
WITH present AS ({_FINGERPRINT})
SELECT present.id, present.fingerprint
FROM present LEFT JOIN runs_schedule AS schedule ON schedule.periodic_id = present.id
WHERE schedule.read_as IS DISTINCT FROM present.fingerprint
LIMIT %s
"""  # noqa: S608 (a constant of ours)


def save_schedule(
    *, periodic: PeriodicTask, owner: Any, written: str, missed: str = "latest", overlap: str = "skip"
) -> Schedule:
    """Stores a new or changed periodic task with its arguments, in the documents' notation, and its next fire.

    Raises as `check_schedule` does.
    """
    arguments = check_schedule(periodic=periodic, owner=owner, written=written)
    periodic.args, periodic.kwargs = "[]", as_stored(arguments)
    chosen = {"owner": owner, "written": written, "missed": missed, "overlap": overlap, "fault": ""}
    with _name_is_free(periodic.name), transaction.atomic():
        periodic.save()
        schedule, _ = Schedule.objects.update_or_create(periodic=periodic, defaults=chosen)
        read_periodic_tasks(periodic_ids=[periodic.pk], now=database_now())
    schedule.refresh_from_db()
    return schedule


@contextmanager
def _name_is_free(name: str) -> Iterator[None]:
    """Raises `Conflict` where another took the name between the check and the commit."""
    try:
        yield
    except IntegrityError:
        raise Conflict(f"There is a schedule {name!r} already.") from None


def check_schedule(*, periodic: PeriodicTask, owner: Any, written: str) -> Any:
    """Checks a schedule and returns its arguments.

    Raises `Rejected` with all faults: each has a `detail`, and a `path` in the arguments, a `line` and `column` of
    them, or the `field` of the periodic task.
    """
    faults, arguments = _find_faults(periodic, owner, written)
    if faults:
        raise Rejected("The schedule is not valid.", errors=faults, type="invalid-schedule")
    return arguments


def take_over(*, schedule: Schedule, owner: Any) -> None:
    """Makes this user the owner of a schedule that has none; its fault says what else is wrong with it."""
    if schedule.owner_id is not None:
        raise Conflict("The schedule has an owner.")
    periodic = schedule.periodic
    with transaction.atomic():
        Schedule.objects.filter(pk=schedule.pk).update(owner=owner, written=periodic.kwargs)
        seal_arguments(periodic=periodic)
        read_periodic_tasks(periodic_ids=[schedule.pk], now=database_now())
    schedule.refresh_from_db()


def delete_schedule(*, periodic: PeriodicTask) -> None:
    """Deletes a periodic task with its schedule; the runs that it started stay."""
    periodic.delete()


def enable_schedule(*, schedule: Schedule, enabled: bool) -> None:
    """Enables or disables a schedule, also one that cannot fire: its fault says why."""
    with transaction.atomic():
        PeriodicTask.objects.filter(pk=schedule.pk).update(enabled=enabled, date_changed=timezone.now())
        read_periodic_tasks(periodic_ids=[schedule.pk], now=database_now())


def remove_schedules_of(owner_id: UUID) -> int:
    """Removes one batch of the schedules of a deleted account; returns how many."""
    ids = list(Schedule.objects.filter(owner_id=owner_id).values_list("pk", flat=True)[:BATCH])
    PeriodicTask.objects.filter(pk__in=ids).delete()
    return len(ids)


def run_schedule_now(*, schedule: Schedule) -> Run:
    """Submits a run as if the schedule were due, beside whatever goes on. Raises what stops it from firing."""
    with transaction.atomic():
        run = submit_run(schedule=schedule, due_at=None)
        Schedule.objects.filter(pk=schedule.pk).update(last_run=run)
    return run


def submit_run(*, schedule: Schedule, due_at: datetime | None) -> Run:
    """Submits the run of a schedule, in the caller's transaction. Raises `Problem`s."""
    planned = _planned_run(schedule)  # whose arguments are checked
    run = create_run(
        kind=_target_of(schedule.periodic).kind,
        owner=planned.owner,
        name=planned.name,
        arguments=planned.arguments,
        time_limit=planned.time_limit,
        webhook=planned.webhook,
        schedule=schedule.periodic.name,
        due_at=due_at,
    )
    transaction.on_commit(lambda: notify_if_waiting(run))
    return run


def read_changes() -> int:
    """Reads periodic tasks that were added or changed, whoever did it, as many as one tick has time for.

    Returns how many: 0 when there are no more.
    """
    until, count = time.monotonic() + READ_SECONDS, 0
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED_TASKS, [CHANGED_MAX])
        ids = [pk for pk, _ in cursor.fetchall()]
    while batch := ids[count : count + READ_BATCH]:
        with transaction.atomic():
            read_periodic_tasks(periodic_ids=batch, now=database_now())
        count += len(batch)
        if time.monotonic() > until:
            break
    return count


def read_periodic_tasks(*, periodic_ids: Iterable[int], now: datetime) -> None:
    """Writes down when periodic tasks fire next, or what is wrong with them, in the caller's transaction."""
    ids = list(periodic_ids)
    Schedule.objects.bulk_create([Schedule(periodic_id=pk) for pk in ids], ignore_conflicts=True)
    prints = _fingerprints(ids)
    rows = Schedule.objects.select_for_update(of=("self",)).select_related("owner", "periodic", *WITH_TIMES)
    schedules = list(rows.filter(pk__in=ids).order_by("pk"))
    for schedule in schedules:
        before = schedule.fault
        schedule.read_as = prints.get(schedule.pk, "")
        schedule.due_at, schedule.fault = _next_due(schedule, now)
        if schedule.fault and schedule.fault != before:
            log.warning("The schedule %r cannot fire: %s", schedule.periodic.name, schedule.fault)
    with connection.cursor() as cursor:  # ten times as fast as bulk_update
        cursor.executemany(
            "UPDATE runs_schedule SET due_at = %s, fault = %s, read_as = %s WHERE periodic_id = %s",
            [(schedule.due_at, schedule.fault, schedule.read_as, schedule.pk) for schedule in schedules],
        )


def fault_text(error: Exception) -> str:
    """The fault text of a schedule that cannot fire."""
    return error.detail if isinstance(error, Problem) else f"{type_of(error)}: {message_of(error)}"


def is_unexpected(error: Exception) -> bool:
    """Whether an error is no `Problem`: then the log shows where it came from."""
    return not isinstance(error, Problem)


def database_now() -> datetime:
    """The time of the database, which is the clock that all machines share.

    The transaction that begins with it is taken back when it stands still for ten seconds: a leader that is frozen in
    it would keep its schedules from the next one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp(), set_config('idle_in_transaction_session_timeout', '10s', true)")
        moment: datetime = cursor.fetchone()[0]
    return moment


def _next_due(schedule: Schedule, now: datetime) -> tuple[datetime | None, str]:
    """The next due time, and the fault text where there is none. A due time that was not acted upon yet stays."""
    periodic = schedule.periodic
    if not periodic.enabled:
        return None, ""
    try:
        timetable = timetable_of(periodic, periodic.last_run_at or now)
        _planned_run(schedule)
        pending = schedule.due_at if schedule.due_at and schedule.due_at <= now else None
        due = pending or timetable.next_fire(begin(periodic, now))
        fault = find_fault_of_end(periodic, due, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if is_unexpected(error):
            log.exception("The schedule %r cannot be read", periodic.name)
        return None, fault_text(error)
    return within_end(periodic, due), fault if due else "It never fires."


def _planned_run(schedule: Schedule) -> PlannedRun:
    arguments = arguments_of(schedule.periodic)
    return _plan(_target_of(schedule.periodic), arguments, schedule.owner, schedule.periodic.name)


def _target_of(periodic: Any) -> ScheduleTarget:
    target = target_of(periodic.task)
    if target is None:
        raise Rejected(f"There is no task {periodic.task!r} that schedules can start.")
    return target


def _plan(target: ScheduleTarget, arguments: Any, owner: Any, name: str) -> PlannedRun:
    if owner is None:
        raise Rejected(NO_OWNER)
    if not owner.is_active:
        raise Rejected("Its owner's account is not active.")
    if not isinstance(arguments, dict):
        raise Rejected("The arguments are no object.", errors=[{"path": "", "detail": "The arguments are no object."}])
    return target.plan_run(arguments, owner, name)


def _find_faults(periodic: PeriodicTask, owner: Any, written: str) -> tuple[list[dict[str, Any]], Any]:
    """The faults of a schedule, and its arguments."""
    faults = _find_faults_of_fields(periodic)
    arguments: Any = {}
    try:
        arguments = parse_jsonc(written) if written.strip() else {}
        if (target := target_of(periodic.task)) is not None:
            _plan(target, arguments, owner, periodic.name)
    except Problem as problem:
        faults += [_with_path(error) for error in problem.errors] or [{"path": "", "detail": problem.detail}]
    return faults, arguments


def _with_path(error: dict[str, Any]) -> dict[str, Any]:
    """A fault with the path of its pointer."""
    if "pointer" not in error:
        return error
    return {"path": error["pointer"].lstrip("/").replace("/", "."), "detail": error["detail"]}


def _find_faults_of_fields(periodic: PeriodicTask) -> list[dict[str, Any]]:
    faults = []
    if target_of(periodic.task) is None:
        faults.append({"field": "task", "detail": f"There is no task {periodic.task!r} that schedules can start."})
    now = database_now()
    try:
        timetable = timetable_of(periodic, now)
        fire = timetable.next_fire(begin(periodic, now)) if periodic.enabled else None
        if periodic.enabled and fire is None:
            kind = next(kind for kind in KINDS if getattr(periodic, f"{kind}_id"))
            faults.append({"field": kind, "detail": "It never fires."})
    except Rejected as problem:
        faults += problem.errors
        fire = None
    try:
        periodic.full_clean(exclude=["task"])
        if detail := find_fault_of_end(periodic, fire, now):
            faults.append({"field": "expires", "detail": detail})
    except ValidationError as error:
        named = {fault["field"] for fault in faults}
        faults += [
            {"field": field if field != "__all__" else "interval", "detail": detail}
            for field, details in error.message_dict.items()
            for detail in details
            if field not in named and not (field == "__all__" and named & set(KINDS))
        ]
    return faults


def _fingerprints(ids: list[int]) -> dict[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_FINGERPRINT} WHERE periodic.id = ANY(%s)", [ids])
        return dict(cursor.fetchall())
