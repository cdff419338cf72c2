"""The ledger of pages: claimed in slices, written down in batches. Fenced by the slice: a lost one changes nothing.

Rows are locked in one order: run, process, slice, account, pages.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from extraction.domain.addresses import page_key
from extraction.domain.payload import Payload
from extraction.domain.reading import Record
from extraction.domain.status import OPEN, PageState
from extraction.models import Note, Page, Process, Slice
from extraction.services import crediting

SUSPECTS = 16  # claimed together
LEASE_SECONDS = 8  # renewed with every batch

_CHOOSE = """
SELECT p.seq FROM extraction_process AS p
WHERE (p.rest_until IS NULL OR p.rest_until <= clock_timestamp()) AND ((
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
class Claimed:
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
class Found:
    """A page that was found. `mine` when the slice that found it goes on with it."""

    page: Claimed
    mine: bool


@dataclass(slots=True)
class Outcome:
    """What became of a claimed page. `wait` is in seconds, for one that is to be tried again.

    `records` are its `count` records, as JSON. One that was not asked for (`requests` is 0) loses no attempt.
    """

    page: Claimed
    state: PageState
    status: int | None = None
    size: int = 0
    duration_ms: int = 0
    cost: int = 0
    requests: int = 1
    error: str = ""
    wait: float | None = None
    records: bytes = b""
    count: int = 0
    found: list[Found] = field(default_factory=list)


def seed(*, process: Process, payload: Payload) -> None:
    """Puts the first page into the ledger, in the caller's transaction."""
    key = page_key(0, payload.request.url)
    Page.objects.create(process=process, key=key, chain=key, url=payload.request.url)
    Process.objects.filter(pk=process.pk).update(main=key, pages=1, open=1)


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


def reserve(*, slice: Slice, wanted: int) -> int:
    """Up to `wanted` credits for the slice; how many. Raises `SliceLost`."""
    with transaction.atomic():
        process = locked(slice.process_id)
        renew(slice=slice)
        return crediting.reserve(slice=slice, process=process, wanted=wanted) if process else 0


def claim_pages(*, slice: Slice, limit: int, alone: bool = True) -> list[Claimed]:
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


def _claim(cursor: Any, slice: Slice, limit: int, lost: str) -> list[Claimed]:
    cursor.execute(_CLAIM.format(lost=lost), {"slice": slice.pk, "process": slice.process_id, "limit": limit})
    rows = sorted(cursor.fetchall())
    return [Claimed(bytes(key), bytes(chain), bytes(before), *rest) for _, key, chain, before, *rest in rows]


def renew(*, slice: Slice) -> None:
    """Keeps a slice for another lease. Raises `SliceLost`."""
    lease = Now() + timedelta(seconds=LEASE_SECONDS)
    if not Slice.objects.filter(pk=slice.pk).update(lease_until=lease):
        raise SliceLost


def write(*, slice: Slice, outcomes: Sequence[Outcome], most: int) -> Process:
    """Writes down what became of pages, the pages that they led to, and what they cost, in one transaction.

    Pages past `most` in the process are left out. Returns the process as it is then. Raises `SliceLost`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        process = Process.objects.select_for_update(no_key=True).get(pk=slice.process_id)
        renew(slice=slice)
        if outcomes:
            added = _add(cursor, slice, [found for one in outcomes for found in one.found], most - process.pages)
            _count(process, slice, added, _end(cursor, slice, outcomes))
        return process


def _add(cursor: Any, slice: Slice, found: Sequence[Found], room: int) -> int:
    if len(found) > room:
        found = found[: max(0, room)]
        Note.objects.create(process_id=slice.process_id, text="The limit of pages is reached; others are left out.")
    if not found:
        return 0
    pages = [one.page for one in found]
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
            "mine": [one.mine for one in found],
        },
    )
    return int(cursor.rowcount)


def _end(cursor: Any, slice: Slice, outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    cursor.execute(
        _END,
        {
            "process": slice.process_id,
            "slice": slice.pk,
            "keys": [one.page.key for one in outcomes],
            "states": [one.state for one in outcomes],
            "statuses": [one.status for one in outcomes],
            "bytes": [one.size for one in outcomes],
            "durations": [one.duration_ms for one in outcomes],
            "costs": [one.cost for one in outcomes],
            "found": [one.count for one in outcomes],
            "errors": [one.error.replace("\x00", "")[:1000] for one in outcomes],
            "records": [packed(one.records) for one in outcomes],
            "waits": [one.wait for one in outcomes],
            "requests": [one.requests for one in outcomes],
        },
    )
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _count(process: Process, slice: Slice, added: int, ended: Iterable[tuple[Any, ...]]) -> None:
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


def packed(records: bytes) -> bytes | None:
    return zlib.compress(records, 1) if records else None


def unpacked(records: Any) -> list[Record]:
    return cast(list[Record], orjson.loads(zlib.decompress(records))) if records else []


def release(*, slice: Slice, process: Process, lost: bool) -> int:
    """Ends a slice, in the caller's transaction, which holds the process: its pages and credits are free again.

    Returns the credits that it gave back. A page in whose turn a worker was lost too often has failed.
    """
    row = Slice.objects.select_for_update().filter(pk=slice.pk).first()
    if row is None:
        return 0
    pages = Page.objects.filter(slice=row.pk, state=PageState.CLAIMED)
    if lost:
        _give_up(pages.filter(lost__gte=settings.EXTRACTION_PAGE_ATTEMPTS - 1), process)
    pages.update(state=PageState.READY, slice=None, attempt=F("attempt") - 1, lost=F("lost") + int(lost))
    rest = crediting.settle(slice=row, process=process)
    row.delete()
    return rest


def _give_up(pages: QuerySet[Page], process: Process) -> None:
    main = pages.filter(chain=process.main).exists()
    error = "A worker was lost each time that it had this page."
    count = pages.update(state=PageState.FAILED, slice=None, error=error, fetched_at=Now())
    process.open -= count
    process.failed += count
    process.main_failed |= main
    process.save(update_fields=("open", "failed", "main_failed"))


def locked(process_id: int) -> Process | None:
    """The process, held by the caller's transaction."""
    return Process.objects.select_for_update(no_key=True).filter(pk=process_id).first()


def release_all(*, process: Process) -> None:
    """Ends every slice of a process that the caller's transaction holds; their workers find out."""
    for slice in Slice.objects.filter(process=process):
        release(slice=slice, process=process, lost=False)


def lapsed() -> list[Slice]:
    """Slices whose worker fell silent."""
    return list(Slice.objects.filter(lease_until__lt=Now()).select_related("process")[:100])


def open_again(*, process: Process) -> int:
    """Puts failed pages of a process back, in the caller's transaction, which holds it; how many are open then."""
    failed = Page.objects.filter(process=process, state=PageState.FAILED)
    count = failed.update(state=PageState.READY, attempt=0, lost=0, not_before=None, error="")
    process.failed -= count
    process.open = Page.objects.filter(process=process, state__in=OPEN).count()
    process.main_failed = False
    process.save(update_fields=("failed", "open", "main_failed"))
    return process.open
