"""Processes of extraction that are carried out in the test itself, without a hub."""

import time
from typing import Any

import orjson

from extraction import worker_loop
from extraction.domain.page_addresses import page_key
from extraction.domain.process_status import PageState
from extraction.models import ExtractionPage, Process
from extraction.services import page_table, process_lifecycle, processes, slices, tasks
from extraction.services.result_export import ResultExport
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, html

LINKS = [{"name": "item", "selector": "li a", "attrs": ["href", "text"]}]
DETAIL = {"fields": [{"name": "title", "selector": "h1"}]}


def begun(owner: Person, site: Site, **payload: Any) -> Process:
    """A process whose first page is in the ledger."""
    sent = {"request": {"url": f"{site.url}/"}, "fields": LINKS, **payload}
    task = tasks.create_task(owner=owner.user, body=sent)
    process = processes.run_task(task=task)
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    return process


def carried(process: Process, seconds: float = 60) -> Process:
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


def run_of(process: Process) -> Run:
    assert process.run_id
    return Run.objects.get(pk=process.run_id)


def page(process: Process, path: str) -> ExtractionPage:
    return ExtractionPage.objects.get(process=process, url__endswith=path)


def found_at_once(process: Process, urls: list[str]) -> None:
    """As if the first page had led to these, which wait."""
    slice, _ = slices.claim_slice(worker="first@test") or (None, None)
    assert slice
    [first] = page_table.claim_pages(slice=slice, limit=10)
    keys = [(page_key(1, url), url) for url in urls]
    found = [page_table.FoundPage(page_table.ClaimedPage(key, key, b"", 0, 1, url), mine=False) for key, url in keys]
    rows = orjson.dumps([{"item_details": [key.hex()]} for key, _ in keys])
    slices.reserve(slice=slice, wanted=10)
    outcome = page_table.PageOutcome(first, PageState.DONE, cost=1, records=rows, count=len(urls), found=found)
    page_table.write_batch(slice=slice, outcomes=[outcome], max_pages=1000)
    process_lifecycle.end_slice(slice=slice)


def listing(*paths: str, more: str = "") -> Reply:
    return html("".join(f'<li><a href="{path}">{path}</a></li>' for path in paths) + more)
