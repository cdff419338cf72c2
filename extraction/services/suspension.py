"""Suspends processes whose owner has no credits left, or that may cost no more, and resumes them."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from extraction.domain.process_status import ProcessStatus
from extraction.domain.result_formats import SAMPLES, file_name
from extraction.models import Process
from extraction.services import slices
from extraction.services.credits import credit_account
from extraction.services.process_notes import add_note
from taskhub.runs import queue as runs
from taskhub.runs.domain import NotificationEvent

RESUMED_AT_ONCE = 100


def suspend_for_credits(*, process: Process) -> None:
    """Suspends a running process that cannot pay for its next page."""
    with transaction.atomic():
        run = slices.lock_run(process)
        row = slices.lock_process(process.pk)
        if row is None or row.status != ProcessStatus.RUNNING or not row.open:
            return
        capped, missing = row.cap_reached, max(1, row.open * row.price)
        results = file_name(row.id, row.format, gzip=row.gzip)
        Process.objects.filter(pk=row.pk).update(
            status=ProcessStatus.PENDING, missing=missing, capped=capped, unwritten=True, results=results
        )
        message = f"{'The cap of this run is reached' if capped else 'The credits ran out'}; {missing} more are needed."
        add_note(row, f"pending: {message}")
        if run:
            runs.suspend(run_id=run.pk, error={"type": "CreditsMissing", "message": message})
            run.refresh_from_db(fields=("state", "error"))
            if row.format not in SAMPLES:  # who asked for one waits for it
                runs.notify_of_run(event=NotificationEvent.PROCESS_PENDING, run=run, title=f"waits: {message}")


def resume_process(*, process_id: int) -> bool:
    """Resumes a process that waits for credits; False where it cannot pay for a page yet."""
    with transaction.atomic():
        process = Process.objects.filter(pk=process_id).first()
        run = slices.lock_run(process) if process else None
        row = slices.lock_process(process_id)
        if row is None or row.status != ProcessStatus.PENDING or not _affordable(row):
            return False
        changes: dict[str, Any] = {"results": ""} if row.unwritten else {}  # its file was not written yet
        Process.objects.filter(pk=row.pk).update(
            status=ProcessStatus.RUNNING, missing=0, capped=False, unwritten=False, **changes
        )
        add_note(row, "resumed")
        if run:
            runs.resume(run=run)
        return True


def _affordable(process: Process) -> bool:
    """Whether a process can pay for another page."""
    return not process.cap_reached and credit_account(process.owner_id).balance >= process.price


def resume_waiting(owner_id: UUID | None = None) -> int:
    """Resumes processes, of one owner or of all, that wait for credits and can pay now; returns how many."""
    waiting = Process.objects.filter(status=ProcessStatus.PENDING, capped=False)
    waiting = waiting.filter(
        owner__extraction_account__balance__gte=F("price"), owner__extraction_account__balance__gt=0
    )
    if owner_id:
        waiting = waiting.filter(owner_id=owner_id)
    ids = list(waiting.order_by("seq").values_list("pk", flat=True)[:RESUMED_AT_ONCE])
    return sum(resume_process(process_id=pk) for pk in ids)
