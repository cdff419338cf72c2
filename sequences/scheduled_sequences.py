"""What sequences add to the walkers' registry."""

from typing import Annotated, Any

from pydantic import Field

from sequences.run_kinds import TASK
from sequences.services.sequence_runs import check_owner
from taskhub.runs.scheduler.schedule_spec import ScheduleSpecField
from walkers.http import examples
from walkers.http.calls.walker_schedules import EVERY_HOUR, ScheduleName, add_schedule
from walkers.http.registry import register_call
from walkers.http.response_types import ScheduleResponse
from walkers.walks.principal import Principal

_SEQUENCE = {"requests": [{"method": "JAC", "api": "walker_list", "master": examples.USER_ID, "save_to": "walkers"}]}


@register_call(
    problem_statuses=(409,),
    notation="jsonc",
    other_paths=("js_admin/add_scheduled_sequence",),
    example_arguments={"name": "every hour", "schedule": EVERY_HOUR, "body": _SEQUENCE},
    example_answer=examples.SCHEDULE | {"task": TASK, "body": _SEQUENCE},
)
def add_scheduled_sequence(
    principal: Principal,
    name: ScheduleName,
    schedule: ScheduleSpecField,
    body: Annotated[dict[str, Any], Field(description="`persistence`, `container` and `requests`.")],
) -> ScheduleResponse:
    """Schedule a sequence; for staff, and for who has the permission `sequences.run_sequence`.

    It is checked now: each fault has its `path`. 409 for a name that is taken.
    """
    check_owner(principal.user)
    return add_schedule(principal, name, TASK, schedule, body)
