"""A claimed run while its work goes on, and the thread that keeps its lease and interrupts it.

How work is interrupted. Work runs in the main thread of a worker process. The keeper's thread learns that a run was
cancelled, has lost its lease or is overdue, notes it in `Execution.stop`, and sends its own process SIGUSR2. Python
runs a signal's handler in the main thread, between two of its instructions or in a blocking call: so the exception
which the handler raises comes up inside the work, also in a sleep or a read. Between the decision and the handler the
work may have ended; so the handler looks again whether the execution is open, in the one thread that can close it.

1. Work that catches the exception, or holds it up in C, is signalled again at each tick; after `GRACE_SECONDS` the
   process ends itself by SIGKILL.
2. Work that computes without letting other threads run (a long search for a pattern) starves the keeper. A timer that
   counts computing time (SIGVTALRM) then makes the main thread wait until the keeper had its turn.
3. Work in C that does not even look at signals is ended from outside, see `health.watchdog`.

In a web process work may run in other threads, where no signal arrives: it finds out at its next `check`.
"""

import atexit
import logging
import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection, connections, transaction

from taskhub.runs.domain import Interrupted, LeaseLost, Overdue, State, may_try_again
from taskhub.runs.models import Run
from taskhub.runs.queue import leases, pubsub
from taskhub.runs.run_kinds import kind_of

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
GRACE_SECONDS = 2.5  # then the process is ended: work that cannot be interrupted must not outlive its cancelling by 5 s
STARVED_SECONDS = 1.0  # of computing without a turn for the keeper
TURN_SECONDS = 1.0


class Execution:
    """One claimed run while its work goes on; what the work may say of it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.thread = threading.current_thread()
        self.open = True  # until the ending begins, which decides by itself who was first
        self.stop: Interrupted | None = None  # why the work is to stop
        self.stopping_since = 0.0
        self.overdue_at = time.monotonic() + run.time_limit
        self.renew_at = time.monotonic() + settings.RUN_RENEW_SECONDS
        self.latest_progress: dict[str, Any] | None = None
        self.progress_unsaved = False
        self.detached = False
        self.in_transaction = connection.in_atomic_block

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Notes progress, shown within a second, also while the work's transaction is open. Raises as `check` does."""
        self.check()
        self.latest_progress = {"done": done, "total": total, "message": message}
        self.progress_unsaved = True

    def check(self) -> None:
        """Raises `Interrupted` when the run was cancelled, is overdue or has lost its lease."""
        if self.stop is None and time.monotonic() > self.overdue_at:
            self.stop = Overdue("The time limit is over.")
        if self.stop is not None:
            raise self.stop

    def succeed(self, result: Any) -> None:
        """Ends the run as SUCCESS, in the transaction of its effect. Raises `LeaseLost`: let it roll back."""
        self.open = False
        leases.end(run=self.run, state=State.SUCCESS, result=result, progress=self.latest_progress)

    def detach(self, until: datetime) -> None:
        """Lets the run go on outside of any worker; see `leases.detach`. Raises `LeaseLost`."""
        self.open = False
        leases.detach(run=self.run, until=until)
        self.detached = True

    def fail(self, type: str, message: str, result: Any = None) -> None:
        """Ends the run as FAILURE; `result` is what there was so far. Raises `LeaseLost`."""
        self.open = False
        error = {"type": type, "message": message}
        leases.end(run=self.run, state=State.FAILURE, result=result, error=error, progress=self.latest_progress)

    def end_attempt(self, error: dict[str, str], *, retry: bool) -> None:
        """Writes down how an attempt ended that could not do so itself: with a later attempt, or as FAILURE."""
        run = self.run
        try:
            if retry and may_try_again(attempt=run.attempt, attempts=run.attempts):
                leases.schedule_retry(run=run, error=error, seconds=kind_of(run.kind).delay_after(run.attempt))
            else:
                with transaction.atomic():
                    self.fail(error["type"], error["message"])
        except LeaseLost:
            log.info("Run %s had already ended otherwise", run.pk)
        except (DatabaseError, InterfaceError) as failure:
            log.warning("The ending of %s could not be written: %s", run.pk, failure)
            self.drop_connection()

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
        connection.close()
        if connection.in_atomic_block:
            del connections[DEFAULT_DB_ALIAS]


