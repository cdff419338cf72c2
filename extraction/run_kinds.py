"""What extraction needs of the ledger: processes as runs, the removal of what is deleted, and schedules."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse

from extraction.models import ExtractionTask, Process
from extraction.services import process_lifecycle, processes, retention, slices, webhook_payload
from extraction.services.deliveries import DELIVERY, RETRY_DELAYS
from extraction.services.processes import KIND
from extraction.services.retention import PURGE
from taskhub.errors import Rejected
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget

QUEUE = "extraction"
SCHEDULED = "extraction.tasks.ScheduledExtraction"
EXAMPLE = """{
    // Which task is to be run; what is given as payload lies over the task's own.
    "task": "1XtQA0Z15N3fqKZuzPKESUsTIW1",
    "payload": {"format": "CSV"},
}
"""


class ProcessKind(RunKind):
    """Processes. Their pages are fetched outside of their run, which is detached meanwhile."""

    name = KIND
    task = SCHEDULED
    queue = QUEUE
    webhook_event = webhook_payload.EVENT

    def on_retry(self, old: Run, new: Run) -> None:
        process_lifecycle.run_copied(old, new)

    def on_end(self, run: Run) -> None:
        process_lifecycle.run_ended(run)

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [
            ("process", reverse("admin:extraction_process_change", args=[pk]))
            for pk in Process.objects.filter(run=run).values_list("pk", flat=True)
        ]

    def webhook_data(self, run: Run) -> dict[str, Any] | None:
        return webhook_payload.told(run)

    def webhook_message(self, run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
        return webhook_payload.message(run, data)

    def sweep(self) -> None:
        process_lifecycle.sweep()

    def detached_runs_with_work(self) -> list[UUID]:
        return slices.waiting_runs()

    def prune(self) -> int:
        return retention.prune()


class TaskRemovalKind(RunKind):
    name = PURGE
    task = "extraction.tasks.purge"
    queue = QUEUE


class ResultDeliveryKind(RunKind):
    name = DELIVERY
    task = "extraction.tasks.delivery"
    queue = QUEUE
    retry_delays = RETRY_DELAYS


KINDS = (ProcessKind, TaskRemovalKind, ResultDeliveryKind)


class ExtractionTarget(ScheduleTarget):
    kind = KIND
    title = "ScheduledExtraction"
    tasks = (SCHEDULED,)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        """Raises `Rejected` for what names no task of the owner's, or would not run."""
        task = task_named(arguments, owner)
        given = {name: value for name, value in arguments.items() if name != "task"}
        processes.plan_run(task=task, given=given)
        return PlannedRun(task.owner, task.name or task.id, {"task": task.id, "given": given}, webhook=task.webhook)


def task_named(arguments: Mapping[str, Any], owner: Any) -> ExtractionTask:
    id = arguments.get("task")
    rows = ExtractionTask.objects.visible_to(owner).select_related("owner")
    task: ExtractionTask | None = rows.filter(id=id).first() if isinstance(id, str) else None
    if task is None:
        detail = "Must be the id of one of the owner's extraction tasks."
        raise Rejected(detail, errors=[{"path": "task", "detail": detail}])
    return task
