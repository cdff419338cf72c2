"""A worker that performs many runs at once in threads of one process: for work that is nearly all waiting.

Celery's part is to notify. Its task calls `work()`, which comes to `QueueSlots.notify` and returns at once: so no
message is held by a worker whose slots are taken, and a queue that is full delays no other. Each queue has slots of its
own, so many threads at most at a time. A thread claims one run after the other until none waits, and ends: an idle
worker has none. A run that is notified of while no slot is free is found by the thread that gets free next.

What a run may do to the others of its process, and what is done about it:

- It waits: without a connection to the database, which it gives back to the pool before (see
  `interruption.before_waiting`).
- It does not end when it is told to: see `lease_keeper`. After `ABANDONED_MAX` threads that were left to themselves the
  worker takes no more runs, waits for those that go on, and ends; whoever started it starts it again.
- It keeps the interpreter to itself, as a long search for a pattern does, which nobody in this process can end. Once
  that has lasted for as long as a lease, all its runs are lost anyway: then the process is ended from a thread that
  needs no interpreter.
"""

import faulthandler
import logging
import os
import random
import threading
import time
from collections.abc import Iterable
from itertools import count
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from taskhub.db.connections import give_back_connection, thread_connection
from taskhub.interruption import Interruption
from taskhub.runs.queue.attempts import NOBODY, Perform, attempt, claim_next
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.lease_keeper import LeaseKeeper
from taskhub.runs.run_kinds import kind_of

log = logging.getLogger(__name__)

ABANDONED_MAX = 8
LOOK_SECONDS = 0.1
EXIT_CODE = 70


