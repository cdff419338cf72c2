"""Removes what is deleted or past its retention: it is hidden at once, and removed in batches."""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from extraction.domain.downloads import DOWNLOAD_RULE
from extraction.domain.kind_names import REMOVAL
from extraction.domain.process_status import ProcessStatus
from extraction.domain.result_formats import SAMPLES
from extraction.models import CreditAccount, ExtractionPage, ExtractionTask, Process
from extraction.services import slices
from extraction.services.downloaded_files import delete_files
from extraction.services.result_files import delete_abandoned, delete_result
from extraction.services.tasks import lock_task, record_task
from taskhub.errors import Conflict
from taskhub.runs import queue as runs
from taskhub.runs.domain import ENDED
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution

BATCH = 5_000
PRUNED_AT_ONCE = 100  # processes
PRUNE_SECONDS = 1.0  # at once: the leader has other duties
SAMPLE_KEPT = timedelta(minutes=10)  # longer than anybody waits for a preview
SAMPLE_SOUGHT = timedelta(hours=2)  # of which processes are looked through; older ones go with all others

FILES_AT_ONCE = 200  # of a batch, which a storage elsewhere deletes one by one

_DELETE_PAGES = """
DELETE FROM extraction_page WHERE id = ANY(ARRAY(
    SELECT id FROM extraction_page WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED
))
"""


def delete_task(*, task: ExtractionTask) -> None:
    """Hides a task and its processes at once, and queues the removal of their rows and files."""
    with transaction.atomic():
        row = lock_task(task)
        ExtractionTask.objects.filter(pk=row.pk).update(removed_at=Now())
        Process.objects.filter(task=row).update(removed_at=Now())
        _queue_removal(row)
        record_task("delete", row)


def _queue_removal(task: ExtractionTask) -> None:
    """Submits the run that removes a task, in the caller's transaction: so no process that dies can forget it."""
    name = f"remove {task.name or task.id}"
    runs.submit(kind=REMOVAL, owner=task.owner, name=name[:200], arguments={"task": task.id})


def perform_removal(execution: Execution) -> None:
    """Removes a deleted task and its processes, batch by batch, so that a kill costs one batch."""
    task = ExtractionTask.objects.filter(id=execution.run.arguments["task"], removed_at__isnull=False).first()
    count = 0
    for process in Process.objects.filter(task=task) if task else ():
        while pages := remove_batch(process):
            count += pages
            execution.set_progress(count, message="pages removed")
    with transaction.atomic():
        if task:
            task.delete()
        execution.succeed({"pages": count})


def remove_batch(process: Process) -> int:
    """Hides and stops a process, and removes one batch of its pages, or else itself; returns how many rows, 0 for none
    left."""
    Process.objects.filter(pk=process.pk, removed_at__isnull=True).update(removed_at=Now())
    cancel_run(process)
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_PAGES, [_pages_without_files(process)])
        pages = int(cursor.rowcount)
    if pages or ExtractionPage.objects.filter(process=process).exists():
        return max(1, pages)
    if process.results:
        delete_result(process.results)
    with transaction.atomic():
        # Before its slices, which go with it: a worker that ends its own meanwhile locks them in this order.
        row = Process.objects.select_for_update().filter(pk=process.pk).first()
        rows: int = row.delete()[0] if row else 0
    return rows


def _pages_without_files(process: Process) -> list[int]:
    """The ids of one batch of a process's pages, whose files are deleted: one that is left would never be found."""
    rows = ExtractionPage.objects.filter(process=process).order_by("id").values_list("id", "rule", "key")[:BATCH]
    ids: list[int] = []
    files: list[bytes] = []
    for id, rule, key in rows:
        if len(files) == FILES_AT_ONCE:
            break
        ids.append(id)
        if rule == DOWNLOAD_RULE:
            files.append(bytes(key))
    delete_files(process, files)
    return ids


def cancel_run(process: Process) -> None:
    """Cancels the run of a process that is deleted, and with it the slices of workers."""
    run = Run.objects.filter(pk=process.run_id).exclude(state__in=ENDED).first() if process.run_id else None
    if run:
        with suppress(Conflict):  # it has ended meanwhile
            runs.cancel(run=run)


def _unneeded(processes: QuerySet[Process]) -> QuerySet[Process]:
    """Those processes that the next one of their task will not be compared with."""
    later = Process.objects.filter(
        task=OuterRef("task"), status=ProcessStatus.FINISHED, finished_at__gt=OuterRef("finished_at")
    )
    of_task = Q(compares=True, status=ProcessStatus.FINISHED, task__removed_at__isnull=True, removed_at__isnull=True)
    return processes.exclude(of_task & Q(task__isnull=False) & ~Exists(later))


def discard_process(process: Process) -> None:
    """Stops a process and removes it with its run, so that nothing of it is kept but what it cost.

    That is one transaction: where it is not carried out to its end, the process is there as before, and found again.
    """
    with transaction.atomic():
        run = slices.lock_run(process)
        if row := slices.lock_process(process.pk):  # as it is by now: it may have ended, with a file
            while remove_batch(row):
                pass
        if run:
            runs.remove(run=run)


def _left_samples() -> QuerySet[Process]:
    """Previews and suggestions that nobody has taken: who asked for them went away."""
    now = timezone.now()
    until = now - SAMPLE_KEPT
    ended = Q(finished_at__range=(now - SAMPLE_SOUGHT, until)) & ~Q(results="")
    waiting = Q(status=ProcessStatus.PENDING, created_at__lt=until)
    return Process.objects.filter(ended | waiting, format__in=SAMPLES)


def prune() -> int:
    """Removes processes past their retention, with their files, and samples that nobody has taken; for a second or so.

    Returns how many rows, at least `BATCH` where more may be left.
    """
    until = time.monotonic() + PRUNE_SECONDS
    delete_abandoned()
    since = timezone.now() - timedelta(days=settings.EXTRACTION_RETENTION_DAYS)
    samples = list(_left_samples()[:PRUNED_AT_ONCE])
    old = list(_unneeded(Process.objects.filter(finished_at__lt=since)).order_by("finished_at")[:PRUNED_AT_ONCE])
    for sample in samples:
        discard_process(sample)
    removed = len(samples)
    for process in old:
        while time.monotonic() < until and (rows := remove_batch(process)):
            removed += rows
    is_all = max(len(samples), len(old)) < PRUNED_AT_ONCE and time.monotonic() < until
    return removed if is_all else max(removed, BATCH)


def remove_of_owner(owner_id: UUID) -> int:
    """Removes one batch of what a deleted account owns; returns how many rows. Its credit account goes last."""
    if not CreditAccount.objects.filter(owner_id=owner_id).exists():
        return 0
    process: Any = Process.objects.filter(owner_id=owner_id).first()
    if process:
        return remove_batch(process)
    rows: int = ExtractionTask.objects.filter(owner_id=owner_id).delete()[0]
    return rows or CreditAccount.objects.filter(owner_id=owner_id).delete()[0]
