"""The log of a run: lines are collected while its work goes on, and stored by a thread of their own.

By a thread, with a connection of its own, so that a line costs the work microseconds, and stays when the transaction of
the work is rolled back. Twice a second it stores what has come of all runs, by one COPY. Lines reach it through a
`SimpleQueue`, which takes no lock that an interruption of the work could leave taken.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import Length

from taskhub.db.process_local import ProcessLocal
from taskhub.error_texts import storable
from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue import pubsub
from taskhub.security.masking import hide, mask, mask_value

log = logging.getLogger(__name__)

LINE_MAX = 32_000  # characters
LOGGER_MAX = 200
FIELD_INT_MAX = 1 << 63  # what is longer becomes a text
BATCH = 500
FLUSH_SECONDS = 0.5
PATIENCE_SECONDS = 5.0  # of a run that ends for its last lines
FULL = "The log of this run is full: {lines} lines, or {bytes} bytes. What follows is left out."

_COPY = "COPY runs_logline (run_id, at, level, logger, message, attempt, fields) FROM STDIN"


class _Line(NamedTuple):
    log: "RunLog"
    at: float
    level: int
    logger: str
    message: str
    fields: Mapping[str, Any]


class LineSource(Protocol):
    """What may have begun a line of the log."""

    def end_line(self) -> None: ...


class RunLog:
    """The log of one attempt at a run. With `goes_on` others have written into it, such as before the run was detached.

    `tells_failure`: it has a line that says why the attempt failed.
    """

    def __init__(self, run: Run, *, goes_on: bool = False) -> None:
        self.run = run
        self._lines, self._characters, self._is_full = 0, 0, False
        if goes_on:
            _wait_until_stored()
        if goes_on or run.attempt > 1:
            self._lines, self._characters, self._is_full = _written_before(run)
        self.tells_failure = False
        self._unstored = False
        self._flushed: threading.Lock | None = None
        self.streams: Sequence[LineSource] = ()

    def add(
        self, level: int, logger: str, message: str, fields: Mapping[str, Any] | None = None, *, last: bool = False
    ) -> None:
        """Adds a line, in any thread. Past the limits there is one that says so, and then the `last` only."""
        self.tells_failure |= last
        if line := self.next_line(level, logger, message, fields, last=last):
            self._unstored = True
            _writer.get().items.put(line)

    def next_line(
        self, level: int, logger: str, message: str, fields: Mapping[str, Any] | None = None, *, last: bool = False
    ) -> _Line | None:
        """The line that is to be stored; None where the log is full."""
        if self._is_full and not last:
            return None
        plain = {str(name)[:LOGGER_MAX]: _plain(value) for name, value in fields.items()} if fields else {}
        in_fields = len(json.dumps(plain)) if plain else 0
        size = self._characters + len(message) + in_fields
        if not last and (self._lines >= settings.RUN_LOG_LINES_MAX or size > settings.RUN_LOG_BYTES_MAX):
            self._is_full = True
            level, logger, plain, in_fields = logging.WARNING, __name__, {}, 0
            message = FULL.format(lines=settings.RUN_LOG_LINES_MAX, bytes=settings.RUN_LOG_BYTES_MAX)
        message = message if len(message) <= LINE_MAX else f"{message[:LINE_MAX]}... ({len(message)} characters)"
        self._lines += 1
        self._characters += len(message) + in_fields
        return _Line(self, time.time(), level, logger, message, plain)

    def begin_flush(self) -> None:
        """Has what was added be stored, while the caller does something else."""
        for stream in self.streams:
            stream.end_line()
        if self._unstored:
            self._unstored = False
            self._flushed = _writer.get().ask()

    def flush(self) -> None:
        """Waits until what was added is stored, or cannot be."""
        self.begin_flush()
        if self._flushed is not None:
            self._flushed.acquire(timeout=PATIENCE_SECONDS)
            self._flushed = None


def append_lines(run: Run, logger: str, level: int, messages: Sequence[str], *, last: bool = False) -> int:
    """Stores lines that come from elsewhere than the run's work, in the caller's transaction; how many found room.

    With `last` there is room for them also in a full log: they say why the run failed.
    """
    run_log = RunLog(run, goes_on=True)
    lines = [line for message in messages if (line := run_log.next_line(level, logger, message, last=last))]
    _copy(_rows(run, lines))
    transaction.on_commit(lambda: pubsub.publish(log_topic(run.pk)))
    return sum(line.logger == logger for line in lines)


def log_topic(run_id: UUID) -> str:
    """What is published when lines of a run were stored."""
    return f"log:{run_id}"


class LogWriter:
    """Stores the lines of this process's runs."""

    def __init__(self) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()  # lines, and locks to release when those before them are stored
        self._asked: SimpleQueue[None] = SimpleQueue()  # somebody waits for what is in `items`
        threading.Thread(target=self._write, name="log-writer", daemon=True).start()

    def _write(self) -> None:
        stored_at = 0.0
        while True:
            items = self._next_items(stored_at + FLUSH_SECONDS)
            try:
                self._store([item for item in items if isinstance(item, _Line)])
            except Exception:
                log.exception("Lines of runs could not be stored")
                connection.close()
            stored_at = time.monotonic() if len(items) < BATCH else 0.0  # more wait already
            for item in items:
                if not isinstance(item, _Line):
                    item.release()

    def ask(self) -> threading.Lock:
        """A lock that is released when the lines that were put so far are stored, or cannot be."""
        stored = threading.Lock()
        stored.acquire()
        self.items.put(stored)
        self._asked.put(None)
        return stored

    def _next_items(self, until: float) -> list[Any]:
        """At least one item, and what comes until then, as long as nobody waits for them.

        Lines that follow the first one do not wake this thread: that would cost the work more than the lines.
        """
        try:
            items = [self.items.get(timeout=FLUSH_SECONDS)]
        except Empty:
            connection.close()
            items = [self.items.get()]
        with suppress(Empty):
            if isinstance(items[0], _Line):
                self._asked.get(timeout=max(0.0, until - time.monotonic()))
        with suppress(Empty):
            while True:  # what was asked for has been put into `items` before
                self._asked.get_nowait()
        with suppress(Empty):
            while len(items) < BATCH:
                items.append(self.items.get_nowait())
        return items

    def _store(self, lines: Sequence[_Line]) -> None:
        if not lines:
            return
        runs = {line.log.run.pk: line.log.run for line in lines}
        rows = {
            run_id: _rows(run, [line for line in lines if line.log.run.pk == run_id]) for run_id, run in runs.items()
        }
        try:
            _commit([row for some in rows.values() for row in some])
        except (DatabaseError, InterfaceError):  # one of the runs was deleted, or the connection is lost
            connection.close()
            for run_id, some in rows.items():
                try:
                    _commit(some)
                except (DatabaseError, InterfaceError) as error:
                    log.warning("The log of run %s lost %d lines: %s", run_id, len(some), error)
        for run_id in rows:
            pubsub.publish(log_topic(run_id))


