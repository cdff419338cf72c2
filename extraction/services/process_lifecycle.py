"""Processes on their way: begun, carried by workers' turns, set aside for credits, taken up again, ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Coalesce, Extract, Now
from django.utils import timezone

from extraction.domain.page_reader import page_key
from extraction.domain.payload import Payload
from extraction.domain.process_status import OPEN, PageState, ProcessStatus
from extraction.models import ExtractionPage, ExtractionTask, Process, Slice
from extraction.services import credits, slices
from extraction.services.deliveries import queue_deliveries
from extraction.services.payloads import load_payload
from extraction.services.processes import create_process, plan_run, process_summary, submit_run
from extraction.services.slices import add_note
from taskhub.errors import Conflict
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution

QUIET = timedelta(minutes=10)  # for which a process may have nothing to tell, as while a server wants to be left alone
OVERDUE_AT_ONCE = 100
RESUMED_AT_ONCE = 100
COUNTS = ("pages", "failed", "records", "requests", "responses", "cost")  # that a run's result tells
_STATES = {State.REVOKED: ProcessStatus.CANCELED, State.FAILURE: ProcessStatus.FAILED}


def begin(execution: Execution) -> None:
    """Puts the first page of a process into the ledger; its pages are then fetched in slices, by whoever has time."""
    process = process_of(execution.run) or _scheduled(execution.run)
    if process is None:
        execution.fail("ProcessGone", "Its process is deleted.")
        return
    with transaction.atomic():
        runs.confirm(run=execution.run)
        row = slices.lock_process(process.pk)
        if row and row.main is None:
            payload = load_payload(process)
            add_note(row, f"started: {payload.first_request.url}")
            add_first_pages(process=row, payload=payload)
        execution.detach(timezone.now() + QUIET)


def add_first_pages(*, process: Process, payload: Payload) -> None:
    """Starts a process with its first page, in the caller's transaction; a search with that of each keyword."""
    keys = {page_key(0, url): url for url in payload.first_addresses()}
    pages = (ExtractionPage(process=process, key=key, chain=key, url=url) for key, url in keys.items())
    ExtractionPage.objects.bulk_create(pages, 1000)
    rows = Process.objects.filter(pk=process.pk)
    rows.update(main=payload.main, started_at=Now(), pages=len(keys), open=len(keys))


def _scheduled(run: Run) -> Process | None:
    """The new process of a run that a schedule started."""
    task = (
        ExtractionTask.objects.filter(id=run.arguments.get("task"), removed_at__isnull=True)
        .select_related("owner")
        .first()
    )
    if task is None:
        return None
    value, payload = plan_run(task=task, given=run.arguments.get("given", {}))
    with transaction.atomic():
        runs.confirm(run=run)
        return create_process(task, task.owner, value, payload, run)


def process_of(run: Run) -> Process | None:
    """The process that a run is of, if it is there."""
    return Process.objects.filter(run=run, removed_at__isnull=True).select_related("owner").first()


def run_ended(run: Run) -> None:
    """In the transaction that ends a run: its process has ended, too; what it has so far is written to a file."""
    going_on = Process.objects.filter(run_id=run.pk, status__in=(ProcessStatus.RUNNING, ProcessStatus.PENDING))
    process = going_on.select_for_update(no_key=True).first()
    if process is None:
        return
    process.status = _STATES.get(State(run.state), ProcessStatus.FINISHED)
    process.error = (run.error or {}).get("message", "")
    process.unwritten = process.removed_at is None
    process.missing = 0
    process.finished_at = timezone.now()
    process.save(update_fields=("status", "error", "unwritten", "missing", "finished_at"))
    slices.release_all(process=process)
    add_note(process, process.status + (f": {process.error}" if process.error else ""))


def finish_process(*, process: Process, results: str, size: int) -> bool:
    """Ends a process whose pages have all ended and whose result is written; False when it has ended otherwise."""
    with transaction.atomic():
        lock_run(process)
        row = slices.lock_process(process.pk)
        if row is None or not row.unwritten or (row.status == ProcessStatus.RUNNING and row.open):
            return False
        Process.objects.filter(pk=row.pk).update(unwritten=False, results=results, size=size)
        if row.status == ProcessStatus.RUNNING:
            row.results = results
            _end(row, results)
        elif row.run and row.run.webhook:
            row.results = results
            event = "process.pending" if row.status == ProcessStatus.PENDING else "process.finished"
            runs.queue_webhook(run=row.run, event=event, data=process_summary(row))
        return True


