"""What extraction needs of the ledger: processes as runs, the removal of what is deleted, and schedules."""

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from extraction.models import ExtractionTask, Process
from extraction.services import process_lifecycle, processes, retention, slices, webhook_payload
from extraction.services.deliveries import DELIVERY, WAITS, retry_delay
from extraction.services.processes import KIND
from extraction.services.retention import PURGE
from taskhub.errors import Rejected
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import Kind, Schedulable, Work

QUEUE = "extraction"
SCHEDULED = "extraction.tasks.ScheduledExtraction"
EXAMPLE = """{
    // Which task is to be run; what is given as payload lies over the task's own.
    "task": "1XtQA0Z15N3fqKZuzPKESUsTIW1",
    "payload": {"format": "CSV"},
}
"""


def _pages(run: Run) -> list[tuple[str, str]]:
    return [
        ("process", reverse("admin:extraction_process_change", args=[pk]))
        for pk in Process.objects.filter(run=run).values_list("pk", flat=True)
    ]


def work_of_schedule(arguments: Mapping[str, Any], owner: Any, schedule: str) -> Work:
    """Raises `Rejected` for what names no task of the owner's, or would not run."""
    task = task_named(arguments, owner)
    given = {name: value for name, value in arguments.items() if name != "task"}
    processes.plan_run(task=task, given=given)
    return Work(task.owner, task.name or task.id, {"task": task.id, "given": given}, webhook=task.webhook)


def task_named(arguments: Mapping[str, Any], owner: Any) -> ExtractionTask:
    id = arguments.get("task")
    rows = ExtractionTask.objects.visible_to(owner).select_related("owner")
    task: ExtractionTask | None = rows.filter(id=id).first() if isinstance(id, str) else None
    if task is None:
        detail = "Must be the id of one of the owner's extraction tasks."
        raise Rejected(detail, errors=[{"path": "task", "detail": detail}])
    return task


KINDS = [
    Kind(
        KIND,
        SCHEDULED,
        QUEUE,
        copied=process_lifecycle.run_copied,
        ended=process_lifecycle.run_ended,
        pages=_pages,
        sweep=process_lifecycle.sweep,
        waiting=slices.waiting_runs,
        prune=retention.prune,
        event=webhook_payload.EVENT,
        told=webhook_payload.told,
        message=webhook_payload.message,
    ),
    Kind(PURGE, "extraction.tasks.purge", QUEUE),
    Kind(DELIVERY, "extraction.tasks.delivery", QUEUE, attempts=len(WAITS) + 1, wait=retry_delay),
]
SCHEDULED_EXTRACTION = Schedulable(KIND, "ScheduledExtraction", (SCHEDULED,), EXAMPLE, work_of_schedule)
