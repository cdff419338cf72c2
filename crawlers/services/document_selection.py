"""Which documents of a stream are read, in which order, and the statements that read a stretch of them.

They are read in stretches, each by a statement of its own: nothing is held open while a client takes its time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DataError, OperationalError, ProgrammingError, connection
from psycopg.errors import QueryCanceled

from crawlers.domain.field_paths import columns_of_schema
from crawlers.models import CrawlerTask, External, Stream
from crawlers.services.document_store import removed_tasks
from taskhub.db.plans import reads_along_indexes
from taskhub.errors import NotFound, Rejected, invalid

STRETCH = 2_000  # keys or rows that one statement looks at
STATEMENT_SECONDS = 1
ROW_MAX = 2**63 - 2  # numbers of rows are smaller

_READ = "SELECT {columns} FROM ({documents}) AS document {where} ORDER BY {order}"
_SHOWN_BY_KEY = """
    SELECT DISTINCT ON (key) id, key, task_id, at, body FROM crawlers_document
    WHERE stream_id = %(stream)s AND key > %(after)s AND (%(upto)s::text IS NULL OR key <= %(upto)s)
        AND task_id <> ALL(%(removed)s)
    ORDER BY key, rank DESC
"""
# Whether a version is the one that shows is asked by an expression that PostgreSQL can only evaluate row by row: as a
# join it would be planned by statistics, which a table that has just grown has not.
IS_SHOWN = """
    (rank = (
        SELECT max(other.rank) FROM crawlers_document AS other
        WHERE other.stream_id = document.stream_id AND other.key = document.key AND other.task_id <> ALL(%(removed)s)
    ))
"""
_SHOWN_NEWEST = """
    SELECT id, key, task_id, at, body FROM crawlers_document AS document
    WHERE id < %(after)s AND id >= %(upto)s AND stream_id = %(stream)s AND task_id <> ALL(%(removed)s) AND {is_shown}
"""
_OF_TASK = """
    SELECT id, key, task_id, at, body FROM crawlers_document
    WHERE id > %(after)s AND id <= %(upto)s AND stream_id = %(stream)s AND task_id = %(task)s
"""
_OF_TASK_NEWEST = """
    SELECT id, key, task_id, at, body FROM crawlers_document
    WHERE id < %(after)s AND id >= %(upto)s AND stream_id = %(stream)s AND task_id = %(task)s
"""
_END_OF_STRETCH = """
SELECT key FROM crawlers_document WHERE stream_id = %(stream)s AND key > %(after)s
ORDER BY key OFFSET %(stretch)s LIMIT 1
"""
_ROWS_OF_STRETCH = """
SELECT count(*), max(id), min(id) FROM (
    SELECT id FROM crawlers_document WHERE stream_id = %(stream)s AND id > %(above)s AND id < %(below)s
    ORDER BY id {direction} LIMIT %(stretch)s
) AS stretch
"""
# The path finds an item, and that is not false: so `$.price > 10` and `$.tags[*] ? (@ == "new")` mean what they say.
_MATCHES = "jsonb_path_query_first(body::jsonb, %(where)s::jsonpath, '{}', true) NOT IN ('false', 'null')"


class Stretch(NamedTuple):
    """Positions behind `after`, up to and with `upto`. `is_last` where nothing is left behind them."""

    after: Any
    upto: Any
    is_last: bool


@dataclass(frozen=True)
class DocumentSelection:
    """Which documents are read: those that a stream shows, or one task's change set; `where` is a SQL/JSON path.

    Documents of a stream are in the order of their keys, those of a change set in that of their rows, which is the
    order of writing; with `newest` both are the other way round in the order of their rows. A position is a key, or the
    number of a row.
    """

    stream: Stream
    task: CrawlerTask | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: str = ""
    newest: bool = False

    @property
    def by_rows(self) -> bool:
        return self.newest or self.task is not None

    @property
    def position(self) -> str:
        """The column of positions."""
        return "id" if self.by_rows else "key"

    @property
    def start(self) -> Any:
        """The position before the first document."""
        if not self.by_rows:
            return ""
        return ROW_MAX if self.newest else 0

    def has_conditions(self) -> bool:
        return bool(self.since or self.until or self.where)

    def statement(self, columns: str) -> str:
        conditions = ["at >= %(since)s"] if self.since else []
        conditions += ["at < %(until)s"] if self.until else []
        conditions += [_MATCHES] if self.where else []
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        if self.task:
            documents = _OF_TASK_NEWEST if self.newest else _OF_TASK
        else:
            documents = _SHOWN_NEWEST.format(is_shown=IS_SHOWN) if self.newest else _SHOWN_BY_KEY
        return _READ.format(columns=columns, documents=documents, where=where, order=self.order)

    @property
    def order(self) -> str:
        return f"{self.position} DESC" if self.newest else self.position

    def values(self, stretch: Stretch) -> dict[str, Any]:
        """The statement's parameters for the positions of a stretch."""
        return {
            "stream": self.stream.pk,
            "task": self.task.pk if self.task else None,
            "removed": removed_tasks(self.stream.pk),
            "after": stretch.after,
            "upto": stretch.upto,
            "since": self.since,
            "until": self.until,
            "where": self.where,
        }

    def next_stretch(self, after: Any, size: int) -> Stretch:
        """The next positions behind `after`: `size` keys, or rows of the stream."""
        if self.by_rows:
            first, last = self._rows()
            above, below = (first - 1, min(after, last + 1)) if self.newest else (max(after, first - 1), last + 1)
            count, end = last_of_stretch(self.stream.pk, above, size, below=below, newest=self.newest)
            return Stretch(after, after if end is None else end, count < size)
        with reads_along_indexes(), connection.cursor() as cursor:
            cursor.execute(_END_OF_STRETCH, {"stream": self.stream.pk, "after": after, "stretch": size})
            row = cursor.fetchone()
        return Stretch(after, row[0] if row else None, row is None)

    def _rows(self) -> tuple[int, int]:
        """The numbers of a task's first and last row, as they are now; without a task, of all rows."""
        if self.task is None:
            return 1, ROW_MAX
        rows = CrawlerTask.objects.filter(pk=self.task.pk).values_list("first_row", "last_row")
        first, last = rows.first() or (None, None)
        return (first or 1), (last or 0)

    def check_exists(self) -> None:
        """Raises `NotFound` where the stream or the task was deleted."""
        for row in [self.stream, *([self.task] if self.task else [])]:
            if not type(row).objects.filter(pk=row.pk, removed_at__isnull=True).exists():
                raise NotFound(f"The {row._meta.verbose_name} was deleted meanwhile.")