class QueueSlots:
    """The slots of one queue in this process. Runs are claimed under the worker's name and the number of a slot.

    A number means one slot of one process: what a slot of a process that died had claimed takes no slot of the next.
    """

    def __init__(self, threads: "WorkerThreads", worker: str, size: int) -> None:
        self.worker = worker
        self._threads = threads
        self._numbers = count(random.getrandbits(20) << 10)
        self._free = [next(self._numbers) for _ in range(size)]
        self._taken: dict[int, Execution | None] = {}  # with what is performed there
        self._missed: dict[str, Perform] = {}  # kinds that were notified of while no slot was free, in this order
        self._last_owner = NOBODY
        self._open = True
        self._lock = threading.Lock()

    @property
    def numbers(self) -> list[int]:
        with self._lock:
            return sorted([*self._free, *self._taken]) if self._open else []

    @property
    def busy(self) -> int:
        return len(self._taken)

    def close(self) -> None:
        """From now on nothing is claimed; runs that go on may end."""
        with self._lock:
            self._open = False

    def notify(self, kind: str, perform: Perform) -> None:
        """Has a thread look for runs of a kind: a new one if a slot is free, else the next that has nothing to do."""
        with self._lock:
            if not self._open:
                return
            if not self._free:
                self._missed[kind] = perform
                return
            slot = self._free.pop()
            self._taken[slot] = None
        thread = threading.Thread(target=self._serve, args=(slot, kind, perform), name=self.worker, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no thread; beat notifies again
            log.error("No run can be performed: %s", error)
            self._release(slot)

    def _serve(self, slot: int, kind: str, perform: Perform) -> None:
        """Performs runs in a slot until none waits."""
        job: tuple[str, Perform] | None = (kind, perform)
        try:
            while job:
                found = self._serve_one(slot, *job)
                if found is None:
                    return
                job = self._next_job(slot, job, found=found)
        except (DatabaseError, InterfaceError) as error:
            log.warning("No run can be claimed: %s", error)
            self._release(slot)
        except BaseException:
            log.exception("A thread of %s failed", self.worker)
            self._release(slot)
        finally:
            connection.close()

    def _serve_one(self, slot: int, kind: str, perform: Perform) -> bool | None:
        """Performs the next run of a kind; whether there was one. None when the thread was abandoned meanwhile."""
        run = claim_next(kind, f"{self.worker}:{slot}", self._last_owner)
        self._last_owner = run.owner_id if run else NOBODY
        if run is None:
            return False
        with Interruption(before_waiting=give_back_connection) as interruption:
            execution = Execution(run, interruption, lambda: self._abandon(slot, execution, kind, perform))
            self._taken[slot] = execution
            with interruption.ending(thread_connection().cut_off):
                attempt(execution, perform, self._threads.keeper)
        if self._give_up_execution(slot, execution):
            return True
        log.info("The thread of run %s has ended after all", run.pk)
        self._threads.abandoned -= 1
        return None

    def _give_up_execution(self, slot: int, execution: Execution) -> bool:
        """Lets a slot go on without the execution; false when it has gone to others, because that was abandoned."""
        with self._lock:
            if self._taken.get(slot) is not execution:
                return False
            self._taken[slot] = None
            return True

    def _next_job(self, slot: int, job: tuple[str, Perform], *, found: bool) -> tuple[str, Perform] | None:
        """What the slot does next: kinds of one queue take turns. None when nothing is left, and the slot is free."""
        with self._lock:
            if self._open and self._missed:
                other = next(iter(self._missed))
                other_job = (other, self._missed.pop(other))
                if found:
                    self._missed[job[0]] = job[1]
                return other_job
            if self._open and found:
                return job
            del self._taken[slot]
            self._free.append(slot)
            return None

    def _release(self, slot: int) -> None:
        with self._lock:
            if slot in self._taken:
                del self._taken[slot]
                self._free.append(slot)

    def _abandon(self, slot: int, execution: Execution, kind: str, perform: Perform) -> bool:
        """Gives the slot of a thread that cannot be interrupted to others, under another number.

        False when the thread has ended the execution after all: the slot is its own still.
        """
        with self._lock:
            if self._taken.get(slot) is not execution:
                return False
            del self._taken[slot]
            self._free.append(next(self._numbers))
        self._threads.count_abandoned()
        self.notify(kind, perform)
        return True


class WorkerThreads:
    """The slots of all queues of a worker, by their queue, and who keeps the leases of their runs."""

    def __init__(self, node: str, queues: Iterable[str]) -> None:
        queues = list(queues)
        workers = {queue: node if len(queues) == 1 else f"{queue}.{node}" for queue in queues}
        self.keeper = LeaseKeeper(*workers.values())
        self.slots = {queue: QueueSlots(self, workers[queue], settings.THREAD_SLOTS[queue]) for queue in queues}
        self.abandoned = 0
        self._starts = threading.Event()
        threading.Thread(target=self._watch_interpreter, name="interpreter-watch", daemon=True).start()

    def notify(self, kind: str, perform: Perform) -> None:
        """Has a thread look for runs of a kind. A message for a queue that this worker does not serve is an old one."""
        if slots := self.slots.get(kind_of(kind).queue):
            slots.notify(kind, perform)
            self._starts.set()

    @property
    def busy(self) -> int:
        return sum(slots.busy for slots in self.slots.values())

    def close(self) -> None:
        for slots in self.slots.values():
            slots.close()

    def await_ends(self) -> None:
        """Waits until no run goes on, but for those that were abandoned."""
        while self.busy:
            time.sleep(LOOK_SECONDS)

    def count_abandoned(self) -> None:
        self.abandoned += 1
        if self.abandoned == ABANDONED_MAX:
            log.error("%d threads are left to themselves: the worker ends when its other runs have", self.abandoned)
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _drain(self) -> None:
        self.close()
        self.await_ends()
        os._exit(EXIT_CODE)  # no thread that was abandoned is waited for

    def _watch_interpreter(self) -> None:
        """Has the process ended, by a thread without Python, once this one gets no turn for as long as a lease."""
        while True:
            self._starts.wait()
            self._starts.clear()  # before the look at who is busy: a run that begins after it sets it again
            while self.busy:
                faulthandler.dump_traceback_later(settings.RUN_LEASE_SECONDS, exit=True, file=2)
                time.sleep(1)
            faulthandler.cancel_dump_traceback_later()


_threads: WorkerThreads | None = None


def opened() -> WorkerThreads | None:
    """The threads of this process, if it is a worker that has some."""
    return _threads


@worker_ready.connect
def _open(sender: Any, **_: Any) -> None:
    global _threads
    if sender.app.conf.get("runs_in_threads"):
        _threads = WorkerThreads(sender.hostname, [queue.name for queue in sender.task_consumer.queues])


@worker_shutting_down.connect
def _close(**_: Any) -> None:
    if _threads:
        # Celery calls this from a signal's handler, which may have interrupted whoever holds a lock.
        threading.Thread(target=_threads.close, name="close", daemon=True).start()


@worker_shutdown.connect
def _await_ends(**_: Any) -> None:
    if _threads:
        _threads.close()
        _threads.await_ends()
