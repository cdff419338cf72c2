"""Documents into their stream: copied where it is empty, else merged with what it shows.

An upload is stored in one transaction, under a lock of its stream. The order of locks is everywhere the same: the
stream's row before its tasks', and a run's row before its task's (see `status_updates.lock_task`). No transaction locks
a stream and a run, so that those who store and those who end a run wait for each other at one row only, the task's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import IO, Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.models import CrawlerTask, RejectedLine, StatusChange, Stream
from crawlers.services.status_updates import record_change, save_progress
from crawlers.services.stream_locks import lock_stream_and_task, unavailable_if_locked
from taskhub.metrics.totals import SharedCounter
from taskhub.usage.services import add_usage

DOCUMENTS = SharedCounter("taskhub_documents", "Lines of uploads, by what became of them.", "outcome")
COPY_PIECE = 256 * 1024

# Rows come in by COPY: PostgreSQL parses no statements and plans nothing for them. With these control characters as
# delimiter and quote nothing in a document is special, for JSON writes them as escapes: lines are copied as they came.
_FORMAT = "(FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
_COLUMNS = "(stream_id, task_id, rank, key, body)"
# What is merged is first copied here, as COPY cannot compare. The table stays with the connection, its rows go with the
# transaction. Bodies of up to a page are not compressed: that costs more than to write them.
_CREATE_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS upload_line (
    line bigint GENERATED ALWAYS AS IDENTITY,
    stream_id bigint, task_id bigint, rank bigint, key text COLLATE "C", body text
) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS
"""
# The merge: of each id the last line of the upload is compared with the version that the stream shows (the highest
# rank of tasks that are not deleted); as text first, and as JSON only where the text differs. A line that the task's
# own row says already (`there`) is not written again; others are inserted, or replace what the task wrote before.
# `compared` holds no bodies: carried through the steps they would fill work_mem, so those that are written are read
# again.
_MERGE = """
WITH latest AS MATERIALIZED (
    SELECT DISTINCT ON (key) line FROM upload_line ORDER BY key, line DESC
), compared AS MATERIALIZED (
    SELECT line, shown.body IS NULL AS fresh,
        CASE WHEN shown.body IS NOT NULL THEN false WHEN cardinality(%(removed)s::bigint[]) = 0 THEN true
            ELSE NOT EXISTS (
                SELECT FROM crawlers_document AS hidden WHERE hidden.stream_id = %(stream)s AND hidden.key = sent.key
            )
        END AS added,
        CASE WHEN shown.body = sent.body THEN true ELSE shown.body::jsonb = sent.body::jsonb END AS same,
        shown.task_id = sent.task_id AND shown.rank = sent.rank AND shown.body = sent.body AS there
    FROM latest JOIN upload_line AS sent USING (line) LEFT JOIN LATERAL (
        SELECT body, task_id, rank FROM crawlers_document AS document
        WHERE document.stream_id = %(stream)s AND document.key = sent.key AND document.task_id <> ALL(%(removed)s)
        ORDER BY rank DESC LIMIT 1
    ) AS shown ON true
), written AS (
    INSERT INTO crawlers_document (stream_id, task_id, rank, key, body)
    SELECT stream_id, task_id, rank, key, body FROM compared JOIN upload_line USING (line) WHERE there IS NOT TRUE
    ON CONFLICT (stream_id, key, task_id) DO UPDATE
    SET id = excluded.id, body = excluded.body, rank = excluded.rank, at = clock_timestamp()
    WHERE crawlers_document.body <> excluded.body OR crawlers_document.rank <> excluded.rank
)
SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh AND NOT same), count(*) FILTER (WHERE same),
    count(*) FILTER (WHERE added)
FROM compared
"""
# Where an id stands several times in one body, each of its lines but the first counts as updated or unchanged, compared
# with the line before it.
_REPEATED = """
SELECT count(*) FILTER (WHERE NOT same), count(*) FILTER (WHERE same)
FROM (
    SELECT CASE WHEN body = before THEN true ELSE body::jsonb = before::jsonb END AS same
    FROM (SELECT body, lag(body) OVER (PARTITION BY key ORDER BY line) AS before FROM upload_line) AS lines
    WHERE before IS NOT NULL
) AS repeated
"""
_COUNT_DAY = """
INSERT INTO crawlers_streamday AS counted (stream_id, day, inserted, updated)
VALUES (%s, (now() AT TIME ZONE 'UTC')::date, %s, %s)
ON CONFLICT (stream_id, day) DO UPDATE
SET inserted = counted.inserted + excluded.inserted, updated = counted.updated + excluded.updated
"""
_NEXT_ROW = "SELECT nextval(pg_get_serial_sequence('crawlers_document', 'id'))"


