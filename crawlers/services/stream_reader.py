"""Documents of a stream as readers see them: of each the version of the attempt that started last, in order of keys.

They are read in stretches of keys, each by a statement of its own: nothing is held open while a client takes its time,
and whatever is written meanwhile, nobody sees a document twice or misses one that was there all along.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple

from django.db import DataError, OperationalError, ProgrammingError, connection
from psycopg.errors import QueryCanceled

from crawlers.models import CrawlerTask, Stream
from crawlers.services.document_store import removed_tasks
from taskhub.db.connections import give_back_connection
from taskhub.db.plans import reads_along_indexes
from taskhub.errors import NotFound, Rejected

STRETCH = 2_000  # keys that one statement looks at
STRETCH_MAX = 16_000  # where nothing is found, as after a large task was deleted, the stretches grow
EXPORT_STRETCH = 10_000
PAGE_BYTES = 16 * 1024 * 1024  # then a page ends, with the document that goes beyond
PAGE_SECONDS = 0.2  # then a page ends where it is, and its cursor goes on from there
STATEMENT_SECONDS = 1
DOCUMENT_SECONDS = 10  # for the predicate of one document of an export, which has no shorter stretch
IN_MEMORY = 8 * 1024 * 1024
_PIECE = 256 * 1024
_DELIMITER = b"\x02"

_VISIBLE = """
SELECT {columns} FROM (
    SELECT DISTINCT ON (key) key, task_id, at, body FROM crawlers_document
    WHERE stream_id = %(stream)s AND key > %(after)s AND (%(upto)s::text IS NULL OR key <= %(upto)s)
        AND task_id <> ALL(%(removed)s)
    ORDER BY key, rank DESC
) AS visible {where} ORDER BY key
"""
_CHANGE_SET = """
SELECT {columns} FROM (
    SELECT id AS key, task_id, at, body FROM crawlers_document
    WHERE id > %(after)s AND id <= %(upto)s AND task_id = %(task)s
) AS visible {where} ORDER BY key
"""
_END_OF_STRETCH = """
SELECT key FROM crawlers_document WHERE stream_id = %(stream)s AND key > %(after)s
ORDER BY key OFFSET %(stretch)s LIMIT 1
"""
# Of the documents that a page has room for those whose predecessors leave any: only they are read.
_WITHIN_BYTES = """
SELECT key, task_id, at, body, size FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY key) AS size FROM ({documents} LIMIT %(limit)s) AS documents
) AS sized WHERE size - octet_length(body) < %(bytes)s ORDER BY key
"""
# The path finds an item, and that is not false: so `$.price > 10` and `$.tags[*] ? (@ == "new")` mean what they say.
_MATCHES = "jsonb_path_query_first(body::jsonb, %(where)s::jsonpath, '{{}}', true) NOT IN ('false', 'null')"


@dataclass(frozen=True)
class DocumentSelection:
    """Which documents are read: those that a stream shows, or one task's change set; `where` is a SQL/JSON path.

    A key stands for a place in the order: of a stream the document's key, of a change set the row's number.
    """

    stream: Stream
    task: CrawlerTask | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: str = ""

    @property
    def start(self) -> Any:
        """The key before the first document."""
        return (self.task.first_row or 1) - 1 if self.task else ""

    def has_conditions(self) -> bool:
        return bool(self.since or self.until or self.where)

    def statement(self, columns: str) -> str:
        conditions = ["at >= %(since)s"] if self.since else []
        conditions += ["at < %(until)s"] if self.until else []
        conditions += [_MATCHES.format()] if self.where else []
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return (_CHANGE_SET if self.task else _VISIBLE).format(columns=columns, where=where)

    def values(self, after: Any, upto: Any) -> dict[str, Any]:
        """The statement's parameters for the keys behind `after`, up to `upto`; None stands for the end."""
        values = {"stream": self.stream.pk, "after": after, "upto": upto, "where": self.where}
        values |= {"since": self.since, "until": self.until, "removed": removed_tasks(self.stream.pk)}
        if self.task:
            values |= {"task": self.task.pk, "upto": (self.task.last_row or 0) if upto is None else upto}
        return values

    def end_of_stretch(self, after: Any, stretch: int) -> Any:
        """The last key of the stretch behind `after`; None where no key is left behind it."""
        if self.task:
            last = self.task.last_row or 0
            return after + stretch if after + stretch < last else None
        with reads_along_indexes(), connection.cursor() as cursor:
            cursor.execute(_END_OF_STRETCH, {"stream": self.stream.pk, "after": after, "stretch": stretch})
            row = cursor.fetchone()
        return row[0] if row else None

    def check_exists(self) -> None:
        """Raises `NotFound` where the stream or the task was deleted."""
        for row in [self.stream, *([self.task] if self.task else [])]:
            if not type(row).objects.filter(pk=row.pk, removed_at__isnull=True).exists():
                raise NotFound(f"The {row._meta.verbose_name} was deleted meanwhile.")


class DocumentVersion(NamedTuple):
    key: Any
    task_id: int
    at: datetime
    body: str


