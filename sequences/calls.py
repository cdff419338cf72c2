"""What sequences add to the walkers' registry."""

from typing import Annotated, Any

from pydantic import Field

from sequences.run_kinds import TASK
from taskhub.errors import Forbidden
from taskhub.runs.scheduler.schedule_spec import When
from walkers.http import examples
from walkers.http.calls.schedules import EVERY_HOUR, ScheduleName, add
from walkers.http.principal import Caller
from walkers.http.registry import api
from walkers.http.response_types import ScheduleShown

_SEQUENCE = {"requests": [{"method": "JAC", "api": "walker_list", "master": examples.USER_ID, "save_to": "walkers"}]}


@api(
    problems=(409,),
    arguments={"name": "every hour", "schedule": EVERY_HOUR, "body": _SEQUENCE},
    answer=examples.SCHEDULE | {"task": TASK, "body": _SEQUENCE},
)
def add_scheduled_sequence(
    caller: Caller,
    name: ScheduleName,
    schedule: When,
    body: Annotated[dict[str, Any], Field(description="`persistence`, `container` and `requests`.")],
) -> ScheduleShown:
    """Schedule a sequence; for staff.

    It is checked now: each fault has its `path`. 409 for a name that is taken.
    """
    if not caller.user.is_staff:
        raise Forbidden("Sequences are for staff.")
    return add(caller, name, TASK, schedule, body)
