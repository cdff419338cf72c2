"""Processes on their way: begun, carried by workers' turns, set aside for credits, taken up again, ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Coalesce, Extract, Now
from django.utils import timezone

from extraction.domain.process_status import Status, outcome
from extraction.models import Page, Process, Slice, Task
from extraction.services import page_ledger, slices
from extraction.services.delivery_queue import dispatch
from extraction.services.process_resumption import hold_run, resume_waiting
from extraction.services.processes import create_process, note, planned
from extraction.services.serialize import outline
from extraction.services.tasks import payload_of
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution

QUIET = timedelta(minutes=10)  # for which a process may have nothing to tell, as while a server wants to be left alone
OVERDUE_AT_ONCE = 100
_STATES = {State.REVOKED: Status.CANCELED, State.FAILURE: Status.FAILED}


def begin(execution: Execution) -> None:
    """Puts the first page of a process into the ledger; its pages are then fetched in slices, by whoever has time."""
    process = process_of(execution.run) or _scheduled(execution.run)
    if process is None:
        execution.fail("ProcessGone", "Its process is deleted.")
        return
    with transaction.atomic():
        runs.confirm(run=execution.run)
        row = slices.locked(process.pk)
        if row and row.main is None:
            payload = payload_of(process)
            note(row, f"started: {payload.request.url}")
            page_ledger.seed(process=row, payload=payload)
            Process.objects.filter(pk=row.pk).update(started_at=Now())
        execution.hand_over(timezone.now() + QUIET)


def _scheduled(run: Run) -> Process | None:
    """The new process of a run that a schedule started."""
    task = Task.objects.filter(id=run.arguments.get("task"), removed_at__isnull=True).select_related("owner").first()
    if task is None:
        return None
    value, payload = planned(task=task, given=run.arguments.get("given", {}))
    with transaction.atomic():
        runs.confirm(run=run)
        return create_process(task, task.owner, value, payload, run)


def process_of(run: Run) -> Process | None:
    """The process that a run is of, if it is there."""
    return Process.objects.filter(run=run, removed_at__isnull=True).select_related("owner").first()


def run_ended(run: Run) -> None:
    """In the transaction that ends a run: its process has ended, too; what it has so far is written to a file."""
    found = Process.objects.filter(run_id=run.pk).first()
    process = slices.locked(found.pk) if found else None
    if process is None or process.ended:
        return
    process.status = _STATES.get(State(run.state), Status.FINISHED)
    process.error = (run.error or {}).get("message", "")
    process.unwritten = process.removed_at is None
    process.missing = 0
    process.finished_at = timezone.now()
    process.save(update_fields=("status", "error", "unwritten", "missing", "finished_at"))
    slices.release_all(process=process)
    note(process, process.status + (f": {process.error}" if process.error else ""))


def settle(*, process: Process, results: str, size: int) -> bool:
    """Ends a process whose pages have all ended and whose result is written; False when it has ended otherwise."""
    with transaction.atomic():
        hold_run(process)
        row = slices.locked(process.pk)
        if row is None or not row.unwritten or (row.status == Status.RUNNING and row.open):
            return False
        Process.objects.filter(pk=row.pk).update(unwritten=False, results=results, size=size)
        if row.status == Status.RUNNING:
            row.results = results
            _end(row, results)
        elif row.run and row.run.webhook:
            row.results = results
            event = "process.pending" if row.status == Status.PENDING else "process.finished"
            runs.notify(run=row.run, event=event, data=outline(row))
        return True


def _end(process: Process, results: str) -> None:
    status = outcome(main_failed=process.main_failed, pages=process.pages, failed=process.failed)
    process.error = _words(process) if status == Status.FAILED else ""
    Process.objects.filter(pk=process.pk).update(status=status, error=process.error, finished_at=Now())
    if status == Status.FINISHED:
        dispatch(process=process)
    note(process, f"{status}: {process.pages} pages, {process.failed} failed, {process.records} records")
    told = {"process": process.id, "results": results, **counts(process)}
    if process.run_id:
        error = {"type": "PagesFailed", "message": process.error} if status == Status.FAILED else None
        state = State.FAILURE if error else State.SUCCESS
        runs.settle(run_id=process.run_id, state=state, result=told, error=error)


def _words(process: Process) -> str:
    if process.task_id is None:
        return str(Page.objects.filter(process=process).values_list("error", flat=True).first() or "")
    if process.main_failed:
        return "A page of the main list failed, and with it what follows it; GET /v1/process/{id}/pages tells why."
    return f"{process.failed} of {process.pages} pages failed; GET /v1/process/{{id}}/pages tells why."


def counts(process: Process) -> dict[str, int]:
    return {name: getattr(process, name) for name in ("pages", "failed", "records", "requests", "responses", "cost")}


def fetched_all(*, process: Process) -> None:
    """Says that all pages have ended: the result is to be written next."""
    Process.objects.filter(pk=process.pk, open=0, status__in=(Status.RUNNING, Status.PENDING)).update(
        unwritten=True, status=Status.RUNNING, missing=0
    )


def wait_for_credits(*, process: Process) -> None:
    """Sets a process aside whose owner has no credits left, or that may cost no more."""
    with transaction.atomic():
        hold_run(process)
        row = slices.locked(process.pk)
        if row is None or row.status != Status.RUNNING or not row.open:
            return
        capped = row.max_credits is not None and row.cost + row.price > row.max_credits
        missing = max(1, row.open * row.price)
        Process.objects.filter(pk=row.pk).update(status=Status.PENDING, missing=missing, capped=capped, unwritten=True)
        message = f"{'The cap of this run is reached' if capped else 'The credits ran out'}; {missing} more are needed."
        note(row, f"pending: {message}")
        if row.run_id:
            runs.set_aside(run_id=row.run_id, error={"type": "CreditsMissing", "message": message})


def leave(*, slice: Slice, rest_until: datetime | None = None) -> None:
    """Ends a worker's own turn; what it had claimed and reserved is free again, and processes may go on with it.

    `rest_until` is when the process's servers can be asked again.
    """
    with transaction.atomic():
        process = slices.locked(slice.process_id)
        if process and rest_until:
            Process.objects.filter(pk=process.pk).update(rest_until=rest_until)
        rest = slices.release(slice=slice, process=process, lost=False) if process else 0
    if rest and process:
        resume_waiting(process.owner_id)


def fail(*, process: Process, error: Mapping[str, str]) -> None:
    """Ends a process that cannot go on."""
    with transaction.atomic():
        if process.run_id:
            runs.settle(run_id=process.run_id, state=State.FAILURE, error=dict(error))


def rendered(*, process: Process, renders: Mapping[str, bool], text: str) -> None:
    """Keeps whether rendering a page that had no record did help."""
    Process.objects.filter(pk=process.pk).update(renders=dict(renders))
    note(process, text)


def tell(*, process: Process, run: Run) -> None:
    """The counts of a process as its run's progress."""
    message = f"{process.records} records, {process.failed} pages failed"
    progress = {"done": process.pages - process.open, "total": process.pages, "message": message}
    runs.tell_progress(run=run, progress=progress, until=timezone.now() + QUIET)


def sweep() -> None:
    """What the leader does every second: frees slices of lost workers, goes on where credits came,
    ends what is overdue."""
    for slice in slices.lapsed():
        with transaction.atomic():
            process = slices.locked(slice.process_id)
            if process and slices.release(slice=slice, process=process, lost=True) is not None:
                note(process, f"worker lost: {slice.worker}")
                fetched_all(process=process)
    resume_waiting()
    for process in _overdue():
        fail(process=process, error={"type": "TimeLimitExceeded", "message": "Its time is over."})


def _overdue() -> list[Process]:
    """Those that run for longer than their owner's limit, or that of the settings."""
    limit = Coalesce("owner__extraction_account__max_seconds", settings.EXTRACTION_MAX_SECONDS)
    age = Extract(ExpressionWrapper(Now() - F("started_at"), DurationField()), "epoch")
    running = Process.objects.filter(status=Status.RUNNING, run__isnull=False)
    return list(running.annotate(age=age, limit=limit).filter(age__gt=F("limit"))[:OVERDUE_AT_ONCE])
