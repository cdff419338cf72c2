"""Claims, renews and releases slices. A slice is a worker's lease on pages of a process (see `page_table`), with the
credits that it reserved for them.

Rows are locked in one order: run, process, slice, account, pages.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from extraction.domain.process_status import PageState
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import credits
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.runs.models import Run
from taskhub.runs.queue.process_heartbeat import ProcessHeartbeat

LEASE = timedelta(seconds=8)  # renewed with every batch
slice_heartbeat = ProcessHeartbeat()  # of the event loops on which slices go on


class SliceSort(StrEnum):
    """What a slice is for. A worker process carries slices of each sort beside those of the others."""

    BASE = "base"  # pages as they come
    RENDERED = "rendered"  # pages that a browser renders
    RESULT = "result"  # the file of a process whose pages have ended


_HAS_PAGES = """(
    p.status = 'running' AND NOT p.unwritten AND EXISTS (
        SELECT FROM extraction_page WHERE process_id = p.seq AND state = 'ready'
            AND (not_before IS NULL OR not_before <= clock_timestamp())
    )
)"""
_HAS_WORK = {
    SliceSort.BASE: f"{_HAS_PAGES} AND NOT p.rendered",
    SliceSort.RENDERED: f"{_HAS_PAGES} AND p.rendered",
    SliceSort.RESULT: "p.unwritten AND NOT EXISTS (SELECT FROM extraction_slice WHERE process_id = p.seq)",
}
_CHOOSE = """
SELECT p.seq FROM extraction_process AS p
WHERE p.removed_at IS NULL AND (p.rest_until IS NULL OR p.rest_until <= clock_timestamp())
    AND p.owner_id <> ALL(%(shut_out)s::uuid[]) AND ({has_work})
ORDER BY (
    SELECT max(served_at) FROM extraction_process AS other
    WHERE other.owner_id = p.owner_id AND (other.status = 'running' OR other.unwritten)
) NULLS FIRST, p.served_at NULLS FIRST, p.seq
LIMIT {limit}
"""


def _choose(sorts: Iterable[SliceSort], limit: str) -> str:
    return _CHOOSE.format(has_work=" OR ".join(f"({_HAS_WORK[sort]})" for sort in sorts), limit=limit)


_UNTAKEN_OF_SORT = """
SELECT extract(epoch FROM clock_timestamp() - min(greatest(started_at, finished_at, served_at, rest_until)))
FROM extraction_process AS waiting
WHERE seq IN ({chosen}) AND NOT EXISTS (
    SELECT FROM extraction_slice AS s JOIN extraction_process AS p ON p.seq = s.process_id
    WHERE s.lease_until > clock_timestamp() AND ({is_of_sort})
) AND NOT EXISTS (
    SELECT FROM extraction_process AS p
    WHERE p.status = 'running' AND p.served_at > clock_timestamp() - interval '30 seconds' AND ({is_of_sort})
)
"""
_IS_OF_SORT = {SliceSort.BASE: "NOT p.rendered", SliceSort.RENDERED: "p.rendered", SliceSort.RESULT: "true"}
_UNTAKEN = PreparedStatement(
    "SELECT greatest({})::float".format(  # leaves out those that are null
        ", ".join(
            f"({_UNTAKEN_OF_SORT.format(chosen=_choose([sort], '100'), is_of_sort=_IS_OF_SORT[sort])})"
            for sort in SliceSort
        )
    ),
    shut_out="uuid[]",
)


class SliceLost(Exception):
    """The slice has ended: its process was cancelled, or its lease ran out. Nothing of it is written any more."""


def claim_slice(
    *, worker: str, sorts: Iterable[SliceSort] = tuple(SliceSort), shut_out: Iterable[Any] = ()
) -> tuple[Slice, Process] | None:
    """Claims a slice of some sort, of the process that waits longest, of the owner who waits longest.

    None when no process waits, but for those of owners who are `shut_out`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_choose(sorts, "1 FOR NO KEY UPDATE OF p"), {"shut_out": list(shut_out)})
        row = cursor.fetchone()
        if row is None:
            return None
        Process.objects.filter(pk=row[0]).update(served_at=Now())
        process = Process.objects.select_related("run", "owner").get(pk=row[0])
        return Slice.objects.create(process=process, worker=worker, lease_until=Now() + LEASE), process


