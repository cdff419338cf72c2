"""Fires schedules that are due. A due time is one run, also where two beats lead at once or one dies meanwhile."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask

from taskhub.error_texts import error_of, message_of
from taskhub.errors import Problem
from taskhub.runs.domain import NotificationEvent, State
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.ends import end_revoked, finish_detached, revoke
from taskhub.runs.queue.notification_events import notify_of_run
from taskhub.runs.queue.submission import create_run
from taskhub.runs.run_kinds import target_of
from taskhub.runs.scheduler.beat_schedules import WITH_TIMES, timetable_of, within_end
from taskhub.runs.scheduler.cron import Timetable, latest_fire
from taskhub.runs.scheduler.due_times import database_now, fault_text, is_unexpected
from taskhub.runs.scheduler.scheduled_runs import submit_run

log = logging.getLogger(__name__)

BATCH = 100
FIRES_ONCE = "run_fires_once"  # the constraint
MISSED_AFTER = timedelta(seconds=60)  # a change of the leader takes less
_TIME = "%Y-%m-%d %H:%M:%S %Z"
_WAITS_FOR_LAST_RUN = {
    "periodic__enabled": True,
    "overlap": Schedule.Overlap.WAIT,
    "last_run__isnull": False,
    "last_run__finished_at__isnull": True,
}


def fire_due() -> int:
    """Fires one batch of due schedules, oldest first: submits runs and sets next due times, in one transaction.

    Returns how many schedules it acted upon. Those that are locked are another leader's, those that wait for their last
    run are left alone.
    """
    with transaction.atomic():
        now = database_now()
        if not Schedule.objects.filter(due_at__lte=now).exists():  # most seconds; to plan the joins takes much longer
            return 0
        rows = Schedule.objects.select_for_update(of=("self",), skip_locked=True)
        rows = rows.select_related("owner", "periodic", *WITH_TIMES).annotate(ended_at=F("last_run__finished_at"))
        due = list(rows.filter(due_at__lte=now).exclude(**_WAITS_FOR_LAST_RUN).order_by("due_at")[:BATCH])
        return sum(_fire(schedule, now) for schedule in due)


def _fire(schedule: Any, now: datetime) -> bool:
    """Fires one schedule, if it can now. One that never can stops no other: its fault says why."""
    try:
        with transaction.atomic():
            return _submit_or_skip(schedule, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if isinstance(error, IntegrityError) and FIRES_ONCE in message_of(error):
            log.info("The schedule %r has fired for %s already", schedule.name, schedule.due_at)
            _set_next_due(schedule, schedule.due_at, now)
        else:
            _record_fault(schedule, error, now)
    return True


def _record_fault(schedule: Any, error: Exception, now: datetime) -> None:
    """Writes the fault down, and puts the fire on record as a run that failed.

    The schedule fires again at its next due time: its names may mean something by then.
    """
    text = fault_text(error)
    if text != schedule.fault:
        log.warning("The schedule %r cannot fire: %s", schedule.name, text, exc_info=is_unexpected(error))
    target, owner = target_of(schedule.periodic.task), schedule.owner
    if target and owner and owner.is_active:
        _record_failure(schedule, target.kind, error)
    try:
        _set_next_due(schedule, now, now, fault=text)
    except Problem:  # nor can its timetable be read
        Schedule.objects.filter(pk=schedule.pk).update(fault=text, due_at=None)


def _record_failure(schedule: Any, kind: str, error: Exception) -> None:
    """Creates a run of a fire that could not be planned, without its arguments, and ends it as FAILURE."""
    name = schedule.name
    try:
        with transaction.atomic():
            run = create_run(
                kind=kind,
                owner=schedule.owner,
                name=name,
                arguments={},
                schedule=name,
                schedule_id=schedule.pk,
                due_at=schedule.due_at,
            )
            finish_detached(run_id=run.pk, state=State.FAILURE, error=error_of(error))
    except IntegrityError:
        log.info("The fire of the schedule %r at %s is on record already", name, schedule.due_at)


def _submit_or_skip(schedule: Any, now: datetime) -> bool:
    """Acts upon the due time of a schedule; False where that is to be tried again at the next tick."""
    choice = _choose_fire(schedule, timetable_of(schedule.periodic, schedule.due_at), now)
    fire = choice.fire
    last_run_goes_on = schedule.last_run_id is not None and schedule.ended_at is None
    cancels = fire and last_run_goes_on and schedule.overlap == Schedule.Overlap.CANCEL
    if cancels and not _cancel_last_run(schedule):
        return False
    if choice.left_out:
        _record_left_out(schedule, choice)
    if fire is None:
        _set_next_due(schedule, now, now)
        return True
    run = submit_run(schedule=schedule, due_at=fire)
    if last_run_goes_on and schedule.overlap == Schedule.Overlap.SKIP:
        text = f"The run before it, {schedule.last_run_id}, still goes on."
        end_revoked(run=run, error={"type": "Skipped", "message": text})
        _set_next_due(schedule, fire, now)
    else:
        PeriodicTask.objects.filter(pk=schedule.pk).update(
            last_run_at=now, total_run_count=F("total_run_count") + 1, enabled=not schedule.periodic.one_off
        )
        _set_next_due(schedule, fire, now, last_run=run)
        if choice.error == "Missed" and not choice.left_out:  # else it is told of what was left out
            late = f"fires {(now - fire).total_seconds():.0f} s after its due time, {fire:{_TIME}}"
            notify_of_run(event=NotificationEvent.SCHEDULE_MISSED, run=run, title=late)
    return True


def _cancel_last_run(schedule: Any) -> bool:
    """Cancels the last run, if it still goes on; False where another transaction has it, such as its worker's that ends
    it: the leader does not wait for others."""
    runs = Run.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    last_run = runs.filter(pk=schedule.last_run_id).first()
    if last_run is not None and not last_run.ended:
        revoke(run=last_run)
    return last_run is not None or not Run.objects.filter(pk=schedule.last_run_id).exists()


@dataclass(frozen=True)
class FireChoice:
    """The due time to act upon, if any; the last one that is left out, if any, and why."""

    fire: datetime | None
    left_out: datetime | None = None
    error: str = ""
    reason: str = ""


def _choose_fire(schedule: Any, timetable: Timetable, now: datetime) -> FireChoice:
    """Of the due times that waited for the last run the latest; of those that were missed the latest, none, or each.

    Of a schedule that was paused while they waited none.
    """
    due: datetime = schedule.due_at
    if not schedule.periodic.enabled:
        until = min(now, schedule.periodic.expires or now)
        latest = latest_fire(timetable, due - timedelta(microseconds=1), until)
        return FireChoice(None, latest or due, "Skipped", "and had not fired when the schedule was paused")
    has_waited = schedule.overlap == Schedule.Overlap.WAIT and schedule.ended_at is not None and schedule.ended_at > due
    since = max(due, schedule.ended_at) if has_waited else due
    missed = now - since > MISSED_AFTER
    if not missed and not has_waited:
        return FireChoice(due)
    if schedule.missed == Schedule.Missed.ALL:
        return FireChoice(due, error="Missed" if missed else "")
    error, reason = ("Missed", "while no beat ran") if missed else ("Skipped", "while the run before it went on")
    before, until = due - timedelta(microseconds=1), min(now, schedule.periodic.expires or now)
    latest = latest_fire(timetable, before, until) or due
    if missed and schedule.missed == Schedule.Missed.NONE and now - latest > MISSED_AFTER:
        return FireChoice(None, latest, error, reason)
    return FireChoice(latest, latest_fire(timetable, before, latest - timedelta(microseconds=1)), error, reason)


def _record_left_out(schedule: Any, choice: FireChoice) -> None:
    """Puts the due times that are left out on record: as one run, with the last of them, that is revoked at once."""
    times = f"at {schedule.due_at:{_TIME}}"
    if choice.left_out != schedule.due_at:
        times = f"from {schedule.due_at:{_TIME}} to {choice.left_out:{_TIME}}"
    then = "it is not made up for" if choice.fire is None else f"{choice.fire:{_TIME}} stands for it"
    run = submit_run(schedule=schedule, due_at=choice.left_out)
    end_revoked(run=run, error={"type": choice.error, "message": f"It was due {times} {choice.reason}; {then}."})


def _set_next_due(schedule: Schedule, fired: datetime | None, now: datetime, **fields: Any) -> None:
    """Sets the next due time, or a fault where there is none any more; a one-off that was left out comes again."""
    is_over = (schedule.periodic.one_off and "last_run" in fields) or not schedule.periodic.enabled
    fields = {"fault": "", **fields}
    timetable = timetable_of(schedule.periodic, schedule.due_at or now)
    due = None if is_over else within_end(schedule.periodic, timetable.next_fire(fired or now))
    if due is None and not is_over:
        fields["fault"] = fields["fault"] or "It fires no more."
    Schedule.objects.filter(pk=schedule.pk).update(due_at=due, **fields)
