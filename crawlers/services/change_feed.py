"""The changes of a stream's documents, in the order of commits, for readers who keep a copy of it.

A place in the feed is the number of a row. All rows of a stream, those of documents and tombstones, are numbered by one
sequence under the stream's lock, which is held until their commit: whoever sees a row sees all rows of the stream with
smaller numbers. So a reader that goes on behind the last number misses nothing, however many uploads go on, and nothing
is asked of those who write. A restored back-up gives numbers anew that readers have seen: a position names the history
of the database that it belongs to.

What is told at a place is the state of now. A version that a later one hides is passed over, for the later one has a
place of its own. Where a document leaves the stream, or an older version of it shows again, a tombstone has the place.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max

from crawlers.domain.documents import id_of_key
from crawlers.models import CrawlerTask, Stream, Tombstone
from crawlers.services.document_export import DELIMITER, copied_rows
from crawlers.services.document_selection import IS_SHOWN, last_of_stretch
from crawlers.services.document_store import removed_tasks
from taskhub.db.connections import give_back_connection
from taskhub.db.plans import reads_along_indexes
from taskhub.errors import NotFound, Outdated

STRETCH = 10_000  # rows that are looked at at once
PAGE_BYTES = 16 * 1024 * 1024  # then a page ends, with the change that goes beyond
PAGE_SECONDS = 0.2  # then a page ends where it is
LIMIT_MAX = 10_000

_WITHIN_BYTES = """
SELECT id, key, task, body FROM (
    SELECT *, sum(coalesce(octet_length(body), 0)) OVER (ORDER BY id) AS size FROM ({changes}) AS changes
) AS sized WHERE size - coalesce(octet_length(body), 0) < %(bytes)s ORDER BY id
"""
# Of the task whose attempt started last all versions show: only of others it is looked up. CASE keeps that order.
_PUTS = """
    SELECT id, key, task_id::text AS task, body FROM crawlers_document AS document
    WHERE id > %(after)s AND id <= %(upto)s AND stream_id = %(stream)s AND task_id <> ALL(%(removed)s)
        AND CASE WHEN rank >= %(highest)s THEN true ELSE {is_shown} END
    ORDER BY id LIMIT %(limit)s
"""
# What shows again was written before; what was written afterwards has a place behind this one.
_TOMBSTONES = """
    SELECT tombstone.id, tombstone.key, coalesce(shown.task_id::text, tombstone.task::text) AS task, shown.body
    FROM crawlers_tombstone AS tombstone LEFT JOIN LATERAL (
        SELECT id, task_id, body FROM crawlers_document AS document
        WHERE document.stream_id = %(stream)s AND document.key = tombstone.key AND document.task_id <> ALL(%(removed)s)
        ORDER BY rank DESC LIMIT 1
    ) AS shown ON true
    WHERE tombstone.stream_id = %(stream)s AND tombstone.id > greatest(%(after)s, %(began)s)
        AND tombstone.id <= %(upto)s AND (shown.id IS NULL OR shown.id < tombstone.id)
    ORDER BY tombstone.id LIMIT %(limit)s