class DocumentPage(NamedTuple):
    """`next` is the key behind which the next page begins; None at the end."""

    documents: list[DocumentVersion]
    next: Any


def read_page(*, selection: DocumentSelection, after: Any, limit: int) -> DocumentPage:
    """Up to `limit` documents; fewer where few of many match, or where they are large: a page must not take long.

    Raises `Rejected` for a predicate that is none, or that takes too long.
    """
    after = selection.start if after is None else after
    documents: list[DocumentVersion] = []
    deadline = time.monotonic() + PAGE_SECONDS
    stretch = STRETCH if selection.has_conditions() else limit + 1
    grows = not selection.where  # a predicate has a second for a stretch, however little it finds
    statement = _WITHIN_BYTES.format(documents=selection.statement("key, task_id, at, body"))
    room = PAGE_BYTES
    while True:
        upto = selection.end_of_stretch(after, stretch)
        values = selection.values(after, upto) | {"limit": limit + 1 - len(documents), "bytes": room}
        with _time_limited(selection), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall()
        documents += [DocumentVersion(*row[:4]) for row in rows]
        room -= int(rows[-1][4]) if rows else 0
        if len(documents) > limit:
            return DocumentPage(documents[:limit], documents[limit - 1].key)
        if room <= 0:
            return DocumentPage(documents, documents[-1].key)
        if upto is None:
            return DocumentPage(documents, None)
        after, stretch = upto, min(2 * stretch, STRETCH_MAX) if grows else stretch
        if time.monotonic() > deadline:
            return DocumentPage(documents, after)


class SlowPredicate(Rejected):
    """A predicate that takes too long."""


@contextmanager
def _time_limited(selection: DocumentSelection, keys: int = STRETCH, seconds: float | None = None) -> Iterator[None]:
    """A transaction for statements along the index. One whose predicate is the caller's own has its time, or fails."""
    seconds = STATEMENT_SECONDS if seconds is None else seconds
    try:
        with reads_along_indexes():
            if selection.where:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
            yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise _unusable_predicate(f"Takes longer than {seconds} s for {keys} documents.", SlowPredicate) from None
    except (DataError, ProgrammingError) as error:
        raise _unusable_predicate(str(error).partition("\n")[0]) from None


def _unusable_predicate(detail: str, kind: type[Rejected] = Rejected) -> Rejected:
    return kind(f"The predicate cannot be used: {detail}", errors=[{"pointer": "/where", "detail": detail}])


def export_documents(*, selection: DocumentSelection) -> Iterator[bytes]:
    """All documents as NDJSON, each as it was sent. Raises `Rejected` for a predicate before the first piece.

    Raises `NotFound` where the stream or the task is deleted meanwhile: what comes of it then is not all.
    """
    stretch, after, first = STRETCH if selection.where else EXPORT_STRETCH, selection.start, True
    while first or after is not None:
        with SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-export-") as spool:
            if selection.has_conditions():
                after, stretch = _copy_matching(selection, after, spool, stretch)
            else:
                after = _copy_next(selection, after, spool)
            selection.check_exists()
            give_back_connection()
            first = False
            spool.seek(0)
            while piece := spool.read(_PIECE):
                yield piece


def _copy_next(selection: DocumentSelection, after: Any, spool: IO[bytes]) -> Any:
    """Writes the next documents to the spool; returns the key of the last, None at the end."""
    statement = f"{selection.statement('key, body')} LIMIT {EXPORT_STRETCH}"
    count, row = 0, b""
    with _time_limited(selection):
        for row in _copied_rows(statement, selection.values(after, None)):
            count += 1
            spool.write(row[row.index(_DELIMITER) + 1 :])
    if count < EXPORT_STRETCH:
        return None
    key = row[: row.index(_DELIMITER)].decode()
    return int(key) if selection.task else key


def _copy_matching(selection: DocumentSelection, after: Any, spool: IO[bytes], stretch: int) -> tuple[Any, int]:
    """Writes those of the next stretch of keys that meet the conditions; returns its last key, None at the end.

    The stretch becomes so short that a predicate has time for it. Returns the length of the next one, too.
    """
    while True:
        seconds = DOCUMENT_SECONDS if stretch == 1 else STATEMENT_SECONDS
        upto = selection.end_of_stretch(after, stretch)
        try:
            with _time_limited(selection, stretch, seconds):
                for row in _copied_rows(selection.statement("body"), selection.values(after, upto)):
                    spool.write(row)
        except SlowPredicate:
            if stretch == 1:
                raise
            stretch = max(1, stretch // 8)
            spool.seek(0)
            spool.truncate()
        else:
            return upto, min(STRETCH if selection.where else EXPORT_STRETCH, stretch * 2)


def _copied_rows(statement: str, values: dict[str, Any]) -> Iterator[bytes]:
    """The rows of a statement as COPY writes them, one at a time (PostgreSQL's protocol, COPY operations)."""
    copy = f"COPY ({statement}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(copy, values) as rows:
        for row in rows:
            yield bytes(row)
