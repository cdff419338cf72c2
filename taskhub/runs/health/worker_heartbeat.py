"""Workers write every few seconds that they live: by it `walker_run` knows whether a worker would come for a run."""

import logging
import os
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from taskhub.runs.models import Worker

log = logging.getLogger(__name__)

BEAT_SECONDS = 4.0
_stopping = threading.Event()


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    queues = [queue.name for queue in sender.task_consumer.queues]
    arguments = (sender.hostname, queues, sender.pool.num_processes)
    threading.Thread(target=_loop, args=arguments, name="worker-heartbeat", daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _stopping.set()


def _loop(name: str, queues: list[str], slots: int) -> None:
    while not _stopping.is_set():
        _try(lambda: say_alive(name=name, queues=queues, slots=slots))
        _stopping.wait(BEAT_SECONDS)
    _try(lambda: Worker.objects.filter(name=name, pid=os.getpid()).delete())


def say_alive(*, name: str, queues: list[str], slots: int = 0) -> None:
    fields = {"queues": queues, "slots": slots, "pid": os.getpid(), "seen_at": Now()}
    Worker.objects.update_or_create(name=name, defaults=fields)


def _try(write: Any) -> None:
    try:
        write()
    except DatabaseError as error:
        log.warning("The heartbeat could not be written: %s", error)
    finally:
        connection.close()