"""
# A restore makes the table anew, or is another cluster; a standby that becomes the primary begins another timeline.
_HISTORY = """
SELECT to_hex(hashtextextended(concat_ws(' ', system_identifier, timeline_id, 'crawlers_document'::regclass::oid), 0))
FROM pg_control_system(), pg_control_checkpoint()
"""


class FeedPosition(NamedTuple):
    """What a reader has seen: rows up to `after`. Tombstones up to `began` are older than its first page.

    The numbers are those of one `history` of the database.
    """

    after: int
    began: int
    history: str


@dataclass(frozen=True)
class ChangePage:
    """Changes as JSON, and where the feed goes on; `is_last` where nothing is left by now."""

    changes: list[bytes]
    next: FeedPosition
    is_last: bool


def first_position(stream: Stream) -> FeedPosition:
    newest = _newest_tombstone(stream) or 0
    return FeedPosition(0, max(newest, _forgotten_row(stream)), _history())


def read_changes(*, stream: Stream, position: FeedPosition, limit: int) -> ChangePage:
    """Up to `limit` changes behind a position; fewer where they are large, or few of many rows show.

    Raises `Outdated` for a position from before deletions that are forgotten by now, or of another history of the
    database, and `NotFound` where the stream is deleted meanwhile.
    """
    if position.history != _history():
        raise Outdated("The cursor is from before a restore of the database. Begin anew, without a cursor.")
    changes: list[bytes] = []
    room, deadline = PAGE_BYTES, time.monotonic() + PAGE_SECONDS
    while True:
        upto = _end_of_stretch(stream, position.after)
        rows: list[bytes] = []
        if upto is not None:
            rows, upto = _read_rows(stream, position, upto, limit - len(changes), room)
        # Asked behind the rows: what is forgotten before they are read would be missed.
        if _forgotten_row(stream) > max(position.after, position.began):
            raise Outdated("The cursor is too old: deletions behind it are forgotten. Begin anew, without a cursor.")
        if upto is None:
            return ChangePage(changes, position, is_last=True)
        changes += _written_changes(stream, rows)
        room -= sum(map(len, rows))
        position = position._replace(after=upto)
        if len(changes) >= limit or room <= 0 or time.monotonic() > deadline:
            return ChangePage(changes, position, is_last=False)


def _history() -> str:
    """Names the history of the database: within one, no number is given twice."""
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY)
        return str(cursor.fetchone()[0])


def _forgotten_row(stream: Stream) -> int:
    """The last tombstone that was pruned by now."""
    rows = Stream.objects.filter(pk=stream.pk, removed_at__isnull=True).values_list("forgotten_row", flat=True)
    forgotten: int | None = rows.first()
    if forgotten is None:
        raise NotFound("The stream was deleted meanwhile.")
    return forgotten


def _newest_tombstone(stream: Stream) -> int | None:
    newest: int | None = Tombstone.objects.filter(stream=stream).aggregate(newest=Max("id"))["newest"]
    return newest


def _end_of_stretch(stream: Stream, after: int) -> int | None:
    """Up to which number rows are looked at next; None where none are left."""
    count, last = last_of_stretch(stream.pk, after, STRETCH)
    if count == STRETCH:
        return last
    ends = [last, _newest_tombstone(stream)]
    return max((end for end in ends if end is not None and end > after), default=None)


def _read_rows(stream: Stream, position: FeedPosition, upto: int, limit: int, room: int) -> tuple[list[bytes], int]:
    """Rows of id, key, task and body, and up to which number they are all."""
    highest = CrawlerTask.objects.filter(stream=stream, removed_at__isnull=True, first_row__isnull=False)
    values: dict[str, Any] = {
        "stream": stream.pk,
        "removed": removed_tasks(stream.pk),
        "highest": highest.aggregate(highest=Max("rank"))["highest"] or 0,
        "after": position.after,
        "began": position.began,
        "limit": limit,
        "bytes": room,
    }
    found: list[bytes] = []
    with reads_along_indexes():
        for changes in (_TOMBSTONES, _PUTS.format(is_shown=IS_SHOWN)):
            rows = list(copied_rows(_WITHIN_BYTES.format(changes=changes), values | {"upto": upto}))
            if len(rows) >= limit or sum(map(len, rows)) >= room:  # there may be more of them
                upto = _number(rows[-1])
            found += rows
    if len(found) != len(rows):  # there are tombstones
        found = sorted((row for row in found if _number(row) <= upto), key=_number)
    if len(found) > limit:
        found, upto = found[:limit], _number(found[limit - 1])
    return found, upto


def _number(row: bytes) -> int:
    return int(row.partition(DELIMITER)[0])


def _written_changes(stream: Stream, rows: list[bytes]) -> list[bytes]:
    """Changes as JSON. A version whose task's row is gone by now is left out: its tombstone follows."""
    changes: list[bytes] = []
    fids: dict[bytes, bytes] = {}
    for row in rows:
        _, key, task, body = row[:-1].split(DELIMITER, 3)
        if key[:1] != b'"':
            key = id_of_key(key.decode()).encode()
        if not body:
            changes.append(b'{"op":"delete","id":%b,"task":"%b"}' % (key, task))
            continue
        if task not in fids:
            fids |= {b"%d" % pk: str(fid).encode() for pk, fid in stream.tasks.values_list("pk", "fid")}
            fids.setdefault(task, b"")
        if fid := fids[task]:
            changes.append(b'{"op":"put","id":%b,"task":"%b","document":%b}' % (key, fid, body))
    return changes


def export_changes(*, stream: Stream, position: FeedPosition) -> Iterator[bytes | FeedPosition]:
    """All changes behind a position up to now, in pieces of lines, and at last where the feed goes on.

    Raises `NotFound` where the stream is deleted meanwhile.
    """
    is_last = False
    while not is_last:
        page = read_changes(stream=stream, position=position, limit=LIMIT_MAX)
        give_back_connection()
        if page.changes:
            yield b"\n".join(page.changes) + b"\n"
        position, is_last = page.next, page.is_last
    yield position
