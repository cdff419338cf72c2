"""The kinds of runs of extraction: processes, removals and deliveries; and extractions that schedules start."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse

from extraction.domain.kind_names import DELIVERY, EXTRACTION, REMOVAL, SCHEDULED_TASK
from extraction.domain.result_formats import SAMPLES
from extraction.models import ExtractionTask, Process
from extraction.services import process_endings, process_lifecycle, processes, retention, slices, webhook_payload
from extraction.services.deliveries import RETRY_DELAYS
from extraction.services.tasks import find_task
from taskhub.errors import Rejected
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget

QUEUE = "extraction"
EXAMPLE = """{
    // The id of the task; `payload` is merged into the task's own for this run.
    "task": "1XtQA0Z15N3fqKZuzPKESUsTIW1",
    "payload": {"format": "CSV"},
}
"""


class ProcessKind(RunKind):
    """Runs of processes. Their pages are fetched in slices, while the run is detached."""

    name = EXTRACTION
    task = SCHEDULED_TASK
    queue = QUEUE
    webhook_event = webhook_payload.EVENT

    def on_retry(self, old: Run, new: Run) -> None:
        process_lifecycle.reopen_for_retry(old, new)

    def retry_with(self, run: Run, arguments: Mapping[str, Any]) -> Run:
        """A new process, whose payload `payload` is merged into, with another `maxCredits`."""
        return processes.retry_with(run=run, overrides=arguments)

    def on_end(self, run: Run) -> None:
        process_endings.end_with_run(run)

    def notifies_of(self, run: Run) -> bool:
        """Nobody is told of a sample: who asked for it waits for its end."""
        return not Process.objects.filter(run_id=run.pk, format__in=SAMPLES).exists()

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [
            ("process", reverse("admin:extraction_process_change", args=[pk]))
            for pk in Process.objects.filter(run=run).values_list("pk", flat=True)
        ]

    def webhook_data(self, run: Run) -> dict[str, Any] | None:
        return webhook_payload.end_data(run)

    def webhook_message(self, run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
        return webhook_payload.webhook_message(run, data)

    def sweep(self) -> None:
        process_lifecycle.sweep()

    def detached_runs_with_work(self) -> list[UUID]:
        return slices.runs_with_work()

    def seconds_untaken(self) -> float:
        return slices.seconds_untaken()

    def slots_taken(self) -> int:
        return slices.workers_busy()

    def prune(self) -> int:
        return retention.prune()


class TaskRemovalKind(RunKind):
    """Runs that remove deleted tasks."""

    name = REMOVAL
    task = "extraction.tasks.purge"
    queue = "removal"
    is_secondary = True


class ResultDeliveryKind(RunKind):
    """Runs that deliver one result to one destination."""

    name = DELIVERY
    task = "extraction.tasks.delivery"
    queue = "deliveries"
    retry_delays = RETRY_DELAYS
    is_secondary = True


KINDS = (ProcessKind, TaskRemovalKind, ResultDeliveryKind)


class ExtractionTarget(ScheduleTarget):
    """Extraction tasks that schedules run."""

    kind = EXTRACTION
    title = "ScheduledExtraction"
    tasks = (SCHEDULED_TASK,)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        """Plans the run of a task. Raises `Rejected` for arguments that name no task of the owner's, or cannot run."""
        task = task_named(arguments, owner)
        overrides = {name: value for name, value in arguments.items() if name != "task"}
        processes.plan_run(task=task, overrides=overrides)
        arguments = {"task": task.id, "given": overrides}
        return PlannedRun(task.owner, task.name or task.id, arguments, webhook=task.webhook)


def task_named(arguments: Mapping[str, Any], owner: Any) -> ExtractionTask:
    """The task that a schedule's arguments name. Raises `Rejected`."""
    id = arguments.get("task")
    task = find_task(id=id, user=owner) if isinstance(id, str) else None
    if task is None:
        detail = "Must be the id of one of the owner's extraction tasks."
        raise Rejected(detail, errors=[{"path": "task", "detail": detail}])
    return task
