"""Makes the messages to webhooks of processes."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from extraction.models import Process
from extraction.services.processes import process_of_run, process_summary
from extraction.services.result_files import open_result
from extraction.services.signed_links import LOG, link_to
from taskhub.errors import Unavailable
from taskhub.runs.models import Run

EVENT = "process.finished"
INLINE_MAX = 1_000_000  # bytes of a JSON result that are sent along


def end_data(run: Run) -> dict[str, Any] | None:
    """The process of a run that ends; None while its result is still to be written: `finish_process` sends it then."""
    process = process_of_run(run)
    return process_summary(process) if process and not process.unwritten else None


def webhook_message(run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
    """The message to a webhook: the process as it was, links made now, and the records where they are small."""
    process = Process.objects.filter(id=data["id"], removed_at__isnull=True).first()
    if process is None:
        return dict(data)
    message = {**data, "logFile": link_to(process=process, content=LOG)}
    if process.results and process.results == data["results"]:
        message["resultsLink"] = link_to(process=process)
        if process.format == "json" and not process.gzip and process.size <= INLINE_MAX:
            with suppress(FileNotFoundError, Unavailable):
                message["resultsInline"] = _read_result(process)
    return message


def _read_result(process: Process) -> Any:
    with open_result(process.results) as file:
        return json.loads(file.read())
