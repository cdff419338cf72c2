"""Turns of workers at processes: a slice is a lease on a process, with the pages that it claimed, and the credits that
it reserved for them. It writes down what became of its pages in batches. A slice that is lost changes nothing.

Rows are locked in one order: run, process, slice, account, pages.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from extraction.domain.process_status import PageState
from extraction.models import ExtractionPage, Process, ProcessNote, Slice
from extraction.services import credits

LEASE = timedelta(seconds=8)  # renewed with every batch
LIMIT_REACHED = "the limit of pages is reached; others are left out"
SUSPECTS = 16  # claimed together

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
_CLAIM = """
UPDATE extraction_page AS page SET state = 'claimed', slice = %(slice)s, attempt = attempt + 1, not_before = NULL
FROM (
    SELECT id FROM extraction_page
    WHERE process_id = %(process)s AND state = 'ready' AND lost {lost}
        AND (not_before IS NULL OR not_before <= clock_timestamp())
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS chosen
WHERE page.id = chosen.id
RETURNING page.id, page.key, page.chain, page.before, page.ordinal, page.rule, page.url, page.attempt, page.lost
"""
_ADD = """
INSERT INTO extraction_page
    (process_id, key, chain, ordinal, before, rule, url, state, slice, attempt, lost, bytes, duration_ms, cost, found,
    error)
SELECT %(process)s, key, chain, ordinal, before, rule, url, CASE WHEN mine THEN 'claimed' ELSE 'ready' END,
    CASE WHEN mine THEN %(slice)s::bigint END, CASE WHEN mine THEN 1 ELSE 0 END, 0, 0, 0, 0, 0, ''
FROM unnest(
    %(keys)s::bytea[], %(chains)s::bytea[], %(ordinals)s::int[], %(before)s::bytea[], %(rules)s::smallint[],
    %(urls)s::text[], %(mine)s::boolean[]
) AS new (key, chain, ordinal, before, rule, url, mine)
ON CONFLICT DO NOTHING
"""
_END = """
UPDATE extraction_page AS page SET
    state = new.state, slice = NULL, attempt = page.attempt - (new.state = 'ready' AND new.requests = 0)::int,
    status = new.status, bytes = new.bytes, duration_ms = new.duration_ms,
    cost = page.cost + new.cost, found = new.found, error = new.error, records = new.records,
    not_before = clock_timestamp() + make_interval(secs => new.wait), fetched_at = clock_timestamp(), lost = 0
FROM unnest(
    %(keys)s::bytea[], %(states)s::text[], %(statuses)s::smallint[], %(bytes)s::bigint[], %(durations)s::int[],
    %(costs)s::int[], %(found)s::int[], %(errors)s::text[], %(records)s::bytea[], %(waits)s::float[],
    %(requests)s::int[]
) AS new (key, state, status, bytes, duration_ms, cost, found, error, records, wait, requests)
WHERE page.process_id = %(process)s AND page.key = new.key AND page.slice = %(slice)s AND page.state = 'claimed'
RETURNING page.state, page.chain, new.bytes, new.cost, new.found, new.requests
"""


class SliceLost(Exception):
    """The slice is over: its process was cancelled, or its lease had lapsed. What it has is not written down."""


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """A page that a slice has."""

    key: bytes
    chain: bytes
    before: bytes
    ordinal: int
    rule: int
    url: str
    attempt: int = 1
    lost: int = 0


@dataclass(slots=True)
class FoundPage:
    """A page that was found. `mine` when the slice that found it goes on with it."""

    page: ClaimedPage
    mine: bool


@dataclass(slots=True)
class PageOutcome:
    """What became of a claimed page. `wait` is in seconds, for one that is to be tried again.

    `extra` is the part of its `cost` that was taken while it was worked on.

    `records` are its `count` records, as JSON. One that was not asked for (`requests` is 0) loses no attempt.
    """

    page: ClaimedPage
    state: PageState
    status: int | None = None
    size: int = 0
    duration_ms: int = 0
    cost: int = 0
    extra: int = 0
    requests: int = 1
    error: str = ""
    wait: float | None = None
    records: bytes = b""
    count: int = 0
    found: list[FoundPage] = field(default_factory=list)


def claim_slice(*, worker: str) -> tuple[Slice, Process] | None:
    """A turn at the process that waits longest among those of the owner who waits longest; None when nothing waits."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CHOOSE.format(limit="1 FOR NO KEY UPDATE OF p"))
        row = cursor.fetchone()
        if row is None:
            return None
        Process.objects.filter(pk=row[0]).update(served_at=Now())
        process = Process.objects.select_related("run", "owner").get(pk=row[0])
        return Slice.objects.create(process=process, worker=worker, lease_until=Now() + LEASE), process


def waiting_runs(limit: int = 16) -> list[Any]:
    """Runs of processes that have something for a worker."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT run_id FROM extraction_process WHERE seq IN ({_CHOOSE.format(limit=limit)})")  # noqa: S608 (a number)
        return [run_id for (run_id,) in cursor.fetchall() if run_id]


def renew(*, slice: Slice) -> None:
    """Keeps a slice for another lease. Raises `SliceLost`."""
    if not Slice.objects.filter(pk=slice.pk).update(lease_until=Now() + LEASE):
        raise SliceLost


def lock_process(process_id: int) -> Process | None:
    """The process, held by the caller's transaction."""
    return Process.objects.select_for_update(no_key=True).filter(pk=process_id).first()


def add_note(process: Process, text: str) -> None:
    """A line of the process's log."""
    ProcessNote.objects.create(process=process, text=text[:1000])


def reserve(*, slice: Slice, wanted: int) -> int:
    """Up to `wanted` credits for the slice; how many. Raises `SliceLost`."""
    with transaction.atomic():
        process = lock_process(slice.process_id)
        renew(slice=slice)
        return credits.reserve(slice=slice, process=process, wanted=wanted) if process else 0


def claim_pages(*, slice: Slice, limit: int, alone: bool = True) -> list[ClaimedPage]:
    """Up to `limit` pages for the slice, oldest first. Raises `SliceLost`.

    Those during whose turn a worker was lost are claimed when nothing else is left, and by a slice that has nothing
    else (`alone`): first some together, and at the second time one by one, for one of them may be why.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        renew(slice=slice)
        rows = _claim(cursor, slice, limit, "= 0")
        if alone and not rows:
            rows = _claim(cursor, slice, SUSPECTS, "= 1") or _claim(cursor, slice, 1, "> 1")
        return rows


def _claim(cursor: Any, slice: Slice, limit: int, lost: str) -> list[ClaimedPage]:
    cursor.execute(_CLAIM.format(lost=lost), {"slice": slice.pk, "process": slice.process_id, "limit": limit})
    rows = sorted(cursor.fetchall())
    return [ClaimedPage(bytes(key), bytes(chain), bytes(before), *rest) for _, key, chain, before, *rest in rows]


def write_batch(*, slice: Slice, outcomes: Sequence[PageOutcome], max_pages: int) -> Process:
    """Writes down what became of pages, the pages that they led to, and what they cost, in one transaction.

    Pages past `max_pages` in the process are left out. Returns the process as it is then. Raises `SliceLost`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        process = Process.objects.select_for_update(no_key=True).get(pk=slice.process_id)
        renew(slice=slice)
        if outcomes:
            found_pages = [found for outcome in outcomes for found in outcome.found]
            added = _add(cursor, slice, found_pages, max_pages - process.pages)
            _count(process, slice, added, _end(cursor, slice, outcomes))
        return process


def _add(cursor: Any, slice: Slice, found_pages: Sequence[FoundPage], room: int) -> int:
    """How many of the pages are new to the process, which has room for so many."""
    if len(found_pages) > room:
        found_pages = found_pages[: max(0, room)]
        ProcessNote.objects.get_or_create(process_id=slice.process_id, text=LIMIT_REACHED)
    if not found_pages:
        return 0
    pages = [found.page for found in found_pages]
    cursor.execute(
        _ADD,
        {
            "process": slice.process_id,
            "slice": slice.pk,
            "keys": [page.key for page in pages],
            "chains": [page.chain for page in pages],
            "ordinals": [page.ordinal for page in pages],
            "before": [page.before for page in pages],
            "rules": [page.rule for page in pages],
            "urls": [page.url for page in pages],
            "mine": [found.mine for found in found_pages],
        },
    )
    return int(cursor.rowcount)


def _end(cursor: Any, slice: Slice, outcomes: Sequence[PageOutcome]) -> list[tuple[Any, ...]]:
    cursor.execute(
        _END,
        {
            "process": slice.process_id,
            "slice": slice.pk,
            "keys": [outcome.page.key for outcome in outcomes],
            "states": [outcome.state for outcome in outcomes],
            "statuses": [outcome.status for outcome in outcomes],
            "bytes": [outcome.size for outcome in outcomes],
            "durations": [outcome.duration_ms for outcome in outcomes],
            "costs": [outcome.cost for outcome in outcomes],
            "found": [outcome.count for outcome in outcomes],
            "errors": [outcome.error.replace("\x00", "")[:1000] for outcome in outcomes],
            "records": [zlib.compress(outcome.records, 1) if outcome.records else None for outcome in outcomes],
            "waits": [outcome.wait for outcome in outcomes],
            "requests": [outcome.requests for outcome in outcomes],
        },
    )
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _count(process: Process, slice: Slice, added: int, ended: Iterable[tuple[Any, ...]]) -> None:
    """Adds what a batch changed to the counts of the process and its slice."""
    process.pages += added
    process.open += added
    spent = 0
    for state, chain, size, cost, found, requests in ended:
        process.open -= state != PageState.READY
        process.failed += state == PageState.FAILED
        process.main_failed |= state == PageState.FAILED and bytes(chain) == bytes(process.main or b"")
        process.responses += state in {PageState.DONE, PageState.REPEATED}
        process.requests += requests
        process.records += found
        process.bytes += size
        spent += cost
    process.cost += spent
    process.save(
        update_fields=("pages", "open", "failed", "main_failed", "responses", "requests", "records", "bytes", "cost")
    )
    Slice.objects.filter(pk=slice.pk).update(spent=F("spent") + spent)


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
