"""Ends processes of a worker that do not let go of a run which they no longer have.

Work that keeps the interpreter to itself (an endless calculation in C) leaves a process no thread to hear of a
cancelling, or to renew its lease. The worker's main process, which runs no work, sees that from outside.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from celery.signals import worker_ready
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from taskhub.descendants import end_tree
from taskhub.runs.models import Run
from taskhub.runs.queue.lease_keeper import process_heartbeat

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
SILENT_CHECKS = 2  # counted in checks, not by the clock: on a machine that was asleep no process is ended for it


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    threading.Thread(target=_watch, args=(sender,), name="watchdog", daemon=True).start()


def _watch(consumer: Any) -> None:
    """Checks the worker's processes each second, and makes Celery's pool look for its dead as often, not each 5 s."""
    watchdog, pause = Watchdog(consumer.hostname), threading.Event()
    while not pause.wait(CHECK_SECONDS):
        watchdog.check(pid for pid in consumer.pool.info.get("processes", ()) if pid != os.getpid())
        if consumer.hub and hasattr(consumer.pool, "maintain_pool"):
            consumer.hub.call_soon(consumer.pool.maintain_pool)


class Watchdog:
    """Watches the processes of one worker, by its node name."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._last: dict[int, int] = {}
        self._silent: Counter[int] = Counter()

    def check(self, pids: Iterable[int]) -> None:
        """Ends processes that gave no heartbeat for two checks and perform a run which they do not have any more.

        It is called every second. A process without a run is left alone: on a busy machine it is only slow.
        """
        beats = {pid: process_heartbeat.beat_count(pid) for pid in pids if process_heartbeat.is_performing(pid)}
        silent = (pid for pid, beat in beats.items() if beat == self._last.get(pid))
        self._silent = Counter({pid: self._silent[pid] + 1 for pid in silent})
        self._last = beats
        for pid, checks in self._silent.items():
            if checks >= SILENT_CHECKS and not self._holds_lease(pid):
                log.error("Process %d does not let go of a run that it no longer has; it is ended", pid)
                end_tree(pid)
                process_heartbeat.forget(pid)

    def _holds_lease(self, pid: int) -> bool:
        """Whether the process has a claim; assumed while the database does not answer."""
        try:
            return Run.objects.filter(worker=f"{self._node}:{pid}", lease_until__gt=Now()).exists()
        except (DatabaseError, InterfaceError):
            return True
        finally:
            connection.close()
