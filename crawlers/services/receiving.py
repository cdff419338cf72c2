"""Uploads: from what arrives to documents of a stream; all of one body, or nothing (contract, section 5).

What is read goes into a file first, ready for COPY: while a client sends, no transaction is open and no connection
held, and a body of a million documents needs the memory of one piece of it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from crawlers.domain import status
from crawlers.domain.documents import Invalid, Lines, Reader, documents_in, first_line
from crawlers.domain.schemas import compiled
from crawlers.models import External, Rejected, StatusChange, Stream, Task
from crawlers.services.telling import record_change, tell_progress
from taskhub import errors
from taskhub.bodies import not_stored
from taskhub.errors import Conflict, NotAcceptable, NotFound, Unavailable
from taskhub.shares import Shares

TOLD_MAX = 10  # of the lines that do not fit
IN_MEMORY = 1024 * 1024
COPY_PIECE = 256 * 1024
ALIVE_SECONDS = 10.0
LOCK_SECONDS = 20
PATIENCE_SECONDS = 20.0

_sending = Shares(settings.UPLOADS_AT_ONCE, max(1, settings.UPLOADS_AT_ONCE // 2), "Too many uploads are under way.")
_storing = Shares(3, 2, "The database does not keep up with the uploads.")

# No document has these characters in it: JSON writes them as escapes.
_FORMAT = "(FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS upload_line (line bigint, key text COLLATE "C", body text) ON COMMIT DELETE ROWS
"""
_LATEST = "SELECT DISTINCT ON (key) key, body FROM upload_line ORDER BY key, line DESC"
_WRITE = """
INSERT INTO crawlers_document (stream_id, key, task_id, rank, body, at)
SELECT %(stream)s, key, %(task)s, %(rank)s, body, clock_timestamp() FROM {source} AS latest
ON CONFLICT (stream_id, key, task_id) DO UPDATE SET body = excluded.body, rank = excluded.rank, at = excluded.at
WHERE crawlers_document.body <> excluded.body OR crawlers_document.rank <> excluded.rank
"""
_WRITE_FIRST = _WRITE.format(source=f"({_LATEST})")
# Compared with what the stream shows: as text, and only where that differs as JSON.
_WRITE_COMPARED = f"""
WITH latest AS MATERIALIZED ({_LATEST}), compared AS (
    SELECT latest.body, shown.body AS shown
    FROM latest LEFT JOIN LATERAL (
        SELECT body FROM crawlers_document AS document
        WHERE document.stream_id = %(stream)s AND document.key = latest.key AND document.task_id <> ALL(%(removed)s)
        ORDER BY rank DESC LIMIT 1
    ) AS shown ON true
), counted AS (
    SELECT count(*) FILTER (WHERE shown IS NULL) AS inserted,
        count(*) FILTER (WHERE CASE WHEN shown = body THEN true ELSE shown::jsonb = body::jsonb END) AS unchanged,
        count(*) AS documents
    FROM compared
), written AS ({_WRITE.format(source="latest")})
SELECT inserted, documents - inserted - unchanged, unchanged FROM counted
"""  # noqa: S608 (constants of ours)
# Of an id that stands several times in one body, each line but the first changes what the line before it said, or not.
_REPEATED = """
SELECT count(*) FILTER (WHERE NOT same), count(*) FILTER (WHERE same)
FROM (
    SELECT CASE WHEN body = before THEN true ELSE body::jsonb = before::jsonb END AS same
    FROM (SELECT body, lag(body) OVER (PARTITION BY key ORDER BY line) AS before FROM upload_line) AS lines
    WHERE before IS NOT NULL
) AS repeated
"""
_NEXT_ROW = "SELECT nextval(pg_get_serial_sequence('crawlers_document', 'id'))"


@dataclass
class Counts:
    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    bytes: int = 0


@dataclass
class Upload:
    """What came of one body so far: lines for the table of documents, and for that of rejected ones."""

    documents: IO[bytes]
    quarantine: IO[bytes]
    counts: Counts = field(default_factory=Counts)
    kept: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


