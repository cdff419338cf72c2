"""What the work of a run logs and prints becomes lines of the run's log.

Which run a line belongs to says a context variable: it follows coroutines and `asyncio.to_thread`, not threads that the
work starts by itself. In a worker process, whose main thread has one run at a time, all other threads' lines are that
run's. There `print` is caught, too; in a process with many runs nobody could tell whose it is.
"""

import io
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from traceback import format_exception
from types import TracebackType
from typing import Any, TextIO

from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.run_log import LINE_MAX, RunLog

_current: ContextVar[RunLog | None] = ContextVar("run_log", default=None)
_of_process: RunLog | None = None

# What the hub itself and its servers say is for the operator; the work's failure is told by `log_failure`.
_OF_THE_HUB = re.compile(
    r"(taskhub|celery|kombu|amqp|django|granian|walkers\.(walks|http|services|authoring)|opentelemetry\.(sdk|exporter))"
    r"(\.|$)"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def current_log() -> RunLog | None:
    """The log of the run whose work the caller is part of."""
    return _current.get() or _of_process


@contextmanager
def capture(execution: Execution) -> Iterator[RunLog]:
    """Has what is logged and printed in the block stored as the log of a claimed run."""
    global _of_process
    run_log = execution.log = RunLog(execution.run)
    token = _current.set(run_log)
    try:
        if execution.thread is not threading.main_thread():
            yield run_log
            return
        before, _of_process = _of_process, run_log
        try:
            with _captured_streams(run_log):
                yield run_log
        finally:
            _of_process = before
    finally:
        _current.reset(token)


@contextmanager
def _captured_streams(run_log: RunLog) -> Iterator[None]:
    out, err = LineStream(run_log, logging.INFO, "stdout"), LineStream(run_log, logging.WARNING, "stderr")
    run_log.streams = (out, err)
    # Within `catch_warnings` a warning is shown once a run, rather than once a process.
    with out, err, warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        yield


def log_failure(error: BaseException, logger: str, traceback: TracebackType | None) -> None:
    """Writes what failed into the log of its run, with this traceback."""
    if run_log := current_log():
        parts = format_exception(type(error), error, traceback)
        run_log.add(logging.ERROR, logger, "".join(parts).rstrip("\n"), last=True)


class LineStream(io.TextIOBase):
    """A stream whose lines go to a run's log."""

    def __init__(self, run_log: RunLog, level: int, name: str) -> None:
        self._run_log, self._level, self._name = run_log, level, name
        self._original: TextIO = getattr(sys, name)
        self._begun = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Programs that are given this stream write to the hub's own."""
        return self._original.fileno()

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if len(self._begun) > LINE_MAX:
            lines, self._begun = [*lines, self._begun], ""
        for line in lines:
            self._run_log.add(self._level, self._name, line)
        return len(text)

    def end_line(self) -> None:
        if self._begun:
            self.write("\n")

    def close(self) -> None:
        self.end_line()
        super().close()


def capture_record(record: logging.LogRecord) -> None:
    """Writes a record into the log of the run in whose work it was made."""
    run_log = current_log()
    if run_log is None or _OF_THE_HUB.match(record.name):
        return
    try:
        message = record.getMessage()
    except Exception:  # a line that is not well formed is shown as it was written
        message = str(record.msg)
    if record.exc_info:
        message += "\n" + logging.Formatter().formatException(record.exc_info)
    fields: dict[str, Any] = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    run_log.add(record.levelno, record.name, message, fields)
