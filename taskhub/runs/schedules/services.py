"""Schedules as their owners make and change them over HTTP: the fields of a call, stored as a periodic task."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django_celery_beat.models import PeriodicTask

from taskhub.errors import NotFound, Rejected, invalid
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.webhook_events import checked_webhook
from taskhub.runs.run_kinds import ScheduleTarget, all_targets
from taskhub.runs.run_options import stored_options
from taskhub.runs.scheduler.beat_schedules import KINDS, WITH_TIMES
from taskhub.runs.scheduler.schedule_arguments import written_arguments
from taskhub.runs.scheduler.schedule_when import set_times
from taskhub.runs.scheduler.schedules import lock_schedule, named, save_schedule, version_of
from taskhub.security.fingerprints import CheckVersion
from taskhub.security.masking import masked_address, masked_places

_OPTIONS = ("name", "overlap", "missed", "jitter", "webhook")
_POINTERS = {"task": "/kind", "expires": "/end", "start_time": "/start", **dict.fromkeys(KINDS, "/when")}


def schedules_visible_to(user: Any) -> QuerySet[Schedule]:
    """A user's schedules; everybody's, also those that nobody owns, for staff whose call reaches them."""
    rows = Schedule.objects.select_related("periodic", "owner", *WITH_TIMES)
    return rows if user.reaches_all else rows.filter(owner=user)


def visible_schedule(*, schedule_id: int, user: Any, for_update: bool = False) -> Schedule:
    """The schedule with this id. Raises `NotFound` for one that never was or is another's."""
    if for_update:
        lock_schedule(schedule_id)  # before it is read, with what else belongs to it
    rows = schedules_visible_to(user)
    schedule = rows.filter(pk=schedule_id).first()
    if schedule is None:
        raise NotFound(f"There is no schedule {schedule_id}, or it is not yours.")
    return schedule


def tasks_of_kinds(kinds: Collection[str]) -> Q:
    """The condition on schedules that start runs of one of these kinds."""
    return Q(periodic__task__in=[name for target in all_targets() if target.kind in kinds for name in target.tasks])


def narrow_schedules(
    rows: QuerySet[Schedule],
    *,
    name: str = "",
    kind: Collection[str] = (),
    enabled: bool | None = None,
    schedule: int | None = None,
) -> QuerySet[Schedule]:
    """Those of the schedules that have this name or id, start runs of one of these kinds, and are enabled or paused."""
    if schedule is not None:
        rows = rows.filter(pk=schedule)
    if kind:
        rows = rows.filter(tasks_of_kinds(kind))
    if enabled is not None:
        rows = rows.filter(periodic__enabled=enabled)
    return rows.filter(named(name)) if name else rows


def fires_of(schedule: Schedule) -> QuerySet[Run]:
    """The runs of its due times, also of those that were left out; without what may be large."""
    return Run.objects.filter(schedule_id=schedule.pk, due_at__isnull=False).brief()


def create_schedule(*, owner: Any, values: Mapping[str, Any]) -> Schedule:
    """Stores a schedule of checked values. Raises `Rejected` with all that is wrong, and `Conflict` for a name that the
    owner has already."""
    with transaction.atomic():
        periodic = PeriodicTask(name=values["name"])
        return _store(periodic, owner, values, _written(values.get("arguments", {})), {})


def change_schedule(
    *, schedule_id: int, user: Any, values: Mapping[str, Any], check_version: CheckVersion | None = None
) -> Schedule:
    """Changes what `values` names of a schedule that the user may see; raises as `create_schedule` does, and what
    `check_version` raises."""
    with transaction.atomic():
        schedule = visible_schedule(schedule_id=schedule_id, user=user, for_update=True)
        if check_version is not None:
            check_version(version_of(schedule))
        _refuse_stars(values.get("metadata"))
        if schedule.owner_id != user.pk:
            values = _without_stars(schedule, values)
        if "arguments" in values:
            written = _written(values["arguments"])
        else:
            written = written_arguments(periodic=schedule.periodic, written=schedule.written)
        return _store(schedule.periodic, schedule.owner or user, values, written, schedule.run_options)


def _refuse_stars(metadata: Any) -> None:
    """Raises `Rejected` for metadata that come back as they are shown, to everybody with stars in place of secrets."""
    if places := list(masked_places(metadata, "/metadata")):
        raise invalid(places[0], "These are stars, not the secret. Leave the metadata out, or send the secret, too.")


def _without_stars(schedule: Schedule, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What somebody else than the owner sends, who is shown stars in place of secrets: an address that came back as it
    was shown stays. Raises `Rejected` for stars in the arguments."""
    arguments = values.get("arguments")
    if isinstance(arguments, str):
        with suppress(Rejected):  # it is told where it is stored
            arguments = parse_jsonc(arguments)
    if places := list(masked_places(arguments)):
        detail = "These are stars, not the secret. Leave the arguments out, or send the secret, too."
        raise _of_call([{"path": place.lstrip("/").replace("/", "."), "detail": detail} for place in places])
    if values.get("webhook") and values["webhook"] == masked_address(schedule.webhook):
        return {name: value for name, value in values.items() if name != "webhook"}
    return values


def _store(
    periodic: PeriodicTask, owner: Any, values: Mapping[str, Any], written: str, run_options: Mapping[str, Any]
) -> Schedule:
    if "kind" in values:
        periodic.task = _target_named(values["kind"]).tasks[0]
    if "when" in values:
        was_clocked = bool(periodic.clocked_id)
        set_times(periodic, values["when"])
        periodic.one_off = bool(periodic.clocked_id) or (periodic.one_off and not was_clocked)
    if "one_off" in values:
        periodic.one_off = values["one_off"] or bool(periodic.clocked_id)
    for name, field in (("start", "start_time"), ("end", "expires"), ("enabled", "enabled")):
        if name in values:
            setattr(periodic, field, values[name])
    options: Any = {name: values[name] for name in _OPTIONS if name in values}
    options["run_options"] = stored_options({**run_options, **values})
    try:
        checked_webhook(options.get("webhook", ""))
    except Rejected as refusal:
        raise invalid("/webhook", refusal.detail) from None
    try:
        return save_schedule(periodic=periodic, owner=owner, written=written, **options)
    except Rejected as refusal:
        raise _of_call(refusal.errors) from None


def _written(arguments: Any) -> str:
    """The arguments as they are kept: as they were written, where they came as a text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, indent=4, ensure_ascii=False)


def _target_named(kind: str) -> ScheduleTarget:
    target = next((target for target in all_targets() if target.kind == kind), None)
    if target is None:
        raise invalid("/kind", f"There is no kind {kind!r} that schedules can start.")
    return target


def _of_call(errors: Sequence[Mapping[str, Any]]) -> Rejected:
    """A schedule's faults with their pointers into the call; those of the arguments keep their path."""
    places = [_place_in_call(error) for error in errors]
    words = "; ".join(f"{_words_of_place(place)}: {place['detail']}" for place in places[:3])
    return Rejected(f"The schedule is not valid. {words}", errors=places, type="invalid-schedule")


def _words_of_place(place: Mapping[str, Any]) -> str:
    """`/arguments requests[0].method`, or `/arguments line 2, column 5`."""
    if "line" in place:
        return f"{place['pointer']} line {place['line']}, column {place['column']}"
    return " ".join(filter(None, (place["pointer"], place.get("path"))))


def _place_in_call(error: Mapping[str, Any]) -> dict[str, Any]:
    if "field" in error:
        field = error["field"]
        return {"pointer": _POINTERS.get(field, f"/{field}"), "detail": error["detail"]}
    return {"pointer": "/arguments", **error}
