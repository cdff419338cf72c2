"""The thread of a worker process that renews the leases of its runs and interrupts their work.

How work is interrupted. The keeper's thread learns that a run was cancelled, has lost its lease or is overdue, and
notes it in `Execution.stop`. What it does next depends on the thread in which the work runs.

In the main thread of a process, which has one run at a time, it sends its own process SIGUSR2. Python runs a signal's
handler in the main thread, between two of its instructions or in a blocking call: so the exception which the handler
raises comes up inside the work, also in a sleep or a read. Between the decision and the handler the work may have
ended; so the handler looks again whether the execution is open, in the one thread that can close it.

1. Work that catches the exception, or holds it up in C, is signalled again at each tick; after `GRACE_SECONDS` the
   process ends itself by SIGKILL.
2. Work that computes without letting other threads run (a long search for a pattern) starves the keeper. A timer that
   counts computing time (SIGVTALRM) then makes the main thread wait until the keeper had its turn.
3. Work in C that does not even look at signals is ended from outside, see `health.watchdog`.

In a thread of a worker that has many runs (see `worker_threads`) its waits are ended at once, its connection to the
database among them, and after `EXCEPTION_SECONDS` it is sent an exception (see `taskhub.interruption`). What does not
end by that either, such as a walker that sleeps in C, is abandoned after `GRACE_SECONDS`: its slot is given to others,
and the thread goes on without anything that it could change.

In other threads, as of a web process, work finds out at its next `check`.
"""

import atexit
import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError, connection

from taskhub.descendants import end_descendants
from taskhub.runs.domain import Interrupted, Overdue
from taskhub.runs.models import Run
from taskhub.runs.queue import leases, pubsub
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.process_heartbeat import process_heartbeat

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
EXCEPTION_SECONDS = 1.0
# Then the process, or the thread, is given up: work that cannot be interrupted must not outlive its cancelling by 5 s.
GRACE_SECONDS = 2.5
STARVED_SECONDS = 1.0  # of computing without a turn for the keeper
TURN_SECONDS = 1.0
IDLE_SECONDS = 5.0  # without a run; then the keeper sleeps until there is one


