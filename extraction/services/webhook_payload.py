"""What the webhooks of processes are told."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from extraction.models import Process
from extraction.services.processes import process_summary
from extraction.services.results import open_result
from extraction.services.signed_links import LOG, link_to
from taskhub.errors import Unavailable
from taskhub.runs.models import Run

EVENT = "process.finished"
INLINE_MAX = 1_000_000  # bytes of a JSON result that are sent along


def told(run: Run) -> dict[str, Any] | None:
    """In the transaction that ends a run; None while its result is still to be written, after which it is told."""
    process = Process.objects.filter(run_id=run.pk, removed_at__isnull=True).select_related("task").first()
    return process_summary(process) if process and not process.unwritten else None


def message(run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
    """The process as it was, with links as they are now, and the records themselves where they are small."""
    process = Process.objects.filter(id=data["id"], removed_at__isnull=True).first()
    if process is None:
        return dict(data)
    whole = {**data, "logFile": link_to(process=process, what=LOG)}
    if process.results and process.results == data["results"]:
        whole["resultsLink"] = link_to(process=process)
        if process.format == "json" and not process.gzip and process.size <= INLINE_MAX:
            with suppress(FileNotFoundError, Unavailable):
                whole["resultsInline"] = _read(process)
    return whole


def _read(process: Process) -> Any:
    with open_result(process.results) as file:
        return json.loads(file.read())
