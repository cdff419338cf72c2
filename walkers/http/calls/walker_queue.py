"""Tasks in the background: their state, waited for, cancelled."""

from collections import defaultdict
from typing import Annotated, cast
from uuid import UUID

from django.db.models import QuerySet
from pydantic import Field

from taskhub.errors import NotFound
from taskhub.jsontools.field_types import Text, format_timestamp
from taskhub.runs import queue
from taskhub.runs.domain import RUNNING, WAITING
from taskhub.runs.models import Run, Worker, live_workers, node_host
from taskhub.runs.run_kinds import all_kinds
from walkers.domain.ids import as_id
from walkers.http import examples
from walkers.http.registry import CallResponse, RunWait, register_call
from walkers.http.response_types import QueueEntry, QueueResponse, TaskStatus
from walkers.walks.principal import Principal

LIST_MAX = 1000  # of each list
UNASSIGNED = "celery@unassigned"  # what waits while no worker of its queue lives
TaskId = Annotated[Text, Field(description="What `walker_run` called `task_id`.")]
MaybeTask = Annotated[Text | None, Field(description="What `walker_run` called `task_id`; left out: all tasks.")]
STATE = {
    "state": "SUCCESS",
    "result": {
        "success": True,
        "report": ["hello"],
        "final_node": examples.JID,
        "yielded": False,
    },
    "started_at": "2026-01-31T12:00:00.004000Z",
    "finished_at": "2026-01-31T12:00:00.009000Z",
}


@register_call(reads=True, problem_statuses=(404,), example_arguments={"task_id": examples.ID}, example_answer=STATE)
def walker_queue_check(principal: Principal, task_id: MaybeTask = None) -> TaskStatus | QueueResponse:
    """Show the state of a task, or all that have not ended.

    With `task_id`: `{state, result?, error?, progress?, started_at?, finished_at?}`. Without: `{scheduled, active,
    reserved}`, each a list of tasks by the worker's name; what is delayed, running, and waiting. Your own tasks, for
    staff everybody's; the 1,000 oldest of each list.
    """
    return _queues(principal) if task_id is None else _status(principal, _visible_run(principal, task_id))


@register_call(reads=True, problem_statuses=(404,), example_arguments={"task_id": examples.ID}, example_answer=STATE)
def walker_queue(principal: Principal, task_id: MaybeTask = None) -> TaskStatus | QueueResponse:
    """Show the state of a task, or all that have not ended (walker_queue_check).

    The same as `walker_queue_check`.
    """
    return walker_queue_check(principal, task_id)


@register_call(
    reads=True,
    problem_statuses=(404,),
    example_arguments={"task_id": examples.ID},
    example_answer=STATE,
    response_types={200: TaskStatus},
)
def walker_queue_wait(
    principal: Principal,
    task_id: TaskId,
    timeout: Annotated[float, Field(ge=0, le=300, description="Seconds to wait at most.")] = 30,
) -> CallResponse:
    """Wait for a task.

    Answers as soon as it ends, or with its state when the time is up.
    """
    run = _visible_run(principal, task_id)

    def respond() -> CallResponse:
        return CallResponse(body=_status(principal, _visible_run(principal, task_id)))

    return CallResponse(wait=RunWait(run.pk, timeout, respond))


@register_call(
    runs=True,
    problem_statuses=(404, 409),
    example_arguments={"task_id": examples.ID},
    example_answer={"state": "REVOKED", "finished_at": "2026-01-31T12:00:00.009000Z"},
)
def walker_queue_cancel(principal: Principal, task_id: TaskId) -> TaskStatus:
    """Cancel a task.

    A waiting task never starts; a running one is REVOKED at once and has no effect. A worker stops its walk within 5 s;
    a walk that is made at once, for want of a worker, ends after its step or at its next progress. 409 when the task
    has ended already.
    """
    return _status(principal, queue.cancel(run=_visible_run(principal, task_id)))


def _run_id(task_id: str) -> UUID:
    run_id = as_id(task_id)
    if run_id is None:
        raise NotFound(f"There is no task {task_id[:100]!r}.")
    return run_id


def _visible_run(principal: Principal, task_id: str) -> Run:
    return queue.visible_run(run_id=_run_id(task_id), user=principal.user)


def _status(principal: Principal, run: Run) -> TaskStatus:
    """Shows a task's state, result, error, progress and times, without those that it does not have."""
    result = run.result_for(principal.user)
    status = {"state": run.state, "result": result, "error": run.error, "progress": run.progress}
    for name in ("started_at", "finished_at"):
        time = getattr(run, name)
        status[name] = time and format_timestamp(time)
    return cast(TaskStatus, {name: value for name, value in status.items() if value is not None})


def _queues(principal: Principal) -> QueueResponse:
    workers = list(live_workers().order_by("name"))
    runs = Run.objects.visible_to(principal.user).brief()
    waiting = runs.filter(state__in=WAITING)
    return {
        "scheduled": _by_worker(workers, waiting.filter(ready=False).order_by("not_before")[:LIST_MAX]),
        "active": _by_worker(workers, runs.filter(state__in=RUNNING, lease_until__isnull=False)[:LIST_MAX]),
        "reserved": _by_worker(workers, waiting.filter(ready=True).order_by("id")[:LIST_MAX]),
    }


def _by_worker(workers: list[Worker], runs: QuerySet[Run]) -> dict[str, list[QueueEntry]]:
    """Every live worker is named, also the idle ones. A run that waits is listed at the first worker of its queue."""
    entries: dict[str, list[QueueEntry]] = defaultdict(list, {worker.host: [] for worker in workers})
    queues = {kind.name: kind.queue for kind in all_kinds()}
    first_workers = {queue: worker.host for worker in reversed(workers) for queue in worker.queues}
    for run in runs:
        if run.state in RUNNING:
            host = node_host(run.worker)
        else:
            host = first_workers.get(queues.get(run.kind, ""), UNASSIGNED)
        entries[host].append(_entry(run))
    return dict(entries)


def _entry(run: Run) -> QueueEntry:
    entry = {"id": str(run.pk), "task_id": str(run.pk), "name": run.name, "kind": run.kind, "state": run.state}
    times = {"eta": run.not_before, "created_at": run.created_at, "started_at": run.started_at}
    return cast(QueueEntry, entry | {name: format_timestamp(time) for name, time in times.items() if time})
