"""Processes that go on: after a failure, after they were stopped, when credits came."""

from uuid import UUID

from django.db import transaction
from django.db.models import F

from extraction.domain.process_status import Status
from extraction.models import Process
from extraction.services import credits, page_ledger, slices
from extraction.services.processes import accept, note
from taskhub.errors import Conflict
from taskhub.runs import queue as runs
from taskhub.runs.models import Run

RESUMED_AT_ONCE = 100


def retry_process(*, process: Process, max_credits: int | None = None) -> Process:
    """Goes on with an ended process: its failed pages, and those that were never asked for, under a new run.

    One that waits for credits goes on, too, where it can. `max_credits` is a new cap. Raises `Conflict`. Call
    `runs.enqueue(process.run)` after the commit.
    """
    with transaction.atomic():
        if max_credits is not None:
            Process.objects.filter(pk=process.pk).update(max_credits=max_credits)
        if process.status == Status.PENDING:
            if not resume(process_id=process.pk):
                raise Conflict("The process waits for credits.", state=process.status)
        else:
            new = accept(process, process.run)
            _go_on(process, new)
        return Process.objects.select_related("run", "owner").get(pk=process.pk)


def run_copied(old: Run, new: Run) -> None:
    """In the transaction that accepts a retry of a run: its process goes on. Raises `Conflict`."""
    process = Process.objects.filter(run=old, removed_at__isnull=True).first()
    if process is None:
        raise Conflict("The run's process is deleted, or has a later run.")
    _go_on(process, new)


def _go_on(process: Process, run: Run) -> None:
    row = slices.locked(process.pk)
    if row is None or not row.ended:
        raise Conflict("The process has not ended.", state=row.status if row else "")
    if row.main is not None and not page_ledger.open_again(process=row):
        raise Conflict("No page of the process failed, and none is left.", state=row.status)
    Process.objects.filter(pk=row.pk).update(
        run=run, status=Status.RUNNING, finished_at=None, unwritten=False, error="", results="", missing=0
    )
    note(row, "taken up again")


def resume(*, process_id: int) -> bool:
    """Takes a process up again that waits for credits, if it can go on now."""
    with transaction.atomic():
        found = Process.objects.filter(pk=process_id).first()
        run = hold_run(found) if found else None
        row = slices.locked(process_id)
        if row is None or row.status != Status.PENDING or not _affordable(row):
            return False
        Process.objects.filter(pk=row.pk).update(status=Status.RUNNING, missing=0, capped=False, unwritten=False)
        note(row, "goes on")
        if run and runs.take_up(run_id=run.pk):
            transaction.on_commit(lambda: runs.enqueue(Run.objects.get(pk=run.pk)))
        return True


def _affordable(process: Process) -> bool:
    if process.max_credits is not None and process.cost + process.price > process.max_credits:
        return False
    return credits.account_of(process.owner_id).balance >= process.price


def resume_waiting(owner_id: UUID | None = None) -> int:
    """Takes up what waited for credits and can be paid now; how many processes."""
    waiting = Process.objects.filter(status=Status.PENDING, capped=False)
    waiting = waiting.filter(
        owner__extraction_account__balance__gte=F("price"), owner__extraction_account__balance__gt=0
    )
    if owner_id:
        waiting = waiting.filter(owner_id=owner_id)
    ids = list(waiting.order_by("seq").values_list("pk", flat=True)[:RESUMED_AT_ONCE])
    return sum(resume(process_id=pk) for pk in ids)


def hold_run(process: Process) -> Run | None:
    """The run, held by the caller's transaction: it is locked before its process."""
    return Run.objects.select_for_update(of=("self",)).filter(pk=process.run_id).first() if process.run_id else None
