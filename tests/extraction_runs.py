"""Processes of extraction that are carried out in the test itself, without a hub."""

import time
from typing import Any

from extraction import worker_loop
from extraction.models import Process
from extraction.services import process_lifecycle, processes, tasks
from extraction.services.results import ResultExport
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_sites import Site

LINKS = [{"name": "item", "selector": "li a", "attrs": ["href", "text"]}]


def begun(owner: Person, site: Site, **payload: Any) -> Process:
    """A process whose first page is in the ledger."""
    sent = {"request": {"url": f"{site.url}/"}, "fields": LINKS, **payload}
    task = tasks.create_task(owner=owner.user, body=sent)
    process = processes.run_task(task=task)
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    return process


def carried(process: Process, seconds: float = 20) -> Process:
    """The process when nothing is left to do for a worker."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        worker_loop.work_on_slices(node="extraction@test")
        process.refresh_from_db()
        if process.ended or process.status == "pending":
            worker_loop.work_on_slices(node="extraction@test")
            break
        time.sleep(0.02)
    process.refresh_from_db()
    return process


def extracted(owner: Person, site: Site, **payload: Any) -> Process:
    return carried(begun(owner, site, **payload))


def records(process: Process) -> list[dict[str, Any]]:
    return list(ResultExport(process).records())
