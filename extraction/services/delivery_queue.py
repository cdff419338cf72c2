"""Deliveries of results: written down as runs, in the transaction in which a result is finished."""

from typing import Any

from django.db import transaction

from extraction.domain.destinations import Destination, parse_destinations
from extraction.models import Process, Task
from taskhub.runs import queue as runs
from taskhub.runs.models import Run

DELIVERY = "delivery"
WAITS = (10, 60, 300, 1800, 3600)  # seconds after each attempt that may succeed later


def wait(attempt: int) -> float:
    return WAITS[min(attempt, len(WAITS)) - 1]


def stored(destinations: list[Destination]) -> list[dict[str, Any]]:
    """As tasks and processes keep them, encrypted."""
    return [{"type": one.kind, "path": one.path, **one.options} for one in destinations]


def dispatch(*, process: Process) -> None:
    """In the caller's transaction: what the result of a process is to be delivered to."""
    for place, destination in enumerate(parse_destinations(process.delivery)):
        name = destination.to(process.results)
        _accept(process.owner, name, {"process": process.id, "place": place}, process.run)


def dispatch_test(*, task: Task) -> list[Run]:
    """A small file to each destination of a task."""
    with transaction.atomic():
        return [
            _accept(task.owner, destination.to(test_name(task)), {"task": task.id, "place": place}, None)
            for place, destination in enumerate(parse_destinations(task.delivery))
        ]


def test_name(task: Task) -> str:
    return f"taskhub-test-{task.id}.txt"


def _accept(owner: Any, name: str, arguments: dict[str, Any], parent: Run | None) -> Run:
    run = runs.accept(kind=DELIVERY, owner=owner, name=name[:200], arguments=arguments, parent=parent)
    transaction.on_commit(lambda: runs.enqueue(run))
    return run
