"""Turns of workers: a slice is a lease on a process, with the pages that it claimed and the credits that it reserved.

Rows are locked in one order: run, process, slice, account, pages.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from extraction.domain.process_status import PageState
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import credits

LEASE_SECONDS = 8  # renewed with every batch

_CHOOSE = """
SELECT p.seq FROM extraction_process AS p
WHERE p.removed_at IS NULL AND (p.rest_until IS NULL OR p.rest_until <= clock_timestamp()) AND ((
    p.status = 'running' AND EXISTS (
        SELECT FROM extraction_page WHERE process_id = p.seq AND state = 'ready'
            AND (not_before IS NULL OR not_before <= clock_timestamp())
    )
) OR (p.unwritten AND NOT EXISTS (SELECT FROM extraction_slice WHERE process_id = p.seq)))
ORDER BY (
    SELECT max(served_at) FROM extraction_process AS other
    WHERE other.owner_id = p.owner_id AND (other.status = 'running' OR other.unwritten)
) NULLS FIRST, p.served_at NULLS FIRST, p.seq
LIMIT {limit}
"""


class SliceLost(Exception):
    """The slice is over: its process was cancelled, or its lease had lapsed. What it has is not written down."""


def claim_slice(*, worker: str) -> tuple[Slice, Process] | None:
    """A turn at the process that waits longest among those of the owner who waits longest; None when nothing waits."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CHOOSE.format(limit="1 FOR NO KEY UPDATE OF p"))
        row = cursor.fetchone()
        if row is None:
            return None
        Process.objects.filter(pk=row[0]).update(served_at=Now())
        process = Process.objects.select_related("run", "owner").get(pk=row[0])
        return _new_slice(process, worker), process


def _new_slice(process: Process, worker: str) -> Slice:
    lease = Now() + timedelta(seconds=LEASE_SECONDS)
    return Slice.objects.create(process=process, worker=worker, lease_until=lease)


def waiting_runs(limit: int = 16) -> list[Any]:
    """Runs of processes that have something for a worker."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT run_id FROM extraction_process WHERE seq IN ({_CHOOSE.format(limit=limit)})")  # noqa: S608 (a number)
        return [run_id for (run_id,) in cursor.fetchall() if run_id]


def renew(*, slice: Slice) -> None:
    """Keeps a slice for another lease. Raises `SliceLost`."""
    lease = Now() + timedelta(seconds=LEASE_SECONDS)
    if not Slice.objects.filter(pk=slice.pk).update(lease_until=lease):
        raise SliceLost


def lock_process(process_id: int) -> Process | None:
    """The process, held by the caller's transaction."""
    return Process.objects.select_for_update(no_key=True).filter(pk=process_id).first()


def reserve(*, slice: Slice, wanted: int) -> int:
    """Up to `wanted` credits for the slice; how many. Raises `SliceLost`."""
    with transaction.atomic():
        process = lock_process(slice.process_id)
        renew(slice=slice)
        return credits.reserve(slice=slice, process=process, wanted=wanted) if process else 0


def release(*, slice: Slice, process: Process, lost: bool) -> int | None:
    """Ends a slice, in the caller's transaction, which holds the process: its pages and credits are free again.

    Returns the credits that it gave back; None when the slice had ended, or is not `lost` after all. A page in whose
    turn a worker was lost too often has failed.
    """
    rows = Slice.objects.select_for_update().filter(pk=slice.pk)
    row = (rows.filter(lease_until__lt=Now()) if lost else rows).first()  # it may have been renewed meanwhile
    if row is None:
        return None
    pages = ExtractionPage.objects.filter(slice=row.pk, state=PageState.CLAIMED)
    if lost:
        _give_up(pages.filter(lost__gte=settings.EXTRACTION_PAGE_ATTEMPTS - 1), process)
    pages.update(state=PageState.READY, slice=None, attempt=F("attempt") - 1, lost=F("lost") + int(lost))
    rest = credits.refund(slice=row, process=process)
    row.delete()
    return rest


def _give_up(pages: QuerySet[ExtractionPage], process: Process) -> None:
    main = pages.filter(chain=process.main).exists()
    error = "A worker was lost each time that it had this page."
    count = pages.update(state=PageState.FAILED, slice=None, error=error, fetched_at=Now())
    process.open -= count
    process.failed += count
    process.main_failed |= main
    process.save(update_fields=("open", "failed", "main_failed"))


def release_all(*, process: Process) -> None:
    """Ends every slice of a process that the caller's transaction holds; their workers find out."""
    for slice in Slice.objects.filter(process=process):
        release(slice=slice, process=process, lost=False)


def lapsed_slices() -> list[Slice]:
    """Slices whose worker fell silent."""
    return list(Slice.objects.filter(lease_until__lt=Now()).select_related("process")[:100])