def runs_with_work(limit: int = 16) -> list[Any]:
    """The ids of runs whose processes have pages to fetch, or a result to write."""
    chosen = _choose(SliceSort, str(limit))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT run_id FROM extraction_process WHERE seq IN ({chosen})",  # noqa: S608 (composed of constants)
            {"shut_out": []},
        )
        return [run_id for (run_id,) in cursor.fetchall() if run_id]


def seconds_untaken() -> float:
    """For how long a process has waited for a slice, while none of its sort was begun and none goes on; or 0.

    Where slices of a sort go on, others wait for their turn.
    """
    with connection.cursor() as cursor:
        _UNTAKEN.execute(cursor, {"shut_out": []})
        (seconds,) = cursor.fetchone()
    return seconds or 0.0


def workers_busy() -> int:
    """How many worker processes have a slice."""
    return Slice.objects.filter(lease_until__gt=Now()).values("worker").distinct().count()


def holds_slice(worker: str) -> bool:
    """Whether a worker process has a slice whose lease holds."""
    return Slice.objects.filter(worker=worker, lease_until__gt=Now()).exists()


def renew(*, slice: Slice) -> None:
    """Renews the lease of a slice. Raises `SliceLost`."""
    if not Slice.objects.filter(pk=slice.pk).update(lease_until=Now() + LEASE):
        raise SliceLost


def lock_run(process: Process) -> Run | None:
    """Locks the run of a process in the caller's transaction; the process is locked after it."""
    runs = Run.objects.select_for_update(of=("self",), no_key=True)
    return runs.filter(pk=process.run_id).first() if process.run_id else None


def lock_process(process_id: int) -> Process | None:
    """Locks a process in the caller's transaction; None where it is gone.

    Its payload and deliveries, which may be long and have to be decrypted, are read where they are asked for.
    """
    rows = Process.objects.select_for_update(no_key=True).defer("payload", "delivery")
    return rows.filter(pk=process_id).first()


def reserve(*, slice: Slice, wanted: int) -> int:
    """Reserves up to `wanted` credits for a slice; returns how many. Raises `SliceLost`."""
    with transaction.atomic():
        process = lock_process(slice.process_id)
        renew(slice=slice)
        return credits.reserve(slice=slice, process=process, wanted=wanted) if process else 0


def has_pages(slice: Slice) -> bool:
    """Whether a slice has claimed pages that are not done."""
    return ExtractionPage.objects.filter(slice=slice.pk, state=PageState.CLAIMED).exists()


def release(*, slice: Slice, process: Process, lost: bool) -> int | None:
    """Ends a slice, in the caller's transaction, which has locked the process: its pages and credits are free again.

    Returns how many credits were refunded; None when the slice had ended, or is not `lost` after all. A page that
    several workers had when they were lost has failed.
    """
    rows = Slice.objects.select_for_update().filter(pk=slice.pk)
    row = (rows.filter(lease_until__lt=Now()) if lost else rows).first()  # it may have been renewed meanwhile
    if row is None:
        return None
    pages = ExtractionPage.objects.filter(slice=row.pk, state=PageState.CLAIMED)
    if lost:
        _fail_pages(pages.filter(lost__gte=settings.EXTRACTION_PAGE_ATTEMPTS - 1), process)
    pages.update(state=PageState.READY, slice=None, attempt=F("attempt") - 1, lost=F("lost") + int(lost))
    refunded = credits.refund(slice=row, process=process)
    row.delete()
    return refunded


def _fail_pages(pages: QuerySet[ExtractionPage], process: Process) -> None:
    """Fails pages that cost too many workers their lives."""
    main = pages.filter(chain=process.main).exists()
    error = "A worker was lost each time that it had this page."
    count = pages.update(state=PageState.FAILED, slice=None, error=error, fetched_at=Now())
    process.open -= count
    process.failed += count
    process.main_failed |= main
    process.save(update_fields=("open", "failed", "main_failed"))


def release_all(*, process: Process) -> None:
    """Ends every slice of a process that the caller's transaction has locked; their workers notice when they write."""
    for slice in Slice.objects.filter(process=process):
        release(slice=slice, process=process, lost=False)


def lapsed_slices() -> list[Slice]:
    """Slices whose lease ran out: their workers are lost."""
    return list(Slice.objects.filter(lease_until__lt=Now()).select_related("process")[:100])