def _end(process: Process, results: str) -> None:
    # What would follow a failed page of the main list cannot be known; and a process most of whose pages failed did not
    # do what it was asked for.
    failed = process.main_failed or process.failed * 2 > process.pages
    status = ProcessStatus.FAILED if failed else ProcessStatus.FINISHED
    process.error = _failure_text(process) if failed else ""
    Process.objects.filter(pk=process.pk).update(status=status, error=process.error, finished_at=Now())
    if process.delivery and not failed:
        queue_deliveries(process=process)
    add_note(process, f"{status}: {process.pages} pages, {process.failed} failed, {process.records} records")
    if process.run_id:
        counts = {name: getattr(process, name) for name in COUNTS}
        result = {"process": process.id, "results": results, **counts}
        error = {"type": "PagesFailed", "message": process.error} if failed else None
        state = State.FAILURE if failed else State.SUCCESS
        runs.finish_detached(run_id=process.run_id, state=state, result=result, error=error)


def _failure_text(process: Process) -> str:
    if process.task_id is None:
        return str(ExtractionPage.objects.filter(process=process).values_list("error", flat=True).first() or "")
    if process.main_failed:
        return "A page of the main list failed, and with it what follows it; GET /v1/process/{id}/pages tells why."
    return f"{process.failed} of {process.pages} pages failed; GET /v1/process/{{id}}/pages tells why."


def mark_fetched(*, process: Process) -> None:
    """Says that all pages have ended: the result is to be written next."""
    Process.objects.filter(pk=process.pk, open=0, status__in=(ProcessStatus.RUNNING, ProcessStatus.PENDING)).update(
        unwritten=True, status=ProcessStatus.RUNNING, missing=0
    )


def suspend_for_credits(*, process: Process) -> None:
    """Sets a process aside whose owner has no credits left, or that may cost no more."""
    with transaction.atomic():
        lock_run(process)
        row = slices.lock_process(process.pk)
        if row is None or row.status != ProcessStatus.RUNNING or not row.open:
            return
        capped = row.max_credits is not None and row.cost + row.price > row.max_credits
        missing = max(1, row.open * row.price)
        Process.objects.filter(pk=row.pk).update(
            status=ProcessStatus.PENDING, missing=missing, capped=capped, unwritten=True
        )
        message = f"{'The cap of this run is reached' if capped else 'The credits ran out'}; {missing} more are needed."
        add_note(row, f"pending: {message}")
        if row.run_id:
            runs.suspend(run_id=row.run_id, error={"type": "CreditsMissing", "message": message})


def end_slice(*, slice: Slice, rest_until: datetime | None = None) -> None:
    """Ends a worker's own turn; what it had claimed and reserved is free again, and processes may go on with it.

    `rest_until` is when the process's servers can be asked again.
    """
    with transaction.atomic():
        process = slices.lock_process(slice.process_id)
        if process and rest_until:
            Process.objects.filter(pk=process.pk).update(rest_until=rest_until)
        rest = slices.release(slice=slice, process=process, lost=False) if process else 0
    if rest and process:
        resume_waiting(process.owner_id)


def fail(*, process: Process, error: Mapping[str, str]) -> None:
    """Ends a process that cannot go on."""
    with transaction.atomic():
        if process.run_id:
            runs.finish_detached(run_id=process.run_id, state=State.FAILURE, error=dict(error))


def save_renders(*, process: Process, renders: Mapping[str, bool], text: str) -> None:
    """Keeps whether rendering a page that had no record did help."""
    Process.objects.filter(pk=process.pk).update(renders=dict(renders))
    add_note(process, text)


def save_progress(*, process: Process, run: Run) -> None:
    """The counts of a process as its run's progress."""
    message = f"{process.records} records, {process.failed} pages failed"
    progress = {"done": process.pages - process.open, "total": process.pages, "message": message}
    runs.save_progress(run=run, progress=progress, until=timezone.now() + QUIET)


def sweep() -> None:
    """What the leader does every second: frees slices of lost workers, goes on where credits came,
    ends what is overdue."""
    for slice in slices.lapsed_slices():
        with transaction.atomic():
            process = slices.lock_process(slice.process_id)
            if process and slices.release(slice=slice, process=process, lost=True) is not None:
                add_note(process, f"worker lost: {slice.worker}")
                mark_fetched(process=process)
    resume_waiting()
    for process in _overdue():
        fail(process=process, error={"type": "TimeLimitExceeded", "message": "Its time is over."})


