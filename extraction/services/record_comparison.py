"""Compares the records of a process with those of the process before it, and keeps one of each.

What is known of records stands in a temporary table of SQLite, which goes to the disk where it is large, so memory does
not grow with the number of records.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import orjson

from extraction.domain.page_reader import Record
from extraction.domain.record_changes import (
    CHANGE,
    CHANGED,
    GONE,
    NEW,
    SAME,
    content_digest,
    identity_digest,
)

_CACHE = "PRAGMA cache_size = -4096"  # KiB


def _table(columns: str) -> "closing[sqlite3.Connection]":
    """A temporary database with one table. A streamed export is read by one thread after another."""
    database = sqlite3.connect("", check_same_thread=False)
    database.execute(_CACHE)
    database.execute(f"CREATE TABLE {columns}")
    return closing(database)


def unique_records(records: Iterable[Record], names: Sequence[str]) -> Iterator[Record]:
    """The first record of each identity, which `names` tell; and all that have none."""
    with _table("seen (identity BLOB PRIMARY KEY) WITHOUT ROWID") as seen:
        for record in records:
            identity = identity_digest(record, names)
            if identity is None or seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount:
                yield record


class RecordComparison:
    """Compares records with those before. `counts` says how many there are of each sort, once all were compared.

    `names` tell records apart; without any, a record is the same or another one. With `tells_gone`, records follow that
    are there no more; their columns are `columns`.
    """

    def __init__(self, names: Sequence[str], columns: Sequence[str], *, tells_gone: bool) -> None:
        self._names, self._columns, self._tells_gone = names, columns, tells_gone
        self.counts: Counter[str] = Counter()

    def compare(self, records: Iterable[Record], before: Iterable[Record]) -> Iterator[Record]:
        """Each record with what became of it under `CHANGE`, in its order; those that are gone come last."""
        with _table("known (identity BLOB, content BLOB, record BLOB, seen INTEGER DEFAULT 0)") as known:
            rows = ((self._identity(record), content_digest(record), orjson.dumps(record)) for record in before)
            known.executemany("INSERT INTO known (identity, content, record) VALUES (?, ?, ?)", rows)
            known.execute("CREATE INDEX by_identity ON known (identity)")
            for record in records:
                change = self._change(known, record)
                self.counts[change] += 1
                record[CHANGE] = change
                yield record
            if self._tells_gone:
                yield from self._gone(known)

    def _identity(self, record: Record) -> bytes:
        return identity_digest(record, self._names) or content_digest(record)

    def _change(self, known: Any, record: Record) -> str:
        """What became of a record; that it is there is noted."""
        identity = self._identity(record)
        row = known.execute("SELECT rowid, content FROM known WHERE identity = ?", (identity,)).fetchone()
        if row is None:
            return NEW
        known.execute("UPDATE known SET seen = 1 WHERE identity = ?", (identity,))
        return SAME if row[1] == content_digest(record) else CHANGED

    def _gone(self, known: Any) -> Iterator[Record]:
        for (text,) in known.execute("SELECT record FROM known WHERE seen = 0 ORDER BY rowid"):
            record = orjson.loads(text)
            self.counts[GONE] += 1
            yield {**{name: record.get(name) for name in self._columns}, CHANGE: GONE}
