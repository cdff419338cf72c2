"""Ends processes of a worker that do not let go of a run which they no longer have.

Work that keeps the interpreter to itself (an endless calculation in C) leaves a process no thread to hear of a
cancelling, or to renew its lease. The worker's main process, which runs no work, sees that from outside.
"""

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from celery.signals import worker_ready
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from taskhub.runs.models import Run
from taskhub.runs.queue import process_heartbeat

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SILENT_LOOKS = 2  # counted in looks, not by the clock: a machine that was asleep harms nobody


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    threading.Thread(target=_guard, args=(sender,), name="warden", daemon=True).start()


def _guard(consumer: Any) -> None:
    """Celery's pool notices some of its dead only at its own look, every 5 s: it is made to look as often as this."""
    warden, pause = Warden(consumer.hostname), threading.Event()
    while not pause.wait(LOOK_SECONDS):
        warden.look(pid for pid in consumer.pool.info.get("processes", ()) if pid != os.getpid())
        if consumer.hub and hasattr(consumer.pool, "maintain_pool"):
            consumer.hub.call_soon(consumer.pool.maintain_pool)


class Warden:
    """Of the processes of one worker, by its node name."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._last: dict[int, int] = {}
        self._silent: Counter[int] = Counter()

    def look(self, pids: Iterable[int]) -> None:
        """To be called every second: ends those that gave no sign of life for two looks, with a run that is not theirs.

        A process without a run is only slow to be served, as all are on a machine that has too much to do.
        """
        beats = {pid: process_heartbeat.heard(pid) for pid in pids if process_heartbeat.performs(pid)}
        self._silent = Counter({pid: self._silent[pid] + 1 for pid, b in beats.items() if b == self._last.get(pid)})
        self._last = beats
        for pid, looks in self._silent.items():
            if looks >= SILENT_LOOKS and not self._holds_lease(pid):
                log.error("Process %d does not let go of a run that it no longer has; it is ended", pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                process_heartbeat.forget(pid)

    def _holds_lease(self, pid: int) -> bool:
        """Also while nobody can say."""
        try:
            return Run.objects.filter(worker=f"{self._node}:{pid}", lease_until__gt=Now()).exists()
        except (DatabaseError, InterfaceError):
            return True
        finally:
            connection.close()
