"""A process in the words of dataflow_tasks.md."""

from datetime import datetime
from typing import Any

from extraction.models import Process


def outline(process: Process) -> dict[str, Any]:
    """As it is shown, but for the links, which are made when they are asked for."""
    return {
        "id": process.id,
        "status": process.status,
        "taskID": process.task.id if process.task else "",
        "startedAt": unix(process.started_at),
        "finishedAt": unix(process.finished_at),
        "requestCount": process.requests,
        "responseCount": process.responses,
        "results": process.results,
        "missingCredits": process.missing,
        "cost": process.cost,
    }


def unix(when: datetime | None) -> str | None:
    """Unix time in whole seconds, as a text."""
    return str(int(when.timestamp())) if when else None
