"""Documents into their stream: copied where it is empty, else compared with what it shows; all of an upload in one
transaction, under a lock of the stream (contract, section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from crawlers.domain import task_status
from crawlers.models import Rejected, StatusChange, Stream, Task
from crawlers.services.status_updates import record_change, tell_progress
from taskhub.errors import Conflict, NotFound, Unavailable

COPY_PIECE = 256 * 1024
LOCK_SECONDS = 20

# No document has these characters in it: JSON writes them as escapes.
_FORMAT = "(FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
_COLUMNS = "(stream_id, task_id, rank, key, body)"
_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS upload_line (
    line bigint GENERATED ALWAYS AS IDENTITY,
    stream_id bigint, task_id bigint, rank bigint, key text COLLATE "C", body text
) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS
"""
# Each id's last line is compared with what the stream shows: as text, and only where that differs as JSON. Bodies are
# not carried through the steps, but read again for those that are written.
_MERGE = """
WITH latest AS MATERIALIZED (
    SELECT DISTINCT ON (key) line FROM upload_line ORDER BY key, line DESC
), compared AS MATERIALIZED (
    SELECT line, shown.body IS NULL AS fresh,
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
    SET body = excluded.body, rank = excluded.rank, at = clock_timestamp()
    WHERE crawlers_document.body <> excluded.body OR crawlers_document.rank <> excluded.rank
)
SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh AND NOT same), count(*) FILTER (WHERE same)
FROM compared
"""
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
    place: bytes = b""
    digest: Any = field(default_factory=sha256)
    counts: Counts = field(default_factory=Counts)
    kept: int = 0
    version: int = 0  # of the external, whose schema and docIdField were looked at
    repeated: bool = False
    refused: list[dict[str, Any]] = field(default_factory=list)


def place_of(task: Task) -> bytes:
    """With what each row of a task's documents begins, before `key` and `body`."""
    return b"%d\x02%d\x02%d\x02" % (task.stream_id, task.pk, task.rank)


def store(task: Task, upload: Upload) -> Counts:
    """Everything, or nothing. Raises `Conflict`, `NotFound` for a task that is gone meanwhile, and `Unavailable`."""
    try:
        with transaction.atomic():
            row = _found_again(task, upload) or _copied_into_empty(task, upload)
            if row is None:
                upload.documents.seek(0)
                stage(_pieces(upload.documents))
                row = task_under_lock(task)
                upload.repeated = merge(row, upload.counts)
            _put_aside(row, upload)
            row.last_upload = _seal(row, upload)
            _count(row, upload.counts)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Unavailable("Other uploads of this stream take long to be stored.", retry_after=5) from None
        raise
    return upload.counts


def _found_again(task: Task, upload: Upload) -> Task | None:
    """The upload before, sent again, as one does who did not get the answer: then nothing has to be written."""
    if task.last_upload is None or task.last_upload["digest"] != upload.digest.hexdigest():
        return None
    row = task_under_lock(task)
    if row.last_upload is None or row.last_upload != _seal(row, upload) or removed_tasks(row.stream_id):
        return None
    upload.counts.unchanged = upload.counts.received
    return row


def _seal(task: Task, upload: Upload) -> dict[str, Any] | None:
    """What must be the same for an upload to be the one before; None where lines repeat each other or were put aside.

    The stream's revision is that after this upload.
    """
    counts = upload.counts
    if counts.rejected or upload.repeated:
        return None
    revision = Stream.objects.values_list("revision", flat=True).get(pk=task.stream_id)
    circumstances = {"rank": task.rank, "revision": revision, "version": upload.version}
    return {"digest": upload.digest.hexdigest(), **circumstances}


def _copied_into_empty(task: Task, upload: Upload) -> Task | None:
    """Into a stream that holds nothing yet documents are copied as they are; unless an id stands twice among them."""
    if not _is_empty(task.stream_id):
        return None
    row = task_under_lock(task)
    counts = upload.counts
    if not _is_empty(task.stream_id) or counts.received == counts.rejected:
        return None
    first = _next_row()
    try:
        with transaction.atomic():
            _copy(_pieces(upload.documents), f"COPY crawlers_document {_COLUMNS} FROM STDIN {_FORMAT}")
    except IntegrityError:
        return None
    counts.inserted = counts.received - counts.rejected
    _note_rows(row, first, counts.inserted)
    return row


def _is_empty(stream_id: int) -> bool:
    return not Task.objects.filter(stream_id=stream_id, first_row__isnull=False).exists()


def _next_row() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_ROW)
        number: int = cursor.fetchone()[0]
    return number


def _note_rows(task: Task, first: int, inserted: int) -> None:
    """Between which numbers the task's rows are, and how many documents more the stream shows."""
    task.first_row = first if task.first_row is None else task.first_row
    task.last_row = _next_row()
    Stream.objects.filter(pk=task.stream_id).update(documents=F("documents") + inserted, revision=F("revision") + 1)


def stage(pieces: Iterator[bytes]) -> None:
    """Into a table that this transaction alone sees, for `merge`."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
    _copy(pieces, f"COPY upload_line {_COLUMNS} FROM STDIN {_FORMAT}")


def _copy(pieces: Iterator[bytes], statement: str) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(COPY_PIECE), b"")


def sendable(task: Task) -> Task:
    """Raises `Conflict` for a task that takes no documents any more."""
    if task.ended:
        raise Conflict(f"The task has ended; its status is {task.code}.", status_code=task.code)
    return task


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


def merge(task: Task, counts: Counts) -> bool:
    """Makes what was staged the task's versions, and counts how they compare with what the stream showed.

    Says whether an id stood several times in what was staged.
    """
    values: dict[str, Any] = {"stream": task.stream_id, "removed": removed_tasks(task.stream_id)}
    sent = counts.received - counts.rejected
    first = _next_row()
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, values)
        counts.inserted, counts.updated, counts.unchanged = inserted, updated, unchanged = cursor.fetchone()
        repeated = sent > inserted + updated + unchanged
        if repeated:
            cursor.execute(_REPEATED)
            changed, same = cursor.fetchone()
            counts.updated, counts.unchanged = updated + changed, unchanged + same
    if sent:
        _note_rows(task, first, inserted)
    return bool(repeated)


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
    task.save(update_fields=[*vars(counts), "seen_at", "first_row", "last_row", "last_upload"])
    if task.code == task_status.NEW:
        record_change(task, task_status.RUNNING, "", "", StatusChange.By.CRAWLER)
    tell_progress(task)
