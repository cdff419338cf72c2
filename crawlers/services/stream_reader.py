"""What a stream shows: of each document the version of the attempt that started last, in the order of ids.

Read in stretches of ids, each a statement of its own: nothing is held open while a client takes its time, and those who
write meanwhile make nobody see a document twice or miss one that was there all along.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple

from django.db import DataError, OperationalError, ProgrammingError, connection, transaction
from psycopg.errors import QueryCanceled

from crawlers.models import Stream, Task
from crawlers.services.document_store import removed_tasks
from taskhub.db.connections import give_back_connection
from taskhub.errors import Rejected

STRETCH = 2_000  # ids looked at by one statement
STRETCH_MAX = 16_000  # where nothing is found, as after a large task was deleted, the stretches grow
EXPORT_STRETCH = 10_000
PAGE_SECONDS = 0.2  # then a page ends where it is, and its cursor goes on from there
STATEMENT_SECONDS = 1
IN_MEMORY = 8 * 1024 * 1024
_PIECE = 256 * 1024

_SHOWN = """
SELECT {columns} FROM (
    SELECT DISTINCT ON (key) key, task_id, at, body FROM crawlers_document
    WHERE stream_id = %(stream)s AND key > %(after)s AND (%(upto)s::text IS NULL OR key <= %(upto)s)
        AND task_id <> ALL(%(removed)s)
    ORDER BY key, rank DESC
) AS shown {where} ORDER BY key
"""
_OF_TASK = """
SELECT {columns} FROM (
    SELECT id AS key, task_id, at, body FROM crawlers_document
    WHERE id > %(after)s AND id <= %(upto)s AND task_id = %(task)s
) AS shown {where} ORDER BY key
"""
_END_OF_STRETCH = """
SELECT key FROM crawlers_document WHERE stream_id = %(stream)s AND key > %(after)s
ORDER BY key OFFSET %(stretch)s LIMIT 1
"""
# An item that is there, and is not false: so both `$.price > 10` and `$.tags[*] ? (@ == "new")` say what they mean.
_MATCHES = "jsonb_path_query_first(body::jsonb, %(where)s::jsonpath, '{{}}', true) NOT IN ('false', 'null')"


@dataclass(frozen=True)
class Selection:
    """Which documents: of one task's change set, written since and until, and matching a JSON path (SQL/JSON)."""

    stream: Stream
    task: Task | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: str = ""

    def values(self, after: Any) -> dict[str, Any]:
        shared = {"stream": self.stream.pk, "after": after, "where": self.where, "since": self.since}
        shared |= {"until": self.until, "removed": removed_tasks(self.stream.pk)}
        return shared | ({"task": self.task.pk, "last": self.task.last_row} if self.task else {})

    @property
    def start(self) -> Any:
        """Before the first document."""
        return (self.task.first_row or 1) - 1 if self.task else ""

    def condition(self) -> str:
        conditions = ["at >= %(since)s"] if self.since else []
        conditions += ["at < %(until)s"] if self.until else []
        conditions += [_MATCHES.format()] if self.where else []
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""

    def statement(self, columns: str) -> str:
        return (_OF_TASK if self.task else _SHOWN).format(columns=columns, where=self.condition())

    def end_of_stretch(self, after: Any, stretch: int) -> Any:
        """The last id of the stretch after `after`; None where nothing is left behind it."""
        if self.task:
            last = self.task.last_row or 0
            return min(after + stretch, last) if after + stretch < last else None
        with connection.cursor() as cursor:
            cursor.execute(_END_OF_STRETCH, {"stream": self.stream.pk, "after": after, "stretch": stretch})
            row = cursor.fetchone()
        return row[0] if row else None


class Shown(NamedTuple):
    key: Any
    task_id: int
    at: datetime
    body: str


class Page(NamedTuple):
    """`next` is after which id the next page begins; None at the end."""

    documents: list[Shown]
    next: Any


def page(*, selection: Selection, after: Any, limit: int) -> Page:
    """Up to `limit` documents; fewer where few of many match, for a page must not take long.

    Raises `Rejected` for a predicate that is none, or that takes too long.
    """
    after = selection.start if after is None else after
    found: list[Shown] = []
    until = time.monotonic() + PAGE_SECONDS
    stretch = STRETCH if selection.condition() else limit + 1
    grows = not selection.where  # a predicate has a second for a stretch, however little it finds
    while True:
        upto = selection.end_of_stretch(after, stretch)
        found += _rows(selection, after, upto, limit + 1 - len(found))
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].key)
        if upto is None:
            return Page(found, None)
        after, stretch = upto, min(2 * stretch, STRETCH_MAX) if grows else stretch
        if time.monotonic() > until:
            return Page(found, after)


def _rows(selection: Selection, after: Any, upto: Any, limit: int) -> list[Shown]:
    values = selection.values(after) | {"upto": _last(selection, upto), "limit": limit}
    with _bounded(selection), connection.cursor() as cursor:
        cursor.execute(selection.statement("key, task_id, at, body") + " LIMIT %(limit)s", values)
        return [Shown(*row) for row in cursor.fetchall()]


def _last(selection: Selection, upto: Any) -> Any:
    return (selection.task.last_row or 0) if selection.task and upto is None else upto


class _bounded:
    """A statement whose predicate is the caller's own: within a second, or not at all."""

    def __init__(self, selection: Selection) -> None:
        self._where = selection.where
        self._block = transaction.atomic()

    def __enter__(self) -> None:
        self._block.__enter__()
        if self._where:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{STATEMENT_SECONDS}s"])

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._block.__exit__(kind, error, trace)
        if isinstance(error, OperationalError) and isinstance(error.__cause__, QueryCanceled):
            raise _refused(f"Takes longer than {STATEMENT_SECONDS} s for {STRETCH} documents.") from None
        if isinstance(error, DataError | ProgrammingError):
            raise _refused(str(error).partition("\n")[0]) from None


def _refused(detail: str) -> Rejected:
    return Rejected(f"The predicate cannot be used: {detail}", errors=[{"pointer": "/where", "detail": detail}])


def export(*, selection: Selection) -> Iterator[bytes]:
    """All of them as NDJSON, each as it was sent. What refuses the predicate does so before the first piece."""
    after, first = selection.start, True
    while first or after is not None:
        with SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-export-") as spool:
            after = _copy_stretch(selection, after, spool)
            give_back_connection()
            first = False
            spool.seek(0)
            while piece := spool.read(_PIECE):
                yield piece


def _copy_stretch(selection: Selection, after: Any, spool: IO[bytes]) -> Any:
    """Writes one stretch down, and says after which id the next one begins; None at the end."""
    upto = selection.end_of_stretch(after, STRETCH if selection.where else EXPORT_STRETCH)
    values = selection.values(after) | {"upto": _last(selection, upto)}
    copy = f"COPY ({selection.statement('body')}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    wrapped = connection.wrap_database_errors
    with _bounded(selection), connection.cursor() as cursor, wrapped, cursor.copy(copy, values) as rows:
        for piece in rows:
            spool.write(piece)
    return upto
