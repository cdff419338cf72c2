"""The thread of a worker process that renews the leases of its runs and interrupts their work.

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
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from taskhub.descendants import end_descendants
from taskhub.runs.domain import Interrupted, Overdue
from taskhub.runs.queue import leases, pubsub
from taskhub.runs.queue.execution import Execution

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
GRACE_SECONDS = 2.5  # then the process is ended: work that cannot be interrupted must not outlive its cancelling by 5 s
STARVED_SECONDS = 1.0  # of computing without a turn for the keeper
TURN_SECONDS = 1.0


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
            end_descendants()
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