class ProcessHeartbeat:
    """Signs of life of a worker's processes, in memory that they share with the process that forked them."""

    SLOTS = 4096  # found by the pid. Processes that happened to share one would only hide one another's silence.

    def __init__(self) -> None:
        self._beats = mmap.mmap(-1, self.SLOTS)
        self._performing = mmap.mmap(-1, self.SLOTS)

    def beat(self) -> None:
        """Counts one beat of this process: its other threads get their turn."""
        slot = os.getpid() % self.SLOTS
        self._beats[slot] = self._beats[slot] % 255 + 1

    def set_performing(self, performing: bool) -> None:
        """Says whether this process has a run at work."""
        self._performing[os.getpid() % self.SLOTS] = performing

    def beat_count(self, pid: int) -> int:
        """The count of a process's beats, which starts over at 255: another number means another beat."""
        return self._beats[pid % self.SLOTS]

    def is_performing(self, pid: int) -> bool:
        return bool(self._performing[pid % self.SLOTS])

    def forget(self, pid: int) -> None:
        """Clears the slot of a process that was ended; another may get it."""
        self._performing[pid % self.SLOTS] = False


process_heartbeat = ProcessHeartbeat()


class LeaseKeeper:
    """Renews the leases of this process's executions, saves their progress, and stops those that lost theirs."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._executions: set[Execution] = set()
        self._turn = threading.Event()
        self._catches_signals = False
        self._show_alive()
        threading.Thread(target=self._loop, name="keeper", daemon=True).start()

    @contextmanager
    def keep(self, execution: Execution) -> Iterator[None]:
        if not self._catches_signals and execution.thread is threading.main_thread():
            # Only the main thread can say what a signal does, and until then it would end the process.
            signal.signal(signal.SIGUSR2, self._interrupt_main)
            signal.signal(signal.SIGVTALRM, self._give_turn)
            self._catches_signals = True
            atexit.register(self._disarm)  # Python gives the signals back at its end, and this one would kill it then
        try:
            self._executions.add(execution)
            process_heartbeat.set_performing(True)
            yield
        finally:
            execution.open = False  # first: from here on it is not interrupted any more
            self._executions.discard(execution)
            process_heartbeat.set_performing(False)

    def _loop(self) -> None:
        while True:
            with pubsub.subscribe(f"worker:{self.worker}") as subscription:
                while True:
                    waits_since = time.monotonic()
                    woken = subscription.wait(TICK_SECONDS)
                    # Where this thread got no turn in time, the one that wakes it may have had none, either.
                    late = time.monotonic() > waits_since + 2 * TICK_SECONDS
                    self._show_alive()
                    for execution in list(self._executions):
                        self._tend(execution, urgent=woken or late or not subscription.connected)
                    self._turn.set()

    def _show_alive(self) -> None:
        process_heartbeat.beat()
        if self._catches_signals:  # elsewhere nobody catches it, and it would end the process
            signal.setitimer(signal.ITIMER_VIRTUAL, STARVED_SECONDS)

    def _disarm(self) -> None:
        self._catches_signals = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _tend(self, execution: Execution, *, urgent: bool) -> None:
        try:
            if not self._holds_lease(execution, urgent=urgent):
                execution.stop = Interrupted("The run was cancelled, or another worker has it.")
            elif time.monotonic() > execution.overdue_at:
                execution.stop = Overdue("The time limit is over.")
        except (DatabaseError, InterfaceError) as error:
            log.warning("The lease of %s could not be renewed: %s", execution.run.pk, error)
        if execution.stop is not None:
            self._interrupt(execution)

    def _holds_lease(self, execution: Execution, *, urgent: bool) -> bool:
        """Saves new progress, and renews the lease when it is time, or when somebody woke this worker.

        A claim in a transaction of the caller's, as tests have one, is seen by nobody else, nor by this thread.
        """
        if execution.in_transaction:
            return True
        holds = True
        try:
            if execution.progress_unsaved:
                execution.progress_unsaved = False
                holds = leases.save_progress(run=execution.run, progress=execution.latest_progress or {})
            if urgent or time.monotonic() >= execution.renew_at:
                execution.renew_at = time.monotonic() + settings.RUN_RENEW_SECONDS
                holds = leases.renew(run=execution.run)
        finally:
            connection.close()
        return holds

    def _interrupt(self, execution: Execution) -> None:
        """Interrupts work in the main thread; in other threads the work finds out at its next `check`."""
        execution.stopping_since = execution.stopping_since or time.monotonic()
        if not execution.open or execution.thread is not threading.main_thread():
            return
        if time.monotonic() - execution.stopping_since > GRACE_SECONDS:
            log.error("Run %s cannot be interrupted; its process ends", execution.run.pk)
            if isinstance(execution.stop, Overdue):
                execution.end_overdue()
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_kill(execution.thread.ident or 0, signal.SIGUSR2)

    def _give_turn(self, *_: Any) -> None:
        """Handles SIGVTALRM in the main thread: waits, so that the keeper's thread gets its turn."""
        self._turn.clear()
        self._turn.wait(TURN_SECONDS)

    def _interrupt_main(self, *_: Any) -> None:
        """Handles SIGUSR2 in the main thread: what is open here cannot end meanwhile, and no other work is hit."""
        for execution in list(self._executions):
            if execution.open and execution.stop and execution.thread is threading.main_thread():
                raise execution.stop