class LeaseKeeper:
    """Renews the leases of this process's executions, saves their progress, and stops those that lost theirs.

    `workers` are the names under which the process claims runs.
    """

    def __init__(self, *workers: str) -> None:
        self._topics = {leases.worker_topic(worker) for worker in workers}
        self._executions: set[Execution] = set()
        self._busy = threading.Event()
        self._turn = threading.Event()
        self._catches_signals = False
        process_heartbeat.beat()
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
            self._busy.set()
            process_heartbeat.set_performing(True)
            yield
        finally:
            try:
                execution.close()  # first: from here on it is not interrupted any more
            finally:
                self._executions.discard(execution)
                process_heartbeat.set_performing(bool(self._executions))

    def _loop(self) -> None:
        while True:
            self._busy.wait()
            try:
                self._watch()
            except Exception:  # whatever it was: without its keeper the process would lose all its leases
                log.exception("The keeper of leases failed; it goes on")
                time.sleep(TICK_SECONDS)

    def _watch(self) -> None:
        """Tends the executions until there has been none for a while."""
        with pubsub.subscribe(*self._topics, confirmed=False) as subscription:
            idle_at = time.monotonic() + IDLE_SECONDS
            while time.monotonic() < idle_at:
                waits_since = time.monotonic()
                woken = subscription.wait(TICK_SECONDS)
                # Where this thread got no turn in time, the one that wakes it may have had none, either.
                late = time.monotonic() > waits_since + 2 * TICK_SECONDS
                self._show_alive()
                if executions := list(self._executions):
                    idle_at = time.monotonic() + IDLE_SECONDS
                    self._tend(executions, urgent=woken or late or not subscription.connected)
                else:
                    connection.close()
                self._turn.set()
        self._fall_asleep()

    def _fall_asleep(self) -> None:
        self._busy.clear()
        if self._executions:  # one began since the last look
            self._busy.set()
            return
        if self._catches_signals:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)  # its handler would wait for a turn of this thread

    def _show_alive(self) -> None:
        process_heartbeat.beat()
        if self._catches_signals:  # elsewhere nobody catches it, and it would end the process
            signal.setitimer(signal.ITIMER_VIRTUAL, STARVED_SECONDS)

    def _disarm(self) -> None:
        self._catches_signals = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _tend(self, executions: Collection[Execution], *, urgent: bool) -> None:
        try:
            lost = self._renew(executions, urgent=urgent)
        except (DatabaseError, InterfaceError) as error:
            log.warning("The leases of %d runs could not be renewed: %s", len(executions), error)
            connection.close()
            lost = set()
        for execution in executions:
            if execution.run.pk in lost:
                execution.stop = execution.stop or Interrupted("The run was cancelled, or another worker has it.")
            elif execution.stop is None and time.monotonic() > execution.overdue_at:
                execution.stop = Overdue("The time limit is over.")
            if execution.stop is not None:
                try:
                    self._interrupt(execution)
                except Exception:  # the others are to be interrupted all the same
                    log.exception("Run %s could not be interrupted", execution.run.pk)

    def _renew(self, executions: Collection[Execution], *, urgent: bool) -> set[UUID]:
        """Saves new progress, and renews leases when it is time, or when somebody woke this worker; the lost runs.

        A claim in a transaction of the caller's, as tests have one, is seen by nobody else, nor by this thread.
        """
        now = time.monotonic()
        due = [
            execution
            for execution in executions
            if not execution.in_transaction
            and not execution.abandoned
            and (urgent or execution.progress_unsaved or now >= execution.renew_at)
        ]
        if not due:
            return set()
        claims = []
        for execution in due:
            unsaved, execution.progress_unsaved = execution.progress_unsaved, False
            claims.append((execution.run, execution.latest_progress if unsaved else None))
            execution.renew_at = now + settings.RUN_RENEW_SECONDS
        try:
            held = leases.renew_all(claims)
        except DataError:  # the progress of one, which must not cost the others their leases
            held = {run_id for run, progress in claims for run_id in _renew_alone(run, progress)}
        if not any(execution.interruption for execution in due):
            # One run renews seldom. The many of threads do so at every tick: their keeper has its connection for
            # itself, and never waits for one until they give theirs back.
            connection.close()
        return {run.pk for run, _ in claims} - held

    def _interrupt(self, execution: Execution) -> None:
        now = time.monotonic()
        # While this thread got no turn, as on a machine that slept, the work may have had none to let go in, either.
        execution.stopping_seconds += min(now - (execution.told_to_stop_at or now), 2 * TICK_SECONDS)
        execution.told_to_stop_at, seconds = now, execution.stopping_seconds
        if not execution.open:
            return
        if execution.thread is threading.main_thread():
            self._interrupt_main_thread(execution, seconds)
        elif execution.interruption is not None:
            if seconds > EXCEPTION_SECONDS:
                execution.interruption.strike(type(execution.stop or Interrupted()))
            else:
                execution.interruption.end_waits()
            if seconds > GRACE_SECONDS and not execution.abandoned:
                self._abandon(execution)

    def _interrupt_main_thread(self, execution: Execution, seconds: float) -> None:
        if seconds > GRACE_SECONDS:
            log.error("Run %s cannot be interrupted; its process ends", execution.run.pk)
            if isinstance(execution.stop, Overdue):
                execution.end_overdue()
            end_descendants()
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_kill(execution.thread.ident or 0, signal.SIGUSR2)

    def _abandon(self, execution: Execution) -> None:
        if isinstance(execution.stop, Overdue):
            execution.end_overdue()
        if execution.abandon and execution.abandon():
            log.error("Run %s cannot be interrupted; its thread is left to itself", execution.run.pk)
            execution.abandoned = True

    def _give_turn(self, *_: Any) -> None:
        """Handles SIGVTALRM in the main thread: waits, so that the keeper's thread gets its turn."""
        self._turn.clear()
        self._turn.wait(TURN_SECONDS)

    def _interrupt_main(self, *_: Any) -> None:
        """Handles SIGUSR2 in the main thread: what is open here cannot end meanwhile, and no other work is hit."""
        for execution in list(self._executions):
            if execution.open and execution.stop and execution.thread is threading.main_thread():
                raise execution.stop


def _renew_alone(run: Run, progress: dict[str, Any] | None) -> set[UUID]:
    try:
        return leases.renew_all([(run, progress)])
    except DataError as error:
        log.warning("The progress of run %s could not be saved: %s", run.pk, str(error).partition("\n")[0])
        return leases.renew_all([(run, None)])