_writer = ProcessLocal(LogWriter)


def _wait_until_stored() -> None:
    """Waits until the lines that this process has added so far are stored, or cannot be."""
    if (writer := _writer.peek()) is not None:
        writer.ask().acquire(timeout=PATIENCE_SECONDS)


def _rows(run: Run, lines: Sequence[_Line]) -> list[tuple[Any, ...]]:
    secrets = run.secrets

    def shown(text: str) -> str:
        return mask(hide(storable(text), secrets))

    return [
        (
            run.pk,
            datetime.fromtimestamp(line.at, UTC),
            line.level,
            storable(line.logger[:LOGGER_MAX]),
            shown(line.message),
            run.attempt,
            storable(
                json.dumps(
                    mask_value(
                        {
                            name: shown(value) if isinstance(value, str) else value
                            for name, value in line.fields.items()
                        },
                        secrets,
                    )
                )
            ),
        )
        for line in lines
    ]


def _plain(value: Any) -> str | int | None:
    """A value that was logged by name, as JSON has it. It is read by the work itself: code of the work's own reads it,
    which may fail or take long, and other runs' lines must not wait for that, nor be lost with it."""
    if value is None or (isinstance(value, int) and abs(value) < FIELD_INT_MAX):
        return value
    try:
        return str(value)[:LOGGER_MAX]
    except Exception:
        return f"<{type(value).__name__}>"


def _commit(rows: Sequence[tuple[Any, ...]]) -> None:
    """Stores rows without waiting for the disk: the end of their run, which does wait, reaches it after them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO off")
        _copy(rows)


def _copy(rows: Sequence[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row(row)


def _written_before(run: Run) -> tuple[int, int, bool]:
    """How many lines, and characters in them, a run has logged so far, and whether one of them says that it is full."""
    written = LogLine.objects.filter(run=run).aggregate(
        lines=Count("id"), characters=Sum(Length("message")), ends=Count("id", filter=Q(logger=__name__))
    )
    return written["lines"], written["characters"] or 0, written["ends"] > 0
