"""Carrying deliveries out: a result to where its task wants it, once more later where that fails."""

from io import BytesIO
from typing import IO, Any

from django.db import transaction

from extraction.delivery.transfer import deliver
from extraction.domain.destinations import Destination, parse_destinations
from extraction.models import Process, Task
from extraction.services.delivery_queue import test_name
from extraction.services.processes import note
from extraction.services.results import opened
from taskhub.errors import Failed, Problem
from taskhub.outbound import configured_policy
from taskhub.runs import queue as runs
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import hiding

TEST = b"taskhub can write here.\n"


def carry(execution: Execution) -> None:
    """One attempt. Raises the `Problem` of what cannot be delivered, or not yet."""
    if "task" in execution.run.arguments:
        task = Task.objects.filter(id=execution.run.arguments["task"], removed_at__isnull=True).first()
        if task is None:
            raise Failed("Its task is deleted.")
        _deliver(execution, task.delivery, test_name(task), BytesIO(TEST), len(TEST))
        return
    process = Process.objects.filter(id=execution.run.arguments["process"], removed_at__isnull=True).first()
    if process is None or not process.results:
        raise Failed("The result is gone.")
    try:
        _carry_result(execution, process)
    except Problem as problem:
        note(process, f"not delivered to {execution.run.name}: {problem.detail}")
        raise


def _carry_result(execution: Execution, process: Process) -> None:
    try:
        file = opened(process.results)
    except FileNotFoundError:
        raise Failed("The result is not where it was put.") from None
    with file:
        _deliver(execution, process.delivery, process.results, file, file.size, process)


def _deliver(
    execution: Execution, given: Any, name: str, file: IO[bytes], size: int, process: Process | None = None
) -> None:
    place = execution.run.arguments["place"]
    destinations: list[Destination] = parse_destinations(given)
    if place >= len(destinations):
        raise Failed("The destination is gone.")
    with hiding(given):
        deliver(destinations[place], name, file, size, configured_policy())
    with transaction.atomic():
        runs.confirm(run=execution.run)
        if process:
            note(process, f"delivered to {execution.run.name}: {size} bytes")
        execution.succeed({"to": execution.run.name, "bytes": size})
