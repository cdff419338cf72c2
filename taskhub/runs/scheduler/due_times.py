"""Due times of schedules, read from their periodic tasks; or the fault that keeps one from firing."""

import logging
import time
from collections.abc import Iterable
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection, transaction

from taskhub.error_texts import message_of, type_of
from taskhub.errors import Problem
from taskhub.runs.models import Schedule
from taskhub.runs.scheduler.beat_schedules import WITH_TIMES, begin, find_fault_of_end, timetable_of, within_end
from taskhub.runs.scheduler.scheduled_runs import planned_run

log = logging.getLogger(__name__)

READ_BATCH = 100  # periodic tasks in one transaction
READ_SECONDS = 0.4  # of a tick: thousands of new schedules hold up no fire
CHANGED_MAX = 5_000  # periodic tasks: to find what changed looks at all of them, and so is done once a tick

# Of all that decides when and what a periodic task fires: it changes with any of it, whoever changed it and however.
# Its first half is of the times alone.
TIMES_LENGTH = 16
_FINGERPRINT = f"""
    SELECT periodic.id, left(md5(jsonb_build_array(
        periodic.start_time, interval_id, crontab_id, solar_id, clocked_id,
        to_jsonb(i), to_jsonb(c), to_jsonb(s), to_jsonb(k)
    )::text), {TIMES_LENGTH}) || left(md5(jsonb_build_array(
        periodic.task, periodic.enabled, periodic.one_off, periodic.expires, periodic.date_changed
    )::text), 16) AS fingerprint
    FROM django_celery_beat_periodictask AS periodic
    LEFT JOIN django_celery_beat_intervalschedule AS i ON i.id = interval_id
    LEFT JOIN django_celery_beat_crontabschedule AS c ON c.id = crontab_id
    LEFT JOIN django_celery_beat_solarschedule AS s ON s.id = solar_id
    LEFT JOIN django_celery_beat_clockedschedule AS k ON k.id = clocked_id
"""  # noqa: S608 (a constant of ours)
_CHANGED_TASKS = f"""
WITH present AS ({_FINGERPRINT})
SELECT present.id, present.fingerprint
FROM present LEFT JOIN runs_schedule AS schedule ON schedule.periodic_id = present.id
WHERE schedule.read_as IS DISTINCT FROM present.fingerprint
LIMIT %s
"""  # noqa: S608 (a constant of ours)


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
        fingerprint = prints.get(schedule.pk, "")
        has_same_times = schedule.read_as[:TIMES_LENGTH] == fingerprint[:TIMES_LENGTH]
        schedule.read_as = fingerprint
        schedule.due_at, schedule.fault = _next_due(schedule, now, schedule.due_at if has_same_times else None)
        if schedule.fault and schedule.fault != before:
            log.warning("The schedule %r cannot fire: %s", schedule.name, schedule.fault)
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


def _next_due(schedule: Schedule, now: datetime, known: datetime | None) -> tuple[datetime | None, str]:
    """The next due time, and the fault text where there is none. A due time that was not acted upon yet stays.

    Intervals go on from the due time that is `known`, where the times are still the same.
    """
    periodic = schedule.periodic
    pending = schedule.due_at if schedule.due_at and schedule.due_at <= now else None
    if not periodic.enabled:
        return pending, ""
    try:
        timetable = timetable_of(periodic, known or periodic.last_run_at or now)
        planned_run(schedule)
        due = pending or timetable.next_fire(begin(periodic, now))
        fault = find_fault_of_end(periodic, due, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if is_unexpected(error):
            log.exception("The schedule %r cannot be read", periodic.name)
        return None, fault_text(error)
    return within_end(periodic, due), fault if due else "It never fires."


def _fingerprints(ids: list[int]) -> dict[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_FINGERPRINT} WHERE periodic.id = ANY(%s)", [ids])
        return dict(cursor.fetchall())
