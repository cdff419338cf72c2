"""Fires: what is due is accepted as runs, each once, whoever leads and whoever dies when."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask

from taskhub.errors import Problem
from taskhub.runs.models import Schedule
from taskhub.runs.queue.leases import end_revoked
from taskhub.runs.scheduler.beat_schedules import WITH_TIMES, timetable_of, within_end
from taskhub.runs.scheduler.cron import Timetable, latest_fire
from taskhub.runs.scheduler.schedules import database_now, not_ours, start, words_of

log = logging.getLogger(__name__)

BATCH = 100
FIRES_ONCE = "run_fires_once"  # the constraint
MISSED_AFTER = timedelta(seconds=60)  # a change of the leader takes less
_WAITS = {"overlap": Schedule.Overlap.WAIT, "last_run__isnull": False, "last_run__finished_at__isnull": True}


def fire_due() -> int:
    """One batch of what is due, oldest first: accepted, and its next fire written down, in one transaction.

    Returns how many schedules it looked at. Those that are locked are another leader's, those that wait for their last
    run are left alone.
    """
    with transaction.atomic():
        now = database_now()
        rows = Schedule.objects.select_for_update(of=("self",), skip_locked=True)
        rows = rows.select_related("owner", "periodic", *WITH_TIMES).annotate(ended_at=F("last_run__finished_at"))
        due = list(rows.filter(due_at__lte=now, periodic__enabled=True).exclude(**_WAITS).order_by("due_at")[:BATCH])
        for schedule in due:
            _fire(schedule, now)
    return len(due)


def _fire(schedule: Any, now: datetime) -> None:
    """One that cannot fire stops no other: it is written down why."""
    try:
        with transaction.atomic():
            _fire_once(schedule, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if FIRES_ONCE in str(error) and isinstance(error, IntegrityError):
            log.info("The schedule %r has fired for %s already", schedule.periodic.name, schedule.due_at)
            _go_on(schedule, schedule.due_at, now)
        else:
            _fail(schedule, error, now)


def _fail(schedule: Any, error: Exception, now: datetime) -> None:
    """It is tried again at its next fire: what its names stand for may be there again by then."""
    words = words_of(error)
    if words != schedule.fault:
        log.warning("The schedule %r cannot fire: %s", schedule.periodic.name, words, exc_info=not_ours(error))
    try:
        _go_on(schedule, now, now, fault=words)
    except Problem:  # nor can its timetable be read
        Schedule.objects.filter(pk=schedule.pk).update(fault=words, due_at=None)


def _fire_once(schedule: Any, now: datetime) -> None:
    fire = _chosen(schedule, timetable_of(schedule.periodic, schedule.due_at), now)
    if fire is None:
        _go_on(schedule, now, now)
        return
    run = start(schedule=schedule, due_at=fire)
    goes_on = schedule.last_run_id is not None and schedule.ended_at is None
    if goes_on and schedule.overlap == Schedule.Overlap.SKIP:
        words = f"The run before it, {schedule.last_run_id}, still goes on."
        end_revoked(run=run, error={"type": "Skipped", "message": words})
        _go_on(schedule, fire, now)
    else:
        PeriodicTask.objects.filter(pk=schedule.pk).update(
            last_run_at=now, total_run_count=F("total_run_count") + 1, enabled=not schedule.periodic.one_off
        )
        _go_on(schedule, fire, now, last_run=run)


def _chosen(schedule: Schedule, timetable: Timetable, now: datetime) -> datetime | None:
    """What is due; of fires that were missed the latest, or none at all."""
    due = schedule.due_at
    assert due is not None
    if now - due <= MISSED_AFTER:
        return due
    until = min(now, schedule.periodic.expires or now)
    latest = latest_fire(timetable, due - timedelta(microseconds=1), until) or due
    late = now - latest > MISSED_AFTER
    return None if late and schedule.missed == Schedule.Missed.NONE else latest


def _go_on(schedule: Schedule, fired: datetime | None, now: datetime, **fields: Any) -> None:
    """Writes the next fire down; a one-off that was left out comes again."""
    over = schedule.periodic.one_off and "last_run" in fields
    fields = {"fault": "", **fields}
    timetable = timetable_of(schedule.periodic, schedule.due_at or now)
    due = None if over else within_end(schedule.periodic, timetable.next_fire(fired or now))
    Schedule.objects.filter(pk=schedule.pk).update(due_at=due, **fields)
