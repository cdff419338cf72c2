"""What schedules start: the run of a fire, planned from the schedule's arguments, and submitted."""

import random
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from taskhub.accounts.roles import reaches_all
from taskhub.errors import Rejected
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.submission import create_run, offer
from taskhub.runs.run_kinds import PlannedRun, ScheduleTarget, target_of
from taskhub.runs.run_options import run_options
from taskhub.runs.scheduler.schedule_arguments import arguments_of
from taskhub.security.scopes import KeyScope

NO_OWNER = "Nobody owns it: it came in another way than by the hub. Take it over, and it fires."


def submit_run(*, schedule: Schedule, due_at: datetime | None) -> Run:
    """Submits the run of a schedule, in the caller's transaction. Raises `Problem`s."""
    planned = planned_run(schedule)  # whose arguments are checked
    run = create_run(
        kind=target_of_schedule(schedule).kind,
        owner=planned.owner,
        name=planned.name,
        arguments=planned.arguments,
        time_limit=planned.time_limit,
        webhook=schedule.webhook or planned.webhook,
        schedule=schedule.name,
        schedule_id=schedule.pk,
        due_at=due_at,
        not_before=due_at + _jitter_of(schedule, due_at) if due_at and schedule.jitter else None,
        **run_options(schedule.run_options),
    )
    transaction.on_commit(lambda: offer(run))
    return run


def planned_run(schedule: Schedule) -> PlannedRun:
    """What a fire of the schedule starts. Raises `Problem`s for what stops it from firing."""
    arguments = arguments_of(schedule.periodic)
    return plan_run(target_of_schedule(schedule), arguments, schedule.owner, schedule.name)


def _jitter_of(schedule: Schedule, due_at: datetime) -> timedelta:
    """How long after a due time its run begins: the same for a due time, whichever beat asks."""
    chance = random.Random(f"{schedule.pk} {due_at.isoformat()}")  # noqa: S311 (no secret)
    return timedelta(seconds=chance.uniform(0, schedule.jitter))


def target_of_schedule(schedule: Schedule) -> ScheduleTarget:
    """What the schedule starts. Raises `Rejected` where that is nothing."""
    target = target_of(schedule.periodic.task)
    if target is None:
        raise Rejected(f"There is no task {schedule.periodic.task!r} that schedules can start.")
    return target


def plan_run(target: ScheduleTarget, arguments: Any, owner: Any, name: str) -> PlannedRun:
    """What a schedule with these arguments would start. Raises `Problem`s."""
    if owner is None:
        raise Rejected(NO_OWNER)
    if not owner.is_active:
        raise Rejected("Its owner's account is not active.")
    if not isinstance(arguments, dict):
        raise Rejected("The arguments are no object.", errors=[{"path": "", "detail": "The arguments are no object."}])
    owner.is_kept_to_own |= not reaches_all(owner, KeyScope.RUN)  # staff may have another role by now
    return target.plan_run(arguments, owner, name)
