"""Work under a lease: claim, perform, end; renewed and watched by a thread of the same process."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from taskhub.db.connections import give_back_connection
from taskhub.db.process_local import ProcessLocal
from taskhub.errors import Problem
from taskhub.runs.domain import Interrupted, LeaseLost, Overdue, State, error_of, may_try_again
from taskhub.runs.models import Run
from taskhub.runs.queue import (
    broker,
    claim,
    claim_this,
    end,
    hand_over,
    process_heartbeat,
    pubsub,
    put_off,
    renew,
    tell_progress,
)
from taskhub.runs.run_kinds import kind_of
from taskhub.security.masking import hiding

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
GRACE_SECONDS = 2.5  # then the process is ended: work that cannot be interrupted must not outlive its cancelling by 5 s
STARVED_SECONDS = 1.0  # of computing without a turn for the keeper
TURN_SECONDS = 1.0
SHIFT_SECONDS = 5.0  # then the worker asks Celery for the next ring, so that a warm shutdown waits no longer than this
NOBODY = UUID(int=0)

Perform = Callable[["Execution"], None]


class Execution:
    """One claimed run while its work goes on; what the work may say to the ledger."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.thread = threading.current_thread()
        self.open = True  # from here to the ending, which decides by itself who was first
        self.doom: Interrupted | None = None
        self.doomed_at = 0.0
        self.overdue_at = time.monotonic() + run.time_limit
        self.renew_at = time.monotonic() + settings.RUN_RENEW_SECONDS
        self.told: dict[str, Any] | None = None
        self.untold = False
        self.handed_over = False

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Shown within a second, also while the work's own transaction is open. Raises as `check` does."""
        self.check()
        self.told = {"done": done, "total": total, "message": message}
        self.untold = True

    def check(self) -> None:
        """Raises `Interrupted` when the run was cancelled, is overdue or has lost its lease."""
        if self.doom is None and time.monotonic() > self.overdue_at:
            self.doom = Overdue("The time limit is over.")
        if self.doom is not None:
            raise self.doom

    def succeed(self, result: Any) -> None:
        """Ends the run as SUCCESS, in the transaction of its effect. Raises `LeaseLost`: let it roll back."""
        self.open = False
        end(run=self.run, state=State.SUCCESS, result=result, progress=self.told)

    def hand_over(self, until: datetime) -> None:
        """The work goes on outside of any worker; see `services.hand_over`. Raises `LeaseLost`."""
        self.open = False
        hand_over(run=self.run, until=until)
        self.handed_over = True

    def fail(self, type: str, message: str, result: Any = None) -> None:
        """Ends the run as FAILURE; `result` is what there was so far. Raises `LeaseLost`."""
        self.open = False
        error = {"type": type, "message": message}
        end(run=self.run, state=State.FAILURE, result=result, error=error, progress=self.told)


class Keeper:
    """Renews the leases of this process's executions, writes their progress, and stops those that lost theirs."""

    def __init__(self, worker: str) -> None:
        self._topic = f"worker:{worker}"
        self._kept: set[Execution] = set()
        self._turn = threading.Event()
        self._may_signal = False
        self._live()
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()

    def _catch_signals(self) -> None:
        """Only the main thread can say what a signal does, and until then it would end the process."""
        signal.signal(signal.SIGUSR2, self._interrupt_main)
        signal.signal(signal.SIGVTALRM, self._give_turn)
        self._may_signal = True

    @contextmanager
    def keeping(self, execution: Execution) -> Iterator[None]:
        if not self._may_signal and execution.thread is threading.main_thread():
            self._catch_signals()
        self._kept.add(execution)
        process_heartbeat.tell(performing=True)
        try:
            yield
        finally:
            process_heartbeat.tell(performing=False)
            execution.open = False
            self._kept.discard(execution)

    def _keep(self) -> None:
        while True:
            with pubsub.watch(self._topic) as bell:
                while True:
                    slept_at = time.monotonic()
                    rang = bell.sleep(TICK_SECONDS)
                    late = time.monotonic() > slept_at + 2 * TICK_SECONDS  # so may be the thread that rings
                    self._live()
                    for execution in list(self._kept):
                        self._tend(execution, urgent=rang or late or not bell.connected)
                    self._turn.set()

    def _live(self) -> None:
        process_heartbeat.beat()
        if self._may_signal:  # elsewhere nobody catches it, and it would end the process
            signal.setitimer(signal.ITIMER_VIRTUAL, STARVED_SECONDS)

    def _tend(self, execution: Execution, *, urgent: bool) -> None:
        try:
            if not self._still_ours(execution, urgent=urgent):
                execution.doom = Interrupted("The run was cancelled, or another worker has it.")
            elif time.monotonic() > execution.overdue_at:
                execution.doom = Overdue("The time limit is over.")
        except (DatabaseError, InterfaceError) as error:
            log.warning("The lease of %s could not be renewed: %s", execution.run.pk, error)
        if execution.doom is not None:
            self._stop(execution)

    def _still_ours(self, execution: Execution, *, urgent: bool) -> bool:
        ours = True
        try:
            if execution.untold:
                execution.untold = False
                ours = tell_progress(run=execution.run, progress=execution.told or {})
            if urgent or time.monotonic() >= execution.renew_at:
                execution.renew_at = time.monotonic() + settings.RUN_RENEW_SECONDS
                ours = renew(run=execution.run)
        finally:
            connection.close()
        return ours

    def _stop(self, execution: Execution) -> None:
        """Interrupts work in a worker's main thread; elsewhere the work finds out at its next `check`."""
        execution.doomed_at = execution.doomed_at or time.monotonic()
        if not execution.open or execution.thread is not threading.main_thread():
            return
        if time.monotonic() - execution.doomed_at > GRACE_SECONDS:
            log.error("Run %s cannot be interrupted; its process ends", execution.run.pk)
            if isinstance(execution.doom, Overdue):
                _settle(execution, _overdue(execution.run), again=False)
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_kill(execution.thread.ident or 0, signal.SIGUSR2)

    def _give_turn(self, *_: Any) -> None:
        """Runs in the main thread when its work lets no other thread run, as a long search for a pattern does.

        Such work looks at signals only; what does not even that is the warden's.
        """
        self._turn.clear()
        self._turn.wait(TURN_SECONDS)

    def _interrupt_main(self, *_: Any) -> None:
        """Runs in the main thread, so what it finds open cannot end meanwhile, and nothing else is hit."""
        for execution in list(self._kept):
            if execution.open and execution.doom and execution.thread is threading.main_thread():
                raise execution.doom