@dataclass
class UploadCounts:
    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    bytes: int = 0


@dataclass
class Upload:
    """What one body came to so far: rows for the table of documents and that of rejected lines, as COPY takes them."""

    documents: IO[bytes]
    rejected_lines: IO[bytes]
    row_prefix: bytes = b""
    digest: Any = field(default_factory=sha256)  # of the body
    counts: UploadCounts = field(default_factory=UploadCounts)
    rejected_lines_kept: int = 0
    external_version: int = 0  # whose schema and docIdField the lines were checked with
    has_repeated_ids: bool = False
    is_repeated: bool = False  # the task's last upload is sent again
    errors: list[dict[str, Any]] = field(default_factory=list)  # {line, detail} of the first lines that do not fit


def row_prefix(task: CrawlerTask) -> bytes:
    """The columns of a document's row that are the same for all of a task, before `key` and `body`."""
    return b"%d\x02%d\x02%d\x02" % (task.stream_id, task.pk, task.rank)


def store_upload(task: CrawlerTask, upload: Upload) -> UploadCounts:
    """Stores everything of an upload, or nothing.

    Raises `Conflict` for a task that has ended, `NotFound` for one that is deleted or has a later attempt, and
    `Unavailable` where the stream stays locked.
    """
    with transaction.atomic(), unavailable_if_locked():
        locked_task = _skip_repeated_upload(task, upload) or _copy_into_empty_stream(task, upload)
        if locked_task is None:
            # Staged before the stream is locked: the long part of the work keeps no other upload waiting.
            upload.documents.seek(0)
            stage_rows(_pieces(upload.documents))
            locked_task = lock_stream_and_task(task)
            upload.has_repeated_ids = merge_staged_rows(locked_task, upload.counts)
        newly_rejected = _store_rejected_lines(locked_task, upload)
        locked_task.last_upload = _fingerprint(locked_task, upload)
        _update_task(locked_task, replace(upload.counts, rejected=newly_rejected))
    for outcome in ("inserted", "updated", "unchanged", "rejected"):
        DOCUMENTS.add(outcome, amount=getattr(upload.counts, outcome))
    return upload.counts


def _skip_repeated_upload(task: CrawlerTask, upload: Upload) -> CrawlerTask | None:
    """Stores nothing where the task's last upload is sent again, as clients do that did not get the answer."""
    if task.last_upload is None or task.last_upload["digest"] != upload.digest.hexdigest():
        return None
    locked_task = lock_stream_and_task(task)
    fingerprint = _fingerprint(locked_task, upload)
    if fingerprint is None or locked_task.last_upload != fingerprint or removed_tasks(locked_task.stream_id):
        return None
    upload.counts.unchanged = upload.counts.received - upload.counts.rejected
    upload.is_repeated = True
    return locked_task


def _fingerprint(task: CrawlerTask, upload: Upload) -> dict[str, Any] | None:
    """What must be the same for an upload to be the last one again; None where lines repeat ids.

    The stream's revision is that after this upload: whatever changes the stream afterwards makes another one of it.
    """
    if upload.has_repeated_ids:
        return None
    revision = Stream.objects.values_list("revision", flat=True).get(pk=task.stream_id)
    circumstances = {"rank": task.rank, "revision": revision, "version": upload.external_version}
    return {"digest": upload.digest.hexdigest(), **circumstances}


def _copy_into_empty_stream(task: CrawlerTask, upload: Upload) -> CrawlerTask | None:
    """Copies the documents straight into their table, where the stream holds none yet and no id stands twice.

    Nothing is to be compared then, so this spares the staging and the merge: most of the time of a first upload.
    """
    if not _is_empty(task.stream_id):  # asked without the lock, as merges are to stage before they lock
        return None
    locked_task = lock_stream_and_task(task)
    counts = upload.counts
    if not _is_empty(task.stream_id) or counts.received == counts.rejected:
        return None
    first = _next_row()
    try:
        with transaction.atomic():
            _copy(_pieces(upload.documents), f"COPY crawlers_document {_COLUMNS} FROM STDIN {_FORMAT}")
    except IntegrityError:  # an id stands twice
        return None
    counts.inserted = counts.received - counts.rejected
    _record_rows(locked_task, first, counts, counts.inserted)
    return locked_task


