"""Schedules of walkers and of sequences: added, listed, deleted."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from django.db import transaction
from django.db.models import Q
from django_celery_beat.models import PeriodicTask
from pydantic import Field

from taskhub.errors import NotFound, Rejected, invalid
from taskhub.jsontools.field_types import Text, format_timestamp
from taskhub.jsontools.jsonc import member_text
from taskhub.runs.scheduler.beat_schedules import KINDS
from taskhub.runs.scheduler.schedule_arguments import arguments_of
from taskhub.runs.scheduler.schedule_spec import ScheduleSpecField, build_periodic_task, place_in_call, spec_of
from taskhub.runs.scheduler.schedules import delete_schedule, save_schedule
from taskhub.security.masking import mask_all, secrets_of
from walkers.http import examples
from walkers.http.pagination import Cursor, paginate, paginate_by_offset
from walkers.http.registry import register_call
from walkers.http.response_types import ResultPage, ScheduleResponse, SuccessResponse
from walkers.run_kinds import TASK
from walkers.walks.principal import Principal

NAME_MAX = 200  # as django-celery-beat has it
ID_MAX = 2**31 - 1

ScheduleName = Annotated[Text, Field(min_length=1, max_length=NAME_MAX, description="The schedule's name.")]
EVERY_HOUR = {"type": "interval", "conf": {"every": 1, "period": "hours"}}


@register_call(
    problem_statuses=(409,),
    notation="jsonc",
    example_arguments={"name": "every hour", "schedule": EVERY_HOUR, "body": {"name": "run", "ctx": {}}},
    example_answer=examples.SCHEDULE,
)
def add_scheduled_walker(
    principal: Principal,
    name: ScheduleName,
    schedule: ScheduleSpecField,
    body: Annotated[
        dict[str, Any],
        Field(description="`name` of the walker, `ctx`, and if wanted `nd`, `snt` and `mst`, whose walk it is."),
    ],
) -> ScheduleResponse:
    """Schedule a walker.

    It is checked now, and its names are looked up each time that it is due. 409 for a name that is taken. Another's
    `mst` is for staff.
    """
    return add_schedule(principal, name, TASK, schedule, body)


@register_call(reads=True, example_answer=examples.page(examples.SCHEDULE))
def get_scheduled_queues(
    principal: Principal,
    limit: Annotated[int, Field(ge=0, le=1000, description="How many at most; 0 is all.")] = 100,
    cursor: Cursor = None,
    offset: Annotated[int, Field(ge=0, le=ID_MAX, description="How many to leave out first; without a cursor.")] = 0,
    asc: Annotated[bool, Field(description="Oldest first instead of newest; without a cursor.")] = False,
    search: Annotated[Text | None, Field(max_length=NAME_MAX, description="Part of the name.")] = None,
) -> ResultPage[ScheduleResponse]:
    """List schedules.

    Your own, for staff everybody's, newest first: of walkers and of sequences. Secrets in the `body` of another's are
    masked.
    """
    rows = _visible(principal).select_related("schedule_row", *KINDS)
    serialize = partial(_serialize, principal)
    arguments = {"search": search} if search else {}
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(schedule_row__own_name__icontains=search))
    if not (offset or asc or limit == 0):
        return paginate("get_scheduled_queues", rows, serialize, limit, cursor, key=int, **arguments)
    if cursor is not None:
        raise invalid("/cursor", "With a cursor there is no offset, no order and no limit of 0.")
    return paginate_by_offset("get_scheduled_queues", rows, serialize, limit, offset, asc=asc, **arguments)


@register_call(problem_statuses=(404,), example_arguments={"name": "every hour"}, example_answer=examples.DONE)
def delete_scheduled_queue(
    principal: Principal,
    name: Annotated[Text | None, Field(max_length=NAME_MAX, description="The schedule's name, or its id.")] = None,
    scheduled_queue_id: Annotated[int | None, Field(ge=1, le=ID_MAX, description="Its id, instead of `name`.")] = None,
) -> SuccessResponse:
    """Remove a schedule.

    The runs that it started stay.
    """
    if (name is None) == (scheduled_queue_id is None):
        raise invalid("/name", "Give one of name and scheduled_queue_id.")
    id = _id_in(name) if name is not None else scheduled_queue_id
    # A name may look like another schedule's id: the name counts first.
    is_named = Q(schedule_row__own_name=name) | Q(schedule_row__own_name="", name=name)
    matches = list(_visible(principal).select_related("schedule_row").filter(is_named | Q(pk=id)).order_by("pk"))
    if not matches:
        raise NotFound(f"There is no schedule {str(name or id)[:100]!r}, or it is not yours.")
    delete_schedule(periodic=min(matches, key=partial(_rank, principal, name)))
    return {"success": True}


def _rank(principal: Principal, name: str | None, row: PeriodicTask) -> tuple[bool, bool]:
    """Of several schedules that a name may mean: those that have it first, of these the user's own."""
    schedule: Any = getattr(row, "schedule_row", None)
    is_own = schedule is not None and schedule.owner_id == principal.user.pk
    return (schedule.name if schedule else row.name) != name, not is_own


def _id_in(name: str) -> int | None:
    """The id that a name may be, too."""
    id = int(name) if name.isascii() and name.isdecimal() and len(name) < 11 else None
    return id if id is not None and id <= ID_MAX else None


def add_schedule(
    principal: Principal, name: str, task: str, when: Mapping[str, Any], body: Mapping[str, Any]
) -> ScheduleResponse:
    """Saves a new schedule of the Celery task `task`.

    Raises `Conflict` for a name that the user has already, `Rejected` for all else: with a pointer, or a `path` in the
    body.
    """
    with transaction.atomic():
        periodic = build_periodic_task(name, task, when)
        try:
            save_schedule(periodic=periodic, owner=principal.user, written=_written(principal, body), name=name)
        except Rejected as refusal:
            raise Rejected(refusal.detail, errors=map(place_in_call, refusal.errors), type=refusal.type) from None
    return _serialize(principal, PeriodicTask.objects.select_related("schedule_row", *KINDS).get(pk=periodic.pk))


def _written(principal: Principal, body: Mapping[str, Any]) -> str:
    """The body as the caller wrote it, comments and all, where it came as JSON."""
    sent = getattr(principal.request, "written", None)
    return (sent and member_text(sent, "body")) or json.dumps(body, indent=4, ensure_ascii=False)


def _serialize(principal: Principal, periodic: Any) -> ScheduleResponse:
    """A schedule. Its owner sees its body as it is, others without secrets."""
    schedule = getattr(periodic, "schedule_row", None)
    try:
        body = arguments_of(periodic)
    except Rejected:
        body = periodic.kwargs
    if schedule is None or schedule.owner_id != principal.user.pk:
        body = mask_all(body, secrets_of(body))
    return {
        "id": periodic.pk,
        "name": schedule.name if schedule else periodic.name,
        "task": periodic.task,
        "owner": schedule.owner_id.urn if schedule and schedule.owner_id else None,
        "schedule": spec_of(periodic),
        "enabled": periodic.enabled,
        "next_fire": format_timestamp(schedule.due_at) if schedule and schedule.due_at else None,
        "fault": schedule.fault if schedule else "",
        "body": body,
        "last_run": str(schedule.last_run_id) if schedule and schedule.last_run_id else None,
    }


def _visible(principal: Principal) -> Any:
    """The user's own schedules, for staff everybody's."""
    rows = PeriodicTask.objects.all()
    return rows if principal.user.reaches_all else rows.filter(schedule_row__owner_id=principal.user.pk)