def select_documents(
    stream: Stream, *, task: UUID | None = None, order: str = "id", **conditions: Any
) -> DocumentSelection:
    """The documents that a query asks for: `order` is `id` or `newest`, `conditions` are `since`, `until` and `where`.

    Raises `Rejected` for a task that is none of the stream's.
    """
    of_task = None
    if task is not None:
        of_task = CrawlerTask.objects.filter(stream=stream, fid=task, removed_at__isnull=True).first()
        if of_task is None:
            raise invalid("/task", "There is no such task of this stream.")
    return DocumentSelection(stream, of_task, newest=order == "newest", **conditions)


def columns_of_stream(stream: Stream) -> Sequence[str]:
    """The fields that the schema of the stream's crawler names, or of the last that it had."""
    externals = External.objects.filter(crawlers__stream=stream, crawlers__removed_at__isnull=True)
    earlier = External.objects.filter(tasks__stream=stream).order_by("-tasks__pk")
    schemas = externals.values_list("schema", flat=True)[:1] or earlier.values_list("schema", flat=True)[:1]
    return columns_of_schema(*schemas) if schemas else ()


def last_of_stretch(
    stream_id: int, above: int, size: int, *, below: int = ROW_MAX, newest: bool = False
) -> tuple[int, int | None]:
    """How many of the next `size` rows of a stream there are, and the number of the last of them, if there are any.

    Their numbers are between `above` and `below`, and go up from the first, or, with `newest`, down from the second.
    """
    values = {"stream": stream_id, "above": above, "below": below, "stretch": size}
    with reads_along_indexes(), connection.cursor() as cursor:
        cursor.execute(_ROWS_OF_STRETCH.format(direction="DESC" if newest else "ASC"), values)
        count, highest, lowest = cursor.fetchone()
    return count, lowest if newest else highest


class SlowPredicate(Rejected):
    """A predicate that takes too long."""


@contextmanager
def time_limited(selection: DocumentSelection, size: int = STRETCH, seconds: float | None = None) -> Iterator[None]:
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
        raise _unusable_predicate(f"Takes longer than {seconds} s for {size} documents.", SlowPredicate) from None
    except (DataError, ProgrammingError) as error:
        raise _unusable_predicate(str(error).partition("\n")[0]) from None


def _unusable_predicate(detail: str, kind: type[Rejected] = Rejected) -> Rejected:
    return kind(f"The predicate cannot be used: {detail}", errors=[{"pointer": "/where", "detail": detail}])
