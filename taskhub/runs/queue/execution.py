"""A claimed run while its work goes on: what the work may say of it, and how the attempt ends."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined] # newer than its stubs
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection, connections, transaction

from taskhub.db.connections import thread_connection
from taskhub.interruption import Interruption
from taskhub.runs.domain import Interrupted, LeaseLost, Overdue, State, may_try_again
from taskhub.runs.models import Run
from taskhub.runs.queue import ends, leases
from taskhub.runs.queue.run_log import RunLog
from taskhub.runs.run_kinds import kind_of

log = logging.getLogger(__name__)

PAUSE_MAX_SECONDS = 24 * 3600


def comes_from_outside(error: BaseException) -> bool:
    """Whether an exception that came up in some work is none of its own: its run, or one around it, is to stop; or its
    process was told to end, which Celery's child processes do by `SystemExit`."""
    return isinstance(error, Interrupted) or (isinstance(error, SystemExit) and terminate_handler_fired())


class Execution:
    """One attempt at a run, from its claim to its end.

    `interruption` is that of the thread that performs it, where that is one of many. Where it cannot be interrupted
    after all, `abandon` is called: the thread is left to itself, unless that says that it has ended just now.
    """

    def __init__(
        self, run: Run, interruption: Interruption | None = None, abandon: Callable[[], bool] | None = None
    ) -> None:
        self.run = run
        self.thread = threading.current_thread()
        self.interruption = interruption
        self.abandon = abandon
        self.abandoned = False
        self.open = True  # until the ending begins, which decides by itself who was first
        self.stop: Interrupted | None = None  # why the work is to stop
        self.told_to_stop_at = self.stopping_seconds = 0.0  # when it was last, and for how long it has been
        self.overdue_at = time.monotonic() + run.time_limit
        self.renew_at = time.monotonic() + settings.RUN_RENEW_SECONDS
        self.latest_progress: dict[str, Any] | None = None
        self.progress_unsaved = False
        self.detached = False
        self.in_transaction = connection.in_atomic_block
        self.log: RunLog | None = None
        self.error: Mapping[str, Any] | None = None  # with which the attempt ended

    def set_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Sets the progress. Others see it within a second, also while a transaction is open. Raises as `check`."""
        self.check()
        self.latest_progress = {"done": done, "total": total, "message": message}
        self.progress_unsaved = True

    def check(self) -> None:
        """Raises `Interrupted` when the run was cancelled, is overdue or has lost its lease."""
        if self.stop is None and time.monotonic() > self.overdue_at:
            self.stop = Overdue("The time limit is over.")
        if self.stop is not None:
            raise self.stop

    def close(self) -> None:
        """From here on the work is not interrupted. Raises `Interrupted` if it has been: it may have swallowed that."""
        if self.interruption:
            self.interruption.close()
        was_open, self.open = self.open, False
        if was_open and self.stop is not None:
            raise self.stop

    def succeed(self, result: Any) -> None:
        """Ends the run as SUCCESS, in the transaction of its effect. Raises `LeaseLost`: let it roll back."""
        self.close()
        self._end_with_log(State.SUCCESS, result=result)

    def log_line(
        self, level: int, message: str, fields: Mapping[str, Any] | None = None, *, last: bool = False
    ) -> None:
        """Adds a line to the log of the run, under the name of its kind. `last`: it tells why the attempt failed."""
        if self.log is not None:
            self.log.add(level, self.run.kind, message, fields, last=last)

    def detach(self, until: datetime) -> None:
        """Lets the run go on outside of any worker; see `leases.detach`. Raises `LeaseLost`."""
        self.close()
        self._flush_log()
        leases.detach(run=self.run, until=until)
        self.detached = True

    def fail(self, type: str, message: str, result: Any = None, *, where: str = "") -> None:
        """Ends the run as FAILURE; `result` is what there was so far, `where` the place in its code that failed.

        Raises `LeaseLost`.
        """
        self.close()
        error = {"type": type, "message": message} | ({"where": where} if where else {})
        self._record_failure(error)
        self._end_with_log(State.FAILURE, result=result, error=error)

    def end_attempt(
        self, error: Mapping[str, str], *, retry: bool, pause: float = 0, delay: float | None = None
    ) -> None:
        """Writes down how an attempt ended that could not do so itself: with a later attempt, or as FAILURE.

        The later attempt is made after `delay` seconds, or as the kind says, but after `pause` seconds at least, for
        which whoever was asked has asked in turn.
        """
        run = self.run
        self._record_failure(error)
        self._flush_log()
        try:
            failures = run.failures + 1
            if retry and may_try_again(failures=failures, attempts=run.attempts):
                delay = kind_of(run.kind).delay_after(failures) if delay is None else delay
                delay = max(delay, min(pause, PAUSE_MAX_SECONDS))
                leases.schedule_retry(run=run, error=error, seconds=delay)
            else:
                with transaction.atomic():
                    ends.end(run=run, state=State.FAILURE, error=error, progress=self.latest_progress)
        except LeaseLost:
            log.info("Run %s had already ended otherwise", run.pk)
        except (DatabaseError, InterfaceError) as failure:
            log.warning("The ending of %s could not be written: %s", run.pk, failure)
            self.drop_connection()

    def _end_with_log(self, state: State, **documents: Any) -> None:
        """Ends the run while its last lines are being stored. Its end is committed after them."""
        with transaction.atomic(savepoint=False):
            self.begin_log_flush()
            ends.end(run=self.run, state=state, progress=self.latest_progress, **documents)
            self._flush_log()

    def _record_failure(self, error: Mapping[str, Any]) -> None:
        """Has the log of the run tell why it failed, unless a traceback does."""
        self.error = error
        if self.log is not None and not self.log.tells_failure:
            self.log_line(logging.ERROR, f"{error['type']}: {error['message']}", last=True)

    def begin_log_flush(self) -> None:
        """Has what it has logged be stored, while the caller stores something else."""
        if self.log is not None:
            self.log.begin_flush()

    def _flush_log(self) -> None:
        """What it has logged is stored before its end is committed: who is told of the end finds it."""
        if self.log is not None:
            self.log.flush()

    def end_overdue(self) -> None:
        message = f"The time limit of {self.run.time_limit:g} s is over."
        self.end_attempt({"type": "TimeLimitExceeded", "message": message}, retry=False)

    def drop_connection(self) -> None:
        """Closes the connection that the work has used, in whatever state an interruption left it.

        It may have struck in the middle of a statement, or at the end of `Atomic.__enter__`: then nobody leaves that
        block, and what later runs do in this process would wait in a transaction that never ends.
        """
        if self.in_transaction:  # of the caller, who rolls it back
            return
        try:
            connection.close()
        finally:
            if connection.in_atomic_block or thread_connection().is_cut_off:
                del connections[DEFAULT_DB_ALIAS]
