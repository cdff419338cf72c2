"""The ledger of pages: claimed in slices, written down in batches. Fenced by the slice: a lost one changes nothing."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from django.db import connection, transaction
from django.db.models import F

from extraction.domain.page_reader import Record
from extraction.domain.page_urls import page_key
from extraction.domain.payload import Payload
from extraction.domain.process_status import OPEN, PageState
from extraction.models import ExtractionPage, Process, ProcessNote, Slice
from extraction.services import slices

LIMIT_REACHED = "the limit of pages is reached; others are left out"
SUSPECTS = 16  # claimed together

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


def add_first_pages(*, process: Process, payload: Payload) -> None:
    """Puts the first page into the ledger, in the caller's transaction; of a search, that of each keyword."""
    keys = {page_key(0, url): url for url in payload.first_addresses()}
    ExtractionPage.objects.bulk_create(
        (ExtractionPage(process=process, key=key, chain=key, url=url) for key, url in keys.items()), 1000
    )
    Process.objects.filter(pk=process.pk).update(main=payload.main, pages=len(keys), open=len(keys))


def claim_pages(*, slice: Slice, limit: int, alone: bool = True) -> list[ClaimedPage]:
    """Up to `limit` pages for the slice, oldest first. Raises `SliceLost`.

    Those during whose turn a worker was lost are claimed when nothing else is left, and by a slice that has nothing
    else (`alone`): first some together, and at the second time one by one, for one of them may be why.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        slices.renew(slice=slice)
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
        slices.renew(slice=slice)
        if outcomes:
            added = _add(cursor, slice, [found for one in outcomes for found in one.found], max_pages - process.pages)
            _count(process, slice, added, _end(cursor, slice, outcomes))
        return process


def _add(cursor: Any, slice: Slice, found: Sequence[FoundPage], room: int) -> int:
    if len(found) > room:
        found = found[: max(0, room)]
        ProcessNote.objects.get_or_create(process_id=slice.process_id, text=LIMIT_REACHED)
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


def _end(cursor: Any, slice: Slice, outcomes: Sequence[PageOutcome]) -> list[tuple[Any, ...]]:
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
            "records": [pack_records(one.records) for one in outcomes],
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


def pack_records(records: bytes) -> bytes | None:
    return zlib.compress(records, 1) if records else None


def unpack_records(records: Any) -> list[Record]:
    return cast(list[Record], orjson.loads(zlib.decompress(records))) if records else []


def unpack_bytes(packed: Any) -> bytes:
    return zlib.decompress(packed)


def reopen_failed(*, process: Process) -> int:
    """Puts failed pages of a process back, in the caller's transaction, which holds it; how many are open then."""
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED)
    count = failed.update(state=PageState.READY, attempt=0, lost=0, not_before=None, error="")
    process.failed -= count
    process.open = ExtractionPage.objects.filter(process=process, state__in=OPEN).count()
    process.main_failed = False
    process.save(update_fields=("failed", "open", "main_failed"))
    return process.open
