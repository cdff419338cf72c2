"""Workers write every few seconds that they live: by it `walker_run` knows whether a worker would come for a run."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from taskhub.runs.models import Worker

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # a process that was replaced is told sooner
_stopping = threading.Event()


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    threading.Thread(target=_loop, args=(sender,), name="worker-heartbeat", daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _stopping.set()


def _loop(consumer: Any) -> None:
    name, queues = consumer.hostname, [queue.name for queue in consumer.task_consumer.queues]
    said: list[int] = []
    say_at = 0.0
    while not _stopping.is_set():
        processes = sorted(consumer.pool.info.get("processes", ()))
        if processes != said or time.monotonic() >= say_at:
            said, say_at = processes, time.monotonic() + settings.WORKER_BEAT_SECONDS
            _try(partial(say_alive, name=name, queues=queues, processes=said))
        _stopping.wait(LOOK_SECONDS)
    _try(lambda: Worker.objects.filter(name=name, pid=os.getpid()).delete())


def say_alive(*, name: str, queues: list[str], processes: Sequence[int] = ()) -> None:
    fields = {"queues": queues, "processes": list(processes), "pid": os.getpid(), "seen_at": Now()}
    Worker.objects.update_or_create(name=name, defaults=fields)


def _try(write: Any) -> None:
    try:
        write()
    except DatabaseError as error:
        log.warning("The heartbeat could not be written: %s", error)
    finally:
        connection.close()
