"""Schedules: checked, stored, taken over, removed, and started by hand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from taskhub.accounts.models import User
from taskhub.audit.services import record_change
from taskhub.errors import Conflict, NotFound, Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.runs.models import Run, Schedule
from taskhub.runs.run_kinds import target_of
from taskhub.runs.scheduler.beat_schedules import KINDS, WITH_TIMES, begin, find_fault_of_end, timetable_of
from taskhub.runs.scheduler.due_times import database_now, read_periodic_tasks
from taskhub.runs.scheduler.schedule_arguments import arguments_of, as_stored, seal_arguments
from taskhub.runs.scheduler.schedule_when import when_of
from taskhub.runs.scheduler.scheduled_runs import plan_run, submit_run
from taskhub.security.fingerprints import fingerprint
from taskhub.security.masking import secrets_of

BATCH = 500
NAME_MAX = 200  # as django-celery-beat has it
JITTER_MAX = 86_400  # seconds


class ScheduleOptions(TypedDict, total=False):
    """What a schedule may have besides its periodic task, owner and arguments. What is left out stays as it is."""

    name: str  # the owner's own; without it the periodic task's
    missed: str
    overlap: str
    jitter: int  # seconds
    webhook: str
    run_options: Mapping[str, Any]  # what is said of its runs


def save_schedule(*, periodic: PeriodicTask, owner: Any, written: str, **options: Unpack[ScheduleOptions]) -> Schedule:
    """Stores a new or changed periodic task with its arguments, in the documents' notation, and its next fire.

    Names of periodic tasks are unique: one whose `name` somebody else has chosen before gets its owner's address behind
    it. Raises as `check_schedule` does, and `Conflict` for a name that the owner has already.
    """
    present = _name_of(periodic)
    name = options.get("name", present)
    with _name_is_free(name), transaction.atomic():
        if periodic.pk:
            lock_schedule(periodic.pk)
        if "name" in options:
            User.objects.select_for_update(no_key=True).get(pk=owner.pk)  # who makes two at once gives a name once
        if "name" in options and _has_name(owner, name, besides=periodic.pk):
            raise Conflict(f"There is a schedule {name!r} already.")
        if "name" in options and (periodic.pk is None or name != present):
            is_taken = PeriodicTask.objects.exclude(pk=periodic.pk).filter(name=name).exists()
            periodic.name = f"{name[:100]} ({owner.email})"[:NAME_MAX] if is_taken else name
        arguments, secrets = check_schedule(periodic=periodic, owner=owner, written=written)
        periodic.args, periodic.kwargs = "[]", as_stored(arguments, secrets)
        own_name = "" if periodic.name == name else name
        kept = {option: value for option, value in options.items() if option != "name"}
        chosen = {**kept, "own_name": own_name, "owner": owner, "written": written, "fault": ""}
        before = _values_of(periodic.pk)
        periodic.save()
        schedule, _ = Schedule.objects.update_or_create(periodic=periodic, defaults=chosen)
        read_periodic_tasks(periodic_ids=[periodic.pk], now=database_now())
        schedule.refresh_from_db()
        _record("change" if before else "create", schedule, before=before, after=_values_of(periodic.pk))
    return schedule


def version_of(schedule: Schedule) -> str:
    """What another change of a schedule makes another one."""
    return fingerprint(_values_of(schedule.pk) or {})


def lock_schedule(schedule_id: int) -> bool:
    """Keeps others from changing a schedule until the transaction ends; whether there is one.

    Whoever changes one locks its own row before the others that belong to it, as the beat does that fires it: else two
    may wait for each other.
    """
    return bool(Schedule.objects.select_for_update(of=("self",)).filter(pk=schedule_id).values_list("pk"))


def _lock_present(schedule: Schedule) -> None:
    """Raises `NotFound` for one that somebody has deleted meanwhile."""
    if not lock_schedule(schedule.pk):
        raise NotFound(f"There is no schedule {schedule.pk} any more.")


def _values_of(periodic_id: int | None) -> dict[str, Any] | None:
    """What the audit log knows of a schedule; None of one that is not stored."""
    rows = Schedule.objects.select_related("periodic", "owner", *WITH_TIMES)
    schedule = rows.filter(pk=periodic_id).first() if periodic_id else None
    if schedule is None:
        return None
    periodic = schedule.periodic
    try:
        arguments = arguments_of(periodic)
    except Rejected:
        arguments = periodic.kwargs
    return {
        "name": schedule.name,
        "owner": schedule.owner and schedule.owner.email,
        "task": periodic.task,
        "arguments": arguments,
        "when": when_of(periodic),
        **{name: getattr(periodic, name) for name in ("start_time", "expires", "one_off", "enabled")},
        **{name: getattr(schedule, name) for name in ("overlap", "missed", "jitter", "webhook", "run_options")},
    }


def _record(action: str, schedule: Schedule, **values: Any) -> None:
    record_change(action, "schedule", schedule.pk, schedule.name, owner_id=schedule.owner_id, **values)


def _name_of(periodic: PeriodicTask) -> str:
    """The name that the owner has given; that of the periodic task where it is new or was renamed since."""
    row = Schedule.objects.filter(pk=periodic.pk).select_related("periodic").first() if periodic.pk else None
    return row.own_name if row and row.own_name and row.periodic.name == periodic.name else str(periodic.name)


def named(name: str) -> Q:
    """The condition on schedules that have this name for their owners."""
    return Q(own_name=name) | Q(own_name="", periodic__name=name)


def _has_name(owner: Any, name: str, *, besides: int | None) -> bool:
    return Schedule.objects.filter(named(name), owner=owner).exclude(pk=besides).exists()


@contextmanager
def _name_is_free(name: str) -> Iterator[None]:
    """Raises `Conflict` where another took the name between the check and the commit."""
    try:
        yield
    except IntegrityError:
        raise Conflict(f"There is a schedule {name!r} already.") from None


def check_schedule(*, periodic: PeriodicTask, owner: Any, written: str) -> tuple[Any, frozenset[str]]:
    """Checks a schedule and returns its arguments, and the texts in them that a run of it keeps secret.

    Raises `Rejected` with all faults: each has a `detail`, and a `path` in the arguments, a `line` and `column` of
    them, or the `field` of the periodic task.
    """
    faults, arguments, secrets = _find_faults(periodic, owner, written)
    if faults:
        raise Rejected("The schedule is not valid.", errors=faults, type="invalid-schedule")
    return arguments, secrets


def take_over(*, schedule: Schedule, owner: Any) -> None:
    """Makes this user the owner of a schedule that has none; its fault says what else is wrong with it."""
    if schedule.owner_id is not None:
        raise Conflict("The schedule has an owner.")
    periodic = schedule.periodic
    with _name_is_free(schedule.name), transaction.atomic():
        Schedule.objects.filter(pk=schedule.pk).update(owner=owner, written=periodic.kwargs)
        _record("take over", schedule, before={"owner": None}, after={"owner": owner.email})
        seal_arguments(periodic=periodic)
        read_periodic_tasks(periodic_ids=[schedule.pk], now=database_now())
    schedule.refresh_from_db()


def delete_schedule(*, periodic: PeriodicTask) -> None:
    """Deletes a periodic task with its schedule; the runs that it started stay."""
    schedule = Schedule.objects.select_related("periodic").filter(pk=periodic.pk).first()
    with transaction.atomic():
        if schedule is not None and lock_schedule(schedule.pk):
            _record("delete", schedule, before=_values_of(schedule.pk))
        periodic.delete()


def enable_schedule(*, schedule: Schedule, enabled: bool) -> None:
    """Enables or disables a schedule, also one that cannot fire: its fault says why."""
    with transaction.atomic():
        _lock_present(schedule)
        before = PeriodicTask.objects.select_for_update().values_list("enabled", flat=True).get(pk=schedule.pk)
        PeriodicTask.objects.filter(pk=schedule.pk).update(enabled=enabled, date_changed=timezone.now())
        action = "resume" if enabled else "pause"
        _record(action, schedule, before={"enabled": before}, after={"enabled": enabled})
        read_periodic_tasks(periodic_ids=[schedule.pk], now=database_now())


def remove_schedules_of(owner_id: UUID) -> int:
    """Removes one batch of the schedules of a deleted account; returns how many."""
    ids = list(Schedule.objects.filter(owner_id=owner_id).values_list("pk", flat=True)[:BATCH])
    PeriodicTask.objects.filter(pk__in=ids).delete()
    return len(ids)


def run_schedule_now(*, schedule: Schedule) -> Run:
    """Submits a run as if the schedule were due, beside whatever goes on. Raises what stops it from firing."""
    with transaction.atomic():
        _lock_present(schedule)
        run = submit_run(schedule=schedule, due_at=None)
        Schedule.objects.filter(pk=schedule.pk).update(last_run=run)
        _record("run", schedule, after={"run": run.pk})
    return run


def _find_faults(periodic: PeriodicTask, owner: Any, written: str) -> tuple[list[dict[str, Any]], Any, frozenset[str]]:
    """The faults of a schedule, its arguments, and the secrets of these, which are those of a run's."""
    faults = _find_faults_of_fields(periodic)
    arguments: Any = {}
    secrets: frozenset[str] = frozenset()
    try:
        arguments = parse_jsonc(written) if written.strip() else {}
        if (target := target_of(periodic.task)) is not None:
            secrets = secrets_of(plan_run(target, arguments, owner, periodic.name).arguments)
    except Problem as problem:
        faults += [_with_path(error) for error in problem.errors] or [{"path": "", "detail": problem.detail}]
    return faults, arguments, secrets


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