class _WorkerProcess:
    """This process as a worker, whose name says where it runs."""

    def __init__(self, node: str) -> None:
        self.name = f"{node}:{os.getpid()}"
        self.keeper = Keeper(self.name)
        self.last_owner = NOBODY  # of the run that was claimed last: the next one goes to another, if one waits


_worker_process = ProcessLocal(_WorkerProcess)


def work(kind: str, perform: Perform, *, node: str) -> int:
    """What a Celery edge calls: performs waiting runs of `kind`, fairest first, until none waits or the shift is over.

    `perform(execution)` does the work and ends it with `execution.succeed` or `.fail` in the transaction of its effect.
    Returns how many runs it performed.
    """
    process, performed, until = _worker_process.get(node), 0, time.monotonic() + SHIFT_SECONDS
    while run := _next(kind, process):
        _execute(run, perform, process.keeper)
        performed += 1
        if time.monotonic() > until:
            broker.send(kind_of(kind), run.pk)
            break
    return performed


def run_now(run: Run, perform: Perform) -> Run:
    """Performs this one run in the calling thread: what happens when no worker would hear of it."""
    process = _worker_process.get(f"web@{socket.gethostname()}")
    if claimed := claim_this(run_id=run.pk, worker=process.name):
        _execute(claimed, perform, process.keeper)
    run.refresh_from_db()
    return run


def _next(kind: str, process: _WorkerProcess) -> Run | None:
    try:
        run = claim(kind=kind, worker=process.name, after=process.last_owner)
    except (OperationalError, InterfaceError):
        # The connection may have died since the last run: once more with a new one.
        connection.close()
        run = claim(kind=kind, worker=process.name, after=process.last_owner)
    process.last_owner = run.owner_id if run else NOBODY
    return run


def _execute(run: Run, perform: Perform, keeper: Keeper) -> None:
    with hiding(run.arguments):
        _attempt(Execution(run), perform, keeper)


def _attempt(execution: Execution, perform: Perform, keeper: Keeper) -> None:
    run = execution.run
    try:
        with keeper.keeping(execution):
            perform(execution)
    except Interrupted as stop:
        give_back_connection()  # it was interrupted in the middle of a statement, perhaps: it is not used again
        if stop is not execution.doom:
            raise  # it is meant for a run around this one
        if isinstance(stop, Overdue):
            _settle(execution, _overdue(run), again=False)
        log.info("Run %s stopped: %s", run.pk, stop)
    except LeaseLost:
        log.info("Run %s had already ended otherwise", run.pk)
        give_back_connection()
    except (OperationalError, InterfaceError) as error:
        # A deadlock, a time-out, or the database is away: then nothing can be written down, and the lease runs out.
        log.warning("Run %s lost the database: %s", run.pk, error)
        give_back_connection()
        _settle(execution, error_of(error), again=True)
    except Exception as error:
        permanent = not isinstance(error, Problem) or error.permanent
        log.info("Run %s failed: %s", run.pk, error, exc_info=permanent and not isinstance(error, Problem))
        _settle(execution, error_of(error), again=not permanent)
    else:
        if not execution.handed_over and run.state not in {State.SUCCESS, State.FAILURE}:
            _settle(execution, {"type": "NoEnding", "message": "The work did not say how it ended."}, again=False)


def _overdue(run: Run) -> dict[str, str]:
    return {"type": "TimeLimitExceeded", "message": f"The time limit of {run.time_limit:g} s is over."}


def _settle(execution: Execution, error: dict[str, str], *, again: bool) -> None:
    """Writes down how an attempt ended that could not do so itself."""
    run = execution.run
    try:
        if again and may_try_again(attempt=run.attempt, attempts=run.attempts):
            put_off(run=run, error=error, seconds=kind_of(run.kind).delay_after(run.attempt))
        else:
            with transaction.atomic():
                execution.fail(error["type"], error["message"])
    except LeaseLost:
        log.info("Run %s had already ended otherwise", run.pk)
    except (DatabaseError, InterfaceError) as failure:
        log.warning("The ending of %s could not be written: %s", run.pk, failure)
        give_back_connection()