def _overdue() -> list[Process]:
    """Those that run for longer than their owner's limit, or that of the settings."""
    limit = Coalesce("owner__extraction_account__max_seconds", settings.EXTRACTION_MAX_SECONDS)
    age = Extract(ExpressionWrapper(Now() - F("started_at"), DurationField()), "epoch")
    running = Process.objects.filter(status=ProcessStatus.RUNNING, run__isnull=False)
    return list(running.annotate(age=age, limit=limit).filter(age__gt=F("limit"))[:OVERDUE_AT_ONCE])


def retry_process(*, process: Process, max_credits: int | None = None) -> Process:
    """Goes on with an ended process: its failed pages, and those that were never asked for, under a new run.

    One that waits for credits goes on, too, where it can. `max_credits` is a new cap. Raises `Conflict`.
    """
    with transaction.atomic():
        if max_credits is not None:
            Process.objects.filter(pk=process.pk).update(max_credits=max_credits)
        if process.status == ProcessStatus.PENDING:
            if not resume(process_id=process.pk):
                raise Conflict("The process waits for credits.", state=process.status)
        else:
            new = submit_run(process, process.run)
            _reopen(process, new)
        return Process.objects.select_related("run", "owner").get(pk=process.pk)


def run_copied(old: Run, new: Run) -> None:
    """In the transaction that accepts a retry of a run: its process goes on. Raises `Conflict`."""
    process = Process.objects.filter(run=old, removed_at__isnull=True).first()
    if process is None:
        raise Conflict("The run's process is deleted, or has a later run.")
    _reopen(process, new)


def _reopen(process: Process, run: Run) -> None:
    row = slices.lock_process(process.pk)
    if row is None or not row.ended:
        raise Conflict("The process has not ended.", state=row.status if row else "")
    if row.main is not None and not _reopen_failed_pages(row):
        raise Conflict("No page of the process failed, and none is left.", state=row.status)
    Process.objects.filter(pk=row.pk).update(
        run=run, status=ProcessStatus.RUNNING, finished_at=None, unwritten=False, error="", results="", missing=0
    )
    add_note(row, "taken up again")


def _reopen_failed_pages(process: Process) -> int:
    """Lets failed pages be asked for again; how many pages are open then."""
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED)
    process.failed -= failed.update(state=PageState.READY, attempt=0, lost=0, not_before=None, error="")
    process.open = ExtractionPage.objects.filter(process=process, state__in=OPEN).count()
    process.main_failed = False
    process.save(update_fields=("failed", "open", "main_failed"))
    return process.open


def resume(*, process_id: int) -> bool:
    """Takes a process up again that waits for credits, if it can go on now."""
    with transaction.atomic():
        process = Process.objects.filter(pk=process_id).first()
        run = lock_run(process) if process else None
        row = slices.lock_process(process_id)
        if row is None or row.status != ProcessStatus.PENDING or not _affordable(row):
            return False
        Process.objects.filter(pk=row.pk).update(status=ProcessStatus.RUNNING, missing=0, capped=False, unwritten=False)
        add_note(row, "goes on")
        if run:
            runs.resume(run=run)
        return True


def _affordable(process: Process) -> bool:
    if process.max_credits is not None and process.cost + process.price > process.max_credits:
        return False
    return credits.credit_account(process.owner_id).balance >= process.price


def resume_waiting(owner_id: UUID | None = None) -> int:
    """Takes up what waited for credits and can be paid now; how many processes."""
    waiting = Process.objects.filter(status=ProcessStatus.PENDING, capped=False)
    waiting = waiting.filter(
        owner__extraction_account__balance__gte=F("price"), owner__extraction_account__balance__gt=0
    )
    if owner_id:
        waiting = waiting.filter(owner_id=owner_id)
    ids = list(waiting.order_by("seq").values_list("pk", flat=True)[:RESUMED_AT_ONCE])
    return sum(resume(process_id=pk) for pk in ids)


def lock_run(process: Process) -> Run | None:
    """The run, held by the caller's transaction: it is locked before its process."""
    return Run.objects.select_for_update(of=("self",)).filter(pk=process.run_id).first() if process.run_id else None
