"""All documents of a selection as lines of JSON, however many they are: in the memory of some of them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.db import connection

from crawlers.domain.documents import wrapped_document
from crawlers.services.document_selection import (
    STATEMENT_SECONDS,
    STRETCH,
    DocumentSelection,
    SlowPredicate,
    Stretch,
    time_limited,
)
from taskhub.db.connections import give_back_connection

EXPORT_STRETCH = 10_000
DOCUMENT_SECONDS = 10  # for the predicate of one document, which has no shorter stretch
IN_MEMORY = 8 * 1024 * 1024
PIECE = 256 * 1024
DELIMITER = b"\x02"
_TASK = "(SELECT fid FROM crawlers_task WHERE crawlers_task.id = document.task_id)"
_WRAPPED_COLUMNS = f"key, {_TASK}, extract(epoch FROM at), body"


def export_documents(*, selection: DocumentSelection, wrapped: bool = False) -> Iterator[bytes]:
    """All documents, each as it was sent, a line each; `wrapped` with its id, task and time around it.

    Raises `Rejected` for a predicate before the first piece, and `NotFound` where the stream or the task is deleted
    meanwhile: what comes of it then is not all.
    """
    size, after, is_last = STRETCH if selection.where else EXPORT_STRETCH, selection.start, False
    columns, line_of = (_WRAPPED_COLUMNS, _wrapped_line) if wrapped else ("body", _as_it_is)
    while not is_last:
        with SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-export-") as spool:
            if selection.by_rows or selection.has_conditions() or wrapped:
                stretch, size = _copy_stretch(selection, after, spool, size, columns, line_of)
                after, is_last = stretch.upto, stretch.is_last
            else:
                after = _copy_next_keys(selection, after, spool)
                is_last = after is None
            selection.check_exists()
            give_back_connection()
            spool.seek(0)
            while piece := spool.read(PIECE):
                yield piece


def _copy_next_keys(selection: DocumentSelection, after: str, spool: IO[bytes]) -> str | None:
    """Writes the next documents to the spool; returns the key of the last, None at the end."""
    statement = f"{selection.statement('key, body')} LIMIT {EXPORT_STRETCH}"
    count, size, row, bodies = 0, 0, b"", list[bytes]()
    with time_limited(selection):
        for row in copied_rows(statement, selection.values(Stretch(after, None, False))):
            count += 1
            size += len(row)
            bodies.append(row.partition(DELIMITER)[2])
            if size > PIECE:
                spool.write(b"".join(bodies))
                bodies.clear()
                size = 0
    spool.write(b"".join(bodies))
    return None if count < EXPORT_STRETCH else row.partition(DELIMITER)[0].decode()


def _copy_stretch(
    selection: DocumentSelection,
    after: Any,
    spool: IO[bytes],
    size: int,
    columns: str,
    line_of: Callable[[bytes], bytes],
) -> tuple[Stretch, int]:
    """Writes those of the next stretch that meet the conditions; returns it, and the size of the next one.

    The stretch becomes so short that a predicate has time for it.
    """
    while True:
        seconds = DOCUMENT_SECONDS if size == 1 else STATEMENT_SECONDS
        stretch = selection.next_stretch(after, size)
        try:
            with time_limited(selection, size, seconds):
                for row in copied_rows(selection.statement(columns), selection.values(stretch)):
                    spool.write(line_of(row))
        except SlowPredicate:
            if size == 1:
                raise
            size = max(1, size // 8)
            spool.seek(0)
            spool.truncate()
        else:
            return stretch, min(STRETCH if selection.where else EXPORT_STRETCH, size * 2)


def _as_it_is(row: bytes) -> bytes:
    return row


def _wrapped_line(row: bytes) -> bytes:
    key, task, at, body = row[:-1].decode().split(DELIMITER.decode(), 3)
    return f"{wrapped_document(key, task, datetime.fromtimestamp(float(at), UTC), body)}\n".encode()


def copied_rows(statement: str, values: dict[str, Any]) -> Iterator[bytes]:
    """The rows of a statement as COPY writes them, one at a time (PostgreSQL's protocol, COPY operations).

    Columns are separated by `DELIMITER`. JSON has no control characters, so nothing in it is quoted.
    """
    copy = f"COPY ({statement}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(copy, values) as rows:
        for row in rows:
            yield bytes(row)
