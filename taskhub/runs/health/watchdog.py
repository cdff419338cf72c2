"""Ends processes of a worker that do not let go of work which they no longer have: a run, or a slice of an extraction.

Work that keeps the interpreter to itself (an endless calculation in C) leaves a process no thread to hear of a
cancelling, or to renew its lease. The worker's main process, which runs no work, sees that from outside.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from celery.signals import worker_ready
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from taskhub.descendants import end_tree
from taskhub.runs.models import Run
from taskhub.runs.queue.process_heartbeat import ProcessHeartbeat, process_heartbeat

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
SILENT_CHECKS = 2  # counted in checks, not by the clock: on a machine that was asleep no process is ended for it


@dataclass(frozen=True)
class WatchedWork:
    """A sort of work: the heartbeat of those who do it, and whether a worker process, by name, holds a lease of it."""

    name: str
    heartbeat: ProcessHeartbeat
    holds_lease: Callable[[str], bool]


def _holds_run(worker: str) -> bool:
    return Run.objects.filter(worker=worker, lease_until__gt=Now()).exists()


_watched = [WatchedWork("runs", process_heartbeat, _holds_run)]


def register(work: WatchedWork) -> None:
    """Lets the watchdogs of all workers watch another sort of work, too."""
    _watched.append(work)


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    threading.Thread(target=_watch, args=(sender,), name="watchdog", daemon=True).start()


def _watch(consumer: Any) -> None:
    """Checks the worker's processes each second, and makes Celery's pool look for its dead as often, not each 5 s."""
    watchdogs, pause = [Watchdog(consumer.hostname, work) for work in _watched], threading.Event()
    while not pause.wait(CHECK_SECONDS):
        pids = [pid for pid in consumer.pool.info.get("processes", ()) if pid != os.getpid()]
        for watchdog in watchdogs:
            watchdog.check(pids)
        if consumer.hub and hasattr(consumer.pool, "maintain_pool"):
            consumer.hub.call_soon(consumer.pool.maintain_pool)


class Watchdog:
    """Watches the processes of one worker, by its node name, at one sort of work."""

    def __init__(self, node: str, work: WatchedWork) -> None:
        self._node, self._work = node, work
        self._last: dict[int, int] = {}
        self._silent: Counter[int] = Counter()

    def check(self, pids: Iterable[int]) -> None:
        """Ends processes that gave no heartbeat for two checks and do work whose lease they do not have any more.

        It is called every second. A process without such work is left alone: on a busy machine it is only slow.
        """
        heartbeat = self._work.heartbeat
        beats = {pid: heartbeat.beat_count(pid) for pid in pids if heartbeat.is_performing(pid)}
        silent = (pid for pid, beat in beats.items() if beat == self._last.get(pid))
        self._silent = Counter({pid: self._silent[pid] + 1 for pid in silent})
        self._last = beats
        for pid, checks in self._silent.items():
            if checks < SILENT_CHECKS or self._holds_lease(pid):
                continue
            if heartbeat.beat_count(pid) == beats[pid]:  # else it let go meanwhile, and may have other work by now
                log.error("Process %d does not let go of %s that it no longer has; it is ended", pid, self._work.name)
                end_tree(pid)
                heartbeat.forget(pid)

    def _holds_lease(self, pid: int) -> bool:
        """Whether the process has a lease; assumed while the database does not answer."""
        try:
            return self._work.holds_lease(f"{self._node}:{pid}")
        except (DatabaseError, InterfaceError):
            return True
        finally:
            connection.close()