def sendable(task: Task) -> Task:
    """Raises `Conflict` for a task that takes no documents any more."""
    if task.ended:
        raise Conflict(f"The task has ended; its status is {task.code}.", status_code=task.code)
    return task


def receive(*, task: Task, pieces: Iterator[bytes], skip: bool) -> Counts:
    """Stores a body that arrives in pieces, already unpacked, and gives its counts; everything, or nothing.

    With `skip` lines that are no documents of the stream are put aside. Raises `Rejected`, `NotAcceptable` and
    `TooLarge` with the lines, `Conflict` when the task ends meanwhile, and `Unavailable`.
    """
    give_back_connection()
    with _sending.place(task.owner_id), _spool() as documents, _spool() as quarantine:
        upload = Upload(documents, quarantine)
        try:
            _read(task, _alive(task, pieces), upload, skip=skip)
            documents.seek(0)
            quarantine.seek(0)
        except OSError as error:
            raise not_stored(error) from None
        with _storing.place(task.owner_id, patience=PATIENCE_SECONDS):
            return _store(task, upload)


def give_back_connection() -> None:
    """To the pool, while somebody else takes his time."""
    if not connection.in_atomic_block:
        connection.close()


def _spool() -> IO[bytes]:
    return SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-upload-")


def _alive(task: Task, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; and now and then a sign of life, as an upload may take longer than the task's time-out."""
    next_sign = time.monotonic() + ALIVE_SECONDS
    for piece in pieces:
        yield piece
        if time.monotonic() > next_sign:
            Task.objects.filter(pk=task.pk, attempt=task.attempt, ended_at__isnull=True).update(seen_at=timezone.now())
            give_back_connection()
            next_sign = time.monotonic() + ALIVE_SECONDS


def _read(task: Task, pieces: Iterator[bytes], upload: Upload, *, skip: bool) -> None:
    lines = Lines(settings.UPLOAD_LINE_MAX_BYTES)
    reader = Reader(validator_of(task.external_id, task.external.version), task.external.id_field)
    now = timezone.now().isoformat()
    for piece in pieces:
        upload.counts.bytes += len(piece)
        _read_lines(lines, lines.feed(piece), reader, upload, (task, now) if skip else None)
    _read_lines(lines, lines.finish(), reader, upload, (task, now) if skip else None)
    if not upload.counts.received:
        raise errors.Rejected("The body holds no document.", errors=[{"line": 1, "detail": "Must be a document."}])
    if upload.refused:
        first = upload.refused[0]
        words = f"{upload.counts.rejected} lines do not fit; line {first['line']}: {first['detail']}"
        raise NotAcceptable(words, errors=upload.refused, type="invalid-documents")


def _read_lines(
    lines: Lines, whole: list[bytes], reader: Reader, upload: Upload, aside: tuple[Task, str] | None
) -> None:
    """The innermost loop: a line takes some microseconds, most of them in the parser."""
    if lines.number == 0 and whole:
        whole[0] = first_line(whole[0])
    read, rows, received = reader.read, list[bytes](), 0
    for number, line in documents_in(whole, lines.number + 1):
        received += 1
        try:
            key, body = read(line, number)
        except Invalid as why:
            _reject(upload, number, str(why), line, aside)
        else:
            rows.append(b"%d\x02%b\x02%b\n" % (number, key, body))
    lines.number += len(whole)
    upload.counts.received += received
    upload.documents.write(b"".join(rows))


def _reject(upload: Upload, number: int, why: str, line: bytes, aside: tuple[Task, str] | None) -> None:
    upload.counts.rejected += 1
    if aside is None:
        if len(upload.refused) < TOLD_MAX:
            upload.refused.append({"line": number, "detail": why})
    elif upload.kept < settings.QUARANTINE_MAX_LINES:
        upload.kept += 1
        task, now = aside
        reason = " ".join(why.split()).translate({1: " ", 2: " ", 0: " "}).encode("utf-8", "replace")
        upload.quarantine.write(b"%d\x02%d\x02%b\x02%b\x02%b\n" % (task.pk, number, reason, line, now.encode()))


@lru_cache(256)
def validator_of(external_id: int, version: int) -> Any:
    """Compiled once for each version of an external, in each process; None where there is no schema."""
    schema = External.objects.values_list("schema", flat=True).get(pk=external_id)
    return None if schema is None else compiled(schema)


def _store(task: Task, upload: Upload) -> Counts:
    try:
        with transaction.atomic():
            stage(_pieces(upload.documents))
            row = task_under_lock(task)
            merge(row, upload.counts)
            _put_aside(row, upload)
            _count(row, upload.counts)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Unavailable("Other uploads of this stream take long to be stored.", retry_after=5) from None
        raise
    return upload.counts


def stage(pieces: Iterator[bytes]) -> None:
    """Into a table that this transaction alone sees: `line`, `key` and `body`, for `merge`."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
    _copy(pieces, f"COPY upload_line FROM STDIN {_FORMAT}")


def _copy(pieces: Iterator[bytes], statement: str) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(COPY_PIECE), b"")


def task_under_lock(task: Task, *, ended: bool = False) -> Task:
    """The task, if it still takes documents: no other upload of its stream is stored until this transaction is over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
    Stream.objects.select_for_update(no_key=True).filter(pk=task.stream_id).values_list("pk").first()
    rows = Task.objects.select_for_update(of=("self",), no_key=True).select_related("stream")
    row = rows.filter(pk=task.pk, removed_at__isnull=True).first()
    if row is None or row.attempt != task.attempt:
        raise NotFound("There is no such task any more, or it has a later attempt.")
    return row if ended else sendable(row)


def removed_tasks(stream_id: int) -> list[int]:
    """Those that are deleted and whose documents are still going."""
    return list(Task.objects.filter(stream_id=stream_id, removed_at__isnull=False).values_list("pk", flat=True))


def merge(task: Task, counts: Counts) -> None:
    """Makes what was staged the task's versions, and counts how they compare with what the stream showed."""
    values: dict[str, Any] = {
        "stream": task.stream_id,
        "task": task.pk,
        "rank": task.rank,
        "removed": removed_tasks(task.stream_id),
    }
    fresh = counts.received - counts.rejected
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_ROW)
        first = cursor.fetchone()[0]
        if (
            task.stream.documents == 0
            and not Task.objects.filter(stream_id=task.stream_id, first_row__isnull=False).exists()
        ):
            cursor.execute(_WRITE_FIRST, values)
            counts.inserted = cursor.rowcount
        else:
            cursor.execute(_WRITE_COMPARED, values)
            counts.inserted, counts.updated, counts.unchanged = cursor.fetchone()
        inserted = counts.inserted
        if fresh > counts.inserted + counts.updated + counts.unchanged:
            cursor.execute(_REPEATED)
            changed, same = cursor.fetchone()
            counts.updated, counts.unchanged = counts.updated + changed, counts.unchanged + same
        cursor.execute(_NEXT_ROW)
        last = cursor.fetchone()[0]
    if fresh:
        task.first_row = first if task.first_row is None else task.first_row
        task.last_row = last
    Stream.objects.filter(pk=task.stream_id).update(documents=F("documents") + inserted)


def _put_aside(task: Task, upload: Upload) -> None:
    """Up to as many lines as a task may keep; the others are counted only."""
    if not upload.kept:
        return
    _copy(_pieces(upload.quarantine), f"COPY crawlers_rejected (task_id, line, reason, body, at) FROM STDIN {_FORMAT}")
    over = Rejected.objects.filter(task=task).order_by("id").values_list("pk", flat=True)
    surplus = list(over[settings.QUARANTINE_MAX_LINES :])
    Rejected.objects.filter(pk__in=surplus).delete()


def _count(task: Task, counts: Counts) -> None:
    for name, number in vars(counts).items():
        setattr(task, name, getattr(task, name) + number)
    task.seen_at = timezone.now()
    task.save(update_fields=[*vars(counts), "seen_at", "first_row", "last_row"])
    if task.code == status.NEW:
        record_change(task, status.RUNNING, "", "", StatusChange.By.CRAWLER)
    tell_progress(task)
