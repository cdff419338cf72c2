"""Rings for workers: a Celery message that carries a run's id, and the knowledge whether anybody would hear it."""

import logging
import threading
import time
from collections import Counter
from typing import Any

from amqp.exceptions import ChannelError
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

from taskhub.celery import app
from taskhub.runs.models import live_workers
from taskhub.runs.run_kinds import RunKind

log = logging.getLogger(__name__)

PRESENCE_SECONDS = 1.0
ENOUGH_RINGS = 100
COUNTED_EVERY = 16
BELIEVED_SECONDS = 0.02
REST_SECONDS = 1.0
# No retry and short time-outs: without a broker the work is done at once, and the caller waits at most a second, the
# wake-up at its end (`hub.Publisher`) and the count of his calls (the cache in the settings) included.
ANSWER_SECONDS = 0.4
_connection = app.connection_for_write(
    transport_options={
        **app.conf.broker_transport_options,
        "socket_connect_timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "max_retries": 0,
    },
    connect_timeout=ANSWER_SECONDS,
)


class Presence:
    """Which queues have a live worker, asked at most once a second a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at = -PRESENCE_SECONDS
        self._queues: frozenset[str] = frozenset()

    def heard(self, queue: str) -> bool:
        if time.monotonic() - self._asked_at >= PRESENCE_SECONDS:
            with self._lock:
                self._ask()
        return queue in self._queues

    def _ask(self) -> None:
        if time.monotonic() - self._asked_at >= PRESENCE_SECONDS:
            self._queues = frozenset(
                name for names in live_workers().values_list("queues", flat=True) for name in names
            )
            self._asked_at = time.monotonic()


presence = Presence()


class Din:
    """Queues in which so many rings wait that another would wake nobody sooner.

    Whoever hears a ring performs all that waits, so a burst of work leaves as many rings to be heard in vain as runs,
    at the price of a run each. The broker is asked after every sixteenth ring, and believed for so short a time that
    the rings it counted are not all heard by then; should they be, the sweeper rings within a second.
    """

    def __init__(self) -> None:
        self._rings: Counter[str] = Counter()
        self._enough_until: dict[str, float] = {}

    def drowns(self, queue: str) -> bool:
        until = self._enough_until.get(queue)
        if until is not None and time.monotonic() < until:
            return True
        self._rings[queue] += 1
        if until is None and self._rings[queue] % COUNTED_EVERY:
            return False
        if (backlog(queue) or 0) < ENOUGH_RINGS:
            self._enough_until.pop(queue, None)
            return False
        self._enough_until[queue] = time.monotonic() + BELIEVED_SECONDS
        return True


din = Din()


class Silence:
    """A broker that let somebody wait in vain is left alone for a moment: the next callers need not wait, too.

    One that refuses at once costs nothing, and may take the next message: a connection that has died tells no more.
    """

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._until

    def note(self, *, asked_at: float) -> None:
        now = time.monotonic()
        if now - asked_at >= ANSWER_SECONDS:
            self._until = now + REST_SECONDS


silence = Silence()


def notify_worker(kind: RunKind, run_id: Any) -> bool:
    """Whether a worker will come for the run: it was notified, or enough messages wait already."""
    return presence.heard(kind.queue) and (din.drowns(kind.queue) or send(kind, run_id))


def send(kind: RunKind, run_id: Any) -> bool:
    """Whether the broker took the message; never raises, never waits over a second."""
    if silence.lasts:
        return False
    asked_at = time.monotonic()
    try:
        with producers[_connection].acquire(block=True, timeout=0.5) as producer:
            app.send_task(
                kind.task, (str(run_id),), task_id=str(run_id), queue=kind.queue, producer=producer, retry=False
            )
    except (OperationalError, LimitExceeded, OSError) as error:
        log.warning("The broker does not take %s: %s", run_id, error)
        silence.note(asked_at=asked_at)
        return False
    except Exception:
        log.exception("The broker does not take %s", run_id)
        return False
    return True


def backlog(queue: str) -> int | None:
    """Messages that wait in the broker, or None when it does not answer."""
    if silence.lasts:
        return None
    asked_at = time.monotonic()
    try:
        with producers[_connection].acquire(block=True, timeout=0.5) as producer:
            return int(producer.channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # an empty queue does not exist
    except Exception as error:
        log.warning("The broker does not tell its backlog: %s", error)
        silence.note(asked_at=asked_at)
        return None
