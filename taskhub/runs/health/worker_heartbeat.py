"""Workers write every few seconds that they live: by it `walker_run` knows whether a worker would come for a run."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from taskhub.runs.models import Worker
from taskhub.runs.queue import worker_threads  # its threads are there before the first heartbeat

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # a process that was replaced is told sooner
_stopping = threading.Event()

Slots = dict[str, tuple[list[str], list[int]]]  # name of a worker to its queues and its processes, or threads


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    threading.Thread(target=_loop, args=(sender,), name="worker-heartbeat", daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _stopping.set()


def _loop(consumer: Any) -> None:
    said: Slots = {}
    say_at = 0.0
    while not _stopping.is_set():
        slots = _look(consumer, said)
        if slots != said or time.monotonic() >= say_at:
            gone, new = said.keys() - slots.keys(), slots.keys() - said.keys()
            said, say_at = slots, time.monotonic() + settings.WORKER_BEAT_SECONDS
            _try(partial(_say, slots, gone, new))
        _stopping.wait(LOOK_SECONDS)
    _try(lambda: _remove(said))


def _look(consumer: Any, said: Slots) -> Slots:
    """The slots as they are; as they were said last while Celery, in its own thread, is changing what it has."""
    try:
        return _slots(consumer)
    except Exception as error:  # such as a consumer that connects again: the heartbeat must go on
        log.info("The slots of this worker are not known at present: %r", error)
        return said


def _slots(consumer: Any) -> Slots:
    """What this program serves. One with threads is a worker to each of its queues, for each has slots of its own."""
    if threads := worker_threads.opened():
        found = {slots.worker: ([queue], slots.numbers) for queue, slots in threads.slots.items()}
        return {worker: (served, numbers) for worker, (served, numbers) in found.items() if numbers}
    queues = [queue.name for queue in consumer.task_consumer.queues]
    # A process that is being started has no pid yet.
    processes = sorted(pid for pid in consumer.pool.info.get("processes", ()) if pid is not None)
    return {consumer.hostname: (queues, processes)}


def _say(slots: Slots, gone: Iterable[str], new: Iterable[str] = ()) -> None:
    _remove(gone)
    # One of this name that was killed has left its row, which says since when it was there.
    Worker.objects.filter(name__in=new).exclude(pid=os.getpid()).delete()
    _write(Worker(name=name, queues=queues, processes=numbers) for name, (queues, numbers) in slots.items())


def say_alive(*, name: str, queues: list[str], processes: Sequence[int] = ()) -> None:
    _write([Worker(name=name, queues=queues, processes=list(processes))])


def _write(workers: Iterable[Worker]) -> None:
    rows = list(workers)
    for row in rows:
        row.pid, row.seen_at = os.getpid(), Now()
    written = ["queues", "processes", "pid", "seen_at"]
    Worker.objects.bulk_create(rows, update_conflicts=True, unique_fields=["name"], update_fields=written)


def _remove(names: Iterable[str]) -> None:
    if names := list(names):
        Worker.objects.filter(name__in=names, pid=os.getpid()).delete()


def _try(write: Callable[[], None]) -> None:
    try:
        write()
    except DatabaseError as error:
        log.warning("The heartbeat could not be written: %s", error)
    finally:
        connection.close()