def _is_empty(stream_id: int) -> bool:
    return not CrawlerTask.objects.filter(stream_id=stream_id, first_row__isnull=False).exists()


def _next_row() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_ROW)
        number: int = cursor.fetchone()[0]
    return number


def _record_rows(task: CrawlerTask, first: int, counts: UploadCounts, added: int) -> None:
    """Records between which numbers the task's rows are, and that `added` ids are new to the stream."""
    task.first_row = first if task.first_row is None else task.first_row
    task.last_row = _next_row()
    Stream.objects.filter(pk=task.stream_id).update(documents=F("documents") + added, revision=F("revision") + 1)
    if counts.inserted or counts.updated:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT_DAY, [task.stream_id, counts.inserted, counts.updated])
        add_usage(task.owner_id, inserted=counts.inserted, updated=counts.updated)


def stage_rows(pieces: Iterator[bytes]) -> None:
    """Copies rows to a table that this transaction alone sees, for `merge_staged_rows`."""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE_STAGING)
    _copy(pieces, f"COPY upload_line {_COLUMNS} FROM STDIN {_FORMAT}")


def _copy(pieces: Iterator[bytes], statement: str) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(COPY_PIECE), b"")


def removed_tasks(stream_id: int) -> list[int]:
    """The deleted tasks of a stream whose documents are not all removed yet: readers do not see these."""
    return list(CrawlerTask.objects.filter(stream_id=stream_id, removed_at__isnull=False).values_list("pk", flat=True))


def merge_staged_rows(task: CrawlerTask, counts: UploadCounts) -> bool:
    """Makes the staged rows the task's versions, and counts how they compare with what the stream showed.

    Says whether an id stands several times among them.
    """
    values: dict[str, Any] = {"stream": task.stream_id, "removed": removed_tasks(task.stream_id)}
    sent = counts.received - counts.rejected
    first = _next_row()
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, values)
        *compared, added = cursor.fetchone()
        counts.inserted, counts.updated, counts.unchanged = inserted, updated, unchanged = compared
        has_repeated_ids: bool = sent > inserted + updated + unchanged
        if has_repeated_ids:
            cursor.execute(_REPEATED)
            changed, same = cursor.fetchone()
            counts.updated, counts.unchanged = updated + changed, unchanged + same
    if sent:
        _record_rows(task, first, counts, added)
    return has_repeated_ids


def _store_rejected_lines(task: CrawlerTask, upload: Upload) -> int:
    """Keeps as many lines as a task may have; of the others only the number is known.

    Says how many are set aside anew: lines of a body that is sent again are there already.
    """
    if upload.is_repeated or not upload.rejected_lines_kept:
        return 0
    digest, kept = upload.digest.hexdigest(), RejectedLine.objects.filter(task=task)
    known = set(kept.filter(upload=digest).values_list("line", flat=True))
    number = 0

    def rows() -> Iterator[bytes]:
        nonlocal number
        for row in upload.rejected_lines:
            if int(row.split(b"\x02", 2)[1]) not in known:
                number += 1
                yield b"%b\x02%b" % (digest.encode(), row)

    _copy(rows(), f"COPY crawlers_rejected (upload, task_id, line, reason, body, at) FROM STDIN {_FORMAT}")
    surplus = kept.order_by("id").values_list("pk", flat=True)[settings.QUARANTINE_MAX_LINES :]
    RejectedLine.objects.filter(pk__in=list(surplus)).delete()
    return number if known else upload.counts.rejected


def _update_task(task: CrawlerTask, counts: UploadCounts) -> None:
    for name, number in vars(counts).items():
        setattr(task, name, getattr(task, name) + number)
    task.seen_at = timezone.now()
    task.save(update_fields=[*vars(counts), "seen_at", "first_row", "last_row", "last_upload"])
    if task.code == task_status.NEW:
        message = task_status.DEFAULT_MESSAGES[task_status.RUNNING]
        record_change(task, task_status.RUNNING, message, "", StatusChange.By.CRAWLER)
    save_progress(task)
