"""The page table: claims pages for slices, and writes what became of them in batches. A lost slice writes nothing."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import F

from extraction.domain.findings import ExtractionWarning, add_findings
from extraction.domain.list_history import PAGES_MAX, ListHistory
from extraction.domain.process_status import PageState
from extraction.domain.record_changes import RecordLimit
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import slices
from extraction.services.process_warnings import add_warnings
from taskhub.error_texts import storable
from taskhub.outbound.cookie_store import CookieChanges, merged_cookies
from taskhub.security.masking import mask
from taskhub.security.sealed_values import opened_text, sealed_text
from taskhub.usage.services import add_usage

LIMIT_REACHED = ExtractionWarning("pages-left-out", "", "The limit of pages is reached; others are left out.")
SUSPECTS = 16  # claimed together
COUNTED = ("pages", "open", "failed", "main_failed", "responses", "requests", "records", "listed", "bytes", "cost")

# The rows are chosen once, in an array: a join could run the inner query again for each row, past its limit.
_CLAIM = """
UPDATE extraction_page SET state = 'claimed', slice = %(slice)s, attempt = attempt + 1, not_before = NULL
WHERE id = ANY(ARRAY(
    SELECT id FROM extraction_page
    WHERE process_id = %(process)s AND state = 'ready' AND lost {lost}
        AND (not_before IS NULL OR not_before <= clock_timestamp())
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING id, key, chain, before, ordinal, rule, hops, url, attempt, lost
"""
# Rows are written as JSON, which is made faster than arrays.
_ADD = """
INSERT INTO extraction_page
    (process_id, key, chain, ordinal, before, rule, hops, url, state, slice, attempt, lost, bytes, duration_ms, cost,
    found, error)
SELECT %(process)s, decode(key, 'hex'), decode(chain, 'hex'), ordinal, decode(before, 'hex'), rule, hops, url,
    CASE WHEN mine THEN 'claimed' ELSE 'ready' END, CASE WHEN mine THEN %(slice)s::bigint END,
    CASE WHEN mine THEN 1 ELSE 0 END, 0, 0, 0, 0, 0, ''
FROM json_to_recordset(%(pages)s) AS new (
    key text, chain text, ordinal int, before text, rule smallint, hops smallint, url text, mine boolean
)
ON CONFLICT DO NOTHING
"""
_END = """
UPDATE extraction_page AS page SET
    state = new.state, slice = NULL, attempt = page.attempt - (new.state = 'ready' AND new.requests = 0)::int,
    status = new.status, bytes = new.bytes, duration_ms = new.duration_ms,
    cost = page.cost + new.cost, found = new.found, left_out = new.left_out, error = new.error,
    records = decode(new.records, 'hex'),
    not_before = clock_timestamp() + make_interval(secs => new.wait), fetched_at = clock_timestamp(), lost = 0
FROM json_to_recordset(%(outcomes)s) AS new (
    key text, state text, status smallint, bytes bigint, duration_ms int, cost int, found int, left_out int, error text,
    records text, wait float, requests int
)
WHERE page.process_id = %(process)s AND page.key = decode(new.key, 'hex')
    AND page.slice = %(slice)s AND page.state = 'claimed'
RETURNING page.state, page.chain, page.rule, new.bytes, new.cost, new.found, new.requests
"""

_DROP = "DELETE FROM extraction_page WHERE process_id = %s AND state = 'ready' AND rule = ANY(%s)"
_HISTORY = """
SELECT chain, key, before FROM extraction_page
WHERE process_id = %(process)s AND chain = ANY(%(chains)s) AND ordinal BETWEEN 1 AND %(limit)s
ORDER BY chain, ordinal
"""


@dataclass(frozen=True, slots=True)
class ClaimedPage:
    """A page that a slice has claimed. `before` is what the page before it in its list showed (see `shown_by`).

    `hops` is how many links were followed to it, one after the other. `history` is that of its list so far, which the
    pages of a list hand on to each other.
    """

    key: bytes
    chain: bytes
    before: bytes
    ordinal: int
    rule: int
    url: str
    attempt: int = 1
    lost: int = 0
    hops: int = 0
    history: ListHistory = field(default_factory=ListHistory, compare=False)


@dataclass(slots=True)
class FoundPage:
    """A page that another page led to. `mine` says that the slice that found it has claimed it, too."""

    page: ClaimedPage
    mine: bool


@dataclass(slots=True)
class PageOutcome:
    """What became of a claimed page.

    `wait` is in seconds, for a page that is to be tried again. `extra` is the part of its `cost` that was taken while
    it was processed. `records` are its `count` records, as JSON, without the `left_out` ones that lacked a required
    value. A page that was not asked for (`requests` is 0) loses no attempt. `findings` is what its rule found, as
    `Findings.encode` writes it.
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
    left_out: int = 0
    found: list[FoundPage] = field(default_factory=list)
    findings: str = ""
    warnings: Sequence[ExtractionWarning] = ()


def claim_pages(*, slice: Slice, limit: int, alone: bool = True) -> list[ClaimedPage]:
    """Claims up to `limit` pages for a slice, oldest first. Raises `SliceLost`.

    Pages that a worker had when it was lost are claimed when no other is left, and by a slice that has nothing else
    (`alone`): first some together, and after a second loss one by one, for one of them may be why.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        slices.renew(slice=slice)
        rows = _claim(cursor, slice, limit, "= 0")
        if alone and not rows:
            rows = _claim(cursor, slice, SUSPECTS, "= 1") or _claim(cursor, slice, 1, "> 1")
        return _with_histories(cursor, slice, rows)


def known_keys(*, process: Process, most: int) -> set[bytes]:
    """The keys of the newest pages of a process, up to `most`: a slice must not take them for new ones."""
    if process.pages < 2:
        return set()
    keys = ExtractionPage.objects.filter(process=process.pk).order_by("-id").values_list("key", flat=True)
    return set(map(bytes, keys[:most]))


def _claim(cursor: Any, slice: Slice, limit: int, lost: str) -> list[ClaimedPage]:
    """Claims pages whose count of lost workers fits `lost`, a comparison in SQL."""
    cursor.execute(_CLAIM.format(lost=lost), {"slice": slice.pk, "process": slice.process_id, "limit": limit})
    rows = sorted(cursor.fetchall())
    return [
        ClaimedPage(bytes(key), bytes(chain), bytes(before), ordinal, rule, opened_text(url), attempt, lost, hops)
        for _, key, chain, before, ordinal, rule, hops, url, attempt, lost in rows
    ]


def _with_histories(cursor: Any, slice: Slice, pages: Sequence[ClaimedPage]) -> list[ClaimedPage]:
    """The pages with the histories of the lists that they go on with, which are read together."""
    keys: dict[bytes, list[bytes]] = {page.chain: [page.chain] for page in pages if page.ordinal}
    shown: dict[bytes, list[bytes]] = {chain: [] for chain in keys}
    if keys:
        cursor.execute(_HISTORY, {"process": slice.process_id, "chains": list(keys), "limit": PAGES_MAX})
        for chain, key, before in cursor.fetchall():
            keys[bytes(chain)].append(bytes(key))
            shown[bytes(chain)].append(bytes(before))
    histories = {chain: ListHistory(keys[chain], filter(None, shown[chain])) for chain in keys}
    return [replace(page, history=histories[page.chain]) if page.ordinal else page for page in pages]


def write_batch(
    *,
    slice: Slice,
    outcomes: Sequence[PageOutcome],
    max_pages: int,
    cookies: CookieChanges | None = None,
    limit: RecordLimit | None = None,
) -> Process:
    """Writes what became of pages, the pages that they led to, and what they cost, in one transaction.

    Pages past `max_pages` of the process are left out, and so are those that lead to more records than its `limit`.
    `cookies` are what its servers changed. Returns the process as it is then. Raises `SliceLost`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        process = _locked(slice.process_id)
        slices.renew(slice=slice)
        if outcomes:
            found_pages = [found for outcome in outcomes for found in outcome.found]
            added = _add(cursor, process, slice, found_pages, max_pages - process.pages)
            _count(process, slice, added, _end(cursor, slice, outcomes), limit)
            if limit and process.listed >= limit.records:
                _drop_waiting(cursor, process, limit.listing)
            found = [
                add_findings(process.findings, page.page.rule, page.findings) for page in outcomes if page.findings
            ]
            if warnings := [warning for outcome in outcomes for warning in outcome.warnings]:
                add_warnings(process, warnings)
            changed = [*COUNTED, *(["findings"] if any(found) else []), *(["cookies"] if cookies else [])]
            if cookies:
                process.cookies = merged_cookies(process.cookies, cookies)
            process.save(update_fields=changed)
        return process


def _locked(process_id: int) -> Process:
    """Locks a process in the caller's transaction. Raises `SliceLost` where it is removed, and its slices with it."""
    if (process := slices.lock_process(process_id)) is None:
        raise slices.SliceLost
    return process


def drop_unbegun(*, process: Process, limit: RecordLimit) -> Process:
    """Drops the pages that wait although the process has as many records as it may have; returns it as it is then.

    Raises `SliceLost`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        row = _locked(process.pk)
        if row.listed >= limit.records:
            _drop_waiting(cursor, row, limit.listing)
            row.save(update_fields=["pages", "open"])
        return row


def give_back(*, slice: Slice, pages: Sequence[ClaimedPage]) -> None:
    """Lets others claim pages that the slice has not begun; those that it no longer has stay as they are."""
    rows = ExtractionPage.objects.filter(process=slice.process_id, key__in=[page.key for page in pages])
    rows = rows.filter(slice=slice.pk, state=PageState.CLAIMED)
    rows.update(state=PageState.READY, slice=None, attempt=F("attempt") - 1)


def _add(cursor: Any, process: Process, slice: Slice, found_pages: Sequence[FoundPage], room: int) -> int:
    """Adds pages that are new to the process, which has `room` for so many; returns how many were added."""
    if len(found_pages) > room:
        found_pages = found_pages[: max(0, room)]
        add_warnings(process, [LIMIT_REACHED])
    if not found_pages:
        return 0
    rows = [
        {
            "key": found.page.key.hex(),
            "chain": found.page.chain.hex(),
            "ordinal": found.page.ordinal,
            "before": found.page.before.hex(),
            "rule": found.page.rule,
            "hops": found.page.hops,
            "url": sealed_text(found.page.url),
            "mine": found.mine,
        }
        for found in found_pages
    ]
    cursor.execute(_ADD, {"process": process.pk, "slice": slice.pk, "pages": orjson.dumps(rows).decode()})
    return int(cursor.rowcount)


def _end(cursor: Any, slice: Slice, outcomes: Sequence[PageOutcome]) -> list[tuple[Any, ...]]:
    """Writes outcomes of pages that the slice still has; a row for each, as `_END` returns it."""
    rows = [
        {
            "key": outcome.page.key.hex(),
            "state": outcome.state,
            "status": outcome.status,
            "bytes": outcome.size,
            "duration_ms": outcome.duration_ms,
            "cost": outcome.cost,
            "found": outcome.count,
            "left_out": outcome.left_out,
            "error": outcome.error and mask(storable(outcome.error[:1000])),
            "records": zlib.compress(outcome.records, 1).hex() if outcome.records else None,
            "wait": outcome.wait,
            "requests": outcome.requests,
        }
        for outcome in outcomes
    ]
    values = {"process": slice.process_id, "slice": slice.pk, "outcomes": orjson.dumps(rows).decode()}
    cursor.execute(_END, values)
    ended: list[tuple[Any, ...]] = cursor.fetchall()
    return ended


def _drop_waiting(cursor: Any, process: Process, rules: Iterable[int]) -> None:
    """Drops pages of some rules that nobody has begun; their locked process has no use for them."""
    cursor.execute(_DROP, [process.pk, list(rules)])
    process.pages -= cursor.rowcount
    process.open -= cursor.rowcount


def _count(
    process: Process, slice: Slice, added: int, ended: Iterable[tuple[Any, ...]], limit: RecordLimit | None = None
) -> None:
    """Adds what a batch changed to the counts of the process and its slice."""
    process.pages += added
    process.open += added
    shown_before, failed_before, spent = process.responses, process.failed, 0
    for state, chain, rule, size, cost, found, requests in ended:
        process.listed += found if limit and rule in limit.listed else 0
        process.open -= state != PageState.READY
        process.failed += state == PageState.FAILED
        process.main_failed |= state == PageState.FAILED and bytes(chain) == bytes(process.main or b"")
        process.responses += state in {PageState.DONE, PageState.REPEATED}
        process.requests += requests
        process.records += found
        process.bytes += size
        spent += cost
    process.cost += spent
    shown, failed = process.responses - shown_before, process.failed - failed_before
    add_usage(process.owner_id, pages=shown, failed_pages=failed, credits=spent)
    Slice.objects.filter(pk=slice.pk).update(spent=F("spent") + spent)
