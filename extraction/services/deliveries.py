"""Delivers results to destinations. A delivery is queued when a result is finished, and is a run of its own.

An attempt that fails is made again later, where that may help.
"""

import logging
from io import BytesIO
from typing import IO, Any

from django.db import transaction

from extraction.delivery.transfer import deliver
from extraction.domain.destinations import load_destinations
from extraction.domain.kind_names import DELIVERY
from extraction.models import ExtractionTask, Process
from extraction.services.process_notes import add_note
from extraction.services.result_files import open_result
from taskhub.errors import Failed, Problem
from taskhub.outbound import configured_policy
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import hiding

RETRY_DELAYS = (10, 60, 300, 1800, 3600)  # seconds after each attempt that may succeed later
TEST_CONTENT = b"taskhub can write here.\n"


def queue_deliveries(*, process: Process) -> None:
    """Queues the result of a process for each of its destinations, in the caller's transaction."""
    for place, destination in enumerate(load_destinations(process.delivery)):
        name = destination.describe(process.results)
        _submit(process.owner, name, {"process": process.id, "place": place}, process.run)


def queue_test_deliveries(*, task: ExtractionTask) -> list[Run]:
    """Queues a small file for each destination of a task."""
    with transaction.atomic():
        return [
            _submit(task.owner, destination.describe(test_name(task)), {"task": task.id, "place": place}, None)
            for place, destination in enumerate(load_destinations(task.delivery))
        ]


def test_name(task: ExtractionTask) -> str:
    return f"taskhub-test-{task.id}.txt"


def _submit(owner: Any, name: str, arguments: dict[str, Any], parent: Run | None) -> Run:
    return runs.submit(kind=DELIVERY, owner=owner, name=name[:200], arguments=arguments, parent=parent)


def perform_delivery(execution: Execution) -> None:
    """Makes one attempt at a delivery. Raises the `Problem` of what cannot be delivered, or not yet."""
    if "task" in execution.run.arguments:
        task = ExtractionTask.objects.filter(id=execution.run.arguments["task"], removed_at__isnull=True).first()
        if task is None:
            raise Failed("Its task is deleted.")
        _deliver(execution, task.delivery, test_name(task), BytesIO(TEST_CONTENT), len(TEST_CONTENT))
        return
    process = Process.objects.filter(id=execution.run.arguments["process"], removed_at__isnull=True).first()
    if process is None or not process.results:
        raise Failed("The result is gone.")
    try:
        _deliver_result(execution, process)
    except Problem as problem:
        add_note(process, f"not delivered to {execution.run.name}: {problem.detail}")
        raise


def _deliver_result(execution: Execution, process: Process) -> None:
    try:
        file = open_result(process.results)
    except FileNotFoundError:
        raise Failed("The result is not where it was put.") from None
    with file:
        _deliver(execution, process.delivery, process.results, file, file.size, process)


def _deliver(
    execution: Execution, delivery: Any, name: str, file: IO[bytes], size: int, process: Process | None = None
) -> None:
    place = execution.run.arguments["place"]
    destinations = load_destinations(delivery)
    if place >= len(destinations):
        raise Failed("The destination is gone.")
    with hiding(delivery):
        deliver(destinations[place], name, file, size, configured_policy(), execution.check)
    execution.log_line(logging.INFO, f"delivered to {execution.run.name}: {size} bytes")
    with transaction.atomic():
        runs.confirm(run=execution.run)
        if process:
            add_note(process, f"delivered to {execution.run.name}: {size} bytes")
        execution.succeed({"to": execution.run.name, "bytes": size})
