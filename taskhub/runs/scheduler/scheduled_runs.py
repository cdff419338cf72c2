"""What schedules start: the run of a fire, planned from the schedule's arguments, and submitted."""

from datetime import datetime
from typing import Any

from django.db import transaction

from taskhub.errors import Rejected
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.submission import create_run, notify_if_waiting
from taskhub.runs.run_kinds import PlannedRun, ScheduleTarget, target_of
from taskhub.runs.scheduler.schedule_arguments import arguments_of

NO_OWNER = "Nobody owns it: it came in another way than by the hub. Take it over, and it fires."


def submit_run(*, schedule: Schedule, due_at: datetime | None) -> Run:
    """Submits the run of a schedule, in the caller's transaction. Raises `Problem`s."""
    planned = planned_run(schedule)  # whose arguments are checked
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


def planned_run(schedule: Schedule) -> PlannedRun:
    """What a fire of the schedule starts. Raises `Problem`s for what stops it from firing."""
    arguments = arguments_of(schedule.periodic)
    return plan_run(_target_of(schedule.periodic), arguments, schedule.owner, schedule.periodic.name)


def _target_of(periodic: Any) -> ScheduleTarget:
    target = target_of(periodic.task)
    if target is None:
        raise Rejected(f"There is no task {periodic.task!r} that schedules can start.")
    return target


def plan_run(target: ScheduleTarget, arguments: Any, owner: Any, name: str) -> PlannedRun:
    """What a schedule with these arguments would start. Raises `Problem`s."""
    if owner is None:
        raise Rejected(NO_OWNER)
    if not owner.is_active:
        raise Rejected("Its owner's account is not active.")
    if not isinstance(arguments, dict):
        raise Rejected("The arguments are no object.", errors=[{"path": "", "detail": "The arguments are no object."}])
    return target.plan_run(arguments, owner, name)
